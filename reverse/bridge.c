#include "reverse/bridge.h"

#include <stdlib.h>
#include <string.h>

#include "reverse/way.h"

static struct bridge *bridge_of(struct inbound *in)
{
    return container_of(in, struct bridge, in);
}

static void bridge_drain(struct inbound *in)
{
    struct bridge *b = bridge_of(in);
    b->stopping = true;
    origin_stop(&b->origin);
    for (size_t i = 0; i < b->way_count; i++)
        way_drain(&b->ways[i]);
}

static bool bridge_busy(const struct inbound *in)
{
    const struct bridge *b = container_of(in, struct bridge, in);
    for (size_t i = 0; i < b->way_count; i++) {
        const struct list *links = &b->ways[i].links;
        for (struct list_item *k = list_first(links); k; k = list_next(links, k))
            if (link_at(k)->mux.sessions > 0)
                return true;
    }
    return false;
}

static void bridge_free(struct inbound *in)
{
    struct bridge *b = bridge_of(in);
    b->stopping = true;
    origin_stop(&b->origin);
    for (size_t i = 0; i < b->way_count; i++)
        way_stop(&b->ways[i]);
    free(b->hosts);
    free(b->ways);
    free(b);
}

static const struct inbound_ops bridge_ops = {
    .drain = bridge_drain, .busy = bridge_busy, .free = bridge_free};

unsigned bridge_share(const struct bridge_conf *conf, unsigned shard, unsigned shards)
{
    return conf->connections > shard ? (conf->connections - shard + shards - 1) / shards : 0;
}

static void bridge_set(struct bridge *b, const struct bridge_conf *conf,
                       const struct policy *policy)
{
    b->in.tag = conf->tag;
    b->conf = conf;
    b->policy = policy;
    b->origin.tag = conf->tag;
    b->origin.policy = policy;
}

static long bridge_outbound(const struct bridge_conf *conf, size_t way)
{
    return conf->portal_count ? (long)conf->portals[way] : BY_RULES;
}

void bridge_adopt(struct inbound *in, const struct bridge_conf *conf, const struct policy *policy)
{
    struct bridge *b = bridge_of(in);
    bridge_set(b, conf, policy);
    for (size_t i = 0; i < b->way_count; i++) {
        struct list *links = &b->ways[i].links;
        b->ways[i].outbound = bridge_outbound(conf, i);
        for (struct list_item *k = list_first(links); k; k = list_next(links, k))
            link_at(k)->mux.traffic = &conf->traffic;
    }
}

static bool bridge_has_ways(struct bridge *b, size_t ways, size_t hosts)
{
    b->ways = calloc(ways, sizeof *b->ways);
    b->hosts = calloc(ways, hosts + 1);
    if (b->ways && b->hosts)
        return true;
    free(b->ways);
    free(b->hosts);
    return false;
}

struct inbound *bridge_new(struct loop *l, struct dispatcher *d, const struct bridge_conf *conf,
                           const struct policy *policy, unsigned share, uint64_t instance)
{
    size_t ways = conf->portal_count ? conf->portal_count : 1;
    struct bridge *b = calloc(1, sizeof *b);
    if (!b || !bridge_has_ways(b, ways, conf->host_count)) {
        free(b);
        return NULL;
    }
    b->in = (struct inbound){.ops = &bridge_ops, .loop = l, .dispatcher = d};
    bridge_set(b, conf, policy);
    b->share = share;
    b->instance = instance;
    b->way_count = ways;
    strncpy(b->domain, conf->domain, ADDR_NAME_MAX);
    addr_normalise_name(b->domain);
    for (size_t i = 0; i < ways; i++)
        way_init(&b->ways[i], b, bridge_outbound(conf, i));
    b->origin.loop = l;
    b->origin.dispatcher = d;
    b->origin.changed = bridge_say_weight;
    origin_start(&b->origin, conf->health);
    return &b->in;
}
