/* cluster/cluster.h -- many portals that are one service: what is configured of it, what a process has of it, and each
 * loop's part.
 * Thread: the shared part any, under its own lock; a cluster is one loop's. The conf is kept for the life of the process.
 * Ownership: shared is made before the loops' parts and freed after all loops have ended. Errors: memory. */
#ifndef V2C_CLUSTER_CLUSTER_H
#define V2C_CLUSTER_CLUSTER_H

#include "core/addr.h"
#include "core/loop.h"
#include "core/outbound.h"

struct carriage;
struct elsewhere;
struct host_finder;

enum { CLUSTER_NAME_MAX = 63, CLUSTER_KEY = 32, CLUSTER_REDIS_MAX = 16 };

/* One Redis, or a Sentinel that knows which one it is. */
struct redis_server {
    struct addr at;            /* a name, an address, or a unix socket */
    struct carriage *carriage; /* tls; NULL: plain */
};

struct registry_conf {
    const struct redis_server
        *servers; /* tried in turn; with a master's name these are Sentinels */
    size_t server_count;
    const char *master;          /* as Sentinel calls it; NULL: no Sentinel */
    const char *user, *password; /* NULL: none. Secret; wiped with the conf */
    const char *sentinel_password;
    unsigned database;
    double timeout; /* seconds for an answer, 0.05 */
    double lease;   /* seconds a node lives without renewing, 10 */
    double sweep;   /* seconds in which all entries are written again, 600 */
    double hold;    /* seconds a hostname stays with its holder who is gone, 86400 */
};

/* Where peers may be, beyond that entries are authenticated; count 0: anywhere. */
struct cluster_network {
    struct addr from; /* an address; port 0 */
    uint8_t bits;
};

struct cluster_conf {
    const char *name, *node, *zone; /* a-z0-9._-; zone "": none */
    uint8_t key[CLUSTER_KEY];       /* of all nodes */
    const char *pointer;            /* for start errors */
    struct addr listen;             /* for peers; port 0: none, it only dials */
    struct addr advertise;          /* where peers find this node */
    const struct addr *peers;       /* static ones */
    size_t peer_count;
    const struct cluster_network *networks;
    size_t network_count;
    const struct registry_conf *registry; /* NULL: peers only */
    unsigned
        links; /* on distinct portals, that bridges are asked to keep; 0: as many as there are portals, 2 at most */
    double spread; /* seconds over which bridges are told to go when this node drains */
};

/* What this node is to the others. */
enum node_state { NODE_STARTS, NODE_UP, NODE_DRAINS };

struct cluster_shared;
struct cluster;

/* epoch of this process is chosen here. NULL: out of memory. */
struct cluster_shared *cluster_shared_new(const struct cluster_conf *conf, unsigned loops);
void cluster_shared_free(struct cluster_shared *s); /* s may be NULL */

/* Begins at once: dials peers, and on loop 0 writes to the registry. NULL: out of memory. */
struct cluster *cluster_new(struct loop *l, const struct cluster_conf *conf,
                            struct cluster_shared *shared);
/* Says to peers and registry that this node goes; what is open goes on. */
void cluster_drain(struct cluster *c);
void cluster_free(struct cluster *c); /* ends its links; after the portals and before the loop */

/* For portals of this loop (reverse/elsewhere.h), and they for it. */
void cluster_join(struct cluster *c, struct outbound *portal);
void cluster_leave(struct cluster *c, struct outbound *portal);

/* By which ingresses of this loop find hostnames that other portals' bridges hold. */
struct host_finder *cluster_hosts(struct cluster *c);

/* Takes fd, a socket that listens on conf->listen, for this loop. */
void cluster_listen(struct cluster *c, int fd);

#endif
