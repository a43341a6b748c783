/* core/outbound.h -- what takes flows: a dialer, freedom, blackhole, a portal. One instance per loop.
 * Thread: its loop. */
#ifndef V2C_CORE_OUTBOUND_H
#define V2C_CORE_OUTBOUND_H

#include "core/flow.h"
#include "core/health.h"

struct outbound;
struct carriage;
struct dispatcher;

struct outbound_ops {
    /* Becomes the flow's second end (flow_join) or refuses it (flow_refuse); now or never. */
    void (*open)(struct outbound *out, struct flow *f);
    /* Tells peers to go elsewhere; what is open goes on, new flows are still taken where nobody else can.
     * NULL: nothing to tell. */
    void (*drain)(struct outbound *out);
    /* Once drained: some peers have not been told yet. NULL: all hear it at once. */
    bool (*tells)(const struct outbound *out);
    /* Once drained: free would cut what is worth waiting for. NULL: nothing is. */
    bool (*busy)(const struct outbound *out);
    /* False: what is sent here now goes nowhere, as to a portal without a bridge; counts what there is on all
     * loops. NULL: it cannot know. */
    bool (*alive)(const struct outbound *out);
    void (*free)(struct outbound *out); /* the open flows live on */
};

struct outbound {
    const struct outbound_ops *ops;
    struct loop *loop;
    const char *tag;               /* config's; "" when untagged */
    const struct policy *policy;   /* its flows idle no longer than this says; NULL: no matter */
    struct health *health;         /* what the observatory finds out; NULL: nobody observes it */
    struct carriage *carriage;     /* how its connections travel; NULL: plain tcp */
    const char *via;               /* the tag of the outbound through which it dials; NULL: none */
    struct dispatcher *dispatcher; /* where `via` is found */
};

/* Neither it nor an observer says that it leads nowhere. */
static inline bool outbound_is_alive(const struct outbound *out)
{
    return (!out->ops->alive || out->ops->alive(out)) &&
           (!out->health || health_delay(out->health) != HEALTH_DEAD);
}

#endif
