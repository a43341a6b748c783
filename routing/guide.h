/* routing/guide.h -- where a request goes. In this order: routes for its host or a wildcard (of the configuration, and of a
 * watched file); who holds the hostname, of the bridges of the portal; the same of the portals that it is one service with;
 * the service that is looked up; routes for any host.
 * Who knows the host decides alone.
 * Thread: a guide is one loop's; its conf is shared. Ownership: the conf belongs to the configuration. */
#ifndef V2C_ROUTING_GUIDE_H
#define V2C_ROUTING_GUIDE_H

#include "routing/claims.h"
#include "routing/lookups.h"
#include "routing/route_table.h"

struct guide_conf {
    struct route_table *table;
    bool has_portal;
    size_t portal;      /* where claimed and looked-up tunnels are, as rules number outbounds */
    const char *tenant; /* of looked-up tunnels; kept; NULL: none */
    struct lookups_conf lookups; /* url "": there is no service */
};

/* Who knows which hostnames the portal's bridges hold. They outlive the guide. */
struct guide_holders {
    struct claims *claims;      /* here; NULL: there is no portal */
    struct host_finder *others; /* in the cluster; NULL: the portal stands alone */
    uint64_t portal;            /* its key there */
};

struct guide;

/* Takes the asker, also when it fails. NULL: out of memory. */
struct guide *guide_new(const struct guide_conf *conf, const struct guide_holders *holders,
                        struct lookups_asker *asker);
void guide_adopt(struct guide *g, const struct guide_conf *conf,
                 const struct guide_holders *holders);
void guide_free(struct guide *g); /* g may be NULL; who waits is not told */

/* STEP_DONE: `to` says where. STEP_FAIL: to->kind is ROUTE_NONE, nobody knows the host or this path of it, or
 * ROUTE_AWAY, who may know it does not answer. STEP_MORE: w is told later, from the loop, and then asks again; or
 * lookup_forget(w) before. now: of loop_steady(). */
enum step guide_ask(struct guide *g, const struct route_asked *asked, double now,
                    struct route_to *to, struct lookup_wait *w);
/* The same, but only what bridges were given: the names that a portal gives are below its domain, and so among those that
 * mean something to this process. */
enum step guide_claimed(struct guide *g, const struct route_asked *asked, double now,
                        struct route_to *to, struct lookup_wait *w);

#endif
