/* routing/index.h -- finds the few of many rules that can match, and asks only them, in their order.
 * A rule lies under the values of that one of its conditions which it shares with the fewest others; a
 * query names the values that it has. What is found is still matched in full, so the index may name too
 * many rules and never too few. Rules without a condition that can be listed are asked always.
 * Thread: built with the rules, then immutable. Ownership: rule_index_new() gives it away; it points to the
 * rules. Keys are hashes under a secret: nobody can aim at one chain. */
#ifndef V2C_ROUTING_INDEX_H
#define V2C_ROUTING_INDEX_H

#include "routing/rule.h"

enum { RULE_INDEX_FROM = 24 }; /* rules: fewer are faster one after the other */

struct rule_index *rule_index_new(const struct rule *rules, size_t count); /* NULL: out of memory */
const struct rule *rule_index_match(const struct rule_index *ix, const struct query *q);
/* As rules_lack(): of which facts rules ask that may match and stand before the first that matches anyway. */
unsigned rule_index_lack(const struct rule_index *ix, const struct query *q, unsigned unknown);
void rule_index_free(struct rule_index *ix);

#endif
