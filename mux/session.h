/* mux/session.h -- one stream of a carrier, inside mux/ only: the end of a flow on one side, frames with an
 * id on the other. */
#ifndef V2C_MUX_SESSION_H
#define V2C_MUX_SESSION_H

#include "mux/mux.h"
#include "mux/window.h"

struct mux_session {
    struct end end;
    struct mux *mux;
    struct list_item waits;      /* in the mux's list of those that have data */
    struct list_item unanswered; /* in the mux's list of that name */
    uint16_t id;
    bool said_eof, heard_eof; /* MUX_EOF */
    bool bulky;               /* it has moved much */
    bool answered;            /* client: nothing is awaited; server: nothing is owed */
    struct buf *kept;         /* client: what was sent before the answer */
    uint64_t came;            /* bytes of data; those that nobody takes any more, too */
    struct window window;     /* of what we receive; streams of peers that have windows */
    struct credit credit;     /* for what we send; the same */
};

extern const struct end_ops mux_session_ops;

/* Listed under its id; NULL: no memory. */
struct mux_session *session_new(struct mux *m, uint16_t id);
void session_forget(struct mux_session *s); /* takes it off all lists */
struct mux_session *session_find(const struct mux *m, uint16_t id);
/* The one with this id or the next higher one; NULL: none. */
struct mux_session *session_next(const struct mux *m, unsigned id);
/* Its flow is there. */
void session_seated(struct mux_session *s);
/* Leaves its flow for this reason and is gone; tells the peer nothing. */
void session_end(struct mux_session *s, const struct err *why);
/* The same, after an End frame: with MUX_ERROR when why->code is set. */
void session_close(struct mux_session *s, const struct err *why);
/* The peer ended its direction. */
void session_heard_eof(struct mux_session *s);
/* It may send again: there is credit, or its answer has come. */
void session_resume(struct mux_session *s);
/* Moves bytes of waiting sessions to the carrier while it has room, each in its turn. */
void sessions_pump(struct mux *m);
void session_count_sent(struct mux_session *s, size_t n);
/* After bytes moved in either direction. */
void session_weigh(struct mux_session *s);
bool session_has_windows(const struct mux_session *s);
/* Bytes came, or its reader took some: grants what is due. */
void session_grant(struct mux_session *s);

/* reader.c: carrier to sessions. -1: the carrier cannot go on. */
int mux_read(struct mux *m, struct err *why);
/* Its reader may have taken something: if it stalled the carrier, reading goes on when there is room. */
void session_moves(struct mux_session *s);
/* The session that stalled the carrier has room, or went: reading goes on. */
void mux_unstall(struct mux *m);
void mux_reader_fini(struct mux *m);

/* note.c: link messages. */
void mux_note(struct mux *m, const struct link_item *i); /* says one */
void mux_hear(struct mux *m, struct cursor message);

/* opening.c: from New to its answer. */
enum { KEPT_MAX = 16 * 1024 }; /* bytes of a stream that are sent before its answer, and kept */
void opening_begin(struct mux_session *s);
void opening_keep(struct mux_session *s, const struct buf *b);
/* Client: the answer came, in words or as data. */
void opening_answered(struct mux_session *s);
/* Client: true: the flow has its first bytes back and another seat; the session is gone. */
bool opening_give_back(struct mux_session *s, int refusal);
/* Server: says OPENED when it is due. */
void opening_check(struct mux_session *s);
/* Server: says REFUSED or, when it was opened, End; then session_end(). */
void opening_refuse(struct mux_session *s, const struct err *why);
void mux_refuse(struct mux *m, uint16_t id, int refusal);

/* liveness.c: whether the peer is there. */
void liveness_start(struct mux *m);
void liveness_stop(struct mux *m);
void liveness_heard(struct mux *m, size_t len); /* so many bytes came */
void liveness_pong(struct mux *m, uint64_t token);
void liveness_hurry(struct mux *m); /* a stream is opened */

#endif
