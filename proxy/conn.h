/* proxy/conn.h -- one connection as an end of a flow: a stream, and a codec between its bytes and the
 * flow's. What accept.c and request.c have in common once the greeting is over.
 * Thread: its loop. Ownership: embedded in the struct of accept.c or request.c, which gives `release`;
 * the conn frees itself through it when it is done.
 * Half-close passes through; an abnormal end on either side is a reset on the other. */
#ifndef V2C_PROXY_CONN_H
#define V2C_PROXY_CONN_H

#include "core/flow.h"
#include "proxy/codec.h"
#include "transport/stream.h"

struct conn {
    struct end end; /* in a flow, unless `alone` */
    struct stream stream;
    struct codec *codec; /* NULL: bytes pass unchanged; owned */
    struct bufq out;     /* on its way to the socket */
    uint8_t *rest;       /* wire bytes of a piece that is not whole yet; owned */
    size_t rest_len;
    struct splice *rx, *tx; /* kernel pipes between two plain conns: proxy/splice.h; NULL: none */
    const struct traffic *traffic; /* NULL: not counted */
    void (*release)(struct conn *c);
    /* The socket did not connect: says to where in *why. NULL: never dialled. */
    void (*unreached)(struct conn *c, struct err *why);
    struct straggler straggler; /* while lingering */
    size_t lingered;            /* bytes read and dropped since */
    size_t unacknowledged;      /* when we last looked, while lingering */
    uint64_t written;
    uint32_t last_read; /* bytes, of a plain conn */
    ev_timer deadline;  /* of the greeting, of connecting, of lingering */
    uint32_t read_turn; /* the loop's turn in which it read last */
    bool waited;        /* its write of this turn has been put off once */
    bool alone;         /* not in a flow: greeting, or lingering after it */
    bool hold;          /* `out` holds only a greeting that waits for the first bytes */
    bool blocked;       /* the socket takes no more for now */
    bool paused;        /* not reading, because the flow has no room */
    bool rx_ended;      /* the peer ended its side */
    bool tx_ended;      /* our side's end is in `out` or sent */
    bool tx_done;       /* ... and written */
    bool shuts;         /* our side ends by shutting the socket, not by a mark */
};

/* Not in a flow yet. Takes codec, which may be NULL. */
void conn_init(struct conn *c, struct loop *l, struct codec *codec, const struct traffic *traffic,
               void (*release)(struct conn *c));
/* Gives it its socket, once connected or connecting; takes fd. */
void conn_attach(struct conn *c, int fd);
/* It is in a flow now (flow_new or flow_join with conn_end_ops) and moves bytes from here on. Wire bytes
 * that were read with the greeting are given here; they lie in the loop's scratch or elsewhere. */
void conn_start(struct conn *c, uint8_t *more, size_t len);
/* Queues what the codec has to say, if it has; -1 and e. */
int conn_say(struct conn *c, struct err *e);
/* The same for a conn that is in no flow: writes it at once. -1 and e: also when the socket does not take it. */
int conn_speak(struct conn *c, struct err *e);
/* A conn that is in no flow says its last word and closes in order. */
void conn_bow_out(struct conn *c);
/* Out of its flow, with this reason, and gone. */
void conn_fail(struct conn *c, const struct err *why);
/* Frees what a conn that is in no flow holds, and the conn; `well`: close, else reset. */
void conn_drop(struct conn *c, bool well);

extern const struct end_ops conn_end_ops;

#endif
