#include "transport/first_bytes.h"

#include <stdlib.h>
#include <string.h>

#include "transport/stack.h"
#include "transport/stream.h"

static struct first_bytes *of_layer(struct layer *l)
{
    return container_of(l, struct first_bytes, layer);
}

static bool keep(struct first_bytes *f, const uint8_t *from, size_t len)
{
    uint8_t *kept = realloc(f->kept, f->len + len);
    if (!kept)
        return false;
    memcpy(kept + f->len, from, len);
    f->kept = kept;
    f->len += len;
    return true;
}

/* DONE: something came. */
static enum step take(struct first_bytes *f, struct err *e)
{
    uint8_t *to = f->layer.stream->loop->scratch;
    size_t room = FIRST_BYTES_MAX - f->len;
    if (!room)
        return step_fail(e, EMSGSIZE, "its first bytes say too little");
    ssize_t n = below_read(&f->layer, to, room);
    if (n == STREAM_AGAIN)
        return STEP_MORE;
    if (n == 0)
        return step_fail(e, ECONNRESET, "the connection ended before it said what it is");
    if (n < 0)
        return err_sys(e, "read"), STEP_FAIL;
    return keep(f, to, (size_t)n) ? STEP_DONE : step_fail(e, ENOMEM, "out of memory");
}

static enum step first_shake(struct layer *l, struct err *e)
{
    struct first_bytes *f = of_layer(l);
    enum step s = f->waits ? STEP_DONE : take(f, e);
    f->waits = false;
    if (s == STEP_DONE)
        s = f->ops->look(f, f->kept, f->len, e);
    l->wants_read = !f->waits;
    return s;
}

static size_t give(struct first_bytes *f, const struct iovec *iov)
{
    size_t left = f->len - f->at, n = iov->iov_len < left ? iov->iov_len : left;
    memcpy(iov->iov_base, f->kept + f->at, n);
    f->at += n;
    return n;
}

static void forget(struct first_bytes *f)
{
    free(f->kept);
    f->kept = NULL;
    f->at = f->len = 0;
}

static ssize_t first_readv(struct layer *l, struct iovec *iov, int count)
{
    struct first_bytes *f = of_layer(l);
    size_t n = 0;
    if (!f->kept)
        return below_readv(l, iov, count);
    for (int i = 0; i < count && f->at < f->len; i++)
        n += give(f, &iov[i]);
    if (f->at == f->len)
        forget(f);
    return (ssize_t)n;
}

static ssize_t first_writev(struct layer *l, struct iovec *iov, int count)
{
    return below_writev(l, iov, count);
}

static bool first_waiting(const struct layer *l)
{
    return container_of(l, const struct first_bytes, layer)->kept != NULL;
}

static void first_free(struct layer *l, bool well)
{
    (void)well;
    struct first_bytes *f = of_layer(l);
    forget(f);
    f->ops->free(f);
}

static const struct layer_ops first_ops = {
    .shake = first_shake,
    .readv = first_readv,
    .writev = first_writev,
    .waiting = first_waiting,
    .free = first_free,
};

void first_bytes_init(struct first_bytes *f, const struct first_bytes_ops *ops)
{
    *f = (struct first_bytes){.layer = {.ops = &first_ops}, .ops = ops};
}

struct first_bytes *first_bytes_of(const struct stream *s, const struct first_bytes_ops *ops)
{
    for (struct layer *l = s->stack ? s->stack->top : NULL; l; l = l->below)
        if (l->ops == &first_ops && of_layer(l)->ops == ops)
            return of_layer(l);
    return NULL;
}
