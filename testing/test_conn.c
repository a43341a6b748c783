#include "testing/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/conn.h"
#include "testing/toy.h"

enum kind { PLAIN, MARKS, NO_MARKS }; /* no codec, one with an end mark, one without */

/* A conn as the flow's first end; the test holds the far end and the peer's socket. */
struct line {
    struct rig rig;
    struct conn conn;
    struct rig_end far;
    struct traffic traffic;
    int peer;
    bool released;
    unsigned freed, unreached;
};

static void on_release(struct conn *c)
{
    container_of(c, struct line, conn)->released = true;
}

static void line_init(struct line *l, enum kind kind)
{
    struct codec *codec = kind == PLAIN ? NULL : toy_new(false, kind == MARKS, &l->freed);
    if (codec)
        codec->marks_end = kind == MARKS;
    l->traffic = (struct traffic){STAT_FIXED, STAT_FIXED + 1};
    conn_init(&l->conn, &l->rig.loop, codec, &l->traffic, on_release);
}

static void line_flow(struct line *l, enum net net)
{
    const struct meta m = {.net = net, .inbound_tag = "in"};
    struct flow *f = flow_new(&l->rig.loop, &l->conn.end, &conn_end_ops, &m, &l->rig.policy);
    assert_non_null(f);
    rig_join(f, &l->far);
}

static void line_open_with(struct line *l, enum kind kind, enum net net, size_t limit)
{
    int fds[2];
    bool idle = l->far.idle, stays = l->far.stays;
    memset(l, 0, sizeof *l);
    l->far.idle = idle;
    l->far.stays = stays;
    rig_open(&l->rig);
    l->rig.policy.buffer_size = limit;
    rig_pair(fds);
    stream_prepare(fds[0]);
    l->peer = fds[1];
    line_init(l, kind);
    conn_attach(&l->conn, fds[0]);
    line_flow(l, net);
    conn_start(&l->conn, NULL, 0);
}

static void line_open(struct line *l, enum kind kind)
{
    line_open_with(l, kind, NET_TCP, 512 * 1024);
}

static void line_close(struct line *l)
{
    struct err why;
    err_set(&why, ECANCELED, "the test is over");
    flows_abort(&l->rig.loop, &why);
    loop_settle(&l->rig.loop);
    if (!l->far.left)
        rig_leave(&l->far, NULL);
    loop_drop_stragglers(&l->rig.loop);
    assert_true(l->released);
    assert_int_equal(l->freed, l->conn.codec != NULL);
    if (l->peer >= 0)
        close(l->peer);
    rig_end_free(&l->far);
    rig_close(&l->rig);
}

static void peer_sends(struct line *l, const void *bytes, size_t len)
{
    uint8_t wire[TOY_PIECE_MAX + 2];
    if (l->conn.codec)
        rig_send(&l->rig, l->peer, wire, toy_piece(wire, bytes, len));
    else
        rig_send(&l->rig, l->peer, bytes, len);
}

static void peer_hears(struct line *l, const void *bytes, size_t len)
{
    uint8_t wire[TOY_PIECE_MAX + 2];
    if (l->conn.codec)
        rig_expect(&l->rig, l->peer, wire, toy_piece(wire, bytes, len));
    else
        rig_expect(&l->rig, l->peer, bytes, len);
}

/* --- both ways --- */

static void bytes_pass_both_ways_and_are_counted(void **state)
{
    (void)state;
    for (int kind = PLAIN; kind <= NO_MARKS; kind++) {
        struct line l = {0};
        line_open(&l, kind);
        peer_sends(&l, "request", 7);
        RIG_UNTIL(&l.rig, l.far.len == 7);
        assert_memory_equal(l.far.got, "request", 7);
        assert_true(end_write(&l.far.end, "answer", 6));
        peer_hears(&l, "answer", 6);
        int overhead = kind == PLAIN ? 0 : 2; /* traffic is what is on the wire */
        assert_int_equal(rig_stat(&l.rig, STAT_FIXED), 7 + overhead);
        assert_int_equal(rig_stat(&l.rig, STAT_FIXED + 1), 6 + overhead);
        line_close(&l);
    }
}

static void half_close_of_the_peer_leaves_the_other_way_open(void **state)
{
    (void)state;
    for (int kind = PLAIN; kind <= NO_MARKS; kind++) {
        struct line l = {0};
        line_open(&l, kind);
        peer_sends(&l, "ask", 3);
        if (kind == MARKS)
            peer_sends(&l, NULL, 0);
        else
            shutdown(l.peer, SHUT_WR);
        RIG_UNTIL(&l.rig, l.far.eof);
        assert_int_equal(l.far.len, 3);
        assert_true(end_write(&l.far.end, "answer", 6));
        peer_hears(&l, "answer", 6);
        rig_leave(&l.far, NULL);
        if (kind == MARKS)
            peer_hears(&l, NULL, 0);
        assert_int_equal(rig_drain(&l.rig, l.peer, NULL), 0);
        RIG_UNTIL(&l.rig, l.released);
        line_close(&l);
    }
}

static void half_close_of_the_flow_leaves_the_other_way_open(void **state)
{
    (void)state;
    for (int kind = PLAIN; kind <= NO_MARKS; kind++) {
        struct line l = {0};
        line_open(&l, kind);
        assert_true(end_write(&l.far.end, "last", 4));
        end_eof(&l.far.end);
        peer_hears(&l, "last", 4);
        if (kind == MARKS)
            peer_hears(&l, NULL, 0);
        else
            assert_int_equal(rig_drain(&l.rig, l.peer, NULL), 0);
        peer_sends(&l, "still here", 10);
        RIG_UNTIL(&l.rig, l.far.len == 10);
        assert_false(l.released);
        close(l.peer); /* peers of a protocol with a mark just close after they heard one */
        l.peer = -1;
        RIG_UNTIL(&l.rig, l.far.left);
        assert_true(l.released && !l.far.failed);
        line_close(&l);
    }
}

static void a_reset_of_the_peer_fails_the_flow(void **state)
{
    (void)state;
    for (int kind = PLAIN; kind <= NO_MARKS; kind++) {
        struct line l = {0};
        line_open(&l, kind);
        rig_abort(l.peer);
        l.peer = -1;
        RIG_UNTIL(&l.rig, l.far.left);
        assert_true(l.far.failed && l.released);
        assert_non_null(strstr(l.far.why, "reset"));
        line_close(&l);
    }
}

static void a_failed_flow_resets_the_peer(void **state)
{
    (void)state;
    for (int kind = PLAIN; kind <= NO_MARKS; kind++) {
        struct line l = {0};
        struct err why;
        line_open(&l, kind);
        err_set(&why, EPIPE, "far away");
        rig_leave(&l.far, &why);
        assert_int_equal(rig_drain(&l.rig, l.peer, NULL), ECONNRESET);
        assert_true(l.released);
        line_close(&l);
    }
}

/* --- the far end leaves; the last bytes must arrive --- */

static void all_bytes_arrive_when_the_far_end_has_left(void **state)
{
    (void)state;
    enum { MUCH = 6 * 1024 * 1024 };
    struct line l = {0};
    uint8_t *bytes = malloc(MUCH), *got = malloc(MUCH);
    size_t len = 0;
    line_open_with(&l, PLAIN, NET_TCP, MUCH);
    rig_pattern(bytes, MUCH, 0);
    assert_true(end_write(&l.far.end, bytes, MUCH));
    rig_leave(&l.far, NULL);
    rig_turn(&l.rig);
    rig_say(&l.rig, l.peer, "what nobody reads would turn a close into a reset");
    while (len < MUCH) { /* in small bites */
        ssize_t n = -1;
        size_t bite = MUCH - len < 50000 ? MUCH - len : 50000;
        RIG_UNTIL(&l.rig, (n = recv(l.peer, got + len, bite, 0)) >= 0 || errno != EAGAIN);
        assert_true(n > 0);
        len += (size_t)n;
    }
    rig_say(&l.rig, l.peer, "still talking");
    assert_memory_equal(got, bytes, MUCH);
    assert_int_equal(rig_drain(&l.rig, l.peer, NULL), 0);
    assert_false(l.released); /* waits for the peer's end */
    close(l.peer);
    l.peer = -1;
    RIG_UNTIL(&l.rig, l.released);
    line_close(&l);
    free(bytes);
    free(got);
}

static void lingering_ends_by_time(void **state)
{
    (void)state;
    struct line l = {0};
    line_open(&l, PLAIN);
    rig_leave(&l.far, NULL);
    assert_int_equal(rig_drain(&l.rig, l.peer, NULL), 0);
    assert_false(l.released);
    assert_true(ev_is_active(&l.conn.deadline));
    ev_feed_event(l.rig.loop.ev, &l.conn.deadline, EV_TIMER); /* as if the time were over */
    rig_turn(&l.rig);
    assert_true(l.released);
    line_close(&l);
}

static size_t read_some(int fd, uint8_t bytes[])
{
    ssize_t n = recv(fd, bytes, 50000, MSG_DONTWAIT);
    return n > 0 ? (size_t)n : 0;
}

/* The peer's kernel has room for part of it, and then takes more whenever the peer reads. */
static void lingering_goes_on_as_long_as_the_peer_takes_bytes(void **state)
{
    (void)state;
    enum { MUCH = 6 * 1024 * 1024 };
    struct line l = {0};
    uint8_t *bytes = calloc(1, MUCH);
    line_open_with(&l, PLAIN, NET_TCP, MUCH);
    int room = MUCH;
    setsockopt(l.conn.stream.fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    assert_true(end_write(&l.far.end, bytes, MUCH));
    rig_leave(&l.far, NULL);
    RIG_UNTIL(&l.rig, (read_some(l.peer, bytes), l.conn.alone));
    size_t before = l.conn.unacknowledged;
    assert_true(before > 0);
    RIG_UNTIL(&l.rig, (read_some(l.peer, bytes), stream_unacknowledged(&l.conn.stream) < before));
    ev_feed_event(l.rig.loop.ev, &l.conn.deadline, EV_TIMER);
    rig_turn(&l.rig);
    assert_false(l.released);
    /* Nobody reads any more. The kernel may still take some, but not for ever. */
    RIG_UNTIL(&l.rig,
              l.released || (ev_feed_event(l.rig.loop.ev, &l.conn.deadline, EV_TIMER), false));
    line_close(&l);
    free(bytes);
}

static void lingering_ends_when_the_peer_floods(void **state)
{
    (void)state;
    struct line l = {0};
    uint8_t bytes[65536] = {0};
    size_t sent = 0;
    line_open(&l, PLAIN);
    rig_leave(&l.far, NULL);
    rig_turn(&l.rig);
    for (ssize_t n = 0; n >= 0 || errno == EAGAIN; rig_step(&l.rig)) {
        n = send(l.peer, bytes, sizeof bytes, MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        assert_true(sent < 64 << 20);
    }
    assert_true(l.released && sent > 4 << 20);
    line_close(&l);
}

static void lingering_conns_go_with_the_loop(void **state)
{
    (void)state;
    struct line l = {0};
    line_open(&l, MARKS);
    rig_leave(&l.far, NULL);
    rig_turn(&l.rig);
    assert_false(l.released);
    loop_drop_stragglers(&l.rig.loop);
    assert_true(l.released);
    line_close(&l);
}

/* --- back-pressure --- */

static void a_slow_peer_gets_every_byte_in_order(void **state)
{
    (void)state;
    enum { MUCH = 3 * 1024 * 1024, STEP = 10000, LIMIT = 100000 };
    for (int kind = PLAIN; kind <= MARKS; kind++) {
        struct line l = {0};
        uint8_t bytes[STEP], wire[STEP + 2];
        size_t put = 0;
        int small = 4096;
        l.far.idle = true;
        line_open_with(&l, kind, NET_TCP, LIMIT);
        setsockopt(l.conn.stream.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
        for (size_t heard = 0; heard < MUCH; heard += STEP) {
            for (; put < MUCH && end_room(&l.far.end); put += STEP) {
                rig_pattern(bytes, STEP, put);
                struct buf *b = buf_new(&l.rig.loop.bufs);
                buf_append(b, bytes, STEP);
                end_put(&l.far.end, b);
                assert_true(end_unread(&l.far.end) < LIMIT + STEP);
            }
            rig_turn(&l.rig);
            rig_pattern(bytes, STEP, heard);
            if (kind == PLAIN)
                rig_expect(&l.rig, l.peer, bytes, STEP);
            else
                rig_expect(&l.rig, l.peer, wire, toy_piece(wire, bytes, STEP));
        }
        line_close(&l);
    }
}

static void reading_pauses_when_the_flow_is_full_and_resumes(void **state)
{
    (void)state;
    enum { PIECE = 8192, LIMIT = 100000, OVER = LOOP_SCRATCH + TOY_PIECE_MAX };
    for (int kind = PLAIN; kind <= MARKS; kind++) {
        struct line l = {0};
        uint8_t bytes[PIECE], wire[PIECE + 2];
        size_t sent = 0, len = PIECE;
        ssize_t n = 0;
        l.far.idle = true;
        line_open_with(&l, kind, NET_TCP, LIMIT);
        memset(bytes, 7, sizeof bytes);
        memcpy(wire, bytes, PIECE);
        if (kind == MARKS)
            len = toy_piece(wire, bytes, PIECE);
        for (int idle = 0; idle < 20; rig_step(&l.rig)) { /* until nothing moves any more */
            while ((n = send(l.peer, wire + sent % len, len - sent % len, MSG_NOSIGNAL)) > 0) {
                sent += (size_t)n;
                idle = 0;
            }
            assert_int_equal(errno, EAGAIN);
            idle++;
        }
        assert_in_range(end_waiting(&l.far.end), LIMIT, LIMIT + OVER);
        assert_true(l.conn.paused);
        l.far.idle = false;
        end_wake(&l.far.end);
        rig_send(&l.rig, l.peer, wire + sent % len, len - sent % len);
        sent += len - sent % len;
        RIG_UNTIL(&l.rig, l.far.len == sent / len * PIECE);
        for (size_t i = 0; i < l.far.len; i++)
            assert_int_equal(l.far.got[i], 7);
        line_close(&l);
    }
}

/* --- codecs --- */

/* --- how much one read brings --- */

enum { SHORT_READ = 64 * 1024 };

static void line_deepen(struct line *l)
{
    int deep = 400 * 1024;
    setsockopt(l->conn.stream.fd, SOL_SOCKET, SO_RCVBUF, &deep, sizeof deep);
    setsockopt(l->peer, SOL_SOCKET, SO_SNDBUF, &deep, sizeof deep);
}

/* A second conn on the loop of the first. */
static void line_open_beside(struct line *l, struct line *first)
{
    static const struct meta m = {.net = NET_TCP, .inbound_tag = "in"};
    int fds[2];
    rig_pair(fds);
    stream_prepare(fds[0]);
    l->peer = fds[1];
    conn_init(&l->conn, &first->rig.loop, NULL, NULL, on_release);
    conn_attach(&l->conn, fds[0]);
    rig_join(flow_new(&first->rig.loop, &l->conn.end, &conn_end_ops, &m, &first->rig.policy),
             &l->far);
    conn_start(&l->conn, NULL, 0);
}

/* As much as the socket takes. */
static void peer_floods(struct line *l)
{
    static const uint8_t bytes[SHORT_READ];
    while (send(l->peer, bytes, sizeof bytes, MSG_NOSIGNAL) > 0)
        ;
}

/* The most that came in one of some turns while there was always more. */
static size_t most_in_a_turn(struct line *l, struct line *beside, int turns)
{
    size_t most = 0;
    for (int i = 0; i < turns; i++) {
        uint64_t before = end_total(&l->conn.end);
        peer_floods(l);
        if (beside)
            assert_int_equal(send(beside->peer, "small", 5, MSG_NOSIGNAL), 5);
        ev_run(l->rig.loop.ev, EVRUN_NOWAIT);
        size_t came = end_total(&l->conn.end) - before;
        most = came > most ? came : most;
    }
    return most;
}

static void who_reads_alone_reads_more_at_once(void **state)
{
    (void)state;
    struct line l = {0};
    line_open(&l, PLAIN);
    line_deepen(&l);
    assert_true(most_in_a_turn(&l, NULL, 4) <= SHORT_READ);
    assert_true(most_in_a_turn(&l, NULL, 40) > SHORT_READ);
    line_close(&l);
}

static void beside_others_one_read_brings_little(void **state)
{
    (void)state;
    struct line l = {0}, beside = {0};
    line_open(&l, PLAIN);
    line_deepen(&l);
    line_open_beside(&beside, &l);
    assert_true(most_in_a_turn(&l, &beside, 40) <= SHORT_READ);
    line_close(&l);
    assert_true(beside.released);
    close(beside.peer);
    rig_end_free(&beside.far);
}

/* However fast the flow takes it: the loop's others have their turn too. */
static void a_conn_reads_once_a_turn(void **state)
{
    (void)state;
    struct line l = {0};
    line_open_with(&l, PLAIN, NET_TCP, 1); /* full with each read */
    line_deepen(&l);
    assert_true(most_in_a_turn(&l, NULL, 4) <= SHORT_READ);
    line_close(&l);
}

static void a_codec_survives_any_split(void **state)
{
    (void)state;
    uint8_t wire[64];
    size_t len = toy_piece(wire, "hello", 5);
    len += toy_piece(wire + len, " ", 1);
    len += toy_piece(wire + len, "world", 5);
    len += toy_piece(wire + len, NULL, 0);
    for (size_t cut = 0; cut <= len; cut++) {
        struct line l = {0};
        line_open(&l, MARKS);
        rig_send(&l.rig, l.peer, wire, cut);
        RIG_UNTIL(&l.rig, cut == 0 || rig_stat(&l.rig, STAT_FIXED) == (int64_t)cut);
        rig_send(&l.rig, l.peer, wire + cut, len - cut);
        RIG_UNTIL(&l.rig, l.far.eof);
        assert_int_equal(l.far.len, 11);
        assert_memory_equal(l.far.got, "hello world", 11);
        assert_int_equal(l.conn.end.flow->pieces, 4);
        line_close(&l);
    }
}

static void bytes_read_with_the_greeting_come_first(void **state)
{
    (void)state;
    uint8_t wire[64];
    size_t len = toy_piece(wire, "hello", 5);
    len += toy_piece(wire + len, " world", 6);
    for (size_t cut = 0; cut <= len; cut++) {
        struct line l = {0};
        int fds[2];
        rig_open(&l.rig);
        rig_pair(fds);
        l.peer = fds[1];
        line_init(&l, MARKS);
        conn_attach(&l.conn, fds[0]);
        line_flow(&l, NET_TCP);
        rig_send(&l.rig, l.peer, wire + cut, len - cut);
        memcpy(l.rig.loop.scratch, wire, cut);
        conn_start(&l.conn, l.rig.loop.scratch, cut);
        RIG_UNTIL(&l.rig, l.far.len == 11);
        assert_memory_equal(l.far.got, "hello world", 11);
        line_close(&l);
    }
}

/* An end without the mark, or within a piece: somebody may have cut the connection. */
static void a_codec_that_is_cut_off_fails_the_flow(void **state)
{
    (void)state;
    uint8_t wire[16];
    size_t len = toy_piece(wire, "hello", 5);
    for (int kind = MARKS; kind <= NO_MARKS; kind++)
        for (size_t cut = 0; cut <= len; cut++) {
            struct line l = {0};
            line_open(&l, kind);
            rig_send(&l.rig, l.peer, wire, cut);
            shutdown(l.peer, SHUT_WR);
            bool whole = kind == NO_MARKS && (cut == 0 || cut == len);
            RIG_UNTIL(&l.rig, l.far.left || (whole && l.far.eof));
            assert_int_equal(l.far.failed, !whole);
            if (!whole)
                assert_int_equal(rig_drain(&l.rig, l.peer, NULL), ECONNRESET);
            line_close(&l);
        }
}

static void a_piece_that_is_not_valid_resets_both(void **state)
{
    (void)state;
    struct line l = {0};
    line_open(&l, MARKS);
    rig_send(&l.rig, l.peer, "\xff\xff", 2);
    RIG_UNTIL(&l.rig, l.far.left);
    assert_true(l.far.failed);
    assert_int_equal(rig_drain(&l.rig, l.peer, NULL), ECONNRESET);
    line_close(&l);
}

static void what_follows_the_end_mark_means_nothing(void **state)
{
    (void)state;
    enum { JUNK = 2 * TOY_PIECE_MAX };
    struct line l = {0};
    uint8_t *wire = malloc(JUNK + 64);
    size_t len = toy_piece(wire, "a", 1);
    len += toy_piece(wire + len, NULL, 0);
    len += toy_piece(wire + len, "b", 1);
    memset(wire + len, 0xff, JUNK);
    line_open(&l, MARKS);
    rig_send(&l.rig, l.peer, wire, len + JUNK);
    RIG_UNTIL(&l.rig, l.far.eof);
    rig_turn(&l.rig);
    assert_int_equal(l.far.len, 1);
    assert_false(l.far.left);
    line_close(&l);
    free(wire);
}

static void what_a_codec_cannot_say_is_dropped_and_counted(void **state)
{
    (void)state;
    struct line l = {0};
    line_open_with(&l, MARKS, NET_UDP, 100000);
    assert_true(end_write(&l.far.end, "thirteenbytes", 13));
    rig_turn(&l.rig);
    assert_int_equal(rig_stat(&l.rig, STAT_datagrams_dropped), 1);
    assert_true(end_write(&l.far.end, "fine", 4));
    peer_hears(&l, "fine", 4);
    line_close(&l);
}

static void pieces_of_packets_are_datagrams(void **state)
{
    (void)state;
    struct line l = {0};
    uint8_t large[BUF_ROOM + 1] = {0};
    l.far.idle = true;
    line_open_with(&l, MARKS, NET_UDP, 100000);
    peer_sends(&l, large, BUF_ROOM);
    peer_sends(&l, large, BUF_ROOM + 1); /* larger than a buf */
    for (int i = 0; i < 3; i++)
        peer_sends(&l, "abc", 3);
    RIG_UNTIL(&l.rig, end_waiting(&l.far.end) == BUF_ROOM + 9);
    rig_take(&l.far);
    assert_int_equal(l.far.count, 4);
    assert_int_equal(l.far.sizes[3], 3);
    assert_int_equal(rig_stat(&l.rig, STAT_datagrams_dropped), 1);
    line_close(&l);
}

static void packets_beyond_the_room_are_dropped_and_counted(void **state)
{
    (void)state;
    struct line l = {0};
    uint8_t wire[100 * 3];
    size_t len = 0;
    l.far.idle = true;
    line_open_with(&l, MARKS, NET_UDP, 100000);
    while (len < sizeof wire)
        len += toy_piece(wire + len, "x", 1);
    rig_send(&l.rig, l.peer, wire, len);
    RIG_UNTIL(&l.rig, rig_stat(&l.rig, STAT_FIXED) == (int64_t)len);
    rig_take(&l.far);
    assert_int_equal(l.far.count, 64);
    assert_int_equal(rig_stat(&l.rig, STAT_datagrams_dropped), 36);
    line_close(&l);
}

static void a_held_greeting_goes_with_the_first_bytes_or_the_end(void **state)
{
    (void)state;
    for (int by_end = 0; by_end < 2; by_end++) {
        struct line l = {0};
        struct err e;
        line_open(&l, MARKS);
        l.conn.codec->signs = CODEC_SAYS;
        assert_int_equal(conn_say(&l.conn, &e), 0);
        l.conn.hold = true;
        end_wake(&l.conn.end);
        rig_turn(&l.rig);
        assert_false(rig_readable(l.peer));
        if (by_end)
            end_eof(&l.far.end);
        else
            assert_true(end_write(&l.far.end, "x", 1));
        rig_hear(&l.rig, l.peer, "OK");
        peer_hears(&l, "x", !by_end);
        line_close(&l);
    }
}

/* --- connecting --- */

/* A port whose queue is full: connections to it stay under way. */
struct jam {
    int listening, filler;
    struct addr at;
};

static void jam_open(struct jam *j)
{
    j->listening = rig_listen(&j->at, 0);
    j->filler = rig_connect(&j->at);
}

static void jam_close(struct jam *j)
{
    close(j->listening);
    close(j->filler);
}

static int connect_slowly(const struct addr *to)
{
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(to, &ss);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&ss, len), -1);
    assert_int_equal(errno, EINPROGRESS);
    return fd;
}

static void line_connect(struct line *l, const struct addr *to)
{
    memset(l, 0, sizeof *l);
    l->peer = -1;
    rig_open(&l->rig);
    line_init(l, PLAIN);
    line_flow(l, NET_TCP);
    conn_attach(&l->conn, connect_slowly(to));
    l->conn.stream.connecting = true;
    conn_start(&l->conn, NULL, 0);
}

static void on_unreached(struct conn *c, struct err *why)
{
    container_of(c, struct line, conn)->unreached++;
    err_wrap(why, "to a place");
}

static void half_close_waits_for_the_connection(void **state)
{
    (void)state;
    struct jam j;
    struct line l;
    jam_open(&j);
    line_connect(&l, &j.at);
    end_eof(&l.far.end);
    rig_turn(&l.rig);
    assert_false(l.far.left);
    close(rig_accept(&l.rig, j.listening));
    l.peer = rig_accept(&l.rig, j.listening); /* the kernel tries again within a second */
    assert_int_equal(rig_drain(&l.rig, l.peer, NULL), 0);
    rig_say(&l.rig, l.peer, "answer");
    RIG_UNTIL(&l.rig, l.far.len == 6);
    line_close(&l);
    jam_close(&j);
}

static void a_connection_that_never_comes_fails_by_time(void **state)
{
    (void)state;
    struct jam j;
    struct line l;
    jam_open(&j);
    line_connect(&l, &j.at);
    l.conn.unreached = on_unreached;
    assert_in_range(ev_timer_remaining(l.rig.loop.ev, &l.conn.deadline), 1, 60);
    ev_feed_event(l.rig.loop.ev, &l.conn.deadline, EV_TIMER);
    rig_turn(&l.rig);
    assert_true(l.far.left && l.far.failed && l.unreached == 1);
    assert_non_null(strstr(l.far.why, "to a place: no answer within"));
    line_close(&l);
    jam_close(&j);
}

static void an_aborted_flow_ends_its_connecting(void **state)
{
    (void)state;
    struct jam j;
    struct line l;
    struct err why;
    jam_open(&j);
    line_connect(&l, &j.at);
    err_set(&why, ECANCELED, "stops");
    rig_leave(&l.far, &why);
    rig_turn(&l.rig);
    assert_true(l.released);
    line_close(&l);
    jam_close(&j);
}

static void a_place_is_not_named_once_it_was_reached(void **state)
{
    (void)state;
    struct line l = {0};
    line_open(&l, PLAIN);
    l.conn.unreached = on_unreached;
    rig_abort(l.peer);
    l.peer = -1;
    RIG_UNTIL(&l.rig, l.far.left);
    assert_int_equal(l.unreached, 0);
    line_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_pass_both_ways_and_are_counted),
        cmocka_unit_test(half_close_of_the_peer_leaves_the_other_way_open),
        cmocka_unit_test(half_close_of_the_flow_leaves_the_other_way_open),
        cmocka_unit_test(a_reset_of_the_peer_fails_the_flow),
        cmocka_unit_test(a_failed_flow_resets_the_peer),
        cmocka_unit_test(all_bytes_arrive_when_the_far_end_has_left),
        cmocka_unit_test(lingering_ends_by_time),
        cmocka_unit_test(lingering_goes_on_as_long_as_the_peer_takes_bytes),
        cmocka_unit_test(lingering_ends_when_the_peer_floods),
        cmocka_unit_test(lingering_conns_go_with_the_loop),
        cmocka_unit_test(a_slow_peer_gets_every_byte_in_order),
        cmocka_unit_test(reading_pauses_when_the_flow_is_full_and_resumes),
        cmocka_unit_test(who_reads_alone_reads_more_at_once),
        cmocka_unit_test(beside_others_one_read_brings_little),
        cmocka_unit_test(a_conn_reads_once_a_turn),
        cmocka_unit_test(a_codec_survives_any_split),
        cmocka_unit_test(bytes_read_with_the_greeting_come_first),
        cmocka_unit_test(a_codec_that_is_cut_off_fails_the_flow),
        cmocka_unit_test(a_piece_that_is_not_valid_resets_both),
        cmocka_unit_test(what_follows_the_end_mark_means_nothing),
        cmocka_unit_test(what_a_codec_cannot_say_is_dropped_and_counted),
        cmocka_unit_test(pieces_of_packets_are_datagrams),
        cmocka_unit_test(packets_beyond_the_room_are_dropped_and_counted),
        cmocka_unit_test(a_held_greeting_goes_with_the_first_bytes_or_the_end),
        cmocka_unit_test(half_close_waits_for_the_connection),
        cmocka_unit_test(a_connection_that_never_comes_fails_by_time),
        cmocka_unit_test(an_aborted_flow_ends_its_connecting),
        cmocka_unit_test(a_place_is_not_named_once_it_was_reached),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
