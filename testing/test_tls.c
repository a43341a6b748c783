#include "testing/tls_rig.h"

#include <stdlib.h>

#include "testing/clock.h"

/* An authority, a server of its, and their configurations. */
struct world {
    struct cert ca, server;
    struct tls_conf *client_conf, *server_conf;
};

static int world_open(void **state)
{
    static struct world w;
    cert_make(&w.ca, &(struct cert_for){.authority = true});
    cert_make(&w.server, &(struct cert_for){.names = "DNS:a.example", .issuer = &w.ca});
    struct tls_settings client = {.verifies = true}, server = {.server = true};
    struct tls_source trusted = authority(&w.ca), own = ours(&w.server);
    w.client_conf = conf_new(&client, &trusted, 1);
    w.server_conf = conf_new(&server, &own, 1);
    *state = &w;
    return 0;
}

static int world_close(void **state)
{
    struct world *w = *state;
    tls_conf_free(w->client_conf);
    tls_conf_free(w->server_conf);
    cert_free(&w->ca);
    cert_free(&w->server);
    return 0;
}

static void talk_begin(struct talk *t, const struct world *w)
{
    talk_open(t);
    talk_tls(t, w->client_conf, w->server_conf, "a.example");
}

static uint8_t *pattern(size_t len)
{
    uint8_t *bytes = malloc(len);
    assert_non_null(bytes);
    rig_pattern(bytes, len, 0);
    return bytes;
}

static void assert_heard(const struct side *s, size_t len)
{
    assert_int_equal(s->got_len, len);
    rig_check_pattern(s->got, len, 0);
}

static void both_ways(struct talk *t, size_t len)
{
    uint8_t *bytes = pattern(len);
    side_send(&t->client, bytes, len);
    side_send(&t->server, bytes, len);
    talk_run(t);
    assert_heard(&t->client, len);
    assert_heard(&t->server, len);
    free(bytes);
}

/* --- bytes --- */

static void bytes_pass_however_small_the_pieces(void **state)
{
    static const size_t pieces[] = {1, 2, 3, 5, 7, 100, 1000, 4096, 16384, TALK_ROOM};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        struct talk t;
        talk_begin(&t, *state);
        t.client.read_max = t.server.read_max = pieces[i];
        t.client.write_max = t.server.write_max = pieces[i];
        both_ways(&t, 40000);
        talk_close(&t);
    }
}

/* One read ends just there, on both ways. */
static void a_cut_at_any_byte_changes_nothing(void **state)
{
    size_t most = 1;
    for (size_t cut = 1; cut <= most; cut++) {
        struct talk t;
        talk_begin(&t, *state);
        t.client.read_max = t.server.read_max = cut;
        talk_run(&t);
        t.client.read_max = t.server.read_max = TALK_ROOM;
        both_ways(&t, 100);
        most = t.client.in_len > t.server.in_len ? t.client.in_len : t.server.in_len;
        most = most < 2500 ? most : 2500;
        talk_close(&t);
    }
    assert_true(most > 500);
}

static void what_did_not_go_is_offered_again(void **state)
{
    static const size_t rooms[] = {1, 100, 5000, 16406, 20000, 100000};
    static const size_t offers[] = {10, 1000, 16384, 16418, 50000, TALK_ROOM};
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) {
        for (size_t k = 0; k < sizeof offers / sizeof *offers; k++) {
            struct talk t;
            talk_begin(&t, *state);
            talk_run(&t);
            t.client.room = t.server.room = rooms[i];
            t.client.offer = t.server.offer = offers[k];
            both_ways(&t, rooms[i] == 1 ? 3000 : 200000);
            talk_close(&t);
        }
    }
}

static void nothing_counts_as_written_before_it_has_gone(void **state)
{
    struct talk t;
    uint8_t *bytes = pattern(50000);
    talk_begin(&t, *state);
    talk_run(&t);
    t.server.read_max = 0;
    t.client.room = 20000;
    side_send(&t.client, bytes, 50000);
    talk_run(&t);
    size_t on_wire = t.server.in_len - t.server.in_at;
    assert_true(on_wire > 16384 && on_wire <= 20000);
    assert_true(t.client.send_at < 20000);
    t.server.read_max = TALK_ROOM;
    talk_run(&t);
    assert_int_equal(t.client.send_at, 50000);
    assert_heard(&t.server, 50000);
    free(bytes);
    talk_close(&t);
}

static void many_records_leave_and_come_together(void **state)
{
    struct talk t;
    uint8_t *bytes = pattern(256 * 1024);
    talk_begin(&t, *state);
    talk_run(&t);
    t.client.offer = 16 * 1024;
    t.server.ask = 256 * 1024;
    unsigned writes = t.client.writes, reads = t.server.reads;
    side_send(&t.client, bytes, 256 * 1024);
    talk_run(&t);
    assert_heard(&t.server, 256 * 1024);
    assert_true(t.client.writes - writes <= 4);
    assert_true(t.server.reads - reads <= 10);
    free(bytes);
    talk_close(&t);
}

static void small_pieces_share_a_record(void **state)
{
    struct talk t;
    uint8_t *bytes = pattern(800);
    talk_begin(&t, *state);
    talk_run(&t);
    t.client.offer = 100;
    size_t before = t.server.in_len;
    side_send(&t.client, bytes, 800);
    talk_run(&t);
    assert_heard(&t.server, 800);
    assert_true(t.server.in_len - before < 850);
    free(bytes);
    talk_close(&t);
}

/* A reader that asks for less than there is gets the rest without anything new on the wire. */
static void a_small_reader_gets_all(void **state)
{
    struct talk t;
    uint8_t *bytes = pattern(30000);
    talk_begin(&t, *state);
    t.server.ask = 7;
    side_send(&t.client, bytes, 30000);
    talk_run(&t);
    assert_heard(&t.server, 30000);
    free(bytes);
    talk_close(&t);
}

/* --- ends --- */

static void an_announced_end_is_the_end(void **state)
{
    struct talk t;
    uint8_t *bytes = pattern(1000);
    talk_begin(&t, *state);
    t.client.finishes = true;
    side_send(&t.client, bytes, 1000);
    talk_run(&t);
    assert_heard(&t.server, 1000);
    assert_int_equal(t.server.said, 0);
    side_send(&t.server, bytes, 500); /* the other way stays open */
    talk_run(&t);
    assert_heard(&t.client, 500);
    free(bytes);
    talk_close(&t);
}

static void an_end_that_nobody_announced_is_a_reset(void **state)
{
    struct talk t;
    struct err e;
    uint8_t *bytes = pattern(1000);
    talk_begin(&t, *state);
    side_send(&t.client, bytes, 1000);
    talk_run(&t);
    t.client.ended = true;
    talk_run(&t);
    assert_heard(&t.server, 1000);
    assert_int_equal(t.server.said, STREAM_ERROR);
    assert_int_equal(t.server.error, ECONNRESET);
    assert_string_equal(side_why(&t.server, &e), "tls: cut off: its end was not announced");
    free(bytes);
    talk_close(&t);
}

static void the_end_waits_for_room(void **state)
{
    struct talk t;
    talk_begin(&t, *state);
    talk_run(&t);
    t.server.read_max = 0;
    t.client.room = 5;
    t.client.finishes = true;
    side_send(&t.client, "x", 1);
    talk_run(&t);
    assert_false(t.client.finished);
    t.server.read_max = TALK_ROOM;
    talk_run(&t);
    assert_true(t.client.finished);
    assert_int_equal(t.server.said, 0);
    assert_int_equal(t.server.got_len, 1);
    talk_close(&t);
}

static void a_changed_byte_ends_it(void **state)
{
    struct talk t;
    talk_begin(&t, *state);
    talk_run(&t);
    t.server.read_max = 0;
    side_send(&t.client, "hello", 5);
    talk_run(&t);
    t.server.in[t.server.in_len - 3] ^= 1;
    t.server.read_max = TALK_ROOM;
    talk_run(&t);
    assert_int_equal(t.server.got_len, 0);
    assert_int_equal(t.server.said, STREAM_ERROR);
    assert_int_equal(t.server.error, EPROTO);
    assert_int_equal(t.client.said, STREAM_ERROR); /* it got an alert */
    talk_close(&t);
}

static void whatever_is_no_tls_fails_the_handshake(void **state)
{
    static const char *const said[] = {"GET / HTTP/1.1\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n",
                                       "\x16\x03\x01\x00\x05hello", "\x80\x2e\x01\x00\x02"};
    const struct world *w = *state;
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        struct talk t;
        talk_open(&t);
        talk_tls(&t, NULL, w->server_conf, "a.example");
        side_send(&t.client, said[i], strlen(said[i]));
        talk_run(&t);
        t.client.ended = true;
        talk_run(&t);
        struct err e;
        assert_true(stream_why(&t.server.stream).code);
        assert_false(side_shook(&t.server));
        if (i == 0)
            assert_string_equal(side_why(&t.server, &e),
                                "tls: a plain HTTP request came instead of TLS");
        assert_int_equal(rig_stat(&t.rig, STAT_tls_failed), 1);
        talk_close(&t);
    }
}

static void an_end_in_the_handshake_fails_it(void **state)
{
    struct talk t;
    struct err e;
    talk_begin(&t, *state);
    t.server.write_max = 0;
    talk_run(&t);
    t.server.ended = true;
    talk_run(&t);
    assert_string_equal(side_why(&t.client, &e),
                        "tls: the other side ended the connection in the handshake");
    assert_int_equal(e.code, ECONNRESET);
    talk_close(&t);
}

/* --- floods --- */

enum { FLOOD = 20, A_SECOND = 500 };

static unsigned count_shaken(struct talk *t)
{
    unsigned count = 0;
    for (int i = 0; i < FLOOD; i++)
        count += side_shook(&t[i].server);
    return count;
}

/* As if all were on one loop, where others have taken all turns of the next second. */
static void handshakes_of_strangers_take_turns(void **state)
{
    const struct world *w = *state;
    struct talk *t = calloc(FLOOD, sizeof *t);
    double next = loop_steady() + 1;
    for (int i = 0; i < FLOOD; i++) {
        talk_open(&t[i]);
        talk_tls(&t[i], w->client_conf, w->server_conf, "a.example");
        t[i].rig.loop.next_shake = next;
        talk_run(&t[i]);
        next += 1.0 / A_SECOND;
        assert_true(t[i].rig.loop.next_shake == next);
        assert_int_equal(rig_stat(&t[i].rig, STAT_tls_delayed), 1);
    }
    assert_int_equal(count_shaken(t), 0);
    clock_forward(1.1);
    for (int i = 0; i < FLOOD; i++) {
        RIG_UNTIL(&t[i].rig, (talk_run(&t[i]), side_shook(&t[i].server)));
        talk_close(&t[i]);
    }
    free(t);
}

static void after_a_rest_a_hundred_may_come_at_once(void **state)
{
    const struct world *w = *state;
    double next = 0;
    for (int i = 0; i < 100; i++) {
        struct talk t;
        talk_open(&t);
        talk_tls(&t, w->client_conf, w->server_conf, "a.example");
        t.rig.loop.next_shake = next;
        talk_run(&t);
        assert_true(side_shook(&t.server));
        next = t.rig.loop.next_shake;
        talk_close(&t);
    }
}

static void who_would_wait_too_long_is_refused(void **state)
{
    struct talk t;
    struct err e;
    talk_begin(&t, *state);
    t.rig.loop.next_shake = loop_steady() + 100;
    talk_run(&t);
    assert_string_equal(side_why(&t.server, &e), "tls: too many handshakes at once");
    talk_close(&t);
}

static void who_goes_while_it_waits_leaves_nothing(void **state)
{
    struct talk t;
    talk_begin(&t, *state);
    t.rig.loop.next_shake = loop_steady() + 2;
    talk_run(&t);
    assert_false(t.server.opened);
    talk_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_pass_however_small_the_pieces),
        cmocka_unit_test(a_cut_at_any_byte_changes_nothing),
        cmocka_unit_test(what_did_not_go_is_offered_again),
        cmocka_unit_test(nothing_counts_as_written_before_it_has_gone),
        cmocka_unit_test(many_records_leave_and_come_together),
        cmocka_unit_test(small_pieces_share_a_record),
        cmocka_unit_test(a_small_reader_gets_all),
        cmocka_unit_test(an_announced_end_is_the_end),
        cmocka_unit_test(an_end_that_nobody_announced_is_a_reset),
        cmocka_unit_test(the_end_waits_for_room),
        cmocka_unit_test(a_changed_byte_ends_it),
        cmocka_unit_test(whatever_is_no_tls_fails_the_handshake),
        cmocka_unit_test(an_end_in_the_handshake_fails_it),
        cmocka_unit_test(handshakes_of_strangers_take_turns),
        cmocka_unit_test(after_a_rest_a_hundred_may_come_at_once),
        cmocka_unit_test(who_would_wait_too_long_is_refused),
        cmocka_unit_test(who_goes_while_it_waits_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, world_open, world_close);
}
