#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdlib.h>

#include "reverse/control.h"
#include "reverse/portal.h"
#include "testing/clock.h"
#include "testing/mux_rig.h"

enum { CARRIERS = 50, VISITORS = 51 };

struct test {
    struct rig rig;
    struct portal_conf conf;
    struct portal_shards *shards;
    struct outbound *portal;
};

static const struct user bridge_user = {.email = "bridge@a", .traffic = {-1, -1}, .may_link = true};
/* By its name it is listed, but it came by a proxy's password. */
static const struct user proxy_user = {.email = "bridge@a", .traffic = {-1, -1}};
static const struct user other_user = {.email = "other@a", .traffic = {-1, -1}, .may_link = true};
static const char *listed[] = {"someone@a", "bridge@a"};

static int test_open(void **state)
{
    struct test *t = calloc(1, sizeof *t);
    if (!t)
        return -1;
    rig_init(&t->rig);
    t->conf = (struct portal_conf){.tag = "portal",
                                   .domain = "Bridge.Test",
                                   .users = listed,
                                   .user_count = 2,
                                   .traffic = {-1, -1},
                                   .carriers_slot = CARRIERS,
                                   .visitors_slot = VISITORS};
    t->shards = portal_shards_new(1);
    t->portal = t->shards ? portal_new(&t->rig.loop, &t->conf, t->shards) : NULL;
    *state = t;
    return t->portal ? 0 : -1;
}

static int test_close(void **state)
{
    struct test *t = *state;
    t->portal->ops->free(t->portal);
    rig_turn(&t->rig);
    bool gauges = rig_stat(&t->rig, CARRIERS) == 0 && rig_stat(&t->rig, VISITORS) == 0;
    bool clean = rig_fini(&t->rig);
    portal_shards_free(t->shards);
    free(t);
    return gauges && clean ? 0 : -1;
}

static void wait_for(struct test *t, double seconds)
{
    clock_forward(seconds);
    rig_turn(&t->rig);
}

static struct far *asks(struct test *t, const char *host, struct meta m)
{
    struct far *f = far_new(&t->rig);
    struct err e;
    m.inbound_tag = "door";
    assert_int_equal(addr_parse_host(&m.target, host, strlen(host), &e), 0);
    struct flow *flow = far_flow(&t->rig, f, &m);
    flow->meta.by_rule = m.by_rule;
    t->portal->ops->open(t->portal, flow);
    return f;
}

static struct far *bridge_comes(struct test *t)
{
    struct far *f = asks(t, "bridge.test",
                         (struct meta){.net = NET_TCP, .user = &bridge_user, .by_rule = true});
    rig_turn(&t->rig);
    assert_false(f->failed);
    return f;
}

static struct far *visitor_comes(struct test *t)
{
    struct far *f = asks(t, "10.1.2.3", (struct meta){.net = NET_TCP});
    rig_turn(&t->rig);
    return f;
}

/* The next frame that is not KeepAlive, nor asks an old peer whether it is there. */
static bool frame_after(struct far *wire, struct mux_frame *f, const uint8_t **data)
{
    do
        if (!far_next_frame(wire, f, data))
            return false;
    while (f->status == MUX_KEEPALIVE || f->id == 65535);
    return true;
}

static enum control_state control_state_of(const struct mux_frame *f, const uint8_t *data)
{
    enum control_state s;
    assert_true(control_read(cur_of(data, f->data_len), &s));
    return s;
}

static void assert_control_opened(struct far *wire, uint16_t id, const char *name)
{
    struct mux_frame f;
    const uint8_t *data;
    assert_true(frame_after(wire, &f, &data));
    assert_int_equal(f.status, MUX_NEW);
    assert_int_equal(f.id, id);
    assert_int_equal(f.net, NET_UDP);
    assert_int_equal(f.target.port, 0);
    assert_string_equal(f.target.name, name);
    assert_int_equal(control_state_of(&f, data), CONTROL_ACTIVE);
}

static unsigned news(struct far *wire)
{
    struct mux_frame f;
    const uint8_t *data;
    unsigned n = 0;
    while (frame_after(wire, &f, &data))
        n += f.status == MUX_NEW && f.net == NET_TCP;
    return n;
}

static void answer(struct far *wire, uint16_t id, uint8_t status)
{
    far_say_frame(wire, &(struct mux_frame){.id = id, .status = status}, NULL);
}

/* --- who may be a bridge --- */

static void only_a_listed_user_that_a_rule_sends_by_tcp_becomes_a_carrier(void **state)
{
    struct test *t = *state;
    static const struct meta refused[] = {
        {.net = NET_TCP, .by_rule = true},
        {.net = NET_TCP, .user = &bridge_user},
        {.net = NET_TCP, .user = &other_user, .by_rule = true},
        {.net = NET_UDP, .user = &bridge_user, .by_rule = true},
        {.net = NET_TCP, .user = &bridge_user, .by_rule = true, .guessed = true},
        {.net = NET_TCP, .user = &proxy_user, .by_rule = true},
    };
    static const char *const spellings[] = {"bridge.test", "Bridge.Test", "BRIDGE.TEST.",
                                            "bridge.test."};
    for (size_t i = 0; i < 6; i++)
        for (size_t k = 0; k < 4; k++) {
            struct far *f = asks(t, spellings[k], refused[i]);
            rig_turn(&t->rig);
            assert_true(f->failed);
            assert_int_equal(f->len, 0);
            assert_int_equal(rig_stat(&t->rig, STAT_carriers_refused), i * 4 + k + 1);
        }
    assert_int_equal(rig_stat(&t->rig, CARRIERS), 0);
    for (size_t k = 0; k < 4; k++)
        asks(t, spellings[k], (struct meta){.net = NET_TCP, .user = &bridge_user, .by_rule = true});
    assert_int_equal(rig_stat(&t->rig, CARRIERS), 4);
}

static void without_a_list_any_user_that_a_rule_sends_becomes_a_carrier(void **state)
{
    struct test *t = *state;
    t->conf.users = NULL;
    t->conf.user_count = 0;
    asks(t, "bridge.test", (struct meta){.net = NET_TCP, .user = &other_user, .by_rule = true});
    assert_int_equal(rig_stat(&t->rig, CARRIERS), 1);
    struct far *f = asks(t, "bridge.test", (struct meta){.net = NET_TCP, .by_rule = true});
    rig_turn(&t->rig);
    assert_true(f->failed);
}

static void an_empty_list_lets_nobody_in(void **state)
{
    struct test *t = *state;
    t->conf.user_count = 0;
    asks(t, "bridge.test", (struct meta){.net = NET_TCP, .user = &bridge_user, .by_rule = true});
    assert_int_equal(rig_stat(&t->rig, CARRIERS), 0);
}

static void no_visitor_names_a_control_domain(void **state)
{
    struct test *t = *state;
    static const char *const names[] = {"reverse",
                                        "REVERSE.",
                                        "reverse.internal.v2fly.org",
                                        "My.Control.",
                                        "my.control",
                                        "Reverse.Internal.V2ray.Com.",
                                        "reverse.internal.example.com"};
    t->portal->ops->free(t->portal);
    t->conf.control_domain = "my.control.";
    t->portal = portal_new(&t->rig.loop, &t->conf, t->shards);
    struct far *wire = bridge_comes(t);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct meta m = {.net = i % 2 ? NET_TCP : NET_UDP, .user = &bridge_user};
        m.tunnel.by = i % 3 ? TUNNEL_UNNAMED : TUNNEL_BY_ID; /* chosen by an inbound */
        struct far *f = asks(t, names[i], m);
        rig_turn(&t->rig);
        assert_true(f->failed);
        assert_int_equal(rig_stat(&t->rig, STAT_names_refused), i + 1);
    }
    assert_control_opened(wire, 1, "my.control.");
    assert_int_equal(news(wire), 0);
}

/* --- the control stream --- */

static void the_control_stream_tries_the_names_while_the_peer_answers(void **state)
{
    struct test *t = *state;
    struct far *wire = bridge_comes(t);
    struct mux_frame f;
    const uint8_t *data;
    assert_control_opened(wire, 1, control_name(0));
    for (uint16_t i = 1; i < 4; i++) {
        bool ended = i % 2;
        answer(wire, i, ended ? MUX_END : MUX_KEEP);
        rig_turn(&t->rig);
        if (!ended) {
            assert_true(frame_after(wire, &f, &data));
            assert_true(f.id == i && f.status == MUX_END); /* it would stay open for nothing */
        }
        assert_control_opened(wire, (uint16_t)(i + 1), control_name(i));
    }
    answer(wire, 4, MUX_END);
    answer(wire, 1, MUX_END);
    wait_for(t, 2.1);
    assert_true(far_next_frame(wire, &f, &data));
    assert_int_equal(f.status, MUX_KEEPALIVE); /* no name is left; it stays awake all the same */
    visitor_comes(t);
    assert_int_equal(news(wire), 1);
}

static void a_control_message_goes_out_every_two_seconds(void **state)
{
    struct test *t = *state;
    struct far *wire = bridge_comes(t);
    struct mux_frame f;
    const uint8_t *data;
    assert_control_opened(wire, 1, control_name(0));
    for (int i = 0; i < 3; i++) {
        wait_for(t, 2.01);
        assert_true(frame_after(wire, &f, &data));
        assert_true(f.status == MUX_KEEP && f.id == 1 && f.data_len <= CONTROL_MAX);
        assert_int_equal(control_state_of(&f, data), CONTROL_ACTIVE);
        assert_false(frame_after(wire, &f, &data));
    }
}

static void a_peer_that_does_not_read_is_told_no_more(void **state)
{
    struct test *t = *state;
    struct far *wire = bridge_comes(t);
    wire->flow->pipes[0].limit = 1000;
    wire->refuses = true;
    for (int i = 0; i < 100; i++)
        wait_for(t, 2.01);
    assert_true(end_waiting(&wire->end) >= 1000 && end_waiting(&wire->end) < 1100);
    wait_for(t, 300);
    rig_turn(&t->rig);
    assert_true(wire->failed); /* idle */
}

/* --- picking --- */

static void visitors_go_to_the_carrier_with_the_fewest_streams(void **state)
{
    struct test *t = *state;
    struct far *wires[3], *visitors[9];
    for (int i = 0; i < 3; i++)
        wires[i] = bridge_comes(t);
    for (int i = 0; i < 9; i++)
        visitors[i] = visitor_comes(t);
    for (int i = 0; i < 3; i++)
        assert_int_equal(news(wires[i]), 3);
    assert_int_equal(rig_stat(&t->rig, VISITORS), 9);
    answer(wires[1], 2, MUX_END);
    answer(wires[1], 3, MUX_END);
    rig_turn(&t->rig);
    visitor_comes(t), visitor_comes(t);
    assert_int_equal(news(wires[1]), 2);
    (void)visitors;
}

static void a_carrier_that_broke_in_this_turn_is_not_picked(void **state)
{
    struct test *t = *state;
    for (int how = 0; how < 3; how++) {
        struct far *dead = bridge_comes(t), *busy = bridge_comes(t);
        visitor_comes(t), visitor_comes(t), visitor_comes(t);
        if (how == 0)
            far_leave(dead, ECONNRESET);
        else if (how == 1)
            far_leave(dead, 0);
        else
            end_eof(&dead->end);
        for (int i = 0; i < 4; i++) {
            struct far *f = asks(t, "10.1.2.3", (struct meta){.net = NET_TCP});
            rig_turn(&t->rig);
            assert_false(f->failed);
        }
        far_leave(busy, ECONNRESET);
        rig_turn(&t->rig);
        assert_int_equal(rig_stat(&t->rig, CARRIERS), 0);
    }
}

static void a_carrier_that_ends_resets_its_visitors(void **state)
{
    struct test *t = *state;
    struct far *wire = bridge_comes(t), *visitor = visitor_comes(t);
    end_eof(&wire->end);
    rig_turn(&t->rig);
    assert_true(visitor->failed);
    assert_int_equal(rig_stat(&t->rig, CARRIERS), 0);
}

/* --- draining --- */

static void wear(struct test *t, struct far *wire, unsigned visitors)
{
    for (unsigned i = 0; i < visitors; i++) {
        struct far *f = visitor_comes(t);
        far_leave(f, ECONNRESET);
        rig_turn(&t->rig);
    }
    assert_false(wire->left);
}

/* How often DRAIN is said, each in a stream that ends behind it. */
static unsigned drains(struct far *wire)
{
    struct mux_frame f;
    const uint8_t *data;
    unsigned n = 0;
    int draining = -1;
    while (frame_after(wire, &f, &data)) {
        if (draining >= 0)
            assert_true(f.status == MUX_END && f.id == draining && f.option == 0);
        draining = -1;
        if (f.data_len && control_state_of(&f, data) == CONTROL_DRAIN)
            draining = f.id, n++;
    }
    return n;
}

static void an_old_peer_is_told_to_drain_after_256_streams_under_every_name(void **state)
{
    struct test *t = *state;
    struct far *wire = bridge_comes(t);
    wear(t, wire, 255);
    wait_for(t, 2.1);
    assert_int_equal(drains(wire), 0);
    wear(t, wire, 1);
    wait_for(t, 2.1);
    assert_int_equal(drains(wire), 4);
    assert_true(wire->left && !wire->failed); /* it was empty */
}

static void a_drained_carrier_serves_its_streams_and_new_ones_only_when_it_must(void **state)
{
    struct test *t = *state;
    struct far *old = bridge_comes(t), *stays = visitor_comes(t);
    wear(t, old, 256);
    wait_for(t, 2.1);
    news(old);
    visitor_comes(t);
    assert_int_equal(news(old), 1); /* there is no other */
    struct far *fresh = bridge_comes(t);
    visitor_comes(t), visitor_comes(t), visitor_comes(t);
    assert_int_equal(news(old), 0);
    assert_int_equal(news(fresh), 3);
    far_say_frame(
        old, &(struct mux_frame){.id = 2, .status = MUX_KEEP, .option = MUX_DATA, .data_len = 3},
        "yes");
    rig_turn(&t->rig);
    assert_int_equal(stays->len, 3);
}

static void a_v2c_peer_is_not_drained_after_256_streams(void **state)
{
    struct test *t = *state;
    struct far *wire = bridge_comes(t);
    far_say_hello(wire, 2048);
    rig_turn(&t->rig);
    wear(t, wire, 400);
    wait_for(t, 2.1);
    assert_int_equal(drains(wire), 0);
}

static void a_carrier_near_the_end_of_its_nonces_is_drained(void **state)
{
    struct test *t = *state;
    struct far *wire = bridge_comes(t), *stays = visitor_comes(t);
    far_say_hello(wire, 2048);
    wire->flow->pieces = 48 * 1024 + 1;
    wait_for(t, 2.1);
    assert_int_equal(drains(wire), 1);
    assert_false(stays->left);
}

/* --- going away --- */

static struct far *bridge_v2c(struct test *t)
{
    struct far *wire = bridge_comes(t);
    far_say_features(wire, LINK_FEATURES, 64 * 1024);
    rig_turn(&t->rig);
    return wire;
}

/* How often a portal has said GOAWAY for this reason since it was last asked. */
static unsigned goaways(struct far *wire, enum link_going reason)
{
    struct mux_frame f;
    const uint8_t *data;
    unsigned n = 0;
    while (far_next_frame(wire, &f, &data)) {
        struct cursor message = cur_of(data, f.data_len);
        struct link_item i;
        if (f.status != MUX_KEEPALIVE || !link_read_magic(&message))
            continue;
        while (link_read(&message, &i))
            n += i.type == LINK_GOAWAY && i.going.reason == reason;
    }
    return n;
}

static void a_portal_that_stops_tells_every_bridge_once_and_serves_on(void **state)
{
    struct test *t = *state;
    struct far *old = bridge_comes(t), *one = bridge_v2c(t), *two = bridge_v2c(t);
    struct far *visitor = visitor_comes(t);
    for (int i = 0; i < 3; i++)
        t->portal->ops->drain(t->portal);
    rig_turn(&t->rig);
    assert_int_equal(goaways(one, GOING_STOPS) + goaways(two, GOING_STOPS), 2);
    assert_int_equal(drains(old), 4);
    assert_false(visitor_comes(t)->left); /* it was accepted before the listener was closed */
    wait_for(t, 2.1);
    assert_false(visitor->left);
    assert_int_equal(goaways(one, GOING_STOPS) + goaways(two, GOING_STOPS), 0);
    assert_int_equal(rig_stat(&t->rig, CARRIERS), 2); /* those that carry a visitor each */
}

static void a_worn_link_is_told_to_go(void **state)
{
    struct test *t = *state;
    struct far *wire = bridge_v2c(t), *stays = visitor_comes(t);
    wire->flow->pieces = 48 * 1024 + 1;
    wait_for(t, 2.1);
    assert_int_equal(goaways(wire, GOING_WORN), 1);
    assert_false(stays->left);
    far_leave(stays, 0);
    wait_for(t, 2.1);
    assert_true(wire->left && !wire->failed);
}

static void the_same_settings_of_another_configuration_hold_for_open_links(void **state)
{
    struct test *t = *state;
    enum { UP = 55, DOWN = 56 };
    static struct portal_conf conf; /* outlives the portal */
    struct far *wire = bridge_v2c(t), *visitor = visitor_comes(t);
    conf = t->conf;
    conf.traffic = (struct traffic){UP, DOWN};
    portal_adopt(t->portal, &conf);
    far_say_frame(
        wire, &(struct mux_frame){.id = 2, .status = MUX_KEEP, .option = MUX_DATA, .data_len = 3},
        "yes");
    rig_turn(&t->rig);
    assert_int_equal(visitor->len, 3);
    assert_int_equal(rig_stat(&t->rig, DOWN), 3);
}

/* --- waiting --- */

static void visitors_wait_for_a_bridge_and_are_seated_when_it_comes(void **state)
{
    struct test *t = *state;
    struct far *visitors[3];
    for (int i = 0; i < 3; i++) {
        visitors[i] = visitor_comes(t);
        far_say(visitors[i], "early", 5);
    }
    wait_for(t, 2.5);
    far_leave(visitors[1], 0); /* it lost patience */
    rig_turn(&t->rig);
    struct far *wire = bridge_comes(t);
    struct mux_frame f;
    const uint8_t *data;
    unsigned opened = 0, said = 0;
    while (frame_after(wire, &f, &data)) {
        opened += f.status == MUX_NEW && f.net == NET_TCP;
        said += f.status == MUX_KEEP && f.data_len == 5 && memcmp(data, "early", 5) == 0;
    }
    assert_int_equal(opened, 2);
    assert_int_equal(said, 2);
    wait_for(t, 5);
    assert_false(visitors[0]->left || visitors[2]->left);
    assert_int_equal(rig_stat(&t->rig, STAT_no_carrier), 0);
}

static void a_visitor_that_waited_three_seconds_is_refused(void **state)
{
    struct test *t = *state;
    struct far *visitor = visitor_comes(t);
    wait_for(t, 2.9);
    assert_false(visitor->left);
    wait_for(t, 0.2);
    assert_true(visitor->failed);
    assert_int_equal(rig_stat(&t->rig, STAT_no_carrier), 1);
    struct far *wire = bridge_comes(t);
    assert_int_equal(news(wire), 0);
}

static void no_more_than_1024_visitors_wait(void **state)
{
    struct test *t = *state;
    struct far *last = NULL;
    for (int i = 0; i < 1024; i++)
        last = visitor_comes(t);
    assert_false(last->left);
    assert_true(visitor_comes(t)->failed);
    far_leave(last, 0);
    rig_turn(&t->rig);
    assert_false(visitor_comes(t)->left);
}

#define LAW(f) cmocka_unit_test_setup_teardown(f, test_open, test_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAW(only_a_listed_user_that_a_rule_sends_by_tcp_becomes_a_carrier),
        LAW(without_a_list_any_user_that_a_rule_sends_becomes_a_carrier),
        LAW(an_empty_list_lets_nobody_in),
        LAW(no_visitor_names_a_control_domain),
        LAW(the_control_stream_tries_the_names_while_the_peer_answers),
        LAW(a_control_message_goes_out_every_two_seconds),
        LAW(a_peer_that_does_not_read_is_told_no_more),
        LAW(visitors_go_to_the_carrier_with_the_fewest_streams),
        LAW(a_carrier_that_broke_in_this_turn_is_not_picked),
        LAW(a_carrier_that_ends_resets_its_visitors),
        LAW(an_old_peer_is_told_to_drain_after_256_streams_under_every_name),
        LAW(a_drained_carrier_serves_its_streams_and_new_ones_only_when_it_must),
        LAW(a_v2c_peer_is_not_drained_after_256_streams),
        LAW(a_carrier_near_the_end_of_its_nonces_is_drained),
        LAW(a_portal_that_stops_tells_every_bridge_once_and_serves_on),
        LAW(a_worn_link_is_told_to_go),
        LAW(the_same_settings_of_another_configuration_hold_for_open_links),
        LAW(visitors_wait_for_a_bridge_and_are_seated_when_it_comes),
        LAW(a_visitor_that_waited_three_seconds_is_refused),
        LAW(no_more_than_1024_visitors_wait),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
