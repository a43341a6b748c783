/* proxy/vmess_outbound.h -- the outbound that dials VMess servers, in turn. */
#ifndef V2C_PROXY_VMESS_OUTBOUND_H
#define V2C_PROXY_VMESS_OUTBOUND_H

#include "core/outbound.h"
#include "proxy/vmess.h"

/* All pointers outlive it. NULL: out of memory. */
struct outbound *vmess_outbound_new(struct loop *l, const char *tag,
                                    const struct vmess_out_conf *conf,
                                    const struct addr *send_through, const struct traffic *traffic);

#endif
