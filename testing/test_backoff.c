#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reverse/backoff.h"

static const double outages[] = {0, 0.01, 0.5, 1, 10, 60, 100, 3600, 1e9};
enum { OUTAGES = sizeof outages / sizeof *outages };

static void a_delay_is_never_below_25_ms_nor_above_10_s(void **state)
{
    (void)state;
    for (int i = 0; i < OUTAGES; i++)
        for (int die = 0; die < 1000; die++) {
            double delay = backoff_delay(outages[i], die / 1000.0);
            assert_true(delay >= 0.025 && delay <= 10);
        }
}

static void a_longer_outage_never_shortens_the_delay(void **state)
{
    (void)state;
    for (int i = 1; i < OUTAGES; i++)
        assert_true(backoff_delay(outages[i], 0.3) >= backoff_delay(outages[i - 1], 0.3));
}

static void the_delay_is_a_tenth_of_the_outage_give_or_take_half(void **state)
{
    (void)state;
    for (double outage = 1; outage < 60; outage += 1) {
        double low = backoff_delay(outage, 0), high = backoff_delay(outage, 0.999);
        assert_true(low > outage * 0.0499 && low < outage * 0.0501);
        assert_true(high > outage * 0.1498 && high < outage * 0.1501);
    }
}

static void attempts_grow_slower_than_the_outage(void **state)
{
    (void)state;
    double outage = 0;
    int attempts = 0;
    for (; outage < 3600; attempts++)
        outage += backoff_delay(outage, 0.5);
    assert_true(attempts > 360 && attempts < 700); /* an hour: one in 10 s at the most */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_delay_is_never_below_25_ms_nor_above_10_s),
        cmocka_unit_test(a_longer_outage_never_shortens_the_delay),
        cmocka_unit_test(the_delay_is_a_tenth_of_the_outage_give_or_take_half),
        cmocka_unit_test(attempts_grow_slower_than_the_outage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
