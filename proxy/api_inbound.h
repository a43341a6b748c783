/* proxy/api_inbound.h -- the socket on which the api itself listens, of one loop. No rule is asked where its
 * connections go: its dispatcher has none, and the api as what is left. */
#ifndef V2C_PROXY_API_INBOUND_H
#define V2C_PROXY_API_INBOUND_H

#include "proxy/accept.h"

/* Not listening yet. owner: only our own user can connect there. NULL: out of memory. All pointers outlive it
 * and its flows. */
struct inbound *api_inbound_new(struct loop *l, struct dispatcher *d, bool owner,
                                const struct policy *policy, const struct traffic *traffic);

#endif
