/* proxy/socks_inbound.h -- the SOCKS listener of one loop. */
#ifndef V2C_PROXY_SOCKS_INBOUND_H
#define V2C_PROXY_SOCKS_INBOUND_H

#include "proxy/accept.h"
#include "proxy/socks.h"

/* Not listening yet: accept_listen(accept_of(..)) follows for each of its ports. NULL: out of memory.
 * conf outlives it; all other pointers outlive its flows, too. */
struct inbound *socks_inbound_new(struct loop *l, struct dispatcher *d, const char *tag,
                                  const struct socks_in_conf *conf, size_t ports,
                                  const struct policy *policy, const struct traffic *traffic);
/* The settings of another configuration that says the same: the former one may go. */
void socks_inbound_adopt(struct inbound *in, const struct socks_in_conf *conf,
                         const struct policy *policy, const struct traffic *traffic);

#endif
