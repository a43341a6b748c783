/* proxy/shake.h -- SHAKE128 read as an endless row of 16-bit words, as VMess masks its lengths.
 * Thread: any; a state has one user. Source: FIPS 202, sections 3 and 6.2. Own code, because one-shot
 * interfaces cannot squeeze piece by piece. */
#ifndef V2C_PROXY_SHAKE_H
#define V2C_PROXY_SHAKE_H

#include <stddef.h>
#include <stdint.h>

enum { SHAKE_RATE = 168 };

struct shake {
    uint64_t lanes[25];
    unsigned at; /* bytes of the current block that are used up; always even */
};

/* The seed is shorter than SHAKE_RATE. */
void shake_init(struct shake *s, const uint8_t *seed, size_t len);
void shake_permute(struct shake *s);

/* The next two bytes of output, big endian. */
static inline uint16_t shake_word(struct shake *s)
{
    if (s->at == SHAKE_RATE)
        shake_permute(s);
    uint64_t pair = s->lanes[s->at / 8] >> (s->at % 8 * 8);
    s->at += 2;
    return (uint16_t)((pair & 0xff) << 8 | (pair >> 8 & 0xff));
}

#endif
