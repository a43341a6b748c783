#include "reverse/muxed.h"

#include <stdlib.h>

#include "core/log.h"
#include "mux/mux.h"
#include "routing/dispatch.h"

enum {
    STREAMS_EVER = 128,       /* on one connection, as V2Ray has it */
    DRAIN_PIECES = 48 * 1024, /* sealed chunks in one direction: before nonces repeat at 65536 */
    MUX_PORT = 9527,
};

static const double LOOK =
    16; /* seconds: a connection without streams ends after one to two of these, as in V2Ray */
static const double FULL = 1; /* seconds for which one whose server had no room is passed over */

struct muxed {
    struct outbound out;
    struct outbound *inner;
    const struct policy *policy;
    unsigned streams;
    struct list trunks;
    bool stopping; /* it is being freed: nobody finds a place any more */
};

/* A connection, which carries streams. */
struct trunk {
    struct mux mux;
    struct muxed *owner;
    struct list_item item;
    ev_timer look;
    struct task rest;  /* its last stream ended */
    unsigned opened;   /* streams ever, at the last look */
    bool draining;     /* takes no more */
    double full_until; /* steady seconds */
};

static struct muxed *muxed_of(struct outbound *out)
{
    return container_of(out, struct muxed, out);
}

static struct trunk *trunk_of(struct mux *m)
{
    return container_of(m, struct trunk, mux);
}

/* --- a trunk's life --- */

static bool trunk_is_worn(const struct trunk *t)
{
    return t->draining || t->mux.opened >= STREAMS_EVER || t->mux.end.flow->pieces > DRAIN_PIECES;
}

static bool trunk_takes(const struct trunk *t)
{
    const struct mux *m = &t->mux;
    bool full = m->sessions >= t->owner->streams ||
                (m->is_v2c && m->hello.streams && m->sessions >= m->hello.streams);
    return !full && !trunk_is_worn(t) && !m->silent && !mux_is_ending(m) &&
           t->full_until <= loop_steady();
}

static void on_rest(struct task *task)
{
    struct trunk *t = container_of(task, struct trunk, rest);
    if (!t->mux.sessions && trunk_is_worn(t))
        mux_close(&t->mux, NULL);
}

static void on_changed(struct mux *m)
{
    struct trunk *t = trunk_of(m);
    if (!m->sessions && !m->closing && trunk_is_worn(t))
        loop_ready(t->owner->out.loop, &t->rest);
}

static void on_look(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)events;
    struct trunk *t = w->data;
    if (!t->mux.sessions && t->mux.opened == t->opened)
        mux_close(&t->mux, NULL);
    else
        t->opened = t->mux.opened;
}

static void trunk_drain(struct trunk *t)
{
    t->draining = true;
    on_changed(&t->mux);
}

static void on_drain(struct mux *m)
{
    trunk_drain(trunk_of(m));
}

static void on_going(struct mux *m, int reason, uint32_t wait)
{
    (void)reason, (void)wait;
    trunk_drain(trunk_of(m));
}

static void on_closed(struct mux *m, const struct err *why)
{
    struct trunk *t = trunk_of(m);
    struct loop *l = t->owner->out.loop;
    if (why && why->code)
        log_debug(0, "outbound %s: a mux connection ended: %s", t->owner->out.tag, why->text);
    ev_timer_stop(l->ev, &t->look);
    loop_unready(&t->rest);
    list_remove(&t->item);
    free(t);
}

static void on_silence(struct mux *m)
{
    while (m->silent && mux_give_back(m, NULL, NULL))
        ;
}

static void on_unopened(struct mux *m, struct end *seat, int refusal);

static const struct mux_ops trunk_ops = {.unopened = on_unopened,
                                         .going = on_going,
                                         .silence = on_silence,
                                         .changed = on_changed,
                                         .drain = on_drain,
                                         .closed = on_closed};

/* Its streams may be taken at once: the request goes out when the connection stands, and they behind it. */
static struct trunk *trunk_new(struct muxed *x)
{
    struct loop *l = x->out.loop;
    struct meta meta = {
        .net = NET_TCP,
        .inbound_tag = "",
        .target = {.type = ADDR_NAME, .port = MUX_PORT, .name = MUX_NAME},
    };
    struct trunk *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    mux_init(&t->mux, &trunk_ops, true, NULL, -1);
    t->mux.offers = LINK_CLIENT_FEATURES;
    struct flow *f = flow_new(l, &t->mux.end, &mux_end_ops, &meta, x->policy);
    if (!f) {
        free(t);
        return NULL;
    }
    t->owner = x;
    t->rest.run = on_rest;
    list_push(&x->trunks, &t->item);
    ev_timer_init(&t->look, on_look, LOOK, LOOK);
    t->look.data = t;
    ev_timer_start(l->ev, &t->look);
    f->carrier = true;
    f->meta.outbound_tag = x->out.tag;
    flow_limit(f, x->out.policy);
    x->inner->ops->open(x->inner, f);
    mux_start(&t->mux);
    return t;
}

/* --- streams --- */

/* The newest one first: so the others come to rest. */
static struct trunk *muxed_pick(struct muxed *x)
{
    for (struct list_item *i = list_first(&x->trunks); i; i = list_next(&x->trunks, i)) {
        struct trunk *t = container_of(i, struct trunk, item);
        if (trunk_takes(t))
            return t;
    }
    return trunk_new(x);
}

static void on_unopened(struct mux *m, struct end *seat, int refusal)
{
    (void)refusal;
    struct trunk *t = trunk_of(m), *other = NULL;
    struct muxed *x = t->owner;
    struct err why;
    t->full_until = loop_steady() + FULL;
    stat_add(x->out.loop->counters, STAT_streams_retried, 1);
    if (!x->stopping && seat->flow->tries < MUX_TRIES)
        other = muxed_pick(x);
    if (other && mux_take_over(&other->mux, seat))
        return;
    err_set(&why, EHOSTUNREACH, "%u mux connections failed", seat->flow->tries);
    end_leave(seat, &why);
}

static void muxed_open(struct outbound *out, struct flow *f)
{
    struct muxed *x = muxed_of(out);
    struct err why;
    if (f->carrier) {
        x->inner->ops->open(x->inner, f);
        return;
    }
    struct trunk *t = muxed_pick(x);
    if (t && mux_open(&t->mux, f))
        return;
    err_set(&why, ENOMEM, "out of memory");
    flow_refuse(f, &why);
}

/* --- life --- */

static void muxed_drain(struct outbound *out)
{
    struct muxed *x = muxed_of(out);
    for (struct list_item *i = list_first(&x->trunks); i; i = list_next(&x->trunks, i))
        trunk_drain(container_of(i, struct trunk, item));
    if (x->inner->ops->drain)
        x->inner->ops->drain(x->inner);
}

static bool muxed_busy(const struct outbound *out)
{
    const struct muxed *x = container_of(out, struct muxed, out);
    for (struct list_item *i = list_first(&x->trunks); i; i = list_next(&x->trunks, i))
        if (container_of(i, struct trunk, item)->mux.sessions > 0)
            return true;
    return false;
}

static bool muxed_alive(const struct outbound *out)
{
    const struct muxed *x = container_of(out, struct muxed, out);
    return !x->inner->ops->alive || x->inner->ops->alive(x->inner);
}

static void muxed_free(struct outbound *out)
{
    struct muxed *x = muxed_of(out);
    struct list_item *i;
    x->stopping = true;
    while ((i = list_first(&x->trunks)))
        mux_close(&container_of(i, struct trunk, item)->mux, NULL);
    x->inner->ops->free(x->inner);
    free(x);
}

static const struct outbound_ops muxed_ops = {.open = muxed_open,
                                              .drain = muxed_drain,
                                              .busy = muxed_busy,
                                              .alive = muxed_alive,
                                              .free = muxed_free};

struct outbound *muxed_new(struct outbound *inner, unsigned streams, const struct policy *policy)
{
    struct muxed *x = calloc(1, sizeof *x);
    if (!x)
        return NULL;
    x->out = (struct outbound){.ops = &muxed_ops, .loop = inner->loop, .tag = inner->tag};
    x->inner = inner;
    x->streams = streams;
    x->policy = policy;
    return &x->out;
}

struct outbound *muxed_inner(struct outbound *out)
{
    return muxed_of(out)->inner;
}

void muxed_adopt(struct outbound *out, const struct policy *policy)
{
    muxed_of(out)->policy = policy;
}
