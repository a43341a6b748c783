/* reverse/bridge.h -- the inbound on the private side: dials its portal through the dispatcher and makes a
 * flow of every stream that the portal opens.
 * Thread: one bridge lives on one loop. It always has one link, or is dialling one. */
#ifndef V2C_REVERSE_BRIDGE_H
#define V2C_REVERSE_BRIDGE_H

#include "core/inbound.h"
#include "core/policy.h"
#include "reverse/reverse.h"

/* Dials at once. All pointers outlive it. NULL: out of memory. Freeing ends its links. */
struct inbound *bridge_new(struct loop *l, struct dispatcher *d, const struct bridge_conf *conf,
                           const struct policy *policy);

#endif
