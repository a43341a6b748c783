/* proxy/socks_outbound.h -- the outbound that goes through SOCKS 5 servers, in turn; TCP and UDP. */
#ifndef V2C_PROXY_SOCKS_OUTBOUND_H
#define V2C_PROXY_SOCKS_OUTBOUND_H

#include "core/outbound.h"
#include "proxy/socks.h"

/* conf outlives it; all other pointers outlive its flows, too. NULL: out of memory. */
struct outbound *socks_outbound_new(struct loop *l, const char *tag,
                                    const struct socks_out_conf *conf,
                                    const struct addr *send_through, const struct traffic *traffic);
/* The settings of another configuration that says the same: the former one may go. */
void socks_outbound_adopt(struct outbound *out, const struct socks_out_conf *conf,
                          const struct traffic *traffic);

#endif
