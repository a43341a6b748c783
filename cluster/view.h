/* cluster/view.h -- a cluster as its operator sees it: what this node is, who else is there, and how the registry does.
 * Thread: what takes a shared part any, the rest the cluster's loop. Ownership: what is shown is a copy, or valid within
 * the call. */
#ifndef V2C_CLUSTER_VIEW_H
#define V2C_CLUSTER_VIEW_H

#include "cluster/nodes.h"
#include "cluster/registry.h"

/* What this node says that it is. */
enum node_state cluster_state(const struct cluster_shared *s);
uint64_t cluster_epoch(const struct cluster_shared *s);
/* How many other nodes are alive and do not drain. */
unsigned cluster_others(const struct cluster_shared *s);
/* All that are known but this one, by name, at most max; how many. */
unsigned cluster_nodes(const struct cluster_shared *s, struct node_view *to, unsigned max);

/* An address that this loop dials, and what became of that. */
struct peer_view {
    const struct addr *at;
    bool is_static, up;
    const char *node; /* "" as long as none has answered */
    unsigned
        failures; /* in a row; 0 where it is not worth dialling: it is this node, or linked already */
    unsigned streams; /* visitors that were sent there and are open */
};

void cluster_look_at_peers(const struct cluster *c,
                           void (*see)(void *with, const struct peer_view *v), void *with);

/* What this process has in the registry. False: there is none. */
bool cluster_registered(const struct cluster_shared *s, struct registry_count *to);

/* A loop's connection to the registry. */
struct registry_view {
    bool well;
    const char *server, *trouble; /* "" each: none */
    unsigned pending;             /* commands under way */
    double lag;                   /* seconds that the last answer took */
};

/* False: there is none. */
bool cluster_look_at_registry(const struct cluster *c, struct registry_view *v);

#endif
