/* reverse/reverse.h -- what conf knows of bridges and portals. Immutable, and kept for the life of the
 * process: carriers outlive configurations. */
#ifndef V2C_REVERSE_REVERSE_H
#define V2C_REVERSE_REVERSE_H

#include <stddef.h>

#include "core/user.h"

struct sniff_conf;

struct bridge_conf {
    const char *tag;    /* acts as an inbound tag */
    const char *domain; /* as configured: sent byte for byte, peers compare it exactly */
    struct traffic traffic;
    int carriers_slot;     /* gauge: carriers up now */
    unsigned connections;  /* links to keep to each portal, 1..64, over all loops */
    const size_t *portals; /* outbounds, as the rules number them, one for each portal; */
    size_t portal_count;   /* 0: the rules find the portal */
    const struct sniff_conf *sniffing; /* of what portals open; NULL: nothing */
};

struct portal_conf {
    const char *tag; /* acts as an outbound tag */
    const char *domain;
    const char *control_domain; /* NULL: reverse.internal.v2fly.org, then what the peer knows */
    const char *const *users;   /* emails that may be bridges; NULL: whoever a rule sends here */
    size_t user_count;
    struct traffic traffic;
    int carriers_slot, visitors_slot; /* gauges */
};

#endif
