/* cluster/registry.h -- what nodes tell each other through Redis: leases, which node has links of which tunnel, which tunnel
 * holds which hostname. Redis may go at any time: then what was known stays, peers are asked, and what changed is written when it is back.
 * Each entry carries a seal (cluster/seal.h) over key, value and cluster, so that who can write to Redis can neither make a node
 * dial anywhere nor give a tunnel to anybody.
 * Thread: one registry per loop, for questions; that of loop 0 also writes, for all: what a process has is in registry_shared, under a lock.
 * Keys and values: docs/CLUSTER.md. */
#ifndef V2C_CLUSTER_REGISTRY_H
#define V2C_CLUSTER_REGISTRY_H

#include "cluster/nodes.h"
#include "cluster/redis.h"
#include "cluster/tenants.h"
#include "reverse/elsewhere.h"

struct registry;
struct registry_shared;

/* nodes and tenants outlive it. NULL: out of memory. */
struct registry_shared *registry_shared_new(const struct cluster_conf *conf, uint64_t epoch,
                                            struct nodes *nodes, struct tenants *tenants);
void registry_shared_free(struct registry_shared *s);

struct registry_owner {
    /* What was granted is another tunnel's now. From the loop, never from within a call; once on each loop. */
    void (*lost)(void *owner, uint64_t portal, const struct hostname_pattern *host,
                 const struct tunnel_name *holder);
    void *owner;
};

/* conf->registry is not NULL; o may be. NULL: out of memory. */
struct registry *registry_new(struct loop *l, const struct cluster_conf *conf,
                              struct registry_shared *shared, const struct registry_owner *o);
void registry_free(struct registry *r); /* a node that drains has gone with that of its writer */
bool registry_is_well(const struct registry *r);
/* For status: server, trouble and lag of this loop's connection. */
const struct redis *registry_redis(const struct registry *r);
struct registry_count {
    size_t tunnels, hosts; /* of this process */
    size_t unwritten;      /* of these, what the registry does not know yet */
    size_t lost;           /* hostnames that others took, ever */
    uint64_t losses;       /* how often the registry lost its data, ever */
};
void registry_count(struct registry_shared *s, struct registry_count *to);
/* Entries of its own, state and load of this node (written with the next lease; drain at once). */
void registry_state(struct registry *r, enum node_state state, uint32_t links);
/* As struct elsewhere_ops. decided is told later, on this loop, if the answer is ELSEWHERE_LATER. */
void registry_has(struct registry *r, uint64_t portal, const struct tunnel_name *t, unsigned links);
struct claim_wait {
    void (*decided)(struct claim_wait *w, bool granted);
    /* the registry's, zeroed at first; it is told or forgotten before that is freed */
    struct registry *registry; /* NULL: it does not wait */
    struct list_item item;
    bool granted;
};
enum elsewhere_claim registry_claim(struct registry *r, uint64_t portal,
                                    const struct hostname_pattern *host,
                                    const struct tunnel_name *holder, struct claim_wait *w);
void registry_claim_forget(struct claim_wait *w);
void registry_leave(struct registry *r, uint64_t portal, const struct hostname_pattern *host,
                    const struct tunnel_name *holder);
/* False: it is away, nobody is told. Seals are checked, dead nodes left out. */
bool registry_ask(struct registry *r, struct question *q);
void registry_forget(struct question *q);

#endif
