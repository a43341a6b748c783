#include "testing/layers.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GOT_MAX = 4 * 1024 * 1024 };

static void side_write_some(struct side *s)
{
    while (s->out_len) {
        struct iovec iov[3];
        size_t third = s->out_len / 3;
        iov[0] = (struct iovec){(void *)s->out, third};
        iov[1] = (struct iovec){(void *)(s->out + third), third};
        iov[2] = (struct iovec){(void *)(s->out + 2 * third), s->out_len - 2 * third};
        ssize_t n = stream_writev(&s->stream, iov, 3);
        if (n <= 0)
            return;
        s->out += n;
        s->out_len -= (size_t)n;
    }
    if (s->ends && !s->ended)
        s->ended = stream_shut(&s->stream);
}

static void on_ready(struct stream *stream, bool readable, bool writable)
{
    struct side *s = container_of(stream, struct side, stream);
    (void)writable;
    s->called++;
    side_write_some(s);
    if (readable && s->last == STREAM_AGAIN) {
        assert_true(s->len + s->piece <= GOT_MAX);
        struct iovec iov = {s->got + s->len, s->piece};
        s->last = stream_readv(stream, &iov, 1);
        if (s->last > 0) {
            s->len += (size_t)s->last;
            s->last = STREAM_AGAIN;
        }
    }
    stream_want(stream, s->last == STREAM_AGAIN, s->out_len || (s->ends && !s->ended));
}

static void side_open(struct side *s, struct rig *r, int fd)
{
    *s = (struct side){.piece = 256 * 1024, .last = STREAM_AGAIN, .got = malloc(GOT_MAX)};
    stream_prepare(fd);
    stream_open(&s->stream, &r->loop, fd, on_ready);
}

static void layers_pair(struct layers *l, int fds[2])
{
    memset(l, 0, sizeof *l);
    rig_open(&l->rig);
    rig_pair(fds);
    l->peer = -1;
    l->b.stream.fd = -1;
}

void layers_open(struct layers *l)
{
    int fds[2];
    layers_pair(l, fds);
    side_open(&l->a, &l->rig, fds[0]);
    l->peer = fds[1];
}

void layers_open_both(struct layers *l)
{
    int fds[2];
    layers_pair(l, fds);
    side_open(&l->a, &l->rig, fds[0]);
    side_open(&l->b, &l->rig, fds[1]);
}

void layers_put(struct side *s, struct layer *layer)
{
    assert_non_null(layer);
    assert_int_equal(stream_put_layer(&s->stream, layer), 0);
}

void layers_go(struct side *s)
{
    stream_want(&s->stream, true, s->out_len || s->ends);
}

void side_write(struct side *s, const void *bytes, size_t len)
{
    s->out = bytes;
    s->out_len = len;
    side_write_some(s);
    layers_go(s);
}

void side_end(struct side *s)
{
    s->ends = true;
    side_write_some(s);
    layers_go(s);
}

void side_expect_failure(struct layers *l, struct side *s, const char *why)
{
    RIG_UNTIL(&l->rig, s->last == STREAM_ERROR);
    assert_string_equal(stream_why(&s->stream).text, why);
}

void side_expect(struct layers *l, struct side *s, const void *bytes, size_t len)
{
    RIG_UNTIL(&l->rig, s->len >= len || s->last != STREAM_AGAIN);
    assert_int_equal(s->len, len);
    assert_memory_equal(s->got, bytes, len);
}

void side_expect_end(struct layers *l, struct side *s)
{
    RIG_UNTIL(&l->rig, s->last != STREAM_AGAIN);
    assert_int_equal(s->last, 0);
}

static void side_close(struct side *s)
{
    if (s->got)
        stream_close(&s->stream);
    free(s->got);
}

void layers_close(struct layers *l)
{
    side_close(&l->a);
    side_close(&l->b);
    if (l->peer >= 0)
        close(l->peer);
    rig_close(&l->rig);
}

void layers_hear_head(struct layers *l, char *head, size_t room)
{
    size_t len = 0;
    while (len < 4 || memcmp(head + len - 4, "\r\n\r\n", 4) != 0) {
        assert_true(len + 1 < room);
        RIG_UNTIL(&l->rig, rig_readable(l->peer));
        assert_int_equal(read(l->peer, head + len, 1), 1);
        len++;
    }
    head[len] = '\0';
}
