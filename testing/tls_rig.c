#include "testing/tls_rig.h"

#include <stdlib.h>

/* --- what stands for the socket --- */

static struct side *side_of(const struct layer *l)
{
    return container_of(l, struct side, socket);
}

static ssize_t wire_readv(struct layer *l, struct iovec *iov, int count)
{
    struct side *s = side_of(l);
    size_t left = s->in_len - s->in_at, n = left < s->read_max ? left : s->read_max;
    (void)count;
    s->reads++;
    if (!left && s->peer->ended)
        return 0;
    if (!n)
        return STREAM_AGAIN;
    n = n < iov->iov_len ? n : iov->iov_len;
    memcpy(iov->iov_base, s->in + s->in_at, n);
    s->in_at += n;
    return (ssize_t)n;
}

static size_t wire_room(const struct side *s)
{
    size_t used = s->peer->in_len - s->peer->in_at;
    if (!s->room)
        return s->write_max;
    size_t left = used < s->room ? s->room - used : 0;
    return left < s->write_max ? left : s->write_max;
}

/* With a limit for one call the next one finds no room: every write is short once. */
static ssize_t wire_writev(struct layer *l, struct iovec *iov, int count)
{
    struct side *s = side_of(l), *peer = s->peer;
    size_t room = wire_room(s), all = 0;
    s->writes++;
    s->full = !s->full && s->write_max < TALK_ROOM;
    if (!room || (!s->full && s->write_max < TALK_ROOM))
        return STREAM_AGAIN;
    for (int i = 0; i < count && all < room; i++) {
        size_t n = iov[i].iov_len < room - all ? iov[i].iov_len : room - all;
        assert_true(peer->in_len + n <= 4 * TALK_ROOM);
        memcpy(peer->in + peer->in_len, iov[i].iov_base, n);
        peer->in_len += n;
        all += n;
    }
    return (ssize_t)all;
}

static void wire_want(struct layer *l, bool readable, bool writable)
{
    side_of(l)->want_read = readable;
    side_of(l)->want_write = writable;
}

static void wire_free(struct layer *l, bool well)
{
    (void)well;
    side_of(l)->gone = true;
}

static const struct layer_ops wire_ops = {
    .readv = wire_readv, .writev = wire_writev, .want = wire_want, .free = wire_free};

/* --- the user --- */

enum { PARTS = 8 };

static void side_write(struct side *s)
{
    while (s->send_at < s->send_len) {
        struct iovec iov[PARTS];
        int count = 0;
        size_t at = s->send_at, offered = 0;
        for (; count < PARTS && at < s->send_len; count++) {
            size_t n = s->send_len - at < s->offer ? s->send_len - at : s->offer;
            iov[count] = (struct iovec){(void *)(s->send + at), n};
            at += n;
            offered += n;
        }
        ssize_t n = stream_writev(&s->stream, iov, count);
        if (n == STREAM_ERROR)
            s->error = errno;
        if (n <= 0)
            return;
        assert_true((size_t)n <= offered);
        s->send_at += (size_t)n;
    }
}

static void side_read(struct side *s)
{
    size_t room = 4 * TALK_ROOM - s->got_len, half = s->ask / 2;
    assert_true(room >= s->ask);
    struct iovec iov[2] = {{s->got + s->got_len, s->ask - half},
                           {s->got + s->got_len + (s->ask - half), half}};
    s->said = stream_readv(&s->stream, iov, half ? 2 : 1);
    if (s->said == STREAM_ERROR)
        s->error = errno;
    s->got_len += s->said > 0 ? (size_t)s->said : 0;
}

static void on_ready(struct stream *stream, bool readable, bool writable)
{
    struct side *s = container_of(stream, struct side, stream);
    (void)writable;
    if (stream->connecting && stream_connected(stream) != 0)
        s->said = STREAM_ERROR;
    s->opened = true;
    bool over = s->said == 0 || s->said == STREAM_ERROR;
    if (readable && !over)
        side_read(s);
    if (!s->error)
        side_write(s);
    bool written = s->send_at == s->send_len || s->error;
    if (written && s->finishes && !s->finished)
        s->finished = stream_shut(stream);
    over = s->said == 0 || s->said == STREAM_ERROR;
    stream_want(stream, !over, !written || (s->finishes && !s->finished));
}

/* --- both --- */

static void side_open(struct side *s, struct talk *t, struct side *peer)
{
    *s = (struct side){.talk = t,
                       .peer = peer,
                       .read_max = TALK_ROOM,
                       .write_max = TALK_ROOM,
                       .offer = TALK_ROOM,
                       .ask = 64 * 1024,
                       .said = STREAM_AGAIN,
                       .in = malloc(4 * TALK_ROOM),
                       .got = malloc(4 * TALK_ROOM)};
    s->socket.ops = &wire_ops;
    stream_open(&s->stream, &t->rig.loop, -1, on_ready);
    assert_int_equal(stream_put_layer(&s->stream, &s->socket), 0);
}

void talk_open(struct talk *t)
{
    rig_open(&t->rig);
    side_open(&t->client, t, &t->server);
    side_open(&t->server, t, &t->client);
    t->client.stream.connecting = true;
}

void talk_tls(struct talk *t, const struct tls_conf *client, const struct tls_conf *server,
              const char *to)
{
    struct err e = {0};
    struct addr a = {.port = 443};
    assert_int_equal(addr_parse_host(&a, to, strlen(to), &e), 0);
    struct layer *c = client ? tls_dial(client, &a, &e) : NULL;
    struct layer *s = server ? tls_accept(server, &e) : NULL;
    if ((client && !c) || (server && !s))
        fail_msg("%s", e.text);
    if (c)
        assert_int_equal(stream_put_layer(&t->client.stream, c), 0);
    if (s)
        assert_int_equal(stream_put_layer(&t->server.stream, s), 0);
    stream_want(&t->client.stream, true, true);
    stream_want(&t->server.stream, true, true);
}

static bool side_move(struct side *s)
{
    bool readable = s->want_read && (s->in_at < s->in_len || s->peer->ended) && s->read_max;
    bool writable = s->want_write && wire_room(s);
    if (s->gone || (!readable && !writable))
        return false;
    layer_event(&s->socket, readable, writable);
    return true;
}

void talk_run(struct talk *t)
{
    for (unsigned rounds = 0; rounds < 1000000; rounds++) {
        bool moved = side_move(&t->client);
        moved |= side_move(&t->server);
        if (loop_is_busy(&t->rig.loop)) {
            rig_turn(&t->rig);
            moved = true;
        }
        if (!moved)
            return;
    }
    fail_msg("it never rests");
}

static void side_close(struct side *s)
{
    stream_reset(&s->stream);
    free(s->in);
    free(s->got);
}

void talk_close(struct talk *t)
{
    side_close(&t->client);
    side_close(&t->server);
    rig_close(&t->rig);
}

void side_send(struct side *s, const void *bytes, size_t len)
{
    s->send = bytes;
    s->send_len = len;
    s->send_at = 0;
    stream_want(&s->stream, s->said != 0, true);
}

bool side_shook(const struct side *s)
{
    return s->opened && !stream_why(&s->stream).code;
}

const char *side_why(const struct side *s, struct err *e)
{
    *e = stream_why(&s->stream);
    return e->text;
}

/* --- configurations --- */

struct tls_conf *conf_new(const struct tls_settings *s, const struct tls_source *sources,
                          size_t count)
{
    struct tls_material *m[8] = {0};
    struct err e = {0};
    for (size_t i = 0; i < count; i++) {
        m[i] = tls_material_load(&sources[i], &e);
        if (!m[i])
            fail_msg("%s", e.text);
    }
    struct tls_conf *c = tls_conf_new(s, m, count, &e);
    if (!c)
        fail_msg("%s", e.text);
    for (size_t i = 0; i < count; i++)
        tls_material_unref(m[i]);
    return c;
}

struct tls_source ours(const struct cert *c)
{
    return (struct tls_source){.usage = TLS_OURS, .cert = c->pem, .key = c->key};
}

struct tls_source authority(const struct cert *c)
{
    return (struct tls_source){.usage = TLS_AUTHORITY, .cert = c->pem};
}
