#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "routing/balance.h"

enum { OUTS = 4 };

/* Three candidates, "a" to "c", and a fallback that may be used. */
struct scales {
    struct outbound outs[OUTS];
    bool dead[OUTS]; /* as a portal without a bridge */
    struct outbound *all[OUTS];
    size_t candidates[3];
    struct balancer b;
};

static struct scales *on_the_table;

static bool told_alive(const struct outbound *out)
{
    return !on_the_table->dead[out - on_the_table->outs];
}

static const struct outbound_ops ops = {.alive = told_alive};
static const struct outbound_ops plain_ops = {0};

static void scales_open(struct scales *s, enum balance_strategy strategy)
{
    static const char *const tags[] = {"a", "b", "c", "else"};
    *s = (struct scales){.candidates = {0, 1, 2}};
    for (int i = 0; i < OUTS; i++) {
        s->outs[i] = (struct outbound){.ops = i == 1 ? &plain_ops : &ops, .tag = tags[i]};
        s->all[i] = &s->outs[i];
    }
    s->b = (struct balancer){.tag = "scales",
                             .strategy = strategy,
                             .outbounds = s->candidates,
                             .count = 3,
                             .fallback = 3,
                             .state = balance_state_new()};
    assert_non_null(s->b.state);
    on_the_table = s;
}

static void scales_observe(struct scales *s)
{
    for (int i = 0; i < 3; i++) {
        s->outs[i].health = health_new();
        assert_non_null(s->outs[i].health);
    }
}

static void scales_close(struct scales *s)
{
    for (int i = 0; i < OUTS; i++)
        health_unref(s->outs[i].health);
    balance_state_unref(s->b.state);
}

static size_t choose(const struct scales *s)
{
    const struct outbound *out = balance_choose(&s->b, s->all);
    return out ? (size_t)(out - s->outs) : SIZE_MAX;
}

/* --- who takes part --- */

static void random_gives_each_its_share(void **state)
{
    (void)state;
    struct scales s;
    size_t counts[OUTS] = {0};
    scales_open(&s, BALANCE_RANDOM);
    for (int i = 0; i < 3000; i++)
        counts[choose(&s)]++;
    for (int i = 0; i < 3; i++)
        assert_in_range(counts[i], 800, 1200); /* 7 standard deviations */
    assert_int_equal(counts[3], 0);
    scales_close(&s);
}

static void what_is_dead_gets_nothing(void **state)
{
    (void)state;
    for (int strategy = BALANCE_RANDOM; strategy <= BALANCE_LEAST_PING; strategy++) {
        struct scales s;
        scales_open(&s, (enum balance_strategy)strategy);
        s.dead[0] = true;
        for (int i = 0; i < 100; i++)
            assert_in_range(choose(&s), 1, 2);
        s.dead[2] = true;
        for (int i = 0; i < 100; i++)
            assert_int_equal(choose(&s), 1);
        scales_close(&s);
    }
}

static void what_the_observatory_found_dead_gets_nothing(void **state)
{
    (void)state;
    struct scales s;
    scales_open(&s, BALANCE_RANDOM);
    scales_observe(&s);
    health_failed(s.outs[0].health, "no route", 1);
    health_failed(s.outs[2].health, "no route", 1);
    for (int i = 0; i < 100; i++)
        assert_int_equal(choose(&s), 1); /* of which nothing is known */
    health_answered(s.outs[0].health, 0.1, 2);
    health_failed(s.outs[1].health, "no route", 2);
    for (int i = 0; i < 100; i++)
        assert_int_equal(choose(&s), 0);
    scales_close(&s);
}

/* Both may be true: it answered a moment ago, and its bridge is gone now. */
static void a_portal_without_a_bridge_is_dead_whatever_the_observatory_says(void **state)
{
    (void)state;
    struct scales s;
    scales_open(&s, BALANCE_LEAST_PING);
    scales_observe(&s);
    health_answered(s.outs[0].health, 0.001, 1);
    health_answered(s.outs[1].health, 0.5, 1);
    assert_int_equal(choose(&s), 0);
    s.dead[0] = true;
    assert_int_equal(choose(&s), 1);
    scales_close(&s);
}

static void round_robin_takes_turns_among_the_living(void **state)
{
    (void)state;
    struct scales s;
    scales_open(&s, BALANCE_ROUND_ROBIN);
    for (size_t i = 0; i < 9; i++)
        assert_int_equal(choose(&s), i % 3);
    s.dead[0] = true;
    size_t first = choose(&s);
    for (size_t i = 1; i < 9; i++)
        assert_int_equal(choose(&s), 1 + (first - 1 + i) % 2);
    scales_close(&s);
}

static void least_ping_takes_the_one_that_answered_soonest(void **state)
{
    (void)state;
    struct scales s;
    scales_open(&s, BALANCE_LEAST_PING);
    scales_observe(&s);
    health_answered(s.outs[0].health, 0.3, 1);
    health_answered(s.outs[2].health, 0.2, 1);
    assert_int_equal(choose(&s), 2); /* "b" has not been tried */
    health_answered(s.outs[1].health, 0.1, 1);
    assert_int_equal(choose(&s), 1);
    health_failed(s.outs[1].health, "late", 2);
    assert_int_equal(choose(&s), 2);
    scales_close(&s);
}

static void least_ping_before_the_first_answer_is_random(void **state)
{
    (void)state;
    struct scales s;
    size_t counts[OUTS] = {0};
    scales_open(&s, BALANCE_LEAST_PING);
    scales_observe(&s);
    health_failed(s.outs[1].health, "no route", 1);
    for (int i = 0; i < 100; i++)
        counts[choose(&s)]++;
    assert_true(counts[0] > 0 && counts[2] > 0);
    assert_int_equal(counts[0] + counts[2], 100);
    scales_close(&s);
}

/* --- when nobody is left --- */

static void without_a_fallback_nobody_takes_what_the_dead_cannot(void **state)
{
    (void)state;
    for (int strategy = BALANCE_RANDOM; strategy <= BALANCE_LEAST_PING; strategy++) {
        struct scales s;
        scales_open(&s, (enum balance_strategy)strategy);
        s.b.outbounds = &s.candidates[2];
        s.b.count = 1;
        s.dead[2] = true;
        assert_int_equal(choose(&s), SIZE_MAX);
        assert_null(balance_settled(&s.b, s.all));
        s.b.has_fallback = true;
        assert_int_equal(choose(&s), 3);
        s.dead[3] = true; /* whoever named it wants it so */
        assert_int_equal(choose(&s), 3);
        assert_ptr_equal(balance_settled(&s.b, s.all), s.all[3]);
        scales_close(&s);
    }
}

/* --- by hand --- */

static void an_override_holds_until_it_is_cleared(void **state)
{
    (void)state;
    struct scales s;
    scales_open(&s, BALANCE_ROUND_ROBIN);
    assert_null(balance_overridden(&s.b, s.all));
    assert_true(balance_override(&s.b, s.all, "c"));
    s.dead[2] = true;
    for (int i = 0; i < 10; i++)
        assert_int_equal(choose(&s), 2);
    assert_ptr_equal(balance_overridden(&s.b, s.all), s.all[2]);
    assert_ptr_equal(balance_settled(&s.b, s.all), s.all[2]);
    assert_true(balance_override(&s.b, s.all, NULL));
    for (int i = 0; i < 10; i++)
        assert_in_range(choose(&s), 0, 1);
    scales_close(&s);
}

static void only_what_the_balancer_names_can_be_forced(void **state)
{
    (void)state;
    struct scales s;
    scales_open(&s, BALANCE_RANDOM);
    assert_false(balance_override(&s.b, s.all, "else"));
    assert_false(balance_override(&s.b, s.all, "nobody"));
    assert_null(balance_overridden(&s.b, s.all));
    s.b.has_fallback = true;
    assert_true(balance_override(&s.b, s.all, "else"));
    assert_int_equal(choose(&s), 3);
    scales_close(&s);
}

/* As after a change of the configuration, which keeps the state. */
static void an_override_to_what_is_no_candidate_any_more_has_no_effect(void **state)
{
    (void)state;
    struct scales s;
    scales_open(&s, BALANCE_RANDOM);
    assert_true(balance_override(&s.b, s.all, "a"));
    struct balancer next = s.b;
    next.outbounds = &s.candidates[1];
    next.count = 2;
    next.state = balance_state_ref(s.b.state);
    for (int i = 0; i < 50; i++)
        assert_ptr_not_equal(balance_choose(&next, s.all), s.all[0]);
    assert_null(balance_overridden(&next, s.all));
    balance_state_unref(next.state);
    assert_int_equal(choose(&s), 0);
    scales_close(&s);
}

static void what_every_flow_gets_is_settled(void **state)
{
    (void)state;
    struct scales s;
    scales_open(&s, BALANCE_RANDOM);
    assert_null(balance_settled(&s.b, s.all));
    s.dead[0] = s.dead[2] = true;
    assert_ptr_equal(balance_settled(&s.b, s.all), s.all[1]);
    scales_close(&s);
    scales_open(&s, BALANCE_LEAST_PING);
    scales_observe(&s);
    assert_null(balance_settled(&s.b, s.all));
    health_answered(s.outs[2].health, 1, 1);
    assert_ptr_equal(balance_settled(&s.b, s.all), s.all[2]);
    scales_close(&s);
}

static void balancers_are_found_by_tag(void **state)
{
    (void)state;
    struct balancer items[] = {{.tag = "one"}, {.tag = "two"}};
    const struct balancers bs = {items, 2};
    assert_ptr_equal(balancers_find(&bs, "two"), &items[1]);
    assert_null(balancers_find(&bs, "three"));
    assert_string_equal(balance_strategy_name(BALANCE_LEAST_PING), "leastPing");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_gives_each_its_share),
        cmocka_unit_test(what_is_dead_gets_nothing),
        cmocka_unit_test(what_the_observatory_found_dead_gets_nothing),
        cmocka_unit_test(a_portal_without_a_bridge_is_dead_whatever_the_observatory_says),
        cmocka_unit_test(round_robin_takes_turns_among_the_living),
        cmocka_unit_test(least_ping_takes_the_one_that_answered_soonest),
        cmocka_unit_test(least_ping_before_the_first_answer_is_random),
        cmocka_unit_test(without_a_fallback_nobody_takes_what_the_dead_cannot),
        cmocka_unit_test(an_override_holds_until_it_is_cleared),
        cmocka_unit_test(only_what_the_balancer_names_can_be_forced),
        cmocka_unit_test(an_override_to_what_is_no_candidate_any_more_has_no_effect),
        cmocka_unit_test(what_every_flow_gets_is_settled),
        cmocka_unit_test(balancers_are_found_by_tag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
