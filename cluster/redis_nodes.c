#include "cluster/redis_nodes.h"

#include <stdlib.h>

struct redis_link *redis_nodes_of(const struct redis_nodes *n, const char *key, size_t len)
{
    return n->links[n->slots ? n->slots[redis_slot(key, len)] : 0];
}

/* REDIS_NODES: there is none. */
static unsigned node_at(const struct redis_nodes *n, const struct addr *at)
{
    unsigned i = 0;
    while (i < REDIS_NODES && !(n->links[i] && addr_equal(redis_link_at(n->links[i]), at)))
        i++;
    return i;
}

static unsigned node_open(struct redis_nodes *n, const struct addr *at,
                          const struct redis_node_way *way)
{
    struct redis_link_conf conf = *way->conf;
    unsigned i = 1;
    while (i < REDIS_NODES && n->links[i])
        i++;
    if (i == REDIS_NODES)
        return i;
    conf.at = *at;
    n->links[i] = redis_link_new(way->loop, &conf, way->ops, way->owner);
    return n->links[i] ? i : REDIS_NODES;
}

struct redis_link *redis_nodes_moved(struct redis_nodes *n, const struct redis_link *from,
                                     const struct redis_moved *m, const struct redis_node_way *way)
{
    struct addr at = m->at;
    if (at.type == ADDR_NONE) {
        at = *redis_link_at(from);
        at.port = m->at.port;
    }
    unsigned i = node_at(n, &at);
    if (i == REDIS_NODES)
        i = node_open(n, &at, way);
    if (i == REDIS_NODES || (!n->slots && !(n->slots = calloc(REDIS_SLOTS, 1))))
        return NULL;
    if (!m->once)
        n->slots[m->slot] = (uint8_t)i;
    return n->links[i];
}

void redis_nodes_lost(struct redis_nodes *n, const struct redis_link *k)
{
    unsigned gone = 0;
    while (gone < REDIS_NODES && n->links[gone] != k)
        gone++;
    if (gone < REDIS_NODES)
        n->links[gone] = NULL;
    for (unsigned slot = 0; n->slots && slot < REDIS_SLOTS; slot++)
        if (n->slots[slot] == gone)
            n->slots[slot] = 0;
}

void redis_nodes_leave(struct redis_nodes *n, const struct err *why)
{
    for (unsigned i = 1; i < REDIS_NODES; i++)
        if (n->links[i])
            redis_link_leave(n->links[i], why);
}

void redis_nodes_free(struct redis_nodes *n)
{
    for (unsigned i = 0; i < REDIS_NODES; i++)
        if (n->links[i])
            redis_link_free(n->links[i]);
    free(n->slots);
    *n = (struct redis_nodes){0};
}
