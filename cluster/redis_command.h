/* cluster/redis_command.h -- a command to Redis, from its asking to its answer.
 * Thread: its loop. Ownership: that of the list it is in. Units: seconds of loop_steady(). */
#ifndef V2C_CLUSTER_REDIS_COMMAND_H
#define V2C_CLUSTER_REDIS_COMMAND_H

#include "cluster/redis.h"

/* What is asked, and by whom. */
struct redis_command {
    struct list_item item;
    char *bytes; /* hiredis' */
    size_t len, sent;
    double asked, timeout;
    redis_told *told; /* NULL: nobody wants to know, or has been told already */
    void *owner;
    unsigned moves; /* from node to node of a Redis Cluster */
};

/* NULL: out of memory. */
struct redis_command *redis_command_new(int count, const char *const *words, const size_t *lens);
void redis_command_free(struct redis_command *c);
/* Tells, once; r NULL: there is no answer. */
void redis_command_tell(struct redis_command *c, const redisReply *r);
void redis_commands_free(struct list *l);
/* The owner wants to hear no more. */
void redis_commands_forget(struct list *l, const void *owner);

#endif
