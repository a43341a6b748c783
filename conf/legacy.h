/* conf/legacy.h -- the shape of configs before V2Ray 4: inbound, inboundDetour, outbound, outboundDetour
 * and a port at the top level. Thread: one. */
#ifndef V2C_CONF_LEGACY_H
#define V2C_CONF_LEGACY_H

#include "conf/root.h"

/* Fills root's lists: the single object, the detours, then the array, as V2Ray orders them. */
void legacy_collect(struct report *r, struct arena *a, struct root *root);

#endif
