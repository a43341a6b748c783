/* reverse/view.h -- a bridge's links and a portal's carriers, for somebody who looks at them.
 * Thread: the loop of what is looked at. Ownership: a view is valid within the call. */
#ifndef V2C_REVERSE_VIEW_H
#define V2C_REVERSE_VIEW_H

#include "core/flow.h"
#include "core/inbound.h"
#include "core/outbound.h"

struct link_view {
    const char *tag;
    const struct flow *flow;
    uint64_t bridge; /* the same for all links of one bridge; 0: an old one, which does not say */
    unsigned streams;
    double lag; /* seconds that its last answer to a ping took; 0: none came yet */
    bool up;    /* both sides have spoken, or it came to us */
    bool v2c;   /* the peer is */
    bool silent, draining;
    bool refused;   /* the portal does not want it */
    uint8_t weight; /* docs/link.md */
    const char *tunnel, *node,
        *cluster;       /* by which visitors find a carrier, or a bridge calls itself; "": none */
    const char *tenant; /* NULL: none; kept */
};

typedef void link_seen(void *with, const struct link_view *v);

/* in: a bridge; out: a portal. */
struct host_view {
    const char *tag;      /* of the bridge; kept */
    const char *outbound; /* as below */
    const char *host;     /* for which it has asked; "": any */
    uint8_t answer;       /* enum link_host_answer, or one we do not know; 0: none yet */
};

typedef void host_seen(void *with, const struct host_view *v);
void bridge_look_at_hosts(const struct inbound *in, host_seen *seen, void *with);

/* outbound: by which it leads to its portal; "": by none yet. */
typedef void way_seen(void *with, const char *tag, const char *outbound);
void bridge_look_at_ways(const struct inbound *in, way_seen *seen, void *with);
void bridge_look(const struct inbound *in, link_seen *seen, void *with);
void portal_look_at(const struct outbound *out, link_seen *seen, void *with);

#endif
