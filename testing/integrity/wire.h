/* testing/integrity/wire.h -- streams that describe themselves, so that each end knows every byte.
 * A way is one direction of a stream: a head, a body and a tail.
 *     head (64)   "v2ci", direction (1), shape (1), 0 (2), run (8), stream (8), length (8), answer (8), cut (8),
 *                 seed (8), sum (8): BLAKE2b of what stands before it
 *     body (n)    ChaCha20; the key is the BLAKE2b of seed, run, stream and direction
 *     tail (32)   "TAIL", direction (1), 0 (3), run (8), stream (8), length (8)
 * Integers are little endian. The origin learns all from the first head; the client knows both from the start.
 * Thread: any, one at a time. Errors: the functions that check say where the first wrong byte is. */
#ifndef V2C_INTEGRITY_WIRE_H
#define V2C_INTEGRITY_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WIRE_HEAD = 64, WIRE_TAIL = 32, WIRE_KEY = 32, WIRE_PIECE = 65536 };
enum way_direction { WAY_UP = 1, WAY_DOWN };

/* What the two ends do; bits that do not contradict each other may be set together. */
enum shape {
    SHAPE_HALF = 1, /* the client ends its side behind its tail; the origin's tail waits for that */
    SHAPE_ORIGIN_FIRST =
        2, /* the origin ends its side behind its tail, while the client may still send */
    SHAPE_CLIENT_CLOSES = 4, /* the client closes when all is said; else the origin does */
    SHAPE_AFTER = 8,         /* the origin's body begins when the client's way is complete */
    SHAPE_PACED = 16,   /* the origin's body is never longer than what it has of the client's */
    SHAPE_CUT = 32,     /* the origin resets after `cut` bytes of its way */
    SHAPE_ABORT = 64,   /* the client resets after `cut` bytes of its way */
    SHAPE_SILENT = 128, /* the origin says nothing; the client gives up with a reset */
};

struct head {
    uint64_t run, stream, length, answer, cut, seed;
    uint8_t direction, shape;
};

struct way {
    uint8_t head[WIRE_HEAD], tail[WIRE_TAIL], key[WIRE_KEY];
    uint64_t length;
};

void way_init(struct way *w, const struct head *h);
bool head_parse(struct head *h, const uint8_t in[WIRE_HEAD]);
uint64_t way_total(const struct way *w);

/* The bytes at [at, at + len) of the way, which must lie inside it; len at most WIRE_PIECE. */
void way_fill(const struct way *w, uint64_t at, uint8_t *out, size_t len);
/* How many of these bytes are right from the first one on; those behind the end are wrong. */
size_t way_check(const struct way *w, uint64_t at, const uint8_t *in, size_t len);
/* Looks for some 16 bytes or more within 256 KiB around `near`; where they are, or UINT64_MAX. */
uint64_t way_find(const struct way *w, uint64_t near, const uint8_t *sample, size_t len);

void put_le64(uint8_t *out, uint64_t value);
uint64_t get_le64(const uint8_t *in);

/* splitmix64: the same numbers for the same seed, everywhere. */
uint64_t mix_next(uint64_t *state);
uint64_t mix_below(uint64_t *state, uint64_t bound); /* bound > 0 */

#endif
