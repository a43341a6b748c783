#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "transport/dns_cache.h"

static struct dns_records of(size_t count, uint32_t ttl)
{
    struct dns_records r;
    struct addr ip = {.type = ADDR_IPV4, .ip = {127}};
    r.count = 0;
    r.ttl = ttl;
    for (size_t i = 0; i < count; i++) {
        ip.ip[3] = (uint8_t)i;
        dns_records_add(&r, &ip);
    }
    return r;
}

static bool holds(struct dns_cache *c, const char *name, double now)
{
    struct dns_records r;
    return dns_cache_find(c, name, DNS_BOTH, now, &r);
}

static void an_answer_is_found_until_its_time_is_over(void **state)
{
    (void)state;
    static const struct {
        size_t count;
        uint32_t ttl;
        double lasts;
    } cases[] = {{2, 60, 60},         {2, 0, DNS_TTL_MIN},         {2, 100000, DNS_TTL_MAX},
                 {0, 10, 10},         {0, 0, DNS_TTL_MIN},         {0, 900, DNS_TTL_NOTHING},
                 {0, UINT32_MAX, 30}, {1, UINT32_MAX, DNS_TTL_MAX}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct dns_cache c = {0};
        struct dns_records r = of(cases[i].count, cases[i].ttl);
        assert_false(holds(&c, "a.example", 1000));
        dns_cache_add(&c, "a.example", DNS_BOTH, 1000, &r);
        assert_true(holds(&c, "a.example", 1000));
        assert_true(holds(&c, "a.example", 1000 + cases[i].lasts - 0.1));
        assert_false(holds(&c, "a.example", 1000 + cases[i].lasts));
        assert_int_equal(c.count, 0);
        dns_cache_clear(&c);
    }
}

static void names_and_families_are_apart(void **state)
{
    (void)state;
    struct dns_cache c = {0};
    struct dns_records r = of(3, 60), found;
    dns_cache_add(&c, "a.example", DNS_A, 0, &r);
    assert_false(dns_cache_find(&c, "a.example", DNS_BOTH, 1, &found));
    assert_false(dns_cache_find(&c, "b.example", DNS_A, 1, &found));
    assert_true(dns_cache_find(&c, "a.example", DNS_A, 1, &found));
    assert_int_equal(found.count, 3);
    assert_int_equal(found.ips[2].ip[3], 2);
    dns_cache_clear(&c);
    assert_false(dns_cache_find(&c, "a.example", DNS_A, 1, &found));
}

static void a_new_answer_takes_the_place_of_the_old(void **state)
{
    (void)state;
    struct dns_cache c = {0};
    struct dns_records old = of(3, 60), fresh = of(1, 60), found;
    dns_cache_add(&c, "a.example", DNS_A, 0, &old);
    dns_cache_add(&c, "a.example", DNS_A, 0, &fresh);
    assert_int_equal(c.count, 1);
    assert_true(dns_cache_find(&c, "a.example", DNS_A, 1, &found));
    assert_int_equal(found.count, 1);
    dns_cache_clear(&c);
}

static void what_is_used_stays_when_there_is_no_room(void **state)
{
    (void)state;
    struct dns_cache c = {0};
    struct dns_records r = of(1, 600);
    char name[32];
    for (int i = 0; i < 3 * DNS_CACHE_NAMES; i++) {
        snprintf(name, sizeof name, "n%d.example", i);
        dns_cache_add(&c, name, DNS_BOTH, 0, &r);
        assert_true(holds(&c, "n0.example", 1));
        assert_true(c.count <= DNS_CACHE_NAMES);
    }
    assert_int_equal(c.count, DNS_CACHE_NAMES);
    assert_false(holds(&c, "n1.example", 1));
    assert_true(holds(&c, name, 1));
    dns_cache_clear(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_found_until_its_time_is_over),
        cmocka_unit_test(names_and_families_are_apart),
        cmocka_unit_test(a_new_answer_takes_the_place_of_the_old),
        cmocka_unit_test(what_is_used_stays_when_there_is_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
