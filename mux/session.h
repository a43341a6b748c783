/* mux/session.h -- one stream of a carrier, inside mux/ only: the end of a flow on one side, frames with an
 * id on the other. */
#ifndef V2C_MUX_SESSION_H
#define V2C_MUX_SESSION_H

#include "mux/mux.h"

struct mux_session {
    struct end end;
    struct mux *mux;
    struct list_item waits; /* in the mux's list of those that have data */
    uint16_t id;
    bool said_eof, heard_eof; /* MUX_EOF */
};

extern const struct end_ops mux_session_ops;

struct mux_session *session_new(struct mux *m,
                                uint16_t id); /* listed under its id; NULL: no memory */
void session_forget(struct mux_session *s);   /* takes it off the list */
struct mux_session *session_find(const struct mux *m, uint16_t id);
/* Leaves its flow for this reason and is gone; tells the peer nothing. */
void session_end(struct mux_session *s, const struct err *why);
/* The same, after an End frame: with MUX_ERROR when why->code is set. */
void session_close(struct mux_session *s, const struct err *why);
/* The peer ended its direction. */
void session_heard_eof(struct mux_session *s);
/* Moves bytes of waiting sessions to the carrier while it has room, each in its turn. */
void sessions_pump(struct mux *m);

/* reader.c: carrier to sessions. -1: the carrier cannot go on. */
int mux_read(struct mux *m, struct err *why);
/* A session that stalled the carrier took something or went: reading may go on. */
void mux_unstall(struct mux *m);
void mux_reader_fini(struct mux *m);

#endif
