#include "reverse/portal.h"

#include <sodium.h>
#include <stdlib.h>
#include <strings.h>

#include "core/log.h"
#include "mux/mux.h"
#include "reverse/control.h"

enum {
    DRAIN_SESSIONS = 256,     /* ever opened on a carrier to an old peer, as V2Ray counts */
    DRAIN_IDS = 60000,        /* the same to a v2c peer: before the ids run out */
    DRAIN_PIECES = 48 * 1024, /* sealed chunks in one direction: before nonces repeat at 65536 */
    WAITING_MAX = 1024,       /* visitors that wait for a bridge */
    COMPLAINTS = 2,           /* log lines a second and reason */
};

static const double BEAT = 2; /* seconds between control messages, V2Ray's */
static const double WAIT = 3; /* seconds that a visitor waits for a bridge to come (back) */

struct portal {
    struct outbound out;
    const struct portal_conf *conf;
    char domain[ADDR_NAME_MAX + 1];  /* normal form */
    char control[ADDR_NAME_MAX + 1]; /* controlDomain, normal form; "" */
    struct list carriers, waiting;   /* waiting: the first that came first */
    unsigned waiting_count;
    struct log_limit carrier_complaints, name_complaints, empty_complaints;
};

struct carrier {
    struct mux mux;
    struct portal *portal;
    struct list_item item; /* in the portal's carriers */
    struct addr from;
    ev_timer beat;
    size_t name; /* index of the control name in use, see carrier_control_name() */
    bool draining;
};

/* A visitor without a carrier: sits in the flow's second seat until one comes. */
struct waiter {
    struct end end;
    struct portal *portal;
    struct list_item item; /* in the portal's waiting */
    ev_timer patience;
};

static struct carrier *carrier_of(struct list_item *i)
{
    return container_of(i, struct carrier, item);
}

static struct waiter *waiter_of(struct list_item *i)
{
    return container_of(i, struct waiter, item);
}

static void portal_count(struct portal *p, int slot, int n)
{
    stat_add(p->out.loop->counters, slot, n);
}

static int64_t portal_second(const struct portal *p)
{
    return (int64_t)loop_now(p->out.loop);
}

/* --- control messages --- */

/* The names to try in turn: the configured one, else those that peers are known to use. */
static const char *carrier_control_name(const struct carrier *c, size_t i)
{
    if (!c->portal->conf->control_domain)
        return control_name(i);
    return i == 0 ? c->portal->conf->control_domain : NULL;
}

/* One control message in the stream with this id. name: of the stream that it opens, else NULL. */
static void carrier_tell(struct carrier *c, uint16_t id, const char *name, enum control_state state)
{
    uint8_t message[CONTROL_MAX], filler[CONTROL_FILLER_MAX];
    size_t len = 1 + randombytes_uniform(CONTROL_FILLER_MAX);
    struct writer w = wr_of(message, sizeof message);
    randombytes_buf(filler, len);
    control_write(&w, state, filler, len);
    struct mux_frame f = {.id = id,
                          .status = name ? MUX_NEW : MUX_KEEP,
                          .option = MUX_DATA,
                          .net = NET_UDP,
                          .data_len = (uint16_t)wr_len(&w)};
    if (name) {
        f.target.type = ADDR_NAME;
        strncpy(f.target.name, name, ADDR_NAME_MAX);
    }
    mux_send(&c->mux, &f, message);
}

static void carrier_end(struct carrier *c, uint16_t id)
{
    mux_send(&c->mux, &(struct mux_frame){.id = id, .status = MUX_END}, NULL);
}

static void carrier_open_control(struct carrier *c)
{
    const char *name = carrier_control_name(c, c->name);
    c->mux.control_id =
        -1; /* without a name that suits the peer empty frames keep the link awake */
    if (!name)
        return;
    c->mux.control_id = mux_take_id(&c->mux);
    carrier_tell(c, (uint16_t)c->mux.control_id, name, CONTROL_ACTIVE);
}

/* A bridge that knows the name stays silent; an answer means that it took it for a visitor's target. */
static void on_control_refused(struct mux *m)
{
    struct carrier *c = container_of(m, struct carrier, mux);
    if (m->frame.status != MUX_END)
        carrier_end(c, m->frame.id);
    c->name++;
    carrier_open_control(c);
}

/* A silent peer may know the name or have dispatched it as a visitor's: V2Ray 4.34 lets datagrams vanish
 * without an answer. So an old peer hears DRAIN under every other name too; to the wrong ones it is one
 * lost datagram. */
static void carrier_drain_old(struct carrier *c)
{
    const char *name;
    for (size_t i = 0; (name = carrier_control_name(c, i)) && mux_ids_left(&c->mux); i++) {
        if (i == c->name)
            continue;
        uint16_t id = mux_take_id(&c->mux);
        carrier_tell(c, id, name, CONTROL_DRAIN);
        carrier_end(c, id);
    }
}

static void carrier_drain(struct carrier *c)
{
    if (c->draining)
        return;
    c->draining = true;
    log_debug(c->mux.end.flow->id, "portal %s: carrier drains after %u streams",
              c->portal->conf->tag, c->mux.opened);
    if (c->mux.control_id >= 0) {
        carrier_tell(c, (uint16_t)c->mux.control_id, NULL, CONTROL_DRAIN);
        carrier_end(c, (uint16_t)c->mux.control_id);
        c->mux.control_id = -1;
    }
    if (!c->mux.is_v2c)
        carrier_drain_old(c);
}

static bool carrier_worn(const struct carrier *c)
{
    const struct mux *m = &c->mux;
    return m->opened > (m->is_v2c ? DRAIN_IDS : DRAIN_SESSIONS) ||
           m->end.flow->pieces > DRAIN_PIECES;
}

/* To a peer that does not read nothing more is said, so that idleness ends the carrier. */
static void carrier_beat(struct carrier *c)
{
    if (!end_room(&c->mux.end))
        return;
    if (c->mux.control_id >= 0)
        carrier_tell(c, (uint16_t)c->mux.control_id, NULL, CONTROL_ACTIVE);
    else
        mux_send(&c->mux, &(struct mux_frame){.status = MUX_KEEPALIVE}, NULL);
}

static void on_beat(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)events;
    struct carrier *c = w->data;
    if (carrier_worn(c))
        carrier_drain(c);
    if (c->draining && !c->mux.sessions)
        mux_close(&c->mux, NULL);
    else
        carrier_beat(c);
}

/* --- carriers --- */

static void carrier_unlist(struct carrier *c)
{
    list_remove(&c->item);
    portal_count(c->portal, c->portal->conf->carriers_slot, -1);
}

static void on_closed(struct mux *m, const struct err *why)
{
    struct carrier *c = container_of(m, struct carrier, mux);
    struct portal *p = c->portal;
    char from[ADDR_TEXT_MAX];
    log_info("portal %s: bridge %s gone%s%s", p->conf->tag, addr_text(&c->from, from),
             why && why->code ? ": " : "", why && why->code ? why->text : "");
    ev_timer_stop(p->out.loop->ev, &c->beat);
    carrier_unlist(c);
    free(c);
}

static const struct mux_ops carrier_ops = {.control_refused = on_control_refused,
                                           .closed = on_closed};

static void portal_refuse(struct portal *p, struct flow *f, int stat, struct log_limit *limit,
                          const char *reason)
{
    struct err why;
    char from[ADDR_TEXT_MAX];
    portal_count(p, stat, 1);
    if (log_allowed(limit, portal_second(p), COMPLAINTS))
        log_warn("portal %s: %s, inbound %s: %s", p->conf->tag, addr_text(&f->meta.source, from),
                 f->meta.inbound_tag, reason);
    err_set(&why, EACCES, "%s", reason);
    flow_refuse(f, &why);
}

static bool user_listed(const struct portal_conf *conf, const struct user *u)
{
    for (size_t i = 0; i < conf->user_count; i++)
        if (strcmp(conf->users[i], u->email) == 0)
            return true;
    return !conf->users;
}

/* NULL: this flow may become a carrier. Else why not. */
static const char *carrier_objection(const struct portal *p, const struct flow *f)
{
    if (!f->meta.user)
        return "asked for the portal's domain without having authenticated";
    if (f->packets)
        return "asked for the portal's domain by UDP";
    if (!f->meta.by_rule)
        return "asked for the portal's domain, but no rule sends it here";
    if (!user_listed(p->conf, f->meta.user))
        return "asked for the portal's domain, but its user is not one of the portal's users";
    return NULL;
}

static void portal_seat_waiting(struct portal *p);

static void carrier_list(struct carrier *c)
{
    struct portal *p = c->portal;
    list_push(&p->carriers, &c->item); /* at a tie the newest is picked: it has just proven alive */
    portal_count(p, p->conf->carriers_slot, 1);
}

static void portal_carrier(struct portal *p, struct flow *f)
{
    const char *objection = carrier_objection(p, f);
    char from[ADDR_TEXT_MAX];
    if (objection) {
        portal_refuse(p, f, STAT_carriers_refused, &p->carrier_complaints, objection);
        return;
    }
    struct carrier *c = calloc(1, sizeof *c);
    if (!c) {
        portal_refuse(p, f, STAT_carriers_refused, &p->carrier_complaints, "out of memory");
        return;
    }
    c->portal = p;
    c->from = f->meta.source;
    mux_init(&c->mux, &carrier_ops, true, &p->conf->traffic, p->conf->visitors_slot);
    f->carrier = true;
    flow_join(f, &c->mux.end, &mux_end_ops);
    carrier_list(c);
    ev_timer_init(&c->beat, on_beat, BEAT, BEAT);
    c->beat.data = c;
    ev_timer_start(p->out.loop->ev, &c->beat);
    log_info("portal %s: bridge %s connected", p->conf->tag, addr_text(&c->from, from));
    mux_start(&c->mux);
    carrier_open_control(c);
    portal_seat_waiting(p);
}

/* --- visitors --- */

/* The carrier with the fewest streams; one that drains only when all do. */
static struct carrier *portal_pick(struct portal *p)
{
    struct carrier *best = NULL;
    for (struct list_item *i = list_first(&p->carriers); i; i = list_next(&p->carriers, i)) {
        struct carrier *c = carrier_of(i);
        if (!mux_ids_left(&c->mux) || mux_is_ending(&c->mux))
            continue;
        if (!best || c->draining < best->draining ||
            (c->draining == best->draining && c->mux.sessions < best->mux.sessions))
            best = c;
    }
    return best;
}

static bool portal_place(struct portal *p, struct flow *f)
{
    struct carrier *c = portal_pick(p);
    if (!c)
        return false;
    if (carrier_worn(c) && !c->draining)
        carrier_drain(c);
    return mux_open(&c->mux, f);
}

static void waiter_unlist(struct waiter *w)
{
    struct portal *p = w->portal;
    list_remove(&w->item);
    p->waiting_count--;
    ev_timer_stop(p->out.loop->ev, &w->patience);
}

static void waiter_leave(struct waiter *w, const struct err *why)
{
    waiter_unlist(w);
    end_leave(&w->end, why);
    free(w);
}

static void on_waiter_wake(struct end *e)
{
    if (end_failed(e) || end_peer_left(e))
        waiter_leave(container_of(e, struct waiter, end), NULL);
}

static const struct end_ops waiter_ops = {.wake = on_waiter_wake};

static void on_impatient(struct ev_loop *ev, ev_timer *t, int events)
{
    (void)ev, (void)events;
    struct waiter *w = t->data;
    struct portal *p = w->portal;
    struct err why;
    portal_count(p, STAT_no_carrier, 1);
    if (log_allowed(&p->empty_complaints, portal_second(p), 1))
        log_warn("portal %s: no bridge is connected; visitors are turned away", p->conf->tag);
    err_set(&why, EHOSTUNREACH, "no bridge is connected");
    waiter_leave(w, &why);
}

static void portal_wait(struct portal *p, struct flow *f)
{
    struct waiter *w = p->waiting_count < WAITING_MAX ? calloc(1, sizeof *w) : NULL;
    if (!w) {
        portal_refuse(p, f, STAT_no_carrier, &p->empty_complaints, "no bridge is connected");
        return;
    }
    w->portal = p;
    list_append(&p->waiting, &w->item);
    p->waiting_count++;
    flow_join(f, &w->end, &waiter_ops);
    ev_timer_init(&w->patience, on_impatient, WAIT, 0);
    w->patience.data = w;
    ev_timer_start(p->out.loop->ev, &w->patience);
}

static void portal_seat_waiting(struct portal *p)
{
    struct list_item *i;
    while ((i = list_first(&p->waiting))) {
        struct waiter *w = waiter_of(i);
        struct carrier *c = portal_pick(p);
        if (!c || !mux_take_over(&c->mux, &w->end))
            return;
        waiter_unlist(w);
        free(w);
    }
}

static void portal_visitor(struct portal *p, struct flow *f)
{
    if (!portal_place(p, f))
        portal_wait(p, f);
}

static void portal_open(struct outbound *out, struct flow *f)
{
    struct portal *p = container_of(out, struct portal, out);
    struct addr target = f->meta.target;
    if (target.type == ADDR_NAME)
        addr_normalise_name(target.name);
    if (target.type != ADDR_NAME)
        portal_visitor(p, f);
    else if (strcmp(target.name, p->domain) == 0)
        portal_carrier(p, f);
    else if (control_is_name(target.name) || strcmp(target.name, p->control) == 0)
        portal_refuse(p, f, STAT_names_refused, &p->name_complaints, "named a control domain");
    else
        portal_visitor(p, f);
}

/* --- life --- */

static void portal_free(struct outbound *out)
{
    struct portal *p = container_of(out, struct portal, out);
    struct err why;
    struct list_item *i;
    err_set(&why, ECANCELED, "the portal stops");
    while ((i = list_first(&p->waiting)))
        waiter_leave(waiter_of(i), &why);
    while ((i = list_first(&p->carriers)))
        mux_close(&carrier_of(i)->mux, NULL);
    free(p);
}

static const struct outbound_ops portal_ops = {.open = portal_open, .free = portal_free};

static void normal_name(char out[ADDR_NAME_MAX + 1], const char *name)
{
    out[0] = '\0';
    if (!name)
        return;
    strncpy(out, name, ADDR_NAME_MAX);
    out[ADDR_NAME_MAX] = '\0';
    addr_normalise_name(out);
}

struct outbound *portal_new(struct loop *l, const struct portal_conf *conf)
{
    struct portal *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->out = (struct outbound){.ops = &portal_ops, .loop = l, .tag = conf->tag};
    p->conf = conf;
    normal_name(p->domain, conf->domain);
    normal_name(p->control, conf->control_domain);
    return &p->out;
}
