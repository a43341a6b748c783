/* testing/fake_redis.h -- a Redis in the test's own memory, in the place of cluster/redis.c: it answers at the end of the turn,
 * and goes, forgets, falls silent or refuses when it is told to. One store for all connections of the program. */
#ifndef V2C_TESTING_FAKE_REDIS_H
#define V2C_TESTING_FAKE_REDIS_H

#include "cluster/redis.h"

void fake_redis_start(void); /* empty, and well */
void fake_redis_stop(void);
/* All connections go, or come back, with another server's run_id if it is asked. */
void fake_redis_away(bool away);
void fake_redis_other_server(void);
void fake_redis_silent(bool silent); /* takes commands and does not answer: they time out at once */
void fake_redis_refuses(bool refuses); /* to write */
void fake_redis_flush(void);
/* Values as they stand; field NULL: of a string. NULL: there is none. */
const char *fake_redis_get(const char *key, const char *field, size_t *len);
void fake_redis_put(const char *key, const char *field, const char *value, size_t len);
void fake_redis_del(const char *key);
double fake_redis_ttl(const char *key); /* seconds; -1: none */
/* The key at this place, in no order; NULL: there are no more. */
const char *fake_redis_key(size_t n);
unsigned fake_redis_commands(const char *verb); /* so many came so far */

#endif
