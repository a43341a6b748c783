/* cluster/question.h -- "where is this tunnel, whose is this hostname": asked of the registry (cluster/registry.h) and of
 * peers (cluster/who_has.h), answered in the same form by both.
 * Thread: the loop that asks. Ownership: a question is embedded in its owner's struct, who may forget it any time. */
#ifndef V2C_CLUSTER_QUESTION_H
#define V2C_CLUSTER_QUESTION_H

#include "core/err.h"
#include "core/hostname.h"
#include "core/list.h"
#include "core/meta.h"

enum { PLACES_MAX = 8, NODE_NAME_MAX = 63 };

/* ASK_CLAIM: may this tunnel have this very name, of other tunnels? Of peers only, whose answers are not kept. */
enum question_kind { ASK_TUNNEL, ASK_HOST, ASK_CLAIM };

struct question_of {
    uint8_t kind;              /* enum question_kind */
    uint64_t portal;           /* portal_key() */
    struct tunnel_name tunnel; /* ASK_TUNNEL, ASK_CLAIM */
    /* ASK_HOST: a host, in normal form; wildcards above it count. ASK_CLAIM: this name, or ".name" */
    char host[HOSTNAME_MAX + 2];
};

/* A node that said it has links of the tunnel. */
struct tunnel_place {
    char node[NODE_NAME_MAX + 1];
    uint64_t epoch; /* which life of the node */
    uint16_t links;
};

struct answer {
    bool
        known; /* ASK_TUNNEL: somebody has it, or had it within the last minute; ASK_HOST: somebody holds it */
    bool is_private;
    uint64_t portal;           /* ASK_HOST: of the portal where the tunnel is */
    struct tunnel_name holder; /* ASK_HOST; its tenant is kept */
    unsigned count;            /* ASK_TUNNEL */
    struct tunnel_place at[PLACES_MAX];
};

struct question {
    /* a NULL: nobody could say (in time). Called once, from the loop, never from within the asking. */
    void (*told)(struct question *q, const struct answer *a);
    struct question_of of;
    struct list_item item; /* of who is asked */
};

/* The same is asked. Pure. */
bool question_same(const struct question_of *a, const struct question_of *b);

#endif
