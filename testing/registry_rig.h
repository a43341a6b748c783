/* testing/registry_rig.h -- nodes of one cluster in one program, each with a registry of its own on the same loop, and a
 * fake Redis between them; time passes only when the test says so. */
#ifndef V2C_TESTING_REGISTRY_RIG_H
#define V2C_TESTING_REGISTRY_RIG_H

#include "testing/rig.h"

#include "cluster/registry.h"
#include "testing/clock.h"
#include "testing/fake_redis.h"

enum { PORTAL = 0xab };

struct node {
    struct registry_conf registry_conf;
    struct cluster_conf conf;
    struct cluster_network network;
    struct nodes *nodes;
    struct tenants *tenants;
    struct registry_shared *shared;
    struct registry *registry;
    unsigned lost;
    char lost_host[HOSTNAME_MAX + 1];
};

struct world {
    struct rig rig;
    struct node a, b, c;
};

void world_open(struct world *w);
void world_close(struct world *w);
/* Its conf may be changed between the two. */
void node_conf(struct node *n, const char *name);
void node_start(struct world *w, struct node *n, uint64_t epoch);
void node_stop(struct node *n);
/* Until the registry knows its data, and gives names. */
void world_settle(struct world *w);
void pass(struct world *w, double seconds);

struct tunnel_name tunnel(const char *tenant, const char *text);
struct hostname_pattern host(const char *text);
void has(struct node *n, const char *text, unsigned links);

/* "a:1 b:2", sorted as they come; "known"; "nobody"; "?": nobody could say; "away": it was not asked. Until the next. */
const char *ask_tunnel(struct world *w, struct node *n, const char *text);
/* The holder's id; "nobody", "?", "away". */
const char *ask_host(struct world *w, struct node *n, const char *name);

/* "granted", "taken"; "later" if it is not decided now, and then *w tells. */
struct wish {
    struct claim_wait wait;
    unsigned told;
    bool granted;
};
const char *claim(struct world *w, struct node *n, const char *name, struct tunnel_name t,
                  struct wish *wish);
const char *wish_text(const struct wish *wish);

/* The keys of a kind, "t" or "h", in Redis; NULL: there is none. */
const char *key_of(const char *kind);

#endif
