/* routing/dispatch.h -- where a new flow goes: the first rule that matches, else the default outbound.
 * Thread: one dispatcher per loop; its rules are the config's. */
#ifndef V2C_ROUTING_DISPATCH_H
#define V2C_ROUTING_DISPATCH_H

#include "core/flow.h"
#include "core/log.h"
#include "core/outbound.h"
#include "routing/balance.h"
#include "routing/rule.h"

struct dispatcher {
    struct loop *loop;
    const struct rules *rules;
    struct outbound **outbounds; /* as the rules number them */
    size_t count;
    const struct balancers *balancers;
    struct outbound *fallback; /* NULL: what no rule matches is refused */
    struct log_limit refused;  /* what balancers could give to nobody */
    struct outbound *mux;      /* takes requests of authenticated users for the Mux.Cool name */
};

/* The destination by which a client asks for many streams on one connection. */
#define MUX_NAME "v1.mux.cool"

/* An authenticated client asks for many streams on one connection. */
bool asks_for_mux(const struct meta *m);

/* Gives the flow its second end. The flow's maker must be ready to be woken. */
void dispatch(struct dispatcher *d, struct flow *f);
/* The same without asking the rules: to this outbound. */
void dispatch_to(struct dispatcher *d, struct flow *f, size_t outbound);

/* NULL: there is none. */
struct outbound *dispatcher_find(const struct dispatcher *d, const char *tag);
/* Another outbound dials through this one. No rule sent the flow, so it never is a bridge's link. */
void dispatch_through(struct outbound *out, struct flow *f);

#endif
