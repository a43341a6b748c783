/* transport/layer.h -- what may lie between a socket's bytes and a protocol's: tls, ws, a forged HTTP head, a PROXY
 * header. A stream has a stack of them (transport/stream.h); its user reads and writes as if it was a socket.
 * Thread: the stream's loop. Ownership: the stack owns its layers and frees them from the top. */
#ifndef V2C_TRANSPORT_LAYER_H
#define V2C_TRANSPORT_LAYER_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "core/addr.h"
#include "core/cursor.h"
#include "core/err.h"

struct certificate;
struct layer;
struct stream;

struct layer_ops {
    /* Moves its greeting on; the layers below have done theirs. DONE: bytes may pass. MORE: call again when what it
     * `wants` is possible. FAIL: e says why, with the layer's name ("tls: certificate has expired"). May be NULL. */
    enum step (*shake)(struct layer *l, struct err *e);
    /* As stream_readv(): a length, 0 at the end that the peer announced, STREAM_AGAIN, STREAM_ERROR with errno. An end
     * that the protocol would have announced and did not is ECONNRESET. */
    ssize_t (*readv)(struct layer *l, struct iovec *iov, int count);
    /* Says how many bytes have gone below. A layer may have encoded more than that, and keep the rest: what was not taken
     * is offered again, first and unchanged, with or without more behind it. So nothing is ever owed when the caller
     * believes that all is written. */
    ssize_t (*writev)(struct layer *l, struct iovec *iov, int count);
    /* Says that nothing follows (close_notify, Close). MORE: the layer below takes no more for now. May be NULL. */
    enum step (*finish)(struct layer *l);
    /* readv() may have something without anything new from below. Only asked after a readv() that brought something.
     * May be NULL. */
    bool (*waiting)(const struct layer *l);
    /* Only of a layer that stands for the socket: calls layer_event() once reading, or writing, may bring something. */
    void (*want)(struct layer *l, bool readable, bool writable);
    void (*free)(struct layer *l,
                 bool well); /* well: finish() was tried before; else the stream is cut */
};

struct layer {
    const struct layer_ops *ops;
    struct stream *stream;        /* set when it is put on it */
    struct layer *below;          /* NULL: the stream's socket */
    bool wants_read, wants_write; /* of shake() that said MORE */
    bool greets_late;             /* shake() says DONE, but only to learn what is written first */
};

/* What a layer reads from and writes to: the one below it, else the socket. As stream_readv(), stream_writev(). */
ssize_t below_readv(struct layer *l, struct iovec *iov, int count);
ssize_t below_writev(struct layer *l, struct iovec *iov, int count);
ssize_t below_read(struct layer *l, void *to, size_t len);
ssize_t below_write(struct layer *l, const void *from, size_t len);

/* Somebody nearer to the visitor told his address (PROXY, X-Forwarded-For of a trusted peer). */
void layer_tell_source(struct layer *l, const struct addr *source);
/* The peer is who this certificate says. */
void layer_tell_certificate(struct layer *l, const struct certificate *c);
/* Why readv() or writev() is about to say STREAM_ERROR; the first reason counts. */
void layer_fail(struct layer *l, const struct err *why);
/* From writev() or readv(): what is written from here on waits until shake() says DONE once more. It is called next when
 * what the layer wants is possible. */
void layer_greet_again(struct layer *l);
/* Of a layer with `want`. The stream may be gone afterwards. */
void layer_event(struct layer *l, bool readable, bool writable);

#endif
