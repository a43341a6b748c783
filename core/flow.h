/* core/flow.h -- one conversation: metadata, two bounded pipes, and an end at each side.
 * Thread: only the flow's loop. Units: bytes; times in seconds (ev_tstamp).
 * Ownership: the two ends own the flow together; it dies when both have left. An end is embedded in
 * its owner's struct and stays valid until it leaves; leaving is the last thing an owner does with it.
 * Errors: none here. "Full" is not an error, it is room 0.
 * Nobody calls up: changing a pipe queues the peer's wake(), which runs later, from the loop.
 * wake() carries no event: the end looks at its pipes and does what is possible. */
#ifndef V2C_CORE_FLOW_H
#define V2C_CORE_FLOW_H

#include <ev.h>
#include <stdbool.h>

#include "core/buf.h"
#include "core/err.h"
#include "core/loop.h"
#include "core/meta.h"
#include "core/policy.h"

struct flow;
struct end;

struct end_ops {
    void (*wake)(struct end *e); /* may leave; must not touch the end after that */
    /* Nothing moved for too long. True: wait a little more; the end asks elsewhere, and sets
     * flow->active if something moved there. Must not leave. NULL: there is nowhere to ask. */
    bool (*idle)(struct end *e);
    /* The way by which the flow came or went is no longer in the configuration: peers should use another.
     * What is open goes on. Must not leave. NULL: there is nobody to tell. */
    void (*drain)(struct end *e);
};

struct end {
    const struct end_ops *ops;
    struct flow *flow;
    struct task task;
    uint8_t side; /* 0: the inbound's, 1: the outbound's */
};

struct pipe {
    struct bufq q;
    size_t limit;
    uint64_t total; /* bytes that ever entered */
    bool eof;       /* nothing will be put any more */
    size_t low;     /* for `starved` */
    bool starved;   /* the putter wants to know when no more than `low` bytes wait */
};

struct flow {
    struct loop *loop;
    struct list_item item; /* in the loop's list */
    uint32_t id;           /* for logs; unique within a loop for a long time */
    struct meta meta;
    struct end *ends[2]; /* NULL: not yet there, or left */
    bool left[2];
    struct pipe pipes[2]; /* pipes[i] leads to ends[i] */
    bool packets;         /* a buf is a datagram; never joined or split */
    bool carrier;         /* many flows lie on it: its sockets find a dead peer fast */
    bool quiet;           /* whoever made it says in the log what became of it */
    bool opened;          /* the target was reached, see end_opened() */
    bool asked;           /* see end_ask() */
    uint8_t tries;        /* links that were tried in vain */
    bool twin; /* part of another flow, which is counted and logged: on another loop, or on it */
    uint64_t pieces; /* sealed pieces on the busier way of side 0's or 1's codec; 0: no codec */
    const struct policy *policy;
    ev_timer idle;
    ev_tstamp born, active;
    char *why; /* text of the first abnormal leave; owned */
    int why_code;
};

/* A flow with its first end, which owns side 0. NULL: out of memory. Copies meta. */
struct flow *flow_new(struct loop *l, struct end *inbound_end, const struct end_ops *ops,
                      const struct meta *m, const struct policy *p);
/* The same flow for another loop: core/cross.h. Without ends it belongs to the caller, who may free() it.
 * NULL: out of memory. */
struct flow *flow_twin(const struct flow *f);
/* On its own loop: begins a flow that flow_twin() made. */
void flow_start(struct flow *f, struct loop *l, struct end *first, const struct end_ops *ops);
/* The outbound takes side 1; to be done once, before or after the other end has left. */
void flow_join(struct flow *f, struct end *outbound_end, const struct end_ops *ops);
/* Another policy's times hold from now on, where its connIdle is the shorter one. */
void flow_limit(struct flow *f, const struct policy *p);
/* Ends a flow that found no outbound: as if one had joined and left with this error. */
void flow_refuse(struct flow *f, const struct err *why);
/* Asks both ends to drain. */
void flow_drain(struct flow *f);
/* Fails it; its ends leave later. */
void flow_abort(struct flow *f, const struct err *why);

/* Fails all flows of a loop that ends; their ends leave when loop_settle() runs. No twins begin on the
 * loop any more. */
void flows_abort(struct loop *l, const struct err *why);

/* --- one end's view --- */
size_t end_room(struct end *e);             /* 0: stop reading; else may put at least one buf */
void end_put(struct end *e, struct buf *b); /* takes b; freed at once if the peer has left */
bool end_write(struct end *e, const void *from, size_t len); /* copies; false: out of memory */
/* So many bytes went to the peer past the pipe; they count as if put, and the peer is woken. */
void end_passed(struct end *e, size_t len);
struct buf *end_take(struct end *e);           /* caller frees; NULL when empty */
void end_untake(struct end *e, struct buf *b); /* gives the rest of a taken buf back; takes b */
void end_untake_all(struct end *e, struct bufq *q); /* the same for all of a queue of bytes */
/* The first of what waits for us, and behind it, by `next`, the others; nothing is taken. NULL: empty. */
const struct buf *end_peek(const struct end *e);
size_t end_waiting(const struct end *e);     /* bytes that end_take() has for us */
size_t end_unread(const struct end *e);      /* bytes we put that the peer has not taken */
uint64_t end_total(const struct end *e);     /* bytes we ever put */
void end_call_at(struct end *e, size_t low); /* wakes us once end_unread() is no more than this */
void end_limit(struct end *e, size_t limit); /* bytes that may wait for us, below the policy's */
void end_need(struct end *e, size_t least);  /* ... and so many, whatever the policy says */
bool end_has(const struct end *e);           /* end_take() has something, be it an empty datagram */
bool end_at_eof(const struct end *e);        /* the peer ended its side and all is taken */
void end_eof(struct end *e);                 /* half-close: the other way stays open */
bool end_sent_eof(const struct end *e);      /* we said end_eof() */
bool end_peer_left(const struct end *e);     /* nobody takes what we put any more */
bool end_failed(const struct end *e);        /* the flow ended abnormally: reset, do not close */
/* Side 1: the target was reached, or what stands for it. Until then a flow has not begun: if it fails, its
 * first bytes may be tried elsewhere. */
void end_opened(struct end *e);
bool end_is_opened(const struct end *e);
/* Side 1: it needs the first bytes to know where to go. An inbound whose client waits for a word about its target
 * says it now. */
void end_ask(struct end *e);
bool end_is_asked(const struct end *e);
void end_leave(struct end *e, const struct err *why); /* why NULL or code 0: ended well */
void end_wake(struct end *e);                         /* queues our own wake() */
/* Gives this seat to another end, with all that waits in the pipes; e is then out of the flow. */
void end_reseat(struct end *e, struct end *to, const struct end_ops *ops);
/* Side 1: gives the seat up as if nobody had sat there, with all that waits in the pipes: flow_join() or
 * flow_refuse() follows. */
void end_vacate(struct end *e);

static inline struct loop *end_loop(const struct end *e)
{
    return e->flow->loop;
}

#endif
