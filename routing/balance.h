/* routing/balance.h -- one of several outbounds for each flow: of those that are alive, by a strategy: any of them at
 * random, in turn, or the one that answered the observatory soonest (at random while none has).
 * A portal without a bridge is dead, and so is what the observatory found dead. When none is alive the fallback takes
 * the flow, and without a fallback nobody does: never the default outbound, which may lead somewhere else.
 * Thread: a balancer is built by conf, then immutable; its state is atomic, and shared by all loops.
 * Ownership: the configuration's; the state has counted shares and passes on to a balancer of the same tag in the next
 * configuration. `all`: the loop's outbounds, as rules number them. */
#ifndef V2C_ROUTING_BALANCE_H
#define V2C_ROUTING_BALANCE_H

#include "core/outbound.h"

enum balance_strategy { BALANCE_RANDOM, BALANCE_ROUND_ROBIN, BALANCE_LEAST_PING };

struct balance_state;

struct balancer {
    const char *tag;
    enum balance_strategy strategy;
    const size_t *outbounds; /* the candidates, sorted by tag */
    size_t count;
    bool has_fallback;
    size_t fallback;             /* an outbound's index, too */
    struct balance_state *state; /* set before any loop uses it */
};

struct balancers {
    struct balancer *items;
    size_t count;
};

struct balance_state *balance_state_new(void); /* NULL: out of memory */
struct balance_state *balance_state_ref(struct balance_state *s);
void balance_state_unref(struct balance_state *s); /* s may be NULL */

/* For one flow. NULL: there is none. */
struct outbound *balance_choose(const struct balancer *b, struct outbound *const *all);

/* The balancer of this tag, NULL: there is none. */
const struct balancer *balancers_find(const struct balancers *bs, const char *tag);
/* From now on every flow goes there, alive or not: one of the candidates, or the fallback. It holds until it is
 * cleared (tag NULL), also across a change of the configuration. False: the tag is none of these. */
bool balance_override(const struct balancer *b, struct outbound *const *all, const char *tag);
/* Where the override sends flows; NULL: there is none, or what it names is no candidate any more. */
struct outbound *balance_overridden(const struct balancer *b, struct outbound *const *all);
/* The one that every flow would get now; NULL: it depends on luck or turn, or there is none. */
struct outbound *balance_settled(const struct balancer *b, struct outbound *const *all);

/* "random", "roundRobin", "leastPing" */
const char *balance_strategy_name(enum balance_strategy s);

#endif
