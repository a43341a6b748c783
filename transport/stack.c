#include "transport/stack.h"

#include <stdlib.h>
#include <string.h>

#include "transport/stream.h"

/* --- what layers use --- */

ssize_t below_readv(struct layer *l, struct iovec *iov, int count)
{
    struct layer *below = l->below;
    return below ? below->ops->readv(below, iov, count) : socket_readv(l->stream, iov, count);
}

ssize_t below_writev(struct layer *l, struct iovec *iov, int count)
{
    struct layer *below = l->below;
    return below ? below->ops->writev(below, iov, count) : socket_writev(l->stream, iov, count);
}

ssize_t below_read(struct layer *l, void *to, size_t len)
{
    struct iovec iov = {to, len};
    return below_readv(l, &iov, 1);
}

ssize_t below_write(struct layer *l, const void *from, size_t len)
{
    struct iovec iov = {(void *)from, len};
    return below_writev(l, &iov, 1);
}

void layer_tell_source(struct layer *l, const struct addr *source)
{
    l->stream->stack->source = *source;
}

void layer_tell_certificate(struct layer *l, const struct certificate *c)
{
    l->stream->stack->certificate = *c;
}

void layer_fail(struct layer *l, const struct err *why)
{
    struct stack *k = l->stream->stack;
    if (!k->why.code)
        k->why = *why;
}

void layer_greet_again(struct layer *l)
{
    l->stream->stack->greets = l;
}

void layer_event(struct layer *l, bool readable, bool writable)
{
    stack_event(l->stream->stack, readable, writable);
}

/* --- greetings --- */

static struct layer *layer_above(const struct stack *k, const struct layer *l)
{
    struct layer *above = NULL;
    for (struct layer *i = k->top; i != l; i = i->below)
        above = i;
    return above;
}

static struct layer *lowest(const struct stack *k)
{
    return layer_above(k, NULL);
}

static void stack_fail(struct stack *k)
{
    k->failed = true;
    k->greets = NULL;
    if (!k->why.code)
        err_set(&k->why, EPROTO, "no reason known");
}

/* True: nobody greets any more. */
static bool stack_greet(struct stack *k)
{
    while (k->greets) {
        const struct layer_ops *ops = k->greets->ops;
        struct err why;
        switch (ops->shake ? ops->shake(k->greets, &why) : STEP_DONE) {
        case STEP_DONE:
            k->greets = layer_above(k, k->greets);
            break;
        case STEP_MORE:
            return false;
        case STEP_FAIL:
            layer_fail(k->greets, &why);
            stack_fail(k);
        }
    }
    return true;
}

int stack_connected(const struct stack *k)
{
    bool late = k->greets;
    for (const struct layer *l = k->top; l; l = l->below)
        late |= l->greets_late;
    return k->why.code || !late ? k->why.code : EINPROGRESS;
}

static void stack_begin(struct stack *k)
{
    int error = k->stream->connecting && k->stream->fd >= 0 ? socket_error(k->stream) : 0;
    k->begun = true;
    if (!error)
        return;
    err_set(&k->why, error, "%s", strerror(error));
    stack_fail(k);
}

static void socket_watch(struct stack *k, bool readable, bool writable)
{
    struct layer *l = lowest(k);
    if (l->ops->want)
        l->ops->want(l, readable, writable);
    else
        socket_want(k->stream, readable, writable);
}

static bool stack_waits(const struct stack *k)
{
    for (const struct layer *l = k->top; l; l = l->below)
        if (l->ops->waiting && l->ops->waiting(l))
            return true;
    return false;
}

static void stack_watch(struct stack *k)
{
    const struct layer *l = k->greets;
    if (l && !k->begun)
        socket_watch(k, !k->stream->connecting, true);
    else if (l)
        socket_watch(k, l->wants_read, l->wants_write);
    else
        socket_watch(k, k->want_read, k->want_write);
    if (!l && k->want_read && !k->dry && (k->failed || stack_waits(k)))
        loop_ready(k->stream->loop, &k->again);
}

void stack_event(struct stack *k, bool readable, bool writable)
{
    bool greeted = !k->greets;
    if (!k->begun)
        stack_begin(k);
    bool greets = !stack_greet(k);
    if (!greeted)
        stack_watch(k); /* what is wanted now, by the next greeting or by the user */
    if (greets)
        return;
    if (readable || !greeted)
        k->dry = false;
    k->stream->ready(k->stream, readable || !greeted, writable || !greeted);
}

static void on_again(struct task *t)
{
    struct stack *k = container_of(t, struct stack, again);
    if (k->want_read)
        k->stream->ready(k->stream, true, false);
}

/* --- bytes --- */

static ssize_t stack_failure(const struct stack *k)
{
    errno = k->why.code;
    return STREAM_ERROR;
}

ssize_t stack_readv(struct stack *k, struct iovec *iov, int count)
{
    if (k->failed)
        return stack_failure(k);
    if (k->greets)
        return STREAM_AGAIN;
    ssize_t n = k->top->ops->readv(k->top, iov, count);
    k->dry = n == STREAM_AGAIN;
    return n;
}

ssize_t stack_writev(struct stack *k, struct iovec *iov, int count)
{
    if (k->failed)
        return stack_failure(k);
    return k->greets ? STREAM_AGAIN : k->top->ops->writev(k->top, iov, count);
}

void stack_want(struct stack *k, bool readable, bool writable)
{
    k->want_read = readable;
    k->want_write = writable;
    stack_watch(k);
}

bool stack_finish(struct stack *k)
{
    if (k->failed || k->greets)
        return true;
    for (struct layer *l = k->top; l; l = l->below)
        if (l->ops->finish && l->ops->finish(l) == STEP_MORE)
            return false;
    return true;
}

/* --- beginning and end --- */

static struct stack *stack_new(struct stream *s)
{
    struct stack *k = calloc(1, sizeof *k);
    if (!k)
        return NULL;
    k->stream = s;
    k->again.run = on_again;
    return k;
}

int stack_put(struct stream *s, struct layer *l)
{
    if (!s->stack)
        s->stack = stack_new(s);
    if (!s->stack) {
        l->ops->free(l, false);
        return -1;
    }
    l->stream = s;
    l->below = s->stack->top;
    s->stack->top = l;
    if (!l->below)
        s->stack->greets = l;
    return 0;
}

void stack_free(struct stack *k, bool well)
{
    if (well)
        stack_finish(k);
    loop_unready(&k->again);
    for (struct layer *l = k->top, *below; l; l = below) {
        below = l->below;
        l->ops->free(l, well);
    }
    free(k);
}
