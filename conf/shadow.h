/* conf/shadow.h -- rules that can never match, because one before them matches all that they do.
 * Thread: one. Ownership: nothing; works in the arena of the load. Says nothing about what it cannot tell: two
 * regular expressions, two lists. Bounded work: of very many rules only the first are compared. */
#ifndef V2C_CONF_SHADOW_H
#define V2C_CONF_SHADOW_H

#include "conf/value.h"

/* rules: in the order in which they are asked. */
void shadow_check(struct report *r, struct arena *a, const struct node_list *rules);

#endif
