/* transport/stack.h -- the layers of one stream, and whose turn it is. For stream.c, whose users need not know of it.
 * Thread: the stream's loop. Ownership: the stream's; owns its layers.
 * Layers greet from the lowest up. Until all have, the stream's user reads and writes nothing and is not
 * called; then it is called as if the socket had become readable and writable. */
#ifndef V2C_TRANSPORT_STACK_H
#define V2C_TRANSPORT_STACK_H

#include "core/certificate.h"
#include "core/loop.h"
#include "transport/layer.h"

struct stack {
    struct stream *stream;
    struct layer *top;
    struct layer *greets; /* whose greeting is under way; NULL: all have greeted, or one failed */
    struct task again;    /* a layer has bytes for which the socket need not become readable */
    struct addr source;   /* ADDR_NONE: nobody told */
    struct certificate certificate; /* nobody showed one: zeros */
    struct err why;
    bool failed;
    bool begun; /* the socket is connected, and the first layer was asked */
    bool dry;   /* the last read brought nothing: only news from below can change that */
    bool want_read, want_write; /* of the user */
};

/* Takes l, which becomes the topmost. -1: out of memory, l is freed. */
int stack_put(struct stream *s, struct layer *l);
/* well: what layers say at the end is said, as far as the socket takes it. */
void stack_free(struct stack *k, bool well);
/* 0, why it failed, or EINPROGRESS. */
int stack_connected(const struct stack *k);
void stack_event(struct stack *k, bool readable, bool writable);
void stack_want(struct stack *k, bool readable, bool writable);
ssize_t stack_readv(struct stack *k, struct iovec *iov, int count);
ssize_t stack_writev(struct stack *k, struct iovec *iov, int count);
/* False: what layers say at the end did not fit; again when the stream is writable. */
bool stack_finish(struct stack *k);

/* Of stream.c: the socket itself. */
ssize_t socket_readv(struct stream *s, struct iovec *iov, int count);
ssize_t socket_writev(struct stream *s, struct iovec *iov, int count);
void socket_want(struct stream *s, bool readable, bool writable);
int socket_error(const struct stream *s); /* 0 or an errno */

#endif
