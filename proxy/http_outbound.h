/* proxy/http_outbound.h -- the outbound that goes through HTTP proxies, in turn. TCP only. */
#ifndef V2C_PROXY_HTTP_OUTBOUND_H
#define V2C_PROXY_HTTP_OUTBOUND_H

#include "core/outbound.h"
#include "proxy/http_proxy.h"

/* conf outlives it; all other pointers outlive its flows, too. NULL: out of memory. */
struct outbound *http_outbound_new(struct loop *l, const char *tag,
                                   const struct http_out_conf *conf,
                                   const struct addr *send_through, const struct traffic *traffic);
/* The settings of another configuration that says the same: the former one may go. */
void http_outbound_adopt(struct outbound *out, const struct http_out_conf *conf,
                         const struct traffic *traffic);

#endif
