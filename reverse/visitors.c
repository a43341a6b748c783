/* reverse/visitors.c -- which carrier a visitor gets: one of this loop, or of another, or none yet. */
#include <stdlib.h>

#include "core/cross.h"
#include "reverse/carrier.h"

enum {
    WAITING_MAX = 1024, /* visitors that wait for a bridge */
    COMPLAINTS = 2,     /* log lines a second and reason */
};

static const double WAIT = 3; /* seconds that a visitor waits for a bridge to come (back) */

/* A visitor without a carrier: sits in the flow's second seat until one comes. */
struct waiter {
    struct end end;
    struct portal *portal;
    struct list_item item; /* in the portal's waiting */
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

/* --- picking --- */

/* Links of one bridge say so; of an old one each stands for itself. */
static void carrier_meet(struct carrier *c)
{
    const struct list *carriers = &c->portal->carriers;
    if (c->instance == c->mux.hello.instance)
        return;
    c->instance = c->mux.hello.instance;
    for (struct list_item *i = list_first(carriers); i; i = list_next(carriers, i)) {
        const struct carrier *other = container_of(i, struct carrier, item);
        if (other != c && other->instance == c->instance) {
            c->bridge = other->bridge;
            break;
        }
    }
}

/* What each bridge carries. Answers the class of the best carrier; LOAD_NONE when none takes a stream. */
static unsigned portal_weigh(struct portal *p, unsigned weights[BRIDGES])
{
    unsigned class = LOAD_NONE;
    for (struct list_item *i = list_first(&p->carriers); i; i = list_next(&p->carriers, i)) {
        struct carrier *c = container_of(i, struct carrier, item);
        unsigned load = carrier_load(c);
        carrier_meet(c);
        if (load < LOAD_NONE && carrier_class(c) < class)
            class = carrier_class(c);
        weights[c->bridge] += carrier_weight(c);
    }
    return class;
}

struct carrier *portal_pick(struct portal *p, unsigned *load)
{
    struct carrier *best = NULL;
    unsigned weights[BRIDGES] = {0}, class = portal_weigh(p, weights);
    *load = LOAD_NONE;
    for (struct list_item *i = list_first(&p->carriers); i; i = list_next(&p->carriers, i)) {
        struct carrier *c = container_of(i, struct carrier, item);
        unsigned weight = weights[c->bridge];
        if (carrier_load(c) == LOAD_NONE || carrier_class(c) != class)
            continue;
        if (best && (weight > *load - class ||
                     (weight == *load - class && carrier_weight(c) >= carrier_weight(best))))
            continue;
        best = c;
        *load = class + weight;
    }
    shard_publish(p->shard, *load);
    return best;
}

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
    struct loop *l = atomic_load(&to->loop);
    shard_expect(to);
    return v.seat ? cross_take_over(v.seat, l, on_twin, to->all)
                  : cross_flow(v.flow, l, on_twin, to->all);
}

/* Another loop that suits it better. Who has crossed once does so again for a better class, but not because
 * of a few streams: these change as fast as visitors cross. NULL: there is none. */
static struct shard *visitor_elsewhere(const struct portal *p, struct visitor v, unsigned load)
{
    return shard_better(p->shard, v.flow->twin ? load - load % LOAD_CLASS : load);
}

static bool visitor_place(struct portal *p, struct visitor v)
{
    unsigned load;
    struct carrier *c = portal_pick(p, &load);
    struct shard *elsewhere = visitor_elsewhere(p, v, load);
    if (elsewhere && visitor_cross(v, elsewhere))
        return true;
    if (!c)
        return false;
    if (carrier_worn(c))
        carrier_drain(c, GOING_WORN);
    if (!(v.seat ? mux_take_over(&c->mux, v.seat) : mux_open(&c->mux, v.flow)))
        return false;
    shard_publish(p->shard, load + 1);
    return true;
}

/* --- waiting --- */

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

static void portal_turned_away(struct portal *p)
{
    stat_add(p->out.loop->counters, STAT_no_carrier, 1);
    if (log_allowed(&p->empty_complaints, portal_second(p), 1))
        log_warn("portal %s: no bridge is connected; visitors are turned away", p->conf->tag);
}

static void on_impatient(struct ev_loop *ev, ev_timer *t, int events)
{
    (void)ev, (void)events;
    struct waiter *w = t->data;
    struct err why;
    portal_turned_away(w->portal);
    err_set(&why, EHOSTUNREACH, "no bridge is connected");
    waiter_leave(w, &why);
}

/* False: too many wait already. */
static bool visitor_wait(struct portal *p, struct visitor v)
{
    struct waiter *w = p->waiting_count < WAITING_MAX ? calloc(1, sizeof *w) : NULL;
    if (!w)
        return false;
    w->portal = p;
    list_append(&p->waiting, &w->item);
    p->waiting_count++;
    if (v.seat)
        end_reseat(v.seat, &w->end, &waiter_ops);
    else
        flow_join(v.flow, &w->end, &waiter_ops);
    ev_timer_init(&w->patience, on_impatient, WAIT, 0);
    w->patience.data = w;
    ev_timer_start(p->out.loop->ev, &w->patience);
    return true;
}

void portal_visitor(struct portal *p, struct flow *f)
{
    struct visitor v = {.flow = f};
    if (!visitor_place(p, v) && !visitor_wait(p, v))
        portal_refuse(p, f, STAT_no_carrier, &p->empty_complaints, "no bridge is connected");
}

void portal_visitor_again(struct portal *p, struct end *seat)
{
    struct visitor v = {.flow = seat->flow, .seat = seat};
    struct err why;
    stat_add(p->out.loop->counters, STAT_streams_retried, 1);
    if (!p->stopping && seat->flow->tries < MUX_TRIES &&
        (visitor_place(p, v) || visitor_wait(p, v)))
        return;
    portal_turned_away(p);
    err_set(&why, EHOSTUNREACH, "%u links to the bridge failed", seat->flow->tries);
    end_leave(seat, &why);
}

void portal_look(struct portal *p)
{
    struct list_item *i;
    unsigned load;
    while ((i = list_first(&p->waiting))) {
        struct waiter *w = container_of(i, struct waiter, item);
        if (!visitor_place(p, (struct visitor){.flow = w->end.flow, .seat = &w->end}))
            break;
        waiter_unlist(w);
        free(w);
    }
    for (i = list_first(&p->carriers); i; i = list_next(&p->carriers, i))
        if (container_of(i, struct carrier, item)->mux.silent)
            portal_rescue(p, container_of(i, struct carrier, item));
    portal_pick(p, &load);
}

static bool portal_has_better(struct portal *p, unsigned class)
{
    unsigned load;
    if (!class)
        return false;
    portal_pick(p, &load);
    return load < class || shard_better(p->shard, class);
}

void portal_rescue(struct portal *p, struct carrier *from)
{
    while (list_first(&from->mux.unanswered) && portal_has_better(p, carrier_class(from)) &&
           mux_give_back(&from->mux))
        ;
}

void portal_empty(struct portal *p, const struct err *why)
{
    struct list_item *i;
    while ((i = list_first(&p->waiting)))
        waiter_leave(container_of(i, struct waiter, item), why);
}
