/* transport/dns_cache.h -- answers of DNS servers, for as long as they hold, within limits: 5 s to 1 h, that there is nothing
 * at most 30 s. The names least used give way to new ones.
 * Thread: its loop. Units: seconds of loop_steady(). Names are in normal form. */
#ifndef V2C_TRANSPORT_DNS_CACHE_H
#define V2C_TRANSPORT_DNS_CACHE_H

#include "core/list.h"
#include "transport/dns_message.h"

enum {
    DNS_CACHE_NAMES = 4096,
    DNS_CACHE_LISTS = 1024,
    DNS_TTL_MIN = 5,
    DNS_TTL_MAX = 3600,
    DNS_TTL_NOTHING = 30,
};

/* Zeroed: empty. */
struct dns_cache {
    struct list *lists; /* DNS_CACHE_LISTS, by hash; made with the first answer */
    struct list used;   /* the least recently used first */
    size_t count;
    uint8_t key[16]; /* of the hash: strangers choose names */
};

/* False: not there, or no longer. */
bool dns_cache_find(struct dns_cache *c, const char *name, unsigned families, double now,
                    struct dns_records *out);
/* Takes the place of what is there. Without memory nothing happens. */
void dns_cache_add(struct dns_cache *c, const char *name, unsigned families, double now,
                   const struct dns_records *r);
void dns_cache_clear(struct dns_cache *c);

#endif
