/* reverse/portal.h -- the outbound on the public side: flows to its own domain are carriers that bridges
 * dialled, every other flow is a visitor and becomes a stream on one of them.
 * Thread: one portal per loop, with the carriers that this loop accepted; a visitor may cross to another. */
#ifndef V2C_REVERSE_PORTAL_H
#define V2C_REVERSE_PORTAL_H

#include "core/outbound.h"
#include "reverse/reverse.h"

struct claims;
struct portal_shards;

/* For the portals of one tag on all loops. Freed when all loops have ended. NULL: out of memory. */
struct portal_shards *portal_shards_new(unsigned loops);
void portal_shards_free(struct portal_shards *all);
/* The hostnames that its bridges hold; lives as long. Any thread. */
struct claims *portal_shards_claims(struct portal_shards *all);

/* conf and shards outlive it. NULL: out of memory. Freeing ends its carriers. */
struct outbound *portal_new(struct loop *l, const struct portal_conf *conf,
                            struct portal_shards *shards);
/* The same settings, from another configuration. */
void portal_adopt(struct outbound *out, const struct portal_conf *conf);

#endif
