#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdlib.h>

#include "mux/session.h"
#include "testing/clock.h"
#include "testing/mux_rig.h"

/* Seconds; see docs/link.md, Silence. LATE: the looks are no closer together. */
static const double QUIET = 4, ANSWER = 3, GONE_IDLE = 10, GONE = 30, LATE = 1.1, STEP = 0.1;
static const double BRISK_QUIET = 1, BRISK_ANSWER = 1.25, BRISK_LATE = 0.3;

enum { STRAY_ID = 65535 };

struct test {
    struct rig rig;
    struct peer peer;
    struct far *wire;
    double now; /* since the peer was last heard, see hear() */
};

static int test_open(void **state)
{
    struct test *t = calloc(1, sizeof *t);
    if (!t)
        return -1;
    rig_init(&t->rig);
    *state = t;
    return 0;
}

static int test_close(void **state)
{
    struct test *t = *state;
    if (t->peer.mux.end.flow && !t->peer.closed)
        mux_close(&t->peer.mux, NULL);
    bool clean = rig_fini(&t->rig);
    free(t);
    return clean ? 0 : -1;
}

static void hear(struct test *t)
{
    far_say_frame(t->wire, &(struct mux_frame){.status = MUX_KEEPALIVE}, NULL);
    rig_turn(&t->rig);
    t->now = 0;
}

/* features < 0: the peer is old. */
static void link_open(struct test *t, bool client, int features)
{
    peer_init(&t->rig, &t->peer, client);
    t->wire = peer_wire(&t->rig, &t->peer);
    mux_start(&t->peer.mux);
    if (features >= 0)
        far_say_features(t->wire, (uint16_t)features, 65536);
    hear(t);
}

/* Goes on until so many seconds after the last word of the peer. */
static void wait_until(struct test *t, double when)
{
    for (; t->now + STEP / 2 < when; t->now += STEP) {
        clock_forward(STEP);
        rig_turn(&t->rig);
        rig_turn(&t->rig);
    }
}

/* How often the peer was asked since the last time that the test asked. */
static int questions(struct test *t)
{
    int count = 0;
    struct mux_frame f;
    const uint8_t *data;
    while (far_next_frame(t->wire, &f, &data)) {
        struct cursor c = cur_of(data, f.data_len);
        struct link_item i;
        bool pings = t->peer.mux.features & LINK_PINGS;
        if (f.status == MUX_KEEP && f.id == STRAY_ID) {
            assert_false(pings);
            assert_int_equal(f.data_len, 1);
            count++;
        }
        while (f.status == MUX_KEEPALIVE && link_read_magic(&c) && link_read(&c, &i))
            count += i.type == LINK_PING && pings;
    }
    return count;
}

/* Roles, and peers that know PING, or do not. */
static void each_link(void **state, void (*law)(struct test *t))
{
    static const int features[] = {LINK_FEATURES, LINK_FEATURES & ~LINK_PINGS, -1};
    for (int i = 0; i < 6; i++) {
        struct test *t = *state;
        link_open(t, i % 2, features[i / 2]);
        law(t);
        assert_int_equal(test_close(state), 0);
        assert_int_equal(test_open(state), 0);
    }
}

static bool is_silent(const struct test *t)
{
    return t->peer.mux.silent;
}

/* --- asking --- */

static void asks_in_time(struct test *t)
{
    wait_until(t, QUIET - 0.2);
    assert_int_equal(questions(t), 0);
    wait_until(t, QUIET + LATE);
    assert_int_equal(questions(t), 1);
    hear(t);
    wait_until(t, QUIET - 0.2);
    assert_int_equal(questions(t), 0);
    wait_until(t, QUIET + LATE);
    assert_int_equal(questions(t), 1);
    assert_int_equal(t->peer.silences, 0);
}

static void a_peer_that_says_nothing_for_4_s_is_asked(void **state)
{
    each_link(state, asks_in_time);
}

static void leaves_speakers_alone(struct test *t)
{
    for (int i = 0; i < 30; i++) {
        hear(t);
        wait_until(t, QUIET - 0.5);
    }
    assert_int_equal(questions(t), 0);
    assert_int_equal(t->peer.silences, 0);
}

static void who_speaks_is_not_asked(void **state)
{
    each_link(state, leaves_speakers_alone);
}

static void hears_anything(struct test *t)
{
    for (int i = 0; i < 3; i++) {
        wait_until(t, QUIET + LATE);
        assert_int_equal(questions(t), 1);
        if (i == 0)
            far_say_item(t->wire, &(struct link_item){.type = LINK_PONG});
        else if (i == 1)
            far_say_frame(t->wire, &(struct mux_frame){.id = STRAY_ID, .status = MUX_END}, NULL);
        else
            far_say(t->wire, "\0", 1); /* not even a frame */
        rig_turn(&t->rig);
        t->now = 0;
        wait_until(t, ANSWER);
        assert_false(is_silent(t));
    }
}

static void any_byte_is_an_answer(void **state)
{
    each_link(state, hears_anything);
}

static void falls_silent(struct test *t)
{
    wait_until(t, QUIET + ANSWER - 0.2);
    assert_false(is_silent(t));
    wait_until(t, QUIET + ANSWER + 2 * LATE - 0.4);
    assert_true(is_silent(t));
    assert_int_equal(t->peer.silences, 1);
    assert_int_equal(questions(t), 1);
    hear(t);
    assert_false(is_silent(t));
    assert_int_equal(t->peer.silences, 2);
    wait_until(t, QUIET + LATE);
    assert_int_equal(questions(t), 1);
}

static void who_does_not_answer_is_silent_until_he_speaks(void **state)
{
    each_link(state, falls_silent);
}

static void a_ping_is_answered_at_once_with_its_token(void **state)
{
    struct test *t = *state;
    static const uint8_t pong[] = {0, 4, 0, 0, 4, 1, 0, 15, 'v', '2', 'c', '1',
                                   7, 0, 8, 1, 2, 3, 4, 5,  6,   7,   8};
    link_open(t, false, LINK_FEATURES);
    size_t before = t->wire->len;
    far_say_item(t->wire, &(struct link_item){.type = LINK_PING, .token = 0x0102030405060708});
    rig_turn(&t->rig);
    assert_int_equal(t->wire->len - before, sizeof pong);
    assert_memory_equal(t->wire->bytes + before, pong, sizeof pong);
}

/* --- a stream waits --- */

static void opens_stream(struct test *t)
{
    if (t->peer.mux.client)
        peer_visitor(&t->peer, NET_TCP);
    else
        far_say_frame(t->wire,
                      &(struct mux_frame){.id = 1,
                                          .status = MUX_NEW,
                                          .net = NET_TCP,
                                          .target = {.type = ADDR_IPV4, .port = 80}},
                      NULL);
    rig_turn(&t->rig);
    t->now = 0;
}

static void asks_soon(struct test *t)
{
    opens_stream(t);
    wait_until(t, BRISK_QUIET - 0.1);
    assert_int_equal(questions(t), 0);
    wait_until(t, BRISK_QUIET + BRISK_LATE);
    assert_int_equal(questions(t), 1);
    wait_until(t, BRISK_QUIET + BRISK_ANSWER - 0.1);
    assert_false(is_silent(t));
    wait_until(t, BRISK_QUIET + BRISK_ANSWER + 2 * BRISK_LATE);
    assert_true(is_silent(t));
}

static void after_a_stream_was_opened_the_peer_is_asked_sooner(void **state)
{
    each_link(state, asks_soon);
}

static void a_stream_that_waits_while_the_peer_speaks_is_no_reason_to_ask(void **state)
{
    struct test *t = *state;
    link_open(t, true, LINK_FEATURES);
    struct far *visitor = peer_visitor(&t->peer, NET_TCP);
    for (int i = 0; i < 30; i++) {
        wait_until(t, BRISK_QUIET - 0.2);
        hear(t);
    }
    assert_int_equal(questions(t), 0);
    assert_false(is_silent(t) || visitor->left);
}

static void ten_seconds_after_a_stream_the_pace_is_calm_again(void **state)
{
    struct test *t = *state;
    link_open(t, true, LINK_FEATURES);
    peer_visitor(&t->peer, NET_TCP);
    for (int i = 0; i < 15; i++) {
        wait_until(t, BRISK_QUIET - 0.2);
        hear(t);
    }
    wait_until(t, QUIET - 0.2);
    assert_int_equal(questions(t), 0);
    wait_until(t, QUIET + LATE);
    assert_int_equal(questions(t), 1);
}

static void while_the_question_may_wait_behind_others_bytes_nobody_is_silent(void **state)
{
    struct test *t = *state;
    link_open(t, true, LINK_FEATURES);
    struct far *visitor = peer_visitor(&t->peer, NET_TCP);
    far_say_item(t->wire, &(struct link_item){.type = LINK_OPENED, .stream = 1});
    far_say_item(t->wire, &(struct link_item){.type = LINK_WINDOW, .stream = 1, .credit = 1 << 20});
    hear(t);
    static const uint8_t bytes[16 * 1024];
    t->wire->refuses = true;
    for (int i = 0; i < 16; i++)
        far_say(visitor, bytes, sizeof bytes);
    for (int i = 0; i < 12; i++) {
        wait_until(t, t->now + BRISK_ANSWER - 0.1);
        buf_free(&t->rig.loop.bufs, end_take(&t->wire->end));
    }
    assert_false(is_silent(t));
    wait_until(t, t->now + QUIET + ANSWER + 2 * LATE);
    assert_true(is_silent(t));
}

/* An old peer: what it said lies here, behind what a slow reader has not taken. */
static void who_cannot_be_heard_for_a_slow_reader_is_not_silent(void **state)
{
    struct test *t = *state;
    link_open(t, true, -1);
    struct far *visitor = peer_visitor(&t->peer, NET_TCP);
    static const uint8_t bytes[16 * 1024];
    visitor->refuses = true;
    for (int i = 0; i < 200; i++)
        far_say_frame(
            t->wire,
            &(struct mux_frame){
                .id = 1, .status = MUX_KEEP, .option = MUX_DATA, .data_len = sizeof bytes},
            bytes);
    hear(t);
    assert_non_null(t->peer.mux.stalled);
    for (int i = 0; i < 20; i++) {
        wait_until(t, t->now + 4);
        buf_free(&t->rig.loop.bufs, end_take(&visitor->end));
        buf_free(&t->rig.loop.bufs, end_take(&visitor->end));
    }
    assert_false(t->peer.closed || visitor->failed);
    assert_int_equal(t->peer.silences, 0);
}

/* --- closing --- */

static void a_silent_link_without_streams_is_closed_after_10_s(void **state)
{
    for (int client = 0; client < 2; client++) {
        struct test *t = *state;
        link_open(t, client, LINK_FEATURES);
        wait_until(t, GONE_IDLE - 0.1);
        assert_false(t->peer.closed);
        wait_until(t, GONE_IDLE + 2 * LATE);
        assert_true(t->peer.closed);
        assert_int_equal(t->peer.why, ETIMEDOUT);
        assert_int_equal(test_close(state), 0);
        assert_int_equal(test_open(state), 0);
    }
}

static void a_silent_link_with_streams_is_closed_later(void **state)
{
    struct test *t = *state;
    link_open(t, true, LINK_FEATURES);
    struct far *visitor = peer_visitor(&t->peer, NET_TCP);
    far_say_item(t->wire, &(struct link_item){.type = LINK_OPENED, .stream = 1});
    hear(t);
    wait_until(t, GONE - 0.1);
    assert_true(is_silent(t));
    assert_false(t->peer.closed || visitor->left);
    wait_until(t, GONE + 2 * LATE);
    assert_true(t->peer.closed && visitor->failed);
}

static void stays_open(struct test *t)
{
    if (t->peer.mux.features & LINK_PINGS)
        return;
    wait_until(t, 10 * GONE);
    assert_true(is_silent(t));
    assert_false(t->peer.closed);
    assert_int_equal(questions(t),
                     1); /* once: it may be waiting for a visitor that does not read */
    hear(t);
    assert_false(is_silent(t));
}

static void a_link_whose_peer_knows_no_ping_is_never_closed(void **state)
{
    each_link(state, stays_open);
}

static void a_stray_that_is_in_use_is_not_asked_about(void **state)
{
    struct test *t = *state;
    link_open(t, true, -1);
    t->peer.mux.last_id = STRAY_ID - 1;
    peer_visitor(&t->peer, NET_TCP);
    wait_until(t, 2 * (QUIET + ANSWER));
    assert_int_equal(questions(t), 0);
    assert_false(is_silent(t)); /* nor is it late with an answer */
}

/* --- this process slept --- */

static void sleep_for(struct test *t, double seconds)
{
    clock_forward(seconds);
    rig_turn(&t->rig);
    rig_turn(&t->rig);
    t->now += seconds;
}

static void wakes_up(struct test *t)
{
    sleep_for(t, 100);
    assert_false(t->peer.closed || is_silent(t));
    hear(t);
    wait_until(t, QUIET - 0.2);
    assert_false(t->peer.closed || is_silent(t));
    wait_until(t, QUIET + 0.9 * ANSWER); /* the peer has been asked */
    sleep_for(t, 100);
    assert_false(t->peer.closed || is_silent(t));
    hear(t);
    assert_int_equal(t->peer.silences, 0);
}

static void a_process_that_slept_takes_nobody_for_silent(void **state)
{
    each_link(state, wakes_up);
}

static void wakes_up_silent(struct test *t)
{
    wait_until(t, QUIET + ANSWER + 0.4);
    if (!is_silent(t))
        wait_until(t, QUIET + ANSWER + 0.9);
    sleep_for(t, 100);
    assert_false(t->peer.closed); /* what came meanwhile is not read yet */
    hear(t);
    assert_false(is_silent(t));
}

static void a_process_that_slept_hears_a_silent_peer_before_it_closes_the_link(void **state)
{
    each_link(state, wakes_up_silent);
}

static void a_peer_that_went_while_the_process_slept_is_found_silent(void **state)
{
    struct test *t = *state;
    link_open(t, true, LINK_FEATURES);
    sleep_for(t, 100);
    t->now = 0;
    wait_until(t, GONE_IDLE + 3 * LATE);
    assert_true(t->peer.closed);
}

#define LAW(f) cmocka_unit_test_setup_teardown(f, test_open, test_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAW(a_peer_that_says_nothing_for_4_s_is_asked),
        LAW(who_speaks_is_not_asked),
        LAW(any_byte_is_an_answer),
        LAW(who_does_not_answer_is_silent_until_he_speaks),
        LAW(a_ping_is_answered_at_once_with_its_token),
        LAW(after_a_stream_was_opened_the_peer_is_asked_sooner),
        LAW(a_stream_that_waits_while_the_peer_speaks_is_no_reason_to_ask),
        LAW(ten_seconds_after_a_stream_the_pace_is_calm_again),
        LAW(while_the_question_may_wait_behind_others_bytes_nobody_is_silent),
        LAW(who_cannot_be_heard_for_a_slow_reader_is_not_silent),
        LAW(a_silent_link_without_streams_is_closed_after_10_s),
        LAW(a_silent_link_with_streams_is_closed_later),
        LAW(a_link_whose_peer_knows_no_ping_is_never_closed),
        LAW(a_stray_that_is_in_use_is_not_asked_about),
        LAW(a_process_that_slept_takes_nobody_for_silent),
        LAW(a_process_that_slept_hears_a_silent_peer_before_it_closes_the_link),
        LAW(a_peer_that_went_while_the_process_slept_is_found_silent),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
