/* cluster/redis_nodes.h -- the nodes of a Redis Cluster: which of them has which slot, as their refusals say (MOVED, ASK),
 * and a link to each that has been named.
 * Thread: its loop. Ownership: embedded; owns its links but the first. Bounds: REDIS_NODES links.
 * Of a Redis that is no cluster there is the first link only, and no memory is taken. */
#ifndef V2C_CLUSTER_REDIS_NODES_H
#define V2C_CLUSTER_REDIS_NODES_H

#include "cluster/redis_link.h"

enum { REDIS_NODES = 32 };

struct redis_nodes {
    struct redis_link *links[REDIS_NODES]; /* the first: to the server in use; NULL: free */
    uint8_t *slots; /* REDIS_SLOTS, each its link, the first while nobody knows; NULL: no cluster */
};

/* How links to further nodes are opened. */
struct redis_node_way {
    struct loop *loop;
    const struct redis_link_conf *conf; /* but for `at` */
    const struct redis_link_ops *ops;
    void *owner;
};

/* The link to ask for this key; NULL: there is none. */
struct redis_link *redis_nodes_of(const struct redis_nodes *n, const char *key, size_t len);
/* Link `from` says where a slot is: the link to ask now. NULL: too many nodes, or out of memory. */
struct redis_link *redis_nodes_moved(struct redis_nodes *n, const struct redis_link *from,
                                     const struct redis_moved *m, const struct redis_node_way *way);
/* The link has ended. */
void redis_nodes_lost(struct redis_nodes *n, const struct redis_link *k);
/* Ends all but the first, soon. */
void redis_nodes_leave(struct redis_nodes *n, const struct err *why);
void redis_nodes_free(struct redis_nodes *n); /* at once, telling nobody; the first, too */

#endif
