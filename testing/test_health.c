#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/health.h"

static struct health_report report_of(struct health *h)
{
    struct health_report r;
    health_read(h, &r);
    return r;
}

static void at_first_nothing_is_known(void **state)
{
    (void)state;
    struct health *h = health_new();
    assert_int_equal(health_delay(h), HEALTH_UNKNOWN);
    struct health_report r = report_of(h);
    assert_false(r.known || r.alive);
    assert_true(r.tried_at == 0 && r.alive_at == 0);
    health_unref(h);
}

static void an_answer_has_a_delay_and_a_failure_a_reason(void **state)
{
    (void)state;
    struct health *h = health_new();
    health_answered(h, 0.25, 100);
    assert_int_equal(health_delay(h), 250000);
    struct health_report r = report_of(h);
    assert_true(r.known && r.alive && r.delay == 0.25 && r.alive_at == 100);
    health_failed(h, "no route", 200);
    assert_true(health_delay(h) == HEALTH_DEAD);
    r = report_of(h);
    assert_true(r.known && !r.alive && r.delay == 0);
    assert_true(r.tried_at == 200 && r.alive_at == 100);
    assert_string_equal(r.error, "no route");
    health_answered(h, 0.25, 300);
    assert_string_equal(report_of(h).error, "");
    health_unref(h);
}

static void no_delay_reads_as_unknown_or_dead(void **state)
{
    (void)state;
    struct health *h = health_new();
    health_answered(h, 0, 1);
    assert_true(report_of(h).alive);
    health_answered(h, -1, 1);
    assert_true(report_of(h).alive);
    health_answered(h, 1e9, 1);
    assert_true(report_of(h).alive);
    health_unref(h);
}

static void a_long_reason_is_cut(void **state)
{
    (void)state;
    struct health *h = health_new();
    char why[2 * HEALTH_ERROR_MAX];
    memset(why, 'x', sizeof why - 1);
    why[sizeof why - 1] = '\0';
    health_failed(h, why, 1);
    assert_int_equal(strlen(report_of(h).error), HEALTH_ERROR_MAX - 1);
    health_unref(h);
}

static void the_last_share_frees_it(void **state)
{
    (void)state;
    struct health *h = health_new();
    health_unref(health_ref(h));
    health_answered(h, 1, 1);
    health_unref(h);
    health_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_first_nothing_is_known),
        cmocka_unit_test(an_answer_has_a_delay_and_a_failure_a_reason),
        cmocka_unit_test(no_delay_reads_as_unknown_or_dead),
        cmocka_unit_test(a_long_reason_is_cut),
        cmocka_unit_test(the_last_share_frees_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
