/* reverse/portal.h -- the outbound on the public side: flows to its own domain are carriers that bridges
 * dialled, every other flow is a visitor and becomes a stream on one of them.
 * Thread: one portal per loop, with the carriers that this loop accepted. */
#ifndef V2C_REVERSE_PORTAL_H
#define V2C_REVERSE_PORTAL_H

#include "core/outbound.h"
#include "reverse/reverse.h"

/* conf outlives it. NULL: out of memory. Freeing ends its carriers. */
struct outbound *portal_new(struct loop *l, const struct portal_conf *conf);

#endif
