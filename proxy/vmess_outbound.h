/* proxy/vmess_outbound.h -- the outbound that dials VMess servers, in turn. */
#ifndef V2C_PROXY_VMESS_OUTBOUND_H
#define V2C_PROXY_VMESS_OUTBOUND_H

#include "core/outbound.h"
#include "proxy/vmess.h"

/* conf outlives it; all other pointers outlive its flows, too. NULL: out of memory. */
struct outbound *vmess_outbound_new(struct loop *l, const char *tag,
                                    const struct vmess_out_conf *conf,
                                    const struct addr *send_through, const struct traffic *traffic);
/* The settings of another configuration that says the same: the former one may go. */
void vmess_outbound_adopt(struct outbound *out, const struct vmess_out_conf *conf,
                          const struct traffic *traffic);

#endif
