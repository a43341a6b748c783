#include "core/buf.h"

#include <stdlib.h>

enum {
    POOL_KEEPS = 96,     /* 1.5 MiB a loop: what one turn of a busy loop uses */
    JOIN_MAX = 4 * 1024, /* copying more costs more than a further chunk */
};

struct buf *buf_new(struct buf_pool *pool)
{
    struct buf *b = pool->free;
    pool->used = true;
    if (b) {
        pool->free = b->next;
        pool->kept--;
    } else {
        b = malloc(sizeof *b);
        if (!b)
            return NULL;
        budget_add(pool->budget, sizeof *b);
    }
    b->next = NULL;
    b->data = b->mem + BUF_HEAD;
    b->len = 0;
    return b;
}

static void buf_destroy(struct buf_pool *pool, struct buf *b)
{
    budget_add(pool->budget, -(ptrdiff_t)sizeof *b);
    free(b);
}

void buf_free(struct buf_pool *pool, struct buf *b)
{
    if (!b)
        return;
    if (pool->kept >= POOL_KEEPS) {
        buf_destroy(pool, b);
        return;
    }
    b->next = pool->free;
    pool->free = b;
    pool->kept++;
}

void buf_pool_shrink(struct buf_pool *pool, size_t keep)
{
    while (pool->kept > keep) {
        struct buf *b = pool->free;
        pool->free = b->next;
        pool->kept--;
        buf_destroy(pool, b);
    }
}

void bufq_put(struct bufq *q, struct buf *b)
{
    b->next = NULL;
    if (q->head)
        q->last->next = b;
    else
        q->head = b;
    q->last = b;
    q->bytes += b->len;
    q->count++;
}

struct buf *bufq_take(struct bufq *q)
{
    struct buf *b = q->head;
    if (!b)
        return NULL;
    q->head = b->next;
    b->next = NULL;
    q->bytes -= b->len;
    q->count--;
    return b;
}

void bufq_unget(struct bufq *q, struct buf *b)
{
    b->next = q->head;
    if (!q->head)
        q->last = b;
    q->head = b;
    q->bytes += b->len;
    q->count++;
}

void bufq_unget_all(struct bufq *q, struct bufq *from)
{
    if (!from->head)
        return;
    from->last->next = q->head;
    if (!q->head)
        q->last = from->last;
    q->head = from->head;
    q->bytes += from->bytes;
    q->count += from->count;
    *from = (struct bufq){0};
}

static void bufq_grow_last(struct bufq *q, const void *from, size_t len)
{
    buf_append(q->last, from, len);
    q->bytes += len;
}

bool bufq_append(struct bufq *q, struct buf_pool *pool, const void *from, size_t len)
{
    const uint8_t *p = from;
    if (q->head && buf_room(q->last) >= len) {
        bufq_grow_last(q, p, len);
        return true;
    }
    while (len) {
        struct buf *b = buf_new(pool);
        if (!b)
            return false;
        size_t part = len < BUF_ROOM ? len : BUF_ROOM;
        buf_append(b, p, part);
        bufq_put(q, b);
        p += part;
        len -= part;
    }
    return true;
}

void bufq_put_joined(struct bufq *q, struct buf_pool *pool, struct buf *b)
{
    if (!q->head || b->len > JOIN_MAX || buf_room(q->last) < b->len) {
        bufq_put(q, b);
        return;
    }
    bufq_grow_last(q, b->data, b->len);
    buf_free(pool, b);
}

void bufq_free(struct bufq *q, struct buf_pool *pool)
{
    struct buf *b;
    while ((b = bufq_take(q)))
        buf_free(pool, b);
}
