#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "transport/forwarded.h"

static struct trusted trust(struct net_prefix nets[2])
{
    struct err e;
    assert_int_equal(net_prefix_parse(&nets[0], "127.0.0.0/8", &e), 0);
    assert_int_equal(net_prefix_parse(&nets[1], "2001:db8:8000::/33", &e), 0);
    return (struct trusted){nets, 2};
}

static bool trusts(const char *host)
{
    struct net_prefix nets[2];
    struct trusted t = trust(nets);
    struct addr a = {0};
    struct err e;
    assert_int_equal(addr_parse_host(&a, host, strlen(host), &e), 0);
    return trusted_has(&t, &a);
}

static void networks_are_trusted_to_the_bit(void **state)
{
    (void)state;
    struct trusted nobody = {0};
    struct addr unix_peer = {0};
    assert_true(trusts("127.255.0.1"));
    assert_false(trusts("128.0.0.1"));
    assert_true(trusts("2001:db8:ffff::1"));
    assert_false(trusts("2001:db8:7fff::1"));
    assert_true(trusted_has(&nobody, &unix_peer));
}

static void a_network_is_written_with_as_many_bits_as_it_has(void **state)
{
    (void)state;
    static const char *const bad[] = {"",    "a.example",    "192.0.2.0/33", "192.0.2.0/",
                                      "::/", "192.0.2.0/8x", "192.0.2.0/-1", "::/129"};
    struct net_prefix p;
    struct err e;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(net_prefix_parse(&p, bad[i], &e), -1);
    assert_int_equal(net_prefix_parse(&p, "::1", &e), 0);
    assert_int_equal(p.bits, 128);
    assert_int_equal(net_prefix_parse(&p, "0.0.0.0/0", &e), 0);
    assert_int_equal(p.bits, 0);
}

static void assert_source(const char *list, const char *want)
{
    struct net_prefix nets[2];
    struct trusted t = trust(nets);
    struct addr a = {0};
    char text[ADDR_TEXT_MAX];
    bool found = forwarded_source(&t, list, &a);
    assert_string_equal(found ? addr_host_text(&a, text) : "", want);
}

static void the_visitor_is_the_last_whom_nobody_trusts(void **state)
{
    (void)state;
    assert_source("192.0.2.1", "192.0.2.1");
    assert_source("198.51.100.1, 192.0.2.1", "192.0.2.1");
    assert_source("198.51.100.1, 192.0.2.1,127.0.0.1 , 2001:db8:8000::1", "192.0.2.1");
    assert_source("127.0.0.2, 127.0.0.1", "127.0.0.2");
    assert_source("192.0.2.1:80", "192.0.2.1");
    assert_source("[2001:db8::1]:80", "2001:db8::1");
    assert_source("2001:db8::1", "2001:db8::1");
    assert_source("", "");
    assert_source("unknown", "");
    assert_source("192.0.2.1, unknown, 127.0.0.1", "");
    assert_source("nonsense, 192.0.2.1", "192.0.2.1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_are_trusted_to_the_bit),
        cmocka_unit_test(a_network_is_written_with_as_many_bits_as_it_has),
        cmocka_unit_test(the_visitor_is_the_last_whom_nobody_trusts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
