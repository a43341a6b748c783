/* transport/dns.h -- the `dns` object, compiled: who is asked for names, in which order, and which names need not be asked.
 * Thread: built by conf, then immutable and read by all loops. Ownership: the configuration's; a resolver is told when
 * another takes its place (transport/resolve.h).
 * What decides by lists that only routing can read is given as functions, so that transport need not know of routing. */
#ifndef V2C_TRANSPORT_DNS_H
#define V2C_TRANSPORT_DNS_H

#include "core/addr.h"

enum {
    DNS_SERVERS_MAX = 32,
    DNS_ADDRS_MAX = 64,  /* that are read of an answer */
    DNS_CNAMES_MAX = 8,  /* that lead to them */
    DNS_ALIASES_MAX = 5, /* of `hosts`, one behind the other */
};

enum { DNS_A = 1, DNS_AAAA = 2, DNS_BOTH = 3 }; /* masks: families of addresses */

struct carriage;

enum dns_kind {
    DNS_SYSTEM, /* /etc/hosts, then resolv.conf */
    DNS_UDP,    /* by TCP when an answer is cut off */
    DNS_TCP,
    DNS_HTTPS,
};

struct dns_server {
    enum dns_kind kind;
    const char *label;         /* for messages: as it is configured */
    struct addr at;            /* an IP; of HTTPS also a name */
    const char *path;          /* of HTTPS; "/dns-query" */
    bool direct;               /* HTTPS: not by the rules */
    const char *tag;           /* HTTPS: the inbound tag that the rules see; kept */
    struct carriage *carriage; /* HTTPS: tls; a share */
    unsigned families;         /* DNS_BOTH unless queryStrategy says less */
    double timeout;            /* seconds for an answer; then the next server is asked */
    const void *domains;       /* names that it is asked for before others; NULL: none */
    const void *expected;      /* addresses that it may answer with; NULL: any */
    bool skips_fallback;       /* asked for its domains only */
    struct addr client;        /* told to it as the client's network; ADDR_NONE: nothing is */
};

/* One entry of `hosts`. */
struct dns_host {
    const char *name;       /* exactly this, in normal form; NULL: */
    const void *domains;    /* whatever these match */
    const struct addr *ips; /* port 0 */
    size_t ip_count;        /* 0: */
    const char *alias;      /* another name to look up in its place */
};

struct dns_conf {
    const struct dns_server *servers;
    size_t server_count; /* 0: DNS_SYSTEM */
    const struct dns_host
        *names; /* entries with a name, sorted by it; equal ones beside each other */
    size_t name_count;
    const struct dns_host *patterns; /* the others */
    size_t pattern_count;
    const char **
        own; /* sorted: the hosts of outbounds and DoH servers, which no DoH server by the rules is asked for */
    size_t own_count;
    unsigned families;
    bool caches;
    bool no_fallback;          /* only servers whose domains match are asked */
    bool no_fallback_if_match; /* ... if there is one */
    bool (*match_name)(const void *domains, const char *name); /* name: normal form */
    bool (*match_ip)(const void *ips, const struct addr *ip);
};

#endif
