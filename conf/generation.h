/* conf/generation.h -- a configuration that several threads use: it goes when the last one has let go of it.
 * Thread: any. */
#ifndef V2C_CONF_GENERATION_H
#define V2C_CONF_GENERATION_H

#include <stdatomic.h>

#include "conf/config.h"
#include "conf/portals.h"
#include "proxy/vmess_guard.h"

struct generation {
    _Atomic unsigned shares;
    struct config *config;
    /* Made by the plan: */
    struct portal_shards **portals; /* by outbound, NULL where it is no portal */
    struct vmess_guard *guard;      /* of all vmess inbounds, also of those before; a share */
};

/* With one share, the caller's. Takes c. NULL: out of memory, and c is still the caller's. */
struct generation *generation_new(struct config *c);
struct generation *generation_ref(struct generation *g);
void generation_unref(struct generation *g); /* g may be NULL */

#endif
