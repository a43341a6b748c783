/* reverse/link.c -- one connection of a bridge to its portal: what the portal opens on it, and its life. */
#include <stdlib.h>
#include <string.h>

#include "reverse/control.h"
#include "reverse/way.h"
#include "routing/dispatch.h"

/* What mostly is wrong where somebody listens and is no portal to us. */
#define ADVICE                                                                                     \
    "check that the port, streamSettings, user id and domain are the portal's, and the clocks "    \
    "within 120 s"

enum {
    CONTROL_SESSION = 1, /* the only id under which a portal may open its control stream */
    DOUBLINGS = 2,       /* of ANSWER, one after each link of a way that had none */
};

static const double ANSWER = 4;     /* seconds until the portal's first frame ... */
static const double FAR_ANSWER = 8; /* ... when there is no connection after half of that */
static const double LASTING = 2;    /* seconds after which a link was worth its dialling */
static const double COMPLAINT = 30; /* seconds between warnings about a silent portal */

/* --- streams --- */

static int link_refuses(struct link *k, const struct mux_frame *f, const char *reason)
{
    struct bridge *b = k->way->bridge;
    stat_add(b->in.loop->counters, STAT_names_refused, 1);
    if (log_allowed(&b->refused, (int64_t)loop_now(b->in.loop), 2))
        log_warn("bridge %s: stream %u refused: %s", b->conf->tag, f->id, reason);
    return REFUSED_RULES;
}

/* The control stream is the portal's own: the first of a link, by UDP to port 0. A visitor that names it
 * comes later, or otherwise. */
static int link_control(struct link *k, const struct mux_frame *f)
{
    if (k->had_control || f->id != CONTROL_SESSION || f->net != NET_UDP || f->target.port != 0)
        return link_refuses(k, f, "a visitor named a control domain");
    k->had_control = true;
    k->mux.control_id = f->id;
    return 0;
}

static int on_opened(struct mux *m, const struct mux_frame *f)
{
    struct link *k = link_of(m);
    struct bridge *b = k->way->bridge;
    struct meta meta = {.net = f->net,
                        .source = f->source,
                        .target = f->target,
                        .inbound_tag = b->conf->tag,
                        .sniffing = b->conf->sniffing};
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
        return REFUSED_NO_ROOM;
    dispatch(b->in.dispatcher, flow);
    way_check(k->way);
    return 0;
}

/* --- draining --- */

static void link_drains(struct link *k)
{
    if (k->draining)
        return;
    log_debug(k->mux.end.flow->id, "bridge %s: this link drains", k->way->bridge->conf->tag);
    k->draining = true;
    way_check(k->way);
}

static void on_control(struct mux *m, const uint8_t *data, size_t len)
{
    enum control_state state;
    if (control_read(cur_of(data, len), &state) && state == CONTROL_DRAIN)
        link_drains(link_of(m));
}

static void on_going(struct mux *m, int reason, uint32_t wait)
{
    static const uint32_t WAIT_MAX = 60 * 1000; /* milliseconds: nobody is sent away for long */
    struct link *k = link_of(m);
    if (reason == GOING_MOVES) {
        link_moves(k);
        return;
    }
    k->way->not_before = loop_steady() + (wait < WAIT_MAX ? wait : WAIT_MAX) / 1000.0;
    link_drains(k);
}

void link_drain(struct link *k)
{
    if (k->draining || !mux_say_going(&k->mux, GOING_STOPS, 0))
        return;
    k->given_up = true;
    link_drains(k);
}

/* --- outages --- */

static void link_lives(struct link *k)
{
    struct way *y = k->way;
    k->up_since = loop_steady();
    y->shaky_since = y->down_since > 0 ? y->down_since : k->up_since;
    y->down_since = 0;
}

static bool way_is_up(const struct way *y)
{
    for (struct list_item *i = list_first(&y->links); i; i = list_next(&y->links, i))
        if (link_at(i)->up && !link_at(i)->draining)
            return true;
    return false;
}

/* An outage is over once a link has lasted: a portal that does no more than greet is dialled ever less often. */
static void link_lived(const struct link *k)
{
    struct way *y = k->way;
    bool brief = k->up && loop_steady() - k->up_since < LASTING;
    if (k->given_up || y->down_since > 0 || (k->up && !brief && way_is_up(y)))
        return;
    y->down_since = brief ? y->shaky_since : loop_steady();
}

/* --- life --- */

void link_count(const struct link *k, int n)
{
    const struct bridge *b = k->way->bridge;
    stat_add(b->in.loop->counters, b->conf->carriers_slot, n);
}

static void on_alive(struct mux *m)
{
    struct link *k = link_of(m);
    struct bridge *b = k->way->bridge;
    k->up = true;
    k->way->unanswered = 0;
    link_lives(k);
    ev_timer_stop(b->in.loop->ev, &k->answer);
    link_count(k, 1);
    log_info("bridge %s: connected to its portal", b->conf->tag);
    way_tried(k->way);
    way_came(k->way);
}

static void on_silence(struct mux *m)
{
    struct link *k = link_of(m);
    log_info("bridge %s: a portal %s", k->way->bridge->conf->tag,
             m->silent ? "is silent" : "speaks again");
    way_check(k->way);
}

static void link_complain(struct link *k, const struct err *why)
{
    struct way *y = k->way;
    bool failed = why && why->code;
    if (k->up) {
        log_info("bridge %s: link lost%s%s", y->bridge->conf->tag, failed ? ": " : "",
                 failed ? why->text : "");
        return;
    }
    if (loop_steady() - y->complained < COMPLAINT)
        return;
    y->complained = loop_steady();
    log_warn("bridge %s: no portal: %s%s", y->bridge->conf->tag,
             failed ? why->text : "the connection was closed without an answer",
             k->mux.reached ? "; " ADVICE : "");
}

static void link_unlist(struct link *k)
{
    list_remove(&k->item);
    k->way->link_count--;
    if (k->up && !k->refused)
        link_count(k, -1);
}

static void on_closed(struct mux *m, const struct err *why)
{
    struct link *k = link_of(m);
    struct way *y = k->way;
    ev_timer_stop(y->bridge->in.loop->ev, &k->answer);
    link_unlist(k);
    if (!k->draining && !y->bridge->stopping)
        link_complain(k, why);
    link_lived(k);
    if (k->up && !k->draining)
        way_lost_one(y);
    free(k);
    way_check(y);
}

/* A portal that cannot be told goes on using it until another link is there, or to the end. */
static void on_drain(struct mux *m)
{
    if (link_of(m)->draining)
        return;
    mux_say_going(m, GOING_STOPS, 0);
    link_drains(link_of(m));
}

static const struct mux_ops link_ops = {.opened = on_opened,
                                        .drain = on_drain,
                                        .control = on_control,
                                        .alive = on_alive,
                                        .going = on_going,
                                        .met = link_met,
                                        .host_answered = link_host_answered,
                                        .told_why = link_told_why,
                                        .node_told = link_node_told,
                                        .silence = on_silence,
                                        .closed = on_closed};

static double link_age(const struct link *k)
{
    return loop_steady() - k->mux.end.flow->born;
}

static void link_give_up(struct link *k, double seconds)
{
    struct err why;
    if (end_is_opened(&k->mux.end)) {
        k->way->unanswered += k->way->unanswered < DOUBLINGS;
        err_set(&why, ETIMEDOUT, "no answer within %.0f s", seconds);
    } else {
        err_set(&why, ETIMEDOUT, "no connection within %.0f s", seconds);
    }
    mux_close(&k->mux, &why);
}

static void link_wait(struct link *k, double until)
{
    double left = until - link_age(k);
    ev_timer_set(&k->answer, left > 0 ? left : 0, 0);
    ev_timer_start(k->way->bridge->in.loop->ev, &k->answer);
}

/* When connecting alone takes long the portal is far away, and so is its answer. One that did not answer in time may have
 * too much to do: what it does for a link that was given up is in vain. */
static double link_patience(const struct link *k)
{
    double patience = ANSWER * (1u << k->way->unanswered);
    return end_is_opened(&k->mux.end) || patience > FAR_ANSWER ? patience : FAR_ANSWER;
}

static void on_no_answer(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)events;
    struct link *k = w->data;
    if (k->waits == 0) {
        k->waits = link_patience(k);
        link_wait(k, k->waits);
    } else if (!k->late) {
        k->late = true; /* what came while this loop was busy is read first */
        link_wait(k, k->waits);
    } else {
        link_give_up(k, k->waits);
    }
}

static void link_list(struct link *k, struct way *y)
{
    k->way = y;
    list_push(&y->links, &k->item);
    y->link_count++;
    ev_init(&k->answer, on_no_answer);
    k->answer.data = k;
    link_wait(k, ANSWER / 2);
}

bool link_new(struct way *y)
{
    struct bridge *b = y->bridge;
    struct meta meta = {.net = NET_TCP, .inbound_tag = b->conf->tag};
    struct link *k = calloc(1, sizeof *k);
    meta.target.type = ADDR_NAME;
    strncpy(meta.target.name, b->conf->domain, ADDR_NAME_MAX);
    if (k)
        mux_init(&k->mux, &link_ops, false, &b->conf->traffic, -1);
    if (k)
        k->mux.instance = b->instance;
    struct flow *f = k ? flow_new(b->in.loop, &k->mux.end, &mux_end_ops, &meta, b->policy) : NULL;
    if (!f) {
        free(k);
        return false;
    }
    f->carrier = true;
    link_list(k, y);
    if (y->outbound == BY_RULES)
        dispatch(b->in.dispatcher, f);
    else
        dispatch_to(b->in.dispatcher, f, (size_t)y->outbound);
    y->led_to = f->meta.outbound_tag;
    mux_start(&k->mux);
    link_introduce(k);
    return true;
}
