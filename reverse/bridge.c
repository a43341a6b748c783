#include "reverse/bridge.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "mux/mux.h"
#include "reverse/backoff.h"
#include "reverse/control.h"
#include "routing/dispatch.h"

enum {
    SPREAD = 128, /* streams a link, on average, before another one is dialled */
    LINKS_MAX = 64,
    CONTROL_SESSION = 1, /* the only id under which a portal may open its control stream */
};

static const double ANSWER = 10;    /* seconds until the portal's first frame */
static const double COMPLAINT = 30; /* seconds between warnings about a silent portal */
static const double GAP = 0.05;     /* seconds between two attempts, at least */
static const double GAP_MANY = 10;  /* ... with LINKS_MAX links */

struct bridge {
    struct inbound in;
    const struct bridge_conf *conf;
    const struct policy *policy;
    char domain[ADDR_NAME_MAX + 1]; /* normal form */
    struct list links;
    unsigned link_count;
    ev_timer redial;
    ev_tstamp dialled;    /* when it last did */
    ev_tstamp down_since; /* since when dialling has failed, or no link takes streams; 0: neither */
    ev_tstamp complained;
    struct log_limit refused;
    bool stopping;
};

struct link {
    struct mux mux;
    struct bridge *bridge;
    struct list_item item; /* in the bridge's links */
    ev_timer answer;
    bool up;       /* the portal has spoken */
    bool draining; /* it wants no new streams here; another link takes its place */
    bool had_control;
};

static struct link *link_of(struct mux *m)
{
    return container_of(m, struct link, mux);
}

/* --- when to dial --- */

static void bridge_dial(struct bridge *b);

static void bridge_schedule(struct bridge *b, double delay)
{
    if (b->stopping || ev_is_active(&b->redial))
        return;
    ev_timer_set(&b->redial, delay, 0);
    ev_timer_start(b->in.loop->ev, &b->redial);
}

static unsigned bridge_active(const struct bridge *b, unsigned *streams)
{
    unsigned active = 0;
    *streams = 0;
    for (struct list_item *i = list_first(&b->links); i; i = list_next(&b->links, i)) {
        const struct link *k = container_of(i, struct link, item);
        active += !k->draining;
        *streams += k->draining ? 0 : k->mux.sessions;
    }
    return active;
}

static void on_redial(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)events;
    struct bridge *b = w->data;
    unsigned streams;
    if (bridge_active(b, &streams) == 0 || streams / bridge_active(b, &streams) > SPREAD)
        bridge_dial(b);
}

/* After every change: a bridge without a link, or with crowded ones, dials. A portal that drains links
 * faster than they end is given no more than a few a minute. */
static void bridge_check(struct bridge *b)
{
    unsigned streams, active = bridge_active(b, &streams);
    double now = loop_steady(), delay = 0;
    double gap = b->dialled - now + (b->link_count < LINKS_MAX ? GAP : GAP_MANY);
    if (active && (streams / active <= SPREAD || b->link_count >= LINKS_MAX))
        return;
    if (b->down_since > 0)
        delay = backoff_delay(now - b->down_since, randombytes_uniform(1000) / 1000.0);
    bridge_schedule(b, delay > gap ? delay : gap > 0 ? gap : 0);
}

/* --- streams --- */

static bool link_refuses(struct link *k, const struct mux_frame *f, const char *reason)
{
    struct bridge *b = k->bridge;
    stat_add(b->in.loop->counters, STAT_names_refused, 1);
    if (log_allowed(&b->refused, (int64_t)loop_now(b->in.loop), 2))
        log_warn("bridge %s: stream %u refused: %s", b->conf->tag, f->id, reason);
    return false;
}

/* The control stream is the portal's own: the first of a link, by UDP to port 0. A visitor that names it
 * comes later, or otherwise. */
static bool link_control(struct link *k, const struct mux_frame *f)
{
    if (k->had_control || f->id != CONTROL_SESSION || f->net != NET_UDP || f->target.port != 0)
        return link_refuses(k, f, "a visitor named a control domain");
    k->had_control = true;
    k->mux.control_id = f->id;
    return true;
}

static bool on_opened(struct mux *m, const struct mux_frame *f)
{
    struct link *k = link_of(m);
    struct bridge *b = k->bridge;
    struct meta meta = {.net = f->net, .target = f->target, .inbound_tag = b->conf->tag};
    struct addr name = f->target;
    if (name.type == ADDR_NAME) {
        addr_normalise_name(name.name);
        if (control_is_name(name.name))
            return link_control(k, f);
        if (strcmp(name.name, b->domain) == 0)
            return link_refuses(k, f, "it leads back to the portal");
    }
    struct flow *flow = mux_accept(m, f, &meta, b->policy);
    if (!flow)
        return false;
    dispatch(b->in.dispatcher, flow);
    bridge_check(b);
    return true;
}

static void on_control(struct mux *m, const uint8_t *data, size_t len)
{
    struct link *k = link_of(m);
    enum control_state state;
    if (!control_read(cur_of(data, len), &state) || state != CONTROL_DRAIN || k->draining)
        return;
    log_debug(m->end.flow->id, "bridge %s: the portal drains this link", k->bridge->conf->tag);
    k->draining = true;
    bridge_check(k->bridge);
}

/* --- a link's life --- */

static void on_alive(struct mux *m)
{
    struct link *k = link_of(m);
    struct bridge *b = k->bridge;
    k->up = true;
    b->down_since = 0;
    ev_timer_stop(b->in.loop->ev, &k->answer);
    stat_add(b->in.loop->counters, b->conf->carriers_slot, 1);
    log_info("bridge %s: connected to its portal", b->conf->tag);
}

static void link_complain(struct link *k, const struct err *why)
{
    struct bridge *b = k->bridge;
    bool answered = k->up, failed = why && why->code;
    if (answered) {
        log_info("bridge %s: link lost%s%s", b->conf->tag, failed ? ": " : "",
                 failed ? why->text : "");
        return;
    }
    if (loop_steady() - b->complained < COMPLAINT)
        return;
    b->complained = loop_steady();
    log_warn("bridge %s: no portal: %s", b->conf->tag,
             failed ? why->text
                    : "it closed the connection without an answer; check the user id, the clock "
                      "(within 120 s) and the port");
}

static void link_unlist(struct link *k)
{
    struct bridge *b = k->bridge;
    list_remove(&k->item);
    b->link_count--;
    if (k->up)
        stat_add(b->in.loop->counters, b->conf->carriers_slot, -1);
}

static bool bridge_is_up(const struct bridge *b)
{
    for (struct list_item *i = list_first(&b->links); i; i = list_next(&b->links, i)) {
        const struct link *k = container_of(i, struct link, item);
        if (k->up && !k->draining)
            return true;
    }
    return false;
}

static void on_closed(struct mux *m, const struct err *why)
{
    struct link *k = link_of(m);
    struct bridge *b = k->bridge;
    ev_timer_stop(b->in.loop->ev, &k->answer);
    link_unlist(k);
    if (!k->draining && !b->stopping)
        link_complain(k, why);
    if (!b->down_since && (!k->up || !bridge_is_up(b)))
        b->down_since = loop_steady();
    free(k);
    bridge_check(b);
}

static const struct mux_ops link_ops = {
    .opened = on_opened, .control = on_control, .alive = on_alive, .closed = on_closed};

static void on_no_answer(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)events;
    struct link *k = w->data;
    struct err why;
    err_set(&why, ETIMEDOUT,
            "no answer within %g s; check the user id, the clock (within 120 s) and the port",
            ANSWER);
    mux_close(&k->mux, &why);
}

static void link_list(struct link *k)
{
    struct bridge *b = k->bridge;
    list_push(&b->links, &k->item);
    b->link_count++;
    ev_timer_init(&k->answer, on_no_answer, ANSWER, 0);
    k->answer.data = k;
    ev_timer_start(b->in.loop->ev, &k->answer);
}

static void bridge_dial(struct bridge *b)
{
    b->dialled = loop_steady();
    struct meta meta = {.net = NET_TCP, .inbound_tag = b->conf->tag};
    struct link *k = calloc(1, sizeof *k);
    meta.target.type = ADDR_NAME;
    strncpy(meta.target.name, b->conf->domain, ADDR_NAME_MAX);
    if (k)
        mux_init(&k->mux, &link_ops, false, &b->conf->traffic, -1);
    struct flow *f = k ? flow_new(b->in.loop, &k->mux.end, &mux_end_ops, &meta, b->policy) : NULL;
    if (!f) {
        free(k);
        bridge_schedule(b, ANSWER);
        return;
    }
    f->carrier = true;
    k->bridge = b;
    link_list(k);
    dispatch(b->in.dispatcher, f);
    mux_start(&k->mux);
}

static void bridge_free(struct inbound *in)
{
    struct bridge *b = container_of(in, struct bridge, in);
    b->stopping = true;
    ev_timer_stop(b->in.loop->ev, &b->redial);
    struct list_item *i;
    while ((i = list_first(&b->links)))
        mux_close(&container_of(i, struct link, item)->mux, NULL);
    free(b);
}

static const struct inbound_ops bridge_ops = {.free = bridge_free};

struct inbound *bridge_new(struct loop *l, struct dispatcher *d, const struct bridge_conf *conf,
                           const struct policy *policy)
{
    struct bridge *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->in = (struct inbound){.ops = &bridge_ops, .loop = l, .dispatcher = d, .tag = conf->tag};
    b->conf = conf;
    b->policy = policy;
    strncpy(b->domain, conf->domain, ADDR_NAME_MAX);
    addr_normalise_name(b->domain);
    ev_timer_init(&b->redial, on_redial, 0, 0);
    b->redial.data = b;
    bridge_schedule(b, 0);
    b->down_since = loop_steady();
    b->complained = -COMPLAINT;
    return &b->in;
}
