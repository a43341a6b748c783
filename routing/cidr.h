/* routing/cidr.h -- a set of IP networks, kept as sorted, merged ranges: nested ones are no special case.
 * Thread: built by conf (add..., then seal), then immutable. */
#ifndef V2C_ROUTING_CIDR_H
#define V2C_ROUTING_CIDR_H

#include <stdbool.h>

#include "core/addr.h"
#include "core/err.h"

struct cidr_set;

struct cidr_set *cidr_set_new(void);                                   /* NULL: out of memory */
int cidr_set_add(struct cidr_set *s, const char *text, struct err *e); /* "ip" or "ip/len" */
int cidr_set_seal(struct cidr_set *s);                                 /* sorts and merges */
bool cidr_set_match(const struct cidr_set *s, const struct addr *ip);  /* false for a name */
void cidr_set_free(struct cidr_set *s);

#endif
