/* transport/forwarded.h -- who is behind an HTTP proxy: X-Forwarded-For, believed only from those who are trusted.
 * Thread: any. Ownership: none. */
#ifndef V2C_TRANSPORT_FORWARDED_H
#define V2C_TRANSPORT_FORWARDED_H

#include <stdbool.h>

#include "core/addr.h"

struct net_prefix { /* an IP and how many of its bits count */
    struct addr ip;
    uint8_t bits;
};

struct trusted {
    const struct net_prefix *nets;
    size_t count;
};

/* "192.0.2.0/24" or an IP. -1 and e. */
int net_prefix_parse(struct net_prefix *p, const char *text, struct err *e);
/* A peer whose address is not known came by a unix socket, and is trusted. */
bool trusted_has(const struct trusted *t, const struct addr *peer);
/* The last address of the list that no trusted proxy has; if all have one, the first. False: there is none, or
 * one on the way is not valid. */
bool forwarded_source(const struct trusted *t, const char *list, struct addr *source);

#endif
