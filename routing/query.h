/* routing/query.h -- what the rules are asked: a flow's metadata, and what was found out since it came.
 * Thread: its loop. Ownership: nothing; lives as long as one choice. */
#ifndef V2C_ROUTING_QUERY_H
#define V2C_ROUTING_QUERY_H

#include "core/meta.h"

struct query {
    const struct meta *meta;
    const char *
        name; /* sniffed, else the target's; in the normal form of addr_normalise_name(); NULL: none */
    const char *protocol; /* sniffed: "http1", "tls", "quic", "bittorrent"; NULL: not known */
    const char *head;     /* of an HTTP request: meta's, or sniffed; NULL: none */
    size_t head_len;
    const struct addr *ips; /* of `name`, looked up by the dispatcher for domainStrategy */
    size_t ip_count;
};

/* What a flow's metadata alone say. name: room for the target's normal form, which the query points to. */
struct query query_of(const struct meta *m, char name[ADDR_NAME_MAX + 1]);

#endif
