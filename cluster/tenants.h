/* cluster/tenants.h -- names of tenants that others said, kept for the life of the process: names of tunnels point to them.
 * Thread: any, under its own lock. Bounded: TENANTS_MAX, of which all that the configuration has may be among. */
#ifndef V2C_CLUSTER_TENANTS_H
#define V2C_CLUSTER_TENANTS_H

#include <stdbool.h>
#include <stddef.h>

enum { TENANTS_MAX = 16384 };

struct tenants;

struct tenants *tenants_new(void);    /* NULL: out of memory */
void tenants_free(struct tenants *t); /* t may be NULL */
/* The one copy of this name, of 1 to 63 bytes; *kept NULL for len 0. False: too long, or there is no room for it. */
bool tenants_keep(struct tenants *t, const char *name, size_t len, const char **kept);

#endif
