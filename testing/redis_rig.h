/* testing/redis_rig.h -- a Redis that the test speaks for: sockets that listen, and commands that are heard and answered.
 * Ownership: the test's. Errors end the test. */
#ifndef V2C_TESTING_REDIS_RIG_H
#define V2C_TESTING_REDIS_RIG_H

#include "cluster/redis.h"
#include "testing/rig.h"

/* Hears one command, its words apart by blanks. */
void redis_hear(struct rig *r, int fd, const char *words);
/* A master's side of the greeting, without a password; run_id: 40 digits. */
void redis_greet(struct rig *r, int fd, char run_id);
/* A node's or a Sentinel's. */
void redis_greet_node(struct rig *r, int fd);

/* What came back for one command. */
struct redis_got {
    unsigned calls, nones;
    int type;
    char text[256];
};

redis_told redis_note; /* owner: a struct redis_got */

#endif
