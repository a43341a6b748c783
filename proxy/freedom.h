/* proxy/freedom.h -- the outbound that dials the target itself. */
#ifndef V2C_PROXY_FREEDOM_H
#define V2C_PROXY_FREEDOM_H

#include "core/addr.h"
#include "transport/dial.h"

struct freedom_conf {
    struct addr redirect;      /* type ADDR_NONE: keep the host; port 0: keep the port */
    enum dial_family family;   /* domainStrategy */
};

#endif
