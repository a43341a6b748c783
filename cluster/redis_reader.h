/* cluster/redis_reader.h -- hiredis' reader of replies, within our bounds: a reply of more than REDIS_REPLY bytes, with more
 * than REDIS_ELEMENTS elements in all its arrays or with arrays in each other more than REDIS_DEPTH deep is an error.
 * Thread: that of its owner. Ownership: embedded; a reply is the caller's, for freeReplyObject().
 * Wire: RESP2, https://redis.io/docs/reference/protocol-spec/ */
#ifndef V2C_CLUSTER_REDIS_READER_H
#define V2C_CLUSTER_REDIS_READER_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

#include <hiredis/hiredis.h>

struct redis_reader {
    redisReader *hiredis;
    redisReplyObjectFunctions make; /* hiredis' own, but for arrays ... */
    __typeof__(((redisReplyObjectFunctions *)0)
                   ->createArray) arrays; /* ... of which this is its own */
    size_t elements;                      /* of the reply that is being read */
    size_t bytes;                         /* that came for it */
    bool too_many;
};

/* A reader stays where it is. False: out of memory. */
bool redis_reader_init(struct redis_reader *r);
void redis_reader_fini(struct redis_reader *r);
/* Bytes that came. False: out of memory. */
bool redis_reader_feed(struct redis_reader *r, const void *bytes, size_t len);
/* STEP_DONE: *reply holds. After STEP_FAIL there is nothing more to read. */
enum step redis_reader_next(struct redis_reader *r, redisReply **reply, struct err *e);

#endif
