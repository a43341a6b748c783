#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "core/addr.h"

static struct addr parse(const char *text)
{
    struct addr a = {.port = 77};
    struct err e = {0};
    assert_int_equal(addr_parse_host(&a, text, strlen(text), &e), 0);
    assert_int_equal(a.port, 77);
    return a;
}

static void assert_host(const char *text, enum addr_type type, const char *host)
{
    char out[ADDR_TEXT_MAX];
    struct addr a = parse(text);
    assert_int_equal(a.type, type);
    assert_string_equal(addr_host_text(&a, out), host);
}

static void assert_refused(const char *text, size_t len, const char *why)
{
    struct addr a = {.type = ADDR_IPV4, .port = 9};
    struct err e = {0};
    assert_int_equal(addr_parse_host(&a, text, len, &e), -1);
    assert_int_equal(e.code, EINVAL);
    assert_non_null(strstr(e.text, why));
    assert_int_equal(a.type, ADDR_IPV4);
}

static void addr_parse_host_takes_ip_literals_with_and_without_brackets(void **state)
{
    (void)state;
    assert_host("192.0.2.1", ADDR_IPV4, "192.0.2.1");
    assert_host("::1", ADDR_IPV6, "::1");
    assert_host("[::1]", ADDR_IPV6, "::1");
    assert_host("[192.0.2.1]", ADDR_IPV4, "192.0.2.1");
    assert_host("2001:DB8::A", ADDR_IPV6, "2001:db8::a");
    assert_host("2001:db8:1:2:3:4:192.0.2.1", ADDR_IPV6, "2001:db8:1:2:3:4:c000:201");
}

static void addr_parse_host_makes_mapped_ipv6_ipv4(void **state)
{
    (void)state;
    assert_host("::ffff:192.0.2.1", ADDR_IPV4, "192.0.2.1");
    assert_host("[::FFFF:c000:201]", ADDR_IPV4, "192.0.2.1");
    assert_host("::fffe:192.0.2.1", ADDR_IPV6, "::fffe:c000:201");
}

static void addr_parse_host_takes_anything_else_for_a_name(void **state)
{
    (void)state;
    assert_host("example.com", ADDR_NAME, "example.com");
    assert_host("1.2.3", ADDR_NAME, "1.2.3");
    assert_host("01.2.3.4", ADDR_NAME, "01.2.3.4");
    assert_host("256.1.1.1", ADDR_NAME, "256.1.1.1");
    assert_host("[example.com]", ADDR_NAME, "example.com");
    assert_host("Example.COM.", ADDR_NAME, "Example.COM.");
    assert_host("100%", ADDR_NAME, "100%");
}

static void addr_parse_host_trims_spaces(void **state)
{
    (void)state;
    assert_host(" a.com ", ADDR_NAME, "a.com");
    assert_host("\t::1\n", ADDR_IPV6, "::1");
    assert_host("[ ::1 ]", ADDR_IPV6, "::1");
    assert_host("a b", ADDR_NAME, "a\\x20b");
}

static void addr_parse_host_refuses_what_is_no_host(void **state)
{
    (void)state;
    char text[300];
    memset(text, 'a', sizeof text);
    assert_refused("", 0, "empty");
    assert_refused("  ", 2, "empty");
    assert_refused("[]", 2, "empty");
    assert_refused(text, 256, "256 bytes");
    assert_refused("a\0b", 3, "0x00");
    assert_refused("a\x7f.com", 6, "0x7f");
    assert_refused("a\r\nb", 4, "0x0d");
    assert_refused("fe80::1%eth0", 12, "zone");
    assert_refused("[fe80::1%1]", 11, "zone");
    struct addr a;
    struct err e;
    assert_int_equal(addr_parse_host(&a, text, 255, &e), 0);
    assert_int_equal(strlen(a.name), 255);
}

static void addr_equal_compares_host_and_port_blind_to_case(void **state)
{
    (void)state;
    struct addr a = parse("Example.com"), b = parse("eXAMPLE.COM."), c = parse("example.org");
    assert_true(addr_equal(&a, &b));
    assert_false(addr_equal(&a, &c));
    b.port++;
    assert_false(addr_equal(&a, &b));
    struct addr v4 = parse("1.2.3.4"), same = parse("::ffff:1.2.3.4"), v6 = parse("::1.2.3.4");
    assert_true(addr_equal(&v4, &same));
    assert_false(addr_equal(&v4, &v6));
    assert_false(addr_equal(&v4, &a));
    struct addr none = {0}, unset = {0};
    assert_true(addr_equal(&none, &unset));
}

static void addr_survives_the_way_through_a_sockaddr(void **state)
{
    (void)state;
    static const char *const hosts[] = {"192.0.2.1", "2001:db8::1", "0.0.0.0", "::"};
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        struct sockaddr_storage ss;
        struct addr a = parse(hosts[i]), back;
        socklen_t len = addr_to_sockaddr(&a, &ss);
        assert_int_equal(len, addr_ip_len(&a) == 4 ? sizeof(struct sockaddr_in)
                                                   : sizeof(struct sockaddr_in6));
        addr_from_sockaddr(&back, (struct sockaddr *)&ss);
        assert_true(addr_equal(&a, &back));
    }
}

static void addr_from_sockaddr_makes_mapped_ipv6_ipv4(void **state)
{
    (void)state;
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(443)};
    struct sockaddr other = {.sa_family = AF_UNIX};
    struct addr a;
    char out[ADDR_TEXT_MAX];
    assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.7", &in6.sin6_addr), 1);
    addr_from_sockaddr(&a, (struct sockaddr *)&in6);
    assert_string_equal(addr_text(&a, out), "192.0.2.7:443");
    addr_from_sockaddr(&a, &other);
    assert_int_equal(a.type, ADDR_NONE);
}

static void addr_to_sockaddr_of_a_name_is_empty(void **state)
{
    (void)state;
    struct sockaddr_storage ss;
    struct addr a = parse("example.com");
    assert_int_equal(addr_to_sockaddr(&a, &ss), 0);
}

static void assert_text(const char *host, const char *text)
{
    char out[ADDR_TEXT_MAX];
    struct addr a = parse(host);
    a.port = 443;
    assert_string_equal(addr_text(&a, out), text);
}

static void addr_text_adds_the_port_and_brackets(void **state)
{
    (void)state;
    char out[ADDR_TEXT_MAX];
    struct addr none = {0};
    assert_text("192.0.2.1", "192.0.2.1:443");
    assert_text("::1", "[::1]:443");
    assert_text("a.b", "a.b:443");
    assert_string_equal(addr_text(&none, out), "unknown");
}

static void addr_text_escapes_names_and_fits_any(void **state)
{
    (void)state;
    char out[ADDR_TEXT_MAX];
    struct addr a = {.type = ADDR_NAME, .port = 65535};
    assert_text("a\xffz\\ ]", "a\\xffz\\x5c\\x20]:443");
    memset(a.name, 'a', 255);
    assert_int_equal(strlen(addr_text(&a, out)), 255 + 6);
    memset(a.name, '\x01', 255);
    addr_text(&a, out);
    assert_true(strlen(out) < ADDR_TEXT_MAX);
    assert_non_null(strstr(out, "\\x01...:65535"));
    assert_non_null(strstr(addr_host_text(&a, out), "\\x01..."));
}

static enum step read_wire(const void *wire, size_t len, struct addr *a, size_t *used)
{
    struct cursor c = cur_of(wire, len);
    struct err e = {0};
    enum step s = addr_read_wire(&c, a, &e);
    *used = len - cur_left(&c);
    assert_int_equal(s == STEP_FAIL, e.code != 0);
    return s;
}

/* At every split point: nothing is consumed before the address is whole. */
static void assert_wire(const char *wire, size_t len, const char *text)
{
    char out[ADDR_TEXT_MAX];
    struct addr a;
    size_t used;
    for (size_t cut = 0; cut < len; cut++) {
        assert_int_equal(read_wire(wire, cut, &a, &used), STEP_MORE);
        assert_int_equal(used, 0);
    }
    assert_int_equal(read_wire(wire, len, &a, &used), STEP_DONE);
    assert_int_equal(used, len);
    assert_string_equal(addr_text(&a, out), text);
}

#define WIRE(bytes) bytes, sizeof(bytes) - 1

static void addr_read_wire_survives_any_split(void **state)
{
    (void)state;
    assert_wire(WIRE("\0\x50\1\xc0\0\2\1"), "192.0.2.1:80");
    assert_wire(WIRE("\1\xbb\2\7foo.BAR"), "foo.BAR:443");
    assert_wire(WIRE("\0\0\3\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1"), "[2001:db8::1]:0");
}

static void addr_read_wire_turns_names_that_spell_ips_into_ips(void **state)
{
    (void)state;
    assert_wire(WIRE("\0\x50\2\7"
                     "1.2.3.4"),
                "1.2.3.4:80");
    assert_wire(WIRE("\0\x50\2\5[::1]"), "[::1]:80");
    assert_wire(WIRE("\0\x50\2\6"
                     "2002::"),
                "[2002::]:80");
    assert_wire(WIRE("\0\x50\2\x10[::ffff:1.2.3.4]"), "1.2.3.4:80");
    assert_wire(WIRE("\0\x50\3\0\0\0\0\0\0\0\0\0\0\xff\xff\1\2\3\4"), "1.2.3.4:80");
    assert_wire(WIRE("\0\x50\2\5"
                     "1.2.3"),
                "1.2.3:80");
}

static void assert_wire_refused(const char *wire, size_t len)
{
    struct addr a;
    size_t used;
    assert_int_equal(read_wire(wire, len, &a, &used), STEP_FAIL);
    assert_int_equal(used, 0);
}

static void addr_read_wire_refuses_other_types_and_names(void **state)
{
    (void)state;
    assert_wire_refused(WIRE("\0\x50\0"));
    assert_wire_refused(WIRE("\0\x50\4"));
    assert_wire_refused(WIRE("\0\x50\xff"));
    assert_wire_refused(WIRE("\0\x50\2\0"));
    assert_wire_refused(WIRE("\0\x50\2\3a b"));
    assert_wire_refused(WIRE("\0\x50\2\3a\0b"));
    assert_wire_refused(WIRE("\0\x50\2\3::1"));
    assert_wire_refused(WIRE("\0\x50\2\7"
                             "fe80::1"));
    assert_wire_refused(WIRE("\0\x50\2\5[foo]"));
    assert_wire_refused(WIRE("\0\x50\2\1["));
    assert_wire_refused(WIRE("\0\x50\2\2\xc3\xa4"));
    assert_wire_refused(WIRE("\0\x50\2\x8"
                             "1.2.3.4 "));
}

static void addr_read_wire_accepts_every_byte_of_a_name_and_no_other(void **state)
{
    (void)state;
    static const char allowed[] =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-";
    for (int c = 0; c < 256; c++) {
        char wire[] = {0, 80, ADDR_NAME, 2, 'a', (char)c};
        struct addr a;
        size_t used;
        bool fine = memchr(allowed, c, sizeof allowed - 1) != NULL;
        assert_int_equal(read_wire(wire, sizeof wire, &a, &used), fine ? STEP_DONE : STEP_FAIL);
    }
}

static void addr_write_wire_is_what_addr_read_wire_reads(void **state)
{
    (void)state;
    static const char *const hosts[] = {"192.0.2.1", "2001:db8::1", "example.com", "a"};
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        uint8_t wire[300];
        struct writer w = wr_of(wire, sizeof wire);
        struct addr a = parse(hosts[i]), back;
        size_t used;
        addr_write_wire(&w, &a);
        assert_false(w.overflow);
        assert_int_equal(read_wire(wire, wr_len(&w), &back, &used), STEP_DONE);
        assert_int_equal(used, wr_len(&w));
        assert_true(addr_equal(&a, &back));
    }
}

static void addr_write_wire_marks_what_has_no_form(void **state)
{
    (void)state;
    uint8_t wire[300];
    struct addr none = {0}, nameless = {.type = ADDR_NAME};
    struct writer w = wr_of(wire, sizeof wire);
    addr_write_wire(&w, &none);
    assert_true(w.overflow);
    w = wr_of(wire, sizeof wire);
    addr_write_wire(&w, &nameless);
    assert_true(w.overflow);
    assert_int_equal(wr_len(&w), 0);
}

static void addr_normalise_name_lowers_and_strips_one_dot(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"Example.COM.", "example.com"}, {"a..", "a."}, {".", ""}, {"", ""}, {"[\x80@Z", "[\x80@z"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char name[32];
        memcpy(name, pairs[i][0], strlen(pairs[i][0]) + 1);
        addr_normalise_name(name);
        assert_string_equal(name, pairs[i][1]);
    }
}

static socklen_t unix_address(const char *text, struct sockaddr_un *un)
{
    struct sockaddr_storage ss;
    struct addr a;
    struct err e;
    char said[ADDR_TEXT_MAX];
    assert_int_equal(addr_parse_unix(&a, text, &e), 0);
    assert_string_equal(addr_text(&a, said), text);
    socklen_t len = addr_to_sockaddr(&a, &ss);
    memcpy(un, &ss, sizeof *un);
    assert_int_equal(un->sun_family, AF_UNIX);
    return len;
}

static void a_unix_socket_is_a_path_or_a_name(void **state)
{
    (void)state;
    struct sockaddr_un un;
    assert_int_equal(unix_address("/run/v2c", &un), 2 + 9);
    assert_string_equal(un.sun_path, "/run/v2c");
    assert_int_equal(unix_address("@v2c", &un), 2 + 4);
    assert_memory_equal(un.sun_path, "\0v2c\0", 5);
    assert_int_equal(unix_address("@@v2c", &un), sizeof un);
    assert_memory_equal(un.sun_path, "\0v2c\0", 5);
}

static void a_unix_socket_needs_a_name_that_fits(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "x", "./x", "/", "@", "@@"};
    struct addr a;
    struct err e;
    char text[200];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(addr_parse_unix(&a, bad[i], &e), -1);
    memset(text, '/', sizeof text);
    text[107] = '\0';
    assert_int_equal(addr_parse_unix(&a, text, &e), 0);
    text[107] = '/', text[108] = '\0';
    assert_int_equal(addr_parse_unix(&a, text, &e), -1);
}

static void unix_sockets_are_equal_by_name_and_have_no_form_on_the_wire(void **state)
{
    (void)state;
    struct addr a, b, c;
    struct err e;
    uint8_t wire[64];
    struct writer w = wr_of(wire, sizeof wire);
    addr_parse_unix(&a, "/run/a", &e);
    addr_parse_unix(&b, "/run/a", &e);
    addr_parse_unix(&c, "/run/A", &e);
    assert_true(addr_equal(&a, &b));
    assert_false(addr_equal(&a, &c));
    addr_write_wire(&w, &a);
    assert_true(w.overflow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addr_parse_host_takes_ip_literals_with_and_without_brackets),
        cmocka_unit_test(addr_parse_host_makes_mapped_ipv6_ipv4),
        cmocka_unit_test(addr_parse_host_takes_anything_else_for_a_name),
        cmocka_unit_test(addr_parse_host_trims_spaces),
        cmocka_unit_test(addr_parse_host_refuses_what_is_no_host),
        cmocka_unit_test(addr_equal_compares_host_and_port_blind_to_case),
        cmocka_unit_test(addr_survives_the_way_through_a_sockaddr),
        cmocka_unit_test(addr_from_sockaddr_makes_mapped_ipv6_ipv4),
        cmocka_unit_test(addr_to_sockaddr_of_a_name_is_empty),
        cmocka_unit_test(addr_text_adds_the_port_and_brackets),
        cmocka_unit_test(addr_text_escapes_names_and_fits_any),
        cmocka_unit_test(addr_read_wire_survives_any_split),
        cmocka_unit_test(addr_read_wire_turns_names_that_spell_ips_into_ips),
        cmocka_unit_test(addr_read_wire_refuses_other_types_and_names),
        cmocka_unit_test(addr_read_wire_accepts_every_byte_of_a_name_and_no_other),
        cmocka_unit_test(addr_write_wire_is_what_addr_read_wire_reads),
        cmocka_unit_test(addr_write_wire_marks_what_has_no_form),
        cmocka_unit_test(addr_normalise_name_lowers_and_strips_one_dot),
        cmocka_unit_test(a_unix_socket_is_a_path_or_a_name),
        cmocka_unit_test(a_unix_socket_needs_a_name_that_fits),
        cmocka_unit_test(unix_sockets_are_equal_by_name_and_have_no_form_on_the_wire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
