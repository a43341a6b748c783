#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdlib.h>

#include "reverse/carrier.h"
#include "testing/clock.h"
#include "testing/portal_rig.h"

/* --- arithmetic --- */

static struct link_node some_node(uint32_t links)
{
    return (struct link_node){.name = {"n-1", 3},
                              .zone = {"west", 4},
                              .epoch = 5,
                              .state = LINK_NODE_UP,
                              .portals = 3,
                              .wanted = 2,
                              .spread = 20000,
                              .links = links};
}

static void bridges_hear_again_what_concerns_them(void **state)
{
    (void)state;
    struct crowd c = {0};
    struct link_node now = some_node(1000);
    crowd_set(&c, &now, 1000, 1000);
    unsigned told = c.told;
    assert_true(told != 0);
    now.links = 1100;
    crowd_set(&c, &now, 900, 900);
    assert_int_equal(c.told, told);
    assert_int_equal(c.node.links, 1100);
    now.portals = 4;
    crowd_set(&c, &now, 900, 900);
    assert_int_not_equal(c.told, told);
}

/* Over which so many come back. */
static void bridges_hear_of_a_longer_time_however_slowly_it_grows(void **state)
{
    (void)state;
    struct crowd c = {0};
    struct link_node now = some_node(0);
    unsigned changes = 0, told = 0;
    for (; now.links < 40000; now.links += 10) {
        crowd_set(&c, &now, 1, 1);
        changes += c.told != told;
        told = c.told;
    }
    assert_in_range(changes, 5, 20);
}

/* Portals that ask each of their links once a second, and bridges whose dialling is dealt out to all in turn. */
static void a_new_portal_has_its_share_within_ten_minutes(void **state)
{
    (void)state;
    static const struct {
        uint32_t links;
        uint16_t portals;
    } sizes[] = {{150, 3}, {1000, 3}, {67000, 3}, {1000, 11}};
    for (int i = 0; i < 4; i++) {
        double links = sizes[i].links, portals = sizes[i].portals, all = links * (portals - 1);
        struct crowd old = {.mean = all / portals, .node = {.portals = sizes[i].portals}};
        for (int second = 0; second < 600; second++) {
            old.node.links = (uint32_t)links;
            old.least = all - links * (portals - 1);
            double asked = links * crowd_move_chance(&old, 1);
            assert_true(asked <= sizes[i].links / 200.0);
            links -= asked / portals;
        }
        assert_true(all - links * (portals - 1) >= 0.85 * old.mean - 9);
    }
}

static void nobody_moves_for_a_few(void **state)
{
    (void)state;
    struct crowd c = {.mean = 10, .least = 2, .node = {.links = 20, .portals = 3}};
    assert_true(crowd_move_chance(&c, 1) == 0);
    c.mean = 1000, c.least = 900, c.node.links = 1200;
    assert_true(crowd_move_chance(&c, 1) == 0);
    c.least = 800;
    assert_true(crowd_move_chance(&c, 1) > 0);
    c.node.links = 1000; /* others have too many */
    assert_true(crowd_move_chance(&c, 1) == 0);
}

static void few_bridges_go_and_come_at_once(void **state)
{
    (void)state;
    struct crowd c = {.node = some_node(4)};
    assert_true(crowd_drain_time(&c, 4) < 0.1 && crowd_return_time(&c) < 0.1);
    c.node.links = 1000 * 1000;
    assert_true(crowd_drain_time(&c, c.node.links) == 20 && crowd_return_time(&c) == 20);
}

static void so_many_links_come_in_a_second(void **state)
{
    (void)state;
    struct crowd_door d = {0};
    unsigned came = 0;
    for (double now = 1000; now < 1010; now += 0.0001)
        came += crowd_admits(&d, now);
    assert_in_range(came, 11 * CROWD_RATE - 10, 11 * CROWD_RATE + 10);
}

/* --- a portal --- */

struct test {
    struct portal_rig rig;
    struct portal_shards *shards;
    struct elsewhere elsewhere;
};

static enum elsewhere_answer nowhere(struct elsewhere *e, struct outbound *portal, struct flow *f,
                                     struct end *seat)
{
    (void)e, (void)portal, (void)f, (void)seat;
    return ELSEWHERE_NOWHERE;
}

static void not_told(struct elsewhere *e, const struct portal_conf *portal,
                     const struct tunnel_name *t, unsigned links)
{
    (void)e, (void)portal, (void)t, (void)links;
}

static const struct elsewhere_ops ops = {.send = nowhere, .has = not_told};

static int test_open(void **state)
{
    struct test *t = calloc(1, sizeof *t);
    struct link_node now = some_node(1000);
    if (!t)
        return -1;
    t->shards = portal_shards_new(1);
    portal_rig_init(&t->rig, t->shards, 0);
    t->elsewhere.ops = &ops;
    crowd_set(&t->elsewhere.crowd, &now, 1000, 1000);
    portal_join_cluster(t->rig.portal, &t->elsewhere);
    *state = t;
    return 0;
}

static int test_close(void **state)
{
    struct test *t = *state;
    bool clean = portal_rig_fini(&t->rig);
    portal_shards_free(t->shards);
    free(t);
    return clean ? 0 : -1;
}

static const struct link_item *told(struct test *t, struct far *wire, enum link_type type)
{
    const struct said *s = hear(&t->rig, wire);
    for (unsigned i = 0; i < s->item_count; i++)
        if (s->items[i].type == type)
            return &s->items[i];
    return NULL;
}

static void a_bridge_hears_which_portal_it_has_and_again_when_that_changes(void **state)
{
    struct test *t = *state;
    struct link_node now = some_node(1000);
    struct far *bridge = bridge_v2c(&t->rig);
    const struct link_item *i = told(t, bridge, LINK_NODE);
    assert_non_null(i);
    assert_int_equal(i->node.portals, 3);
    assert_int_equal(i->node.wanted, 2);
    assert_int_equal(i->node.epoch, 5);
    assert_int_equal(i->node.spread, 500);
    assert_int_equal(i->node.name.len, 3);
    portal_wait(&t->rig, 5);
    assert_null(told(t, bridge, LINK_NODE));
    now.portals = 2;
    crowd_set(&t->elsewhere.crowd, &now, 1000, 1000);
    portal_wait(&t->rig, 3);
    i = told(t, bridge, LINK_NODE);
    assert_non_null(i);
    assert_int_equal(i->node.portals, 2);
}

static void links_beyond_its_share_are_asked_to_move_once_and_serve_on(void **state)
{
    struct test *t = *state;
    struct portal *p = container_of(t->rig.portal, struct portal, out);
    struct far *bridge = bridge_v2c(&t->rig), *old = bridge_comes(&t->rig);
    t->elsewhere.crowd.mean = 100, t->elsewhere.crowd.least = 0;
    for (int turn = 0; turn < 100; turn++)
        for (struct list_item *i = list_first(&p->carriers); i; i = list_next(&p->carriers, i))
            carrier_in_crowd(container_of(i, struct carrier, item), 1000);
    const struct said *s = hear(&t->rig, bridge);
    assert_int_equal(heard_items(s, LINK_GOAWAY), 1);
    for (unsigned i = 0; i < s->item_count; i++)
        if (s->items[i].type == LINK_GOAWAY)
            assert_int_equal(s->items[i].going.reason, GOING_MOVES);
    assert_int_equal(heard_items(hear(&t->rig, old), LINK_GOAWAY), 0);
    far_leave(old, 0);
    portal_wait(&t->rig, 5);
    assert_false(bridge->left);
    visitor_comes(&t->rig);
    assert_int_equal(newest(&t->rig, bridge), 2);
}

enum { ALL = 30 };

static unsigned told_to_go(struct test *t)
{
    unsigned count = 0;
    for (size_t i = 0; i < t->rig.bridge_count; i++)
        count += heard_items(hear(&t->rig, t->rig.bridges[i]), LINK_GOAWAY);
    return count;
}

static void a_portal_that_drains_tells_many_bridges_one_after_the_other(void **state)
{
    struct test *t = *state;
    for (int i = 0; i < ALL; i++)
        bridge_v2c(&t->rig);
    assert_int_equal(told_to_go(t), 0);
    assert_false(t->rig.portal->ops->tells(t->rig.portal));
    t->rig.portal->ops->drain(t->rig.portal);
    rig_turn(&t->rig.rig);
    unsigned some = told_to_go(t);
    assert_in_range(some, 0, ALL / 2);
    assert_true(t->rig.portal->ops->tells(t->rig.portal));
    portal_wait(&t->rig, 0.35);
    assert_int_equal(some + told_to_go(t), ALL);
    assert_true(t->rig.portal->ops->tells(t->rig.portal)); /* they look for another one */
    portal_wait(&t->rig, 1);
    assert_false(t->rig.portal->ops->tells(t->rig.portal));
}

static void who_comes_when_too_many_do_comes_again_later(void **state)
{
    struct test *t = *state;
    struct portal *p = container_of(t->rig.portal, struct portal, out);
    p->door = (struct crowd_door){.tokens = -0.75 * CROWD_RATE, .at = loop_steady()};
    struct far *late = bridge_v2c(&t->rig);
    const struct link_item *i = told(t, late, LINK_GOAWAY);
    assert_non_null(i);
    assert_int_equal(i->going.reason, GOING_REFUSED);
    assert_in_range(i->going.wait, 1000, 21000);
    portal_wait(&t->rig, 1);
    assert_true(late->left);
    assert_false(bridge_v2c(&t->rig)->left);
}

static void who_comes_when_the_portal_goes_is_sent_on(void **state)
{
    struct test *t = *state;
    t->rig.portal->ops->drain(t->rig.portal);
    struct far *late = bridge_v2c(&t->rig);
    portal_wait(&t->rig, 0.25);
    const struct link_item *i = told(t, late, LINK_GOAWAY);
    assert_non_null(i);
    assert_int_equal(i->going.reason, GOING_STOPS);
    assert_in_range(i->going.wait, 500, 1000); /* else it comes again and again */
    assert_false(late->left);
}

static void a_portal_that_stands_alone_says_nothing_of_it(void **state)
{
    struct test *t = *state;
    portal_join_cluster(t->rig.portal, NULL);
    struct far *bridge = bridge_v2c(&t->rig);
    portal_wait(&t->rig, 30);
    assert_null(told(t, bridge, LINK_NODE));
    t->rig.portal->ops->drain(t->rig.portal);
    rig_turn(&t->rig.rig);
    assert_non_null(told(t, bridge, LINK_GOAWAY));
    assert_false(t->rig.portal->ops->tells(t->rig.portal));
}

#define LAW(f) cmocka_unit_test_setup_teardown(f, test_open, test_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bridges_hear_again_what_concerns_them),
        cmocka_unit_test(bridges_hear_of_a_longer_time_however_slowly_it_grows),
        cmocka_unit_test(a_new_portal_has_its_share_within_ten_minutes),
        cmocka_unit_test(nobody_moves_for_a_few),
        cmocka_unit_test(few_bridges_go_and_come_at_once),
        cmocka_unit_test(so_many_links_come_in_a_second),
        LAW(a_bridge_hears_which_portal_it_has_and_again_when_that_changes),
        LAW(links_beyond_its_share_are_asked_to_move_once_and_serve_on),
        LAW(a_portal_that_drains_tells_many_bridges_one_after_the_other),
        LAW(who_comes_when_too_many_do_comes_again_later),
        LAW(who_comes_when_the_portal_goes_is_sent_on),
        LAW(a_portal_that_stands_alone_says_nothing_of_it),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
