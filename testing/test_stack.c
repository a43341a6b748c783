#include "testing/rig.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/flow_layer.h"
#include "transport/layer.h"
#include "transport/stream.h"

/* A layer that greets with one byte each way, turns every byte's bits by its key, and reads ahead. */
struct toy_layer {
    struct layer layer;
    uint8_t key;
    char hello; /* what the peer must say; 0: there is no greeting */
    bool said, ended;
    uint8_t ahead[64];
    size_t at, len;
    unsigned *finished, *freed, *freed_well;
    bool stuck; /* finish() finds no room */
};

static struct toy_layer *toy(struct layer *l)
{
    return container_of(l, struct toy_layer, layer);
}

static enum step toy_shake(struct layer *l, struct err *e)
{
    struct toy_layer *t = toy(l);
    char got;
    if (!t->hello)
        return STEP_DONE;
    if (!t->said)
        t->said = below_write(l, &t->hello, 1) == 1;
    ssize_t n = below_read(l, &got, 1);
    l->wants_read = true;
    l->wants_write = !t->said;
    if (n == STREAM_AGAIN || (n > 0 && !t->said))
        return STEP_MORE;
    if (n == 1 && got == t->hello)
        return STEP_DONE;
    err_set(e, EPROTO, "toy: no greeting");
    return STEP_FAIL;
}

static ssize_t toy_readv(struct layer *l, struct iovec *iov, int count)
{
    struct toy_layer *t = toy(l);
    (void)count;
    if (t->at == t->len) {
        ssize_t n = below_read(l, t->ahead, sizeof t->ahead);
        if (n <= 0)
            return n;
        t->at = 0;
        t->len = (size_t)n;
    }
    size_t n = t->len - t->at < iov->iov_len ? t->len - t->at : iov->iov_len;
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)iov->iov_base)[i] = t->ahead[t->at++] ^ t->key;
    return (ssize_t)n;
}

static ssize_t toy_writev(struct layer *l, struct iovec *iov, int count)
{
    uint8_t turned[64];
    (void)count;
    size_t n = iov->iov_len < sizeof turned ? iov->iov_len : sizeof turned;
    for (size_t i = 0; i < n; i++)
        turned[i] = ((uint8_t *)iov->iov_base)[i] ^ toy(l)->key;
    return below_write(l, turned, n);
}

static enum step toy_finish(struct layer *l)
{
    ++*toy(l)->finished;
    return toy(l)->stuck ? STEP_MORE : STEP_DONE;
}

static bool toy_waiting(const struct layer *l)
{
    return toy((struct layer *)l)->at < toy((struct layer *)l)->len;
}

static void toy_free(struct layer *l, bool well)
{
    ++*(well ? toy(l)->freed_well : toy(l)->freed);
    free(toy(l));
}

static const struct layer_ops toy_ops = {.shake = toy_shake,
                                         .readv = toy_readv,
                                         .writev = toy_writev,
                                         .finish = toy_finish,
                                         .waiting = toy_waiting,
                                         .free = toy_free};

struct wire {
    struct rig rig;
    struct stream stream;
    int peer;
    unsigned readable, writable, finished, freed, freed_well;
    uint8_t got[4096];
    size_t len, piece; /* of one read */
    ssize_t last;
    bool takes; /* reads when it can */
};

static void on_ready(struct stream *s, bool readable, bool writable)
{
    struct wire *w = container_of(s, struct wire, stream);
    w->readable += readable;
    w->writable += writable;
    if (!readable || !w->takes)
        return;
    struct iovec iov = {w->got + w->len, w->piece};
    w->last = stream_readv(s, &iov, 1);
    w->len += w->last > 0 ? (size_t)w->last : 0;
    stream_want(s, w->last > 0 || w->last == STREAM_AGAIN, false);
}

static struct toy_layer *wire_put(struct wire *w, char hello, uint8_t key)
{
    struct toy_layer *t = calloc(1, sizeof *t);
    *t = (struct toy_layer){.layer.ops = &toy_ops,
                            .key = key,
                            .hello = hello,
                            .finished = &w->finished,
                            .freed = &w->freed,
                            .freed_well = &w->freed_well};
    assert_int_equal(stream_put_layer(&w->stream, &t->layer), 0);
    return t;
}

static void wire_open(struct wire *w)
{
    int fds[2];
    *w = (struct wire){.piece = 16};
    rig_open(&w->rig);
    rig_pair(fds);
    stream_prepare(fds[0]);
    stream_open(&w->stream, &w->rig.loop, fds[0], on_ready);
    w->peer = fds[1];
}

static void wire_close(struct wire *w)
{
    stream_close(&w->stream);
    close(w->peer);
    rig_close(&w->rig);
}

static ssize_t wire_write(struct wire *w, const char *text)
{
    struct iovec iov = {(void *)text, strlen(text)};
    return stream_writev(&w->stream, &iov, 1);
}

static void nobody_is_called_before_all_have_greeted(void **state)
{
    (void)state;
    struct wire w;
    wire_open(&w);
    wire_put(&w, 'a', 1);
    wire_put(&w, 'b', 2);
    stream_want(&w.stream, true, false);
    rig_hear(&w.rig, w.peer, "a");
    rig_say(&w.rig, w.peer, "a");
    rig_hear(&w.rig, w.peer, "c"); /* b, turned by the lower one's key */
    assert_int_equal(w.readable + w.writable, 0);
    assert_int_equal(wire_write(&w, "x"), STREAM_AGAIN);
    rig_say(&w.rig, w.peer, "c");
    RIG_UNTIL(&w.rig, w.readable == 1);
    assert_int_equal(w.writable, 1);
    assert_int_equal(wire_write(&w, "x"), 1);
    rig_hear(&w.rig, w.peer, "{"); /* turned by both */
    wire_close(&w);
    assert_int_equal(w.freed_well, 2);
    assert_int_equal(w.finished, 2);
}

static void greeted_at_once_it_waits_for_what_the_user_wants(void **state)
{
    (void)state;
    struct wire w;
    wire_open(&w);
    wire_put(&w, 'a', 1);
    rig_say(&w.rig, w.peer, "a");
    stream_want(&w.stream, true, false);
    RIG_UNTIL(&w.rig, w.readable == 1);
    for (int i = 0; i < 10; i++)
        rig_turn(&w.rig);
    assert_int_equal(w.writable, 1);
    rig_say(&w.rig, w.peer, "x");
    RIG_UNTIL(&w.rig, w.readable > 1);
    wire_close(&w);
}

static void a_greeting_that_fails_says_why(void **state)
{
    (void)state;
    struct wire w;
    char byte;
    struct iovec iov = {&byte, 1};
    wire_open(&w);
    wire_put(&w, 'a', 1);
    w.stream.connecting = true;
    stream_want(&w.stream, true, true);
    rig_say(&w.rig, w.peer, "z");
    RIG_UNTIL(&w.rig, w.writable > 0);
    assert_int_equal(stream_connected(&w.stream), EPROTO);
    assert_string_equal(stream_why(&w.stream).text, "toy: no greeting");
    assert_int_equal(stream_readv(&w.stream, &iov, 1), STREAM_ERROR);
    assert_int_equal(errno, EPROTO);
    stream_reset(&w.stream);
    assert_int_equal(w.freed, 1);
    assert_int_equal(w.finished, 0);
    wire_close(&w);
}

static void a_connection_that_fails_says_why(void **state)
{
    (void)state;
    struct wire w;
    struct addr at;
    struct sockaddr_storage ss;
    wire_open(&w);
    int listens = rig_listen(&at, 1), fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    close(listens);
    socklen_t len = addr_to_sockaddr(&at, &ss);
    connect(fd, (struct sockaddr *)&ss, len);
    stream_close(&w.stream);
    stream_open(&w.stream, &w.rig.loop, fd, on_ready);
    w.stream.connecting = true;
    wire_put(&w, 'a', 1);
    stream_want(&w.stream, true, true);
    RIG_UNTIL(&w.rig, w.writable > 0);
    assert_int_equal(stream_connected(&w.stream), ECONNREFUSED);
    assert_true(w.stream.connecting);
    wire_close(&w);
}

static void what_a_layer_has_read_ahead_is_not_forgotten(void **state)
{
    (void)state;
    struct wire w;
    wire_open(&w);
    wire_put(&w, 0, 0);
    wire_put(&w, 0, 0);
    w.takes = true;
    w.piece = 3;
    stream_want(&w.stream, true, false);
    rig_say(&w.rig, w.peer, "what one read of the lowest layer brings, in pieces");
    RIG_UNTIL(&w.rig, w.len == 51);
    assert_memory_equal(w.got, "what one read of the lowest layer brings, in pieces", 51);
    shutdown(w.peer, SHUT_WR);
    RIG_UNTIL(&w.rig, w.last == 0);
    wire_close(&w);
}

/* Nobody asks, nothing comes: a layer that has bytes does not make the loop spin. */
static void who_does_not_want_is_not_called(void **state)
{
    (void)state;
    struct wire w;
    wire_open(&w);
    wire_put(&w, 0, 0);
    w.takes = true;
    w.piece = 1;
    stream_want(&w.stream, true, false);
    rig_say(&w.rig, w.peer, "abc");
    RIG_UNTIL(&w.rig, w.len == 1);
    stream_want(&w.stream, false, false);
    unsigned before = w.readable;
    rig_step(&w.rig);
    rig_step(&w.rig);
    assert_int_equal(w.readable, before);
    stream_want(&w.stream, true, false);
    RIG_UNTIL(&w.rig, w.len == 3);
    wire_close(&w);
}

static void ending_waits_for_the_layers(void **state)
{
    (void)state;
    struct wire w;
    size_t len;
    wire_open(&w);
    struct toy_layer *t = wire_put(&w, 0, 0);
    stream_want(&w.stream, true, true);
    RIG_UNTIL(&w.rig, w.writable > 0);
    t->stuck = true;
    assert_false(stream_shut(&w.stream));
    assert_false(rig_readable(w.peer));
    t->stuck = false;
    assert_true(stream_shut(&w.stream));
    assert_int_equal(rig_drain(&w.rig, w.peer, &len), 0);
    wire_close(&w);
}

/* --- a flow in the place of the socket --- */

struct tunnel {
    struct wire wire;
    struct rig_end far;
    struct flow *flow;
};

static void tunnel_open(struct tunnel *t)
{
    struct meta m = {.net = NET_TCP, .inbound_tag = ""};
    *t = (struct tunnel){.wire = {.piece = 16, .takes = true, .peer = -1}};
    rig_open(&t->wire.rig);
    struct layer *l = flow_layer_new();
    t->flow = flow_new(&t->wire.rig.loop, flow_layer_end(l), &flow_layer_end_ops, &m,
                       &t->wire.rig.policy);
    stream_open(&t->wire.stream, &t->wire.rig.loop, -1, on_ready);
    assert_int_equal(stream_put_layer(&t->wire.stream, l), 0);
    assert_true(stream_is_open(&t->wire.stream));
}

static void tunnel_close(struct tunnel *t, bool well)
{
    if (well)
        stream_close(&t->wire.stream);
    else
        stream_reset(&t->wire.stream);
    RIG_UNTIL(&t->wire.rig, t->far.left);
    rig_end_free(&t->far);
    rig_close(&t->wire.rig);
}

static void bytes_pass_through_a_flow_both_ways(void **state)
{
    (void)state;
    struct tunnel t;
    tunnel_open(&t);
    wire_put(&t.wire, 0, 0);
    stream_want(&t.wire.stream, true, true);
    rig_join(t.flow, &t.far);
    RIG_UNTIL(&t.wire.rig, t.wire.writable > 0);
    assert_int_equal(wire_write(&t.wire, "there"), 5);
    RIG_UNTIL(&t.wire.rig, t.far.len == 5);
    assert_memory_equal(t.far.got, "there", 5);
    end_write(&t.far.end, "and back, in more than one piece", 32);
    RIG_UNTIL(&t.wire.rig, t.wire.len == 32);
    assert_memory_equal(t.wire.got, "and back, in more than one piece", 32);
    end_eof(&t.far.end);
    RIG_UNTIL(&t.wire.rig, t.wire.last == 0);
    assert_true(stream_shut(&t.wire.stream));
    RIG_UNTIL(&t.wire.rig, t.far.eof);
    tunnel_close(&t, true);
    assert_false(t.far.failed);
}

static void why_a_flow_failed_is_why_the_stream_fails(void **state)
{
    (void)state;
    struct tunnel t;
    struct err why;
    tunnel_open(&t);
    stream_want(&t.wire.stream, true, true);
    RIG_UNTIL(&t.wire.rig, t.wire.writable > 0);
    rig_join(t.flow, &t.far);
    err_set(&why, EHOSTUNREACH, "the proxy is down");
    rig_leave(&t.far, &why);
    RIG_UNTIL(&t.wire.rig, t.wire.last == STREAM_ERROR);
    assert_string_equal(stream_why(&t.wire.stream).text, "the proxy is down");
    assert_int_equal(wire_write(&t.wire, "x"), STREAM_ERROR);
    tunnel_close(&t, false);
}

static void a_cut_is_a_cut_below(void **state)
{
    (void)state;
    struct tunnel t;
    tunnel_open(&t);
    rig_join(t.flow, &t.far);
    stream_want(&t.wire.stream, true, true);
    RIG_UNTIL(&t.wire.rig, t.wire.writable > 0);
    tunnel_close(&t, false);
    assert_true(t.far.failed);
}

static void a_full_flow_takes_no_more(void **state)
{
    (void)state;
    struct tunnel t;
    char much[8192];
    struct iovec iov = {much, sizeof much};
    memset(much, 'x', sizeof much);
    tunnel_open(&t);
    t.far.idle = true;
    rig_join(t.flow, &t.far);
    stream_want(&t.wire.stream, true, true);
    RIG_UNTIL(&t.wire.rig, t.wire.writable > 0);
    size_t whole = 0;
    ssize_t n;
    while ((n = stream_writev(&t.wire.stream, &iov, 1)) > 0)
        whole += (size_t)n;
    assert_int_equal(n, STREAM_AGAIN);
    assert_int_equal(whole, t.wire.rig.policy.buffer_size);
    unsigned before = t.wire.writable;
    stream_want(&t.wire.stream, true, true);
    rig_step(&t.wire.rig);
    assert_int_equal(t.wire.writable, before);
    rig_take(&t.far);
    RIG_UNTIL(&t.wire.rig, t.wire.writable > before);
    t.far.idle = false;
    tunnel_close(&t, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_called_before_all_have_greeted),
        cmocka_unit_test(greeted_at_once_it_waits_for_what_the_user_wants),
        cmocka_unit_test(a_greeting_that_fails_says_why),
        cmocka_unit_test(a_connection_that_fails_says_why),
        cmocka_unit_test(what_a_layer_has_read_ahead_is_not_forgotten),
        cmocka_unit_test(who_does_not_want_is_not_called),
        cmocka_unit_test(ending_waits_for_the_layers),
        cmocka_unit_test(bytes_pass_through_a_flow_both_ways),
        cmocka_unit_test(why_a_flow_failed_is_why_the_stream_fails),
        cmocka_unit_test(a_cut_is_a_cut_below),
        cmocka_unit_test(a_full_flow_takes_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
