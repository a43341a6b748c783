/* conf/dns_way.h -- how questions for DNS servers leave that are asked by way of flows: by the rules, or straight.
 * Thread: its loop. Ownership: embedded in its worker; its loop's resolver uses it. */
#ifndef V2C_CONF_DNS_WAY_H
#define V2C_CONF_DNS_WAY_H

#include "routing/dispatch.h"
#include "transport/resolve.h"

struct dns_way {
    struct resolve_way way;
    struct dispatcher *dispatcher;
    struct outbound *direct;
};

int dns_way_init(struct dns_way *d, struct loop *l, struct dispatcher *dispatcher, struct err *e);
void dns_way_fini(struct dns_way *d);

#endif
