#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/http_forward.h"

static void authorities_are_hosts_with_ports(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint16_t given;
        const char *host; /* NULL: refused */
        uint16_t port;
    } cases[] = {
        {"example.com", 80, "example.com", 80},
        {"example.com:8080", 80, "example.com", 8080},
        {"example.com", 0, NULL, 0},
        {"192.0.2.1:1", 0, "192.0.2.1", 1},
        {"[2001:db8::1]:443", 0, "2001:db8::1", 443},
        {"[2001:db8::1]", 80, "2001:db8::1", 80},
        {"2001:db8::1", 80, NULL, 0},
        {"[192.0.2.1]:80", 0, NULL, 0},
        {"example.com:", 80, NULL, 0},
        {"example.com:0", 80, NULL, 0},
        {"example.com:65536", 80, NULL, 0},
        {"example.com:+80", 80, NULL, 0},
        {"user@example.com", 80, NULL, 0},
        {"user:pass@example.com:80", 80, NULL, 0},
        {"a b", 80, NULL, 0},
        {"", 80, NULL, 0},
        {":80", 80, NULL, 0},
        {"a%41", 80, NULL, 0},
        {"[::1", 80, NULL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct addr a = {0};
        char host[ADDR_TEXT_MAX];
        bool ok = http_authority((const uint8_t *)cases[i].text, strlen(cases[i].text),
                                 cases[i].given, &a);
        assert_int_equal(ok, cases[i].host != NULL);
        if (!ok)
            continue;
        assert_string_equal(addr_host_text(&a, host), cases[i].host);
        assert_int_equal(a.port, cases[i].port);
    }
}

/* What is sent on; NULL: refused. */
static char *forward(const char *text, bool transparent)
{
    struct http1_head h = {0};
    struct http_target t;
    struct err e;
    const uint8_t *data = (const uint8_t *)text;
    if (http1_read(&h, data, strlen(text), &e) != STEP_DONE ||
        !http_target_read(data, &h, transparent, &t))
        return NULL;
    char *out = calloc(1, http_forward_room(&h) + 1);
    size_t len = http_forward_write((uint8_t *)out, data, &h, &t);
    assert_true(len > 0 && len <= http_forward_room(&h));
    return out;
}

static void heads_are_written_anew(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
        bool transparent;
    } cases[] = {
        {"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n",
         "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false},
        {"GET HTTP://a:81 HTTP/1.0\r\n\r\n",
         "GET / HTTP/1.0\r\nHost: a:81\r\nConnection: close\r\n\r\n", false},
        {"GET http://a?b HTTP/1.1\r\nHost: a\r\nX:y\r\n\r\n",
         "GET /?b HTTP/1.1\r\nHost: a\r\nX: y\r\nConnection: close\r\n\r\n", false},
        {"OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n",
         "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false},
        {"POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: X-A , x-b\r\nX-a: "
         "1\r\n"
         "X-B: 2\r\nX-C: 3\r\nTE: x\r\nProxy-Authorization: Basic x\r\n\r\n",
         "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nX-C: 3\r\nConnection: close\r\n\r\n",
         false},
        {"GET /x HTTP/1.1\r\nHost: a:8\r\n\r\n",
         "GET /x HTTP/1.1\r\nHost: a:8\r\nConnection: close\r\n\r\n", true},
        {"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", NULL, false},
        {"GET /x HTTP/1.0\r\n\r\n", NULL, true},
        {"GET x HTTP/1.1\r\nHost: a\r\n\r\n", NULL, true},
        {"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", NULL, true},
        {"POST http://a/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
         "Connection: transfer-encoding\r\n\r\n",
         NULL, false},
        {"POST http://a/ HTTP/1.1\r\nHost: a\r\nConnection: Host\r\n\r\n", NULL, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *out = forward(cases[i].in, cases[i].transparent);
        if (cases[i].out)
            assert_string_equal(out, cases[i].out);
        else
            assert_null(out);
        free(out);
    }
}

static void no_head_outgrows_its_room(void **state)
{
    (void)state;
    char text[4000] = "GET http://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\nHost: a\r\n";
    for (int i = 0; i < 99; i++) {
        char *out;
        strcat(text, "a:\r\n");
        size_t len = strlen(text);
        strcat(text, "\r\n");
        out = forward(text, false);
        assert_non_null(out);
        free(out);
        text[len] = '\0';
    }
}

static void names_in_connection_are_bounded(void **state)
{
    (void)state;
    char text[4000] = "GET http://a/ HTTP/1.1\r\nHost: a\r\nConnection: a";
    for (int i = 1; i < 40; i++) {
        strcat(text, ",a");
        size_t len = strlen(text);
        strcat(text, "\r\n\r\n");
        char *out = forward(text, false);
        assert_int_equal(out != NULL, i < HTTP1_LISTED_MAX);
        free(out);
        text[len] = '\0';
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(authorities_are_hosts_with_ports),
        cmocka_unit_test(heads_are_written_anew),
        cmocka_unit_test(no_head_outgrows_its_room),
        cmocka_unit_test(names_in_connection_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
