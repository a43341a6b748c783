/* transport/stream.h -- a connected byte stream, read and written without waiting: a socket, or layers on one
 * (transport/layer.h), or layers on something that stands for a socket.
 * Thread: its loop. Ownership: the stream owns the descriptor; it is embedded in its user's struct.
 * A stream is born armed: whatever kills it, the peer sees a reset. Only stream_close() ends it well. */
#ifndef V2C_TRANSPORT_STREAM_H
#define V2C_TRANSPORT_STREAM_H

#include <ev.h>
#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "core/addr.h"
#include "core/certificate.h"
#include "core/err.h"
#include "core/loop.h"

struct stream;
struct layer;
struct stack;

enum { /* what stream_readv() and stream_writev() answer besides a length; 0 from reading is the end */
       STREAM_AGAIN = -1,
       STREAM_ERROR = -2, /* errno is set */
};

struct stream {
    int fd; /* -1: closed, or a layer stands for it */
    struct loop *loop;
    void (*ready)(struct stream *s, bool readable, bool writable);
    ev_io rd, wr;
    struct stack *stack; /* layers; NULL: none */
    bool connecting;     /* connect(2) is under way, or the layers' greetings after it */
    bool fresh;          /* dialled; lacks the options that only matter for what lives on */
    bool wrote, read;
};

/* Takes the descriptor, which is non-blocking and has stream_prepare()'s options; -1: a layer that stands for it
 * is put on the stream next. */
void stream_open(struct stream *s, struct loop *l, int fd,
                 void (*ready)(struct stream *s, bool readable, bool writable));
/* Takes l, which becomes the topmost layer of a stream that nobody has read or written yet. -1: out of memory. */
int stream_put_layer(struct stream *s, struct layer *l);
/* Takes the layers off, as if there had never been any: they have greeted, and what one of them has read and nobody has
 * taken is lost. */
void stream_bare(struct stream *s);
bool stream_is_open(const struct stream *s);
/* Who is behind the peer, when a layer was told; false: nobody told. */
bool stream_source(const struct stream *s, struct addr *source);
/* By which certificate the peer is known, zeros: by none. */
struct certificate stream_certificate(const struct stream *s);
/* After STREAM_ERROR, or an error of stream_connected(): what it was; code 0 when errno says all. */
struct err stream_why(const struct stream *s);
ssize_t stream_readv(struct stream *s, struct iovec *iov, int count);
ssize_t stream_writev(struct stream *s, struct iovec *iov, int count);
/* The same between the socket and a kernel pipe, without copying; at most len bytes. STREAM_AGAIN from
 * stream_splice_in() may also mean that the pipe is full. SIGPIPE must be ignored. */
ssize_t stream_splice_in(struct stream *s, int pipe, size_t len);
ssize_t stream_splice_out(struct stream *s, int pipe, size_t len);
/* What a finished connect(2) says, and the layers' greetings: 0, or an errno; EINPROGRESS: a layer greets when something
 * is written or read. Clears `connecting` when all succeeded. */
int stream_connected(struct stream *s);
void stream_want(struct stream *s, bool readable, bool writable);
/* The other side's address, and ours; type ADDR_NONE: it has none. */
void stream_peer(const struct stream *s, struct addr *peer);
void stream_local(const struct stream *s, struct addr *local);
/* Bytes written that the peer's kernel has not acknowledged. */
size_t stream_unacknowledged(const struct stream *s);
/* Nothing follows; reading goes on. False: a layer could not say so yet; again when the stream is writable. */
bool stream_shut(struct stream *s);
void stream_close(struct stream *s); /* ended well: what is written is still delivered */
void stream_reset(struct stream *s); /* the peer sees a reset */

/* No delay, keep-alive, a reset at any end that is not orderly. Accepted sockets inherit it all from their
 * listener. */
void stream_prepare(int fd);
/* The last of these, for a socket that is about to connect; its stream is then `fresh` and gets the rest with its
 * second write, or when it has read twice: short exchanges do without. */
void stream_arm(int fd);
/* Little waits unsent in the kernel: a reader that stops does not fill megabytes. Inherited, too. */
void stream_limit_unsent(int fd);
/* What it gets later if it is `fresh`. */
void stream_prepare_lasting(struct stream *s);
/* For links that carry many flows: a dead peer is found in 20 s. */
void stream_prepare_carrier(struct stream *s);

/* So many bytes had been written before, and now. Limits what waits in the kernel; one that has shown that it
 * reads much gets more, for fewer system calls. Not for carriers. */
void stream_pace(struct stream *s, uint64_t before, uint64_t now);

#endif
