/* cluster/nodes.h -- the nodes of the cluster and which of them are alive: what leases in the registry, links of peers and
 * the configuration say of them.
 * A life E of node N is alive while a link to N is up that said E; or N's lease says E; or, while the registry cannot be
 * asked, if its lease held before. A missing lease alone ends a node only when the registry was well for a whole lease, or
 * when the node had said that it goes.
 * This node itself is none of them.
 * Thread: any, under its own lock. Units: seconds of loop_steady(). Bounded: NODES_MAX, of which those dead for the longest give way. */
#ifndef V2C_CLUSTER_NODES_H
#define V2C_CLUSTER_NODES_H

#include "cluster/cluster.h"
#include "cluster/question.h"

enum { NODES_MAX = 256 };

struct node_view {
    char name[NODE_NAME_MAX + 1], zone[NODE_NAME_MAX + 1];
    uint64_t epoch;
    struct addr at; /* where its peers dial; ADDR_NONE: unknown */
    uint8_t state;  /* enum node_state */
    uint8_t version;
    uint32_t links;      /* carriers that it has */
    bool is_static;      /* the configuration names its address */
    bool leased, linked; /* says the registry, say its peers here */
    bool alive;
    bool
        sought; /* alive, or it may have begun anew and nobody can say: worth being dialled where it was */
    double rtt; /* seconds; 0: not measured */
};

struct nodes;

struct nodes *nodes_new(const char *self);
void nodes_free(struct nodes *n);
/* The registry's, for `lease` seconds. The caller has checked its seal and address. */
void nodes_leased(struct nodes *n, const struct node_view *v, double now, double lease);
/* It drained, and has no lease any more. */
void nodes_left(struct nodes *n, const char *name, uint64_t epoch);
/* Of a link that some loop has to the node, or from it. */
enum nodes_link { NODE_LINK_UP, NODE_LINK_SAYS /* something new */, NODE_LINK_WENT };
/* What the node said of itself there: name, epoch, zone, state, version, links; and rtt. */
void nodes_linked(struct nodes *n, const struct node_view *v, enum nodes_link what, double now);
/* The registry answers, or does so no more. */
void nodes_registry(struct nodes *n, bool well, double now);
/* It is alive in this life. */
bool nodes_alive(struct nodes *n, const char *name, uint64_t epoch, double now);
/* Copies the lives that are not forgotten, at most max; how many. Of a name there is a dead one only if none is alive. */
unsigned nodes_list(struct nodes *n, struct node_view *to, unsigned max, double now);
/* Alive and not draining, with this one. */
unsigned nodes_count(struct nodes *n, double now);
/* Carriers that these have, without this one, are added to `all`; `least` becomes what the emptiest has. */
void nodes_links(struct nodes *n, double now, uint64_t *all, uint64_t *least);

#endif
