#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "core/hostname.h"

#define L63 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff123"
#define NAME253 L63 "." L63 "." L63 "." L61
#define L61 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff1"

static int read_text(struct hostname *h, const char *text)
{
    struct err e;
    return hostname_read(h, text, strlen(text), &e);
}

static void all_spellings_of_a_host_become_one(void **state)
{
    (void)state;
    static const struct {
        const char *written, *text;
        enum hostname_kind kind;
        unsigned port;
    } cases[] = {
        {"example.com", "example.com", HOSTNAME_NAME, 0},
        {"Example.COM", "example.com", HOSTNAME_NAME, 0},
        {"example.com.", "example.com", HOSTNAME_NAME, 0},
        {"EXAMPLE.com.:8080", "example.com", HOSTNAME_NAME, 8080},
        {"localhost:65535", "localhost", HOSTNAME_NAME, 65535},
        {"xn--bcher-kva.example", "xn--bcher-kva.example", HOSTNAME_NAME, 0},
        {"_sip._tcp.a-b.example:1", "_sip._tcp.a-b.example", HOSTNAME_NAME, 1},
        {"1.2.3.4.example", "1.2.3.4.example", HOSTNAME_NAME, 0},
        {"0x7f.a", "0x7f.a", HOSTNAME_NAME, 0},
        {"a.0xg", "a.0xg", HOSTNAME_NAME, 0},
        {NAME253, NAME253, HOSTNAME_NAME, 0},
        {NAME253 ".", NAME253, HOSTNAME_NAME, 0},
        {"192.0.2.1", "192.0.2.1", HOSTNAME_IPV4, 0},
        {"192.0.2.1.:80", "192.0.2.1", HOSTNAME_IPV4, 80},
        {"[::1]", "[::1]", HOSTNAME_IPV6, 0},
        {"[2001:DB8:0:0::0:1]:443", "[2001:db8::1]", HOSTNAME_IPV6, 443},
        {"[::ffff:192.0.2.1]", "192.0.2.1", HOSTNAME_IPV4, 0},
        {"[::ffff:c000:201]:8", "192.0.2.1", HOSTNAME_IPV4, 8},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hostname h, again;
        assert_int_equal(read_text(&h, cases[i].written), 0);
        assert_string_equal(h.text, cases[i].text);
        assert_int_equal(h.len, strlen(cases[i].text));
        assert_int_equal(h.kind, cases[i].kind);
        assert_int_equal(h.port, cases[i].port);
        assert_int_equal(read_text(&again, h.text), 0);
        assert_string_equal(again.text, h.text);
    }
}

static const char *const no_names[] = {
    "",    ".",     "..",  ".a",     "a..b",    "a.b..",     "a b",
    " a",  "a ",    "a\t", "user@a", "a%2eb",   "a/b",       "a,b",
    "a;b", "a\x7f", "*.a", "a.*",    L63 "x.a", NAME253 "a", NAME253 "a."};
static const char *const no_numbers[] = {
    "0x7f.1",    "2130706433", "017700000001", "0x7f000001", "127.1",   "01.2.3.4", "1.2.3.4.5",
    "1.2.3.256", "1.2.3.0x4",  "a.1",          "a.0x",       "a.0X1f.", "999"};
static const char *const no_ports[] = {"a:",       "a:0",     "a:00080", "a:080", "a:65536",
                                       "a:123456", "a:80:80", "a:8o",    "a:+80", "a: 80"};
static const char *const no_literals[] = {
    "::1",      "[::1",
    "[]",       "[::1]x",
    "[::1]:",   "[::1%25eth0]",
    "[::1%lo]", "[1.2.3.4]",
    "[a]",      "[::1]]",
    "x[::1]",   "[v1.x]",
    "[:::1]",   "[1:2:3:4:5:6:7:8:9:1:2:3:4:5:6:7:8:9:1:2:3:4:5:6]"};

static void refuse_all(const char *const *wrong, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct hostname h;
        if (read_text(&h, wrong[i]) == 0)
            fail_msg("\"%s\" was taken for %s", wrong[i], h.text);
    }
}

#define REFUSE(list) refuse_all(list, sizeof(list) / sizeof *(list))

static void what_two_readers_could_take_for_two_hosts_is_none(void **state)
{
    (void)state;
    struct hostname h;
    struct err e;
    REFUSE(no_names);
    REFUSE(no_numbers);
    REFUSE(no_ports);
    REFUSE(no_literals);
    assert_int_equal(hostname_read(&h, "\xc3\xbc.example", 10, &e), -1);
    assert_int_equal(hostname_read(&h, "a\0b", 3, &e), -1);
    assert_int_equal(hostname_read(&h, "[::1\0]", 6, &e), -1);
    assert_int_equal(hostname_read_bare(&h, "a:80", 4, &e), -1);
    assert_int_equal(hostname_read_bare(&h, "[::1]:80", 8, &e), -1);
    assert_int_equal(hostname_read_bare(&h, "[::1]", 5, &e), 0);
}

static void errors_hold_no_foreign_bytes(void **state)
{
    (void)state;
    static const char *const wrong[] = {"Q Q", "[QQ]", "a:QQ", "QQ.1", "a.QQ\x1b"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct hostname h;
        struct err e = {0};
        assert_int_equal(hostname_read(&h, wrong[i], strlen(wrong[i]), &e), -1);
        assert_int_equal(e.code, EINVAL);
        assert_null(strstr(e.text, "QQ"));
        assert_null(strchr(e.text, '\x1b'));
    }
}

static bool pattern_has(const char *pattern, const char *name)
{
    struct hostname_pattern p;
    struct err e;
    assert_int_equal(hostname_read_pattern(&p, pattern, strlen(pattern), &e), 0);
    return hostname_pattern_has(&p, name);
}

static void a_wildcard_has_its_name_and_all_below_it(void **state)
{
    (void)state;
    assert_true(pattern_has("Example.com.", "example.com"));
    assert_false(pattern_has("example.com", "a.example.com"));
    for (size_t star = 0; star < 2; star++) {
        const char *pattern = star ? "*.Example.com" : ".example.com";
        assert_true(pattern_has(pattern, "example.com"));
        assert_true(pattern_has(pattern, "a.example.com"));
        assert_true(pattern_has(pattern, "b.a.example.com"));
        assert_false(pattern_has(pattern, "xexample.com"));
        assert_false(pattern_has(pattern, "com"));
        assert_false(pattern_has(pattern, "example.com.org"));
    }
    static const char *const wrong[] = {"",       "*",       ".",    "*.",       "*a.b",
                                        "**.a",   "*.*.a",   "..a",  ".1.2.3.4", "a:1",
                                        ".[::1]", ".a.b:80", "a.*.b"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct hostname_pattern p;
        struct err e;
        if (hostname_read_pattern(&p, wrong[i], strlen(wrong[i]), &e) == 0)
            fail_msg("\"%s\" was taken for a pattern", wrong[i]);
    }
}

static void a_host_is_an_address_with_its_port_or_a_usual_one(void **state)
{
    (void)state;
    static const char *const hosts[] = {"example.com", "192.0.2.1", "[2001:db8::1]"};
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        char text[ADDR_TEXT_MAX], with_port[64], wanted[64];
        struct hostname h;
        struct addr a = {0};
        snprintf(wanted, sizeof wanted, "%s:80", hosts[i]);
        assert_int_equal(read_text(&h, hosts[i]), 0);
        hostname_addr(&h, 80, &a);
        assert_string_equal(addr_text(&a, text), wanted);
        snprintf(with_port, sizeof with_port, "%s:8080", hosts[i]);
        assert_int_equal(read_text(&h, with_port), 0);
        hostname_addr(&h, 80, &a);
        assert_string_equal(addr_text(&a, text), with_port);
    }
}

static void tunnels_are_named_by_short_plain_words(void **state)
{
    (void)state;
    char to[HOSTNAME_LABEL_MAX + 1];
    assert_true(tunnel_text_read(to, "4D21094E-b74c-4916-86c1-d9fa36ea677b", 36));
    assert_string_equal(to, "4d21094e-b74c-4916-86c1-d9fa36ea677b");
    assert_true(tunnel_text_read(to, "node_1.dc", 9));
    assert_true(tunnel_text_read(to, L63, 63));
    static const char *const wrong[] = {"", "$a", "a b", "a/b", "\xc3\xbc", "a:1", L63 "x"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(tunnel_text_read(to, wrong[i], strlen(wrong[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_spellings_of_a_host_become_one),
        cmocka_unit_test(what_two_readers_could_take_for_two_hosts_is_none),
        cmocka_unit_test(errors_hold_no_foreign_bytes),
        cmocka_unit_test(a_wildcard_has_its_name_and_all_below_it),
        cmocka_unit_test(a_host_is_an_address_with_its_port_or_a_usual_one),
        cmocka_unit_test(tunnels_are_named_by_short_plain_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
