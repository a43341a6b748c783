#include <stdio.h>

#include "testing/pools_rig.h"

/* --- by id --- */

static void a_visitor_gets_a_bridge_of_his_tunnel(void **state)
{
    struct test *t = *state;
    struct far *web = bridge(t, &alice, "WEB"), *shop = bridge(t, &alice, "shop");
    visit(t, "web"), visit(t, "web"), visit(t, "shop");
    assert_int_equal(streams(t, web), 2);
    assert_int_equal(streams(t, shop), 1);
}

static void a_tunnel_that_nobody_heard_of_is_refused_at_once(void **state)
{
    struct test *t = *state;
    wait_for(t, 11);
    struct far *f = visit(t, "web");
    assert_true(f->failed);
    assert_string_equal(f->why, "no such tunnel");
    assert_int_equal(t->shards->tunnels.count, 0);
}

static void a_portal_that_just_began_lets_visitors_wait_for_any_tunnel(void **state)
{
    struct test *t = *state;
    struct far *served = visit(t, "web"), *in_vain = visit(t, "other");
    assert_false(served->left || in_vain->left);
    struct far *web = bridge(t, &alice, "web");
    assert_int_equal(streams(t, web), 1);
    wait_for(t, 3.5);
    assert_true(in_vain->failed);
    assert_string_equal(in_vain->why, "no bridge is connected");
}

static void what_visitors_wait_for_in_vain_leaves_bridges_room(void **state)
{
    struct test *t = *state;
    t->at[0].conf.max_tunnels = 8;
    char id[16];
    for (int i = 0; i < 8; i++) {
        snprintf(id, sizeof id, "no%d", i);
        visitor(t, TUNNEL_BY_NODE, NULL, id);
    }
    assert_int_equal(t->shards->tunnels.count, 4);
    struct far *web = bridge(t, &alice, "web");
    visit(t, "web");
    assert_int_equal(streams(t, web), 1);
}

static void a_tunnel_without_bridges_is_waited_for_for_a_minute(void **state)
{
    struct test *t = *state;
    wait_for(t, 11);
    far_leave(bridge(t, &alice, "web"), 0);
    turn(t);
    wait_for(t, 50);
    struct far *waits = visit(t, "web");
    assert_false(waits->left);
    struct far *web = bridge(t, &alice, "web");
    assert_int_equal(streams(t, web), 1);
    far_leave(web, 0);
    turn(t);
    wait_for(t, 55);
    waits = visit(t, "web");
    assert_false(waits->left);
    wait_for(t, 5.5);
    struct far *late = visit(t, "web");
    assert_true(late->failed);
    assert_string_equal(late->why, "no such tunnel");
}

static void a_tunnel_that_is_gone_for_long_takes_no_memory(void **state)
{
    struct test *t = *state;
    struct far *web = bridge(t, &alice, "web");
    say_names(t, web, "n1", "west", "", 1);
    assert_int_equal(t->shards->tunnels.count, 3);
    far_leave(web, 0);
    turn(t);
    visitor_from(t, 1, TUNNEL_BY_ID, NULL, "web", NULL); /* there, too, it is known */
    assert_int_equal(portal_at(t, 1)->pools.count, 1);
    wait_for(t, 140);
    assert_int_equal(portal_at(t, 0)->pools.count, 0);
    assert_int_equal(portal_at(t, 1)->pools.count, 0);
    assert_int_equal(t->shards->tunnels.count, 0);
}

static void no_more_tunnels_than_allowed(void **state)
{
    struct test *t = *state;
    t->at[0].conf.max_tunnels = 3;
    char id[16];
    for (int i = 0; i < 3; i++) {
        snprintf(id, sizeof id, "t%d", i);
        assert_false(bridge(t, &bob, id)->failed);
    }
    assert_int_equal(rig_stat(&t->at[0].rig, PORTAL_CARRIERS), 3);
    struct said *s = hear(&t->at[0], bridge(t, &bob, "t3"));
    assert_int_equal(heard_items(s, LINK_WHY), 1);
    bridge(t, &bob, "t0"); /* one more for one that is there */
    assert_int_equal(rig_stat(&t->at[0].rig, PORTAL_CARRIERS), 4);
}

static void a_tunnel_has_as_many_links_as_a_visitor_can_wait_for(void **state)
{
    struct test *t = *state;
    struct far *web = bridge(t, &alice, "web");
    struct pool *pool =
        pool_named(portal_at(t, 0), &(struct tunnel_name){.by = TUNNEL_BY_ID, .text = "web"}, 0);
    atomic_fetch_add(&pool->shard->all->carriers, CARRIERS_MAX - 2);
    assert_false(bridge(t, &alice, "web")->left);
    assert_told(t, bridge(t, &alice, "web"), "too many links have the tunnel \"web\"");
    bridge(t, &alice, "shop");
    far_leave(web, 0);
    turn(t);
    visit(t, "web");
    assert_int_equal(streams(t, bridge(t, &alice, "web")), 0); /* one was there */
    assert_int_equal(rig_stat(&t->at[0].rig, PORTAL_CARRIERS), 3);
    atomic_fetch_sub(&pool->shard->all->carriers, CARRIERS_MAX - 2);
}

/* --- by node, by cluster --- */

static void a_node_and_a_cluster_are_reached_by_name(void **state)
{
    struct test *t = *state;
    struct far *one = bridge(t, &alice, "web"), *other = bridge(t, &alice, "shop");
    say_names(t, one, "n1", "west", "", 1);
    say_names(t, other, "n2", "west", "", 1);
    visitor(t, TUNNEL_BY_NODE, NULL, "n2");
    assert_int_equal(streams(t, other), 1);
    for (int i = 0; i < 7; i++)
        visitor(t, TUNNEL_BY_CLUSTER, NULL, "west");
    assert_int_equal(streams(t, one), 4);
    assert_int_equal(streams(t, other), 3);
    say_names(t, other, "n3", "", "", 1); /* it stays what it was */
    visitor(t, TUNNEL_BY_NODE, NULL, "n2");
    assert_int_equal(streams(t, other), 1);
}

static void the_nodes_of_a_cluster_share_its_visitors_however_many_links_they_have(void **state)
{
    struct test *t = *state;
    struct far *wires[5];
    unsigned first = 0;
    for (int i = 0; i < 5; i++) {
        wires[i] = bridge(t, &alice, "web");
        say_names(t, wires[i], i < 4 ? "n1" : "n2", "west", "", 1);
    }
    for (int i = 0; i < 20; i++)
        visitor(t, TUNNEL_BY_CLUSTER, NULL, "west");
    for (int i = 0; i < 4; i++)
        first += streams(t, wires[i]);
    assert_int_equal(first, 10);
}

static void a_stream_of_a_cluster_is_tried_again_in_the_cluster(void **state)
{
    struct test *t = *state;
    struct far *one = bridge(t, &alice, "web"), *other = bridge(t, &alice, "shop"),
               *stranger = bridge(t, &alice, "web");
    say_names(t, one, "n1", "west", "", 1);
    struct far *v = visitor(t, TUNNEL_BY_CLUSTER, NULL, "west");
    assert_int_equal(streams(t, one), 1);
    say_names(t, other, "n2", "west", "", 1);
    far_leave(one, ECONNRESET);
    assert_int_equal(streams(t, other), 1);
    assert_int_equal(streams(t, stranger), 0);
    assert_false(v->failed);
}

/* --- choice --- */

static void weights_divide_the_load(void **state)
{
    struct test *t = *state;
    struct far *a = bridge(t, &alice, "web"), *b = bridge(t, &alice, "web");
    say_names(t, a, "", "", "", 3);
    say_names(t, b, "", "", "", 1);
    for (int i = 0; i < 40; i++)
        visit(t, "web");
    assert_int_equal(streams(t, a), 30);
    assert_int_equal(streams(t, b), 10);
}

static void a_weight_of_255_takes_over_and_one_of_0_takes_what_nobody_else_does(void **state)
{
    struct test *t = *state;
    for (int choice = CHOICE_LEAST_LOAD; choice <= CHOICE_SOURCE_HASH; choice++) {
        char id[] = {'t', (char)('0' + choice), '\0'};
        t->at[0].conf.choice = (enum portal_choice)choice;
        struct far *usual = bridge(t, &bob, id), *all = bridge(t, &bob, id),
                   *none = bridge(t, &bob, id);
        say_names(t, all, "", "", "", 255);
        say_names(t, none, "", "", "", 0);
        for (int i = 0; i < 6; i++)
            visitor(t, TUNNEL_BY_ID, "b", id);
        assert_int_equal(streams(t, all), 6);
        far_say_item(all, &(struct link_item){.type = LINK_WEIGHT, .weight = 0});
        turn(t);
        for (int i = 0; i < 6; i++)
            visitor(t, TUNNEL_BY_ID, "b", id);
        assert_int_equal(streams(t, usual), 6);
        far_leave(usual, 0), far_leave(all, 0);
        turn(t);
        visitor(t, TUNNEL_BY_ID, "b", id);
        assert_int_equal(streams(t, none), 13); /* with those that had no answer there */
        far_leave(none, 0);
        turn(t);
    }
}

/* Two of three in a row would be "aab": smooth is "aba". */
static void round_robin_takes_turns_smoothly(void **state)
{
    struct test *t = *state;
    t->at[0].conf.choice = CHOICE_ROUND_ROBIN;
    struct far *wires[3];
    static const uint8_t weights[] = {5, 1, 1};
    static const char *const expected = "aabacaa";
    char got[8] = "";
    for (int i = 0; i < 3; i++) {
        wires[i] = bridge(t, &alice, "web");
        say_names(t, wires[i], "", "", "", weights[i]);
    }
    for (int n = 0; n < 7; n++) {
        visit(t, "web");
        for (int i = 0; i < 3; i++)
            if (streams(t, wires[i]))
                got[n] = (char)('a' + i);
    }
    /* b and c have the same weight: either may come first */
    for (int n = 0; n < 7; n++)
        assert_true(got[n] == expected[n] ||
                    (expected[n] != 'a' && (got[n] == 'b' || got[n] == 'c')));
    unsigned counts[3] = {0};
    for (int n = 0; n < 70; n++)
        far_leave(visit(t, "web"), ECONNRESET);
    for (int i = 0; i < 3; i++)
        counts[i] = streams(t, wires[i]);
    assert_int_equal(counts[0], 50);
    assert_int_equal(counts[1], 10);
    assert_int_equal(counts[2], 10);
}

static void an_address_gets_the_same_bridge_while_it_is_there(void **state)
{
    struct test *t = *state;
    enum { WIRES = 4, SOURCES = 40 };
    struct far *wires[WIRES];
    int first[SOURCES], moved = 0;
    unsigned got[WIRES] = {0};
    char source[20];
    t->at[0].conf.choice = CHOICE_SOURCE_HASH;
    for (int i = 0; i < WIRES; i++)
        wires[i] = bridge(t, &alice, "web");
    for (int round = 0; round < 3; round++) {
        if (round == 2) {
            far_leave(wires[0], 0); /* its visitors had no answer, and go elsewhere */
            for (int i = 1; i < WIRES; i++)
                streams(t, wires[i]);
        }
        for (int n = 0; n < SOURCES; n++) {
            snprintf(source, sizeof source, "10.0.0.%d", n);
            visitor_from(t, 0, TUNNEL_BY_ID, NULL, "web", source);
            int at = round == 2;
            while (at < WIRES && !streams(t, wires[at]))
                at++;
            assert_true(at < WIRES);
            if (round == 0)
                first[n] = at;
            got[at]++;
            moved += at != first[n];
            if (first[n] != 0)
                assert_int_equal(at, first[n]);
        }
    }
    for (int i = 0; i < WIRES; i++)
        assert_true(got[i] > 0);
    assert_true(moved > 0 && moved < SOURCES / 2);
}

/* --- two loops --- */

static void any_loop_serves_any_tunnel(void **state)
{
    struct test *t = *state;
    struct far *web = bridge(t, &alice, "web");
    say_names(t, web, "n1", "west", "", 1);
    for (int choice = CHOICE_LEAST_LOAD; choice <= CHOICE_SOURCE_HASH; choice++) {
        t->at[0].conf.choice = t->at[1].conf.choice = (enum portal_choice)choice;
        visitor_from(t, 1, TUNNEL_BY_ID, NULL, "web", "10.1.1.1");
        visitor_from(t, 1, TUNNEL_BY_NODE, NULL, "n1", "10.1.1.1");
        visitor_from(t, 1, TUNNEL_BY_CLUSTER, NULL, "west", "10.1.1.1");
        assert_int_equal(streams(t, web), 3);
    }
}

static unsigned streams_at(struct test *t, int loop, struct far *wire)
{
    turn(t);
    return hear(&t->at[loop], wire)->new_count;
}

static void turns_and_addresses_are_the_same_on_all_loops(void **state)
{
    struct test *t = *state;
    struct far *wires[4];
    unsigned got[4];
    for (int i = 0; i < 4; i++) /* three on one loop, one on the other */
        wires[i] = bridge_to(t, i == 3, &alice, "web.tunnel.test", 1000 + (uint64_t)i);
    t->at[0].conf.choice = t->at[1].conf.choice = CHOICE_ROUND_ROBIN;
    wait_for(t, 3);
    for (int i = 0; i < 40; i++)
        visitor_from(t, i % 2, TUNNEL_BY_ID, NULL, "web", NULL);
    for (int i = 0; i < 4; i++)
        assert_int_equal(streams_at(t, i == 3, wires[i]), 10);
    t->at[0].conf.choice = t->at[1].conf.choice = CHOICE_SOURCE_HASH;
    for (int n = 0; n < 20; n++) {
        char source[20];
        snprintf(source, sizeof source, "10.0.0.%d", n);
        visitor_from(t, 0, TUNNEL_BY_ID, NULL, "web", source);
        visitor_from(t, 1, TUNNEL_BY_ID, NULL, "web", source);
        for (int i = 0; i < 4; i++) {
            got[i] = streams_at(t, i == 3, wires[i]);
            assert_true(got[i] == 0 || got[i] == 2);
        }
    }
}

static void weights_divide_the_load_of_bridges_on_different_loops(void **state)
{
    struct test *t = *state;
    struct far *heavy = bridge(t, &alice, "web"),
               *light = bridge_to(t, 1, &alice, "web.tunnel.test", 4711);
    say_names(t, heavy, "", "", "", 3);
    say_names(t, light, "", "", "", 1);
    for (int i = 0; i < 40; i++)
        visitor_from(t, i % 2, TUNNEL_BY_ID, NULL, "web", NULL);
    assert_in_range(streams(t, heavy), 28, 32);
}

static void who_waits_on_another_loop_is_served_when_the_tunnel_comes(void **state)
{
    struct test *t = *state;
    struct far *v = visitor_from(t, 1, TUNNEL_BY_ID, NULL, "web", NULL);
    struct far *other = visitor_from(t, 1, TUNNEL_BY_ID, NULL, "shop", NULL);
    struct far *web = bridge(t, &alice, "web");
    assert_int_equal(streams(t, web), 1);
    assert_false(v->failed || other->left);
}

static void a_tunnel_is_known_on_all_loops_while_it_is_on_one(void **state)
{
    struct test *t = *state;
    bridge(t, &alice, "web");
    wait_for(t, 200);
    assert_false(visitor_from(t, 1, TUNNEL_BY_ID, NULL, "web", NULL)->failed);
    assert_true(visitor_from(t, 1, TUNNEL_BY_ID, NULL, "shop", NULL)->failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOLS_TEST(a_visitor_gets_a_bridge_of_his_tunnel),
        POOLS_TEST(a_tunnel_that_nobody_heard_of_is_refused_at_once),
        POOLS_TEST(a_portal_that_just_began_lets_visitors_wait_for_any_tunnel),
        POOLS_TEST(what_visitors_wait_for_in_vain_leaves_bridges_room),
        POOLS_TEST(a_tunnel_without_bridges_is_waited_for_for_a_minute),
        POOLS_TEST(a_tunnel_that_is_gone_for_long_takes_no_memory),
        POOLS_TEST(no_more_tunnels_than_allowed),
        POOLS_TEST(a_tunnel_has_as_many_links_as_a_visitor_can_wait_for),
        POOLS_TEST(a_node_and_a_cluster_are_reached_by_name),
        POOLS_TEST(the_nodes_of_a_cluster_share_its_visitors_however_many_links_they_have),
        POOLS_TEST(a_stream_of_a_cluster_is_tried_again_in_the_cluster),
        POOLS_TEST(weights_divide_the_load),
        POOLS_TEST(a_weight_of_255_takes_over_and_one_of_0_takes_what_nobody_else_does),
        POOLS_TEST(round_robin_takes_turns_smoothly),
        POOLS_TEST(an_address_gets_the_same_bridge_while_it_is_there),
        POOLS_TEST(any_loop_serves_any_tunnel),
        POOLS_TEST(turns_and_addresses_are_the_same_on_all_loops),
        POOLS_TEST(weights_divide_the_load_of_bridges_on_different_loops),
        POOLS_TEST(who_waits_on_another_loop_is_served_when_the_tunnel_comes),
        POOLS_TEST(a_tunnel_is_known_on_all_loops_while_it_is_on_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
