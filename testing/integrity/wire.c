#include "testing/integrity/wire.h"

#include <sodium.h>
#include <string.h>

enum { BLOCK = 64, SUM = 8, SAMPLE_MIN = 16, NEAR = 256 * 1024 };

static const uint8_t zeros[WIRE_PIECE + BLOCK];

void put_le64(uint8_t *out, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(value >> 8 * i);
}

uint64_t get_le64(const uint8_t *in)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | in[i];
    return value;
}

uint64_t mix_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint64_t mix_below(uint64_t *state, uint64_t bound)
{
    return mix_next(state) % bound;
}

static void head_sum(const uint8_t head[WIRE_HEAD], uint8_t out[SUM])
{
    uint8_t sum[16];
    crypto_generichash(sum, sizeof sum, head, WIRE_HEAD - SUM, NULL, 0);
    memcpy(out, sum, SUM);
}

static void head_write(uint8_t out[WIRE_HEAD], const struct head *h)
{
    const uint64_t numbers[] = {h->run, h->stream, h->length, h->answer, h->cut, h->seed};
    memcpy(out, "v2ci", 4);
    out[4] = h->direction;
    out[5] = h->shape;
    out[6] = out[7] = 0;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        put_le64(out + 8 + 8 * i, numbers[i]);
    head_sum(out, out + WIRE_HEAD - SUM);
}

bool head_parse(struct head *h, const uint8_t in[WIRE_HEAD])
{
    uint8_t sum[SUM];
    head_sum(in, sum);
    if (memcmp(in, "v2ci", 4) != 0 || memcmp(sum, in + WIRE_HEAD - SUM, SUM) != 0)
        return false;
    *h = (struct head){.direction = in[4],
                       .shape = in[5],
                       .run = get_le64(in + 8),
                       .stream = get_le64(in + 16),
                       .length = get_le64(in + 24),
                       .answer = get_le64(in + 32),
                       .cut = get_le64(in + 40),
                       .seed = get_le64(in + 48)};
    return true;
}

void way_init(struct way *w, const struct head *h)
{
    uint8_t material[25];
    put_le64(material, h->seed);
    put_le64(material + 8, h->run);
    put_le64(material + 16, h->stream);
    material[24] = h->direction;
    crypto_generichash(w->key, sizeof w->key, material, sizeof material, NULL, 0);
    head_write(w->head, h);
    memcpy(w->tail, "TAIL", 4);
    w->tail[4] = h->direction;
    w->tail[5] = w->tail[6] = w->tail[7] = 0;
    put_le64(w->tail + 8, h->run);
    put_le64(w->tail + 16, h->stream);
    put_le64(w->tail + 24, h->length);
    w->length = h->length;
}

uint64_t way_total(const struct way *w)
{
    return WIRE_HEAD + w->length + WIRE_TAIL;
}

static void body_fill(const struct way *w, uint64_t at, uint8_t *out, size_t len)
{
    static const uint8_t nonce[crypto_stream_chacha20_NONCEBYTES];
    uint8_t first[BLOCK];
    size_t skip = at % BLOCK, n = 0;
    if (skip) {
        n = len < BLOCK - skip ? len : BLOCK - skip;
        crypto_stream_chacha20_xor_ic(first, zeros, BLOCK, nonce, at / BLOCK, w->key);
        memcpy(out, first + skip, n);
    }
    if (len > n)
        crypto_stream_chacha20_xor_ic(out + n, zeros, len - n, nonce, (at + n) / BLOCK, w->key);
}

static size_t smaller(uint64_t a, size_t b)
{
    return a < b ? (size_t)a : b;
}

void way_fill(const struct way *w, uint64_t at, uint8_t *out, size_t len)
{
    while (len) {
        size_t n;
        if (at < WIRE_HEAD) {
            n = smaller(WIRE_HEAD - at, len);
            memcpy(out, w->head + at, n);
        } else if (at < WIRE_HEAD + w->length) {
            n = smaller(WIRE_HEAD + w->length - at, len);
            body_fill(w, at - WIRE_HEAD, out, n);
        } else {
            n = smaller(way_total(w) - at, len);
            memcpy(out, w->tail + (at - WIRE_HEAD - w->length), n);
        }
        at += n;
        out += n;
        len -= n;
    }
}

size_t way_check(const struct way *w, uint64_t at, const uint8_t *in, size_t len)
{
    uint8_t want[WIRE_PIECE];
    size_t n = smaller(way_total(w) - at, len), i = 0;
    n = smaller(n, sizeof want);
    way_fill(w, at, want, n);
    if (memcmp(in, want, n) == 0)
        return n;
    while (in[i] == want[i])
        i++;
    return i;
}

uint64_t way_find(const struct way *w, uint64_t near, const uint8_t *sample, size_t len)
{
    uint8_t piece[WIRE_PIECE];
    uint64_t from = near > NEAR ? near - NEAR : 0, to = near + NEAR;
    if (len < SAMPLE_MIN)
        return UINT64_MAX;
    to = to < way_total(w) ? to : way_total(w);
    while (from + len <= to) {
        size_t n = smaller(to - from, sizeof piece);
        way_fill(w, from, piece, n);
        const uint8_t *found = memmem(piece, n, sample, len);
        if (found)
            return from + (uint64_t)(found - piece);
        from += n - len + 1;
    }
    return UINT64_MAX;
}
