/* reverse/visitors.c -- which carrier a visitor gets: one of this loop, or of another, or none yet. */
#include <stdlib.h>

#include "core/cross.h"
#include "reverse/carrier.h"

enum {
    WAITING_MAX = 1024,         /* visitors that wait for a bridge, in one pool */
    ALL_WAITING_MAX = 8 * 1024, /* ... in all of them */
    COMPLAINTS = 2,             /* log lines a second and reason */
};

static const double WAIT = 3; /* seconds that a visitor waits for a bridge to come (back) */

/* A visitor without a carrier: sits in the flow's second seat until one comes. */
struct waiter {
    struct end end;
    struct pool *pool;
    struct list_item item; /* in the pool's waiting */
    ev_timer patience;
};

static int64_t portal_second(const struct portal *p)
{
    return (int64_t)loop_now(p->out.loop);
}

void portal_refuse(struct portal *p, struct flow *f, int stat, struct log_limit *limit,
                   const char *reason)
{
    struct err why;
    char from[ADDR_TEXT_MAX];
    stat_add(p->out.loop->counters, stat, 1);
    if (log_allowed(limit, portal_second(p), COMPLAINTS))
        log_warn("portal %s: %s, inbound %s: %s", p->conf->tag, addr_text(&f->meta.source, from),
                 f->meta.inbound_tag, reason);
    err_set(&why, EACCES, "%s", reason);
    flow_refuse(f, &why);
}

/* --- placing --- */

/* A crossing ends where the portal, and the pool, is; if it is still there. */
static void on_twin(void *arg, struct flow *twin)
{
    struct portal_shards *all = arg;
    struct portal *p = all->at[twin->loop->index].portal;
    struct err why;
    if (p) {
        portal_visitor(p, twin);
        return;
    }
    err_set(&why, ECANCELED, "the portal is gone");
    flow_refuse(twin, &why);
}

/* A visitor that has no second end yet, or one that is to be replaced. */
struct visitor {
    struct flow *flow;
    struct end *seat; /* NULL: none yet */
};

static bool visitor_cross(struct visitor v, struct shard *to)
{
    struct loop *l = shard_loop(to);
    struct portal_shards *all = to->all->portal;
    shard_expect(to);
    return v.seat ? cross_take_over(v.seat, l, on_twin, all) : cross_flow(v.flow, l, on_twin, all);
}

/* Another loop that suits it better. Who has crossed once does so again for a better class, but not because
 * of a few streams: these change as fast as visitors cross. NULL: there is none. */
static struct shard *visitor_elsewhere(const struct pool *pool, struct visitor v, unsigned load)
{
    return shard_better(pool->shard, v.flow->twin ? load - load % LOAD_CLASS : load);
}

/* By the portal's choice, and where that leaves it open by load. */
static void visitor_choose(struct pool *pool, struct visitor v, struct place *place)
{
    uint32_t *mark = &v.flow->meta.tunnel.bridge;
    struct weighing w;
    pool_weigh(pool, &w);
    *place = (struct place){.carrier = *mark ? pool_chosen(pool, *mark, &w) : NULL};
    *mark = 0;
    if (place->carrier || (!v.flow->twin && pool_choose(pool, &v.flow->meta, place)))
        return;
    place->carrier = w.lightest;
    place->elsewhere = visitor_elsewhere(pool, v, w.load);
}

/* At a carrier of this process. */
static bool visitor_place(struct pool *pool, struct visitor v)
{
    struct place place;
    visitor_choose(pool, v, &place);
    struct carrier *c = place.carrier;
    if (place.elsewhere) {
        v.flow->meta.tunnel.bridge = place.bridge ? bridge_mark(place.bridge) : 0;
        if (visitor_cross(v, place.elsewhere))
            return true;
        v.flow->meta.tunnel.bridge = 0;
    }
    if (!c)
        return false;
    if (carrier_worn(c))
        carrier_drain(c, GOING_WORN);
    if (!(v.seat ? mux_take_over(&c->mux, v.seat) : mux_open(&c->mux, v.flow)))
        return false;
    shard_expect(pool->shard);
    return true;
}

/* Some loop has a carrier that may be given streams without need. */
static bool pool_serves(const struct pool *pool)
{
    return shards_have(pool->shard->all, CLASS_DRAINING * LOAD_CLASS);
}

/* Other portals come before carriers that do not serve well, and those before nothing. ELSEWHERE_TOOK: he has a place,
 * here or there. pool NULL: no bridge of the tunnel has ever been here. */
static enum elsewhere_answer visitor_find(struct portal *p, struct pool *pool, struct visitor v)
{
    struct elsewhere *e = v.flow->meta.forwarded ? NULL : p->elsewhere;
    enum elsewhere_answer there = ELSEWHERE_NOWHERE;
    if (e && pool && pool_serves(pool) && visitor_place(pool, v))
        return ELSEWHERE_TOOK;
    if (e)
        there = e->ops->send(e, &p->out, v.flow, v.seat);
    if (there != ELSEWHERE_TOOK && pool && visitor_place(pool, v))
        return ELSEWHERE_TOOK;
    return there;
}

bool pool_takes(struct pool *pool, struct flow *f)
{
    return visitor_place(pool, (struct visitor){.flow = f});
}

/* --- waiting --- */

static void waiter_unlist(struct waiter *w)
{
    struct portal *p = w->pool->portal;
    list_remove(&w->item);
    w->pool->waiting_count--;
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

static const char *const no_bridge = "no bridge is connected", *const no_tunnel = "no such tunnel";

/* What is not there: a bridge; or a tunnel that nobody has heard of for a minute. */
static void portal_turned_away(struct portal *p, const char *what)
{
    stat_add(p->out.loop->counters, STAT_no_carrier, 1);
    if (log_allowed(&p->empty_complaints, portal_second(p), 1))
        log_warn("portal %s: %s; visitors are turned away", p->conf->tag, what);
}

static void on_impatient(struct ev_loop *ev, ev_timer *t, int events)
{
    (void)ev, (void)events;
    struct waiter *w = t->data;
    struct err why;
    portal_turned_away(w->pool->portal, no_bridge);
    err_set(&why, EHOSTUNREACH, "%s", no_bridge);
    waiter_leave(w, &why);
}

static bool has_room(const struct pool *pool)
{
    return pool->waiting_count < WAITING_MAX && pool->portal->waiting_count < ALL_WAITING_MAX;
}

/* Nobody waits for a bridge that has been gone for long, and nobody whom another portal sent: that one looks further. */
static bool is_in_vain(const struct pool *pool, struct visitor v, enum elsewhere_answer there)
{
    return v.flow->meta.forwarded || (there != ELSEWHERE_ASKS && !pool_is_known(pool));
}

/* False: too many wait already, or it is in vain. */
static bool visitor_wait(struct pool *pool, struct visitor v, enum elsewhere_answer there)
{
    bool may = has_room(pool) && !is_in_vain(pool, v, there);
    struct waiter *w = may ? calloc(1, sizeof *w) : NULL;
    if (!w)
        return false;
    w->pool = pool;
    list_append(&pool->waiting, &w->item);
    pool->waiting_count++;
    pool->portal->waiting_count++;
    if (v.seat)
        end_reseat(v.seat, &w->end, &waiter_ops);
    else
        flow_join(v.flow, &w->end, &waiter_ops);
    ev_timer_init(&w->patience, on_impatient, WAIT, 0);
    w->patience.data = w;
    ev_timer_start(pool->portal->out.loop->ev, &w->patience);
    return true;
}

/* Which of the two it is. */
static const char *what_lacks(const struct pool *pool)
{
    return pool && pool_is_known(pool) ? no_bridge : no_tunnel;
}

/* He has a place, or waits for one. */
static bool visitor_settle(struct portal *p, struct pool *pool, struct visitor v)
{
    enum elsewhere_answer there = visitor_find(p, pool, v);
    if (there == ELSEWHERE_TOOK)
        return true;
    if (there == ELSEWHERE_ASKS && !pool)
        pool = pool_of_asked(p, v.flow);
    return pool && visitor_wait(pool, v, there);
}

/* What another portal hears of one that it sent, so that it looks for the tunnel anew. */
static int code_of(const struct flow *f)
{
    return f->meta.forwarded ? ENOLINK : EHOSTUNREACH;
}

void portal_visitor(struct portal *p, struct flow *f)
{
    struct pool *pool = pool_of(p, f);
    struct err why;
    if (visitor_settle(p, pool, (struct visitor){.flow = f}))
        return;
    portal_turned_away(p, what_lacks(pool));
    err_set(&why, code_of(f), "%s", what_lacks(pool));
    flow_refuse(f, &why);
}

void portal_visitor_again(struct portal *p, struct end *seat)
{
    struct visitor v = {.flow = seat->flow, .seat = seat};
    struct err why;
    stat_add(p->out.loop->counters, STAT_streams_retried, 1);
    if (!p->stopping && seat->flow->tries < MUX_TRIES &&
        visitor_settle(p, pool_of(p, seat->flow), v))
        return;
    portal_turned_away(p, no_bridge);
    err_set(&why, code_of(seat->flow), "%u links to the bridge failed", seat->flow->tries);
    end_leave(seat, &why);
}

/* It is known now that nobody has the tunnel. */
static void waiter_disappoint(struct waiter *w)
{
    struct err why;
    portal_turned_away(w->pool->portal, no_tunnel);
    err_set(&why, EHOSTUNREACH, "%s", no_tunnel);
    waiter_leave(w, &why);
}

/* True: he waits no more. */
static bool waiter_look(struct waiter *w)
{
    struct pool *pool = w->pool;
    struct visitor v = {.flow = w->end.flow, .seat = &w->end};
    enum elsewhere_answer there = visitor_find(pool->portal, pool, v);
    if (there == ELSEWHERE_TOOK) {
        waiter_unlist(w);
        free(w);
        return true;
    }
    if (there == ELSEWHERE_ASKS || pool_is_known(pool))
        return false;
    waiter_disappoint(w);
    return true;
}

void pool_look(struct pool *pool)
{
    struct list_item *i;
    struct weighing w;
    while ((i = list_first(&pool->waiting)) && waiter_look(container_of(i, struct waiter, item)))
        ;
    for (i = list_first(&pool->members); i; i = list_next(&pool->members, i)) {
        struct carrier *c = container_of(i, struct member, item)->carrier;
        if (c->mux.silent)
            carrier_rescue(c);
    }
    pool_weigh(pool, &w);
}

/* Another portal is better than a bridge that does not answer. */
static bool is_better_elsewhere(struct portal *p, unsigned class, const struct flow *f)
{
    struct elsewhere *e = f->meta.forwarded ? NULL : p->elsewhere;
    return e && class >= CLASS_SILENT * LOAD_CLASS && e->ops->serves(e, &p->out, f);
}

static bool has_better(void *with, const struct flow *f)
{
    struct carrier *from = with;
    unsigned class = carrier_class(from);
    struct pool *pool = class ? pool_of(from->portal, f) : NULL;
    struct weighing w;
    if (!pool)
        return false;
    pool_weigh(pool, &w);
    return w.load < class || shard_better(pool->shard, class) ||
           is_better_elsewhere(from->portal, class, f);
}

void carrier_rescue(struct carrier *from)
{
    while (mux_give_back(&from->mux, has_better, from))
        ;
}

void pool_empty(struct pool *pool, const struct err *why)
{
    struct list_item *i;
    while ((i = list_first(&pool->waiting)))
        waiter_leave(container_of(i, struct waiter, item), why);
}
