#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "proxy/api_guard.h"

#define TOKEN "0123456789abcdef0123456789abcdef"
#define HOST "Host: 127.0.0.1:10085\r\n"
#define BEARER "Authorization: Bearer " TOKEN "\r\n"
#define JSON "Content-Type: application/json\r\n"

static const char *const names[] = {"v2c.example"};

static int ask(const char *request, const char *token, bool owner, bool open)
{
    struct http1_head head = {0};
    struct err e;
    const char *why = NULL;
    const struct api_conf conf = {.token = token, .hosts = names, .host_count = 1};
    assert_int_equal(http1_read(&head, (const uint8_t *)request, strlen(request), &e), STEP_DONE);
    const struct api_guarded g = {
        .head = &head, .data = (const uint8_t *)request, .conf = &conf, .owner = owner};
    int refused = api_guard(&g, open, &why);
    assert_true(!refused || (why && *why));
    return refused;
}

static int post(const char *fields)
{
    char text[1024];
    snprintf(text, sizeof text, "POST /v1/x HTTP/1.1\r\n%s\r\n", fields);
    return ask(text, TOKEN, false, false);
}

static void a_change_needs_the_token_and_json(void **state)
{
    (void)state;
    assert_int_equal(post(HOST BEARER JSON), 0);
    assert_int_equal(post(HOST BEARER "content-type:  Application/JSON ; charset=utf-8\r\n"), 0);
    assert_int_equal(post(HOST "authorization: bearer " TOKEN "\r\n" JSON), 0);
    assert_int_equal(post(HOST JSON), 401);
    assert_int_equal(post(HOST "Authorization: Bearer " TOKEN "x\r\n" JSON), 401);
    assert_int_equal(post(HOST "Authorization: Bearer 0\r\n" JSON), 401);
    assert_int_equal(post(HOST "Authorization: Bearer \r\n" JSON), 401);
    assert_int_equal(post(HOST "Authorization: Basic " TOKEN "\r\n" JSON), 401);
    assert_int_equal(post(HOST "Authorization: " TOKEN "\r\n" JSON), 401);
    assert_int_equal(post(HOST BEARER BEARER JSON), 401);
    assert_int_equal(post(HOST BEARER), 415);
    assert_int_equal(post(HOST BEARER JSON JSON), 415);
    assert_int_equal(post(HOST BEARER "Content-Type: text/plain\r\n"), 415);
    assert_int_equal(post(HOST BEARER "Content-Type: application/x-www-form-urlencoded\r\n"), 415);
    assert_int_equal(post(HOST BEARER "Content-Type: application/jsonp\r\n"), 415);
}

static void a_page_in_a_browser_changes_nothing(void **state)
{
    (void)state;
    assert_int_equal(post(HOST BEARER JSON "Origin: http://127.0.0.1:10085\r\n"), 403);
    assert_int_equal(post(HOST BEARER JSON "Origin: null\r\n"), 403);
    assert_int_equal(post(HOST BEARER JSON "Sec-Fetch-Site: cross-site\r\n"), 403);
    assert_int_equal(post(HOST BEARER JSON "Sec-Fetch-Site: same-site\r\n"), 403);
    assert_int_equal(post(HOST BEARER JSON "Sec-Fetch-Site: none\r\nSec-Fetch-Site: none\r\n"),
                     403);
    assert_int_equal(post(HOST BEARER JSON "Sec-Fetch-Site: none\r\n"), 0);
}

static void a_name_that_somebody_bound_to_our_address_is_refused(void **state)
{
    (void)state;
    static const char *const good[] = {"127.0.0.1", "127.0.0.1:1", "[::1]",       "[::1]:80",
                                       "localhost", "LOCALHOST:9", "192.0.2.7:1", "v2c.Example:80"};
    static const char *const bad[] = {"evil.test",
                                      "localhost.evil.test",
                                      "127.0.0.1.evil.test",
                                      "127.0.0.1:80:80",
                                      "127.0.0.1:80x",
                                      "[::1",
                                      "[::1]x",
                                      "::1",
                                      "v2c.example.",
                                      ":80",
                                      "2130706433",
                                      "127.1"};
    char text[256];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(text, sizeof text, "GET /v1/x HTTP/1.1\r\nHost: %s\r\n\r\n", good[i]);
        assert_int_equal(ask(text, "", false, true), 0);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, "GET /v1/x HTTP/1.1\r\nHost: %s\r\n\r\n", bad[i]);
        assert_int_equal(ask(text, "", true, true), 421);
    }
    assert_int_equal(ask("GET /v1/x HTTP/1.0\r\n\r\n", "", true, true), 421);
    assert_int_equal(ask("GET http://127.0.0.1/v1/x HTTP/1.1\r\n" HOST "\r\n", "", true, true),
                     421);
}

static void reading_needs_the_token_unless_it_is_open(void **state)
{
    (void)state;
    static const char get[] = "GET /v1/x HTTP/1.1\r\n" HOST "\r\n";
    assert_int_equal(ask(get, TOKEN, false, true), 0);
    assert_int_equal(ask(get, TOKEN, false, false), 401);
    assert_int_equal(ask(get, "", false, false), 403);
    assert_int_equal(ask(get, TOKEN, true, false), 0);
    assert_int_equal(ask("HEAD /v1/x HTTP/1.1\r\n" HOST BEARER "\r\n", TOKEN, false, false), 0);
}

static void without_a_token_nothing_can_be_changed_but_by_the_owner(void **state)
{
    (void)state;
    static const char request[] = "POST /v1/x HTTP/1.1\r\n" HOST JSON "\r\n";
    static const char empty[] =
        "POST /v1/x HTTP/1.1\r\n" HOST "Authorization: Bearer \r\n" JSON "\r\n";
    assert_int_equal(ask(request, "", false, true), 403);
    assert_int_equal(ask(empty, "", false, true), 403);
    assert_int_equal(ask(request, "", true, false), 0);
}

static void a_delete_without_a_body_needs_no_type(void **state)
{
    (void)state;
    static const char bare[] = "DELETE /v1/x HTTP/1.1\r\n" HOST BEARER "\r\n";
    static const char body[] =
        "DELETE /v1/x HTTP/1.1\r\n" HOST BEARER "Content-Length: 2\r\n\r\n{}";
    assert_int_equal(ask(bare, TOKEN, false, false), 0);
    assert_int_equal(ask(body, TOKEN, false, false), 415);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_needs_the_token_and_json),
        cmocka_unit_test(a_page_in_a_browser_changes_nothing),
        cmocka_unit_test(a_name_that_somebody_bound_to_our_address_is_refused),
        cmocka_unit_test(reading_needs_the_token_unless_it_is_open),
        cmocka_unit_test(without_a_token_nothing_can_be_changed_but_by_the_owner),
        cmocka_unit_test(a_delete_without_a_body_needs_no_type),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
