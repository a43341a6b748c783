#include "conf/worker.h"

#include <stdlib.h>

#include "proxy/vmess_inbound.h"
#include "proxy/vmess_outbound.h"
#include "reverse/bridge.h"
#include "reverse/mux_outbound.h"
#include "reverse/portal.h"
#include "transport/resolve.h"

static struct outbound *outbound_make(struct worker *w, const struct outbound_conf *o)
{
    struct loop *l = &w->loop;
    switch (o->kind) {
    case OUT_FREEDOM:
        return freedom_new(l, o->tag, &o->freedom, &o->send_through, &o->traffic);
    case OUT_BLACKHOLE:
        return blackhole_new(l, o->tag, &o->blackhole);
    case OUT_VMESS:
        return vmess_outbound_new(l, o->tag, &o->vmess, &o->send_through, &o->traffic);
    case OUT_API:
        return api_new(l, o->tag, w->view);
    case OUT_PORTAL:
        return portal_new(l, &o->portal, w->shards[o - w->config->outbounds]);
    }
    return NULL;
}

static int worker_make_outbounds(struct worker *w, struct err *e)
{
    const struct config *c = w->config;
    w->outbounds = calloc(c->outbound_count + 1, sizeof(struct outbound *));
    w->inbounds = calloc(c->inbound_count + c->bridge_count + 1, sizeof(struct inbound *));
    w->dispatcher =
        (struct dispatcher){.loop = &w->loop, .rules = &c->rules, .outbounds = w->outbounds};
    w->dispatcher.mux = mux_outbound_new(&w->loop, &w->dispatcher);
    if (!w->outbounds || !w->inbounds || !w->dispatcher.mux)
        return err_set(e, ENOMEM, "out of memory");
    for (size_t i = 0; i < c->outbound_count; i++) {
        w->outbounds[i] = outbound_make(w, &c->outbounds[i]);
        if (!w->outbounds[i])
            return err_set(e, ENOMEM, "outbound \"%s\": out of memory", c->outbounds[i].tag);
        w->outbounds[i]->policy = c->outbounds[i].policy;
    }
    w->dispatcher.fallback = c->has_default ? w->outbounds[0] : NULL;
    return 0;
}

static void on_stop(struct task *t);

void worker_shards_free(struct portal_shards **shards, const struct config *c)
{
    for (size_t i = 0; shards && i < c->outbound_count; i++)
        portal_shards_free(shards[i]);
    free(shards);
}

struct portal_shards **worker_shards_new(const struct config *c, unsigned workers)
{
    struct portal_shards **shards = calloc(c->outbound_count + 1, sizeof *shards);
    for (size_t i = 0; shards && i < c->outbound_count; i++) {
        if (c->outbounds[i].kind != OUT_PORTAL || (shards[i] = portal_shards_new(workers)))
            continue;
        worker_shards_free(shards, c);
        return NULL;
    }
    return shards;
}

int worker_init(struct worker *w, unsigned index, unsigned count, const struct config *c,
                struct portal_shards **shards, const struct api_view *view, struct err *e)
{
    *w = (struct worker){
        .config = c, .shards = shards, .view = view, .count = count, .stop = {.run = on_stop}};
    if (loop_init(&w->loop, index, c->stats.count, e) < 0)
        return -1;
    if (worker_make_outbounds(w, e) == 0)
        return 0;
    worker_fini(w);
    return -1;
}

static struct listen_at inbound_at(const struct worker *w, const struct inbound_conf *i)
{
    return (struct listen_at){.addr = &i->listen,
                              .first_port = i->ports.from,
                              .last_port = i->ports.to,
                              .shared = w->count > 1};
}

static struct inbound *inbound_vmess(struct worker *w, const struct inbound_conf *i, struct err *e)
{
    struct vmess_inbound *v =
        vmess_inbound_new(&w->loop, &w->dispatcher, i->tag, &i->vmess, i->policy, &i->traffic);
    if (!v) {
        err_set(e, ENOMEM, "out of memory");
        return NULL;
    }
    struct accept_inbound *a = vmess_inbound_accept(v);
    struct listen_at at = inbound_at(w, i);
    if (accept_start(a, &at, e) == 0)
        return &a->in;
    a->in.ops->free(&a->in);
    return NULL;
}

static struct inbound *inbound_make(struct worker *w, const struct inbound_conf *i, struct err *e)
{
    struct listen_at at = inbound_at(w, i);
    switch (i->kind) {
    case IN_DOKODEMO:
        return dokodemo_new(&w->loop, &w->dispatcher, i->tag, &i->dokodemo, &at, i->policy,
                            &i->traffic, e);
    case IN_VMESS:
        return inbound_vmess(w, i, e);
    }
    return NULL;
}

/* Each worker keeps its share of a bridge's links. */
static int worker_make_bridges(struct worker *w, struct err *e)
{
    const struct config *c = w->config;
    for (size_t i = 0; i < c->bridge_count; i++) {
        unsigned share = bridge_share(&c->bridges[i], w->loop.index, w->count);
        if (!share)
            continue;
        struct inbound *b =
            bridge_new(&w->loop, &w->dispatcher, &c->bridges[i], config_policy(c, 0), share);
        if (!b)
            return err_set(e, ENOMEM, "bridge \"%s\": out of memory", c->bridges[i].tag);
        w->inbounds[w->inbound_count++] = b;
    }
    return 0;
}

int worker_listen(struct worker *w, struct err *e)
{
    const struct config *c = w->config;
    for (size_t i = 0; i < c->inbound_count; i++) {
        struct inbound *in = inbound_make(w, &c->inbounds[i], e);
        if (!in)
            return err_wrap(e, "inbound %s \"%s\"", c->inbounds[i].pointer, c->inbounds[i].tag);
        w->inbounds[w->inbound_count++] = in;
    }
    return worker_make_bridges(w, e);
}

void worker_run(struct worker *w)
{
    loop_run(&w->loop);
}

/* Everything goes, in the order in which it depends on each other. */
static void worker_clear(struct worker *w)
{
    struct err why;
    err_set(&why, ECANCELED, "v2c stops");
    for (size_t i = 0; i < w->inbound_count; i++)
        w->inbounds[i]->ops->free(w->inbounds[i]);
    w->inbound_count = 0;
    for (size_t i = 0; w->outbounds && i < w->config->outbound_count; i++)
        if (w->outbounds[i])
            w->outbounds[i]->ops->free(w->outbounds[i]);
    if (w->dispatcher.mux)
        w->dispatcher.mux->ops->free(w->dispatcher.mux);
    flows_abort(&w->loop, &why);
    loop_settle(&w->loop);
    loop_drop_stragglers(&w->loop);
    resolve_stop(&w->loop);
    free(w->outbounds);
    free(w->inbounds);
    w->outbounds = NULL;
    w->inbounds = NULL;
}

static void on_stop(struct task *t)
{
    struct worker *w = container_of(t, struct worker, stop);
    loop_stop(&w->loop);
}

void worker_stop(struct worker *w)
{
    loop_post(&w->loop, &w->stop);
}

void worker_fini(struct worker *w)
{
    worker_clear(w);
    loop_fini(&w->loop);
}
