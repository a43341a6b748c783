/* proxy/vmess_inbound.h -- the VMess listener of one loop. */
#ifndef V2C_PROXY_VMESS_INBOUND_H
#define V2C_PROXY_VMESS_INBOUND_H

#include "proxy/accept.h"
#include "proxy/vmess.h"
#include "proxy/vmess_guard.h"

/* Not listening yet: accept_listen(accept_of(..)) follows for each of its ports. NULL: out of memory.
 * conf outlives it; all other pointers outlive its flows, too. */
struct inbound *vmess_inbound_new(struct loop *l, struct dispatcher *d, const char *tag,
                                  const struct vmess_in_conf *conf, struct vmess_guard *guard,
                                  size_t ports, const struct policy *policy,
                                  const struct traffic *traffic);
/* The settings of another configuration that says the same: the former one may go. */
void vmess_inbound_adopt(struct inbound *in, const struct vmess_in_conf *conf,
                         const struct policy *policy, const struct traffic *traffic);
/* Other clients: see vmess_server_follow(). Takes the table. */
void vmess_inbound_follow(struct inbound *in, const struct vmess_in_conf *conf,
                          struct vmess_table *table, ptrdiff_t removed);

#endif
