#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>

#include "cluster/misses.h"

static struct addr ipv4(uint8_t last)
{
    return (struct addr){.type = ADDR_IPV4, .ip = {192, 0, 2, last}};
}

static struct addr ipv6(uint8_t net, uint8_t host)
{
    return (struct addr){.type = ADDR_IPV6, .ip = {[0] = 0x20, [7] = net, [15] = host}};
}

/* How many it may have at once. */
static unsigned takes(struct misses *m, struct addr source, double now)
{
    unsigned count = 0, place;
    while (count < 1000 && misses_take(m, &source, now, &place))
        count++;
    return count;
}

static void two_hundred_at_once_and_fifty_a_second(void **state)
{
    (void)state;
    struct misses *m = misses_new();
    assert_int_equal(takes(m, ipv4(1), 100), 200);
    assert_int_equal(takes(m, ipv4(1), 100), 0);
    assert_int_equal(takes(m, ipv4(1), 101), 50);
    assert_int_equal(takes(m, ipv4(1), 101.125), 6);
    assert_int_equal(takes(m, ipv4(1), 5000), 200);
    misses_free(m);
}

static void what_was_none_is_given_back(void **state)
{
    (void)state;
    struct misses *m = misses_new();
    struct addr who = ipv4(1);
    unsigned place;
    for (int i = 0; i < 1000; i++) {
        assert_true(misses_take(m, &who, 100, &place));
        misses_back(m, place);
    }
    assert_int_equal(takes(m, who, 100), 200);
    misses_free(m);
}

static void each_source_has_its_own_and_an_ipv6_network_is_one(void **state)
{
    (void)state;
    struct misses *m = misses_new();
    assert_int_equal(takes(m, ipv4(1), 100), 200);
    assert_int_equal(takes(m, ipv6(1, 1), 100), 200);
    assert_int_equal(takes(m, ipv6(1, 2), 100), 0);
    misses_free(m);
}

static void who_is_pushed_out_begins_anew(void **state)
{
    (void)state;
    struct misses *m = misses_new();
    unsigned place;
    for (unsigned i = 0; i < 100000; i++) {
        struct addr a = {.type = ADDR_IPV4,
                         .ip = {10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}};
        assert_true(misses_take(m, &a, 100, &place));
    }
    misses_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_hundred_at_once_and_fifty_a_second),
        cmocka_unit_test(what_was_none_is_given_back),
        cmocka_unit_test(each_source_has_its_own_and_an_ipv6_network_is_one),
        cmocka_unit_test(who_is_pushed_out_begins_anew),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
