/* testing/layers.h -- what tests of layers share: a stream with layers whose peer is a plain socket, and two such
 * streams that are each other's peer.
 * Ownership: the test's; layers_close() ends what there is. Errors end the test. */
#ifndef V2C_TESTING_LAYERS_H
#define V2C_TESTING_LAYERS_H

#include "testing/rig.h"

#include "transport/layer.h"
#include "transport/stream.h"

/* A stream that reads whatever comes, and writes what it is given. */
struct side {
    struct stream stream;
    size_t piece; /* bytes of one read */
    uint8_t *got; /* all that came */
    size_t len;
    ssize_t last; /* what the last read said, when that was no length */
    unsigned called;
    const uint8_t *out; /* what is to be written */
    size_t out_len;
    bool ends; /* ... and then its end is to be said */
    bool ended;
};

struct layers {
    struct rig rig;
    struct side a, b; /* b has no stream in a test with a plain peer */
    int peer;
};

/* a: on a socket whose other side is `peer`. */
void layers_open(struct layers *l);
/* b: the same with a stream there. */
void layers_open_both(struct layers *l);
void layers_put(struct side *s, struct layer *layer);
void layers_go(struct side *s); /* from here on it reads */
void side_write(struct side *s, const void *bytes, size_t len);
void side_end(struct side *s);
/* Turns until it has failed, for this reason. */
void side_expect_failure(struct layers *l, struct side *s, const char *why);
/* Turns until it has this, in all. */
void side_expect(struct layers *l, struct side *s, const void *bytes, size_t len);
/* Turns until it ended well. */
void side_expect_end(struct layers *l, struct side *s);
void layers_close(struct layers *l);

/* Reads a head from the plain peer, up to its blank line. */
void layers_hear_head(struct layers *l, char *head, size_t room);

#endif
