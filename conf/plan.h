/* conf/plan.h -- the way from one configuration to the next: what is kept because it says the same, what
 * begins, and the sockets for it.
 * Thread: made on the main thread, then read by all loops; each takes its sockets from it. */
#ifndef V2C_CONF_PLAN_H
#define V2C_CONF_PLAN_H

#include "conf/doors.h"
#include "conf/generation.h"

enum { PLAN_NEW = -1 };

/* Each array has an entry for each object of `to`: its index in `from`, or PLAN_NEW. */
struct plan {
    struct generation *from, *to; /* from NULL: the process starts */
    unsigned loops;
    ptrdiff_t *inbounds, *outbounds, *bridges;
    struct doors *doors; /* one for each inbound; empty for a kept one */
    unsigned kept, begun, ended;
    bool cluster_waits; /* "cluster" says something else, which counts at the next start */
};

/* Opens the sockets. -1 and e: nothing is open. It refers to the generations; they must outlive it. What
 * the portals of `to` share is found in `from` or added to `portals`. */
int plan_init(struct plan *p, struct generation *from, struct generation *to, unsigned loops,
              struct portals *portals, struct err *e);
void plan_fini(struct plan *p);
/* The old object of that index goes on. */
bool plan_keeps(const ptrdiff_t *kept, size_t count, size_t old);

#endif
