/* cluster/redis_reply.h -- what replies of Redis mean that any command may get, and those of the first commands on a
 * connection. Pure. Errors: texts hold no foreign bytes: Redis repeats what it was sent, passwords too. */
#ifndef V2C_CLUSTER_REDIS_REPLY_H
#define V2C_CLUSTER_REDIS_REPLY_H

#include "core/addr.h"

#include <hiredis/hiredis.h>

enum { REDIS_RUN_ID = 40, REDIS_SLOTS = 16384 };

enum redis_refusal_kind {
    REFUSAL_PLAIN, /* of this command */
    REFUSAL_MOVED, /* Redis Cluster: another node has the key */
    REFUSAL_STATE, /* no write is taken, or none by us; the connection stays */
    REFUSAL_ENDS,  /* nothing more comes of this connection */
};

struct redis_refusal {
    const char *begins; /* the reply's text */
    uint8_t kind;
    const char *says;
};

/* r is an error. Never NULL. */
const struct redis_refusal *redis_refusal_of(const redisReply *r);

/* "MOVED 3999 127.0.0.1:6381", "ASK ..." */
struct redis_moved {
    bool once; /* ASK: this command only, and ASKING before it */
    uint16_t slot;
    struct addr at; /* ADDR_NONE: where the reply came from, with this port */
};
bool redis_moved_read(const redisReply *r, struct redis_moved *m);

/* ROLE. False: it says that it is none. Who may not ask is told otherwise: by READONLY. */
bool redis_is_master(const redisReply *r);
/* INFO server; "": it does not say. */
void redis_run_id_read(const redisReply *r, char id[REDIS_RUN_ID + 1]);
/* SENTINEL get-master-addr-by-name. False: it knows none. */
bool redis_master_read(const redisReply *r, struct addr *at);

/* Redis Cluster's slot of a key: by what stands within its first braces. */
uint16_t redis_slot(const char *key, size_t len);

#endif
