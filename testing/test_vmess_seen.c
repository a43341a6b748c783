#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/vmess_seen.h"

enum { NOW = 1700000000 };

struct key {
    uint8_t bytes[SEEN_KEY];
};

static struct key key_of(uint32_t number)
{
    struct key key = {{0x5a, 0x5a, 0x5a, 0x5a, 0x5a}};
    memcpy(key.bytes + 8, &number, sizeof number);
    return key;
}

static void seen_costs_nothing_before_the_first_value(void **state)
{
    (void)state;
    struct vmess_seen s;
    vmess_seen_init(&s, SEEN_MAX);
    for (size_t i = 0; i < SEEN_SPANS; i++)
        assert_null(s.spans[i].slots);
    assert_false(vmess_seen_has(&s, key_of(1).bytes, NOW));
    vmess_seen_fini(&s);
}

static void seen_knows_exactly_what_was_added(void **state)
{
    (void)state;
    struct vmess_seen s;
    vmess_seen_init(&s, SEEN_MAX);
    for (uint32_t i = 0; i < 20000; i++)
        assert_int_equal(vmess_seen_add(&s, key_of(i).bytes, NOW + i % 240, NOW), 0);
    assert_int_equal(vmess_seen_add(&s, key_of(7).bytes, NOW + 7, NOW), 0);
    assert_int_equal(s.count, 20000);
    for (uint32_t i = 0; i < 20000; i++)
        assert_true(vmess_seen_has(&s, key_of(i).bytes, NOW));
    for (uint32_t i = 20000; i < 40000; i++)
        assert_false(vmess_seen_has(&s, key_of(i).bytes, NOW));
    vmess_seen_fini(&s);
}

static void seen_keeps_a_value_until_it_expires_and_not_for_ever(void **state)
{
    (void)state;
    struct vmess_seen s;
    vmess_seen_init(&s, SEEN_MAX);
    vmess_seen_add(&s, key_of(1).bytes, NOW + 240, NOW);
    for (int at = 1; at <= 240; at++) {
        vmess_seen_add(&s, key_of(1000 + (uint32_t)at).bytes, NOW + at + 240, NOW + at);
        assert_true(vmess_seen_has(&s, key_of(1).bytes, NOW + at));
    }
    assert_false(vmess_seen_has(&s, key_of(1).bytes, NOW + 240 + SEEN_SPAN));
    vmess_seen_add(&s, key_of(2).bytes, NOW + 600, NOW + 240 + SEEN_SPAN);
    vmess_seen_add(&s, key_of(3).bytes, NOW + 5000, NOW + 4900);
    assert_int_equal(s.count, 1);
    vmess_seen_fini(&s);
}

static void seen_when_full_forgets_what_expires_first(void **state)
{
    (void)state;
    struct vmess_seen s;
    vmess_seen_init(&s, 100);
    for (uint32_t i = 0; i < 60; i++)
        vmess_seen_add(&s, key_of(i).bytes, NOW + 10, NOW);
    for (uint32_t i = 60; i < 160; i++)
        vmess_seen_add(&s, key_of(i).bytes, NOW + 200, NOW);
    assert_true(s.count <= 100);
    assert_false(vmess_seen_has(&s, key_of(0).bytes, NOW));
    assert_true(vmess_seen_has(&s, key_of(60).bytes, NOW));
    assert_true(vmess_seen_has(&s, key_of(159).bytes, NOW));
    vmess_seen_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seen_costs_nothing_before_the_first_value),
        cmocka_unit_test(seen_knows_exactly_what_was_added),
        cmocka_unit_test(seen_keeps_a_value_until_it_expires_and_not_for_ever),
        cmocka_unit_test(seen_when_full_forgets_what_expires_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
