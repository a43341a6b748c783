#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdlib.h>

#include "reverse/way.h"
#include "testing/bridge_rig.h"

static int test_open(void **state)
{
    struct bridge_rig *t = calloc(1, sizeof *t);
    if (!t)
        return -1;
    bridge_rig_init(t, 0);
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

/* Every link that is dialled within this time is answered by a v2c portal with one worker. */
static void portal_answers(struct bridge_rig *t, double seconds)
{
    for (double left = seconds; left > 0; left -= 0.2) {
        for (size_t i = 0; i < t->link_count; i++)
            if (!t->links[i]->left && !t->answered[i])
                link_v2c(t, i, 1, 1);
        bridge_live(t, 0.2);
    }
}

static void say_going(struct bridge_rig *t, struct far *wire, uint32_t wait)
{
    far_say_item(wire, &(struct link_item){.type = LINK_GOAWAY, .going = {GOING_STOPS, wait}});
    rig_turn(&t->rig);
}

/* --- how many --- */

static void the_share_of_all_loops_is_what_is_configured(void **state)
{
    (void)state;
    for (unsigned connections = 1; connections <= 64; connections++)
        for (unsigned loops = 1; loops <= 16; loops++) {
            struct bridge_conf conf = {.connections = connections};
            unsigned all = 0, least = 64, most = 0;
            for (unsigned i = 0; i < loops; i++) {
                unsigned share = bridge_share(&conf, i, loops);
                all += share;
                least = share < least ? share : least;
                most = share > most ? share : most;
            }
            assert_int_equal(all, connections);
            assert_true(most - least <= 1);
        }
}

static void it_keeps_as_many_links_as_its_share(void **state)
{
    struct bridge_rig *t = *state;
    for (unsigned share = 1; share <= 8; share *= 2) {
        size_t before = t->link_count;
        bridge_rig_start(t, share);
        portal_answers(t, 5);
        assert_int_equal(t->link_count - before, share);
        assert_int_equal(rig_stat(&t->rig, BRIDGE_CARRIERS), share);
        bridge_rig_stop(t);
    }
}

static void a_link_that_is_lost_is_replaced_while_the_others_stay(void **state)
{
    struct bridge_rig *t = *state;
    bridge_rig_start(t, 3);
    portal_answers(t, 2);
    for (size_t i = 0; i < 5; i++) {
        far_leave(t->links[i], ECONNRESET);
        portal_answers(t, 1);
        assert_int_equal(t->link_count, 4 + i);
        assert_int_equal(links_open(t), 3);
    }
}

static void more_than_128_streams_a_link_bring_another(void **state)
{
    struct bridge_rig *t = *state;
    bridge_rig_start(t, 2);
    portal_answers(t, 1);
    say_streams(t, t->links[0], 1, 200);
    say_streams(t, t->links[1], 1, 56);
    portal_answers(t, 1);
    assert_int_equal(t->link_count, 2);
    say_streams(t, t->links[1], 57, 1);
    portal_answers(t, 1);
    assert_int_equal(t->link_count, 3);
    say_streams(t, t->links[2], 1, 127);
    portal_answers(t, 1);
    assert_int_equal(t->link_count, 3);
    say_streams(t, t->links[2], 128, 1);
    portal_answers(t, 1);
    assert_int_equal(t->link_count, 4);
}

static void links_that_are_not_needed_any_more_go_one_by_one(void **state)
{
    struct bridge_rig *t = *state;
    bridge_rig_start(t, 1);
    portal_answers(t, 1);
    say_streams(t, t->links[0], 1, 400);
    portal_answers(t, 2);
    assert_int_equal(links_open(t), 4);
    for (size_t i = 0; i < t->target_count; i++)
        far_leave(t->targets[i], ECONNRESET);
    rig_turn(&t->rig);
    portal_answers(t, 19);
    for (size_t i = 0; i < 4; i++) {
        struct mux_frame f;
        const uint8_t *data;
        while (far_next_frame(t->links[i], &f, &data))
            assert_true(f.status != MUX_KEEPALIVE || f.data_len != 12 || data[4] != LINK_GOAWAY);
    }
    portal_answers(t, 40);
    unsigned told = 0;
    for (size_t i = 0; i < 4; i++) {
        struct mux_frame f;
        const uint8_t *data;
        while (far_next_frame(t->links[i], &f, &data))
            told += f.status == MUX_KEEPALIVE && f.data_len == 12 && data[4] == LINK_GOAWAY;
    }
    assert_int_equal(told, 3);
    assert_int_equal(t->link_count, 4); /* and nothing is dialled for those that go */
}

static void a_short_lull_costs_no_link(void **state)
{
    struct bridge_rig *t = *state;
    bridge_rig_start(t, 1);
    portal_answers(t, 1);
    for (int i = 0; i < 5; i++) {
        say_streams(t, t->links[0], (uint16_t)(1 + 200 * i), 180);
        portal_answers(t, 12);
        for (size_t k = 0; k < t->target_count; k++)
            if (!t->targets[k]->left)
                far_leave(t->targets[k], ECONNRESET);
        portal_answers(t, 15);
    }
    assert_int_equal(t->link_count, 2);
}

static void there_are_never_more_than_64_links(void **state)
{
    struct bridge_rig *t = *state;
    bridge_rig_start(t, 1);
    portal_answers(t, 0.2);
    for (size_t i = 0; i < 9; i++) {
        say_streams(t, t->links[0], (uint16_t)(1 + 100 * i), 100);
        portal_answers(t, 0.4);
    }
    portal_answers(t, 5);
    assert_int_equal(t->link_count, 8); /* 900 streams */
    bridge_rig_stop(t);
    bridge_rig_start(t, 64);
    portal_answers(t, 10);
    assert_int_equal(links_open(t), 64);
    portal_answers(t, 30);
    assert_int_equal(t->link_count, 8 + 64);
}

static void more_streams_than_64_links_should_carry_bring_no_further_link(void **state)
{
    struct bridge_rig *t = *state;
    bridge_rig_start(t, 63);
    portal_answers(t, 10);
    struct way *y = container_of(t->bridge, struct bridge, in)->ways;
    struct mux *busy = &link_at(list_first(&y->links))->mux;
    busy->sessions += 10 * 1000;
    say_streams(t, t->links[0], 1, 1);
    portal_answers(t, 60);
    busy->sessions -= 10 * 1000;
    assert_int_equal(t->link_count, 64);
}

/* It closes at once, be it alone or beside one that serves. */
static void a_portal_that_only_greets_is_not_dialled_all_the_time(void **state)
{
    for (unsigned share = 1; share <= 2; share++) {
        struct bridge_rig *t = *state;
        bridge_rig_start(t, share);
        if (share == 2)
            link_v2c(t, 0, 1, 1);
        for (int i = 0; i < 600; i++) {
            for (size_t k = share - 1; k < t->link_count; k++)
                if (!t->links[k]->left)
                    link_v2c(t, k, 1, 1), far_leave(t->links[k], 0);
            bridge_live(t, 0.1);
        }
        assert_in_range(t->link_count, 20, 150);
        assert_int_equal(test_close(state), 0);
        assert_int_equal(test_open(state), 0);
    }
}

/* --- which links count --- */

static void a_silent_link_is_replaced_and_closed_when_idle(void **state)
{
    struct bridge_rig *t = *state;
    bridge_rig_start(t, 1);
    portal_answers(t, 1);
    t->links[0]->refuses = true;
    portal_answers(t, 6.5);
    assert_false(t->links[0]->left);
    portal_answers(t, 5);
    assert_int_equal(t->link_count, 2);
    assert_true(t->links[0]->left);
    portal_answers(t, 10);
    assert_int_equal(t->link_count, 2);
}

static void a_silent_link_with_streams_has_thirty_seconds(void **state)
{
    struct bridge_rig *t = *state;
    bridge_rig_start(t, 1);
    portal_answers(t, 1);
    say_streams(t, t->links[0], 1, 2);
    t->links[0]->refuses = true;
    portal_answers(t, 29);
    assert_false(t->links[0]->left || t->targets[0]->left);
    assert_int_equal(t->link_count, 2);
    portal_answers(t, 2.5);
    assert_true(t->links[0]->left && t->targets[0]->failed);
}

static void a_link_that_speaks_again_is_one_too_many_and_goes_in_time(void **state)
{
    struct bridge_rig *t = *state;
    bridge_rig_start(t, 1);
    portal_answers(t, 1);
    say_streams(t, t->links[0], 1, 1);
    t->links[0]->refuses = true;
    portal_answers(t, 10);
    far_read_on(t->links[0]);
    portal_answers(t, 45);
    assert_int_equal(t->link_count, 2);
    assert_false(t->targets[0]->left);
}

static void a_link_that_is_told_to_go_is_replaced_at_once(void **state)
{
    struct bridge_rig *t = *state;
    bridge_rig_start(t, 2);
    portal_answers(t, 1);
    say_streams(t, t->links[0], 1, 1);
    say_going(t, t->links[0], 0);
    portal_answers(t, 0.4);
    assert_int_equal(t->link_count, 3);
    assert_false(t->links[0]->left || t->targets[0]->left);
    say_streams(t, t->links[0], 2, 1); /* that crossed it */
    assert_int_equal(t->target_count, 2);
}

static void it_dials_again_when_the_portal_said_so(void **state)
{
    struct bridge_rig *t = *state;
    bridge_rig_start(t, 1);
    portal_answers(t, 1);
    say_going(t, t->links[0], 5000);
    portal_answers(t, 4.6);
    assert_int_equal(t->link_count, 1);
    portal_answers(t, 0.8);
    assert_int_equal(t->link_count, 2);
    portal_answers(t, 1);
    far_leave(t->links[0], 0);
    say_going(t, t->links[1], 4000000000u); /* no portal can send a bridge away for long */
    portal_answers(t, 59);
    assert_int_equal(t->link_count, 2);
    portal_answers(t, 2);
    assert_int_equal(t->link_count, 3);
}

/* A bridge that is about to dial, too, waits as long as it is told to. */
static void a_portal_that_sends_it_away_at_once_is_obeyed(void **state)
{
    struct bridge_rig *t = *state;
    bridge_rig_start(t, 2);
    bridge_wait(t, 0.001);
    assert_int_equal(t->link_count, 1);
    link_v2c(t, 0, 1, 1);
    say_going(t, t->links[0], 5000);
    bridge_live(t, 4.8);
    assert_int_equal(t->link_count, 1);
    bridge_live(t, 0.5);
    assert_int_equal(t->link_count, 3);
}

static void many_goaways_are_as_good_as_one(void **state)
{
    struct bridge_rig *t = *state;
    bridge_rig_start(t, 2);
    portal_answers(t, 1);
    for (int i = 0; i < 1000; i++)
        say_going(t, t->links[0], 0);
    portal_answers(t, 5);
    assert_int_equal(t->link_count, 3);
}

/* --- many portals --- */

static const size_t portals[] = {2, 1};

static void each_portal_has_links_of_its_own(void **state)
{
    struct bridge_rig *t = *state;
    t->conf.portals = portals;
    t->conf.portal_count = 2;
    bridge_rig_start(t, 2);
    portal_answers(t, 2);
    unsigned at[OUTS] = {0};
    for (size_t i = 0; i < t->link_count; i++)
        at[t->at[i]]++;
    assert_true(at[0] == 0 && at[1] == 2 && at[2] == 2);
    for (size_t i = 0; i < 4; i++)
        assert_true(t->links[i]->flow->meta.by_rule);
    for (size_t i = 0; i < 4; i++)
        if (t->at[i] == 1)
            far_leave(t->links[i], ECONNRESET);
    portal_answers(t, 2);
    assert_int_equal(t->link_count, 6);
    assert_true(t->at[4] == 1 && t->at[5] == 1);
}

static void a_portal_that_is_down_does_not_delay_the_other(void **state)
{
    struct bridge_rig *t = *state;
    t->conf.portals = portals;
    t->conf.portal_count = 2;
    bridge_rig_start(t, 1);
    for (int k = 0; k < 600; k++) { /* a minute, in which one of them takes nobody */
        bridge_live(t, 0.1);
        for (size_t i = 0; i < t->link_count; i++)
            if (t->at[i] == 1 && !t->links[i]->left)
                far_leave(t->links[i], ECONNREFUSED);
            else if (t->at[i] == 2 && !t->answered[i])
                link_v2c(t, i, 1, 1);
    }
    struct far *good = NULL;
    for (size_t i = 0; i < t->link_count; i++)
        if (t->at[i] == 2) {
            assert_null(good);
            good = t->links[i];
        }
    assert_non_null(good);
    far_leave(good, ECONNRESET);
    size_t before = t->link_count, again = 0;
    bridge_live(t, 0.3);
    for (size_t i = before; i < t->link_count; i++)
        again += t->at[i] == 2; /* the other may have had its turn, too */
    assert_int_equal(again, 1);
}

static void streams_of_any_portal_go_by_the_rules(void **state)
{
    struct bridge_rig *t = *state;
    t->conf.portals = portals;
    t->conf.portal_count = 2;
    bridge_rig_start(t, 1);
    portal_answers(t, 1);
    say_streams(t, t->links[0], 1, 1);
    say_streams(t, t->links[1], 1, 1);
    assert_int_equal(t->target_count, 2);
    for (int i = 0; i < 2; i++)
        assert_string_equal(t->targets[i]->flow->meta.outbound_tag, "out");
}

/* --- the workers of a portal --- */

/* Answers each new link as the worker that `worker` says for its number. */
static void workers_answer(struct bridge_rig *t, double seconds, uint8_t worker(size_t))
{
    for (double left = seconds; left > 0; left -= 0.2) {
        for (size_t i = 0; i < t->link_count; i++)
            if (!t->links[i]->left && !t->answered[i])
                link_v2c(t, i, worker(i), 4);
        bridge_live(t, 0.2);
    }
}

static uint8_t always_first(size_t i)
{
    (void)i;
    return 1;
}

static uint8_t one_after_the_other(size_t i)
{
    return (uint8_t)(1 + i % 4);
}

static uint8_t first_thrice(size_t i)
{
    return i < 3 ? 1 : 3;
}

static void links_to_two_workers_are_enough(void **state)
{
    struct bridge_rig *t = *state;
    bridge_rig_start(t, 2);
    workers_answer(t, 60, one_after_the_other);
    assert_int_equal(t->link_count, 2);
}

static void links_to_one_worker_get_another_elsewhere(void **state)
{
    struct bridge_rig *t = *state;
    bridge_rig_start(t, 2);
    workers_answer(t, 5, first_thrice);
    assert_int_equal(t->link_count, 4);
}

/* What was dialled too often goes; the link to the other worker stays. */
static void the_link_to_the_other_worker_is_kept(void **state)
{
    struct bridge_rig *t = *state;
    bridge_rig_start(t, 2);
    workers_answer(t, 300, first_thrice);
    assert_int_equal(t->link_count, 4);
}

static void the_search_for_another_worker_ends(void **state)
{
    struct bridge_rig *t = *state;
    bridge_rig_start(t, 2);
    workers_answer(t, 120, always_first);
    assert_int_equal(t->link_count, 2 + 6);
    workers_answer(t, 600, always_first);
    assert_int_equal(t->link_count, 2 + 6);
}

static uint8_t each_fourth_elsewhere(size_t i)
{
    return i % 4 == 3 ? 2 : 1;
}

/* A search that found something is over, and the next one is new. */
static void the_link_to_the_other_worker_is_looked_for_whenever_it_is_lost(void **state)
{
    struct bridge_rig *t = *state;
    bridge_rig_start(t, 2);
    for (int round = 0; round < 6; round++) {
        workers_answer(t, 5, each_fourth_elsewhere);
        struct far *elsewhere = t->links[t->link_count - 1];
        assert_int_equal(t->link_count % 4, 0);
        assert_false(elsewhere->left);
        workers_answer(t, 60, each_fourth_elsewhere); /* those that were dialled in vain go */
        assert_false(elsewhere->left);
        far_leave(elsewhere, ECONNRESET);
    }
}

static void a_single_link_lies_where_it_lies(void **state)
{
    struct bridge_rig *t = *state;
    bridge_rig_start(t, 1);
    workers_answer(t, 60, always_first);
    assert_int_equal(t->link_count, 1);
}

/* --- the end --- */

static void a_bridge_that_goes_tells_all_its_portals_and_dials_no_more(void **state)
{
    struct bridge_rig *t = *state;
    bridge_rig_start(t, 2);
    portal_answers(t, 1);
    say_streams(t, t->links[0], 1, 1);
    far_leave(t->links[1], ECONNRESET); /* so that a new one is about to be dialled */
    t->bridge->ops->drain(t->bridge);
    rig_turn(&t->rig);
    struct far *wire = t->links[0];
    assert_true(wire->len >= 16);
    assert_int_equal(wire->bytes[wire->len - 8], LINK_GOAWAY);
    assert_int_equal(wire->bytes[wire->len - 5], GOING_STOPS);
    portal_answers(t, 30);
    assert_int_equal(t->link_count, 2);
    assert_false(wire->left || t->targets[0]->left);
}

static void a_link_that_is_not_up_when_the_bridge_goes_comes_to_nothing(void **state)
{
    struct bridge_rig *t = *state;
    bridge_rig_start(t, 1);
    bridge_wait(t, 0.001);
    assert_int_equal(t->link_count, 1);
    t->bridge->ops->drain(t->bridge);
    rig_turn(&t->rig);
    assert_true(t->links[0]->left);
    bridge_wait(t, 30);
    assert_int_equal(t->link_count, 1);
}

static void the_same_settings_of_another_configuration_hold_for_open_links(void **state)
{
    struct bridge_rig *t = *state;
    enum { UP = 55, DOWN = 56 };
    t->conf.portals = portals;
    t->conf.portal_count = 2;
    bridge_rig_start(t, 1);
    portal_answers(t, 1);
    static const size_t moved[] = {1, 2};
    static struct bridge_conf conf; /* outlives the bridge */
    conf = t->conf;
    conf.traffic = (struct traffic){UP, DOWN};
    conf.portals = moved;
    bridge_adopt(t->bridge, &conf, &t->rig.policy);
    say_streams(t, t->links[0], 1, 1);
    far_say(t->targets[0], "hello", 5);
    rig_turn(&t->rig);
    assert_int_equal(rig_stat(&t->rig, DOWN), 5);
    int first = t->at[0];
    far_leave(t->links[0], ECONNRESET);
    portal_answers(t, 1);
    assert_int_equal(t->link_count, 3);
    assert_int_equal(t->at[2], first == 1 ? 2 : 1);
}

#define LAW(f) cmocka_unit_test_setup_teardown(f, test_open, test_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAW(the_share_of_all_loops_is_what_is_configured),
        LAW(it_keeps_as_many_links_as_its_share),
        LAW(a_link_that_is_lost_is_replaced_while_the_others_stay),
        LAW(more_than_128_streams_a_link_bring_another),
        LAW(links_that_are_not_needed_any_more_go_one_by_one),
        LAW(a_short_lull_costs_no_link),
        LAW(there_are_never_more_than_64_links),
        LAW(more_streams_than_64_links_should_carry_bring_no_further_link),
        LAW(a_portal_that_only_greets_is_not_dialled_all_the_time),
        LAW(a_silent_link_is_replaced_and_closed_when_idle),
        LAW(a_silent_link_with_streams_has_thirty_seconds),
        LAW(a_link_that_speaks_again_is_one_too_many_and_goes_in_time),
        LAW(a_link_that_is_told_to_go_is_replaced_at_once),
        LAW(it_dials_again_when_the_portal_said_so),
        LAW(a_portal_that_sends_it_away_at_once_is_obeyed),
        LAW(many_goaways_are_as_good_as_one),
        LAW(each_portal_has_links_of_its_own),
        LAW(a_portal_that_is_down_does_not_delay_the_other),
        LAW(streams_of_any_portal_go_by_the_rules),
        LAW(links_to_two_workers_are_enough),
        LAW(links_to_one_worker_get_another_elsewhere),
        LAW(the_link_to_the_other_worker_is_kept),
        LAW(the_search_for_another_worker_ends),
        LAW(the_link_to_the_other_worker_is_looked_for_whenever_it_is_lost),
        LAW(a_single_link_lies_where_it_lies),
        LAW(a_bridge_that_goes_tells_all_its_portals_and_dials_no_more),
        LAW(a_link_that_is_not_up_when_the_bridge_goes_comes_to_nothing),
        LAW(the_same_settings_of_another_configuration_hold_for_open_links),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
