/* routing/claims.h -- which tunnel holds which hostname, of those that bridges asked for: first come, first served.
 * Whether a bridge may ask for a name its portal decides before. A tunnel holds a name while one of its carriers does,
 * and for CLAIM_LINGER seconds after the last one left, so that nobody takes it away in between.
 * Thread: any, under its own lock. Ownership: claims_free(). Units: seconds of loop_steady().
 * Bounded: `max` names; one that lingers gives way to a new one when there is no room. */
#ifndef V2C_ROUTING_CLAIMS_H
#define V2C_ROUTING_CLAIMS_H

#include "core/hostname.h"
#include "core/meta.h"

enum { CLAIM_LINGER = 60 };

enum claim_answer { CLAIM_GRANTED, CLAIM_TAKEN, CLAIM_FULL };

struct claims;

struct claims *claims_new(size_t max); /* NULL: out of memory */
void claims_free(struct claims *c);    /* c may be NULL */
/* For one more carrier of the holder, whose tenant must be kept. CLAIM_FULL: also out of memory. The last one that takes it
 * says whether it is private. */
enum claim_answer claims_take(struct claims *c, const struct hostname_pattern *host,
                              const struct tunnel_name *holder, bool is_private, double now);
/* For each claims_take() that was granted, once. */
void claims_leave(struct claims *c, const struct hostname_pattern *host,
                  const struct tunnel_name *holder, double now);
/* Who holds the host (text of a struct hostname), or else the longest wildcard it is within. False: nobody. */
bool claims_find(struct claims *c, const char *host, double now, struct tunnel_name *holder,
                 bool *is_private);
size_t claims_count(struct claims *c); /* with those that linger */

#endif
