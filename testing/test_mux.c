#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdlib.h>

#include "mux/link.h"

#include "testing/mux_rig.h"

struct test {
    struct rig rig;
    struct peer client, server;
};

static int test_open(void **state)
{
    struct test *t = calloc(1, sizeof *t);
    if (!t)
        return -1;
    rig_init(&t->rig);
    peer_init(&t->rig, &t->client, true);
    peer_init(&t->rig, &t->server, false);
    *state = t;
    return 0;
}

/* Every flow must be gone, and every carrier closed, once all ends have left. */
static int test_close(void **state)
{
    struct test *t = *state;
    struct peer *peers[] = {&t->client, &t->server};
    for (int i = 0; i < 2; i++)
        if (peers[i]->mux.end.flow && !peers[i]->closed)
            mux_close(&peers[i]->mux, NULL);
    bool gauge = rig_stat(&t->rig, RIG_VISITORS) == 0;
    bool clean = rig_fini(&t->rig);
    free(t);
    return gauge && clean ? 0 : -1;
}

enum { NOBODY = 0, CLIENT = 1, SERVER = 2, BOTH = 3 };

static void join(struct test *t, size_t piece, int v2c)
{
    peers_join(&t->rig, &t->client, &t->server, piece);
    if (v2c & CLIENT)
        mux_start(&t->client.mux);
    if (v2c & SERVER)
        mux_start(&t->server.mux);
    rig_turn(&t->rig);
}

static void assert_got(const struct far *f, const void *bytes, size_t len)
{
    assert_int_equal(f->len, len);
    assert_memory_equal(f->bytes, bytes, len);
}

/* The next frame that is neither New nor KeepAlive. */
static struct mux_frame next_frame(struct far *wire)
{
    struct mux_frame f;
    const uint8_t *data;
    do
        assert_true(far_next_frame(wire, &f, &data));
    while (f.status == MUX_NEW || f.status == MUX_KEEPALIVE);
    return f;
}

static void assert_end(struct far *wire, uint16_t id, uint8_t option)
{
    struct mux_frame f = next_frame(wire);
    assert_int_equal(f.status, MUX_END);
    assert_int_equal(f.id, id);
    assert_int_equal(f.option, option);
}

static void assert_silence(struct far *wire)
{
    assert_int_equal(wire->read, wire->len);
}

static void say_new(struct far *wire, uint16_t id, enum net net, const char *data)
{
    struct mux_frame f = {.id = id, .status = MUX_NEW, .net = (uint8_t)net};
    f.target = (struct addr){.type = ADDR_IPV4, .port = 80, .ip = {10, 9, 8, 7}};
    f.data_len = (uint16_t)strlen(data);
    f.option = f.data_len ? MUX_DATA : 0;
    far_say_frame(wire, &f, data);
}

static void say_keep(struct far *wire, uint16_t id, const void *data, size_t len)
{
    far_say_frame(wire,
                  &(struct mux_frame){
                      .id = id, .status = MUX_KEEP, .option = MUX_DATA, .data_len = (uint16_t)len},
                  data);
}

static void say(struct far *wire, uint16_t id, uint8_t status, uint8_t option)
{
    far_say_frame(wire, &(struct mux_frame){.id = id, .status = status, .option = option}, NULL);
}

/* --- bytes --- */

enum { STREAMS = 5, AMOUNT = 60000 };

static void bytes_arrive_in_order_and_unmixed_in_pieces_of(struct test *t, size_t piece, int v2c)
{
    static uint8_t sent[STREAMS][AMOUNT];
    struct far *visitors[STREAMS];
    size_t at[STREAMS] = {0}, unsent = STREAMS;
    randombytes_buf(sent, sizeof sent);
    join(t, piece, v2c);
    for (int i = 0; i < STREAMS; i++)
        visitors[i] = peer_visitor(&t->client, NET_TCP);
    rig_turn(&t->rig);
    while (unsent) {
        int i = (int)randombytes_uniform(STREAMS);
        size_t part = randombytes_uniform(9000);
        if (part > AMOUNT - at[i])
            part = AMOUNT - at[i];
        far_say(visitors[i], sent[i] + at[i], part);
        far_say(t->server.opened[i], sent[i] + at[i], part);
        unsent -= part && (at[i] += part) == AMOUNT;
        if (randombytes_uniform(3) == 0)
            rig_turn(&t->rig);
    }
    rig_turn(&t->rig);
    for (int i = 0; i < STREAMS; i++) {
        assert_got(visitors[i], sent[i], AMOUNT);
        assert_got(t->server.opened[i], sent[i], AMOUNT);
    }
    assert_int_equal(rig_stat(&t->rig, RIG_UP), STREAMS * AMOUNT);
    assert_int_equal(rig_stat(&t->rig, RIG_DOWN), STREAMS * AMOUNT);
}

static void bytes_arrive_in_order_and_unmixed(void **state)
{
    static const size_t pieces[] = {1, 7, 100, 3000, 16384};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        bytes_arrive_in_order_and_unmixed_in_pieces_of(*state, pieces[i], i % 4);
        assert_int_equal(test_close(state), 0);
        assert_int_equal(test_open(state), 0);
    }
}

static void a_small_pipe_only_slows_bytes_down(void **state)
{
    struct test *t = *state;
    t->rig.policy.buffer_size = 2048;
    bytes_arrive_in_order_and_unmixed_in_pieces_of(t, 500, BOTH);
}

static void any_split_of_frames_reads_the_same(void **state)
{
    struct test *t = *state;
    struct far *wire = peer_wire(&t->rig, &t->server);
    rig_turn(&t->rig);
    for (uint16_t id = 1; id < 120; id++) {
        uint8_t frames[80];
        struct writer w = wr_of(frames, sizeof frames);
        struct mux_frame f = {.id = id, .status = MUX_NEW, .option = MUX_DATA, .data_len = 3};
        f.net = NET_TCP;
        f.target = (struct addr){.type = ADDR_NAME, .port = 80, .name = "a.example"};
        mux_frame_write(&w, &f), wr_bytes(&w, "abc", 3);
        mux_frame_write(&w, &(struct mux_frame){.status = MUX_KEEPALIVE});
        mux_frame_write(&w, &(struct mux_frame){
                                .id = id, .status = MUX_KEEP, .option = MUX_DATA, .data_len = 2});
        wr_bytes(&w, "de", 2);
        size_t cut = id % wr_len(&w);
        far_say(wire, frames, cut);
        rig_turn(&t->rig);
        far_say(wire, frames + cut, wr_len(&w) - cut);
        rig_turn(&t->rig);
        assert_got(t->server.opened[id - 1], "abcde", 5);
    }
}

/* --- ends --- */

static void between_v2c_peers_either_side_may_end_alone(void **state)
{
    struct test *t = *state;
    join(t, 11, BOTH);
    struct far *a = peer_visitor(&t->client, NET_TCP), *b = peer_visitor(&t->client, NET_TCP);
    rig_turn(&t->rig);
    struct far *to_a = t->server.opened[0], *to_b = t->server.opened[1];
    far_say(a, "last", 4), end_eof(&a->end);
    far_say(to_b, "last", 4), end_eof(&to_b->end);
    rig_turn(&t->rig);
    assert_got(to_a, "last", 4);
    assert_got(b, "last", 4);
    assert_true(to_a->eof && !a->eof && b->eof && !to_b->eof);
    far_say(to_a, "answer", 6), far_say(b, "more", 4);
    rig_turn(&t->rig);
    assert_got(a, "answer", 6);
    assert_got(to_b, "more", 4);
    end_eof(&to_a->end), end_eof(&b->end);
    rig_turn(&t->rig);
    assert_true(a->left && !a->failed && to_a->left && !to_a->failed);
    assert_true(b->left && !b->failed && to_b->left && !to_b->failed);
    assert_int_equal(t->client.mux.sessions + t->server.mux.sessions, 0);
    assert_int_equal(rig_stat(&t->rig, RIG_VISITORS), 0);
}

static void towards_an_old_server_a_visitor_that_ends_still_gets_its_answer(void **state)
{
    struct test *t = *state;
    struct far *wire = peer_wire(&t->rig, &t->client);
    struct far *visitor = peer_visitor(&t->client, NET_TCP);
    struct mux_frame f;
    const uint8_t *data;
    far_say(visitor, "question", 8), end_eof(&visitor->end);
    rig_turn(&t->rig);
    assert_true(far_next_frame(wire, &f, &data) && f.status == MUX_NEW && f.id == 1);
    assert_true(far_next_frame(wire, &f, &data) && f.status == MUX_KEEP && f.option == MUX_DATA);
    assert_silence(wire); /* it would take an End for the end of both ways */
    say_keep(wire, 1, "answer", 6);
    say(wire, 1, MUX_END, 0);
    rig_turn(&t->rig);
    assert_got(visitor, "answer", 6);
    assert_true(visitor->left && !visitor->failed);
    assert_silence(wire);
}

static void towards_an_old_client_a_target_that_ends_ends_the_stream(void **state)
{
    struct test *t = *state;
    struct far *wire = peer_wire(&t->rig, &t->server);
    say_new(wire, 9, NET_TCP, "x");
    rig_turn(&t->rig);
    struct far *target = t->server.opened[0];
    far_say(target, "all", 3), end_eof(&target->end);
    rig_turn(&t->rig);
    assert_int_equal(next_frame(wire).status, MUX_KEEP);
    assert_end(wire, 9, 0);
    assert_silence(wire);
    assert_true(target->left && !target->failed);
    assert_int_equal(t->server.mux.sessions, 0);
}

static void a_stream_that_fails_ends_with_the_error_flag_once(void **state)
{
    struct test *t = *state;
    struct far *wire = peer_wire(&t->rig, &t->client);
    struct far *visitor = peer_visitor(&t->client, NET_TCP);
    rig_turn(&t->rig);
    far_leave(visitor, ECONNRESET);
    rig_turn(&t->rig);
    assert_end(wire, 1, MUX_ERROR);
    say_keep(wire, 1, "late", 4);
    rig_turn(&t->rig);
    assert_silence(wire);
}

static void end_with_error_resets_and_end_without_does_not(void **state)
{
    struct test *t = *state;
    struct far *wire = peer_wire(&t->rig, &t->client);
    struct far *a = peer_visitor(&t->client, NET_TCP), *b = peer_visitor(&t->client, NET_TCP);
    rig_turn(&t->rig);
    say(wire, 1, MUX_END, 0), say(wire, 2, MUX_END, MUX_ERROR);
    rig_turn(&t->rig);
    assert_true(a->left && a->eof && !a->failed);
    assert_true(b->left && b->failed);
}

/* What is behind a visitor's end, or a target's that left, is nobody's: the peer is told to stop. */
static void an_end_that_left_for_good_ends_the_stream_even_after_its_eof(void **state)
{
    struct test *t = *state;
    struct far *wire = peer_wire(&t->rig, &t->server);
    far_say_hello(wire, 2048);
    say_new(wire, 1, NET_TCP, "");
    rig_turn(&t->rig);
    struct far *target = t->server.opened[0];
    end_eof(&target->end);
    rig_turn(&t->rig);
    assert_int_equal(next_frame(wire).option, MUX_EOF);
    far_leave(target, 0);
    rig_turn(&t->rig);
    assert_end(wire, 1, 0);
    assert_int_equal(t->server.mux.sessions, 0);
}

static void data_behind_an_eof_ends_the_stream_with_the_error_flag(void **state)
{
    struct test *t = *state;
    struct far *wire = peer_wire(&t->rig, &t->server);
    far_say_hello(wire, 2048);
    say_new(wire, 1, NET_TCP, "");
    say(wire, 1, MUX_KEEP, MUX_EOF);
    say_keep(wire, 1, "more", 4);
    rig_turn(&t->rig);
    assert_int_equal(t->server.opened[0]->len, 0);
    assert_true(t->server.opened[0]->failed);
    assert_end(wire, 1, MUX_ERROR);
}

/* --- ids --- */

static void a_new_for_a_live_id_ends_it_with_the_error_flag(void **state)
{
    struct test *t = *state;
    struct far *wire = peer_wire(&t->rig, &t->server);
    say_new(wire, 4, NET_TCP, "first");
    say_new(wire, 4, NET_TCP, "second");
    say_keep(wire, 4, "third", 5);
    rig_turn(&t->rig);
    assert_int_equal(t->server.opened_count, 1);
    assert_got(t->server.opened[0], "first", 5);
    assert_true(t->server.opened[0]->failed);
    assert_end(wire, 4, MUX_ERROR);
    assert_silence(wire);
}

static void an_unknown_id_is_answered_by_an_end_and_an_ended_one_by_nothing(void **state)
{
    struct test *t = *state;
    struct far *wire = peer_wire(&t->rig, &t->server);
    say_new(wire, 5, NET_TCP, "x");
    say(wire, 5, MUX_END, 0);
    say_keep(wire, 5, "ended", 5);
    say_keep(wire, 77, "never", 5);
    say(wire, 78, MUX_KEEP, 0);
    say(wire, 79, MUX_END, 0);
    rig_turn(&t->rig);
    assert_end(wire, 77, 0);
    assert_silence(wire);
    assert_got(t->server.opened[0], "x", 1);
}

static void a_refused_new_is_answered_and_its_data_dropped(void **state)
{
    struct test *t = *state;
    struct far *wire = peer_wire(&t->rig, &t->server);
    t->server.refuses = true;
    say_new(wire, 1, NET_TCP, "x");
    say_keep(wire, 1, "y", 1);
    rig_turn(&t->rig);
    assert_end(wire, 1, MUX_ERROR);
    assert_silence(wire);
    assert_false(t->server.closed);
}

static void a_client_drops_a_new_with_its_data(void **state)
{
    struct test *t = *state;
    struct far *wire = peer_wire(&t->rig, &t->client);
    struct far *visitor = peer_visitor(&t->client, NET_TCP);
    struct mux_frame f;
    const uint8_t *data;
    say_new(wire, 1, NET_TCP, "forged");
    say_new(wire, 2, NET_TCP, "forged");
    say_keep(wire, 1, "real", 4);
    rig_turn(&t->rig);
    assert_got(visitor, "real", 4);
    assert_true(far_next_frame(wire, &f, &data) && f.status == MUX_NEW && f.id == 1);
    assert_silence(wire);
}

static void keepalive_data_belongs_to_no_stream(void **state)
{
    struct test *t = *state;
    struct far *wire = peer_wire(&t->rig, &t->client);
    struct far *visitor = peer_visitor(&t->client, NET_TCP);
    struct mux_frame f = {.id = 1, .status = MUX_KEEPALIVE, .option = MUX_DATA, .data_len = 1000};
    uint8_t junk[1000] = {0};
    far_say_frame(wire, &f, junk);
    f.data_len = 6;
    far_say_frame(wire, &f, junk);
    f.option |= MUX_EOF | MUX_ERROR;
    far_say_frame(wire, &f, junk);
    say_keep(wire, 1, "real", 4);
    rig_turn(&t->rig);
    assert_got(visitor, "real", 4);
    assert_false(visitor->eof || t->client.mux.is_v2c);
}

static void ids_are_given_out_once_and_then_no_more(void **state)
{
    struct test *t = *state;
    struct far *wire = peer_wire(&t->rig, &t->client);
    rig_turn(&t->rig);
    assert_int_equal(mux_ids_left(&t->client.mux), 65535);
    t->client.mux.last_id = 65534;
    struct far *last = peer_visitor(&t->client, NET_TCP), *none = far_new(&t->rig);
    const struct meta m = {.net = NET_TCP, .target = last->flow->meta.target, .inbound_tag = ""};
    assert_int_equal(mux_ids_left(&t->client.mux), 0);
    struct flow *refused = far_flow(&t->rig, none, &m);
    assert_false(mux_open(&t->client.mux, refused));
    flow_refuse(refused, &(struct err){.code = EHOSTUNREACH});
    say_keep(wire, 65535, "x", 1);
    rig_turn(&t->rig);
    assert_got(last, "x", 1);
}

static void a_peer_that_reads_no_answers_loses_its_carrier(void **state)
{
    struct test *t = *state;
    struct far *wire = peer_wire(&t->rig, &t->server);
    t->rig.policy.buffer_size = 4096;
    wire->flow->pipes[1].limit = 4096;
    wire->refuses = true;
    t->server.refuses = true;
    size_t most = 0;
    for (unsigned i = 0; i < 200000 && !t->server.closed; i++) {
        say_new(wire, (uint16_t)i, NET_TCP, "");
        if (i % 1000 == 0)
            rig_turn(&t->rig);
        if (!t->server.closed && end_waiting(&wire->end) > most)
            most = end_waiting(&wire->end);
    }
    assert_true(t->server.closed && most < 2000000);
    assert_int_equal(t->server.why, ENOBUFS);
}

/* --- datagrams --- */

static void datagrams_keep_their_borders(void **state)
{
    struct test *t = *state;
    uint8_t bytes[2048];
    size_t total = 0;
    randombytes_buf(bytes, sizeof bytes);
    join(t, 300, NOBODY);
    struct far *visitor = peer_visitor(&t->client, NET_UDP);
    rig_turn(&t->rig);
    for (size_t len = 1; len <= 2048; len = len * 3 + 1, total++) {
        far_put_packet(visitor, bytes, len);
        far_put_packet(t->server.opened[0], bytes, len);
        rig_turn(&t->rig);
        assert_int_equal(visitor->packets, total + 1);
        assert_int_equal(visitor->packet_len[total], len);
        assert_int_equal(t->server.opened[0]->packet_len[total], len);
    }
}

static size_t largest_that_arrives(struct test *t, int v2c, size_t len)
{
    static const uint8_t bytes[BUF_DATA];
    join(t, 5000, v2c);
    struct far *visitor = peer_visitor(&t->client, NET_UDP);
    rig_turn(&t->rig);
    far_put_packet(visitor, bytes, len);
    rig_turn(&t->rig);
    return t->server.opened[0]->packets;
}

static void large_datagrams_reach_v2c_peers_only(void **state)
{
    static const struct {
        int v2c;
        size_t len, arrive;
    } cases[] = {{NOBODY, 2048, 1}, {NOBODY, 2049, 0}, {SERVER, 2049, 1}, {BOTH, BUF_DATA, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct test *t = *state;
        assert_int_equal(largest_that_arrives(t, cases[i].v2c, cases[i].len), cases[i].arrive);
        assert_int_equal(rig_stat(&t->rig, STAT_datagrams_dropped), !cases[i].arrive);
        assert_int_equal(test_close(state), 0);
        assert_int_equal(test_open(state), 0);
    }
}

static void datagrams_beyond_the_queue_are_dropped_and_the_link_goes_on(void **state)
{
    struct test *t = *state;
    struct far *wire = peer_wire(&t->rig, &t->server);
    say_new(wire, 1, NET_UDP, "");
    say_new(wire, 2, NET_TCP, "");
    rig_turn(&t->rig);
    t->server.opened[0]->refuses = true;
    for (int i = 0; i < 100; i++)
        say_keep(wire, 1, "datagram", 8);
    say_keep(wire, 2, "stream", 6);
    rig_turn(&t->rig);
    assert_got(t->server.opened[1], "stream", 6);
    assert_int_equal(rig_stat(&t->rig, STAT_datagrams_dropped), 100 - 64);
    assert_null(t->server.mux.stalled);
    far_read_on(t->server.opened[0]);
    rig_turn(&t->rig);
    assert_int_equal(t->server.opened[0]->packets, 64);
}

/* --- the carrier --- */

static void the_loss_of_a_carrier_resets_its_streams(void **state)
{
    struct test *t = *state;
    struct far *wire = peer_wire(&t->rig, &t->client);
    struct far *a = peer_visitor(&t->client, NET_TCP), *b = peer_visitor(&t->client, NET_UDP);
    rig_turn(&t->rig);
    far_leave(wire, ECONNRESET);
    rig_turn(&t->rig);
    assert_true(a->failed && b->failed && t->client.closed);
    assert_int_not_equal(t->client.why, 0);
}

static void the_end_of_a_carrier_is_no_good_end_of_its_streams(void **state)
{
    struct test *t = *state;
    join(t, 40, BOTH);
    struct far *visitor = peer_visitor(&t->client, NET_TCP);
    rig_turn(&t->rig);
    mux_close(&t->client.mux, NULL);
    rig_turn(&t->rig);
    assert_true(visitor->failed && t->server.opened[0]->failed && t->server.closed);
    assert_int_equal(t->server.why, 0);
}

static void a_frame_that_is_not_valid_ends_the_carrier(void **state)
{
    struct test *t = *state;
    struct far *wire = peer_wire(&t->rig, &t->server);
    say_new(wire, 1, NET_TCP, "x");
    far_say(wire, "\0\4\0\1\5\0", 6);
    rig_turn(&t->rig);
    assert_true(t->server.closed && t->server.opened[0]->failed && wire->failed);
    assert_int_equal(t->server.why, EPROTO);
    assert_int_equal(rig_stat(&t->rig, STAT_mux_errors), 1);
}

static void hello_goes_first_and_any_first_frame_is_a_sign_of_life(void **state)
{
    static const uint8_t first[] = {0,  4, 0,    0, 4, 1,    0, 20, 'v', '2', 'c',  '1', 1, 0,
                                    13, 2, 0x40, 0, 0, 0x7f, 0, 2,  0,   0,   0x20, 0,   0, 0};
    struct test *t = *state;
    struct far *wire = peer_wire(&t->rig, &t->client);
    struct mux_frame f;
    struct link_item i;
    const uint8_t *data;
    mux_start(&t->client.mux);
    peer_visitor(&t->client, NET_TCP);
    rig_turn(&t->rig);
    assert_true(far_next_frame(wire, &f, &data));
    struct cursor c = cur_of(data, f.data_len);
    assert_true(f.status == MUX_KEEPALIVE && f.id == 0 && link_read_magic(&c));
    assert_true(link_read(&c, &i) && i.type == LINK_HELLO && cur_left(&c) == 0);
    assert_int_equal(wire->read, sizeof first);
    assert_memory_equal(wire->bytes, first, sizeof first);
    assert_false(t->client.alive);
    say(wire, 0, MUX_KEEPALIVE, 0);
    say(wire, 0, MUX_KEEPALIVE, 0);
    rig_turn(&t->rig);
    assert_true(t->client.alive && !t->client.mux.is_v2c);
    far_say_hello(wire, 1000);
    rig_turn(&t->rig);
    assert_true(t->client.mux.is_v2c);
    assert_int_equal(t->client.mux.datagram_max, 2048);
    far_say_features(wire, LINK_FEATURES, 1 << 20);
    rig_turn(&t->rig);
    assert_int_equal(t->client.mux.datagram_max, 2048); /* the first HELLO of a link counts */
    assert_int_equal(t->client.mux.features, 0);
}

static void the_largest_datagram_of_all_is_ours(void **state)
{
    struct test *t = *state;
    struct far *wire = peer_wire(&t->rig, &t->client);
    mux_start(&t->client.mux);
    far_say_hello(wire, 65535);
    rig_turn(&t->rig);
    assert_int_equal(t->client.mux.datagram_max, BUF_DATA);
}

/* Who has not said HELLO says it when he hears one. */
static void a_feature_is_in_use_when_both_sides_have_said_it(void **state)
{
    for (unsigned said = 0; said < 2; said++) {
        struct test *t = *state;
        struct far *wire = peer_wire(&t->rig, &t->server);
        if (said)
            mux_start(&t->server.mux);
        t->server.mux.offers = LINK_ANSWERS | LINK_PINGS;
        far_say_features(wire, 0xffe3, 65536);
        rig_turn(&t->rig);
        assert_true(t->server.mux.is_v2c && t->server.mux.said_hello);
        assert_int_equal(t->server.mux.features, LINK_ANSWERS);
        assert_int_equal(test_close(state), 0);
        assert_int_equal(test_open(state), 0);
    }
}

static void items_before_hello_are_not_heard(void **state)
{
    struct test *t = *state;
    struct far *wire = peer_wire(&t->rig, &t->server);
    mux_start(&t->server.mux);
    far_say_item(wire, &(struct link_item){.type = LINK_PING, .token = 1});
    far_say_item(wire, &(struct link_item){.type = LINK_GOAWAY, .going = {1, 2}});
    far_say_features(wire, LINK_FEATURES, 65536);
    far_say_item(wire, &(struct link_item){.type = LINK_GOAWAY, .going = {1, 3}});
    rig_turn(&t->rig);
    assert_int_equal(t->server.going, 1);
    assert_int_equal(t->server.wait, 3);
    size_t ours = wire->len;
    far_say_item(wire, &(struct link_item){.type = LINK_PING, .token = 1});
    rig_turn(&t->rig);
    assert_int_equal(wire->len - ours, 8 + 4 + 3 + 8); /* PONG to this one */
}

static void who_rests_on_a_link_that_goes_hears_so(void **state)
{
    struct test *t = *state;
    struct far *wire = peer_wire(&t->rig, &t->client);
    struct far *a = peer_visitor(&t->client, NET_TCP), *b = peer_visitor(&t->client, NET_TCP);
    far_say_features(wire, LINK_FEATURES, 65536);
    rig_turn(&t->rig);
    assert_int_equal(a->drains + b->drains, 0);
    far_say_item(wire, &(struct link_item){.type = LINK_GOAWAY, .going = {1, 2}});
    rig_turn(&t->rig);
    assert_int_equal(a->drains, 1);
    assert_int_equal(b->drains, 1);
    assert_false(a->left || b->left);
}

static void messages_of_a_control_stream_reach_the_owner_whole(void **state)
{
    struct test *t = *state;
    struct far *wire = peer_wire(&t->rig, &t->server);
    uint8_t big[MUX_CONTROL_MAX + 1] = {0};
    t->server.mux.control_id = 1;
    rig_turn(&t->rig);
    say_keep(wire, 1, "12345", 5);
    say_keep(wire, 1, big, sizeof big - 1);
    say_keep(wire, 1, big, sizeof big); /* too large to be one */
    rig_turn(&t->rig);
    assert_int_equal(t->server.control_count, 2);
    assert_int_equal(t->server.control_len, 5 + MUX_CONTROL_MAX);
    say(wire, 1, MUX_END, 0);
    say_keep(wire, 1, "late", 4);
    rig_turn(&t->rig);
    assert_int_equal(t->server.control_count, 2);
}

static void an_answer_on_the_control_stream_is_told_to_the_client(void **state)
{
    struct test *t = *state;
    struct far *wire = peer_wire(&t->rig, &t->client);
    t->client.mux.control_id = mux_take_id(&t->client.mux);
    say(wire, 1, MUX_KEEPALIVE, 0);
    rig_turn(&t->rig);
    assert_int_equal(t->client.control_refused, 0);
    say(wire, 1, MUX_END, 0);
    rig_turn(&t->rig);
    assert_int_equal(t->client.control_refused, 1);
}

/* --- stalls --- */

enum { FLOOD = 100000 };

static void flood(struct test *t, struct far *wire)
{
    static const uint8_t bytes[1000];
    say_new(wire, 1, NET_TCP, "");
    say_new(wire, 2, NET_TCP, "");
    rig_turn(&t->rig);
    t->server.opened[0]->refuses = true;
    for (int i = 0; i < FLOOD / 1000; i++)
        say_keep(wire, 1, bytes, sizeof bytes);
    say_keep(wire, 2, "other", 5);
    rig_turn(&t->rig);
}

static void a_reader_that_stops_is_ended_at_the_limit_and_others_go_on(void **state)
{
    struct test *t = *state;
    struct far *wire = peer_wire(&t->rig, &t->server);
    t->rig.policy.buffer_size = 20000;
    flood(t, wire);
    assert_non_null(t->server.mux.stalled);
    for (int second = 1; second <= 5; second++) {
        assert_int_equal(t->server.opened[1]->len, 0);
        ev_invoke(t->rig.loop.ev, &t->server.mux.stall, EV_TIMER);
        rig_turn(&t->rig);
    }
    assert_got(t->server.opened[1], "other", 5);
    assert_true(t->server.opened[0]->failed);
    assert_end(wire, 1, MUX_ERROR);
    assert_int_equal(rig_stat(&t->rig, STAT_mux_stalled), 1);
    assert_false(ev_is_active(&t->server.mux.stall));
}

static void a_reader_that_resumes_keeps_its_bytes(void **state)
{
    struct test *t = *state;
    struct far *wire = peer_wire(&t->rig, &t->server);
    t->rig.policy.buffer_size = 20000;
    flood(t, wire);
    far_read_on(t->server.opened[0]);
    rig_turn(&t->rig);
    assert_int_equal(t->server.opened[0]->len, FLOOD);
    assert_got(t->server.opened[1], "other", 5);
    assert_false(ev_is_active(&t->server.mux.stall));
}

static void a_stalled_stream_whose_flow_ends_frees_the_link(void **state)
{
    struct test *t = *state;
    struct far *wire = peer_wire(&t->rig, &t->server);
    t->rig.policy.buffer_size = 20000;
    flood(t, wire);
    far_leave(t->server.opened[0], ECONNRESET);
    rig_turn(&t->rig);
    assert_got(t->server.opened[1], "other", 5);
}

static void streams_wait_for_the_carrier_and_take_turns(void **state)
{
    struct test *t = *state;
    struct far *wire = peer_wire(&t->rig, &t->client);
    uint8_t *bytes = calloc(1, FLOOD);
    struct far *a = peer_visitor(&t->client, NET_TCP), *b = peer_visitor(&t->client, NET_TCP);
    struct mux_frame f;
    const uint8_t *data;
    size_t got[3] = {0}, first_b = 0;
    t->rig.policy.buffer_size = 20000;
    wire->flow->pipes[0].limit = 20000;
    wire->refuses = true;
    rig_turn(&t->rig);
    far_say(a, bytes, FLOOD);
    rig_turn(&t->rig);
    far_say(b, bytes, FLOOD);
    rig_turn(&t->rig);
    assert_true(end_unread(&t->client.mux.end) < 20000 + 2 * BUF_BYTES);
    far_read_on(wire);
    rig_turn(&t->rig);
    while (far_next_frame(wire, &f, &data)) {
        if (f.id == 2 && f.data_len && !first_b)
            first_b = got[1];
        got[f.id] += f.data_len;
    }
    assert_int_equal(got[1], FLOOD);
    assert_int_equal(got[2], FLOOD);
    assert_true(first_b < FLOOD);
    free(bytes);
}

#define LAW(f) cmocka_unit_test_setup_teardown(f, test_open, test_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAW(bytes_arrive_in_order_and_unmixed),
        LAW(a_small_pipe_only_slows_bytes_down),
        LAW(any_split_of_frames_reads_the_same),
        LAW(between_v2c_peers_either_side_may_end_alone),
        LAW(towards_an_old_server_a_visitor_that_ends_still_gets_its_answer),
        LAW(towards_an_old_client_a_target_that_ends_ends_the_stream),
        LAW(a_stream_that_fails_ends_with_the_error_flag_once),
        LAW(end_with_error_resets_and_end_without_does_not),
        LAW(an_end_that_left_for_good_ends_the_stream_even_after_its_eof),
        LAW(data_behind_an_eof_ends_the_stream_with_the_error_flag),
        LAW(a_new_for_a_live_id_ends_it_with_the_error_flag),
        LAW(an_unknown_id_is_answered_by_an_end_and_an_ended_one_by_nothing),
        LAW(a_refused_new_is_answered_and_its_data_dropped),
        LAW(a_client_drops_a_new_with_its_data),
        LAW(keepalive_data_belongs_to_no_stream),
        LAW(ids_are_given_out_once_and_then_no_more),
        LAW(a_peer_that_reads_no_answers_loses_its_carrier),
        LAW(datagrams_keep_their_borders),
        LAW(large_datagrams_reach_v2c_peers_only),
        LAW(datagrams_beyond_the_queue_are_dropped_and_the_link_goes_on),
        LAW(the_loss_of_a_carrier_resets_its_streams),
        LAW(the_end_of_a_carrier_is_no_good_end_of_its_streams),
        LAW(a_frame_that_is_not_valid_ends_the_carrier),
        LAW(hello_goes_first_and_any_first_frame_is_a_sign_of_life),
        LAW(the_largest_datagram_of_all_is_ours),
        LAW(a_feature_is_in_use_when_both_sides_have_said_it),
        LAW(items_before_hello_are_not_heard),
        LAW(who_rests_on_a_link_that_goes_hears_so),
        LAW(messages_of_a_control_stream_reach_the_owner_whole),
        LAW(an_answer_on_the_control_stream_is_told_to_the_client),
        LAW(a_reader_that_stops_is_ended_at_the_limit_and_others_go_on),
        LAW(a_reader_that_resumes_keeps_its_bytes),
        LAW(a_stalled_stream_whose_flow_ends_frees_the_link),
        LAW(streams_wait_for_the_carrier_and_take_turns),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
