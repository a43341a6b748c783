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

enum claim_answer { CLAIM_GRANTED, CLAIM_ASKED, CLAIM_TAKEN, CLAIM_FULL };

struct claims;

struct claims *claims_new(size_t max); /* NULL: out of memory */
void claims_free(struct claims *c);    /* c may be NULL */
/* For one more carrier of the holder, whose tenant must be kept. CLAIM_FULL: also out of memory. The last one that takes it
 * says whether it is private. */
enum claim_answer claims_take(struct claims *c, const struct hostname_pattern *host,
                              const struct tunnel_name *holder, bool is_private, double now);
/* The same where others have a say. CLAIM_ASKED: until claims_decide() nobody finds it, unless it lingers, but no other
 * tunnel can have it either. */
enum claim_answer claims_ask(struct claims *c, const struct hostname_pattern *host,
                             const struct tunnel_name *holder, bool is_private, double now);
/* What the others said, for all carriers of the holder. What it has not it shall leave. */
void claims_decide(struct claims *c, const struct hostname_pattern *host,
                   const struct tunnel_name *holder, bool granted);
/* For each claims_take() that was granted and each claims_ask() that was not refused, once. True: that was the last. */
bool claims_leave(struct claims *c, const struct hostname_pattern *host,
                  const struct tunnel_name *holder, double now);
/* Who holds the host (text of a struct hostname), or else the longest wildcard it is within. False: nobody. */
bool claims_find(struct claims *c, const char *host, double now, struct tunnel_name *holder,
                 bool *is_private);
/* Another tunnel asks for it elsewhere, where the same is done: true, it has to leave it to *holder. Of two that both ask,
 * all say the same, and the one that has to yield must ask once more, since who was asked before may have said yes. */
bool claims_contest(struct claims *c, const struct hostname_pattern *host,
                    const struct tunnel_name *asks, double now, struct tunnel_name *holder);
/* All others said yes. False: meanwhile it was contested, and they have to be asked again. */
bool claims_confirm(struct claims *c, const struct hostname_pattern *host,
                    const struct tunnel_name *holder);
/* Exactly this name: whose it is, and how many carriers hold it; asked: it was not granted yet. False: nobody's. */
bool claims_look(struct claims *c, const struct hostname_pattern *host, double now,
                 struct tunnel_name *holder, unsigned *carriers, bool *asked);
size_t claims_count(struct claims *c); /* with those that linger */

#endif
