/* testing/bridge_rig.h -- a bridge on a loop without sockets: the portals and the targets are a test's.
 * The dispatcher's outbounds take every flow: those to the domain are links, the others are targets.
 * Thread: one. A broken promise of the rig itself traps. */
#ifndef V2C_TESTING_BRIDGE_RIG_H
#define V2C_TESTING_BRIDGE_RIG_H

#include "reverse/bridge.h"
#include "routing/dispatch.h"
#include "testing/mux_rig.h"

enum { BRIDGE_CARRIERS = 50, TARGETS_MAX = 1000, LINKS_SEEN_MAX = 1000, OUTS = 3 };

struct bridge_rig {
    struct rig rig;
    struct bridge_conf conf;
    struct rules rules;
    struct dispatcher dispatcher;
    struct outbound outs[OUTS]; /* the first is the default one */
    struct outbound *numbered[OUTS];
    struct inbound *bridge;
    struct far *links[LINKS_SEEN_MAX], *targets[TARGETS_MAX];
    int at[LINKS_SEEN_MAX]; /* the outbound that took the link */
    size_t link_count, target_count;
    bool answered[LINKS_SEEN_MAX]; /* by link_up() or link_v2c() */
    bool refuses;
};

/* share: of links to each portal; 0: no bridge yet. */
void bridge_rig_init(struct bridge_rig *t, unsigned share);
void bridge_rig_start(struct bridge_rig *t, unsigned share);
void bridge_rig_stop(struct bridge_rig *t);
bool bridge_rig_fini(struct bridge_rig *t); /* false: something stayed behind */

void bridge_wait(struct bridge_rig *t, double seconds); /* at once */
/* In small steps, in which all portals that have answered speak, but those that `refuses`. */
void bridge_live(struct bridge_rig *t, double seconds);
/* Waits for the link with this number and lets its portal, an old one, speak. */
struct far *link_up(struct bridge_rig *t, size_t i);
/* The same for a v2c portal, of which this worker has the link. */
struct far *link_v2c(struct bridge_rig *t, size_t i, uint8_t shard, uint8_t shards);
unsigned links_open(const struct bridge_rig *t);

void say_new(struct far *wire, uint16_t id, enum net net, const char *host, uint16_t port,
             bool drain);
/* So many TCP streams, from this id on. */
void say_streams(struct bridge_rig *t, struct far *wire, uint16_t first, unsigned count);

#endif
