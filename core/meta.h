/* core/meta.h -- what is known of a flow: who, from where, to where, by which way. */
#ifndef V2C_CORE_META_H
#define V2C_CORE_META_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/addr.h"
#include "core/certificate.h"
#include "core/user.h"

struct sniff_conf;

enum net {
    NET_TCP = 1,
    NET_UDP = 2
}; /* also the numbers of Mux.Cool and VMess, and bits of a mask */

/* How a visitor names the tunnel that he wants, of a portal that has many. */
enum tunnel_by {
    TUNNEL_UNNAMED,
    TUNNEL_BY_ID,
    TUNNEL_BY_NODE,
    TUNNEL_BY_CLUSTER,
    TUNNEL_PRIVATE /* by id; only a portal says so, of a user who may */
};

enum { TUNNEL_NAME_MAX = 63 };

struct tunnel_name {
    const char *tenant; /* kept; NULL: of no tenant. The same name of two tenants is two tunnels */
    uint8_t by;         /* enum tunnel_by */
    char text[TUNNEL_NAME_MAX + 1]; /* lower case */
    uint32_t bridge; /* a portal's own: of the bridge that it chose; 0: none. No part of the name */
};

/* Tenants that other portals named are kept elsewhere than those of the configuration: only texts tell. */
bool tenant_equal(const char *a, const char *b);
bool tunnel_name_equal(const struct tunnel_name *a, const struct tunnel_name *b);

struct meta {
    enum net net;
    struct addr source; /* ADDR_NONE when nobody told, as on a bridge with an old portal */
    struct addr target;
    const char *inbound_tag;  /* never NULL; "" when untagged */
    const struct user *user;  /* NULL unless the inbound authenticated one */
    const char *outbound_tag; /* set by dispatch; "" before */
    bool by_rule;             /* a rule, not the default, chose the outbound */
    bool guessed;  /* the target's name was sniffed: nobody who authenticated asked for it */
    bool by_claim; /* its tunnel was chosen because it holds the target's name */
    bool
        forwarded; /* another portal of the cluster sent it: it goes to a link of this process or nowhere */
    bool no_look_up; /* it serves to look names up: rules take its target as it is */
    /* What the inbound wants to be looked for in the first bytes (routing/sniff.h); NULL: nothing. Kept. */
    const struct sniff_conf *sniffing;
    /* An HTTP request's line and headers, as the inbound read them, for rules with attrs. Valid until
     * dispatch() returns; NULL: it is no HTTP request that the inbound could read. */
    const char *head;
    size_t head_len;
    struct certificate
        certificate; /* of who connected, where the inbound verifies one (tlsSettings) */
    struct tunnel_name
        tunnel; /* for a portal with many; unnamed: the target says it, or there is one */
};

#endif
