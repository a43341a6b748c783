#include "testing/registry_rig.h"

#include <stdlib.h>
#include <string.h>

static void keep(const char *key, const char *field, char *to, size_t *len)
{
    const char *value = fake_redis_get(key, field, len);
    assert_non_null(value);
    memcpy(to, value, *len);
}

static bool lives(struct node *at, const char *name, uint64_t epoch)
{
    return nodes_alive(at->nodes, name, epoch, loop_steady());
}

static void a_lease_says_who_is_there(void **state)
{
    (void)state;
    struct world w;
    struct node_view v;
    world_open(&w);
    node_start(&w, &w.a, 11);
    node_start(&w, &w.b, 12);
    pass(&w, 1.5);
    assert_true(lives(&w.a, "b", 12));
    assert_true(lives(&w.b, "a", 11));
    assert_false(lives(&w.a, "b", 11));
    assert_int_equal(nodes_list(w.a.nodes, &v, 1, loop_steady()), 1);
    assert_string_equal(v.zone, "z");
    assert_int_equal(v.at.port, 7400);
    assert_int_equal(v.state, NODE_UP);
    world_close(&w);
}

static void a_node_that_drains_says_so_at_once(void **state)
{
    (void)state;
    struct world w;
    struct node_view v;
    world_open(&w);
    node_start(&w, &w.a, 11);
    node_start(&w, &w.b, 12);
    pass(&w, 1.5);
    registry_state(w.b.registry, NODE_DRAINS, 5);
    pass(&w, 1.2);
    assert_int_equal(nodes_list(w.a.nodes, &v, 1, loop_steady()), 1);
    assert_int_equal(v.state, NODE_DRAINS);
    assert_int_equal(v.links, 5);
    world_close(&w);
}

static void a_node_that_drained_is_gone_with_its_registry(void **state)
{
    (void)state;
    struct world w;
    size_t len;
    world_open(&w);
    node_start(&w, &w.a, 11);
    node_start(&w, &w.b, 12);
    pass(&w, 1.5);
    fake_redis_del("v2c:prod:n:b"); /* forgotten by Redis, not gone */
    pass(&w, 1.2);
    assert_true(lives(&w.a, "b", 12));
    pass(&w, 4);
    registry_state(w.b.registry, NODE_DRAINS, 0);
    pass(&w, 1.2);
    assert_true(lives(&w.a, "b", 12));
    node_stop(&w.b);
    assert_null(fake_redis_get("v2c:prod:n:b", NULL, &len));
    pass(&w, 1.2);
    assert_false(lives(&w.a, "b", 12));
    node_start(&w, &w.b, 13);
    pass(&w, 1.2);
    assert_true(lives(&w.a, "b", 13));
    world_close(&w);
}

/* An older life of a node ends, while the newer one is there already. */
static void a_node_that_drained_leaves_the_next_ones_lease(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    node_start(&w, &w.a, 11);
    node_start(&w, &w.b, 12);
    registry_state(w.b.registry, NODE_DRAINS, 0);
    pass(&w, 1.2);
    w.c.conf.node = "b";
    node_start(&w, &w.c, 13);
    pass(&w, 1.2);
    node_stop(&w.b);
    assert_non_null(fake_redis_get("v2c:prod:n:b", NULL, NULL));
    pass(&w, 1.2);
    assert_true(lives(&w.a, "b", 13));
    world_close(&w);
}

static void a_node_that_says_nothing_is_dead_after_its_lease(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    node_start(&w, &w.a, 11);
    node_start(&w, &w.b, 12);
    pass(&w, 1.5);
    node_stop(&w.b);
    pass(&w, 5);
    assert_true(lives(&w.a, "b", 12));
    pass(&w, 7);
    assert_false(lives(&w.a, "b", 12));
    assert_non_null(fake_redis_get("v2c:prod:nodes", "b", NULL) ? "" : "");
    pass(&w, 70);
    size_t len;
    assert_null(fake_redis_get("v2c:prod:nodes", "b", &len));
    assert_non_null(fake_redis_get("v2c:prod:nodes", "a", &len));
    world_close(&w);
}

static void a_lease_that_somebody_wrote_back_is_no_life(void **state)
{
    (void)state;
    struct world w;
    char old[512];
    size_t len;
    world_open(&w);
    node_start(&w, &w.a, 11);
    node_start(&w, &w.b, 12);
    pass(&w, 1.5);
    keep("v2c:prod:n:b", NULL, old, &len);
    pass(&w, 5);
    node_stop(&w.b);
    pass(&w, 12);
    assert_false(lives(&w.a, "b", 12));
    for (int i = 0; i < 20; i++) {
        fake_redis_put("v2c:prod:n:b", NULL, old, len);
        pass(&w, 1);
        assert_false(lives(&w.a, "b", 12));
    }
    world_close(&w);
}

/* Whoever takes a node's name out of the set and puts it back does not make others forget what it said. */
static void a_lease_of_a_node_that_was_unlisted_is_no_life(void **state)
{
    (void)state;
    struct world w;
    char old[512];
    size_t len;
    world_open(&w);
    node_start(&w, &w.a, 11);
    node_start(&w, &w.b, 12);
    pass(&w, 1.5);
    keep("v2c:prod:n:b", NULL, old, &len);
    pass(&w, 5);
    node_stop(&w.b);
    pass(&w, 12);
    fake_redis_del("v2c:prod:nodes");
    pass(&w, 3);
    fake_redis_put("v2c:prod:n:b", NULL, old, len);
    fake_redis_put("v2c:prod:nodes", "b", "", 0);
    pass(&w, 3);
    assert_false(lives(&w.a, "b", 12));
    world_close(&w);
}

static void strangers_among_the_nodes_end_no_life(void **state)
{
    (void)state;
    struct world w;
    char name[16];
    world_open(&w);
    w.a.registry_conf.lease = w.b.registry_conf.lease = 3;
    node_start(&w, &w.a, 11);
    node_start(&w, &w.b, 12);
    pass(&w, 1.5);
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof name, "stranger-%d", i);
        fake_redis_put("v2c:prod:nodes", name, "", 0);
    }
    for (int i = 0; i < 40; i++) {
        pass(&w, 1);
        assert_true(lives(&w.a, "b", 12));
    }
    world_close(&w);
}

static void a_lease_of_another_key_or_place_is_none(void **state)
{
    (void)state;
    struct world w;
    char value[512];
    size_t len;
    world_open(&w);
    node_start(&w, &w.a, 11);
    w.b.conf.key[0] = 8;
    node_start(&w, &w.b, 12);
    node_start(&w, &w.c, 13);
    pass(&w, 1.5);
    assert_false(lives(&w.a, "b", 12));
    assert_true(lives(&w.a, "c", 13));
    keep("v2c:prod:n:c", NULL, value, &len);
    node_stop(&w.b);
    fake_redis_put("v2c:prod:n:b", NULL, value, len);
    pass(&w, 1.5);
    assert_false(lives(&w.a, "b", 13));
    world_close(&w);
}

static void a_node_outside_of_the_networks_is_none(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    w.a.network =
        (struct cluster_network){.from = {.type = ADDR_IPV4, .ip = {10, 0, 0, 0}}, .bits = 30};
    w.a.conf.networks = &w.a.network;
    w.a.conf.network_count = 1;
    w.c.conf.advertise.ip[3] = 4;
    node_start(&w, &w.a, 11);
    node_start(&w, &w.b, 12);
    node_start(&w, &w.c, 13);
    pass(&w, 1.5);
    assert_true(lives(&w.a, "b", 12));
    assert_false(lives(&w.a, "c", 13));
    assert_true(lives(&w.b, "c", 13));
    world_close(&w);
}

static void a_tunnel_is_found_where_it_has_links(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    node_start(&w, &w.a, 11);
    node_start(&w, &w.b, 12);
    pass(&w, 1.5);
    assert_string_equal(ask_tunnel(&w, &w.a, "t"), "?"); /* nobody knows yet what is missing */
    world_settle(&w);
    assert_string_equal(ask_tunnel(&w, &w.a, "t"), "nobody");
    has(&w.b, "t", 2);
    pass(&w, .1);
    assert_string_equal(ask_tunnel(&w, &w.a, "t"), "b:2");
    assert_string_equal(ask_tunnel(&w, &w.b, "t"), "known"); /* it is no place for itself */
    assert_string_equal(ask_tunnel(&w, &w.a, "u"), "nobody");
    has(&w.b, "t", 0);
    pass(&w, .1);
    assert_string_equal(ask_tunnel(&w, &w.a, "t"), "known");
    pass(&w, 59);
    assert_string_equal(ask_tunnel(&w, &w.a, "t"), "known");
    pass(&w, 2);
    assert_string_equal(ask_tunnel(&w, &w.a, "t"), "nobody");
    assert_null(key_of("t"));
    world_close(&w);
}

static void a_tunnel_that_comes_back_within_the_minute_stays(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    node_start(&w, &w.a, 11);
    node_start(&w, &w.b, 12);
    world_settle(&w);
    has(&w.b, "t", 1);
    has(&w.b, "t", 0);
    pass(&w, 30);
    has(&w.b, "t", 1);
    pass(&w, 90);
    assert_string_equal(ask_tunnel(&w, &w.a, "t"), "b:1");
    world_close(&w);
}

static void of_dead_nodes_nothing_is_told_and_nothing_stays(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    node_start(&w, &w.a, 11);
    node_start(&w, &w.b, 12);
    node_start(&w, &w.c, 13);
    world_settle(&w);
    has(&w.b, "t", 1);
    has(&w.c, "t", 1);
    pass(&w, .1);
    assert_string_equal(ask_tunnel(&w, &w.a, "t"), "b:1 c:1");
    node_stop(&w.c);
    pass(&w, 11);
    assert_string_equal(ask_tunnel(&w, &w.a, "t"), "b:1");
    pass(&w, 61); /* three sweeps */
    assert_null(fake_redis_get(key_of("t"), "c", NULL));
    assert_non_null(fake_redis_get(key_of("t"), "b", NULL));
    world_close(&w);
}

static void an_entry_counts_in_its_place_only(void **state)
{
    (void)state;
    struct world w;
    char value[512], key[400];
    size_t len;
    world_open(&w);
    node_start(&w, &w.a, 11);
    node_start(&w, &w.b, 12);
    node_start(&w, &w.c, 13);
    world_settle(&w);
    has(&w.b, "t", 1);
    pass(&w, .1);
    snprintf(key, sizeof key, "%s", key_of("t"));
    keep(key, "b", value, &len);
    fake_redis_put(key, "c", value, len); /* another node */
    fake_redis_put(key, "d", "x", 1);
    assert_string_equal(ask_tunnel(&w, &w.a, "t"), "b:1");
    has(&w.b, "t", 0);
    pass(&w, 61);
    fake_redis_del(key);
    has(&w.c, "u", 1);
    pass(&w, .1);
    fake_redis_put(key_of("t"), "b", value, len); /* another tunnel */
    assert_string_equal(ask_tunnel(&w, &w.a, "u"), "c:1");
    world_close(&w);
}

static void what_changes_while_it_is_away_is_written_when_it_is_back(void **state)
{
    (void)state;
    struct world w;
    struct registry_count count;
    world_open(&w);
    node_start(&w, &w.a, 11);
    node_start(&w, &w.b, 12);
    world_settle(&w);
    has(&w.b, "gone", 1);
    pass(&w, .1);
    fake_redis_away(true);
    pass(&w, 1);
    has(&w.b, "t", 1);
    has(&w.b, "gone", 0);
    pass(&w, 1);
    assert_string_equal(ask_tunnel(&w, &w.a, "t"), "away");
    registry_count(w.b.shared, &count);
    assert_int_equal(count.unwritten, 2);
    assert_true(lives(&w.a, "b", 12));
    pass(&w, 600);
    assert_true(lives(&w.a, "b", 12)); /* nobody said that it is dead */
    fake_redis_away(false);
    pass(&w, 1.2);
    assert_string_equal(ask_tunnel(&w, &w.a, "t"), "b:1");
    assert_string_equal(ask_tunnel(&w, &w.a, "gone"), "nobody");
    world_close(&w);
}

static void what_was_refused_or_not_answered_is_written_again(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    w.a.registry_conf.lease = w.b.registry_conf.lease = 60; /* longer than what follows */
    node_start(&w, &w.a, 11);
    node_start(&w, &w.b, 12);
    world_settle(&w);
    fake_redis_refuses(true);
    has(&w.b, "t", 1);
    pass(&w, 5);
    assert_string_equal(ask_tunnel(&w, &w.a, "t"), "nobody");
    assert_true(fake_redis_commands("HSET") < 8); /* not all the time */
    fake_redis_refuses(false);
    pass(&w, 1.5);
    assert_string_equal(ask_tunnel(&w, &w.a, "t"), "b:1");
    fake_redis_silent(true);
    has(&w.b, "u", 1);
    pass(&w, 1);
    assert_string_equal(ask_tunnel(&w, &w.a, "u"), "?");
    fake_redis_silent(false);
    pass(&w, 1.5);
    assert_string_equal(ask_tunnel(&w, &w.a, "u"), "b:1");
    world_close(&w);
}

static void what_was_lost_is_written_again(void **state)
{
    (void)state;
    struct world w;
    struct registry_count count;
    world_open(&w);
    node_start(&w, &w.a, 11);
    node_start(&w, &w.b, 12);
    world_settle(&w);
    for (int i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", i);
        has(&w.b, name, 1);
    }
    pass(&w, .2);
    fake_redis_flush();
    assert_string_equal(ask_tunnel(&w, &w.a, "t7"), "?"); /* that it is missing means nothing */
    pass(&w, 2);
    assert_string_equal(ask_tunnel(&w, &w.a, "t7"), "b:1");
    assert_string_equal(ask_tunnel(&w, &w.a, "u"), "?");
    registry_count(w.a.shared, &count);
    assert_int_equal(count.losses, 1);
    pass(&w, 33);
    assert_string_equal(ask_tunnel(&w, &w.a, "u"), "nobody");
    registry_count(w.b.shared, &count);
    assert_int_equal(count.losses, 1);
    assert_int_equal(count.tunnels, 100);
    world_close(&w);
}

/* Full, say, from the beginning: it is asked again from look to look, not from answer to answer. */
static void data_that_take_no_name_are_asked_seldom(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    fake_redis_refuses(true);
    node_start(&w, &w.a, 11);
    unsigned before = fake_redis_commands("GET");
    pass(&w, 10);
    assert_in_range(fake_redis_commands("GET") - before, 5, 60);
    fake_redis_refuses(false);
    has(&w.a, "t", 1);
    pass(&w, 3);
    assert_non_null(key_of("t"));
    world_close(&w);
}

static void what_is_no_name_of_data_is_replaced(void **state)
{
    (void)state;
    static const char *const fields[] = {NULL, "x"};
    for (int i = 0; i < 2; i++) {
        struct world w;
        size_t len;
        world_open(&w);
        node_start(&w, &w.a, 11);
        world_settle(&w);
        fake_redis_del("v2c:prod:boot");
        fake_redis_put("v2c:prod:boot", fields[i], "", 0); /* empty, or no text at all */
        pass(&w, 3);
        assert_non_null(fake_redis_get("v2c:prod:boot", NULL, &len));
        assert_true(len > 0);
        has(&w.a, "t", 1);
        pass(&w, 1);
        assert_non_null(key_of("t"));
        world_close(&w);
    }
}

static void a_server_that_was_promoted_gets_all_again(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    node_start(&w, &w.a, 11);
    node_start(&w, &w.b, 12);
    world_settle(&w);
    has(&w.b, "t", 1);
    pass(&w, .2);
    fake_redis_away(true);
    pass(&w, .2);
    fake_redis_del(key_of("t"));
    fake_redis_other_server();
    fake_redis_away(false);
    pass(&w, 1.2);
    assert_string_equal(ask_tunnel(&w, &w.a, "t"), "b:1");
    world_close(&w);
}

static void a_sweep_mends_what_was_lost_unseen(void **state)
{
    (void)state;
    struct world w;
    world_open(&w);
    node_start(&w, &w.a, 11);
    node_start(&w, &w.b, 12);
    world_settle(&w);
    has(&w.b, "t", 1);
    pass(&w, .2);
    fake_redis_del(key_of("t"));
    assert_string_equal(ask_tunnel(&w, &w.a, "t"), "nobody");
    pass(&w, 21);
    assert_string_equal(ask_tunnel(&w, &w.a, "t"), "b:1");
    assert_true(fake_redis_ttl(key_of("t")) > 35);
    world_close(&w);
}

static void a_key_of_another_type_is_cleared(void **state)
{
    (void)state;
    struct world w;
    char key[400];
    world_open(&w);
    node_start(&w, &w.a, 11);
    node_start(&w, &w.b, 12);
    world_settle(&w);
    has(&w.b, "t", 1);
    pass(&w, .2);
    snprintf(key, sizeof key, "%s", key_of("t"));
    fake_redis_del(key);
    fake_redis_put(key, NULL, "x", 1);
    assert_string_equal(ask_tunnel(&w, &w.a, "t"), "?");
    pass(&w, 21);
    assert_string_equal(ask_tunnel(&w, &w.a, "t"), "b:1");
    world_close(&w);
}

static void of_many_places_some_are_told(void **state)
{
    (void)state;
    struct world w;
    struct node more[12];
    char names[12][4];
    world_open(&w);
    memset(more, 0, sizeof more);
    node_start(&w, &w.a, 11);
    for (int i = 0; i < 12; i++) {
        snprintf(names[i], sizeof names[i], "n%d", i);
        node_conf(&more[i], names[i]);
        if (i < 7)
            node_start(&w, &more[i], 100 + (uint64_t)i);
    }
    world_settle(&w);
    for (int i = 0; i < 7; i++)
        has(&more[i], "t", 1);
    pass(&w, .2);
    assert_int_equal(strlen(ask_tunnel(&w, &w.a, "t")), 7 * 5 - 1);
    for (int i = 0; i < 12; i++)
        node_stop(&more[i]);
    world_close(&w);
}

static void who_forgets_a_question_hears_nothing(void **state)
{
    (void)state;
    struct world w;
    struct question q = {.of = {.kind = ASK_HOST, .portal = PORTAL, .host = "a.b"}};
    world_open(&w);
    node_start(&w, &w.a, 11);
    world_settle(&w);
    assert_true(registry_ask(w.a.registry, &q));
    registry_forget(&q);
    rig_turn(&w.rig);
    q.of.kind = ASK_TUNNEL;
    assert_true(registry_ask(w.a.registry, &q)); /* and it may end meanwhile */
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_says_who_is_there),
        cmocka_unit_test(a_node_that_drains_says_so_at_once),
        cmocka_unit_test(a_node_that_drained_is_gone_with_its_registry),
        cmocka_unit_test(a_node_that_drained_leaves_the_next_ones_lease),
        cmocka_unit_test(a_node_that_says_nothing_is_dead_after_its_lease),
        cmocka_unit_test(a_lease_that_somebody_wrote_back_is_no_life),
        cmocka_unit_test(a_lease_of_a_node_that_was_unlisted_is_no_life),
        cmocka_unit_test(strangers_among_the_nodes_end_no_life),
        cmocka_unit_test(a_lease_of_another_key_or_place_is_none),
        cmocka_unit_test(a_node_outside_of_the_networks_is_none),
        cmocka_unit_test(a_tunnel_is_found_where_it_has_links),
        cmocka_unit_test(a_tunnel_that_comes_back_within_the_minute_stays),
        cmocka_unit_test(of_dead_nodes_nothing_is_told_and_nothing_stays),
        cmocka_unit_test(an_entry_counts_in_its_place_only),
        cmocka_unit_test(what_changes_while_it_is_away_is_written_when_it_is_back),
        cmocka_unit_test(what_was_refused_or_not_answered_is_written_again),
        cmocka_unit_test(what_was_lost_is_written_again),
        cmocka_unit_test(data_that_take_no_name_are_asked_seldom),
        cmocka_unit_test(what_is_no_name_of_data_is_replaced),
        cmocka_unit_test(a_server_that_was_promoted_gets_all_again),
        cmocka_unit_test(a_sweep_mends_what_was_lost_unseen),
        cmocka_unit_test(a_key_of_another_type_is_cleared),
        cmocka_unit_test(of_many_places_some_are_told),
        cmocka_unit_test(who_forgets_a_question_hears_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
