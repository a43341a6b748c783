/* reverse/reverse.h -- what conf knows of bridges and portals. Immutable, and kept for the life of the
 * process: carriers outlive configurations. */
#ifndef V2C_REVERSE_REVERSE_H
#define V2C_REVERSE_REVERSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/addr.h"
#include "core/user.h"

struct sniff_conf;

/* The server behind a bridge, and how it is asked whether it is there. */
struct origin_conf {
    struct addr address;
    const char *request;      /* of HTTP, whole; NULL: that it takes a connection is enough */
    double interval, timeout; /* seconds */
    unsigned rise, fall; /* good answers in a row until it is up again, bad ones until it is down */
};

struct bridge_conf {
    const char *tag;    /* acts as an inbound tag */
    const char *domain; /* as configured: sent byte for byte, peers compare it exactly */
    struct traffic traffic;
    int carriers_slot;     /* gauge: carriers up now */
    unsigned connections;  /* links to keep to each portal, 1..64, over all loops */
    const size_t *portals; /* outbounds, as the rules number them, one for each portal; */
    size_t portal_count;   /* 0: the rules find the portal */
    const struct sniff_conf *sniffing;   /* of what portals open; NULL: nothing */
    const char *node, *cluster, *tenant; /* as docs/link.md has them; NULL: none */
    const char *const *hosts;            /* by which visitors should find it, each once; "": any */
    size_t host_count;
    const struct origin_conf *health; /* NULL: nobody asks */
    uint8_t weight;                   /* against others of its tunnel, 1..255 */
};

struct patterns {
    const char *const *items;
    size_t count;
};

/* What somebody may have of a portal: claim.h. Names in lower case. */
struct portal_claim {
    const char *user;        /* his email; NULL: whoever has the certificate */
    const char *certificate; /* certificate_is(); NULL: any or none */
    const char *tenant;      /* NULL: none */
    struct patterns tunnels, visits, hosts, nodes, clusters;
    bool is_private;
};

enum portal_choice { CHOICE_LEAST_LOAD, CHOICE_ROUND_ROBIN, CHOICE_SOURCE_HASH };

struct portal_conf {
    const char *tag; /* acts as an outbound tag */
    const char
        *domain; /* "*.tunnel.example": there are many tunnels, and a bridge asks for one of them */
    const char
        *host_domain; /* below it are the hostnames that it gives; NULL: "*" has a place there */
    const char *control_domain; /* NULL: reverse.internal.v2fly.org, then what the peer knows */
    const char *const *users;   /* emails that may be bridges; NULL: whoever a rule sends here */
    size_t user_count;
    struct traffic traffic;
    int carriers_slot, visitors_slot; /* gauges */
    enum portal_choice choice;
    size_t max_tunnels; /* names of tunnels, nodes and clusters, of each kind */
    const struct portal_claim *const *claims; /* sorted by claim_compare(); NULL: none */
    size_t claim_count;
    bool has_private; /* some claim is, or one of its tunnels */
};

#endif
