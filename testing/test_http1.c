#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/http1.h"

/* The bytes lie in memory of exactly their size, so that a sanitizer sees a read behind them. */
static enum step read_prefix(struct http1_head *h, const char *text, size_t len)
{
    struct err e;
    uint8_t *exact = malloc(len ? len : 1);
    assert_non_null(exact);
    memcpy(exact, text, len);
    enum step s = http1_read(h, exact, len, &e);
    free(exact);
    return s;
}

static void assert_same(const struct http1_head *a, const struct http1_head *b)
{
    assert_int_equal(a->status, b->status);
    if (a->status)
        return;
    assert_memory_equal(&a->method, &b->method, sizeof a->method);
    assert_memory_equal(&a->target, &b->target, sizeof a->target);
    assert_memory_equal(&a->host, &b->host, sizeof a->host);
    assert_int_equal(a->minor, b->minor);
    assert_int_equal(a->keep_alive, b->keep_alive);
    assert_int_equal(a->has_body, b->has_body);
    assert_int_equal(a->chunked, b->chunked);
    assert_int_equal(a->content_length, b->content_length);
    assert_int_equal(a->len, b->len);
}

/* Reads in one piece, then cut at every point, then byte by byte: always the same answer. */
static enum step read_all(struct http1_head *h, const char *text, size_t len)
{
    *h = (struct http1_head){0};
    enum step whole = read_prefix(h, text, len), s;
    for (size_t cut = 0; cut < len; cut++) {
        struct http1_head part = {0};
        s = read_prefix(&part, text, cut);
        if (s == STEP_MORE)
            s = read_prefix(&part, text, len);
        assert_int_equal(s, whole);
        assert_same(&part, h);
    }
    struct http1_head slow = {0};
    s = STEP_MORE;
    for (size_t n = 0; n <= len && s == STEP_MORE; n++)
        s = read_prefix(&slow, text, n);
    assert_int_equal(s, whole);
    assert_same(&slow, h);
    return whole;
}

static enum step read_text(struct http1_head *h, const char *text)
{
    return read_all(h, text, strlen(text));
}

static void assert_refused(const char *text, int status)
{
    struct http1_head h;
    if (read_text(&h, text) != STEP_FAIL || h.status != status)
        fail_msg("\"%s\": status %d, want %d", text, h.status, status);
}

static struct http1_head accepted(const char *text)
{
    struct http1_head h;
    if (read_text(&h, text) != STEP_DONE)
        fail_msg("\"%s\": status %d, want it accepted", text, h.status);
    return h;
}

#define HOST "Host: a.example\r\n"

static void http1_finds_the_parts_of_a_head(void **state)
{
    (void)state;
    static const char text[] = "GET /a?b=c HTTP/1.1\r\nhOST:  a.example:8080 \r\n"
                               "X:\r\nY: \t \xc3\xa4 , z\r\n\r\nbody";
    const uint8_t *data = (const uint8_t *)text;
    struct http1_head h = accepted(text);
    assert_true(http1_is(data, h.method, "GET"));
    assert_true(http1_is(data, h.target, "/a?b=c"));
    assert_true(http1_is(data, h.host, "a.example:8080"));
    assert_false(http1_is(data, h.method, "get"));
    assert_int_equal(h.minor, 1);
    assert_true(h.keep_alive);
    assert_false(h.has_body);
    assert_int_equal(h.len, strlen(text) - 4);
}

static void http1_leaves_the_next_request_alone(void **state)
{
    (void)state;
    static const char one[] = "GET / HTTP/1.1\r\n" HOST "\r\n";
    struct http1_head h = accepted("GET / HTTP/1.1\r\n" HOST "\r\n\r\n\x01 what ever");
    assert_int_equal(h.len, strlen(one));
}

static void http1_wants_more_of_every_true_prefix(void **state)
{
    (void)state;
    static const char text[] = "OPTIONS * HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n";
    for (size_t n = 0; n < strlen(text); n++) {
        struct http1_head h = {0};
        assert_int_equal(read_prefix(&h, text, n), STEP_MORE);
    }
}

static void http1_is_not_confused_by_a_shorter_look(void **state)
{
    (void)state;
    static const char text[] = "GET / HTTP/1.1\r\n" HOST "X: y\r\n\r\n";
    for (size_t n = 0; n < strlen(text); n++)
        for (size_t less = 0; less < n; less++) {
            struct http1_head h = {0};
            assert_int_equal(read_prefix(&h, text, n), STEP_MORE);
            assert_int_equal(read_prefix(&h, text, less), STEP_MORE);
            assert_int_equal(read_prefix(&h, text, strlen(text)), STEP_DONE);
        }
}

static void http1_refuses_a_request_line_that_is_not_exact(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "\r\n",
        "\r\nGET / HTTP/1.1\r\n",
        " GET / HTTP/1.1\r\n",
        "GET  / HTTP/1.1\r\n",
        "GET /  HTTP/1.1\r\n",
        "GET / HTTP/1.1 \r\n",
        "GET /\tHTTP/1.1\r\n",
        "GET\t/ HTTP/1.1\r\n",
        "GET /\r\n",
        "GET / \r\n",
        "GET\r\n",
        "GET  HTTP/1.1\r\n",
        "G(T / HTTP/1.1\r\n",
        "GET /a#b HTTP/1.1\r\n",
        "GET /\xc3\xa4 HTTP/1.1\r\n",
        "GET /\x7f HTTP/1.1\r\n",
        "GET /\x01 HTTP/1.1\r\n",
        "GET / HTTP/1.1\n",
        "GET / HTTP/1.1\r\r\n",
        "GET /\r HTTP/1.1\r\n",
        "GET / http/1.1\r\n",
        "GET / HTTP/11\r\n",
        "GET / HTTP/1,1\r\n",
        "GET / HTTP/1.10\r\n",
        "GET / HTTP/+.1\r\n",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char text[200];
        snprintf(text, sizeof text, "%s" HOST "\r\n", lines[i]);
        assert_refused(text, 400);
    }
    assert_refused("GET / HTTP/2.0\r\n" HOST "\r\n", 505);
    assert_refused("GET / HTTP/1.2\r\n" HOST "\r\n", 505);
    assert_refused("GET / HTTP/0.9\r\n" HOST "\r\n", 505);
    accepted("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF / HTTP/1.1\r\n" HOST "\r\n");
}

static void http1_refuses_a_field_line_that_is_not_exact(void **state)
{
    (void)state;
    static const char *const lines[] = {
        ": x\r\n",     "X : y\r\n",       "X\t: y\r\n",    " X: y\r\n",
        "\tX: y\r\n",  "X: y\r\n z\r\n",  "X\r\n",         "X y\r\n",
        "X(: y\r\n",   "\xc3\xa4: y\r\n", "X: a\x01z\r\n", "X: a\x7fz\r\n",
        "X: a\rb\r\n", "X: a\r\r\n",      "X: y\n",        "\n",
        "X: y\r\n\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char text[200];
        snprintf(text, sizeof text, "GET / HTTP/1.1\r\n" HOST "%s\r\n", lines[i]);
        assert_refused(text, 400);
    }
}

static void http1_refuses_a_nul_anywhere(void **state)
{
    (void)state;
    static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
    for (size_t at = 0; at < sizeof text - 3; at++) {
        char with[sizeof text];
        struct http1_head h;
        memcpy(with, text, sizeof text);
        with[at] = '\0';
        assert_int_equal(read_all(&h, with, sizeof text - 1), STEP_FAIL);
        assert_int_equal(h.status, 400);
    }
}

static void http1_wants_exactly_one_host(void **state)
{
    (void)state;
    assert_refused("GET / HTTP/1.1\r\n\r\n", 400);
    assert_refused("GET / HTTP/1.1\r\n" HOST HOST "\r\n", 400);
    assert_refused("GET / HTTP/1.0\r\n" HOST HOST "\r\n", 400);
    static const char *const hosts[] = {"",    " ",   "a b",  "a,b",     "a/b",
                                        "u@a", "a?b", "a%41", "\xc3\xa4"};
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        char text[200];
        snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost:%s\r\n\r\n", hosts[i]);
        assert_refused(text, 400);
    }
    assert_int_equal(accepted("GET / HTTP/1.0\r\n\r\n").host.len, 0);
    assert_int_equal(accepted("GET / HTTP/1.1\r\nHost:[::1]:80\r\n\r\n").host.len, 8);
}

static void http1_keeps_the_connection_as_version_and_client_say(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool keep;
    } cases[] = {
        {"GET / HTTP/1.1\r\n" HOST "\r\n", true},
        {"GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\n" HOST "Connection: Upgrade , CLOSE\r\n\r\n", false},
        {"GET / HTTP/1.1\r\n" HOST "Connection: closed\r\n\r\n", true},
        {"GET / HTTP/1.1\r\n" HOST "Connection: keep-alive\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\n" HOST "Connection:\r\n\r\n", true},
        {"GET / HTTP/1.1\r\n" HOST "Connection: ,, x,\r\n\r\n", true},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
        {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(accepted(cases[i].text).keep_alive, cases[i].keep);
    assert_refused("GET / HTTP/1.1\r\n" HOST "Connection: a b\r\n\r\n", 400);
    assert_refused("GET / HTTP/1.1\r\n" HOST "Connection: \"close\"\r\n\r\n", 400);
}

static void http1_knows_whether_a_body_follows(void **state)
{
    (void)state;
    struct http1_head h = accepted("PUT / HTTP/1.1\r\n" HOST "Content-Length: 12\r\n\r\n");
    assert_true(h.has_body);
    assert_false(h.chunked);
    assert_int_equal(h.content_length, 12);
    h = accepted("PUT / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n");
    assert_false(h.has_body);
    h = accepted("PUT / HTTP/1.1\r\n" HOST "Content-Length: 999999999999999999\r\n\r\n");
    assert_true(h.content_length == 999999999999999999u);
    h = accepted("PUT / HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n");
    assert_true(h.has_body);
    assert_true(h.chunked);
}

static void http1_refuses_a_body_length_that_can_be_read_in_two_ways(void **state)
{
    (void)state;
    static const char *const fields[] = {
        "Content-Length:\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 1000000000000000000\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding:\tchunked\r\n",
        "Transfer-Encoding: chunked\t\r\n",
        "Content-Length: 5 \t\r\n",
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        char text[200];
        snprintf(text, sizeof text, "POST / HTTP/1.1\r\n" HOST "%s\r\n", fields[i]);
        assert_refused(text, 400);
    }
    assert_refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
    assert_refused("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501);
    assert_refused("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n", 501);
    assert_refused("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n\r\n", 501);
}

/* --- limits; here the lengths are what matters, so only a few cuts are tried --- */

static enum step read_cut(struct http1_head *h, const char *text, size_t len)
{
    *h = (struct http1_head){0};
    enum step whole = read_prefix(h, text, len);
    for (size_t cut = len > 40000 ? len - 40000 : 0; cut < len; cut += cut % 8192 < 8185 ? 97 : 1) {
        struct http1_head part = {0};
        enum step s = read_prefix(&part, text, cut);
        if (s == STEP_MORE)
            s = read_prefix(&part, text, len);
        assert_int_equal(s, whole);
        assert_same(&part, h);
    }
    return whole;
}

static void http1_limits_a_line_to_8_kib(void **state)
{
    (void)state;
    static char text[3 * HTTP1_LINE_MAX];
    struct http1_head h;
    for (int over = 0; over < 2; over++) {
        int fill = HTTP1_LINE_MAX + over - (int)strlen("GET / HTTP/1.1");
        int len = snprintf(text, sizeof text, "GET /%0*d HTTP/1.1\r\n" HOST "\r\n", fill, 0);
        assert_int_equal(read_cut(&h, text, (size_t)len), over ? STEP_FAIL : STEP_DONE);
        assert_int_equal(h.status, over ? 431 : 0);
        fill = HTTP1_LINE_MAX + over - (int)strlen("X: ");
        len = snprintf(text, sizeof text, "GET / HTTP/1.1\r\n" HOST "X: %0*d\r\n\r\n", fill, 0);
        assert_int_equal(read_cut(&h, text, (size_t)len), over ? STEP_FAIL : STEP_DONE);
    }
    memset(text, 'G', sizeof text); /* no end in sight */
    assert_int_equal(read_cut(&h, text, sizeof text), STEP_FAIL);
    assert_int_equal(h.status, 431);
}

static void http1_limits_a_head_to_32_kib(void **state)
{
    (void)state;
    static char text[2 * HTTP1_HEAD_MAX];
    struct http1_head h;
    for (int over = 0; over < 2; over++) {
        size_t len = (size_t)snprintf(text, sizeof text, "GET / HTTP/1.1\r\n" HOST);
        for (int i = 0; i < 4; i++)
            len += (size_t)snprintf(text + len, sizeof text - len, "X: %08000d\r\n", 0);
        int fill = HTTP1_HEAD_MAX + over - (int)len - (int)strlen("X: \r\n\r\n");
        len += (size_t)snprintf(text + len, sizeof text - len, "X: %0*d\r\n\r\n", fill, 0);
        assert_int_equal(len, HTTP1_HEAD_MAX + over);
        assert_int_equal(read_cut(&h, text, len), over ? STEP_FAIL : STEP_DONE);
        assert_int_equal(h.status, over ? 431 : 0);
    }
}

static void http1_limits_the_fields_to_100(void **state)
{
    (void)state;
    static char text[4096];
    struct http1_head h;
    for (int count = 99; count < 101; count++) {
        size_t len = (size_t)snprintf(text, sizeof text, "GET / HTTP/1.1\r\n" HOST);
        for (int i = 0; i < count; i++)
            len += (size_t)snprintf(text + len, sizeof text - len, "X-%d: y\r\n", i);
        len += (size_t)snprintf(text + len, sizeof text - len, "\r\n");
        assert_int_equal(read_cut(&h, text, len), count == 99 ? STEP_DONE : STEP_FAIL);
        assert_int_equal(h.status, count == 99 ? 0 : 431);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http1_finds_the_parts_of_a_head),
        cmocka_unit_test(http1_leaves_the_next_request_alone),
        cmocka_unit_test(http1_wants_more_of_every_true_prefix),
        cmocka_unit_test(http1_is_not_confused_by_a_shorter_look),
        cmocka_unit_test(http1_refuses_a_request_line_that_is_not_exact),
        cmocka_unit_test(http1_refuses_a_field_line_that_is_not_exact),
        cmocka_unit_test(http1_refuses_a_nul_anywhere),
        cmocka_unit_test(http1_wants_exactly_one_host),
        cmocka_unit_test(http1_keeps_the_connection_as_version_and_client_say),
        cmocka_unit_test(http1_knows_whether_a_body_follows),
        cmocka_unit_test(http1_refuses_a_body_length_that_can_be_read_in_two_ways),
        cmocka_unit_test(http1_limits_a_line_to_8_kib),
        cmocka_unit_test(http1_limits_a_head_to_32_kib),
        cmocka_unit_test(http1_limits_the_fields_to_100),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
