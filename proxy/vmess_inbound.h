/* proxy/vmess_inbound.h -- the VMess listener of one loop. */
#ifndef V2C_PROXY_VMESS_INBOUND_H
#define V2C_PROXY_VMESS_INBOUND_H

#include "proxy/accept.h"
#include "proxy/vmess.h"

struct vmess_inbound;

/* Not listening yet: accept_start(vmess_inbound_accept(..)) follows. NULL: out of memory. All pointers
 * outlive it. */
struct vmess_inbound *vmess_inbound_new(struct loop *l, struct dispatcher *d, const char *tag,
                                        const struct vmess_in_conf *conf,
                                        const struct policy *policy, const struct traffic *traffic);
struct accept_inbound *vmess_inbound_accept(struct vmess_inbound *v);

#endif
