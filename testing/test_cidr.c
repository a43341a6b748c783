#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "routing/cidr.h"

static struct cidr_set *set_of(const char *const *texts)
{
    struct cidr_set *s = cidr_set_new();
    assert_non_null(s);
    for (; *texts; texts++) {
        struct err e = {0};
        if (cidr_set_add(s, *texts, &e) < 0)
            fail_msg("%s: %s", *texts, e.text);
    }
    assert_int_equal(cidr_set_seal(s), 0);
    return s;
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NOTHING ((const char *const[]){NULL})

static bool has(const struct cidr_set *s, const char *host)
{
    struct addr a;
    struct err e;
    assert_int_equal(addr_parse_host(&a, host, strlen(host), &e), 0);
    return cidr_set_match(s, &a);
}

static void assert_matches(struct cidr_set *s, const char *const *yes, const char *const *no)
{
    for (; *yes; yes++)
        if (!has(s, *yes))
            fail_msg("%s did not match", *yes);
    for (; *no; no++)
        if (has(s, *no))
            fail_msg("%s matched", *no);
    cidr_set_free(s);
}

static void cidr_address_matches_itself(void **state)
{
    (void)state;
    assert_matches(set_of(LIST("192.0.2.1", "2001:db8::1", "[::1]")),
                   LIST("192.0.2.1", "2001:db8::1", "::1", "::ffff:192.0.2.1"),
                   LIST("192.0.2.0", "192.0.2.2", "2001:db8::", "2001:db8::2", "::2", "a.com"));
}

static void cidr_network_matches_first_to_last(void **state)
{
    (void)state;
    assert_matches(set_of(LIST("10.1.2.3/8", "192.0.2.128/25", "2001:db8::/33")),
                   LIST("10.0.0.0", "10.255.255.255", "192.0.2.128", "192.0.2.255",
                        "2001:db8::", "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff"),
                   LIST("9.255.255.255", "11.0.0.0", "192.0.2.127", "192.0.3.0",
                        "2001:db8:8000::", "2001:db7:ffff::"));
}

static void cidr_nested_and_overlapping_networks_lose_nothing(void **state)
{
    (void)state;
    assert_matches(
        set_of(LIST("10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.0.0.0/16", "10.0.0.0/8",
                    "12.0.0.0/8", "2000::/3", "2001:db8::/32")),
        LIST("10.2.0.1", "10.1.2.3", "10.200.0.0", "10.0.0.1", "12.0.0.1", "2001:db8::1", "3000::"),
        LIST("11.0.0.0", "13.0.0.0", "4000::"));
}

static void cidr_prefix_0_matches_its_family_only(void **state)
{
    (void)state;
    assert_matches(set_of(LIST("0.0.0.0/0")), LIST("0.0.0.0", "255.255.255.255", "::ffff:1.2.3.4"),
                   LIST("::", "::1", "a.com"));
    assert_matches(set_of(LIST("::/0")), LIST("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
                   LIST("0.0.0.0", "::ffff:1.2.3.4"));
}

static void cidr_mapped_ipv6_counts_as_ipv4(void **state)
{
    (void)state;
    assert_matches(set_of(LIST("::ffff:10.0.0.0/8")), LIST("10.1.2.3"), LIST("11.0.0.0", "::"));
}

static void cidr_every_prefix_length_has_its_border(void **state)
{
    (void)state;
    for (unsigned prefix = 1; prefix <= 128; prefix++) {
        char text[64];
        struct addr inside = {.type = ADDR_IPV6}, outside = {.type = ADDR_IPV6};
        inside.ip[0] = outside.ip[0] = 0x80;
        for (unsigned bit = prefix; bit < 128; bit++)
            inside.ip[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
        outside.ip[(prefix - 1) / 8] ^= (uint8_t)(0x80 >> (prefix - 1) % 8);
        snprintf(text, sizeof text, "8000::/%u", prefix);
        struct cidr_set *s = set_of(LIST(text));
        assert_true(has(s, "8000::"));
        assert_true(cidr_set_match(s, &inside));
        assert_false(cidr_set_match(s, &outside));
        cidr_set_free(s);
    }
}

static void assert_refused(const char *text, int code, const char *why, const char *wanted)
{
    struct err e = {0};
    struct cidr_set *s = cidr_set_new();
    assert_int_equal(cidr_set_add(s, text, &e), -1);
    assert_int_equal(e.code, code);
    if (!strstr(e.text, why) || !strstr(e.text, wanted))
        fail_msg("%s: %s", text, e.text);
    cidr_set_free(s);
}

static void cidr_refuses_bad_text_and_says_what_it_wants(void **state)
{
    (void)state;
    assert_refused("example.com", EINVAL, "invalid IP: example.com", "want an address");
    assert_refused("", EINVAL, "invalid IP: ", "want an address");
    assert_refused("/8", EINVAL, "invalid IP: /8", "want an address");
    assert_refused("1.2.3", EINVAL, "invalid IP: 1.2.3", "want an address");
    assert_refused("fe80::1%eth0", EINVAL, "invalid IP: fe80::1%eth0", "want an address");
    assert_refused("10.0.0.0/33", EINVAL, "invalid IP: 10.0.0.0/33",
                   "want a prefix length of 0..32");
    assert_refused("::ffff:10.0.0.0/104", EINVAL, "invalid IP: ::ffff:10.0.0.0/104", "0..32");
    assert_refused("::/129", EINVAL, "invalid IP: ::/129", "want a prefix length of 0..128");
    assert_refused("10.0.0.0/", EINVAL, "invalid IP: 10.0.0.0/", "want a prefix length");
    assert_refused("10.0.0.0/+8", EINVAL, "invalid IP: 10.0.0.0/+8", "want a prefix length");
    assert_refused("10.0.0.0/8 ", EINVAL, "invalid IP: 10.0.0.0/8 ", "want a prefix length");
    assert_refused("10.0.0.0/8/8", EINVAL, "invalid IP: 10.0.0.0/8/8", "want a prefix length");
    assert_refused("1.1.1.1/99999999999", EINVAL, "invalid IP: ", "want a prefix length");
}

static void cidr_refuses_lists_in_files(void **state)
{
    (void)state;
    assert_refused("geoip:private", ENOTSUP, "geoip: lists are not possible here", "");
    assert_refused("ext:file:cn", ENOTSUP, "ext: lists are not possible here", "");
    assert_refused("ext-ip:file:cn", ENOTSUP, "ext-ip: lists are not possible here", "");
}

static void cidr_an_exclamation_mark_means_all_but(void **state)
{
    (void)state;
    assert_matches(set_of(LIST("!10.0.0.0/8")),
                   LIST("9.255.255.255", "11.0.0.0", "0.0.0.0", "255.255.255.255", "::", "ff::1"),
                   LIST("10.0.0.0", "10.255.255.255", "a.com"));
    assert_matches(set_of(LIST("!::/1")), LIST("8000::", "ffff::", "1.2.3.4"),
                   LIST("::", "7fff::"));
    assert_matches(set_of(LIST("!0.0.0.0/0", "10.0.0.1")), LIST("::1", "10.0.0.1"),
                   LIST("0.0.0.0", "10.0.0.2", "255.255.255.255"));
    assert_matches(set_of(LIST("!10.0.0.0/8", "!11.0.0.0/8")), LIST("10.0.0.1", "11.0.0.1"),
                   NOTHING);
    assert_refused("!!10.0.0.0/8", EINVAL, "invalid IP", "");
    assert_refused("!", EINVAL, "invalid IP", "");
}

/* Whatever is in a set, "all but" turns every answer round. */
static void cidr_the_rest_is_what_is_not_there(void **state)
{
    (void)state;
    struct err e;
    struct cidr_set *s = set_of(LIST("0.0.0.0/30", "128.0.0.0/1", "10.1.0.0/16", "::/128", "8::/13",
                                     "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
    struct cidr_set *rest = cidr_set_new();
    assert_int_equal(cidr_set_add_rest(rest, s, &e), 0);
    assert_int_equal(cidr_set_seal(rest), 0);
    static const char *const ips[] = {"0.0.0.0",
                                      "0.0.0.3",
                                      "0.0.0.4",
                                      "10.0.255.255",
                                      "10.1.0.0",
                                      "10.1.255.255",
                                      "10.2.0.0",
                                      "127.255.255.255",
                                      "128.0.0.0",
                                      "255.255.255.255",
                                      "::",
                                      "::1",
                                      "7:ffff::",
                                      "8::",
                                      "f:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                                      "10::",
                                      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe",
                                      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"};
    for (size_t i = 0; i < sizeof ips / sizeof *ips; i++)
        assert_int_equal(has(s, ips[i]), !has(rest, ips[i]));
    cidr_set_free(s);
    cidr_set_free(rest);
}

static void cidr_an_included_list_outlives_its_maker(void **state)
{
    (void)state;
    struct err e;
    struct cidr_set *list = set_of(LIST("10.0.0.0/8")), *one = set_of(LIST("1.1.1.1")),
                    *two = set_of(LIST("2.2.2.2"));
    assert_int_equal(cidr_set_include(one, list, &e), 0);
    assert_int_equal(cidr_set_include(two, list, &e), 0);
    cidr_set_free(list);
    assert_matches(one, LIST("1.1.1.1", "10.0.0.1"), LIST("2.2.2.2"));
    assert_matches(two, LIST("2.2.2.2", "10.0.0.1"), LIST("1.1.1.1"));
}

/* "source" and "sourceIP" of a rule are one set. */
static void cidr_a_sealed_set_takes_more(void **state)
{
    (void)state;
    struct err e;
    struct cidr_set *s = set_of(LIST("10.0.0.1", "::1"));
    static const char *const more[] = {"10.0.0.3", "10.0.0.5", "::3", "::5", "10.0.0.0/8"};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        assert_int_equal(cidr_set_add(s, more[i], &e), 0);
        assert_int_equal(cidr_set_seal(s), 0);
    }
    assert_matches(s, LIST("10.0.0.1", "10.255.0.0", "::1", "::3", "::5"), LIST("::2", "11.0.0.0"));
}

static void cidr_bytes_of_files_are_checked(void **state)
{
    (void)state;
    static const uint8_t ip[16] = {10, 1, 2, 3}, mapped[16] = {[10] = 0xff, 0xff, 10, 1, 2, 3};
    struct err e;
    struct cidr_set *s = cidr_set_new();
    assert_int_equal(cidr_set_add_bytes(s, ip, 4, 33, &e), -1);
    assert_int_equal(cidr_set_add_bytes(s, ip, 16, 129, &e), -1);
    assert_int_equal(cidr_set_add_bytes(s, ip, 5, 8, &e), -1);
    assert_int_equal(cidr_set_add_bytes(s, ip, 0, 0, &e), -1);
    assert_int_equal(cidr_set_add_bytes(s, mapped, 16, 104, &e), 0);
    assert_int_equal(cidr_set_seal(s), 0);
    assert_matches(s, LIST("10.255.0.1"), LIST("11.0.0.0", "::a01:203"));
}

static void cidr_empty_set_matches_nothing(void **state)
{
    (void)state;
    struct addr none = {0};
    struct cidr_set *s = set_of(NOTHING);
    assert_false(cidr_set_match(s, &none));
    assert_matches(s, NOTHING, LIST("0.0.0.0", "::", "a"));
    cidr_set_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cidr_address_matches_itself),
        cmocka_unit_test(cidr_network_matches_first_to_last),
        cmocka_unit_test(cidr_nested_and_overlapping_networks_lose_nothing),
        cmocka_unit_test(cidr_prefix_0_matches_its_family_only),
        cmocka_unit_test(cidr_mapped_ipv6_counts_as_ipv4),
        cmocka_unit_test(cidr_every_prefix_length_has_its_border),
        cmocka_unit_test(cidr_refuses_bad_text_and_says_what_it_wants),
        cmocka_unit_test(cidr_refuses_lists_in_files),
        cmocka_unit_test(cidr_empty_set_matches_nothing),
        cmocka_unit_test(cidr_an_exclamation_mark_means_all_but),
        cmocka_unit_test(cidr_the_rest_is_what_is_not_there),
        cmocka_unit_test(cidr_an_included_list_outlives_its_maker),
        cmocka_unit_test(cidr_a_sealed_set_takes_more),
        cmocka_unit_test(cidr_bytes_of_files_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
