/* mux/mux.h -- many flows over one: the carrier. The client side opens streams, the server side accepts
 * them; either may sit on a connection that we dialled or that came to us.
 * Thread: the carrier flow's loop; all its streams live on that loop.
 * Ownership: embedded in its owner's struct (portal's carrier, bridge's link, ...), which hears `closed`
 * exactly once, last, and may free it there. A session (V2Ray's word for a stream) owns itself and goes with its flow or
 * the carrier.
 * Errors: a frame that is not valid ends the carrier; anything else ends one stream.
 *
 * Ends: End closes both directions at once, as V2Ray has it. Between v2c peers a Keep with MUX_EOF ends
 * one direction. Abnormal ends are End with MUX_ERROR, sent once.
 *
 * What v2c peers add (docs/link.md): window.h, note.c, opening.c, liveness.c. */
#ifndef V2C_MUX_MUX_H
#define V2C_MUX_MUX_H

#include "core/flow.h"
#include "mux/frame.h"
#include "mux/link.h"

struct mux;
struct mux_session;

struct mux_ops {
    /* Server: the peer opens a stream. f->routed: on a link with LINK_ROUTED it says where to. Make a flow with mux_accept() and dispatch it, and answer 0, or why the
     * stream is refused (enum link_refusal). NULL on a client: peers' New frames are dropped there. */
    int (*opened)(struct mux *m, const struct mux_frame *f);
    /* Client: a stream was not opened and its first bytes are back in the flow, of which `seat` is the second
     * end, and which has one try more. Give the seat to somebody else or leave. refusal: enum link_refusal; 0: the link ended
     * or is given up. NULL: such streams end. */
    void (*unopened)(struct mux *m, struct end *seat, int refusal);
    /* Client: a stream was opened, or refused for good (enum link_refusal, else 0). May be NULL. */
    void (*answered)(struct mux *m, int refusal);
    /* The peer takes no more streams, or wants none; it is back after so many milliseconds. reason: enum
     * link_going, or one we do not know. May be NULL. */
    void (*going)(struct mux *m, int reason, uint32_t wait);
    /* The peer said HELLO: m->hello and m->features hold. May be NULL. */
    void (*met)(struct mux *m);
    /* What peers that have LINK_NAMED tell (link.h). Texts are valid within the call, the carrier must not be
     * closed in it, and all but the first may come at any time and again. Each may be NULL. */
    void (*named)(struct mux *m, const struct link_names *names);
    void (*host_wanted)(struct mux *m, struct link_text name);
    /* answer: enum link_host_answer, or one we do not know. */
    void (*host_answered)(struct mux *m, struct link_text name, int answer);
    void (*weighed)(struct mux *m, uint8_t weight);
    /* Why the peer does not want the link; what follows from that it says with GOAWAY. */
    void (*told_why)(struct mux *m, struct link_text why);
    /* What portals of a cluster tell: their bridges (LINK_NODES) and each other (LINK_ROUTED, too). Texts and the
     * rest as above. */
    void (*node_told)(struct mux *m, const struct link_node *n);
    void (*asked)(struct mux *m, const struct link_question *q);
    void (*answer_told)(struct mux *m, const struct link_answer *a);
    void (*place_told)(struct mux *m, const struct addr *place);
    /* m->silent has changed. May be NULL. */
    void (*silence)(struct mux *m);
    /* Client: it carries more or less than before. May be NULL. */
    void (*changed)(struct mux *m);
    /* Data of the stream that the owner made its control stream (m->control_id). May be NULL. */
    void (*control)(struct mux *m, const uint8_t *data, size_t len);
    /* The peer answered on the control stream, which one that knows the name never does. May be NULL. */
    void (*control_refused)(struct mux *m);
    /* No streams should be opened here any more; the peer should be told. May be NULL. */
    void (*drain)(struct mux *m);
    /* The peer's first frame came, of which no data has been read yet. May be NULL. */
    void (*alive)(struct mux *m);
    /* The carrier is over and all its streams have left. Last call. */
    void (*closed)(struct mux *m, const struct err *why);
};

enum {
    MUX_PAGE = 256,
    MUX_CONTROL_MAX = 512,
    MUX_STREAMS_MAX = 8192, /* that a peer may have open on one carrier */
    MUX_TRIES = 3,          /* links that are tried for one stream */
};

struct mux {
    struct end end; /* of the carrier flow */
    const struct mux_ops *ops;
    struct mux_session **pages[MUX_PAGE]; /* id to stream, two levels */
    unsigned sessions;                    /* live ones */
    unsigned opened;                      /* ever, control stream included */
    unsigned bulky;                       /* live ones that have moved more than 8 MiB */
    uint16_t last_id; /* client: of the newest stream; server: the highest seen */
    int control_id;   /* -1: none */
    bool client;
    bool heard;   /* a frame came from the peer */
    bool closing; /* mux_close() is under way */
    bool reached; /* when it closed the flow's other end had connected */
    bool said_hello;
    bool named;                    /* the peer has said its names */
    bool is_v2c;                   /* the peer said HELLO: */
    struct link_hello hello;       /* this */
    uint16_t offers;               /* enum link_feature: what this side has, to be said in HELLO */
    uint16_t features;             /* ... and what both sides have */
    uint16_t datagram_max;         /* towards the peer */
    uint8_t shard, shards;         /* of ours, to be said in HELLO; 0: nothing is said */
    uint64_t instance;             /* the same */
    const struct traffic *traffic; /* of the portal or bridge; NULL: not counted */
    int sessions_slot;             /* gauge of live streams; -1: none */

    /* reading */
    struct buf *in;             /* taken from the carrier, not yet used up */
    uint8_t head[MUX_HEAD_MAX]; /* of a frame that lies in several bufs */
    size_t head_len;
    struct mux_frame frame;      /* the one being read; callbacks may look at it */
    size_t left;                 /* bytes of its data still to come */
    struct buf *whole;           /* data that must be whole: datagrams, control, link messages */
    struct mux_session *stalled; /* its flow has no room: nothing is read until it has */
    ev_timer stall;
    uint64_t stall_mark;  /* what had reached that flow when it last took something */
    unsigned stall_looks; /* at it since then, one a second */

    /* writing */
    struct list waiting; /* sessions that have data; the carrier had no room for it */

    /* opening: sessions without an answer, the oldest first. Client: it is waited for; server: it is owed */
    struct list unanswered;
    ev_timer answer; /* server: says what is owed */

    /* liveness */
    ev_timer look;
    double heard_at, looked_at, said_at;
    uint64_t sent;    /* bytes that the carrier had taken when we looked */
    uint64_t said;    /* ... and that we had put */
    size_t heard_len; /* bytes that came since we last said anything */
    double asked_at;  /* 0: nothing has been asked since heard_at */
    double lag;       /* seconds that the last PONG took */
    double opened_at; /* the newest stream, or when its owner asked; see BRISK */
    bool silent;      /* the peer does not answer: no place for new streams */
};

/* Memory of the owner. Joins nothing: the owner gives m->end its seat with mux_end_ops, then calls
 * mux_start(), which says HELLO and watches over the link. Who does not call it says HELLO once the peer has. */
void mux_init(struct mux *m, const struct mux_ops *ops, bool client, const struct traffic *traffic,
              int sessions_slot);
void mux_start(struct mux *m);
extern const struct end_ops mux_end_ops;

/* Client: a new stream takes the flow's second end. False: no id or memory left; nothing happened. */
bool mux_open(struct mux *m, struct flow *f);
/* The same for a flow whose second end is `seat`: the stream takes its place. */
bool mux_take_over(struct mux *m, struct end *seat);
/* One of these two, on a link with LINK_ROUTED: the stream says where it goes. False: the same, or the peer does not
 * understand that. seat: NULL, or f's second end. */
bool mux_forward(struct mux *m, struct flow *f, struct end *seat, const struct link_route *route);
/* Client: the oldest stream that has no answer, and may go (NULL: any), is given back, see `unopened`.
 * False: there is none. */
bool mux_give_back(struct mux *m, bool (*may_go)(void *with, const struct flow *f), void *with);
/* Asks the peer for a sign of life now, not when it has been quiet for long. */
void mux_ask(struct mux *m);
/* Tells the peer that no streams should be opened here any more, if it can understand that. */
bool mux_say_going(struct mux *m, enum link_going reason, uint32_t wait);
/* False: the peer does not know of names, and nothing was said. Behind our own HELLO they may be used before
 * the peer's has come. Texts that are longer than link.h allows, or of other bytes, are not read there. */
bool mux_say_names(struct mux *m, const struct link_names *names);
bool mux_say_host(struct mux *m, struct link_text name);
bool mux_say_host_answer(struct mux *m, struct link_text name, enum link_host_answer answer);
bool mux_say_weight(struct mux *m, uint8_t weight);
bool mux_say_why(struct mux *m, struct link_text why);
/* The same; the peer needs LINK_NODES for the first, and LINK_ROUTED for the others. */
bool mux_say_node(struct mux *m, const struct link_node *n);
bool mux_say_question(struct mux *m, const struct link_question *q);
bool mux_say_answer(struct mux *m, const struct link_answer *a);
bool mux_say_place(struct mux *m, const struct addr *place);
/* Server, from `opened`: a flow whose first end is the stream. NULL: memory, or its budget, is out. */
struct flow *mux_accept(struct mux *m, const struct mux_frame *f, const struct meta *meta,
                        const struct policy *p);
/* The carrier broke or the peer ended it: `closed` follows in this turn or the next. */
bool mux_is_ending(const struct mux *m);
/* Client: ids that may still be given out. */
unsigned mux_ids_left(const struct mux *m);
/* An id for a stream that the owner writes itself, when one is left; while it is m->control_id, answers to it
 * are heard. */
uint16_t mux_take_id(struct mux *m);
/* Sends a frame with data_len bytes of data; for control streams. Without memory for it the carrier fails. */
void mux_send(struct mux *m, const struct mux_frame *f, const void *data);
/* Asks the flows of all its streams to drain: they should not rest here. */
void mux_drain_streams(struct mux *m);
/* No stream follows: ends the carrier in order. The owner then hears `closed`. */
void mux_close(struct mux *m, const struct err *why);

#endif
