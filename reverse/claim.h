/* reverse/claim.h -- what a user may have of a portal: tunnels, hostnames, names of nodes and clusters.
 * Thread: any; pure. Nothing is owned. A portal without claims lets each of its bridges have any tunnel, node
 * and cluster that nobody else has, and no hostname. */
#ifndef V2C_REVERSE_CLAIM_H
#define V2C_REVERSE_CLAIM_H

#include "core/hostname.h"
#include "core/meta.h"
#include "reverse/reverse.h"

/* Sorts as claim_range() wants them: by user. */
int claim_compare(const void *a, const void *b);

/* A bridge may be this tunnel, of which the id is known; then its tenant and whether it is private are, too. False:
 * no claim of its user says so. */
bool claim_serves(const struct portal_conf *conf, const struct meta *who, struct tunnel_name *t);
/* The same of a user who wants to visit it by its name. */
bool claim_visits(const struct portal_conf *conf, const struct meta *who, struct tunnel_name *t);
/* Of the user's first claim, kept; NULL: of no tenant. */
const char *claim_tenant(const struct portal_conf *conf, const struct meta *who);
/* A bridge of this tenant may say that it is this node, or of this cluster. */
bool claim_names(const struct portal_conf *conf, const struct meta *who, const char *tenant,
                 enum tunnel_by by, const char *name);
/* ... may be reached under this hostname. */
bool claim_host(const struct portal_conf *conf, const struct meta *who, const char *tenant,
                const struct hostname_pattern *host);

#endif
