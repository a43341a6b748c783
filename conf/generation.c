#include "conf/generation.h"

#include <stdlib.h>

struct generation *generation_new(struct config *c)
{
    struct generation *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    g->portals = calloc(c->outbound_count + 1, sizeof(struct portal_shards *));
    if (!g->portals) {
        free(g);
        return NULL;
    }
    atomic_init(&g->shares, 1);
    g->config = c;
    return g;
}

struct generation *generation_ref(struct generation *g)
{
    atomic_fetch_add_explicit(&g->shares, 1, memory_order_relaxed);
    return g;
}

void generation_unref(struct generation *g)
{
    if (!g || atomic_fetch_sub_explicit(&g->shares, 1, memory_order_acq_rel) > 1)
        return;
    vmess_guard_unref(g->guard);
    config_free(g->config);
    free(g->portals);
    free(g);
}
