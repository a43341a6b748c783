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

static struct link_route some_route(void)
{
    return (struct link_route){
        .portal = 77, .epoch = 5, .by_claim = true, .tunnel = {1, text("acme"), text("t1")}};
}

/* Portals, of which one has dialled the other. */
static struct relay *portals_join(struct test *t, size_t piece)
{
    struct relay *r = peers_join(&t->rig, &t->portal, &t->bridge, piece);
    t->portal.mux.offers = t->bridge.mux.offers = LINK_PEER_FEATURES;
    mux_start(&t->portal.mux);
    mux_start(&t->bridge.mux);
    return r;
}

static void portals_tell_each_other_what_they_are_and_where_tunnels_are(void **state)
{
    for (size_t piece = 1; piece < 200; piece += 13) {
        struct test *t = *state;
        struct link_node node = {.state = LINK_NODE_UP, .portals = 3, .name = text("n-1")};
        struct link_question ask = {
            .token = 9, .kind = LINK_ASK_TUNNEL, .tunnel = {1, text("acme"), text("t1")}};
        struct link_answer have = {
            .token = 9, .known = true, .count = 1, .at = {{5, 2, node.name}}};
        struct addr place = {.type = ADDR_NAME, .port = 7400, .name = "portal-b"};
        portals_join(t, piece);
        assert_true(mux_say_node(&t->portal.mux, &node));
        assert_true(mux_say_node(&t->bridge.mux, &node));
        rig_turn(&t->rig);
        assert_true(mux_say_question(&t->portal.mux, &ask));
        assert_true(mux_say_answer(&t->bridge.mux, &have));
        assert_true(mux_say_place(&t->bridge.mux, &place));
        rig_turn(&t->rig);
        assert_string_equal(t->portal.told,
                            "met\nnode n-1 of 3\nanswer 9: 1, 1 places\nat portal-b:7400\n");
        assert_string_equal(t->bridge.told, "met\nnode n-1 of 3\nasked 9 for t1\n");
        assert_int_equal(test_close(state), 0);
        assert_int_equal(test_open(state), 0);
    }
}

static void a_bridge_hears_of_its_portals_node_and_is_asked_nothing(void **state)
{
    struct test *t = *state;
    struct link_node node = {.state = LINK_NODE_UP, .portals = 2, .name = text("n-1")};
    struct link_question ask = {.token = 9, .kind = LINK_ASK_TUNNEL};
    struct link_answer have = {.token = 9};
    struct far *wire = peer_wire(&t->rig, &t->bridge);
    mux_start(&t->bridge.mux);
    far_say_features(wire, LINK_FEATURES | LINK_ROUTED, 65536);
    far_say_item(wire, &(struct link_item){.type = LINK_NODE, .node = node});
    far_say_item(wire, &(struct link_item){.type = LINK_ASK, .ask = ask});
    far_say_item(wire, &(struct link_item){.type = LINK_HAVE, .have = have});
    rig_turn(&t->rig);
    assert_string_equal(t->bridge.told, "met\nnode n-1 of 2\n");
    assert_false(mux_say_question(&t->bridge.mux, &ask));
    assert_false(mux_say_answer(&t->bridge.mux, &have));
}

static struct far *visitor_of(struct test *t, enum net net, struct meta *m)
{
    struct far *f = far_new(&t->rig);
    *m = (struct meta){.net = net, .inbound_tag = "", .outbound_tag = ""};
    m->source = (struct addr){.type = ADDR_IPV4, .port = 50000, .ip = {192, 0, 2, 7}};
    m->target = (struct addr){.type = ADDR_NAME, .port = 80, .name = "a.example"};
    return f;
}

static void a_stream_between_portals_says_where_it_goes_and_who_comes(void **state)
{
    for (size_t piece = 1; piece < 200; piece += 13) {
        struct test *t = *state;
        struct link_route route = some_route();
        struct meta m;
        struct far *tcp = visitor_of(t, NET_TCP, &m);
        portals_join(t, piece);
        rig_turn(&t->rig);
        assert_true(mux_forward(&t->portal.mux, far_flow(&t->rig, tcp, &m), NULL, &route));
        struct far *udp = visitor_of(t, NET_UDP, &m);
        assert_true(mux_forward(&t->portal.mux, far_flow(&t->rig, udp, &m), NULL, &route));
        rig_turn(&t->rig);
        assert_string_equal(t->bridge.told, "met\nrouted 77 5 1 1 acme/t1\n"
                                            "routed 77 5 1 1 acme/t1\n");
        for (int i = 0; i < 2; i++)
            assert_true(addr_equal(&t->bridge.frames[i].source, &m.source));
        assert_int_equal(test_close(state), 0);
        assert_int_equal(test_open(state), 0);
    }
}

static void no_route_is_sent_to_who_does_not_read_it(void **state)
{
    struct test *t = *state;
    struct link_route route = some_route();
    struct meta m;
    struct far *visitor = visitor_of(t, NET_TCP, &m), *wire = peer_wire(&t->rig, &t->portal);
    struct flow *flow = far_flow(&t->rig, visitor, &m);
    t->portal.mux.offers = LINK_PEER_FEATURES;
    assert_false(mux_forward(&t->portal.mux, flow, NULL, &route));
    mux_start(&t->portal.mux);
    far_say_features(wire, LINK_FEATURES, 65536);
    rig_turn(&t->rig);
    assert_false(mux_forward(&t->portal.mux, flow, NULL, &route));
    assert_int_equal(t->portal.mux.opened, 0);
    assert_true(mux_open(&t->portal.mux, flow));
}

static void no_route_is_heard_from_who_is_no_portal(void **state)
{
    struct test *t = *state;
    struct mux_frame f = {.id = 1, .status = MUX_NEW, .net = NET_TCP, .routed = true};
    struct far *wire = peer_wire(&t->rig, &t->bridge);
    f.target = (struct addr){.type = ADDR_IPV4, .port = 80, .ip = {10, 9, 8, 7}};
    f.route = some_route();
    mux_start(&t->bridge.mux);
    far_say_features(wire, LINK_FEATURES | LINK_ROUTED, 65536);
    far_say_frame(wire, &f, NULL);
    rig_turn(&t->rig);
    assert_int_equal(t->bridge.opened_count, 1);
    assert_string_equal(t->bridge.told, "met\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_a_bridge_says_behind_its_hello_is_heard_behind_it,
                                        test_open, test_close),
        cmocka_unit_test_setup_teardown(the_first_names_of_a_link_count, test_open, test_close),
        cmocka_unit_test_setup_teardown(a_portal_answers_and_says_why, test_open, test_close),
        cmocka_unit_test_setup_teardown(portals_tell_each_other_what_they_are_and_where_tunnels_are,
                                        test_open, test_close),
        cmocka_unit_test_setup_teardown(a_bridge_hears_of_its_portals_node_and_is_asked_nothing,
                                        test_open, test_close),
        cmocka_unit_test_setup_teardown(a_stream_between_portals_says_where_it_goes_and_who_comes,
                                        test_open, test_close),
        cmocka_unit_test_setup_teardown(no_route_is_sent_to_who_does_not_read_it, test_open,
                                        test_close),
        cmocka_unit_test_setup_teardown(no_route_is_heard_from_who_is_no_portal, test_open,
                                        test_close),
        cmocka_unit_test_setup_teardown(who_knows_nothing_of_names_hears_none_and_is_not_heard,
                                        test_open, test_close),
        cmocka_unit_test_setup_teardown(
            nothing_is_said_before_our_hello_nor_by_who_does_not_offer_it, test_open, test_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
