#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "transport/dns_https.h"
#include "transport/fetch_reply.h"

static struct fetch_reply reply;
static struct err why;

static enum step read_text(const char *text, size_t len, size_t *used)
{
    uint8_t *copy = malloc(len ? len : 1); /* so that a sanitizer sees its end */
    memcpy(copy, text, len);
    struct cursor in = cur_of(copy, len);
    enum step s = fetch_reply_read(&in, &reply, &why);
    *used = len - cur_left(&in);
    free(copy);
    return s;
}

static void a_request_is_a_post(void **state)
{
    (void)state;
    struct dns_server s = {.path = "/dns-query", .at = {.type = ADDR_NAME, .port = 443}};
    char got[DNS_REQUEST_MAX + 1] = {0};
    struct writer w = wr_of(got, DNS_REQUEST_MAX);
    memcpy(s.at.name, "dns.example", 12);
    dns_request_write(&s, (const uint8_t *)"QUESTION", 8, &w);
    assert_string_equal(got, "POST /dns-query HTTP/1.1\r\nHost: dns.example\r\n"
                             "Accept: application/dns-message\r\n"
                             "Content-Type: application/dns-message\r\n"
                             "Content-Length: 8\r\n\r\nQUESTION");
    assert_false(w.overflow);
}

static void the_host_has_a_port_unless_it_is_the_usual_one(void **state)
{
    (void)state;
    static const struct {
        struct addr at;
        const char *line;
    } cases[] = {
        {{.type = ADDR_IPV4, .port = 8443, .ip = {127, 0, 0, 1}}, "Host: 127.0.0.1:8443\r\n"},
        {{.type = ADDR_IPV6, .port = 443, .ip = {[15] = 1}}, "Host: [::1]\r\n"},
        {{.type = ADDR_IPV6, .port = 444, .ip = {[15] = 1}}, "Host: [::1]:444\r\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct dns_server s = {.path = "/", .at = cases[i].at};
        char got[DNS_REQUEST_MAX + 1] = {0};
        struct writer w = wr_of(got, DNS_REQUEST_MAX);
        dns_request_write(&s, (const uint8_t *)"Q", 1, &w);
        assert_non_null(strstr(got, cases[i].line));
    }
}

static void a_reply_is_the_same_however_it_is_split(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "HTTP/1.1 200 OK\r\nServer: x\r\ncontent-LENGTH:  6 \r\n\r\nANSWER",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nAN\r\n4;x=y\r\nSWER\r\n0\r\n"
        "Trailer: z\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t len = strlen(texts[i]), used;
        for (size_t cut = 0; cut < len; cut++) {
            assert_int_equal(read_text(texts[i], cut, &used), STEP_MORE);
            assert_int_equal(used, 0);
        }
        assert_int_equal(read_text(texts[i], len, &used), STEP_DONE);
        assert_int_equal(used, len);
        assert_int_equal(reply.len, 6);
        assert_memory_equal(reply.body, "ANSWER", 6);
        assert_false(reply.closes);
    }
}

static void a_reply_says_whether_it_is_the_last(void **state)
{
    (void)state;
    static const char closes[] =
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\nmore";
    static const char old[] = "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n";
    size_t used;
    assert_int_equal(read_text(closes, sizeof closes - 1, &used), STEP_DONE);
    assert_true(reply.closes);
    assert_int_equal(used, sizeof closes - 5);
    assert_int_equal(read_text(old, sizeof old - 1, &used), STEP_DONE);
    assert_true(reply.closes);
}

static void another_status_is_told_with_its_body_if_that_has_a_length(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned status;
        size_t len;
        bool closes;
    } cases[] = {
        {"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone", 404, 4, false},
        {"HTTP/1.1 404 Not Found\r\n\r\nnone", 404, 0, true},
        {"HTTP/1.1 204 No Content\r\n\r\n", 204, 0, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnone", 200, 4, false},
    };
    size_t used;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(read_text(cases[i].text, strlen(cases[i].text), &used), STEP_DONE);
        assert_int_equal(reply.status, cases[i].status);
        assert_int_equal(reply.len, cases[i].len);
        assert_int_equal(reply.closes, cases[i].closes);
    }
}

static void what_is_no_reply_fails(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "SSH-2.0-x\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nto the end",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
    };
    size_t used;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_int_equal(read_text(texts[i], strlen(texts[i]), &used), STEP_FAIL);
}

static void a_reply_is_bounded(void **state)
{
    (void)state;
    static char head[FETCH_REPLY_HEAD + 1], chunks[FETCH_REPLY_WIRE];
    static const char begin[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    size_t used, at = sizeof begin - 1;
    memset(head, 'x', sizeof head);
    memcpy(head, begin, 17);
    assert_int_equal(read_text(head, FETCH_REPLY_HEAD - 1, &used), STEP_MORE);
    assert_int_equal(read_text(head, FETCH_REPLY_HEAD, &used), STEP_FAIL);
    memcpy(chunks, begin, at);
    for (; at + 6 <= sizeof chunks; at += 6)
        memcpy(chunks + at, "1\r\nx\r\n", 6);
    memcpy(chunks + at, "1\r\nx\r\n", sizeof chunks - at);
    assert_int_equal(read_text(chunks, sizeof chunks - 1, &used), STEP_MORE);
    assert_int_equal(read_text(chunks, sizeof chunks, &used), STEP_FAIL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_a_post),
        cmocka_unit_test(the_host_has_a_port_unless_it_is_the_usual_one),
        cmocka_unit_test(a_reply_is_the_same_however_it_is_split),
        cmocka_unit_test(a_reply_says_whether_it_is_the_last),
        cmocka_unit_test(another_status_is_told_with_its_body_if_that_has_a_length),
        cmocka_unit_test(what_is_no_reply_fails),
        cmocka_unit_test(a_reply_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
