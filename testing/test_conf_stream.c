#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "testing/conf_rig.h"
#include "transport/forged.h"
#include "transport/ws.h"

#define DOOR "\"protocol\":\"dokodemo-door\",\"settings\":{\"address\":\"127.0.0.1\",\"port\":80}"
#define IN(stream) "{\"inbounds\":[{\"port\":1," DOOR ",\"streamSettings\":" stream "}]}"
#define OUT(stream)                                                                                \
    "{\"inbounds\":[{\"port\":1," DOOR "}],\"outbounds\":[{\"protocol\":\"freedom\","              \
    "\"streamSettings\":" stream "}]}"
#define PINS(pins)                                                                                 \
    "{\"security\":\"tls\",\"tlsSettings\":{\"disableSystemRoot\":true,"                           \
    "\"pinnedPeerCertificateChainSha256\":" pins "}}"
#define WS(settings) "{\"network\":\"ws\",\"wsSettings\":" settings "}"

static const struct carriage *in_of(struct run *r, const char *text)
{
    const struct carriage *c = run_good(r, text)->inbounds[0].carriage;
    assert_non_null(c);
    return c;
}

static const struct carriage *out_of(struct run *r, const char *text)
{
    const struct carriage *c = run_good(r, text)->outbounds[0].carriage;
    assert_non_null(c);
    return c;
}

static void a_stream_that_says_nothing_is_plain(void **state)
{
    (void)state;
    static const char *const texts[] = {
        IN("{}"), IN("null"), IN("{\"network\":\"raw\",\"security\":\"none\"}"),
        IN("{\"tcpSettings\":{\"header\":{\"type\":\"none\"}},\"sockopt\":{\"mark\":0}}")};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct run r;
        assert_null(run_good(&r, texts[i])->inbounds[0].carriage);
        run_free(&r);
    }
}

static void assert_path(const char *text, const char *path, unsigned early, const char *field)
{
    struct run r;
    const struct ws_conf *c = in_of(&r, text)->ws;
    assert_non_null(c);
    assert_string_equal(c->to.path, path);
    assert_int_equal(c->early_max, early);
    assert_string_equal(c->early_field ? c->early_field : "-", field);
    run_free(&r);
}

static void the_path_of_ws_has_several_forms(void **state)
{
    (void)state;
    assert_path(IN("{\"network\":\"ws\"}"), "/", 0, "-");
    assert_path(IN("{\"network\":\"websocket\",\"wsSettings\":{\"Path\":\"ray\"}}"), "/ray", 0,
                "-");
    assert_path(IN(WS("{\"path\":\"/ray?ed=2560\"}")), "/ray", 2560, "Sec-WebSocket-Protocol");
    assert_path(IN(WS("{\"path\":\"/ray?a=b&ed=10&c=d\"}")), "/ray?a=b&c=d", 10,
                "Sec-WebSocket-Protocol");
    assert_path(IN(WS("{\"path\":\"/ray?ed=x\"}")), "/ray?ed=x", 0, "-");
    assert_path(IN(WS("{\"path\":\"/ray\",\"maxEarlyData\":5}")), "/ray", 5, "-");
    assert_path(IN(WS("{\"path\":\"/ray\",\"maxEarlyData\":5,\"earlyDataHeaderName\":\"X-E\"}")),
                "/ray", 5, "X-E");
    assert_refused(IN(WS("{\"path\":\"/a b\"}")), "want a path without spaces");
    assert_refused(IN(WS("{\"path\":\"/a?b=c\",\"maxEarlyData\":5}")),
                   "early data goes behind the path, which has a query");
    assert_refused(IN(WS("{\"maxEarlyData\":5,\"earlyDataHeaderName\":\"X E\"}")),
                   "earlyDataHeaderName: error: want the name of an HTTP header");
}

static void headers_are_said_and_a_host_is_only_demanded_by_name(void **state)
{
    (void)state;
    static const char headers[] =
        WS("{\"headers\":{\"host\":\"a.example\",\"X-One\":\"1\",\"_comment\":5}}");
    struct run r;
    char text[1024];
    snprintf(text, sizeof text, OUT("%s"), headers);
    const struct upgrade_conf *c = &out_of(&r, text)->ws->to;
    assert_string_equal(c->host, "a.example");
    assert_int_equal(c->field_count, 1);
    assert_string_equal(c->fields[0].name, "X-One");
    assert_string_equal(c->fields[0].value, "1");
    run_free(&r);
    snprintf(text, sizeof text, IN("%s"), headers);
    assert_null(in_of(&r, text)->ws->to.host);
    run_free(&r);
    assert_string_equal(in_of(&r, IN(WS("{\"host\":\"b.example\"}")))->ws->to.host, "b.example");
    run_free(&r);
    assert_refused(OUT(WS("{\"headers\":{\"Upgrade\":\"x\"}}")), "v2c writes the header Upgrade");
    assert_refused(OUT(WS("{\"headers\":{\"X Y\":\"x\"}}")), "want the name of an HTTP header");
    assert_refused(OUT(WS("{\"headers\":{\"X\":\"a\\r\\nb: c\"}}")), "without control bytes");
    assert_refused(OUT(WS("{\"headers\":{\"X\":[\"a\"]}}")), "want text, got an array");
    assert_refused(OUT(WS("{\"host\":\"a b\"}")), "want a host without spaces");
}

static void loopback_may_tell_the_visitor_unless_others_are_named(void **state)
{
    (void)state;
    struct run r;
    const struct trusted *t = &in_of(&r, IN(WS("{}")))->ws->to.trusted;
    assert_int_equal(t->count, 2);
    assert_int_equal(t->nets[0].bits, 8);
    run_free(&r);
    t = &in_of(&r, IN(WS("{\"trustedProxies\":[]}")))->ws->to.trusted;
    assert_int_equal(t->count, 0);
    run_free(&r);
    t = &in_of(&r, IN(WS("{\"trustedProxies\":\"192.0.2.0/24,::/0\"}")))->ws->to.trusted;
    assert_int_equal(t->count, 2);
    assert_int_equal(t->nets[1].ip.type, ADDR_IPV6);
    run_free(&r);
    assert_refused(IN(WS("{\"trustedProxies\":[\"cdn\"]}")),
                   "/wsSettings/trustedProxies/0: error: want an IP or a network, got \"cdn\"");
}

static void httpupgrade_has_its_settings(void **state)
{
    (void)state;
    struct run r;
    const struct carriage *c = in_of(
        &r, IN("{\"network\":\"httpupgrade\",\"httpupgradeSettings\":{\"path\":\"up?ed=2048\","
               "\"host\":\"a.example\",\"acceptProxyProtocol\":true}}"));
    assert_non_null(c->upgrade);
    assert_string_equal(c->upgrade->path, "/up");
    assert_string_equal(c->upgrade->host, "a.example");
    assert_true(c->takes_proxy);
    run_free(&r);
}

static void a_forged_head_has_v2ray_s_forms(void **state)
{
    (void)state;
    struct run r;
    const struct forged_conf *c =
        in_of(&r, IN("{\"tcpSettings\":{\"header\":{\"type\":\"http\"}}}"))->forged;
    assert_string_equal(c->request.method, "GET");
    assert_string_equal(c->request.target.texts[0], "/");
    assert_string_equal(c->request.fields[0].name, "Host");
    assert_string_equal(c->response.method, "200");
    run_free(&r);
    c = in_of(&r, IN("{\"tcpSettings\":{\"header\":{\"type\":\"HTTP\",\"request\":{\"version\":"
                     "\"1.0\",\"method\":\"POST\",\"path\":\"/a,/b\",\"headers\":{\"A\":\"1,2\","
                     "\"B\":[\"3\",\"4\"]}},\"response\":{\"status\":\"404\",\"reason\":"
                     "\"Not Found\"}}}}"))
            ->forged;
    assert_string_equal(c->request.version, "1.0");
    assert_string_equal(c->request.method, "POST");
    assert_int_equal(c->request.target.count, 2);
    assert_int_equal(c->request.field_count, 2);
    assert_string_equal(c->request.fields[0].values.texts[0], "1,2");
    assert_int_equal(c->request.fields[1].values.count, 2);
    assert_string_equal(c->response.target.texts[0], "Not Found");
    run_free(&r);
    assert_refused(IN("{\"tcpSettings\":{\"header\":{}}}"), "type not found in JSON context");
    assert_refused(IN("{\"tcpSettings\":{\"header\":{\"type\":\"wechat\"}}}"), "unknown config id");
    assert_refused(IN("{\"tcpSettings\":{\"header\":{\"type\":\"http\",\"request\":{\"path\":"
                      "[\"/a b\"]}}}}"),
                   "/request/path/0: error: want text without control bytes and spaces");
    assert_refused(IN("{\"tcpSettings\":{\"header\":{\"type\":\"http\",\"request\":{\"method\":"
                      "\"GET /\"}}}}"),
                   "method: want text without spaces");
    assert_refused(IN("{\"tcpSettings\":{\"header\":{\"type\":\"http\",\"request\":{\"headers\":"
                      "{\"A\":[]}}}}}"),
                   "want at least one value");
}

static void a_proxy_header_is_demanded_wherever_it_is_said(void **state)
{
    (void)state;
    static const char *const texts[] = {
        IN("{\"tcpSettings\":{\"acceptProxyProtocol\":true}}"),
        IN(WS("{\"acceptProxyProtocol\":true}")),
        IN("{\"network\":\"ws\",\"sockopt\":{\"acceptProxyProtocol\":true}}"),
        IN("{\"sockopt\":{\"acceptProxyProtocol\":true}}")};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct run r;
        assert_true(in_of(&r, texts[i])->takes_proxy);
        run_free(&r);
    }
    assert_warned(OUT("{\"sockopt\":{\"acceptProxyProtocol\":true}}"),
                  "has no effect on an outbound");
}

static void sockopt_is_compiled(void **state)
{
    (void)state;
    struct run r;
    const struct sockopt_conf *c =
        &out_of(&r,
                OUT("{\"sockopt\":{\"mark\":4294967295,\"tcpFastOpen\":true,"
                    "\"tcpKeepAliveIdle\":7,\"tcpKeepAliveInterval\":-1,\"tcpUserTimeout\":9000,"
                    "\"tcpCongestion\":\"cubic\",\"tcpMaxSeg\":1000,\"tcpWindowClamp\":65536,"
                    "\"bindToDevice\":\"lo\",\"v6only\":true,\"tproxy\":\"off\"}}"))
             ->sockopt;
    assert_true(c->mark == UINT32_MAX && c->fast_open == 1 && c->keepalive_idle == 7 &&
                c->keepalive_interval == -1 && c->user_timeout == 9000 && c->max_seg == 1000 &&
                c->window_clamp == 65536 && c->v6only);
    assert_string_equal(c->congestion, "cubic");
    assert_string_equal(c->interface, "lo");
    run_free(&r);
    assert_int_equal(in_of(&r, IN("{\"sockopt\":{\"tcpFastOpen\":512}}"))->sockopt.fast_open, 512);
    run_free(&r);
    assert_int_equal(in_of(&r, IN("{\"sockopt\":{\"tcpFastOpen\":false}}"))->sockopt.fast_open, -1);
    run_free(&r);
    assert_refused(IN("{\"sockopt\":{\"mark\":-1}}"), "want a whole number 0..4294967295");
    assert_refused(IN("{\"sockopt\":{\"tcpFastOpen\":\"yes\"}}"), "want true, false or a whole");
    assert_refused(IN("{\"sockopt\":{\"tcpCongestion\":\"a-name-that-is-long\"}}"),
                   "tcpCongestion: error: want at most 15 bytes");
    assert_refused(IN("{\"sockopt\":{\"tproxy\":\"redirect\"}}"), "v2c has no sockopt tproxy yet");
}

#define UNIX(listen) "{\"inbounds\":[{\"listen\":\"" listen "\"," DOOR "}]}"

static void assert_listens(const char *text, const char *where, int mode)
{
    struct run r;
    char said[ADDR_TEXT_MAX];
    const struct inbound_conf *in = &run_good(&r, text)->inbounds[0];
    assert_int_equal(in->listen.type, ADDR_UNIX);
    assert_string_equal(addr_text(&in->listen, said), where);
    assert_int_equal(in->unix_mode, mode);
    assert_int_equal(inbound_ports(in), 1);
    run_free(&r);
}

static void an_inbound_may_listen_on_a_unix_socket(void **state)
{
    (void)state;
    assert_listens(UNIX("/run/a"), "/run/a", -1);
    assert_listens(UNIX("/run/a,0660"), "/run/a", 0660);
    assert_listens(UNIX("/run/a,b"), "/run/a,b", -1);
    assert_listens(UNIX("@a"), "@a", -1);
    assert_listens(UNIX("@@a"), "@@a", -1);
    assert_listens(IN("{\"network\":\"ds\",\"dsSettings\":{\"path\":\"/run/a\"}}"), "/run/a", -1);
    assert_refused(UNIX("/run/a,7777"), "want a mode up to 0777");
    assert_refused("{\"inbounds\":[{\"listen\":\"/a\"," DOOR "},{\"listen\":\"/a\"," DOOR "}]}",
                   "/inbounds/1: error: /inbounds/0 listens on the same port");
    assert_refused("{\"inbounds\":[{\"listen\":\"/a\",\"protocol\":\"dokodemo-door\",\"settings\":{"
                   "\"address\":\"127.0.0.1\",\"port\":80,\"network\":\"tcp,udp\"}}]}",
                   "a unix socket carries tcp only");
}

static void a_domain_socket_may_be_dialled(void **state)
{
    (void)state;
    static const struct {
        const char *text, *path;
    } cases[] = {
        {OUT("{\"network\":\"ds\",\"dsSettings\":{\"path\":\"/run/a\"}}"), "/run/a"},
        {OUT("{\"network\":\"domainsocket\",\"dsSettings\":{\"path\":\"a\",\"abstract\":true}}"),
         "@a"},
        {OUT("{\"network\":\"ds\",\"dsSettings\":{\"path\":\"@a\",\"abstract\":true,"
             "\"padding\":true}}"),
         "@@a"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct run r;
        char said[ADDR_TEXT_MAX];
        assert_string_equal(addr_text(out_of(&r, cases[i].text)->path, said), cases[i].path);
        run_free(&r);
    }
    assert_refused(OUT("{\"network\":\"ds\"}"), "empty domain socket path: set dsSettings.path");
    assert_refused(OUT("{\"network\":\"ds\",\"dsSettings\":{\"path\":\"a\"}}"),
                   "path: error: want an absolute path");
}

static void transport_fills_what_streams_leave_out(void **state)
{
    (void)state;
    struct run r;
    struct config *c = run_good(
        &r, "{\"transport\":{\"wsSettings\":{\"path\":\"/global\"},\"tcpSettings\":{"
            "\"acceptProxyProtocol\":true},\"dsSettings\":{\"path\":\"/run/g\"}},\"inbounds\":[{"
            "\"port\":1," DOOR "},{\"port\":2," DOOR ",\"streamSettings\":{\"network\":\"ws\"}},{"
            "\"port\":3," DOOR
            ",\"streamSettings\":" WS("{}") "},{\"port\":4," DOOR
                                            ",\"streamSettings\":{\"tcpSettings\":{}}}]}");
    assert_true(c->inbounds[0].carriage->takes_proxy);
    assert_string_equal(c->inbounds[1].carriage->ws->to.path, "/global");
    assert_string_equal(c->inbounds[2].carriage->ws->to.path, "/"); /* the whole object, or none */
    assert_null(c->inbounds[3].carriage);
    run_free(&r);
    assert_refused("{\"transport\":{\"wsSettings\":{\"maxEarlyData\":-1}},\"inbounds\":[]}",
                   "/transport/wsSettings/maxEarlyData: error: ");
}

static void a_change_of_transport_changes_what_inherits_it(void **state)
{
    (void)state;
    static const char text[] = "{\"transport\":{\"wsSettings\":{\"path\":\"/%d\"}},\"inbounds\":[{"
                               "\"port\":1," DOOR ",\"streamSettings\":{\"network\":\"ws\"}}]}";
    struct digest digests[2];
    for (int i = 0; i < 2; i++) {
        char one[512];
        struct run r;
        snprintf(one, sizeof one, text, i);
        digests[i] = run_good(&r, one)->inbounds[0].digest;
        run_free(&r);
    }
    assert_false(digest_equal(&digests[0], &digests[1]));
}

static void settings_that_are_not_chosen_are_warned_about(void **state)
{
    (void)state;
    struct run r;
    assert_warned(IN("{\"network\":\"tcp\",\"wsSettings\":{\"path\":\"/\"}}"),
                  "/wsSettings: warning: has no effect: network is tcp, security is none");
    assert_warned(IN("{\"network\":\"ws\",\"tcpSettings\":{\"header\":{\"type\":\"none\"}}}"),
                  "/tcpSettings: warning: has no effect: network is ws, security is none");
    assert_warned(IN("{\"network\":\"ws\",\"tlsSettings\":{\"serverName\":\"a\"}}"),
                  "/tlsSettings: warning: has no effect: network is ws, security is none");
    run_good(&r, IN("{\"network\":\"ws\",\"wsSettings\":{\"path\":\"/\"},\"tcpSettings\":{}}"));
    assert_string_equal(r.said, "");
    run_free(&r);
}

static void a_wrong_pin_is_one_mistake_and_no_pin_another(void **state)
{
    (void)state;
    struct run r = run_text(OUT(PINS("[\"short\"]")));
    assert_non_null(strstr(r.said, "v2c tls hash FILE prints it"));
    assert_null(strstr(r.said, "nobody is trusted"));
    run_free(&r);
    assert_refused(OUT(PINS("[]")), "nobody is trusted");
}

static void transports_to_come_are_errors(void **state)
{
    (void)state;
    assert_refused(OUT("{\"network\":\"grpc\"}"), "v2c has no grpc transport yet");
    assert_refused(OUT("{\"network\":\"xhttp\"}"), "v2c has no xhttp transport yet");
    assert_refused(OUT("{\"network\":\"wss\"}"), "unknown transport protocol: wss");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_that_says_nothing_is_plain),
        cmocka_unit_test(the_path_of_ws_has_several_forms),
        cmocka_unit_test(headers_are_said_and_a_host_is_only_demanded_by_name),
        cmocka_unit_test(loopback_may_tell_the_visitor_unless_others_are_named),
        cmocka_unit_test(httpupgrade_has_its_settings),
        cmocka_unit_test(a_forged_head_has_v2ray_s_forms),
        cmocka_unit_test(a_proxy_header_is_demanded_wherever_it_is_said),
        cmocka_unit_test(sockopt_is_compiled),
        cmocka_unit_test(an_inbound_may_listen_on_a_unix_socket),
        cmocka_unit_test(a_domain_socket_may_be_dialled),
        cmocka_unit_test(transport_fills_what_streams_leave_out),
        cmocka_unit_test(a_change_of_transport_changes_what_inherits_it),
        cmocka_unit_test(settings_that_are_not_chosen_are_warned_about),
        cmocka_unit_test(a_wrong_pin_is_one_mistake_and_no_pin_another),
        cmocka_unit_test(transports_to_come_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
