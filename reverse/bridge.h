/* reverse/bridge.h -- the inbound on the private side: dials its portals through the dispatcher and makes a
 * flow of every stream that a portal opens.
 * Thread: one bridge per loop; each keeps its share of the links, or is dialling them. */
#ifndef V2C_REVERSE_BRIDGE_H
#define V2C_REVERSE_BRIDGE_H

#include "core/inbound.h"
#include "core/policy.h"
#include "reverse/reverse.h"

/* The links that this one of `shards` bridges keeps to each portal; 0: it need not be there. */
unsigned bridge_share(const struct bridge_conf *conf, unsigned shard, unsigned shards);
/* Dials at once. All pointers outlive it. instance: random, the same on all loops; by it portals know that
 * links belong together. NULL: out of memory. Freeing ends its links. */
struct inbound *bridge_new(struct loop *l, struct dispatcher *d, const struct bridge_conf *conf,
                           const struct policy *policy, unsigned share, uint64_t instance);
/* The same settings, from another configuration. */
void bridge_adopt(struct inbound *in, const struct bridge_conf *conf, const struct policy *policy);

#endif
