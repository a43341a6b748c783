/* cluster/gauges.c -- what /stats and /metrics show of the cluster: it is counted by one loop for all. */
#include "cluster/inside.h"
#include "cluster/registry.h"

static unsigned linked(const struct cluster *c)
{
    unsigned count = 0;
    for (struct list_item *i = list_first(&c->peers); i; i = list_next(&c->peers, i))
        count += container_of(i, struct peer, item)->link != NULL;
    return count;
}

static void registry_gauges(const struct cluster *c)
{
    struct counter *to = c->loop->counters;
    const struct redis *r = registry_redis(c->registry);
    struct registry_count count;
    registry_count(c->shared->registry, &count);
    stat_set(to, STAT_registry_up, registry_is_well(c->registry));
    stat_set(to, STAT_registry_pending, redis_pending(r));
    stat_set(to, STAT_registry_lag_us, (int64_t)(redis_lag(r) * 1e6));
    stat_set(to, STAT_registry_tunnels, (int64_t)count.tunnels);
    stat_set(to, STAT_registry_hosts, (int64_t)count.hosts);
    stat_set(to, STAT_registry_unwritten, (int64_t)count.unwritten);
    stat_set(to, STAT_registry_lost_hosts, (int64_t)count.lost);
    stat_set(to, STAT_registry_losses, (int64_t)count.losses);
}

void gauges_look(const struct cluster *c, double now)
{
    if (c->loop->index > 0)
        return;
    stat_set(c->loop->counters, STAT_cluster_nodes, nodes_count(c->shared->nodes, now) - 1);
    stat_set(c->loop->counters, STAT_cluster_linked, linked(c));
    if (c->registry)
        registry_gauges(c);
}
