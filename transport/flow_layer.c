#include "transport/flow_layer.h"

#include <stdlib.h>
#include <string.h>

#include "transport/stream.h"

struct flow_layer {
    struct layer layer;
    struct end end;
    bool want_read, want_write;
};

static struct flow_layer *of_layer(struct layer *l)
{
    return container_of(l, struct flow_layer, layer);
}

static bool may_read(const struct end *e)
{
    return end_has(e) || end_at_eof(e) || end_failed(e);
}

static bool may_write(struct end *e)
{
    return end_failed(e) || end_peer_left(e) || end_room(e) > 0;
}

static void on_wake(struct end *e)
{
    struct flow_layer *f = container_of(e, struct flow_layer, end);
    bool readable = f->want_read && may_read(e), writable = f->want_write && may_write(e);
    if (readable || writable)
        layer_event(&f->layer, readable, writable);
}

const struct end_ops flow_layer_end_ops = {.wake = on_wake};

static void flow_layer_want(struct layer *l, bool readable, bool writable)
{
    struct flow_layer *f = of_layer(l);
    f->want_read = readable;
    f->want_write = writable;
    if ((readable && may_read(&f->end)) || (writable && may_write(&f->end)))
        end_wake(&f->end);
}

static ssize_t flow_layer_fail(struct flow_layer *f, int code)
{
    const struct flow *flow = f->end.flow;
    struct err why;
    err_set(&why, flow->why_code ? flow->why_code : code, "%s",
            flow->why ? flow->why : strerror(code));
    layer_fail(&f->layer, &why);
    errno = why.code;
    return STREAM_ERROR;
}

/* Bytes of one piece; 0: nothing waits. */
static size_t take(struct end *e, uint8_t *to, size_t len)
{
    struct buf *b = end_take(e);
    if (!b)
        return 0;
    size_t n = b->len < len ? b->len : len;
    memcpy(to, b->data, n);
    buf_pull(b, n);
    end_untake(e, b);
    return n;
}

static size_t fill(struct end *e, const struct iovec *iov)
{
    size_t at = 0, n;
    while (at < iov->iov_len && (n = take(e, (uint8_t *)iov->iov_base + at, iov->iov_len - at)))
        at += n;
    return at;
}

static ssize_t flow_layer_readv(struct layer *l, struct iovec *iov, int count)
{
    struct flow_layer *f = of_layer(l);
    size_t whole = 0;
    if (end_failed(&f->end))
        return flow_layer_fail(f, ECONNRESET);
    for (int i = 0; i < count; i++)
        whole += fill(&f->end, &iov[i]);
    if (whole)
        return (ssize_t)whole;
    return end_at_eof(&f->end) ? 0 : STREAM_AGAIN;
}

static ssize_t flow_layer_writev(struct layer *l, struct iovec *iov, int count)
{
    struct flow_layer *f = of_layer(l);
    size_t whole = 0, room;
    if (end_failed(&f->end) || end_peer_left(&f->end))
        return flow_layer_fail(f, EPIPE);
    for (int i = 0; i < count && (room = end_room(&f->end)); i++) {
        size_t n = iov[i].iov_len < room ? iov[i].iov_len : room;
        if (!end_write(&f->end, iov[i].iov_base, n))
            return flow_layer_fail(f, ENOMEM);
        whole += n;
        if (n < iov[i].iov_len)
            break;
    }
    return whole ? (ssize_t)whole : STREAM_AGAIN;
}

static enum step flow_layer_finish(struct layer *l)
{
    end_eof(&of_layer(l)->end);
    return STEP_DONE;
}

static void flow_layer_free(struct layer *l, bool well)
{
    struct flow_layer *f = of_layer(l);
    struct err why;
    err_set(&why, ECONNRESET, "what it carried was cut off");
    if (f->end.flow)
        end_leave(&f->end, well ? NULL : &why);
    free(f);
}

static const struct layer_ops flow_layer_ops = {
    .readv = flow_layer_readv,
    .writev = flow_layer_writev,
    .finish = flow_layer_finish,
    .want = flow_layer_want,
    .free = flow_layer_free,
};

struct layer *flow_layer_new(void)
{
    struct flow_layer *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->layer.ops = &flow_layer_ops;
    return &f->layer;
}

struct end *flow_layer_end(struct layer *l)
{
    return &of_layer(l)->end;
}
