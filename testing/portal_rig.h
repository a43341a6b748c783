/* testing/portal_rig.h -- portals on loops without sockets: bridges and visitors that a test plays.
 * Thread: one, which turns all loops. A broken promise of the rig itself traps. */
#ifndef V2C_TESTING_PORTAL_RIG_H
#define V2C_TESTING_PORTAL_RIG_H

#include "reverse/portal.h"
#include "testing/mux_rig.h"

enum { PORTAL_CARRIERS = 50, PORTAL_VISITORS = 51, BRIDGES_MAX = 32 };

extern const struct user portal_user; /* may be a bridge */

struct portal_rig {
    struct rig rig;
    struct portal_conf conf;
    struct outbound *portal;
    struct far *bridges[BRIDGES_MAX];
    size_t bridge_count;
};

/* The loop with this index of those that share `shards`. */
void portal_rig_init(struct portal_rig *t, struct portal_shards *shards, unsigned index);
void portal_rig_stop(struct portal_rig *t); /* frees the portal */
/* False: a flow stayed behind, or a gauge. */
bool portal_rig_fini(struct portal_rig *t);

/* A flow to this host; the portal has it, the loop has not turned yet. */
struct far *portal_asked(struct portal_rig *t, const char *host, struct meta m);
struct far *bridge_comes(struct portal_rig *t); /* an old one, which says nothing */
struct far *bridge_of_streams(struct portal_rig *t, uint16_t streams); /* v2c; at once, at most */
struct far *bridge_v2c(struct portal_rig *t);
struct far *bridge_link(struct portal_rig *t,
                        uint64_t instance); /* one of several of that bridge */
struct far *visitor_comes(struct portal_rig *t);
struct far *visitor_says(struct portal_rig *t, const char *text);
/* Time passes in small steps, in which all bridges speak but those that `refuses` or left. */
void portal_wait(struct portal_rig *t, double seconds);

/* What a portal wrote to a bridge since it was last asked; without its control stream and its probes. */
struct said {
    struct {
        uint16_t id;
        bool error;
    } ends[128];
    uint16_t news[128];
    unsigned new_count, end_count, item_count;
    struct link_item items[128];
    char data[40 * 1024]; /* of all streams, terminated */
    size_t len;
};

struct said *hear(struct portal_rig *t, struct far *wire); /* valid until the next call */
unsigned heard_items(const struct said *s, enum link_type type);
/* The last stream opened there; it is demanded that there is one. */
uint16_t newest(struct portal_rig *t, struct far *wire);
/* The bridge's words about a stream. */
void say_opened(struct far *wire, uint16_t id);
void say_refused(struct far *wire, uint16_t id, enum link_refusal why);
void say_data(struct far *wire, uint16_t id, const char *text);
void say_end(struct far *wire, uint16_t id, bool error);

#endif
