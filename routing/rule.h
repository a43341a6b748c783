/* routing/rule.h -- compiled field rules: every present field must match, any entry of a field suffices,
 * the first rule that matches decides.
 * Thread: built by conf, then immutable. Ownership: a rule owns its sets and strings. */
#ifndef V2C_ROUTING_RULE_H
#define V2C_ROUTING_RULE_H

#include "routing/cidr.h"
#include "routing/domain.h"
#include "routing/ports.h"
#include "routing/query.h"

struct string_list {
    const char **items;
    size_t count;
};

struct rule {
    struct string_list inbound_tags, users; /* count 0: any */
    struct domain_set *domains;             /* NULL: any */
    struct cidr_set *ips, *sources;         /* NULL: any */
    struct port_set ports, source_ports;    /* count 0: any */
    unsigned networks;                      /* mask of enum net; 0: any */
    size_t outbound;                        /* index into the config's outbounds */
    const struct balancer *balancer;        /* chooses the outbound instead; NULL: none */
};

struct rules {
    struct rule *items;
    size_t count;
};

bool rule_match(const struct rule *r, const struct query *q);
/* NULL: none matched. */
const struct rule *rules_match(const struct rules *rs, const struct query *q);
void rule_fini(struct rule *r);
void rules_fini(struct rules *rs);

#endif
