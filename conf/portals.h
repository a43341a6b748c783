/* conf/portals.h -- what the portals of one tag share over all workers, for every portal that the process
 * ever had: flows between loops may still point there when it is gone.
 * Thread: the main thread. Ownership: freed when all loops have ended. */
#ifndef V2C_CONF_PORTALS_H
#define V2C_CONF_PORTALS_H

#include <stddef.h>

#include "reverse/portal.h"

struct portals {
    struct portal_shards **all;
    size_t count;
};

/* One more. NULL: out of memory. */
struct portal_shards *portals_add(struct portals *p, unsigned loops);
void portals_fini(struct portals *p);

#endif
