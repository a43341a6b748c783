#include "testing/rig.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/conn.h"
#include "testing/toy.h"

enum {
    LIMIT = 512 * 1024,
    MUCH = 8 * 1024 * 1024,
    PIECE = 100 * 1000,
    UP = STAT_FIXED, /* slots of counters */
    DOWN,
    IN_UP,
    IN_DOWN,
    OUT_UP,
    OUT_DOWN,
};

/* Two conns as the ends of one flow; the test holds the other ends of their sockets. */
struct hop {
    struct rig rig;
    struct conn conns[2];
    struct traffic traffic[2];
    struct user user;
    int peers[2];
    unsigned released, freed;
    uint64_t sent[2], heard[2]; /* by the peers */
};

static void on_release(struct conn *c)
{
    struct hop *h = c->end.side == 0 ? container_of(c, struct hop, conns[0])
                                     : container_of(c, struct hop, conns[1]);
    h->released++;
}

static void hop_open_with(struct hop *h, size_t limit, bool sealed)
{
    struct flow *f = NULL;
    int fds[2], deep = 1024 * 1024;
    memset(h, 0, sizeof *h);
    rig_open(&h->rig);
    h->rig.policy.buffer_size = limit;
    h->user.traffic = (struct traffic){UP, DOWN};
    h->traffic[0] = (struct traffic){IN_UP, IN_DOWN};
    h->traffic[1] = (struct traffic){OUT_UP, OUT_DOWN};
    const struct meta m = {.net = NET_TCP, .inbound_tag = "in", .user = &h->user};
    for (int i = 0; i < 2; i++) {
        struct conn *c = &h->conns[i];
        rig_pair(fds);
        stream_prepare(fds[0]);
        setsockopt(fds[0], SOL_SOCKET, SO_RCVBUF, &deep, sizeof deep);
        h->peers[i] = fds[1];
        struct codec *codec = sealed && i ? toy_new(true, false, &h->freed) : NULL;
        conn_init(c, &h->rig.loop, codec, &h->traffic[i], on_release);
        conn_attach(c, fds[0]);
        if (i == 0)
            f = flow_new(&h->rig.loop, &c->end, &conn_end_ops, &m, &h->rig.policy);
        else
            flow_join(f, &c->end, &conn_end_ops);
    }
    for (int i = 0; i < 2; i++)
        conn_start(&h->conns[i], NULL, 0);
}

static void hop_open(struct hop *h)
{
    hop_open_with(h, LIMIT, false);
}

static void hop_close(struct hop *h)
{
    struct err why;
    err_set(&why, ECANCELED, "the test is over");
    flows_abort(&h->rig.loop, &why);
    loop_settle(&h->rig.loop);
    loop_drop_stragglers(&h->rig.loop);
    assert_int_equal(h->released, 2);
    for (int i = 0; i < 2; i++)
        if (h->peers[i] >= 0)
            close(h->peers[i]);
    rig_close(&h->rig);
}

static int64_t spliced(struct hop *h)
{
    return rig_stat(&h->rig, STAT_spliced_bytes);
}

/* Some of the pattern, as much as the socket takes. False: nothing. */
static bool peer_sends(struct hop *h, int side, uint64_t end)
{
    uint8_t bytes[PIECE];
    uint64_t left = end - h->sent[side];
    size_t len = left < sizeof bytes ? (size_t)left : sizeof bytes;
    rig_pattern(bytes, len, (size_t)h->sent[side] + (size_t)side);
    ssize_t n = len ? send(h->peers[side], bytes, len, MSG_NOSIGNAL) : 0;
    h->sent[side] += n > 0 ? (uint64_t)n : 0;
    return n > 0;
}

/* What came from the other side, checked. False: nothing. */
static bool peer_hears(struct hop *h, int side)
{
    uint8_t bytes[PIECE];
    ssize_t n = recv(h->peers[side], bytes, sizeof bytes, 0);
    if (n <= 0)
        return false;
    rig_check_pattern(bytes, (size_t)n, (size_t)h->heard[side] + (size_t)!side);
    h->heard[side] += (uint64_t)n;
    return true;
}

/* So many bytes from `side` to the other one. */
static void hop_carries(struct hop *h, int side, uint64_t len)
{
    uint64_t end = h->sent[side] + len;
    ev_tstamp deadline = ev_time() + RIG_DEADLINE;
    while (h->heard[!side] < end) {
        if (ev_time() > deadline)
            fail_msg("%llu of %llu bytes came", (unsigned long long)h->heard[!side],
                     (unsigned long long)end);
        peer_sends(h, side, end);
        rig_step(&h->rig);
        while (peer_hears(h, !side))
            ;
    }
}

/* Until nothing moves any more though nobody reads. */
static void hop_fills(struct hop *h, int side)
{
    for (int idle = 0; idle < 20; idle++, rig_step(&h->rig))
        while (peer_sends(h, side, UINT64_MAX))
            idle = 0;
}

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* --- bytes --- */

static void bulk_is_spliced_and_arrives_exact_both_ways_at_once(void **state)
{
    (void)state;
    struct hop h;
    hop_open(&h);
    while (h.heard[0] < MUCH || h.heard[1] < MUCH) {
        for (int side = 0; side < 2; side++)
            if (peer_sends(&h, side, MUCH))
                rig_step(&h.rig);
        rig_step(&h.rig);
        while (peer_hears(&h, 0) || peer_hears(&h, 1))
            ;
    }
    assert_true(spliced(&h) > MUCH);
    for (int slot = UP; slot <= OUT_DOWN; slot++)
        assert_int_equal(rig_stat(&h.rig, slot), MUCH);
    assert_int_equal(end_total(&h.conns[0].end), MUCH);
    assert_int_equal(end_total(&h.conns[1].end), MUCH);
    hop_close(&h);
}

static void little_is_never_spliced(void **state)
{
    (void)state;
    struct hop h;
    hop_open(&h);
    hop_carries(&h, 0, 200 * 1000);
    assert_int_equal(spliced(&h), 0);
    for (int i = 0; i < 500; i++) /* much in all, in small pieces */
        hop_carries(&h, 1, 4000);
    assert_int_equal(spliced(&h), 0);
    hop_close(&h);
}

static void small_pieces_and_bulk_alternate(void **state)
{
    (void)state;
    struct hop h;
    hop_open(&h);
    for (int i = 0; i < 20; i++) {
        hop_carries(&h, 0, 1 + (uint64_t)i * 37);
        hop_carries(&h, 1, 1000 * 1000);
        hop_carries(&h, 1, 1 + (uint64_t)i);
    }
    assert_true(spliced(&h) > 1000 * 1000);
    assert_int_equal(rig_stat(&h.rig, DOWN), h.sent[1]);
    hop_close(&h);
}

static void a_codec_sees_every_byte(void **state)
{
    (void)state;
    struct hop h;
    hop_open_with(&h, LIMIT, true);
    for (uint64_t end = 0; end < MUCH; end += PIECE) {
        for (bool more = true; more; rig_step(&h.rig))
            more = peer_sends(&h, 0, end) || h.sent[0] < end;
        while (recv(h.peers[1], (uint8_t[PIECE]){0}, PIECE, 0) > 0)
            ;
    }
    assert_int_equal(spliced(&h), 0);
    hop_close(&h);
}

/* --- ends --- */

static void half_close_comes_behind_the_last_byte(void **state)
{
    (void)state;
    struct hop h;
    hop_open(&h);
    hop_carries(&h, 0, MUCH);
    hop_fills(&h, 0);
    shutdown(h.peers[0], SHUT_WR);
    while (h.heard[1] < h.sent[0]) {
        rig_step(&h.rig);
        peer_hears(&h, 1);
    }
    assert_int_equal(rig_drain(&h.rig, h.peers[1], NULL), 0);
    hop_carries(&h, 1, MUCH); /* the other way stays open */
    close(h.peers[1]);
    h.peers[1] = -1;
    assert_int_equal(rig_drain(&h.rig, h.peers[0], NULL), 0);
    RIG_UNTIL(&h.rig, h.released == 2);
    hop_close(&h);
}

/* The reader has ended both its ways and gone; what it brought still arrives. */
static void bytes_outlive_their_reader(void **state)
{
    (void)state;
    struct hop h;
    hop_open(&h);
    hop_carries(&h, 1, MUCH);
    shutdown(h.peers[0], SHUT_WR);
    assert_int_equal(rig_drain(&h.rig, h.peers[1], NULL), 0);
    hop_fills(&h, 1);
    shutdown(h.peers[1], SHUT_WR);
    while (h.heard[0] < h.sent[1]) {
        rig_step(&h.rig);
        peer_hears(&h, 0);
    }
    assert_int_equal(rig_drain(&h.rig, h.peers[0], NULL), 0);
    RIG_UNTIL(&h.rig, h.released == 2);
    hop_close(&h);
}

static void a_reset_of_either_side_resets_the_other(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        for (int way = 0; way < 2; way++) {
            struct hop h;
            hop_open(&h);
            hop_carries(&h, way, MUCH);
            hop_fills(&h, way);
            rig_abort(h.peers[side]);
            h.peers[side] = -1;
            assert_int_equal(rig_drain(&h.rig, h.peers[!side], NULL), ECONNRESET);
            RIG_UNTIL(&h.rig, h.released == 2);
            hop_close(&h);
        }
    }
}

/* --- bounds --- */

static void what_waits_is_bounded_by_the_flows_limit(void **state)
{
    (void)state;
    struct hop h;
    hop_open(&h);
    hop_carries(&h, 0, MUCH);
    hop_fills(&h, 0);
    assert_true(spliced(&h) > 0 && h.conns[0].paused);
    uint64_t inside = end_total(&h.conns[0].end) - (uint64_t)rig_stat(&h.rig, OUT_UP);
    assert_in_range(inside, 1, LIMIT + 64 * 1024);
    hop_carries(&h, 0, MUCH); /* it goes on */
    hop_close(&h);
    hop_open_with(&h, 100 * 1000, false); /* less than a pipe is worth */
    hop_carries(&h, 0, MUCH);
    assert_int_equal(spliced(&h), 0);
    hop_close(&h);
}

static void pipes_go_back_when_nothing_moves(void **state)
{
    (void)state;
    struct hop h;
    hop_open(&h);
    int before = open_descriptors();
    hop_carries(&h, 0, MUCH);
    assert_true(spliced(&h) > 0);
    assert_null(h.conns[0].rx);
    assert_null(h.conns[1].tx);
    assert_true(open_descriptors() > before); /* kept for the next bulk, for a while */
    RIG_UNTIL(&h.rig, open_descriptors() == before);
    hop_carries(&h, 0, MUCH);
    hop_close(&h);
}

static void without_descriptors_bytes_pass_all_the_same(void **state)
{
    (void)state;
    struct rlimit limit, low;
    struct hop h;
    hop_open(&h);
    getrlimit(RLIMIT_NOFILE, &limit);
    low = (struct rlimit){.rlim_cur = (rlim_t)rig_next_fd(), .rlim_max = limit.rlim_max};
    setrlimit(RLIMIT_NOFILE, &low);
    hop_carries(&h, 0, MUCH);
    setrlimit(RLIMIT_NOFILE, &limit);
    assert_int_equal(spliced(&h), 0);
    hop_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bulk_is_spliced_and_arrives_exact_both_ways_at_once),
        cmocka_unit_test(little_is_never_spliced),
        cmocka_unit_test(small_pieces_and_bulk_alternate),
        cmocka_unit_test(a_codec_sees_every_byte),
        cmocka_unit_test(half_close_comes_behind_the_last_byte),
        cmocka_unit_test(bytes_outlive_their_reader),
        cmocka_unit_test(a_reset_of_either_side_resets_the_other),
        cmocka_unit_test(what_waits_is_bounded_by_the_flows_limit),
        cmocka_unit_test(pipes_go_back_when_nothing_moves),
        cmocka_unit_test(without_descriptors_bytes_pass_all_the_same),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
