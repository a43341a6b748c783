/* core/cursor.h -- bounds-checked views: read through a cursor, write through a writer.
 * Thread: any. Ownership: none, they point into the caller's memory. Integers are big endian.
 * A read that does not fit answers false and moves nothing. */
#ifndef V2C_CORE_CURSOR_H
#define V2C_CORE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct cursor {
    const uint8_t *p, *end;
};

static inline struct cursor cur_of(const void *data, size_t len)
{
    const uint8_t *p = data;
    return (struct cursor){p, p + len};
}

static inline size_t cur_left(const struct cursor *c)
{
    return (size_t)(c->end - c->p);
}

static inline bool cur_u8(struct cursor *c, uint8_t *v)
{
    if (cur_left(c) < 1)
        return false;
    *v = *c->p++;
    return true;
}

static inline bool cur_be16(struct cursor *c, uint16_t *v)
{
    if (cur_left(c) < 2)
        return false;
    *v = (uint16_t)(c->p[0] << 8 | c->p[1]);
    c->p += 2;
    return true;
}

static inline bool cur_be32(struct cursor *c, uint32_t *v)
{
    if (cur_left(c) < 4)
        return false;
    *v = (uint32_t)c->p[0] << 24 | (uint32_t)c->p[1] << 16 | (uint32_t)c->p[2] << 8 | c->p[3];
    c->p += 4;
    return true;
}

static inline bool cur_be64(struct cursor *c, uint64_t *v)
{
    uint32_t high = 0, low = 0;
    if (cur_left(c) < 8)
        return false;
    cur_be32(c, &high), cur_be32(c, &low);
    *v = (uint64_t)high << 32 | low;
    return true;
}

static inline bool cur_bytes(struct cursor *c, void *to, size_t len)
{
    if (cur_left(c) < len)
        return false;
    memcpy(to, c->p, len);
    c->p += len;
    return true;
}

static inline bool cur_skip(struct cursor *c, size_t len)
{
    if (cur_left(c) < len)
        return false;
    c->p += len;
    return true;
}

/* The next len bytes as a cursor of their own. */
static inline bool cur_sub(struct cursor *c, size_t len, struct cursor *sub)
{
    if (cur_left(c) < len)
        return false;
    *sub = (struct cursor){c->p, c->p + len};
    c->p += len;
    return true;
}

/* Writes into fixed memory. What does not fit is dropped and remembered in `overflow`. */
struct writer {
    uint8_t *start, *p, *end;
    bool overflow;
};

static inline struct writer wr_of(void *data, size_t len)
{
    uint8_t *p = data;
    return (struct writer){.start = p, .p = p, .end = p + len};
}

static inline size_t wr_len(const struct writer *w)
{
    return (size_t)(w->p - w->start);
}

static inline void wr_bytes(struct writer *w, const void *from, size_t len)
{
    if ((size_t)(w->end - w->p) < len) {
        w->overflow = true;
        return;
    }
    memcpy(w->p, from, len);
    w->p += len;
}

static inline void wr_u8(struct writer *w, uint8_t v)
{
    wr_bytes(w, &v, 1);
}

static inline void wr_be16(struct writer *w, uint16_t v)
{
    uint8_t b[2] = {(uint8_t)(v >> 8), (uint8_t)v};
    wr_bytes(w, b, sizeof b);
}

static inline void wr_be32(struct writer *w, uint32_t v)
{
    uint8_t b[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    wr_bytes(w, b, sizeof b);
}

static inline void wr_be64(struct writer *w, uint64_t v)
{
    wr_be32(w, (uint32_t)(v >> 32));
    wr_be32(w, (uint32_t)v);
}

#endif
