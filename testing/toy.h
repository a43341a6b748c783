/* testing/toy.h -- a codec that a test sees through: pieces of be16 length and bytes xor TOY_KEY, a length
 * of 0 is the end mark. The client greets with "T", a length and a name; the server with "OK".
 * A greeting that begins with TOY_ENDLESS is never whole.
 * Ownership: as any codec; `freed` counts its ends. */
#ifndef V2C_TESTING_TOY_H
#define V2C_TESTING_TOY_H

#include "proxy/codec.h"

enum { TOY_KEY = 0x5a, TOY_PIECE_MAX = 20000, TOY_DRAIN = 1000, TOY_ENDLESS = 0x4c };

struct toy {
    struct codec codec;
    bool client, greeted;
    bool marks;      /* has an end mark */
    enum net net;    /* what its requests ask for */
    unsigned *freed; /* the test's */
    const struct user *user;
};

/* A codec of either side. freed: counts. */
struct codec *toy_new(bool client, bool marks, unsigned *freed);

/* One piece as it is on the wire; returns its length. */
size_t toy_piece(uint8_t *wire, const void *bytes, size_t len);

#endif
