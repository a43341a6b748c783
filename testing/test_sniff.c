#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "routing/sniff.h"
#include "testing/vectors.h"

enum { ROOM = 8192 };

/* The bytes lie in memory of exactly their size, so that a sanitizer sees a read behind them. */
static enum step sniff_prefix(const void *bytes, size_t len, struct sniffed *s)
{
    uint8_t *exact = malloc(len ? len : 1);
    assert_non_null(exact);
    memcpy(exact, bytes, len);
    enum step step = sniff_stream(exact, len, s);
    free(exact);
    return step;
}

static void assert_same(const struct sniffed *a, const struct sniffed *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->head_len, b->head_len);
}

/* However many of the bytes are there, the answer is "more" or the one for all. */
static enum step sniff(const void *bytes, size_t len, struct sniffed *s)
{
    enum step all = sniff_prefix(bytes, len, s);
    for (size_t i = 0; i < len; i++) {
        struct sniffed some;
        enum step step = sniff_prefix(bytes, i, &some);
        if (step == STEP_MORE)
            continue;
        assert_int_equal(step, all);
        if (step == STEP_DONE)
            assert_same(&some, s);
    }
    return all;
}

/* --- HTTP --- */

static void a_request_names_its_host(void **state)
{
    (void)state;
    static const struct {
        const char *text, *name;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n", "a.example.com"},
        {"GET / HTTP/1.0\r\nhost:A.Example.COM.\r\n\r\n", "a.example.com"},
        {"POST /x HTTP/1.1\r\nA: b\r\nHOST: \t a.example.com:8080 \r\nB: c\r\n\r\nHost: b",
         "a.example.com"},
        {"OPTIONS * HTTP/1.1\r\nHost: a_b-c.d:\r\n\r\n", "a_b-c.d"},
        {"PROPFIND /dav HTTP/1.1\r\nHost: localhost\r\n\r\n", "localhost"},
        {"M-SEARCH * HTTP/1.1\r\nHost: a.b\r\n\r\n", "a.b"},
        {"CONNECT a.b:443 HTTP/1.1\r\nHost: a.b:443\r\n\r\n", "a.b"},
        {"GET http://a.b/c?d HTTP/1.1\r\nHost: a.b\r\n\r\n", "a.b"},
        {"GET HTTP://A.B:80 HTTP/1.1\r\nHost: a.b\r\n\r\n", "a.b"},
        {"GET https://a.b?c HTTP/1.0\r\n\r\n", "a.b"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sniffed s;
        assert_int_equal(sniff(cases[i].text, strlen(cases[i].text), &s), STEP_DONE);
        assert_string_equal(sniff_protocol(s.kind), "http1");
        assert_string_equal(s.name, cases[i].name);
        assert_int_equal(s.head_len, strstr(cases[i].text, "\r\n\r\n") + 4 - cases[i].text);
    }
}

/* Two readers may see different hosts there: whose is right cannot be known. */
static void a_request_in_doubt_has_no_name(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.b\r\nHost: a.b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.b\r\nhost: c.d\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a.b\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: a.b\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\r\n Host: c\r\nHost: a.b\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\nHost: c\r\nHost: a.b\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\rHost: c\r\nHost: a.b\r\n\r\n",
        "GET / HTTP/1.1\r\n: b\r\nHost: a.b\r\n\r\n",
        "GET / HTTP/1.1\r\nwhat\r\nHost: a.b\r\n\r\n",
        "GET http://a.b/ HTTP/1.1\r\nHost: c.d\r\n\r\n",
        "GET http://u@a.b/ HTTP/1.1\r\nHost: a.b\r\n\r\n",
        "GET http:///a.b HTTP/1.1\r\nHost: a.b\r\n\r\n",
        "GET http://192.0.2.1/ HTTP/1.1\r\nHost: a.b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 192.0.2.1:80\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.b:80:80\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.b:http\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.b, c.d\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.b c.d\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a%2eb\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sniffed s;
        assert_int_equal(sniff(cases[i], strlen(cases[i]), &s), STEP_DONE);
        assert_int_equal(s.kind, SNIFF_HTTP);
        assert_string_equal(s.name, "");
    }
}

/* Nobody waits for more of what cannot become anything. */
static void what_is_nothing_is_known_at_once(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "SSH-2.0-x",
        "get / HTTP/1.1\r\n",
        "GE ",
        "GET  /",
        "GET / HTTP/2.0\r\n",
        "GET / HTTP/1.2\r\n",
        "GET /\r\n",
        "PRI * HTTP/2.0\r\n",
        "EHLO a.example\r\n",
        "PROXY TCP4 1.2.3.4 1",
        "\r\nGET / ",
        "ABCDEFGHIJKLMNOPQ ",
        "GET /\x80 HTTP/1.1",
        "\x16\x02",
        "\x17\x03",
        "\x16\x03\x01\x40\x01",
        "\x16\x03\x01\x01\x01\x02",
        "\023BitTorrent p_",
        "\023Bitt0",
        "\x80",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sniffed s;
        assert_int_equal(sniff(cases[i], strlen(cases[i]), &s), STEP_FAIL);
    }
}

static void a_beginning_is_waited_for(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "", "G", "GET / HTTP/1.1\r\nHost: a.b\r\n", "\x16", "\x16\x03", "\023BitTorrent",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sniffed s;
        assert_int_equal(sniff(cases[i], strlen(cases[i]), &s), STEP_MORE);
    }
}

static void nobody_is_listened_to_for_ever(void **state)
{
    (void)state;
    static const char *const begins[] = {"GET / HTTP/1.1\r\nA: ", "GET /"};
    struct sniffed s;
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++) {
        char text[SNIFF_MAX + 1];
        memset(text, 'a', sizeof text);
        memcpy(text, begins[i], strlen(begins[i]));
        assert_int_equal(sniff_prefix(text, SNIFF_MAX - 1, &s), STEP_MORE);
        assert_int_equal(sniff_prefix(text, SNIFF_MAX, &s), STEP_FAIL);
        assert_int_equal(sniff_prefix(text, SNIFF_MAX + 1, &s), STEP_FAIL);
    }
}

static void bittorrent_is_known_by_its_first_word(void **state)
{
    (void)state;
    static const char hello[] = "\023BitTorrent protocol\0\0\0\0\0\0\0\0";
    struct sniffed s;
    assert_int_equal(sniff(hello, sizeof hello - 1, &s), STEP_DONE);
    assert_string_equal(sniff_protocol(s.kind), "bittorrent");
    assert_string_equal(s.name, "");
}

/* --- names --- */

static void only_domains_are_names(void **state)
{
    (void)state;
    char name[ADDR_NAME_MAX + 1], long_label[80], long_name[300];
    static const char *const bad[] = {"",       ".",       "a..b",     ".a",          "a b",
                                      "a/b",    "1.2.3.4", "127.1",    "2130706433",  "0x7f.1",
                                      "a.0x7f", "a.1",     "1.2.3.4.", "caf\xc3\xa9", "a:b",
                                      "[::1]",  "*.a"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(sniff_name(bad[i], strlen(bad[i]), name));
    assert_false(sniff_name("a\0b", 3, name));
    assert_true(sniff_name("XN--Caf-Dma.1a", 14, name));
    assert_string_equal(name, "xn--caf-dma.1a");
    memset(long_label, 'a', sizeof long_label);
    assert_true(sniff_name(long_label, 63, name));
    assert_false(sniff_name(long_label, 64, name));
    for (size_t i = 0; i < sizeof long_name; i++)
        long_name[i] = i % 2 ? '.' : 'a';
    assert_true(sniff_name(long_name, 253, name));
    assert_true(sniff_name(long_name, 254, name)); /* with its dot */
    assert_false(sniff_name(long_name, 255, name));
}

/* --- TLS --- */

static size_t vector(const char *key, uint8_t *out)
{
    struct vectors *v = vectors_open("sniff.txt");
    size_t len = vectors_bytes(v, out, ROOM, "%s", key);
    vectors_close(v);
    return len;
}

static void a_hello_names_its_server(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"tls13", "www.example.com"}, {"tls12", "a.example.com"}, {"tls_no_name", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t hello[ROOM];
        struct sniffed s;
        size_t len = vector(cases[i][0], hello);
        assert_int_equal(sniff(hello, len, &s), STEP_DONE);
        assert_string_equal(sniff_protocol(s.kind), "tls");
        assert_string_equal(s.name, cases[i][1]);
    }
}

/* Some clients split their hello on purpose. */
static void a_hello_may_lie_in_several_records(void **state)
{
    (void)state;
    uint8_t hello[ROOM], split[ROOM * 6];
    struct sniffed s;
    size_t len = vector("tls13", hello) - 5;
    for (size_t piece = 1; piece < len; piece = piece * 3 + 1) {
        struct writer w = wr_of(split, sizeof split);
        for (size_t at = 0; at < len; at += piece) {
            size_t some = len - at < piece ? len - at : piece;
            wr_u8(&w, 22), wr_be16(&w, 0x0301), wr_be16(&w, (uint16_t)some);
            wr_bytes(&w, hello + 5 + at, some);
        }
        assert_false(w.overflow);
        assert_int_equal(sniff(split, wr_len(&w), &s), STEP_DONE);
        assert_string_equal(s.name, "www.example.com");
    }
}

/* A hello whose only extensions are these. */
static enum step hello_with(const char *extensions, size_t len, struct sniffed *s)
{
    uint8_t bytes[512];
    struct writer w = wr_of(bytes, sizeof bytes);
    wr_u8(&w, 22), wr_be16(&w, 0x0301), wr_be16(&w, (uint16_t)(4 + 43 + len));
    wr_u8(&w, 1), wr_u8(&w, 0), wr_be16(&w, (uint16_t)(43 + len));
    wr_be16(&w, 0x0303);
    for (int i = 0; i < 32; i++)
        wr_u8(&w, (uint8_t)i);
    wr_u8(&w, 0);                        /* session id */
    wr_be16(&w, 2), wr_be16(&w, 0x1301); /* ciphers */
    wr_u8(&w, 1), wr_u8(&w, 0);          /* compressions */
    wr_be16(&w, (uint16_t)len);
    wr_bytes(&w, extensions, len);
    assert_false(w.overflow);
    return sniff(bytes, wr_len(&w), s);
}

#define HELLO(text) hello_with(text, sizeof(text) - 1, &s)

static void only_one_name_of_a_hello_counts(void **state)
{
    (void)state;
    struct sniffed s;
    assert_int_equal(HELLO("\0\0\0\x08\0\x06\0\0\x03"
                           "a.B"),
                     STEP_DONE);
    assert_string_equal(s.name, "a.b");
    assert_int_equal(HELLO("\0\0\0\x0e\0\x0c\0\0\x03"
                           "a.b\0\0\x03"
                           "c.d"),
                     STEP_DONE);
    assert_string_equal(s.name, ""); /* two in a list */
    assert_int_equal(HELLO("\0\0\0\x08\0\x06\0\0\x03"
                           "a.b\0\0\0\x08\0\x06\0\0\x03"
                           "c.d"),
                     STEP_DONE);
    assert_string_equal(s.name, ""); /* two lists */
    assert_int_equal(HELLO("\0\0\0\x0c\0\x0a\0\0\x07"
                           "1.2.3.4"),
                     STEP_DONE);
    assert_string_equal(s.name, "");
}

static void a_broken_hello_is_none(void **state)
{
    (void)state;
    struct sniffed s;
    assert_int_equal(HELLO("\0\0\0\x08\0\x07\0\0\x03"
                           "a.b"),
                     STEP_FAIL); /* the list is longer than its extension */
    assert_int_equal(HELLO("\0\0\0\x08\0\x05\0\0\x03"
                           "a.b"),
                     STEP_FAIL); /* ... or shorter */
    assert_int_equal(HELLO("\0\0\0\x08\0\x06\0\0\x04"
                           "a.b"),
                     STEP_FAIL);
    assert_int_equal(HELLO("\0\x01\0"), STEP_FAIL);
}

/* --- QUIC --- */

static enum step sniff_packets(const char *const *keys, size_t count, struct sniffed *s)
{
    static uint8_t bytes[SNIFF_DATAGRAMS + 2][ROOM];
    struct cursor datagrams[SNIFF_DATAGRAMS + 2];
    for (size_t i = 0; i < count; i++)
        datagrams[i] = cur_of(bytes[i], vector(keys[i], bytes[i]));
    return sniff_datagrams(datagrams, count, s);
}

static void an_initial_packet_names_its_server(void **state)
{
    (void)state;
    static const char *const keys[] = {"quic_v1", "quic_v2"};
    for (size_t i = 0; i < 2; i++) {
        struct sniffed s;
        assert_int_equal(sniff_packets(&keys[i], 1, &s), STEP_DONE);
        assert_string_equal(sniff_protocol(s.kind), "quic");
        assert_string_equal(s.name, "example.com");
    }
}

/* Large hellos need several datagrams, and clients put their pieces in any order. */
static void pieces_of_a_hello_come_in_any_order(void **state)
{
    (void)state;
    static const char *const split[] = {"quic_split_0", "quic_split_1"};
    static const char *const twisted[] = {"quic_split_1", "quic_split_0"};
    static const char *const between[] = {"quic_split_0", "tls13", "quic_v2", "quic_split_1"};
    static const char *const never[] = {"quic_split_0", "quic_split_0", "tls12", "tls13"};
    struct sniffed s;
    assert_int_equal(sniff_packets(split, 1, &s), STEP_MORE);
    assert_int_equal(sniff_packets(split, 2, &s), STEP_DONE);
    assert_string_equal(s.name, "example.com");
    assert_int_equal(sniff_packets(twisted, 2, &s), STEP_DONE);
    assert_string_equal(s.name, "example.com");
    assert_int_equal(sniff_packets(between, 3, &s), STEP_MORE);
    assert_int_equal(sniff_packets(between, 4, &s), STEP_DONE);
    assert_int_equal(sniff_packets(never, 3, &s), STEP_MORE);
    assert_int_equal(sniff_packets(never, 4, &s), STEP_FAIL);
}

static void what_does_not_open_is_no_quic(void **state)
{
    (void)state;
    uint8_t bytes[ROOM];
    struct sniffed s;
    size_t len = vector("quic_v1", bytes);
    for (size_t i = 0; i < len; i++) {
        struct cursor whole = cur_of(bytes, len), cut = cur_of(bytes, i);
        assert_int_equal(sniff_datagrams(&cut, 1, &s), STEP_FAIL);
        bytes[i] ^= 0x10;
        assert_int_equal(sniff_datagrams(&whole, 1, &s), STEP_FAIL);
        bytes[i] ^= 0x10;
    }
    assert_int_equal(sniff_datagrams(NULL, 0, &s), STEP_MORE);
    struct cursor empty = cur_of("", 0);
    assert_int_equal(sniff_datagrams(&empty, 1, &s), STEP_FAIL);
}

static void frames_stay_within_their_hello(void **state)
{
    (void)state;
    struct quic_hello *h = calloc(1, sizeof *h);
    assert_non_null(h);
    assert_true(quic_hello_add(h, cur_of("\x06\x02\x02"
                                         "cd",
                                         5)));
    assert_int_equal(h->whole, 0);
    assert_true(quic_hello_add(h, cur_of("\x01\x06\x00\x03"
                                         "abX\0\0",
                                         9)));
    assert_int_equal(h->whole, 4);
    assert_memory_equal(h->bytes, "abcd", 4); /* the first word stands */
    assert_true(quic_hello_add(h, cur_of("\x06\x5f\xff\x01"
                                         "z",
                                         5)));
    assert_false(quic_hello_add(h, cur_of("\x06\x60\x00\x01"
                                          "z",
                                          5)));
    assert_false(quic_hello_add(h, cur_of("\x06\x5f\xff\x02"
                                          "zz",
                                          6)));
    assert_false(quic_hello_add(h, cur_of("\x06\xff\xff\xff\xff\xff\xff\xff\xff\x01z", 11)));
    assert_false(quic_hello_add(h, cur_of("\x06\x00\x05"
                                          "a",
                                          4)));
    assert_false(quic_hello_add(h, cur_of("\x08", 1)));
    assert_true(quic_hello_add(h, cur_of("\x02\x00\x00\x01\x00\x00\x00", 7)));
    assert_true(quic_hello_add(h, cur_of("\x03\x00\x00\x00\x00\x01\x02\x03", 8)));
    assert_false(quic_hello_add(h, cur_of("\x02\x00\x00\x41\x01\x00", 6)));
    free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_names_its_host),
        cmocka_unit_test(a_request_in_doubt_has_no_name),
        cmocka_unit_test(what_is_nothing_is_known_at_once),
        cmocka_unit_test(a_beginning_is_waited_for),
        cmocka_unit_test(nobody_is_listened_to_for_ever),
        cmocka_unit_test(bittorrent_is_known_by_its_first_word),
        cmocka_unit_test(only_domains_are_names),
        cmocka_unit_test(a_hello_names_its_server),
        cmocka_unit_test(a_hello_may_lie_in_several_records),
        cmocka_unit_test(only_one_name_of_a_hello_counts),
        cmocka_unit_test(a_broken_hello_is_none),
        cmocka_unit_test(an_initial_packet_names_its_server),
        cmocka_unit_test(pieces_of_a_hello_come_in_any_order),
        cmocka_unit_test(what_does_not_open_is_no_quic),
        cmocka_unit_test(frames_stay_within_their_hello),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
