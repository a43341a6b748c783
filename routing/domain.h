/* routing/domain.h -- a set of domain conditions of one rule; any of them suffices.
 * Forms: "text" and "keyword:text" (substring), "domain:a.b" (it and its sub-domains), "full:a.b",
 * "regexp:..." (unanchored; no look-around, no back-references), "dotless:text" (substring of a name
 * without a dot; "dotless:" alone: any such name).
 * Thread: built by conf, then immutable and read by any thread. Names are compared in the normal form of
 * addr_normalise_name(), the conditions are brought into it too. */
#ifndef V2C_ROUTING_DOMAIN_H
#define V2C_ROUTING_DOMAIN_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

struct domain_set;

struct domain_set *domain_set_new(void); /* NULL: out of memory */
int domain_set_add(struct domain_set *s, const char *text, struct err *e);
bool domain_set_match(const struct domain_set *s, const char *name); /* name: normal form */
void domain_set_free(struct domain_set *s);

#endif
