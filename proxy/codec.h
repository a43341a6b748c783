/* proxy/codec.h -- a protocol as a pure codec: bytes in, bytes out. No descriptor, no loop, no timer;
 * so it is tested at every split point and fuzzed without a socket. The drivers (accept.c, request.c,
 * conn.c) own sockets, deadlines, half-close and limits.
 * Thread: the loop of its connection. Ownership: made by the protocol's *_new(), ended by ops->free,
 * which wipes keys. */
#ifndef V2C_PROXY_CODEC_H
#define V2C_PROXY_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/cursor.h"
#include "core/err.h"
#include "core/meta.h"

struct codec;

/* What one call of open() made of the wire bytes at `in`. */
struct opened {
    size_t used;   /* wire bytes that are done with */
    uint8_t *data; /* plain bytes, valid until the next call */
    size_t len;    /* may be 0 */
    bool eof;      /* the peer said that nothing follows */
};

/* What the driver must do for the codec before it moves on. Looked at after every call of an op. */
enum codec_sign {
    CODEC_SAYS = 1, /* say() has something to send now, in front of everything else */
    CODEC_MUTE =
        2, /* the flow's bytes must wait: a server's for answer(), a client's for its peer */
    CODEC_PASSES =
        4, /* from here on bytes pass unchanged both ways: the driver lets the codec go */
};

struct codec_ops {
    /* Server side: the client's greeting. DONE: m->net, m->target and m->user are set and `in` stands
     * behind the greeting. MORE: what `in` stands behind is done with, the rest comes again with more.
     * FAIL: with CODEC_SAYS the client is told and the connection closed in order; else c->drain tells how
     * many more bytes to swallow before that, so that a prober learns nothing. NULL on the client side. */
    enum step (*accept)(struct codec *c, struct cursor *in, struct meta *m, struct err *e);
    /* What the codec itself sends: a greeting, an answer. Fills an empty buf; may leave it empty. */
    int (*say)(struct codec *c, struct buf *b, struct err *e);
    /* Server side, once, while it is mute: the target was reached, or (why) it never will be; then the
     * connection ends when all is said. NULL: it is never mute. */
    void (*answer)(struct codec *c, const struct err *why);
    /* Client side: the connection is there, to this address (ADDR_NONE: it has none). NULL: no matter. */
    void (*connected)(struct codec *c, const struct addr *peer);
    /* Wire to plain, in place or in memory of the codec's own. DONE: *out is set (used may exceed the plain length). MORE: the piece is
     * not whole yet. FAIL: never valid; the connection ends. On the client side this also reads the
     * server's greeting. */
    enum step (*open)(struct codec *c, uint8_t *in, size_t n, struct opened *out, struct err *e);
    /* Plain to wire, in place: b has BUF_HEAD - 16 bytes before and BUF_TAIL behind its bytes. NULL: bytes go out
     * unchanged. */
    int (*seal)(struct codec *c, struct buf *b, struct err *e);
    /* The mark that says "nothing follows", into an empty buf. Left empty, or NULL: the protocol has none, the
     * driver shuts the socket for writing. */
    int (*end)(struct codec *c, struct buf *b, struct err *e);
    void (*free)(struct codec *c);
    size_t wire_max;   /* the most wire bytes that one open() may need at once */
    size_t accept_max; /* the most bytes of an unfinished greeting that are kept */
};

struct codec {
    const struct codec_ops *ops;
    unsigned signs;  /* of enum codec_sign */
    size_t drain;    /* see accept */
    bool marks_end;  /* the peer says when it ends; a socket's end without that is a cut */
    uint64_t sealed; /* pieces sealed and opened so far: some protocols must not run for ever */
    uint64_t opened;
};

#endif
