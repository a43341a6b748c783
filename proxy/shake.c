#include "proxy/shake.h"

#include <assert.h>
#include <string.h>

enum { ROUNDS = 24 };

static const uint64_t round_constants[ROUNDS] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000,
    0x000000000000808b, 0x0000000080000001, 0x8000000080008081, 0x8000000000008009,
    0x000000000000008a, 0x0000000000000088, 0x0000000080008009, 0x000000008000000a,
    0x000000008000808b, 0x800000000000008b, 0x8000000000008089, 0x8000000000008003,
    0x8000000000008002, 0x8000000000000080, 0x000000000000800a, 0x800000008000000a,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
};

static inline uint64_t rotate(uint64_t v, unsigned by)
{
    return v << by | v >> (64 - by);
}

/* Lane (x, y) is number x + 5y. `to` may not be `from`. All indices are constant, so that the
 * compiler keeps lanes in registers as far as it has them. */
static inline void chi_row(uint64_t *to, const uint64_t *b)
{
    to[0] = b[0] ^ (~b[1] & b[2]);
    to[1] = b[1] ^ (~b[2] & b[3]);
    to[2] = b[2] ^ (~b[3] & b[4]);
    to[3] = b[3] ^ (~b[4] & b[0]);
    to[4] = b[4] ^ (~b[0] & b[1]);
}

static inline void round_once(uint64_t *to, const uint64_t *a, uint64_t constant)
{
    uint64_t c0 = a[0] ^ a[5] ^ a[10] ^ a[15] ^ a[20];
    uint64_t c1 = a[1] ^ a[6] ^ a[11] ^ a[16] ^ a[21];
    uint64_t c2 = a[2] ^ a[7] ^ a[12] ^ a[17] ^ a[22];
    uint64_t c3 = a[3] ^ a[8] ^ a[13] ^ a[18] ^ a[23];
    uint64_t c4 = a[4] ^ a[9] ^ a[14] ^ a[19] ^ a[24];
    uint64_t d0 = c4 ^ rotate(c1, 1), d1 = c0 ^ rotate(c2, 1), d2 = c1 ^ rotate(c3, 1);
    uint64_t d3 = c2 ^ rotate(c4, 1), d4 = c3 ^ rotate(c0, 1);

    chi_row(to, (uint64_t[]){a[0] ^ d0, rotate(a[6] ^ d1, 44), rotate(a[12] ^ d2, 43),
                             rotate(a[18] ^ d3, 21), rotate(a[24] ^ d4, 14)});
    chi_row(to + 5,
            (uint64_t[]){rotate(a[3] ^ d3, 28), rotate(a[9] ^ d4, 20), rotate(a[10] ^ d0, 3),
                         rotate(a[16] ^ d1, 45), rotate(a[22] ^ d2, 61)});
    chi_row(to + 10,
            (uint64_t[]){rotate(a[1] ^ d1, 1), rotate(a[7] ^ d2, 6), rotate(a[13] ^ d3, 25),
                         rotate(a[19] ^ d4, 8), rotate(a[20] ^ d0, 18)});
    chi_row(to + 15,
            (uint64_t[]){rotate(a[4] ^ d4, 27), rotate(a[5] ^ d0, 36), rotate(a[11] ^ d1, 10),
                         rotate(a[17] ^ d2, 15), rotate(a[23] ^ d3, 56)});
    chi_row(to + 20,
            (uint64_t[]){rotate(a[2] ^ d2, 62), rotate(a[8] ^ d3, 55), rotate(a[14] ^ d4, 39),
                         rotate(a[15] ^ d0, 41), rotate(a[21] ^ d1, 2)});
    to[0] ^= constant;
}

void shake_permute(struct shake *s)
{
    uint64_t other[25];
    for (int i = 0; i < ROUNDS; i += 2) {
        round_once(other, s->lanes, round_constants[i]);
        round_once(s->lanes, other, round_constants[i + 1]);
    }
    s->at = 0;
}

void shake_init(struct shake *s, const uint8_t *seed, size_t len)
{
    assert(len < SHAKE_RATE);
    memset(s, 0, sizeof *s);
    for (size_t i = 0; i < len; i++)
        s->lanes[i / 8] |= (uint64_t)seed[i] << (i % 8 * 8);
    s->lanes[len / 8] ^= (uint64_t)0x1f << (len % 8 * 8); /* the suffix of SHAKE, then pad10*1 */
    s->lanes[SHAKE_RATE / 8 - 1] ^= (uint64_t)0x80 << 56;
    s->at = SHAKE_RATE;
}
