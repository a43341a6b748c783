/* transport/first_bytes.h -- a layer that shows what a peer sends first to whoever must choose by it, and then gives it
 * back: who reads above it, or takes the rest of it, misses nothing.
 * Thread: the stream's loop. Ownership: embedded in a struct of its user, who frees that in ops->free.
 * Units: bytes; no more than FIRST_BYTES_MAX are kept.
 * Errors: what look() says; ECONNRESET when the peer ended first; EMSGSIZE when too many did not suffice. */
#ifndef V2C_TRANSPORT_FIRST_BYTES_H
#define V2C_TRANSPORT_FIRST_BYTES_H

#include <stdint.h>

#include "transport/layer.h"

enum { FIRST_BYTES_MAX = 16 * 1024 };

struct first_bytes;

struct first_bytes_ops {
    /* All bytes so far, one at least; they stay where they are until the next call. DONE: the choice is made, and layers
     * for it are on the stream. MORE: called again with more, or, if it set `waits`, at the next event that its user
     * brings about with layer_event(). */
    enum step (*look)(struct first_bytes *f, const uint8_t *bytes, size_t len, struct err *e);
    void (*free)(struct first_bytes *f); /* `kept` is gone already */
};

struct first_bytes {
    struct layer layer;
    const struct first_bytes_ops *ops;
    uint8_t *kept; /* what nobody has read yet; owned */
    size_t len, at;
    bool waits; /* not for bytes */
};

void first_bytes_init(struct first_bytes *f, const struct first_bytes_ops *ops);
/* The one on this stream with these ops; NULL: there is none. */
struct first_bytes *first_bytes_of(const struct stream *s, const struct first_bytes_ops *ops);

#endif
