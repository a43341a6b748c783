/* testing/mux_rig.h -- muxes on a real loop without sockets. A `far` is a test's end of a flow: it records
 * what it gets and does what the test says. A carrier's other end is a far too (then the test speaks
 * frames), or a relay that joins a client's carrier with a server's.
 * Thread: one. A broken promise of the rig itself traps. */
#ifndef V2C_TESTING_MUX_RIG_H
#define V2C_TESTING_MUX_RIG_H

#include "mux/mux.h"

enum { RIG_SLOTS = 64, RIG_PACKETS = 80, RIG_VISITORS = 60, RIG_UP = 61, RIG_DOWN = 62 };
enum { RIG_RELAYS = 3, RIG_TRIES = 3 };

struct far {
    struct end end;
    struct far *next;
    struct flow *flow;
    uint8_t *bytes; /* all it got */
    size_t len, room, read;
    size_t packet_len[RIG_PACKETS], packets; /* and how a datagram flow cut it */
    bool refuses;                            /* takes nothing */
    bool eof, failed, left;
    unsigned drains; /* times it was asked to */
    bool was_opened; /* when it left: the target was reached, after so many links */
    unsigned tries;
    char why[100]; /* it failed */
};

/* Moves bytes between two flows in pieces of 1..piece bytes. */
struct relay {
    struct end ends[2];
    bool left[2];
    size_t piece;
    uint32_t dice;
    bool paused; /* moves nothing, see relay_go() */
};

struct rig {
    struct loop loop;
    struct policy policy;
    struct relay relays[RIG_RELAYS];
    size_t relay_count;
    struct far *fars;
};

/* A mux, and what its owner heard. */
struct peer {
    struct mux mux;
    struct rig *rig;
    struct far *opened[600]; /* server: the targets, in order */
    struct mux_frame frames[600];
    size_t opened_count;
    int refuses; /* server: every New, for this reason (enum link_refusal) */
    size_t full; /* server: New for which there was no memory */
    bool slow;   /* server: targets are not reached until far_reached() */
    bool alive, closed;
    int why;
    struct peer
        *elsewhere; /* client: where streams go that were not opened here; NULL: they fail */
    unsigned tries; /* what the last one of them had */
    size_t unopened, answered, refused;
    int refusal;            /* the last one */
    size_t going, silences; /* GOAWAYs heard; changes of mux.silent */
    uint32_t wait;          /* of the last GOAWAY */
    int reason;             /* the same */
    int returned;           /* why the last stream came back that was not opened */
    char told[1000];        /* what it heard of names, nodes and routes, a line each */
    size_t control_len, control_count, control_refused;
};

void rig_init(struct rig *r);
/* Every far leaves. False: a flow stayed behind. */
bool rig_fini(struct rig *r);
void rig_turn(struct rig *r); /* until nothing is queued */
int64_t rig_stat(struct rig *r, int slot);

struct far *far_new(struct rig *r);
/* A flow whose first end is the far. */
struct flow *far_flow(struct rig *r, struct far *f, const struct meta *m);
void far_join(struct far *f, struct flow *flow); /* as its second end */
void far_say(struct far *f, const void *bytes, size_t len);
void far_put_packet(struct far *f, const void *bytes, size_t len);
void far_read_on(struct far *f); /* no longer refuses */
void far_leave(struct far *f, int code);
/* Frames in what the far got, from where the last call stopped; data: in its bytes. False: no more. */
bool far_next_frame(struct far *f, struct mux_frame *frame, const uint8_t **data);
void far_say_frame(struct far *f, const struct mux_frame *frame, const void *data);
void far_reached(struct far *f); /* a target: it has answered */
/* Link messages. */
void far_say_item(struct far *f, const struct link_item *i);
void far_say_hello(struct far *f, uint16_t datagram_max); /* of version 1 */
void far_say_features(struct far *f, uint16_t features, uint32_t window);

/* The other end of the carrier. A server's mux has side 0, as a bridge's link has; a client's side 1. */
void peer_init(struct rig *r, struct peer *p, bool client);
struct far *peer_wire(struct rig *r, struct peer *p);
/* Joins two peers by a relay. */
struct relay *peers_join(struct rig *r, struct peer *client, struct peer *server, size_t piece);
void relay_go(struct relay *r); /* no longer paused */
/* A visitor's flow that a client opens. */
struct far *peer_visitor(struct peer *client, enum net net);
struct far *peer_visitor_to(struct peer *client, enum net net, uint16_t port);

#endif
