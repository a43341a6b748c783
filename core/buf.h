/* core/buf.h -- the unit in which bytes travel: one chunk's worth, with room on both sides so that
 * frame headers, lengths, tags and padding are added in place.
 * Thread: a buf belongs to one loop at a time; a crossing (cross.h) takes it to another. Units: bytes.
 * Ownership: whoever holds the pointer; every function that takes a buf says so.
 * Errors: buf_new() answers NULL when memory is out; the caller ends its flow. */
#ifndef V2C_CORE_BUF_H
#define V2C_CORE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/budget.h"

enum {
    BUF_DATA = 16 * 1024,     /* what is read from a socket into one buf */
    BUF_HEAD = 64,            /* before it: lengths and frame headers */
    BUF_ROOM = BUF_DATA + 64, /* a chunk that is one full frame fits */
    BUF_TAIL = 96,            /* behind it: tag and padding */
    BUF_BYTES = BUF_HEAD + BUF_ROOM + BUF_TAIL,
};

struct buf {
    struct buf *next;
    uint8_t *data;
    size_t len;
    uint8_t mem[BUF_BYTES];
};

/* Free bufs of one loop, kept warm up to a bound. */
struct buf_pool {
    struct buf *free;
    size_t kept;
    struct budget *budget; /* counts the bufs that there are; NULL: nobody does */
    bool used;             /* since somebody last looked */
};

enum { BUF_POOL_REST = 4 }; /* bufs that an idle pool keeps */

struct buf *buf_new(struct buf_pool *pool);
void buf_free(struct buf_pool *pool, struct buf *b);
void buf_pool_shrink(struct buf_pool *pool, size_t keep);

/* Bytes that may be appended without touching the room kept for tags and padding. */
static inline size_t buf_room(const struct buf *b)
{
    return (size_t)(b->mem + BUF_HEAD + BUF_ROOM - (b->data + b->len));
}

static inline size_t buf_headroom(const struct buf *b)
{
    return (size_t)(b->data - b->mem);
}

/* Moves the bytes back to where a new buf has them when there is less room before them than this. What
 * many layers put in front of a buf thus never runs out of it. */
static inline void buf_settle(struct buf *b, size_t headroom)
{
    if (buf_headroom(b) >= headroom || b->len > BUF_ROOM)
        return;
    memmove(b->mem + BUF_HEAD, b->data, b->len);
    b->data = b->mem + BUF_HEAD;
}

/* Grows the buf at its start; the caller fills the returned bytes and knows that they fit. */
static inline uint8_t *buf_push(struct buf *b, size_t len)
{
    b->data -= len;
    b->len += len;
    return b->data;
}

static inline void buf_pull(struct buf *b, size_t len)
{
    b->data += len;
    b->len -= len;
}

static inline void buf_append(struct buf *b, const void *from, size_t len)
{
    memcpy(b->data + b->len, from, len);
    b->len += len;
}

/* A queue of bufs; owns them. */
struct bufq {
    struct buf *head, *last;
    size_t bytes, count;
};

void bufq_put(struct bufq *q, struct buf *b);           /* takes b */
struct buf *bufq_take(struct bufq *q);                  /* gives the first away; NULL when empty */
void bufq_unget(struct bufq *q, struct buf *b);         /* takes b, in front of the others */
void bufq_unget_all(struct bufq *q, struct bufq *from); /* the same for all of `from` */
/* Copies bytes behind the others, into the last buf where they fit whole, else into new ones.
 * False when memory is out; then what was copied so far stays. */
bool bufq_append(struct bufq *q, struct buf_pool *pool, const void *from, size_t len);
/* Takes b; when it is small and fits into the last buf, its bytes are moved there. */
void bufq_put_joined(struct bufq *q, struct buf_pool *pool, struct buf *b);
void bufq_free(struct bufq *q, struct buf_pool *pool);

#endif
