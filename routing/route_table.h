/* routing/route_table.h -- the routes as they are now: another table may take their place while loops look into it.
 * Thread: route_table_set() one at a time; a reader is one loop's. Ownership: a reader holds a share of what it saw last. */
#ifndef V2C_ROUTING_ROUTE_TABLE_H
#define V2C_ROUTING_ROUTE_TABLE_H

#include <stdatomic.h>

#include "routing/routes.h"

struct route_table;

struct route_table *
route_table_new(struct routes *first);        /* takes the share; NULL: out of memory */
void route_table_free(struct route_table *t); /* t may be NULL; readers go first */
void route_table_set(struct route_table *t, struct routes *r); /* takes the share */

struct route_reader { /* zeroed: it saw nothing yet */
    struct routes *routes;
    unsigned version;
};

/* The routes as they are now, valid until the reader's next call. */
const struct routes *route_reader_now(struct route_reader *r, struct route_table *t);
void route_reader_fini(struct route_reader *r);

#endif
