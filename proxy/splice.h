/* proxy/splice.h -- bulk between two plain connections of one loop, through a kernel pipe instead of bufs.
 * A direction borrows a pipe once it has proven bulky and gives it back whenever the pipe is empty, so
 * that nothing at rest holds one. What lies in it comes behind what the flow and the writer hold; while
 * there is something, nothing is put into the flow. Counters, idle time, limits and ends are the flow's.
 * Thread: the loop of both. Units: bytes.
 * Ownership: the writer's conn owns the borrowed pipe (tx), the reader's conn (rx) may be gone before.
 * Errors: without a pipe to be had bytes pass through bufs. */
#ifndef V2C_PROXY_SPLICE_H
#define V2C_PROXY_SPLICE_H

#include "proxy/conn.h"

enum { SPLICE_NONE = -3 }; /* beside what stream_readv() answers: read into bufs */

struct splice;

/* Instead of stream_readv(): moves what the socket has to the pipe. */
ssize_t splice_fill(struct conn *c);
/* False: the pipe is full, and the writer wakes c when it is not. Only if c->rx. */
bool splice_has_room(const struct conn *c);
/* Instead of stream_writev(), only if c->tx, when nothing else waits before it: moves what the pipe has to
 * the socket. `c->blocked` is set when that was not all. */
ssize_t splice_drain(struct conn *c);
/* The writer goes: what the pipe has is lost. To be called while c is in its flow. */
void splice_leave(struct conn *c);

#endif
