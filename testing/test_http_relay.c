#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/http_body.h"
#include "proxy/http_relay.h"

static const struct addr visitor = {.type = ADDR_IPV4, .ip = {203, 0, 113, 9}, .port = 51522};
static const struct addr sixth = {.type = ADDR_IPV6,
                                  .ip = {0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};

static const struct relay plain = {
    .from = &visitor, .proto = "http", .host = "a.example", .id = "7f", .keep_alive = true};

#define BEHIND                                                                                     \
    "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a.example\r\n"   \
    "Forwarded: for=203.0.113.9;proto=http;host=\"a.example\"\r\nX-Request-Id: 7f\r\n"

/* What is sent on, in memory of exactly the size that was promised to be enough; the caller frees it. "": refused. */
static char *relayed(const char *text, const struct relay *r)
{
    struct http1_head h = {0};
    struct http_asked asked;
    struct err e;
    const uint8_t *data = (const uint8_t *)text;
    if (http1_read(&h, data, strlen(text), &e) != STEP_DONE ||
        http_relay_asked(data, &h, &asked, &e) != 0)
        return strdup("");
    size_t room = http_relay_room(&h, r);
    char *out = malloc(room + 1);
    size_t len = http_relay_request((uint8_t *)out, data, &h, r);
    assert_true(len <= room);
    out[len] = '\0';
    return out;
}

static void assert_relayed(const char *text, const struct relay *r, const char *want)
{
    char *out = relayed(text, r);
    assert_string_equal(out, want);
    free(out);
}

static void what_is_for_the_origin_passes_as_it_was_written(void **state)
{
    (void)state;
    assert_relayed(
        "GET /a?b=c HTTP/1.1\r\nhOsT: A.Example:8080\r\nX:y\r\nAccept:  */* \r\n\r\n", &plain,
        "GET /a?b=c HTTP/1.1\r\nhOsT: A.Example:8080\r\nX:y\r\nAccept:  */* \r\n" BEHIND "\r\n");
    assert_relayed("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
                   &plain,
                   "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: "
                   "100-continue\r\n" BEHIND "\r\n");
    assert_relayed("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n",
                   &plain,
                   "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: "
                   "X\r\n" BEHIND "\r\n");
}

static void what_is_for_one_hop_stays_behind(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "Connection: close\r\n",
        "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n",
        "Connection: X-A , x-b,,TE\r\nX-a: 1\r\nX-B: 2\r\nTE: trailers\r\n",
        "X-A: 1\r\nConnection:x-a\r\nConnection: X-b\r\nx-B: 2\r\n",
        "Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic x\r\n",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        "Connection: close\r\nClose: 1\r\n",
        /* what gateways to applications would take for something else */
        "Content_Length: 5\r\nTransfer_Encoding: chunked\r\n",
        "X_Forwarded_For: 127.0.0.1\r\nX-Forwarded_For: 127.0.0.1\r\n",
        "X-Request-Id: mine\r\nx_request_id: mine\r\n",
        /* from whom we do not trust */
        "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\n",
        "X-Forwarded-Port: 443\r\nX-Real-IP: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char text[400];
        snprintf(text, sizeof text, "GET / HTTP/1.1\r\n%sHost: a\r\n\r\n", lines[i]);
        assert_relayed(text, &plain, "GET / HTTP/1.1\r\nHost: a\r\n" BEHIND "\r\n");
        snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", lines[i]);
        assert_relayed(text, &plain, "GET / HTTP/1.1\r\nHost: a\r\n" BEHIND "\r\n");
    }
}

static void connection_may_not_take_away_what_the_message_is(void **state)
{
    (void)state;
    static const char *const names[] = {
        "Host",      "content-length", "Transfer-Encoding", "Trailer",      "X-Forwarded-For",
        "Forwarded", "X-Forwarded-Y",  "X-Real-IP",         "X-Request-Id", "Expect"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char text[400];
        snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, %s\r\n\r\n",
                 names[i]);
        assert_relayed(text, &plain, "");
    }
}

static void the_connection_is_ours_to_keep(void **state)
{
    (void)state;
    struct relay r = plain;
    r.keep_alive = false;
    assert_relayed("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", &r,
                   "GET / HTTP/1.1\r\nHost: a\r\n" BEHIND "Connection: close\r\n\r\n");
    assert_relayed("GET / HTTP/1.0\r\n\r\n", &r,
                   "GET / HTTP/1.0\r\n" BEHIND "Connection: close\r\n\r\n");
    assert_relayed("GET / HTTP/1.0\r\n\r\n", &plain,
                   "GET / HTTP/1.0\r\n" BEHIND "Connection: keep-alive\r\n\r\n");
    r.upgrade = true;
    assert_relayed("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: "
                   "websocket\r\n\r\n",
                   &r,
                   "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n" BEHIND
                   "Connection: Upgrade\r\n\r\n");
}

static void a_url_becomes_a_path(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"GET http://A/b HTTP/1.1\r\nHost: a\r\n\r\n",
         "GET /b HTTP/1.1\r\nHost: a\r\n" BEHIND "\r\n"},
        {"GET HTTPS://a HTTP/1.1\r\nHost: a\r\n\r\n",
         "GET / HTTP/1.1\r\nHost: a\r\n" BEHIND "\r\n"},
        {"GET http://a?b HTTP/1.1\r\nHost: a\r\n\r\n",
         "GET /?b HTTP/1.1\r\nHost: a\r\n" BEHIND "\r\n"},
        {"OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n",
         "OPTIONS * HTTP/1.1\r\nHost: a\r\n" BEHIND "\r\n"},
        {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
         "OPTIONS * HTTP/1.1\r\nHost: a\r\n" BEHIND "\r\n"},
        {"GET http://a:8/b HTTP/1.0\r\n\r\n",
         "GET /b HTTP/1.0\r\nHost: a:8\r\n" BEHIND "Connection: keep-alive\r\n\r\n"},
        {"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", ""},
        {"GET http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n", ""},
        {"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", ""},
        {"GET http:///b HTTP/1.0\r\n\r\n", ""},
        {"GET http://u@a/ HTTP/1.0\r\n\r\n", ""},
        {"GET http://a%41/ HTTP/1.0\r\n\r\n", ""},
        {"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", ""},
        {"GET a/b HTTP/1.1\r\nHost: a\r\n\r\n", ""},
        {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", ""},
        {"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_relayed(cases[i].in, &plain, cases[i].out);
}

static void who_is_trusted_is_believed_and_added(void **state)
{
    (void)state;
    static const struct relay r = {.from = &visitor,
                                   .trusted = true,
                                   .proto = "http",
                                   .host = "a.example",
                                   .keep_alive = true};
#define HEAD "GET / HTTP/1.1\r\nHost: a\r\n"
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"X-Forwarded-For: 192.0.2.1\r\nX: y\r\nX-Forwarded-For: 192.0.2.2 , 192.0.2.3\r\n",
         "X: y\r\nX-Forwarded-For: 192.0.2.1, 192.0.2.2 , 192.0.2.3, 203.0.113.9\r\n"
         "X-Forwarded-Proto: http\r\nX-Forwarded-Host: a.example\r\n"},
        {"X-Forwarded-For:\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\nX-Real-IP: "
         "1.1.1.1\r\n",
         "X-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\nX-Real-IP: 1.1.1.1\r\n"
         "X-Forwarded-For: 203.0.113.9\r\n"},
        {"Forwarded: for=192.0.2.1\r\nForwarded: for=192.0.2.2;by=x\r\n",
         "Forwarded: for=192.0.2.1, for=192.0.2.2;by=x, "
         "for=203.0.113.9;proto=http;host=\"a.example\"\r\n"},
        {"X_Forwarded_For: 127.0.0.1\r\nX-Request-Id: his\r\nX-Forwarded-For: 192.0.2.1\r\n",
         "X-Request-Id: his\r\nX-Forwarded-For: 192.0.2.1, 203.0.113.9\r\n"
         "X-Forwarded-Proto: http\r\nX-Forwarded-Host: a.example\r\n"},
        {"", "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: "
             "a.example\r\n"
             "Forwarded: for=203.0.113.9;proto=http;host=\"a.example\"\r\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[400], want[800];
        snprintf(text, sizeof text, HEAD "%s\r\n", cases[i].in);
        snprintf(want, sizeof want, HEAD "%s\r\n", cases[i].out);
        assert_relayed(text, &r, want);
    }
}

static void who_is_silent_adds_nothing(void **state)
{
    (void)state;
    struct relay r = {.from = &visitor, .proto = "http", .host = "a", .keep_alive = true};
    r.silent = true;
    assert_relayed(HEAD "X-Forwarded-For: 192.0.2.1\r\n\r\n", &r, HEAD "\r\n");
    r.trusted = true;
    assert_relayed(HEAD "\r\n", &r, HEAD "\r\n");
    assert_relayed(HEAD "X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.1\r\n\r\n", &r,
                   HEAD "X-Forwarded-For: 192.0.2.1\r\nForwarded: for=192.0.2.1\r\n\r\n");
}

static void the_id_of_who_is_trusted_stays(void **state)
{
    (void)state;
    struct relay r = {
        .from = &visitor, .proto = "http", .host = "", .id = "7f", .keep_alive = true};
    char *out = relayed(HEAD "X-Request-Id: his\r\n\r\n", &r);
    assert_null(strstr(out, "his"));
    assert_non_null(strstr(out, "\r\nX-Request-Id: 7f\r\n"));
    free(out);
    r.trusted = true;
    out = relayed(HEAD "X-Request-Id: his\r\n\r\n", &r);
    assert_non_null(strstr(out, "\r\nX-Request-Id: his\r\n"));
    assert_null(strstr(out, "7f"));
    free(out);
    out = relayed(HEAD "\r\n", &r);
    assert_non_null(strstr(out, "\r\nX-Request-Id: 7f\r\n"));
    free(out);
}

static void an_address_is_written_as_each_field_wants_it(void **state)
{
    (void)state;
    struct relay r = {.from = &sixth, .proto = "https", .host = "", .keep_alive = true};
    assert_relayed(HEAD "\r\n", &r,
                   HEAD "X-Forwarded-For: 2001:db8::1\r\nX-Forwarded-Proto: https\r\n"
                        "Forwarded: for=\"[2001:db8::1]\";proto=https\r\n\r\n");
    r.from = NULL;
    assert_relayed(HEAD "\r\n", &r,
                   HEAD "X-Forwarded-Proto: https\r\nForwarded: for=unknown;proto=https\r\n\r\n");
    r.trusted = true;
    assert_relayed(HEAD "X-Forwarded-For: 192.0.2.1\r\n\r\n", &r,
                   HEAD "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n\r\n");
}

/* --- answers --- */

static enum step read_answer(struct http1_head *h, const char *text)
{
    struct err e;
    *h = (struct http1_head){0};
    return http1_read_answer(h, (const uint8_t *)text, strlen(text), &e);
}

static void assert_answered(const char *text, const struct relay_back *r, const char *want)
{
    struct http1_head h;
    assert_int_equal(read_answer(&h, text), STEP_DONE);
    size_t room = http_relay_answer_room(&h, r);
    char *out = malloc(room + 1);
    size_t len = http_relay_answer((uint8_t *)out, (const uint8_t *)text, &h, r);
    assert_true(len <= room);
    out[len] = '\0';
    assert_string_equal(out, want);
    free(out);
}

static void an_answer_passes_without_what_was_for_one_hop(void **state)
{
    (void)state;
    static const struct relay_back kept = {.minor = 1, .keep_alive = true},
                                   old = {.minor = 0, .keep_alive = true},
                                   ends = {.minor = 1, .id = "7f"};
    assert_answered("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close, X-A\r\nX-A: 1\r\n"
                    "Keep-Alive: timeout=5\r\nX-B: 2\r\n\r\n",
                    &kept, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-B: 2\r\n\r\n");
    assert_answered("HTTP/1.0 404\r\nX-Request-Id: theirs\r\n\r\n", &ends,
                    "HTTP/1.1 404 \r\nX-Request-Id: 7f\r\nConnection: close\r\n\r\n");
    assert_answered("HTTP/1.1 200 \xc3\xa4\r\nContent-Length: 0\r\n\r\n", &old,
                    "HTTP/1.1 200 \xc3\xa4\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n");
    assert_answered("HTTP/1.1 204 No\x01 Content\r\nContent-Length: 5\r\n\r\n", &kept,
                    "HTTP/1.1 204 \r\n\r\n");
    assert_answered("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", &kept,
                    "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n");
    assert_answered("HTTP/1.1 200 OK\r\nConnection: Content-Length\r\nContent-Length: 5\r\n\r\n",
                    &kept, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    assert_answered("HTTP/1.1 100 Continue\r\n\r\n", &ends,
                    "HTTP/1.1 100 Continue\r\nX-Request-Id: 7f\r\n\r\n");
    assert_answered("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: "
                    "websocket\r\n\r\n",
                    &kept,
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
                    "Upgrade\r\n\r\n");
    assert_answered("HTTP/1.1 426 Upgrade Required\r\nConnection: upgrade\r\nUpgrade: x\r\n"
                    "Content-Length: 0\r\n\r\n",
                    &(const struct relay_back){.minor = 1},
                    "HTTP/1.1 426 Upgrade Required\r\nUpgrade: x\r\nContent-Length: 0\r\n"
                    "Connection: Upgrade, close\r\n\r\n");
}

static void a_visitor_with_http_1_0_is_not_told_what_he_cannot_read(void **state)
{
    (void)state;
    static const struct relay_back old = {.minor = 0};
    assert_answered("HTTP/1.1 100 Continue\r\n\r\n", &old, "");
    assert_answered("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &old, "");
}

static void what_is_beyond_doubt_only_is_an_answer(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 200OK\r\n\r\n",
        "HTTP/1.1\r\n\r\n",
        "HTTP/2 200\r\n\r\n",
        "HTTP/1.2 200 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\n\n",
        "HTTP/1.1 200 a\rb\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\n\r\n",
        "HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    };
    struct http1_head h;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (read_answer(&h, bad[i]) != STEP_FAIL || h.status != 502)
            fail_msg("\"%s\" is taken", bad[i]);
    }
    static const char text[] = "HTTP/1.1 200 OK\r\n\r\n";
    for (size_t n = 0; n < sizeof text - 1; n++) {
        struct err e;
        h = (struct http1_head){0};
        assert_int_equal(http1_read_answer(&h, (const uint8_t *)text, n, &e), STEP_MORE);
    }
}

static void an_answer_says_how_long_it_is(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool head;
        enum http_body_state state;
        bool keep_alive;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, HTTP_BODY_COUNTED, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true, HTTP_BODY_DONE, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, HTTP_BODY_DONE, true},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, HTTP_BODY_SIZE, true},
        {"HTTP/1.1 200 OK\r\n\r\n", false, HTTP_BODY_UNTIL_CLOSE, true},
        {"HTTP/1.0 200 OK\r\n\r\n", false, HTTP_BODY_UNTIL_CLOSE, false},
        {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n", false,
         HTTP_BODY_COUNTED, true},
        {"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", false, HTTP_BODY_DONE, true},
        {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false, HTTP_BODY_DONE, true},
        {"HTTP/1.1 103 Early Hints\r\n\r\n", false, HTTP_BODY_DONE, true},
        {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", true, HTTP_BODY_DONE, false},
        {"HTTP/1.1 200 OK\r\nConnection: \"bad\"\r\n\r\n", true, HTTP_BODY_DONE, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http1_head h;
        assert_int_equal(read_answer(&h, cases[i].text), STEP_DONE);
        struct http_body b = http_body_of_answer(&h, cases[i].head);
        assert_int_equal(b.state, cases[i].state);
        assert_int_equal(h.keep_alive, cases[i].keep_alive);
    }
}

/* --- upgrades --- */

static void an_upgrade_is_to_one_protocol_that_carries_no_requests(void **state)
{
    (void)state;
    static const struct {
        const char *lines;
        bool upgrade;
    } cases[] = {
        {"Connection: Upgrade\r\nUpgrade: websocket\r\n", true},
        {"Connection: keep-alive, upgrade\r\nUpgrade: WebSocket\r\n", true},
        {"Connection: Upgrade\r\nUpgrade: x/1.0\r\n", true},
        {"Upgrade: websocket\r\n", false},
        {"Connection: Upgrade\r\n", false},
        {"Connection: Upgrade\r\nUpgrade:\r\n", false},
        {"Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n", false},
        {"Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: websocket\r\n", false},
        {"Connection: Upgrade\r\nUpgrade: h2c\r\n", false},
        {"Connection: Upgrade\r\nUpgrade: HTTP/2.0\r\n", false},
        {"Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n", false},
        {"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[400];
        struct http1_head h = {0};
        struct err e;
        snprintf(text, sizeof text, HEAD "%s\r\n", cases[i].lines);
        assert_int_equal(http1_read(&h, (uint8_t *)text, strlen(text), &e), STEP_DONE);
        assert_int_equal(h.upgrade, cases[i].upgrade);
    }
    struct http1_head h = {0};
    struct err e;
    static const char old[] = "GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_int_equal(http1_read(&h, (const uint8_t *)old, sizeof old - 1, &e), STEP_DONE);
    assert_false(h.upgrade);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_for_the_origin_passes_as_it_was_written),
        cmocka_unit_test(what_is_for_one_hop_stays_behind),
        cmocka_unit_test(connection_may_not_take_away_what_the_message_is),
        cmocka_unit_test(the_connection_is_ours_to_keep),
        cmocka_unit_test(a_url_becomes_a_path),
        cmocka_unit_test(who_is_trusted_is_believed_and_added),
        cmocka_unit_test(the_id_of_who_is_trusted_stays),
        cmocka_unit_test(who_is_silent_adds_nothing),
        cmocka_unit_test(an_address_is_written_as_each_field_wants_it),
        cmocka_unit_test(an_answer_passes_without_what_was_for_one_hop),
        cmocka_unit_test(a_visitor_with_http_1_0_is_not_told_what_he_cannot_read),
        cmocka_unit_test(what_is_beyond_doubt_only_is_an_answer),
        cmocka_unit_test(an_answer_says_how_long_it_is),
        cmocka_unit_test(an_upgrade_is_to_one_protocol_that_carries_no_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
