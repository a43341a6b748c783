/* core/user.h -- who an inbound authenticated: what rules, policy and counters need to know of it.
 * Part of the immutable config; flows point to it. */
#ifndef V2C_CORE_USER_H
#define V2C_CORE_USER_H

#include <stdbool.h>
#include <stdint.h>

struct policy;

struct traffic { /* slots of two counters (core/stats.h), -1: not counted */
    int up, down;
};

struct user {
    const char *email; /* "" when the config gives none */
    uint32_t level;
    const struct policy *policy; /* of the level */
    struct traffic traffic;
    bool
        may_link; /* his protocol proves every byte: he may be a bridge, or bring many streams on one connection */
};

#endif
