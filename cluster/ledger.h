/* cluster/ledger.h -- what stands in the registry, as bytes: names of keys, and sealed values.
 * A value is a version, its members and a seal over its kind, key, field and all bytes before it. What follows the known
 * members is of a later version and skipped. What does not fit its place, or was not sealed by this cluster, is not there.
 * Thread: any; pure. Nothing allocated. Wire: docs/CLUSTER.md. */
#ifndef V2C_CLUSTER_LEDGER_H
#define V2C_CLUSTER_LEDGER_H

#include "cluster/question.h"
#include "cluster/seal.h"
#include "core/addr.h"

enum {
    LEDGER_MAX = 512,
    LEDGER_KEY_MAX = 384,
    LEDGER_LEVELS = 16, /* labels that a wildcard has at most */
};

/* By which the entries of one cluster are named and sealed. */
struct ledger {
    const char *cluster;
    struct seal seal;
};

struct ledger_key {
    char text[LEDGER_KEY_MAX];
    size_t len;
};

/* A node's life, for as long as it says so again: serial grows each time. */
struct ledger_lease {
    uint64_t epoch, serial;
    uint8_t state, version;
    uint32_t links;
    char zone[NODE_NAME_MAX + 1];
    struct addr at; /* ADDR_NONE: nobody can dial it */
};

/* A tunnel has so many links on a node, in this life of it. */
struct ledger_links {
    uint64_t epoch;
    uint16_t links;
};

/* Who holds a hostname, and since when: microseconds of Redis' clock. */
struct ledger_holder {
    uint8_t by;                                                  /* enum tunnel_by */
    char tenant[TUNNEL_NAME_MAX + 1], text[TUNNEL_NAME_MAX + 1]; /* tenant "": none */
    uint64_t since;
};

struct ledger_value {
    uint8_t bytes[LEDGER_MAX];
    size_t len;
};

/* "boot", "fence", "nodes": docs/CLUSTER.md. */
void ledger_key_of(const struct ledger *p, const char *what, struct ledger_key *key);
void ledger_key_node(const struct ledger *p, const char *node, struct ledger_key *key);
/* The tunnel's name is not in it: who knows a name may visit. */
void ledger_key_tunnel(const struct ledger *p, uint64_t portal, const struct tunnel_name *t,
                       struct ledger_key *key);
/* host: of a struct hostname; below: all names below it as well. */
void ledger_key_host(const struct ledger *p, uint64_t portal, const char *host, bool below,
                     struct ledger_key *key);

void ledger_write_lease(const struct ledger *p, const struct ledger_key *key,
                        const struct ledger_lease *l, struct ledger_value *v);
bool ledger_read_lease(const struct ledger *p, const struct ledger_key *key, const void *data,
                       size_t len, struct ledger_lease *l);
/* node: the field. */
void ledger_write_links(const struct ledger *p, const struct ledger_key *key, const char *node,
                        const struct ledger_links *l, struct ledger_value *v);
bool ledger_read_links(const struct ledger *p, const struct ledger_key *key, const char *node,
                       const void *data, size_t len, struct ledger_links *l);
void ledger_write_holder(const struct ledger *p, const struct ledger_key *key,
                         const struct ledger_holder *h, struct ledger_value *v);
bool ledger_read_holder(const struct ledger *p, const struct ledger_key *key, const void *data,
                        size_t len, struct ledger_holder *h);
void ledger_holder_of(const struct tunnel_name *t, uint64_t since, struct ledger_holder *h);
bool ledger_holder_is(const struct ledger_holder *h, const struct tunnel_name *t);
bool ledger_same_tenant(const struct ledger_holder *h, const struct tunnel_name *t);

#endif
