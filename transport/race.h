/* transport/race.h -- several addresses of one target, dialled until one connects (RFC 8305): the next one begins when the
 * one before it fails, or has not answered for a quarter of a second, and goes on beside it.
 * Thread: its loop. Ownership: the caller's until done() is called, then nobody's. */
#ifndef V2C_TRANSPORT_RACE_H
#define V2C_TRANSPORT_RACE_H

#include "core/addr.h"
#include "core/err.h"

struct loop;
struct race;

struct race_ops {
    /* A socket on its way there; -1 and e. */
    int (*connect)(void *owner, const struct addr *to, struct err *e);
    /* fd: connected to `to`, the caller's; -1: none did, see why. */
    void (*done)(void *owner, int fd, const struct addr *to, const struct err *why);
};

/* done() may be called before this returns. addrs are copied; more than RACE_MAX are forgotten. */
enum { RACE_MAX = 16 };
void race_start(struct race **slot, struct loop *l, const struct addr *addrs, size_t count,
                const struct race_ops *ops, void *owner);
void race_stop(struct race **slot); /* calls nobody; NULL there: nothing happens */

#endif
