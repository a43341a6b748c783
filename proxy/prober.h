/* proxy/prober.h -- the observatory: asks for a page through each of some outbounds, again and again, and tells their
 * health whether an answer came, and how soon. Any HTTP answer is one. A probe is a flow like any other, but made here.
 * What knows itself that it leads nowhere, as a portal without a bridge, is not asked.
 * Thread: one loop; health is read on all. Units: seconds. Ownership: freed by prober_free(), with its probes. */
#ifndef V2C_PROXY_PROBER_H
#define V2C_PROXY_PROBER_H

#include "core/outbound.h"

struct carriage;

struct observed {
    size_t outbound; /* as rules number them */
    struct health *health;
};

struct prober_conf {
    struct addr target;        /* of the page */
    const char *request;       /* for it, whole */
    struct carriage *carriage; /* what lies between the outbound and HTTP: tls; NULL: nothing */
    double interval;           /* from the beginning of a round to the next one's */
    bool concurrent;           /* all at once, not one after the other */
    struct observed *items;
    size_t count;
};

struct prober;

/* All but its conf's health is only read. They outlive it. NULL: out of memory. */
struct prober *prober_new(struct loop *l, const struct prober_conf *conf,
                          struct outbound *const *outbounds, const struct policy *policy);
void prober_start(struct prober *p); /* with a round */
void prober_free(struct prober *p);  /* p may be NULL */

#endif
