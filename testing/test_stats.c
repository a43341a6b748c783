#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/stats.h"

static void stats_fixed_counters_have_the_slots_of_their_names(void **state)
{
    (void)state;
    struct stats s;
    assert_int_equal(stats_init(&s, NULL), 0);
    assert_int_equal(s.count, STAT_FIXED);
    assert_int_equal(stats_slot(&s, "flows_opened"), STAT_flows_opened);
    assert_int_equal(stats_slot(&s, "datagrams_dropped"), STAT_datagrams_dropped);
    assert_int_equal(s.info[STAT_flows_live].kind, STAT_GAUGE);
    assert_int_equal(s.info[STAT_accepts].kind, STAT_COUNTER);
    for (unsigned i = 0; i < STAT_FIXED; i++)
        assert_non_null(s.info[i].help);
    stats_fini(&s);
}

static void stats_slot_of_a_name_stays_the_same(void **state)
{
    (void)state;
    struct stats s;
    int slots[500];
    char name[64];
    assert_int_equal(stats_init(&s, NULL), 0);
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "inbound>>>door-%d>>>traffic>>>uplink", i);
        slots[i] = stats_slot(&s, name);
        assert_int_equal(slots[i], STAT_FIXED + i);
    }
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "inbound>>>door-%d>>>traffic>>>uplink", i);
        assert_int_equal(stats_slot(&s, name), slots[i]);
        assert_string_equal(s.info[slots[i]].name, name);
        assert_null(s.info[slots[i]].help);
    }
    assert_int_equal(s.count, STAT_FIXED + 500);
    stats_fini(&s);
    assert_int_equal(s.count, 0);
}

static void slots_stay_when_another_registry_follows(void **state)
{
    (void)state;
    struct stats a, b;
    assert_int_equal(stats_init(&a, NULL), 0);
    int first = stats_slot(&a, "portal>>>one>>>carriers");
    int second = stats_slot(&a, "portal>>>two>>>carriers");
    assert_int_equal(stats_init(&b, &a), 0);
    stats_fini(&a);
    assert_int_equal(stats_slot(&b, "portal>>>three>>>carriers"), second + 1);
    assert_int_equal(stats_slot(&b, "portal>>>two>>>carriers"), second);
    assert_int_equal(stats_slot(&b, "portal>>>one>>>carriers"), first);
    stats_fini(&b);
}

static void there_are_no_more_slots_than_the_most(void **state)
{
    (void)state;
    struct stats s;
    assert_int_equal(stats_init(&s, NULL), 0);
    unsigned there = s.count;
    s.count = STATS_MAX; /* as if so many had been added */
    struct stat_info *info = s.info, *many = calloc(STATS_MAX, sizeof *many);
    assert_non_null(many);
    for (unsigned i = 0; i < STATS_MAX; i++)
        many[i].name = "x";
    s.info = many;
    assert_int_equal(stats_slot(&s, "one more"), -1);
    assert_int_equal(stats_slot(&s, "x"), 0);
    free(many);
    s.info = info;
    s.count = there;
    stats_fini(&s);
}

static void stats_traffic_counts_and_all_else_is_a_gauge(void **state)
{
    (void)state;
    struct stats s;
    assert_int_equal(stats_init(&s, NULL), 0);
    int up = stats_slot(&s, "user>>>a@b>>>traffic>>>uplink");
    int carriers = stats_slot(&s, "portal>>>web>>>carriers");
    assert_int_equal(s.info[up].kind, STAT_COUNTER);
    assert_int_equal(s.info[carriers].kind, STAT_GAUGE);
    stats_fini(&s);
}

static void stat_sum_adds_the_loops_and_only_that_slot(void **state)
{
    (void)state;
    struct counter a[3] = {0}, b[3] = {0};
    struct counter *const loops[] = {a, b};
    stat_add(a, 1, 40);
    stat_add(b, 1, 3);
    stat_add(b, 1, -1);
    stat_add(b, 2, 99);
    stat_add(a, -1, 7); /* counts nothing */
    assert_int_equal(stat_sum(loops, 2, 0), 0);
    assert_int_equal(stat_sum(loops, 2, 1), 42);
    assert_int_equal(stat_sum(loops, 1, 1), 40);
    assert_int_equal(stat_sum(loops, 0, 1), 0);
}

enum { ADDS = 100000 };

static void *add_many(void *counters)
{
    for (int i = 0; i < ADDS; i++)
        stat_add(counters, 0, 1);
    return NULL;
}

static void stat_sum_never_goes_back_while_loops_count(void **state)
{
    (void)state;
    struct counter a[1] = {0}, b[1] = {0};
    struct counter *const loops[] = {a, b};
    pthread_t t[2];
    assert_int_equal(pthread_create(&t[0], NULL, add_many, a), 0);
    assert_int_equal(pthread_create(&t[1], NULL, add_many, b), 0);
    int64_t before = 0, now;
    while ((now = stat_sum(loops, 2, 0)) < 2 * ADDS) {
        assert_true(now >= before);
        before = now;
    }
    pthread_join(t[0], NULL);
    pthread_join(t[1], NULL);
    assert_int_equal(stat_sum(loops, 2, 0), 2 * ADDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stats_fixed_counters_have_the_slots_of_their_names),
        cmocka_unit_test(stats_slot_of_a_name_stays_the_same),
        cmocka_unit_test(slots_stay_when_another_registry_follows),
        cmocka_unit_test(there_are_no_more_slots_than_the_most),
        cmocka_unit_test(stats_traffic_counts_and_all_else_is_a_gauge),
        cmocka_unit_test(stat_sum_adds_the_loops_and_only_that_slot),
        cmocka_unit_test(stat_sum_never_goes_back_while_loops_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
