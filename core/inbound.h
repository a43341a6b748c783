/* core/inbound.h -- what makes flows: a listener, a bridge. One instance per loop and configured inbound.
 * Thread: its loop. Ownership: made by its module's *_new(), freed by its free(). */
#ifndef V2C_CORE_INBOUND_H
#define V2C_CORE_INBOUND_H

#include "core/err.h"
#include "core/loop.h"

struct dispatcher;
struct inbound;

struct inbound_ops {
    /* Makes no new flows from here on, and tells peers so: they go elsewhere. NULL: nothing
     * to do before free. */
    void (*drain)(struct inbound *in);
    /* Once drained: free would cut what is worth waiting for. NULL: nothing is. */
    bool (*busy)(const struct inbound *in);
    void (*free)(struct inbound *in); /* stops making flows and frees; the open ones live on */
};

struct inbound {
    const struct inbound_ops *ops;
    struct loop *loop;
    struct dispatcher *dispatcher; /* where its flows go */
    const char *tag;               /* config's; "" when untagged */
};

#endif
