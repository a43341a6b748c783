/* How long things last: ways that rest, visitors that wait, and what is kept of either. */
#include <string.h>

#include "proxy/web_way.h"
#include "testing/clock.h"
#include "testing/web_rig.h"

static void pass(struct rig *r, double seconds)
{
    clock_forward(seconds);
    rig_turn(r);
}

static void answer(struct rig *r, size_t origin)
{
    say(r, r->origin[origin], OK5 "hello");
}

/* --- ways --- */

static void a_way_rests_for_a_while_and_goes_well(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, GET("a.example"));
    answer(r, 0);
    pass(r, WAY_REST - 1);
    assert_false(r->origin[0]->left);
    pass(r, 2);
    assert_true(r->origin[0]->eof);
    stop(r, r->origin[0]);
    assert_true(r->origin[0]->left && !r->origin[0]->failed);
}

static void use_begins_the_while_anew(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    for (int i = 0; i < 4; i++) {
        ask(r, GET("a.example"));
        answer(r, 0);
        pass(r, WAY_REST - 5);
    }
    assert_int_equal(r->count, 1);
}

static void the_one_that_rests_longest_makes_room(void **state)
{
    struct rig *r = *state;
    struct dispatcher *d = &r->dispatcher;
    struct ways all;
    struct addr to = {.type = ADDR_IPV4, .port = 1};
    struct tunnel_name none = {0};
    struct way_key key;
    struct way_to where = {.tunnel = &none, .target = &to};
    ways_init(&all, d, &r->conf);
    all.max = 2;
    rig_visit(r);
    for (to.port = 1; to.port <= 3; to.port++) {
        way_key_make(&key, &all, &where);
        key.bucket = 0; /* all lie in one */
        struct way *w = way_new(&all, &key, &where, r->visitor.end.flow);
        assert_non_null(w);
        way_open(w);
        rig_turn(r);
        way_rest(w);
        pass(r, 1);
    }
    assert_int_equal(all.count, 2);
    assert_true(r->origin[0]->eof && !r->origin[1]->eof && !r->origin[2]->eof);
    to.port = 1;
    way_key_make(&key, &all, &where);
    key.bucket = 0;
    assert_null(ways_take(&all, &key));
    to.port = 3;
    way_key_make(&key, &all, &where);
    key.bucket = 0;
    struct way *w = ways_take(&all, &key);
    assert_non_null(w);
    assert_null(ways_take(&all, &key));
    way_drop(w, NULL);
    ways_end(&all);
    for (size_t i = 0; i < r->count; i++)
        stop(r, r->origin[i]);
}

static void keys_differ_where_ways_may(void **state)
{
    (void)state;
    static const struct addr a = {.type = ADDR_NAME, .port = 80, .name = "a.example"},
                             b = {.type = ADDR_NAME, .port = 80, .name = "a.example."},
                             c = {.type = ADDR_NAME, .port = 81, .name = "a.example"},
                             us = {.type = ADDR_IPV4, .ip = {127, 0, 0, 1}}, nobody;
    static const char tenants[] = "xy";
    static const struct tunnel_name none, one = {.by = TUNNEL_BY_ID, .text = "one"},
                                          node = {.by = TUNNEL_BY_NODE, .text = "one"},
                                          x = {.tenant = tenants, .by = 1, .text = "one"},
                                          y = {.tenant = tenants + 1, .by = 1, .text = "one"};
    static const struct way_to all[] = {
        {0, &none, &a, &us, 0, false},     {1, &none, &a, &us, 0, false},
        {0, &none, &b, &us, 0, false},     {0, &none, &c, &us, 0, false},
        {0, &one, &a, &us, 0, false},      {0, &node, &a, &us, 0, false},
        {0, &x, &a, &us, 0, false},        {0, &y, &a, &us, 0, false},
        {0, &none, &a, &a, 0, false},      {0, &none, &a, NULL, 0, false},
        {0, &none, &a, &nobody, 0, false}, {0, &none, &a, &us, 1, false},
    };
    static const struct ways ways;
    struct way_key first, second;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
            way_key_make(&first, &ways, &all[i]);
            way_key_make(&second, &ways, &all[k]);
            bool same = first.len == second.len && !memcmp(first.bytes, second.bytes, first.len);
            assert_int_equal(same, i == k);
        }
}

static void a_longest_key_fits(void **state)
{
    (void)state;
    struct addr name = {.type = ADDR_NAME, .port = 65535};
    struct tunnel_name tunnel = {.by = TUNNEL_BY_ID};
    static const struct ways ways;
    struct way_key key, other;
    memset(name.name, 'a', ADDR_NAME_MAX);
    memset(tunnel.text, 'b', TUNNEL_NAME_MAX);
    struct addr sixth = {.type = ADDR_IPV6, .ip = {[15] = 1}};
    struct way_to to = {1, &tunnel, &name, &sixth, UINT32_MAX, false};
    way_key_make(&key, &ways, &to);
    sixth.ip[15] = 2; /* its last byte counts */
    way_key_make(&other, &ways, &to);
    assert_int_equal(key.len, other.len);
    assert_int_not_equal(memcmp(key.bytes, other.bytes, key.len), 0);
}

/* --- visitors --- */

static void who_asks_for_nothing_goes_well(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    pass(r, 59);
    ask(r, GET("nobody.example"));
    pass(r, 59);
    assert_false(r->visitor.eof);
    pass(r, 2);
    assert_true(r->visitor.eof);
    assert_null(strstr(r->visitor.text, "408"));
}

static void a_head_has_ten_seconds(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, GET("nobody.example"));
    forget(&r->visitor);
    ask(r, "GET / HTT");
    for (int i = 0; i < 3; i++) {
        pass(r, 3);
        ask(r, "P");
        assert_int_equal(r->visitor.len, 0);
    }
    pass(r, 2);
    assert_true(starts(&r->visitor, "HTTP/1.1 408 Request Timeout\r\n"));
    assert_true(r->visitor.eof);
}

static void an_answer_has_a_minute_to_begin(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, GET("a.example"));
    pass(r, 59);
    assert_int_equal(r->visitor.len, 0);
    pass(r, 2);
    assert_true(starts(&r->visitor, "HTTP/1.1 504 Gateway Timeout\r\n"));
    assert_true(r->origin[0]->failed);
    assert_false(r->visitor.eof);
}

static void a_request_that_comes_slowly_puts_that_off(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, POST("1"));
    for (int i = 0; i < 4; i++) {
        pass(r, 40);
        ask(r, "2");
    }
    pass(r, 59);
    assert_int_equal(r->visitor.len, 0);
    answer(r, 0);
    assert_true(ends(&r->visitor, "hello"));
}

static void an_answer_that_began_has_all_the_time(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, GET("a.example"));
    say(r, r->origin[0], OK5 "he");
    pass(r, 200);
    say(r, r->origin[0], "llo");
    assert_true(ends(&r->visitor, "hello"));
}

static void who_is_idle_at_the_end_has_a_second(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    web_drain(r->web);
    pass(r, 0.5);
    assert_false(r->visitor.eof);
    pass(r, 0.6);
    assert_true(r->visitor.eof);
}

#define T(f) cmocka_unit_test_setup_teardown(f, web_rig_open, web_rig_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_way_rests_for_a_while_and_goes_well),
        T(use_begins_the_while_anew),
        T(the_one_that_rests_longest_makes_room),
        T(keys_differ_where_ways_may),
        T(a_longest_key_fits),
        T(who_asks_for_nothing_goes_well),
        T(a_head_has_ten_seconds),
        T(an_answer_has_a_minute_to_begin),
        T(a_request_that_comes_slowly_puts_that_off),
        T(an_answer_that_began_has_all_the_time),
        T(who_is_idle_at_the_end_has_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
