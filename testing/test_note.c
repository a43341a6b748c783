#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "testing/mux_rig.h"

/* A bridge's mux, which is the server, and its portal's. */
struct test {
    struct rig rig;
    struct peer portal, bridge;
};

static int test_open(void **state)
{
    struct test *t = *state = calloc(1, sizeof *t);
    if (!t)
        return -1;
    rig_init(&t->rig);
    peer_init(&t->rig, &t->portal, true);
    peer_init(&t->rig, &t->bridge, false);
    return 0;
}

static int test_close(void **state)
{
    struct test *t = *state;
    struct peer *peers[] = {&t->portal, &t->bridge};
    for (int i = 0; i < 2; i++)
        if (peers[i]->mux.end.flow && !peers[i]->closed)
            mux_close(&peers[i]->mux, NULL);
    bool clean = rig_fini(&t->rig);
    free(t);
    return clean ? 0 : -1;
}

static struct link_text text(const char *p)
{
    return (struct link_text){p, (uint8_t)strlen(p)};
}

static struct link_names some_names(void)
{
    return (struct link_names){7, text("n-1"), text("west"), text("acme")};
}

static void what_a_bridge_says_behind_its_hello_is_heard_behind_it(void **state)
{
    for (size_t piece = 1; piece < 100; piece += 7) {
        struct test *t = *state;
        struct link_names names = some_names();
        struct relay *r = peers_join(&t->rig, &t->portal, &t->bridge, piece);
        r->paused = true;
        mux_start(&t->bridge.mux);
        assert_true(mux_say_names(&t->bridge.mux, &names));
        assert_true(mux_say_host(&t->bridge.mux, text("a.example")));
        assert_true(mux_say_weight(&t->bridge.mux, 0));
        mux_start(&t->portal.mux);
        relay_go(r);
        rig_turn(&t->rig);
        assert_string_equal(t->portal.told, "met\nnamed 7 n-1/west/acme\nwanted a.example\n"
                                            "weighed 0\n");
        assert_string_equal(t->bridge.told, "met\n");
        assert_int_equal(test_close(state), 0);
        assert_int_equal(test_open(state), 0);
    }
}

static void the_first_names_of_a_link_count(void **state)
{
    struct test *t = *state;
    struct link_names names = some_names();
    struct far *wire = peer_wire(&t->rig, &t->portal);
    far_say_features(wire, LINK_FEATURES, 65536);
    for (int i = 0; i < 3; i++, names.weight = 1)
        far_say_item(wire, &(struct link_item){.type = LINK_NAMES, .names = names});
    rig_turn(&t->rig);
    assert_string_equal(t->portal.told, "met\nnamed 7 n-1/west/acme\n");
}

static void a_portal_answers_and_says_why(void **state)
{
    struct test *t = *state;
    peers_join(&t->rig, &t->portal, &t->bridge, 1000);
    mux_start(&t->bridge.mux);
    mux_start(&t->portal.mux);
    rig_turn(&t->rig);
    assert_true(mux_say_host_answer(&t->portal.mux, text("a.example"), HOST_TAKEN));
    assert_true(mux_say_why(&t->portal.mux, text("not yours")));
    assert_true(mux_say_going(&t->portal.mux, GOING_REFUSED, 3000));
    rig_turn(&t->rig);
    assert_string_equal(t->bridge.told, "met\nanswered a.example 2\nwhy not yours\n");
    assert_int_equal(t->bridge.going, 1);
    assert_int_equal(t->bridge.wait, 3000);
}

/* What the far side has said of itself, and what may then be said to it. */
static bool may_say(struct test *t, int features)
{
    struct link_names names = some_names();
    struct far *wire = peer_wire(&t->rig, &t->bridge);
    mux_start(&t->bridge.mux);
    far_say_features(wire, (uint16_t)features, 65536);
    far_say_item(wire, &(struct link_item){.type = LINK_WHY, .why = text("because")});
    rig_turn(&t->rig);
    size_t before = wire->len;
    bool said = mux_say_names(&t->bridge.mux, &names);
    rig_turn(&t->rig);
    assert_int_equal(said, wire->len > before);
    assert_string_equal(t->bridge.told, said ? "met\nwhy because\n" : "met\n");
    return said;
}

static void who_knows_nothing_of_names_hears_none_and_is_not_heard(void **state)
{
    for (int knows = 0; knows < 2; knows++) {
        assert_int_equal(may_say(*state, knows ? LINK_FEATURES : LINK_FEATURES & ~LINK_NAMED),
                         knows);
        assert_int_equal(test_close(state), 0);
        assert_int_equal(test_open(state), 0);
    }
}

static void nothing_is_said_before_our_hello_nor_by_who_does_not_offer_it(void **state)
{
    struct test *t = *state;
    struct far *wire = peer_wire(&t->rig, &t->bridge);
    assert_false(mux_say_weight(&t->bridge.mux, 3));
    t->bridge.mux.offers &= (uint16_t)~LINK_NAMED;
    mux_start(&t->bridge.mux);
    assert_false(mux_say_weight(&t->bridge.mux, 3));
    far_say_features(wire, LINK_FEATURES, 65536);
    far_say_item(wire, &(struct link_item){.type = LINK_WEIGHT, .weight = 9});
    rig_turn(&t->rig);
    assert_false(mux_say_weight(&t->bridge.mux, 3));
    assert_string_equal(t->bridge.told, "met\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_a_bridge_says_behind_its_hello_is_heard_behind_it,
                                        test_open, test_close),
        cmocka_unit_test_setup_teardown(the_first_names_of_a_link_count, test_open, test_close),
        cmocka_unit_test_setup_teardown(a_portal_answers_and_says_why, test_open, test_close),
        cmocka_unit_test_setup_teardown(who_knows_nothing_of_names_hears_none_and_is_not_heard,
                                        test_open, test_close),
        cmocka_unit_test_setup_teardown(
            nothing_is_said_before_our_hello_nor_by_who_does_not_offer_it, test_open, test_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
