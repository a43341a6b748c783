/* cluster/redis.h -- a connection to Redis that is kept: dials (by Sentinel where asked), authenticates, sends commands in a
 * pipeline, reads replies within bounds, gives up in time, and dials again with growing pauses. hiredis writes the
 * commands and reads the replies; the bytes go by our own streams, so that names, TLS and deadlines are ours.
 * Thread: its loop. Units: seconds. Ownership: redis_free(). Nothing here waits.
 * Bounds: REDIS_QUEUE commands of REDIS_QUEUE_BYTES under way; replies as cluster/redis_reader.h says. */
#ifndef V2C_CLUSTER_REDIS_H
#define V2C_CLUSTER_REDIS_H

#include <hiredis/hiredis.h>

#include "cluster/cluster.h"

enum {
    REDIS_QUEUE = 4096,
    REDIS_QUEUE_BYTES = 4 << 20,
    REDIS_REPLY = 1 << 20,
    REDIS_ELEMENTS = 10000,
    REDIS_DEPTH = 4,
};

struct redis;

/* r NULL: no answer (away, too late, the connection went). r->type REDIS_REPLY_ERROR: what Redis refused. Valid within the call. */
typedef void redis_told(void *owner, const redisReply *r);

struct redis_owner {
    /* It is connected, authenticated and a master, or not any more. run_id: of the server, changes with it. */
    void (*well)(void *owner, bool well, const char *run_id);
    void *owner;
};

/* conf, and what `o` points to, outlive it. Dials at once. NULL: out of memory. */
struct redis *redis_new(struct loop *l, const struct registry_conf *conf,
                        const struct redis_owner *o);
void redis_free(
    struct redis *r); /* tells nobody; what was asked last still goes out, if it can at once */
bool redis_is_well(const struct redis *r);
/* Commands are binary-safe, each argument with its length. told is called once, from the loop, unless the redis is freed
 * or redis_forget(owner) called before; NULL: nobody wants to know. False: it is away or its queue is full, and told is not
 * called. timeout 0: conf's. */
bool redis_ask(struct redis *r, int count, const char *const *words, const size_t *lens,
               double timeout, redis_told *told, void *owner);
void redis_forget(struct redis *r, const void *owner);
/* For status: the server in use, or tried; why it is not well; commands under way; seconds that the last answer took. */
const char *redis_server_text(const struct redis *r);
const char *redis_trouble(const struct redis *r);
unsigned redis_pending(const struct redis *r);
double redis_lag(const struct redis *r);

#endif
