#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/http_proxy.h"
#include "testing/codec_rig.h"

static const struct {
    const char *hears;
    int code; /* 0: agreed */
    const char *got;
} cases[] = {
    {"HTTP/1.1 200 Connection established\r\n\r\nhello", 0, "hello"},
    {"HTTP/1.0 204 \r\nVia: x\r\nContent-Length: 5\r\n\r\nhello", 0, "hello"},
    {"HTTP/1.1 407 Proxy Authentication Required\r\n", EACCES, ""},
    {"HTTP/1.1 403 Forbidden\r\n", EACCES, ""},
    {"HTTP/1.1 504 Gateway Timeout\r\n", ETIMEDOUT, ""},
    {"HTTP/1.1 502 Bad Gateway\r\n", EHOSTUNREACH, ""},
    {"HTTP/1.1 100 Continue\r\n", EHOSTUNREACH, ""},
    {"HTTP/2 200 \r\n\r\n", EPROTO, ""},
    {"HTTP/1.1 20x \r\n\r\n", EPROTO, ""},
    {"HTTP/1.1x200 \r\n\r\n", EPROTO, ""},
    {"SSH-2.0-x\r\n", EPROTO, ""},
    {"\5\0\0\0\0\0\0\0\0\0\0\0", EPROTO, ""},
};

static void answers_survive_any_split(void **state)
{
    (void)state;
    struct addr target = {.type = ADDR_NAME, .port = 443, .name = "example.com"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t cut = 0; cut <= strlen(cases[i].hears); cut++) {
            struct codec_rig *r = codec_rig_new(http_request_new(NULL, "", &target));
            codec_rig_feed(r, cases[i].hears, cut);
            codec_rig_feed(r, cases[i].hears + cut, strlen(cases[i].hears) - cut);
            assert_int_equal(r->step == STEP_FAIL ? r->why.code : 0, cases[i].code);
            assert_int_equal(r->codec->signs & CODEC_MUTE, cases[i].code ? CODEC_MUTE : 0);
            assert_int_equal(r->codec->marks_end, cases[i].code != 0);
            assert_int_equal(r->got_len, strlen(cases[i].got));
            assert_memory_equal(r->got, cases[i].got, r->got_len);
            codec_rig_free(r);
        }
}

static void requests_say_what_they_should(void **state)
{
    (void)state;
    struct addr v6 = {.type = ADDR_IPV6, .port = 1, .ip = {[15] = 1}};
    struct login login = {"alice", "open"};
    struct codec_rig *r = codec_rig_new(http_request_new(&login, "X: y\r\n", &v6));
    static const char want[] = "CONNECT [::1]:1 HTTP/1.1\r\nHost: [::1]:1\r\n"
                               "Proxy-Authorization: Basic YWxpY2U6b3Blbg==\r\nX: y\r\n\r\n";
    codec_rig_feed(r, "", 0);
    assert_int_equal(r->said_len, sizeof want - 1);
    assert_memory_equal(r->said, want, sizeof want - 1);
    codec_rig_free(r);
}

static void the_longest_login_and_target_fit(void **state)
{
    (void)state;
    char text[256];
    memset(text, 'x', 255);
    text[255] = '\0';
    struct login login = {text, text};
    struct addr target = {.type = ADDR_NAME, .port = 65535};
    memcpy(target.name, text, sizeof text);
    struct codec_rig *r = codec_rig_new(http_request_new(&login, "", &target));
    codec_rig_feed(r, "", 0);
    assert_memory_equal(r->said + r->said_len - 4, "\r\n\r\n", 4);
    codec_rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_survive_any_split),
        cmocka_unit_test(requests_say_what_they_should),
        cmocka_unit_test(the_longest_login_and_target_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
