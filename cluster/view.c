#include "cluster/view.h"

#include <stdlib.h>
#include <string.h>

#include "cluster/inside.h"

enum node_state cluster_state(const struct cluster_shared *s)
{
    return (enum node_state)atomic_load_explicit(&s->state, memory_order_relaxed);
}

uint64_t cluster_epoch(const struct cluster_shared *s)
{
    return s->epoch;
}

unsigned cluster_others(const struct cluster_shared *s)
{
    return nodes_count(s->nodes, loop_steady()) - 1;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct node_view *)a)->name, ((const struct node_view *)b)->name);
}

unsigned cluster_nodes(const struct cluster_shared *s, struct node_view *to, unsigned max)
{
    unsigned count = nodes_list(s->nodes, to, max, loop_steady());
    qsort(to, count, sizeof *to, by_name);
    return count;
}

static struct peer_view view_of(const struct peer *p)
{
    const struct peer_link *l = p->link;
    return (struct peer_view){.at = &p->at,
                              .is_static = p->is_static,
                              .up = l,
                              .node = l ? l->node.name : "",
                              .failures = p->rest > 0 ? 0 : p->failures,
                              .streams = l ? l->mux.sessions : 0};
}

void cluster_look_at_peers(const struct cluster *c,
                           void (*see)(void *with, const struct peer_view *v), void *with)
{
    for (struct list_item *i = list_first(&c->peers); i; i = list_next(&c->peers, i)) {
        struct peer_view v = view_of(container_of(i, struct peer, item));
        see(with, &v);
    }
}

bool cluster_registered(const struct cluster_shared *s, struct registry_count *to)
{
    if (s->registry)
        registry_count(s->registry, to);
    return s->registry;
}

bool cluster_look_at_registry(const struct cluster *c, struct registry_view *v)
{
    const struct redis *r = c->registry ? registry_redis(c->registry) : NULL;
    if (r)
        *v = (struct registry_view){.well = redis_is_well(r),
                                    .server = redis_server_text(r),
                                    .trouble = redis_trouble(r),
                                    .pending = redis_pending(r),
                                    .lag = redis_lag(r)};
    return r;
}
