/* proxy/freedom.h -- the outbound that dials the target itself, or the one configured in its place. */
#ifndef V2C_PROXY_FREEDOM_H
#define V2C_PROXY_FREEDOM_H

#include "core/outbound.h"
#include "transport/dial.h"

struct freedom_conf {
    struct addr redirect;    /* type ADDR_NONE: keep the host; port 0: keep the port */
    enum dial_family family; /* domainStrategy */
    int announces;           /* version of the PROXY header that a target gets first; 0: none */
};

/* conf outlives it; all other pointers outlive its flows, too. NULL: out of memory. */
struct outbound *freedom_new(struct loop *l, const char *tag, const struct freedom_conf *conf,
                             const struct addr *send_through, const struct traffic *traffic);
/* The settings of another configuration that says the same: the former one may go. */
void freedom_adopt(struct outbound *out, const struct freedom_conf *conf,
                   const struct traffic *traffic);

#endif
