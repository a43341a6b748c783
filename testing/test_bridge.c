#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdlib.h>

#include "reverse/control.h"
#include "testing/bridge_rig.h"

static int test_open(void **state)
{
    struct bridge_rig *t = calloc(1, sizeof *t);
    if (!t)
        return -1;
    bridge_rig_init(t, 1);
    *state = t;
    return 0;
}

static int test_close(void **state)
{
    struct bridge_rig *t = *state;
    bool clean = bridge_rig_fini(t);
    free(t);
    return clean ? 0 : -1;
}

static void say_drain(struct far *wire, uint16_t id)
{
    far_say_frame(
        wire, &(struct mux_frame){.id = id, .status = MUX_KEEP, .option = MUX_DATA, .data_len = 2},
        "\x08\x01");
}

static void assert_refused(struct bridge_rig *t, struct far *wire, uint16_t id)
{
    struct mux_frame f;
    const uint8_t *data;
    rig_turn(&t->rig);
    do
        assert_true(far_next_frame(wire, &f, &data));
    while (f.status == MUX_KEEPALIVE);
    assert_true(f.status == MUX_END && f.id == id && f.option == MUX_ERROR);
    assert_int_equal(t->target_count, 0);
}

/* --- streams --- */

static void a_stream_becomes_a_flow_to_its_target(void **state)
{
    struct bridge_rig *t = *state;
    struct far *wire = link_up(t, 0);
    say_new(wire, 7, NET_TCP, "10.1.2.3", 8080, false);
    rig_turn(&t->rig);
    assert_int_equal(t->target_count, 1);
    assert_int_equal(t->targets[0]->flow->meta.target.port, 8080);
    assert_null(t->targets[0]->flow->meta.user);
    far_say(t->targets[0], "hi", 2);
    rig_turn(&t->rig);
    assert_memory_equal(wire->bytes + wire->len - 2, "hi", 2);
}

static void a_stream_that_nobody_takes_ends_alone(void **state)
{
    struct bridge_rig *t = *state;
    struct far *wire = link_up(t, 0);
    t->refuses = true;
    say_new(wire, 1, NET_TCP, "10.1.2.3", 80, false);
    assert_refused(t, wire, 1);
    t->refuses = false;
    say_new(wire, 2, NET_TCP, "10.1.2.3", 80, false);
    rig_turn(&t->rig);
    assert_int_equal(t->target_count, 1);
}

static void a_stream_back_to_the_portal_is_refused(void **state)
{
    struct bridge_rig *t = *state;
    struct far *wire = link_up(t, 0);
    static const char *const names[] = {"bridge.test", "BRIDGE.test.", "Bridge.Test"};
    for (uint16_t i = 0; i < 3; i++) {
        say_new(wire, (uint16_t)(i + 2), i % 2 ? NET_UDP : NET_TCP, names[i], 80, false);
        assert_refused(t, wire, (uint16_t)(i + 2));
    }
    assert_int_equal(rig_stat(&t->rig, STAT_names_refused), 3);
    assert_int_equal(t->link_count, 1);
}

/* --- control --- */

static void every_name_of_the_control_stream_is_known(void **state)
{
    struct bridge_rig *t = *state;
    for (size_t i = 0; control_name(i); i++) {
        struct far *wire = link_up(t, i);
        say_new(wire, 1, NET_UDP, control_name(i), 0, true);
        rig_turn(&t->rig);
        link_up(t, i + 1); /* it took the DRAIN */
        struct mux_frame f;
        const uint8_t *data;
        while (far_next_frame(wire, &f, &data))
            assert_int_equal(f.status, MUX_KEEPALIVE); /* and stayed silent */
    }
    assert_int_equal(t->target_count, 0);
}

static void no_other_stream_controls(void **state)
{
    struct bridge_rig *t = *state;
    static const struct {
        uint16_t id, port;
        enum net net;
    } forged[] = {{2, 0, NET_UDP}, {1, 443, NET_UDP}, {1, 0, NET_TCP}, {0, 0, NET_UDP}};
    struct far *wire = link_up(t, 0);
    for (size_t i = 0; i < 4; i++) {
        say_new(wire, forged[i].id, forged[i].net, "Reverse.Internal.V2Fly.Org.", forged[i].port,
                true);
        assert_refused(t, wire, forged[i].id);
        say_drain(wire, forged[i].id);
    }
    assert_int_equal(rig_stat(&t->rig, STAT_names_refused), 4);
    say_new(wire, 1, NET_UDP, "reverse", 0, false);
    far_say_frame(wire, &(struct mux_frame){.id = 1, .status = MUX_END}, NULL);
    rig_turn(&t->rig);
    say_new(wire, 1, NET_UDP, "reverse", 0, true); /* a second one */
    assert_refused(t, wire, 1);
    bridge_wait(t, 5);
    assert_int_equal(t->link_count, 1);
}

static void other_messages_and_garbage_leave_the_link_in_use(void **state)
{
    struct bridge_rig *t = *state;
    struct far *wire = link_up(t, 0);
    say_new(wire, 1, NET_UDP, "reverse", 0, false);
    static const char *const messages[] = {"\x08\x02", "\x9a\x06", "\x08\x80", "\xff\xff"};
    for (int i = 0; i < 4; i++)
        far_say_frame(
            wire,
            &(struct mux_frame){.id = 1, .status = MUX_KEEP, .option = MUX_DATA, .data_len = 2},
            messages[i]);
    bridge_wait(t, 5);
    assert_int_equal(t->link_count, 1);
    assert_false(wire->left);
}

static void drain_makes_it_dial_another_link_and_keep_the_drained_one(void **state)
{
    struct bridge_rig *t = *state;
    struct far *wire = link_up(t, 0);
    say_new(wire, 1, NET_UDP, "reverse.internal.v2ray.com", 0, true);
    say_drain(wire, 1);
    struct far *second = link_up(t, 1);
    say_new(wire, 2, NET_TCP, "10.1.2.3", 80, false);
    say_new(second, 2, NET_TCP, "10.1.2.3", 80, false);
    bridge_wait(t, 5);
    assert_int_equal(t->target_count, 2);
    assert_int_equal(t->link_count, 2);
    assert_false(wire->left);
    assert_int_equal(rig_stat(&t->rig, BRIDGE_CARRIERS), 2);
}

static void a_portal_that_drains_everything_is_not_dialled_without_pause(void **state)
{
    struct bridge_rig *t = *state;
    for (size_t i = 0; i < 100; i++) {
        size_t before = t->link_count;
        for (size_t k = 0; k < before; k++)
            if (t->links[k]->packets++ == 0)
                say_new(t->links[k], 1, NET_UDP, "reverse", 0, true);
        bridge_wait(t, 0.06);
    }
    assert_true(t->link_count >= 64 &&
                t->link_count <= 65); /* 6 s: one in 50 ms, then one in 10 s */
}

static void crowded_links_get_another_one_beside_them(void **state)
{
    struct bridge_rig *t = *state;
    struct far *wire = link_up(t, 0);
    for (uint16_t id = 1; id <= 128; id++)
        say_new(wire, id, NET_TCP, "10.1.2.3", 80, false);
    bridge_wait(t, 1);
    assert_int_equal(t->link_count, 1);
    say_new(wire, 129, NET_TCP, "10.1.2.3", 80, false);
    bridge_wait(t, 1);
    assert_int_equal(t->link_count, 2);
}

/* --- dialling --- */

static void it_dials_at_once_and_says_hello(void **state)
{
    struct bridge_rig *t = *state;
    bridge_wait(t, 0.001);
    assert_int_equal(t->link_count, 1);
    struct mux_frame f;
    const uint8_t *data;
    assert_true(far_next_frame(t->links[0], &f, &data));
    assert_true(f.status == MUX_KEEPALIVE && f.data_len > 4 && memcmp(data, "v2c1", 4) == 0);
    assert_int_equal(rig_stat(&t->rig, BRIDGE_CARRIERS), 0);
    link_up(t, 0);
    assert_int_equal(rig_stat(&t->rig, BRIDGE_CARRIERS), 1);
}

static void a_lost_link_is_dialled_again_soon(void **state)
{
    struct bridge_rig *t = *state;
    for (size_t i = 0; i < 5; i++) {
        struct far *wire = link_up(t, i);
        say_new(wire, 2, NET_TCP, "10.1.2.3", 80, false);
        bridge_wait(t, 60);
        far_leave(wire, i % 2 ? ECONNRESET : 0);
        rig_turn(&t->rig);
        assert_true(t->targets[i]->failed);
        assert_int_equal(t->link_count, i + 1);
        bridge_wait(t, 0.16);
        assert_int_equal(t->link_count, i + 2);
    }
}

static void a_long_outage_makes_attempts_rarer_but_never_ends_them(void **state)
{
    struct bridge_rig *t = *state;
    size_t in_first_minute = 0, in_all;
    struct far *last;
    for (int i = 0; i < 6000; i++) { /* ten minutes */
        bridge_wait(t, 0.1);
        last = t->links[t->link_count - 1];
        if (!last->left)
            far_leave(last, ECONNREFUSED);
        if (i == 600)
            in_first_minute = t->link_count;
    }
    in_all = t->link_count;
    assert_true(in_first_minute >= 20 && in_first_minute <= 150);
    assert_true(in_all - in_first_minute >= 40 && in_all - in_first_minute <= 120);
}

static void a_portal_that_never_answers_is_given_up_after_four_seconds(void **state)
{
    struct bridge_rig *t = *state;
    bridge_wait(t, 0.001);
    far_reached(t->links[0]);
    bridge_wait(t, 3.5);
    assert_false(t->links[0]->left);
    bridge_wait(t, 0.6);
    assert_true(t->links[0]->failed);
    link_up(t, 1);
}

/* It may have too much to do: then each has twice as long as the one before, up to 16 s, until one had its answer. */
static void a_portal_that_does_not_answer_has_more_time(void **state)
{
    struct bridge_rig *t = *state;
    static const double seconds[] = {4, 8, 16, 16};
    for (size_t i = 0; i < 6; i++) {
        double has = seconds[i < 4 ? i : i - 4];
        for (int k = 0; k < 200 && t->link_count <= i; k++)
            bridge_wait(t, 0.1);
        assert_int_equal(t->link_count, i + 1);
        far_reached(t->links[i]);
        bridge_wait(t, has / 2);
        bridge_wait(t, has / 2 - 0.3);
        assert_false(t->links[i]->left);
        if (i == 3) {
            link_up(t, i);
            far_leave(t->links[i], 0);
            continue;
        }
        bridge_wait(t, 0.5);
        assert_true(t->links[i]->failed);
    }
}

/* A round trip of 3 s: one to connect, one for the answer. */
static void a_portal_that_is_far_away_has_eight_seconds(void **state)
{
    struct bridge_rig *t = *state;
    bridge_wait(t, 0.001);
    bridge_wait(t, 3);
    far_reached(t->links[0]);
    bridge_wait(t, 3);
    assert_false(t->links[0]->left);
    link_up(t, 0);
    bridge_wait(t, 3);
    assert_false(t->links[0]->left);
    far_leave(t->links[0], 0);
    bridge_wait(t, 0.2);
    bridge_wait(t, 7.5);
    assert_false(t->links[1]->left);
    bridge_wait(t, 0.6);
    assert_true(t->links[1]->failed);
}

#define LAW(f) cmocka_unit_test_setup_teardown(f, test_open, test_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAW(a_stream_becomes_a_flow_to_its_target),
        LAW(a_stream_that_nobody_takes_ends_alone),
        LAW(a_stream_back_to_the_portal_is_refused),
        LAW(every_name_of_the_control_stream_is_known),
        LAW(no_other_stream_controls),
        LAW(other_messages_and_garbage_leave_the_link_in_use),
        LAW(drain_makes_it_dial_another_link_and_keep_the_drained_one),
        LAW(a_portal_that_drains_everything_is_not_dialled_without_pause),
        LAW(crowded_links_get_another_one_beside_them),
        LAW(it_dials_at_once_and_says_hello),
        LAW(a_lost_link_is_dialled_again_soon),
        LAW(a_long_outage_makes_attempts_rarer_but_never_ends_them),
        LAW(a_portal_that_never_answers_is_given_up_after_four_seconds),
        LAW(a_portal_that_does_not_answer_has_more_time),
        LAW(a_portal_that_is_far_away_has_eight_seconds),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
