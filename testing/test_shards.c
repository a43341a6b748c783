#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdlib.h>

#include "reverse/shards.h"
#include "testing/clock.h"
#include "testing/portal_rig.h"

/* The portals of one tag on two loops, which one thread turns. */
struct test {
    struct portal_rig at[2];
    struct portal_shards *shards;
};

static int test_open(void **state)
{
    struct test *t = calloc(1, sizeof *t);
    if (!t)
        return -1;
    t->shards = portal_shards_new(2);
    portal_rig_init(&t->at[0], t->shards, 0);
    portal_rig_init(&t->at[1], t->shards, 1);
    *state = t;
    return 0;
}

static void turn(struct test *t)
{
    for (int i = 0; i < 8; i++)
        rig_turn(&t->at[i % 2].rig);
}

static void test_stop(struct test *t)
{
    for (int i = 0; i < 2; i++)
        if (t->at[i].portal)
            portal_rig_stop(&t->at[i]);
    for (int i = 0; i < 2; i++)
        for (struct far *f = t->at[i].rig.fars; f; f = f->next)
            if (!f->left)
                far_leave(f, ECANCELED);
    turn(t);
}

static int test_close(void **state)
{
    struct test *t = *state;
    test_stop(t);
    bool clean[] = {portal_rig_fini(&t->at[0]), portal_rig_fini(&t->at[1])};
    portal_shards_free(t->shards);
    free(t);
    return clean[0] && clean[1] ? 0 : -1;
}

static struct far *visitor_at(struct test *t, int loop, const char *text)
{
    struct far *visitor = visitor_says(&t->at[loop], text);
    turn(t);
    return visitor;
}

static unsigned came_to(struct test *t, int loop, struct far *wire)
{
    turn(t);
    return hear(&t->at[loop], wire)->new_count;
}

static void assert_served(struct test *t, int loop, struct far *wire, struct far *visitor)
{
    turn(t);
    struct said *s = hear(&t->at[loop], wire);
    assert_int_equal(s->new_count, 1);
    assert_string_equal(s->data, "question");
    uint16_t id = s->news[0];
    say_opened(wire, id);
    say_data(wire, id, "answer");
    turn(t);
    assert_int_equal(visitor->len, 6);
    assert_memory_equal(visitor->bytes, "answer", 6);
    far_say(visitor, " more", 5);
    end_eof(&visitor->end);
    turn(t);
    s = hear(&t->at[loop], wire);
    assert_string_equal(s->data, " more");
    say_end(wire, id, false);
    turn(t);
    assert_true(visitor->left && !visitor->failed);
}

static void a_visitor_crosses_to_the_loop_that_has_a_bridge(void **state)
{
    struct test *t = *state;
    for (int here = 0; here < 2; here++) {
        struct far *wire = bridge_v2c(&t->at[!here]);
        assert_served(t, !here, wire, visitor_at(t, here, "question"));
        assert_int_equal(rig_stat(&t->at[!here].rig, PORTAL_VISITORS), 0);
        far_leave(wire, 0);
        turn(t);
    }
}

static void one_stream_more_is_no_reason_to_cross(void **state)
{
    struct test *t = *state;
    struct far *here = bridge_v2c(&t->at[0]), *there = bridge_v2c(&t->at[1]);
    turn(t);
    visitor_at(t, 0, "a");
    assert_int_equal(came_to(t, 0, here), 1);
    visitor_at(t, 0, "b"); /* one here, none there */
    assert_int_equal(came_to(t, 0, here), 1);
    visitor_at(t, 0, "c"); /* two here, none there */
    assert_int_equal(came_to(t, 1, there), 1);
    assert_int_equal(came_to(t, 0, here), 0);
}

static void many_visitors_of_one_loop_are_spread(void **state)
{
    struct test *t = *state;
    struct far *here = bridge_v2c(&t->at[0]), *there = bridge_v2c(&t->at[1]);
    turn(t);
    for (int i = 0; i < 40; i++)
        visitor_at(t, 0, "x");
    unsigned mine = came_to(t, 0, here), others = came_to(t, 1, there);
    assert_int_equal(mine + others, 40);
    assert_true(mine >= 19 && others >= 19);
}

static void streams_that_end_make_room_for_visitors_of_other_loops(void **state)
{
    struct test *t = *state;
    struct far *here = bridge_v2c(&t->at[0]), *there = bridge_v2c(&t->at[1]);
    turn(t);
    for (int i = 0; i < 20; i++)
        visitor_at(t, 0, "x");
    struct said s = *hear(&t->at[1], there);
    assert_true(s.new_count >= 9);
    do
        visitor_at(t, 0, "x");
    while (came_to(t, 1, there) == 0);
    hear(&t->at[0], here); /* one that crossed was the last: the next one would stay */
    for (unsigned i = 0; i < s.new_count; i++)
        say_end(there, s.news[i], false);
    turn(t);
    visitor_at(t, 0, "question");
    assert_int_equal(came_to(t, 0, here), 0);
    assert_int_equal(came_to(t, 1, there), 1);
}

static size_t flows_of(const struct test *t, int loop)
{
    const struct list *flows = &t->at[loop].rig.loop.flows;
    size_t count = 0;
    for (struct list_item *i = list_first(flows); i; i = list_next(flows, i))
        count++;
    return count;
}

static void visitors_that_come_at_once_cross_once(void **state)
{
    struct test *t = *state;
    struct far *here = bridge_v2c(&t->at[0]), *there = bridge_v2c(&t->at[1]);
    turn(t);
    for (int i = 0; i < 20; i++)
        visitor_says(&t->at[0], "x");
    turn(t);
    unsigned mine = came_to(t, 0, here), others = came_to(t, 1, there);
    assert_int_equal(mine + others, 20);
    assert_true(mine >= 9 && others >= 9);
    assert_int_equal(flows_of(t, 0), 1 + 20);
    assert_int_equal(flows_of(t, 1), 1 + others);
}

static void who_waits_for_room_on_another_loop_gets_it(void **state)
{
    struct test *t = *state;
    struct far *full = bridge_of_streams(&t->at[1], 1);
    turn(t);
    visitor_at(t, 1, "x");
    uint16_t first = newest(&t->at[1], full);
    struct far *visitor = visitor_at(t, 0, "question");
    assert_int_equal(came_to(t, 1, full), 0);
    say_end(full, first, false);
    assert_served(t, 1, full, visitor);
}

static void a_better_class_is_worth_crossing(void **state)
{
    struct test *t = *state;
    struct far *goes = bridge_v2c(&t->at[0]), *good = bridge_v2c(&t->at[1]);
    for (int i = 0; i < 10; i++)
        visitor_at(t, 1, "x");
    far_say_item(goes, &(struct link_item){.type = LINK_GOAWAY, .going = {GOING_STOPS, 0}});
    turn(t);
    hear(&t->at[0], goes), hear(&t->at[1], good);
    assert_served(t, 1, good, visitor_at(t, 0, "question"));
    assert_int_equal(came_to(t, 0, goes), 0);
}

static void who_waits_on_any_loop_is_served_when_a_bridge_comes(void **state)
{
    struct test *t = *state;
    struct far *visitors[6];
    for (int i = 0; i < 6; i++)
        visitors[i] = visitor_at(t, i % 2, "x");
    struct far *wire = bridge_v2c(&t->at[1]);
    assert_int_equal(came_to(t, 1, wire), 6);
    portal_wait(&t->at[0], 5);
    turn(t);
    for (int i = 0; i < 6; i++)
        assert_false(visitors[i]->left);
}

static void who_waited_in_vain_is_refused(void **state)
{
    struct test *t = *state;
    struct far *visitor = visitor_at(t, 0, "x");
    portal_wait(&t->at[0], 3.1);
    assert_true(visitor->failed);
    assert_int_equal(rig_stat(&t->at[0].rig, STAT_no_carrier), 1);
}

static void an_unanswered_stream_crosses_when_its_link_ends(void **state)
{
    struct test *t = *state;
    struct far *dies = bridge_v2c(&t->at[0]), *other = bridge_v2c(&t->at[1]);
    turn(t);
    struct far *visitor = visitor_at(t, 0, "question");
    assert_int_equal(came_to(t, 0, dies), 1);
    far_leave(dies, ECONNRESET);
    assert_served(t, 1, other, visitor);
}

static void a_stream_that_crossed_is_tried_again_on_the_loop_where_it_is(void **state)
{
    struct test *t = *state;
    struct far *other = bridge_v2c(&t->at[1]), *dies = bridge_v2c(&t->at[1]);
    struct far *visitor = visitor_at(t, 0, "question");
    assert_int_equal(came_to(t, 1, dies), 1);
    far_leave(dies, ECONNRESET);
    assert_served(t, 1, other, visitor);
}

static void three_links_are_tried_on_all_loops_together(void **state)
{
    struct test *t = *state;
    struct far *wires[6];
    for (int i = 0; i < 6; i++)
        wires[i] = bridge_v2c(&t->at[i % 2]);
    turn(t);
    struct far *visitor = visitor_at(t, 0, "question");
    unsigned tried = 0;
    for (int round = 0; round < 6; round++)
        for (int i = 0; i < 6; i++)
            if (!wires[i]->left && came_to(t, i % 2, wires[i])) {
                tried++;
                far_leave(wires[i], ECONNRESET);
                turn(t);
            }
    assert_int_equal(tried, 3);
    assert_true(visitor->failed);
}

static void a_visitor_that_goes_while_it_crosses_leaves_nothing_behind(void **state)
{
    struct test *t = *state;
    struct far *wire = bridge_v2c(&t->at[1]);
    for (int how = 0; how < 2; how++) {
        struct far *visitor = portal_asked(&t->at[0], "10.1.2.3", (struct meta){.net = NET_TCP});
        far_leave(visitor, how ? ECONNRESET : 0);
        turn(t);
    }
    struct said *s = hear(&t->at[1], wire);
    assert_int_equal(s->new_count, s->end_count);
}

static void a_reset_of_either_side_reaches_the_other(void **state)
{
    struct test *t = *state;
    struct far *wire = bridge_v2c(&t->at[1]);
    for (int how = 0; how < 2; how++) {
        struct far *visitor = visitor_at(t, 0, "x");
        uint16_t id = newest(&t->at[1], wire);
        say_opened(wire, id);
        turn(t);
        if (how == 0)
            far_leave(visitor, ECONNRESET);
        else
            say_end(wire, id, true);
        turn(t);
        struct said *s = hear(&t->at[1], wire);
        assert_true(how || (s->end_count == 1 && s->ends[0].error));
        assert_true(visitor->left && (visitor->failed || how == 0));
    }
}

static void a_visitor_that_reaches_a_loop_without_bridges_comes_back(void **state)
{
    struct test *t = *state;
    struct far *here = bridge_v2c(&t->at[0]), *there = bridge_v2c(&t->at[1]);
    turn(t);
    visitor_at(t, 0, "a"), visitor_at(t, 0, "b");
    hear(&t->at[0], here);
    far_leave(there, 0); /* the other loop does not know yet */
    struct far *visitor = visitor_at(t, 0, "question");
    assert_served(t, 0, here, visitor);
}

static void datagrams_cross_whole(void **state)
{
    struct test *t = *state;
    struct far *wire = bridge_v2c(&t->at[1]);
    struct far *visitor = portal_asked(&t->at[0], "10.1.2.3", (struct meta){.net = NET_UDP});
    for (int i = 1; i <= 3; i++)
        far_put_packet(visitor, "datagram", (size_t)i * 2);
    turn(t);
    struct said *s = hear(&t->at[1], wire);
    assert_int_equal(s->new_count, 1);
    assert_string_equal(s->data, "dadatadatagr");
    say_data(wire, s->news[0], "one"), say_data(wire, s->news[0], "three");
    turn(t);
    assert_int_equal(visitor->packets, 2);
    assert_int_equal(visitor->packet_len[0], 3);
    assert_int_equal(visitor->packet_len[1], 5);
}

static void a_portal_that_is_gone_refuses_who_crosses(void **state)
{
    struct test *t = *state;
    bridge_v2c(&t->at[1]);
    struct far *visitor = portal_asked(&t->at[0], "10.1.2.3", (struct meta){.net = NET_TCP});
    portal_rig_stop(&t->at[1]);
    turn(t);
    assert_true(visitor->failed);
    assert_false(visitor_at(t, 0, "waits")->left);
}

static void a_bridge_hears_which_worker_it_has_reached(void **state)
{
    struct test *t = *state;
    for (int loop = 0; loop < 2; loop++) {
        struct said *s = hear(&t->at[loop], bridge_v2c(&t->at[loop]));
        assert_int_equal(heard_items(s, LINK_HELLO), 1);
        assert_int_equal(s->items[0].hello.shard, loop + 1);
        assert_int_equal(s->items[0].hello.shards, 2);
    }
}

static void assert_alive(struct test *t, bool alive)
{
    turn(t);
    for (int i = 0; i < 2; i++)
        assert_int_equal(t->at[i].portal->ops->alive(t->at[i].portal), alive);
}

/* As balancers ask: for them a silent bridge is none. */
static void a_portal_is_alive_while_a_bridge_answers_on_any_loop(void **state)
{
    struct test *t = *state;
    assert_alive(t, false);
    struct far *wire = bridge_v2c(&t->at[1]);
    assert_alive(t, true);
    wire->refuses = true;
    portal_wait(&t->at[1], 8);
    assert_alive(t, false);
    far_read_on(wire);
    portal_wait(&t->at[1], 0.1);
    assert_alive(t, true);
    struct far *other = bridge_v2c(&t->at[0]);
    far_leave(wire, 0);
    assert_alive(t, true);
    far_leave(other, 0);
    assert_alive(t, false);
}

#define LAW(f) cmocka_unit_test_setup_teardown(f, test_open, test_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAW(a_visitor_crosses_to_the_loop_that_has_a_bridge),
        LAW(one_stream_more_is_no_reason_to_cross),
        LAW(many_visitors_of_one_loop_are_spread),
        LAW(streams_that_end_make_room_for_visitors_of_other_loops),
        LAW(visitors_that_come_at_once_cross_once),
        LAW(who_waits_for_room_on_another_loop_gets_it),
        LAW(a_better_class_is_worth_crossing),
        LAW(who_waits_on_any_loop_is_served_when_a_bridge_comes),
        LAW(who_waited_in_vain_is_refused),
        LAW(an_unanswered_stream_crosses_when_its_link_ends),
        LAW(a_stream_that_crossed_is_tried_again_on_the_loop_where_it_is),
        LAW(three_links_are_tried_on_all_loops_together),
        LAW(a_visitor_that_goes_while_it_crosses_leaves_nothing_behind),
        LAW(a_reset_of_either_side_reaches_the_other),
        LAW(a_visitor_that_reaches_a_loop_without_bridges_comes_back),
        LAW(datagrams_cross_whole),
        LAW(a_portal_that_is_gone_refuses_who_crosses),
        LAW(a_bridge_hears_which_worker_it_has_reached),
        LAW(a_portal_is_alive_while_a_bridge_answers_on_any_loop),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
