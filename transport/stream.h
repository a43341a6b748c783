/* transport/stream.h -- a connected byte stream: one socket, read and written without waiting.
 * Thread: its loop. Ownership: the stream owns the descriptor; it is embedded in its user's struct.
 * A stream is born armed: whatever kills it, the peer sees a reset. Only stream_close() ends it well. */
#ifndef V2C_TRANSPORT_STREAM_H
#define V2C_TRANSPORT_STREAM_H

#include <ev.h>
#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "core/loop.h"

struct stream;

enum { /* what stream_readv() and stream_writev() answer besides a length; 0 from reading is the end */
       STREAM_AGAIN = -1,
       STREAM_ERROR = -2, /* errno is set */
};

struct stream {
    int fd; /* -1: closed */
    struct loop *loop;
    void (*ready)(struct stream *s, bool readable, bool writable);
    ev_io rd, wr;
    bool connecting; /* connect(2) is under way */
    bool fresh;      /* dialled; lacks the options that only matter for what lives on */
    bool wrote, read;
};

/* Takes the descriptor, which is non-blocking and has stream_prepare()'s options. */
void stream_open(struct stream *s, struct loop *l, int fd,
                 void (*ready)(struct stream *s, bool readable, bool writable));
ssize_t stream_readv(struct stream *s, struct iovec *iov, int count);
ssize_t stream_writev(struct stream *s, struct iovec *iov, int count);
/* The same between the socket and a kernel pipe, without copying; at most len bytes. STREAM_AGAIN from
 * stream_splice_in() may also mean that the pipe is full. SIGPIPE must be ignored. */
ssize_t stream_splice_in(struct stream *s, int pipe, size_t len);
ssize_t stream_splice_out(struct stream *s, int pipe, size_t len);
/* What a finished connect(2) says: 0, or an errno. Clears `connecting` when it succeeded. */
int stream_connected(struct stream *s);
void stream_want(struct stream *s, bool readable, bool writable);
/* Bytes written that the peer's kernel has not acknowledged. */
size_t stream_unacknowledged(const struct stream *s);
void stream_shut(struct stream *s);  /* nothing follows; reading goes on */
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
/* For links that carry many flows: a dead peer is found in 20 s. */
void stream_prepare_carrier(struct stream *s);

/* So many bytes had been written before, and now. Limits what waits in the kernel; one that has shown that it
 * reads much gets more, for fewer system calls. Not for carriers. */
void stream_pace(struct stream *s, uint64_t before, uint64_t now);

#endif
