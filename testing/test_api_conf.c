#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "conf_rig.h"

#define API(keys) "{\"api\":{\"tag\":\"api\"," keys "},\"inbounds\":[" DOOR "]}"
#define DOOR                                                                                       \
    "{\"tag\":\"d\",\"listen\":\"127.0.0.1\",\"port\":10085,\"protocol\":\"dokodemo-door\","       \
    "\"settings\":{\"address\":\"127.0.0.1\"}}"
#define TOKEN "0123456789abcdef0123456789abcdef"

static void the_api_listens_behind_the_configured_inbounds(void **state)
{
    (void)state;
    struct run r;
    const struct config *c = run_good(&r, API("\"listen\":\"localhost:10086\",\"token\":\"" TOKEN
                                              "\",\"hosts\":\"a.test,b.test\""));
    assert_int_equal(c->inbound_count, 2);
    assert_int_equal(c->inbounds[1].kind, IN_API);
    assert_ptr_equal(c->inbounds[1].tag, api_listen_tag);
    assert_int_equal(c->inbounds[1].ports.from, 10086);
    assert_int_equal(c->inbounds[1].listen.type, ADDR_IPV4);
    assert_string_equal(c->api->token, TOKEN);
    assert_int_equal(c->api->host_count, 2);
    run_free(&r);
    c = run_good(&r, API("\"listen\":\"/run/v2c.sock\""));
    assert_int_equal(c->inbounds[1].listen.type, ADDR_UNIX);
    assert_int_equal(c->inbounds[1].unix_mode, 0600);
    assert_string_equal(c->api->token, "");
    run_free(&r);
    c = run_good(&r, API("\"listen\":\"[::1]:1\""));
    assert_int_equal(c->inbounds[1].listen.type, ADDR_IPV6);
    run_free(&r);
}

static void the_api_listens_nowhere_but_here(void **state)
{
    (void)state;
    static const char *const listens[] = {"0.0.0.0:1",      "192.0.2.1:1",
                                          "[::]:1",         "[::ffff:192.0.2.1]:1",
                                          "example.com:80", "128.0.0.1:1"};
    char text[1024];
    for (size_t i = 0; i < sizeof listens / sizeof *listens; i++) {
        snprintf(text, sizeof text, API("\"listen\":\"%s\""), listens[i]);
        assert_refused(text,
                       "/api/listen: error: the api listens on loopback or a unix socket only");
    }
    assert_refused(API("\"listen\":\"127.0.0.1\""), "want \"127.0.0.1:PORT\"");
    assert_refused(API("\"listen\":\"127.0.0.1:0\""), "want \"127.0.0.1:PORT\"");
    assert_refused(API("\"listen\":\"127.0.0.1:65536\""), "want \"127.0.0.1:PORT\"");
    assert_refused(API("\"listen\":10085"), "/api/listen: error: want \"127.0.0.1:PORT\"");
    assert_refused(API("\"listen\":\"127.0.0.1:10085\""),
                   "/api/listen: error: /inbounds/0 listens on the same port");
}

static void a_token_is_long_and_never_shown(void **state)
{
    (void)state;
    assert_refused(API("\"token\":\"short-secret\""), "/api/token: error: want a token of 32..512");
    assert_refused(API("\"token\":\"with a space, but long enough for it\""),
                   "want a token of printable ASCII without spaces");
    assert_refused(API("\"token\":\"" TOKEN "\",\"tokenFile\":\"/dev/null\""), "not both");
    assert_refused(API("\"tokenFile\":\"/nonexistent/token\""),
                   "/api/tokenFile: error: /nonexistent/token: ");
    struct run r = run_text(API("\"token\":\"short-secret\""));
    assert_null(strstr(r.said, "short-secret"));
    run_free(&r);
}

static void names_and_services_are_checked(void **state)
{
    (void)state;
    assert_refused(API("\"hosts\":[\"a.test:80\"]"), "/api/hosts/0: error: want a host name");
    assert_refused(API("\"hosts\":[\"*.test\"]"), "/api/hosts/0: error: want a host name");
    assert_warned(API("\"services\":[\"statsservice\",\"Nonsense\"]"),
                  "/api/services/1: warning: no core has a service \"Nonsense\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_api_listens_behind_the_configured_inbounds),
        cmocka_unit_test(the_api_listens_nowhere_but_here),
        cmocka_unit_test(a_token_is_long_and_never_shown),
        cmocka_unit_test(names_and_services_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
