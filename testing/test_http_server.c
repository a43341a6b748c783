#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "proxy/http_proxy.h"
#include "testing/codec_rig.h"

static const struct user alice = {.email = "alice", .traffic = {-1, -1}};
static struct account account;
static struct http_in_conf open_conf, closed_conf;

static int set_up(void **state)
{
    (void)state;
    account_init(&account, "alice", 5, "open:sesame", 11, &alice);
    closed_conf.accounts = (struct accounts){&account, 1};
    return 0;
}

static struct codec_rig *heard(const struct http_in_conf *const *conf, const char *text, size_t cut)
{
    struct codec_rig *r = codec_rig_new(http_accept_new(conf));
    codec_rig_feed(r, text, cut);
    codec_rig_feed(r, text + cut, strlen(text) - cut);
    return r;
}

static void assert_said(const struct codec_rig *r, int status)
{
    char line[32];
    int len = snprintf(line, sizeof line, "HTTP/1.1 %d ", status);
    assert_true(r->said_len > (size_t)len);
    assert_memory_equal(r->said, line, (size_t)len);
}

static void a_tunnel_survives_any_split(void **state)
{
    (void)state;
    static const char text[] = "CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\nhello";
    const struct http_in_conf *conf = &open_conf;
    for (size_t cut = 0; cut < sizeof text; cut++) {
        struct codec_rig *r = heard(&conf, text, cut);
        assert_int_equal(r->step, STEP_DONE);
        assert_string_equal(r->meta.target.name, "example.com");
        assert_int_equal(r->meta.target.port, 443);
        assert_null(r->meta.head);
        assert_int_equal(r->codec->signs, CODEC_MUTE);
        assert_memory_equal(r->got, "hello", 5);
        codec_rig_answer(r, 0);
        assert_said(r, 200);
        assert_int_equal(r->codec->signs, CODEC_PASSES);
        codec_rig_free(r);
    }
}

static void a_plain_request_survives_any_split(void **state)
{
    (void)state;
    static const char text[] =
        "POST http://example.com/x HTTP/1.1\r\nHost: y\r\nContent-Length: 5\r\n\r\n"
        "helloGET http://other/ HTTP/1.1\r\nHost: other\r\n\r\n";
    static const char sent[] = "POST /x HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\n"
                               "Connection: close\r\n\r\nhello";
    const struct http_in_conf *conf = &open_conf;
    for (size_t cut = 0; cut < sizeof text; cut++) {
        struct codec_rig *r = heard(&conf, text, cut);
        assert_int_equal(r->step, STEP_DONE);
        assert_int_equal(r->meta.target.port, 80);
        assert_int_equal(r->meta.head_len, sizeof sent - 1 - 5);
        assert_int_equal(r->got_len, sizeof sent - 1);
        assert_memory_equal(r->got, sent, sizeof sent - 1);
        assert_false(r->codec->marks_end);
        codec_rig_answer(r, 0);
        assert_int_equal(r->said_len, 0);
        assert_int_equal(r->codec->signs, 0);
        codec_rig_free(r);
    }
}

/* The end of the connection is no end of the request. */
static void a_body_that_is_cut_off_is_known(void **state)
{
    (void)state;
    static const char text[] = "POST http://a/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
                               "chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    const struct http_in_conf *conf = &open_conf;
    size_t head = (size_t)(strstr(text, "3\r\n") - text);
    for (size_t cut = head; cut < sizeof text - 1; cut++) {
        struct codec_rig *r = codec_rig_new(http_accept_new(&conf));
        codec_rig_feed(r, text, cut);
        assert_true(r->codec->marks_end);
        codec_rig_feed(r, text + cut, sizeof text - 1 - cut);
        assert_false(r->codec->marks_end);
        codec_rig_free(r);
    }
}

static void a_body_that_is_not_valid_ends_it(void **state)
{
    (void)state;
    const struct http_in_conf *conf = &open_conf;
    struct codec_rig *r = heard(
        &conf, "POST http://a/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n", 0);
    assert_int_equal(r->step, STEP_FAIL);
    codec_rig_free(r);
}

static void only_accounts_may_ask(void **state)
{
    (void)state;
    static const struct {
        const char *field;
        bool ok;
    } cases[] = {
        {"Proxy-Authorization: Basic YWxpY2U6b3BlbjpzZXNhbWU=\r\n", true},
        {"proxy-authorization: bASIC YWxpY2U6b3BlbjpzZXNhbWU=\r\n", true},
        {"", false},
        {"Authorization: Basic YWxpY2U6b3BlbjpzZXNhbWU=\r\n", false},
        {"Proxy-Authorization: Digest YWxpY2U6b3BlbjpzZXNhbWU=\r\n", false},
        {"Proxy-Authorization: Basic YWxpY2U6b3BlbjpzZXNhbWU\r\n", false},
        {"Proxy-Authorization: Basic YWxpY2U6b3BlbjpzZXNhbWU= x\r\n", false},
        {"Proxy-Authorization: Basic YWxpY2U6b3Blbg==\r\n", false},
        {"Proxy-Authorization: Basic YWxpY2U=\r\n", false},
        {"Proxy-Authorization: Basic\r\n", false},
        {"Proxy-Authorization: Basic YWxpY2U6b3BlbjpzZXNhbWU=\r\nProxy-Authorization: Basic x\r\n",
         false},
    };
    const struct http_in_conf *conf = &closed_conf;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[400];
        snprintf(text, sizeof text, "GET http://a/ HTTP/1.1\r\nHost: a\r\n%s\r\n", cases[i].field);
        struct codec_rig *r = heard(&conf, text, 0);
        assert_int_equal(r->step, cases[i].ok ? STEP_DONE : STEP_FAIL);
        assert_ptr_equal(r->meta.user, cases[i].ok ? &alice : NULL);
        if (!cases[i].ok) {
            assert_said(r, 407);
            assert_non_null(strstr((char *)r->said, "Proxy-Authenticate: Basic realm="));
        }
        codec_rig_free(r);
    }
}

static void refusals_say_why(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET http://a/ HTTP/1.1\r\n\r\n", 400},
        {"GET http://a/ HTTP/1.1\nHost: a\n\n", 400},
        {"GET http://a/ HTTP/3.0\r\nHost: a\r\n\r\n", 505},
        {"POST http://a/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
        {"\5\1\2", 0},
    };
    const struct http_in_conf *conf = &open_conf;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t cut = 0; cut <= strlen(cases[i].text); cut++) {
            struct codec_rig *r = heard(&conf, cases[i].text, cut);
            assert_int_equal(r->step, cases[i].status ? STEP_FAIL : STEP_MORE);
            if (cases[i].status)
                assert_said(r, cases[i].status);
            codec_rig_free(r);
        }
}

static void the_answer_says_why(void **state)
{
    (void)state;
    static const struct {
        int code, status;
    } cases[] = {
        {ECONNREFUSED, 502}, {EHOSTUNREACH, 502}, {ETIMEDOUT, 504}, {EACCES, 403}, {ENOMEM, 503}};
    static const char *const texts[] = {"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
                                        "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n"};
    const struct http_in_conf *conf = &open_conf;
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        struct codec_rig *r = heard(&conf, texts[i % 2], 0);
        codec_rig_answer(r, cases[i / 2].code);
        assert_said(r, cases[i / 2].status);
        assert_int_equal(r->codec->signs, 0);
        codec_rig_free(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tunnel_survives_any_split),
        cmocka_unit_test(a_plain_request_survives_any_split),
        cmocka_unit_test(a_body_that_is_cut_off_is_known),
        cmocka_unit_test(a_body_that_is_not_valid_ends_it),
        cmocka_unit_test(only_accounts_may_ask),
        cmocka_unit_test(refusals_say_why),
        cmocka_unit_test(the_answer_says_why),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
