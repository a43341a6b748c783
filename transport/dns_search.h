/* transport/dns_search.h -- the domains in which the system looks for names that are not whole: `search`, `domain` and
 * `options ndots:` of resolv.conf (resolv.conf(5)).
 * Thread: any. Ownership: plain values. */
#ifndef V2C_TRANSPORT_DNS_SEARCH_H
#define V2C_TRANSPORT_DNS_SEARCH_H

#include <stdbool.h>
#include <stdio.h>

#include "core/addr.h"

enum { DNS_SEARCH_MAX = 8, DNS_SEARCH_DOTS = 15 };

struct dns_search {
    unsigned dots; /* a name with so many is first asked for as it is */
    unsigned count;
    char domains[DNS_SEARCH_MAX][ADDR_NAME_MAX + 1]; /* normal form */
};

/* in NULL: there is no such file. What is longer or more than there is room for is left out. */
void dns_search_read(struct dns_search *s, FILE *in);
/* What to ask for in place of a name, by numbers from 0: itself, and within each domain. False: those were all. */
bool dns_search_candidate(const struct dns_search *s, const char *name, unsigned number,
                          char to[ADDR_NAME_MAX + 1]);

#endif
