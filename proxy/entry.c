#include "proxy/entry.h"

#include <stdlib.h>

#include "proxy/entry_inside.h"
#include "routing/dispatch.h"
#include "transport/stream.h"

static struct entry *entry_of(struct inbound *in)
{
    return container_of(in, struct entry, accept.in);
}

/* --- the gate --- */

/* Who still waits for a way leaves the guide first. */
static void gate_free(struct gate *g)
{
    if (!g)
        return;
    if (g->web)
        web_free(g->web);
    guide_free(g->guide);
    free(g);
}

static struct gate *gate_new(struct entry *n, const struct guide_holders *holders,
                             struct lookups_asker *asker)
{
    const struct inbound *in = &n->accept.in;
    struct gate *g = calloc(1, sizeof *g);
    struct guide *guide = asker ? guide_new(n->conf->guide, holders, asker) : NULL;
    if (!g || !guide) {
        guide_free(guide);
        free(g);
        return NULL;
    }
    *g = (struct gate){
        .finder = {.find = gate_find}, .guide = guide, .holders = *holders, .entry = n};
    g->web = web_new(in->dispatcher, &n->conf->web, &g->finder);
    if (g->web)
        return g;
    gate_free(g);
    return NULL;
}

static void gate_give(struct gate *g, struct entry *to, const struct guide_holders *holders)
{
    to->gate = g;
    g->entry = to;
    g->holders = *holders;
    guide_adopt(g->guide, to->conf->guide, holders);
    web_adopt(g->web, &to->conf->web);
}

/* --- a connection that is known --- */

/* The layers have done what they were for: bytes go the short way from here on. */
static void give_back(struct hello *h, struct conn *c)
{
    end_write(&c->end, h->first.kept, h->first.len);
    stream_bare(&c->stream);
}

static void target_set(struct flow *f, const struct hostname *name, uint16_t port)
{
    hostname_addr(name, port, &f->meta.target);
}

static void entry_pass(struct entry *n, struct hello *h, struct conn *c)
{
    struct flow *f = c->end.flow;
    struct route_to to = h->to;
    target_set(f, &h->name, 443);
    if (to.kind == ROUTE_TUNNEL)
        f->meta.tunnel = to.tunnel;
    f->meta.by_claim = to.by_claim;
    give_back(h, c);
    dispatch_to(n->accept.in.dispatcher, f, to.outbound);
}

static void entry_route(struct accept_inbound *a, struct conn *c)
{
    struct entry *n = container_of(a, struct entry, accept);
    struct hello *h = hello_of(&c->stream);
    switch (h->kind) {
    case HELLO_PASSES:
        entry_pass(n, h, c);
        break;
    case HELLO_ENDS:
        web_serve(n->gate->web, c->end.flow, h->name.text);
        break;
    case HELLO_PLAIN:
        give_back(h, c);
        web_serve(n->gate->web, c->end.flow, NULL);
    }
}

/* --- the inbound --- */

static void entry_drain(struct inbound *in)
{
    accept_drain(accept_of(in));
    web_drain(entry_of(in)->gate->web);
}

static void entry_free(struct inbound *in)
{
    struct entry *n = entry_of(in);
    accept_stop(&n->accept);
    gate_free(n->gate);
    free(n);
}

static const struct inbound_ops entry_ops = {
    .drain = entry_drain, .busy = accept_busy, .free = entry_free};

struct inbound *entry_new(struct loop *l, struct dispatcher *d, const char *tag,
                          const struct entry_conf *conf, const struct guide_holders *holders,
                          struct lookups_asker *asker, size_t ports, const struct policy *policy,
                          const struct traffic *traffic)
{
    struct entry *n = calloc(1, sizeof *n);
    if (!n)
        return NULL;
    n->conf = conf;
    n->accept = (struct accept_inbound){
        .in = {.ops = &entry_ops, .loop = l, .dispatcher = d, .tag = tag},
        .policy = policy,
        .traffic = traffic,
        .target = {.type = ADDR_NAME, .name = "ingress"}, /* for logs, until it is known better */
        .look = hello_put,
        .route = entry_route,
    };
    n->gate = gate_new(n, holders, asker);
    if (n->gate && accept_init(&n->accept, ports) == 0)
        return &n->accept.in;
    gate_free(n->gate);
    free(n);
    return NULL;
}

void entry_adopt(struct inbound *in, const struct entry_conf *conf,
                 const struct guide_holders *holders, const struct policy *policy,
                 const struct traffic *traffic)
{
    struct entry *n = entry_of(in);
    n->conf = conf;
    accept_adopt(&n->accept, policy, traffic);
    gate_give(n->gate, n, holders);
}

static void hellos_move(struct entry *from, struct entry *to)
{
    struct list_item *i;
    while ((i = list_first(&from->hellos))) {
        list_remove(i);
        list_append(&to->hellos, i);
        container_of(i, struct hello, item)->entry = to;
    }
    accept_inherit(&to->accept, &from->accept);
}

void entry_inherit(struct inbound *in, struct inbound *from)
{
    if (in->ops != &entry_ops || from->ops != &entry_ops || in->tag != from->tag)
        return;
    struct entry *to = entry_of(in), *old = entry_of(from);
    struct gate *fresh = to->gate, *open = old->gate;
    struct guide_holders were = open->holders;
    gate_give(open, to, &fresh->holders);
    gate_give(fresh, old, &were);
    hellos_move(old, to);
}
