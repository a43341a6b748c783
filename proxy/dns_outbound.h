/* proxy/dns_outbound.h -- the outbound that is a name server: questions for addresses are answered by the resolver of this
 * process, all others go on to the server that was asked, or to the configured one.
 * Thread: its loop. Ownership: conf outlives it; its flows need neither. */
#ifndef V2C_PROXY_DNS_OUTBOUND_H
#define V2C_PROXY_DNS_OUTBOUND_H

#include "core/meta.h"
#include "core/outbound.h"

struct dns_out_conf {
    struct addr server; /* type ADDR_NONE and port 0: as the client asked */
    enum net net;       /* 0: as the client asked */
};

/* NULL: out of memory. */
struct outbound *dns_outbound_new(struct loop *l, const char *tag, const struct dns_out_conf *conf,
                                  const struct addr *send_through, const struct traffic *traffic);
void dns_outbound_adopt(struct outbound *out, const struct dns_out_conf *conf,
                        const struct traffic *traffic);

#endif
