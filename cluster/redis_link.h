/* cluster/redis_link.h -- one connection to one Redis: dials, greets (AUTH, SELECT, ROLE), sends commands in a pipeline,
 * pairs the replies with them, and tells who asked.
 * Thread: its loop. Units: seconds of loop_steady(). Bounds: cluster/redis_reader.h for replies; its owner's for commands.
 * A command that is not answered in time is told so and its answer dropped when it comes. A connection from which nothing
 * came for three times that long is given up. One that rests is asked for a PING each second.
 * Ownership: a link frees itself when it ends: then down() is called and gets back what was not answered. */
#ifndef V2C_CLUSTER_REDIS_LINK_H
#define V2C_CLUSTER_REDIS_LINK_H

#include "cluster/redis_command.h"
#include "cluster/redis_reply.h"

struct carriage;
struct redis_link;

struct redis_link_ops {
    /* It has greeted. run_id: "" if the server does not say. */
    void (*up)(void *owner, struct redis_link *k, const char *run_id);
    /* It ended, and is freed behind this. `left`: commands without an answer, the callee's. */
    void (*down)(void *owner, struct redis_link *k, const struct err *why, struct list *left);
    /* A command was refused. True: the callee takes it, to ask elsewhere. */
    bool (*refused)(void *owner, struct redis_link *k, struct redis_command *c,
                    const redisReply *r);
};

struct redis_link_conf {
    struct addr at;
    struct carriage *carriage; /* NULL: plain */
    const char *user, *password;
    unsigned database;
    double timeout;
    bool is_master; /* it must say so; run_id is asked for */
};

/* c is copied, with a share of its carriage; its texts outlive the link. NULL: out of memory. */
struct redis_link *redis_link_new(struct loop *l, const struct redis_link_conf *c,
                                  const struct redis_link_ops *ops, void *owner);
void redis_link_free(struct redis_link *k); /* tells nobody */
/* Ends it soon, for this reason. */
void redis_link_leave(struct redis_link *k, const struct err *why);
void redis_link_send(struct redis_link *k, struct redis_command *c); /* takes c */
void redis_link_forget(struct redis_link *k, const void *owner);
const struct addr *redis_link_at(const struct redis_link *k);
/* Commands without an answer, and their bytes. */
unsigned redis_link_pending(const struct redis_link *k);
size_t redis_link_bytes(const struct redis_link *k);
double redis_link_lag(const struct redis_link *k); /* of the last answer */

#endif
