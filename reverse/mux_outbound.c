#include "reverse/mux_outbound.h"

#include <stdlib.h>

#include "mux/mux.h"
#include "routing/dispatch.h"

struct mux_outbound {
    struct outbound out;
    struct dispatcher *dispatcher;
    struct list carriers;
};

struct client_carrier {
    struct mux mux;
    struct mux_outbound *outbound;
    struct list_item item;
};

static int on_opened(struct mux *m, const struct mux_frame *f)
{
    struct client_carrier *c = container_of(m, struct client_carrier, mux);
    struct meta meta = m->end.flow->meta; /* same source, inbound and user */
    meta.net = f->net;
    meta.target = f->target;
    /* A carrier within a carrier multiplies what one client may open, and each puts its header in front
     * of the same buf, which has room for a few. */
    if (asks_for_mux(&meta))
        return REFUSED_RULES;
    struct flow *flow = mux_accept(m, f, &meta, m->end.flow->policy);
    if (!flow)
        return REFUSED_NO_ROOM;
    dispatch(c->outbound->dispatcher, flow);
    return 0;
}

static void on_closed(struct mux *m, const struct err *why)
{
    (void)why;
    struct client_carrier *c = container_of(m, struct client_carrier, mux);
    list_remove(&c->item);
    free(c);
}

static const struct mux_ops carrier_ops = {.opened = on_opened, .closed = on_closed};

static void mux_outbound_open(struct outbound *out, struct flow *f)
{
    struct mux_outbound *o = container_of(out, struct mux_outbound, out);
    struct client_carrier *c = calloc(1, sizeof *c);
    struct err why;
    if (!c) {
        err_set(&why, ENOMEM, "out of memory");
        flow_refuse(f, &why);
        return;
    }
    c->outbound = o;
    list_push(&o->carriers, &c->item);
    mux_init(&c->mux, &carrier_ops, false, NULL, -1);
    c->mux.offers = LINK_CLIENT_FEATURES; /* a client could say anything */
    f->carrier = true;
    flow_join(f, &c->mux.end, &mux_end_ops);
}

static void mux_outbound_free(struct outbound *out)
{
    struct mux_outbound *o = container_of(out, struct mux_outbound, out);
    struct list_item *i;
    while ((i = list_first(&o->carriers)))
        mux_close(&container_of(i, struct client_carrier, item)->mux, NULL);
    free(o);
}

static const struct outbound_ops mux_outbound_ops = {.open = mux_outbound_open,
                                                     .free = mux_outbound_free};

struct outbound *mux_outbound_new(struct loop *l, struct dispatcher *d)
{
    struct mux_outbound *o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    o->out = (struct outbound){.ops = &mux_outbound_ops, .loop = l, .tag = "mux"};
    o->dispatcher = d;
    return &o->out;
}
