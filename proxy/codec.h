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
    uint8_t *data; /* plain bytes, inside the given memory, valid until the next call */
    size_t len;    /* may be 0 */
    bool eof;      /* the peer said that nothing follows */
};

struct codec_ops {
    /* Server side: the client's greeting. DONE: m->net, m->target and m->user are set and `in` stands
     * behind the greeting. MORE leaves `in` alone. FAIL: c->drain tells how many more bytes to swallow
     * before closing, so that a prober learns nothing. NULL on the client side. */
    enum step (*accept)(struct codec *c, struct cursor *in, struct meta *m, struct err *e);
    /* What this side sends first: the client's request header, the server's response header. Fills an
     * empty buf; may leave it empty. */
    int (*greet)(struct codec *c, struct buf *b, struct err *e);
    /* Wire to plain, in place. DONE: *out is set (used may exceed the plain length). MORE: the piece is
     * not whole yet. FAIL: never valid; the connection ends. On the client side this also reads the
     * server's greeting. */
    enum step (*open)(struct codec *c, uint8_t *in, size_t n, struct opened *out, struct err *e);
    /* Plain to wire, in place: b has BUF_HEAD - 16 bytes before and BUF_TAIL behind its bytes. */
    int (*seal)(struct codec *c, struct buf *b, struct err *e);
    /* The mark that says "nothing follows", into an empty buf. Left empty: the protocol has none, the
     * driver shuts the socket for writing. */
    int (*end)(struct codec *c, struct buf *b, struct err *e);
    void (*free)(struct codec *c);
    size_t wire_max; /* the most wire bytes that one open() may need at once */
};

struct codec {
    const struct codec_ops *ops;
    size_t drain;    /* see accept */
    bool marks_end;  /* the peer says when it ends; a socket's end without that is a cut */
    uint64_t sealed; /* pieces sealed and opened so far: some protocols must not run for ever */
    uint64_t opened;
};

#endif
