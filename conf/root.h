/* conf/root.h -- the top level: one file's objects, and several files as one.
 * Thread: one. Ownership: nodes and lists live in the arena of the load. */
#ifndef V2C_CONF_ROOT_H
#define V2C_CONF_ROOT_H

#include "conf/value.h"

struct root {
    const struct node *log, *routing, *reverse, *policy, *stats, *api, *dns, *transport,
        *observatory, *cluster;
    const struct node *workers, *memory, *drain;
    const struct node *inbound_array, *outbound_array;
    /* the names of before V2Ray 4: see legacy.h */
    const struct node *inbound, *outbound, *inbound_detour, *outbound_detour, *port;
    struct node_list inbounds, outbounds; /* of all forms together */
    const struct node *at;                /* the first file's object, for messages about nothing */
};

extern const struct field root_fields[];

void root_read(struct report *r, struct arena *a, const struct node *at, struct root *root);

#endif
