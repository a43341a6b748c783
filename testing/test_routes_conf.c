#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf/guides.h"
#include "testing/conf_rig.h"

/* Routes and whatever else an ingress says, in a configuration with a portal of many tunnels, one of one, and an outbound. */
static struct run run_ingress(const char *settings)
{
    char text[4096];
    int len = snprintf(
        text, sizeof text,
        "{\"inbounds\": [{\"protocol\": \"ingress\", \"listen\": \"127.0.0.1\", \"port\": 1, "
        "\"settings\": {%s}}], \"outbounds\": [{\"protocol\": \"freedom\", \"tag\": \"out\"}], "
        "\"reverse\": {\"portals\": [{\"tag\": \"many\", \"domain\": \"*.t.example\"}, "
        "{\"tag\": \"one\", \"domain\": \"one.example\"}]}}",
        settings);
    assert_true(len > 0 && (size_t)len < sizeof text);
    return run_text(text);
}

static const struct guide_set *guide_of(const struct run *r)
{
    if (!r->config)
        fail_msg("%s", r->said);
    assert_non_null(r->config->guides);
    return r->config->guides;
}

static struct route_to find(const struct run *r, const char *host, const char *head)
{
    struct route_asked asked = {host, {"/", 1}, {head, strlen(head)}, NULL};
    struct route_to to = {0};
    routes_find(guide_of(r)->routes, &asked, &to);
    return to;
}

static const char *tag_of(const struct run *r, const struct route_to *to)
{
    return r->config->outbounds[to->outbound].tag;
}

static void a_route_leads_to_a_tunnel_an_outbound_or_a_server(void **state)
{
    (void)state;
    struct run r =
        run_ingress("\"portal\": \"many\", \"tenant\": \"Acme\", \"routes\": ["
                    "{\"host\": [\"a.example\", \"*.A2.example.\"], \"tunnel\": \"Web\"}, "
                    "{\"host\": \"p.example\", \"tunnel\": \"$ssh\", \"tenant\": \"other\"}, "
                    "{\"host\": \"n.example\", \"node\": \"n1\"}, {\"host\": \"c.example\", "
                    "\"cluster\": \"c1\"}, "
                    "{\"host\": \"o.example\", \"outboundTag\": \"one\"}, "
                    "{\"host\": \"b\xc3\xbc"
                    "cher.example\", \"address\": \"[::1]:8080\"}, "
                    "{\"header\": \"X-Node\", \"by\": \"node\"}]");
    struct route_to to = find(&r, "x.a2.example", "");
    assert_int_equal(to.kind, ROUTE_TUNNEL);
    assert_string_equal(to.tunnel.text, "web");
    assert_string_equal(to.tunnel.tenant, "acme");
    assert_int_equal(to.tunnel.by, TUNNEL_BY_ID);
    assert_string_equal(tag_of(&r, &to), "many");
    to = find(&r, "p.example", "");
    assert_true(to.is_private);
    assert_string_equal(to.tunnel.text, "ssh");
    assert_string_equal(to.tunnel.tenant, "other");
    assert_int_equal(find(&r, "n.example", "").tunnel.by, TUNNEL_BY_NODE);
    assert_int_equal(find(&r, "c.example", "").tunnel.by, TUNNEL_BY_CLUSTER);
    to = find(&r, "o.example", "");
    assert_int_equal(to.kind, ROUTE_OUTBOUND);
    assert_string_equal(tag_of(&r, &to), "one");
    to = find(&r, "xn--bcher-kva.example", "");
    assert_int_equal(to.kind, ROUTE_ADDRESS);
    assert_int_equal(to.address.port, 8080);
    to = find(&r, "stranger.example", "GET / HTTP/1.1\r\nx-node: N7\r\n\r\n");
    assert_int_equal(to.tunnel.by, TUNNEL_BY_NODE);
    assert_string_equal(to.tunnel.text, "n7");
    assert_int_equal(find(&r, "stranger.example", "").kind, ROUTE_NONE);
    run_free(&r);
}

static void what_is_wrong_with_a_route_is_said(void **state)
{
    (void)state;
    static const struct {
        const char *settings, *said;
    } cases[] = {
        {"\"routes\": [{\"tunnel\": \"a\"}]",
         "/inbounds/0/settings/routes/0: error: want \"portal\""},
        {"\"routes\": [{\"tunnel\": \"a\", \"portal\": \"one\"}]",
         "routes/0/portal: error: the portal \"one\" has one tunnel"},
        {"\"routes\": [{\"tunnel\": \"a\", \"portal\": \"out\"}]",
         "routes/0/portal: error: \"out\" is no portal"},
        {"\"portal\": \"none\", \"routes\": [{\"tunnel\": \"a\"}]",
         "settings/portal: error: no portal has the tag \"none\""},
        {"\"routes\": [{\"outboundTag\": \"none\"}]", "no outbound has the tag \"none\""},
        {"\"routes\": [{\"address\": \"a.example\"}]", "an address without a port"},
        {"\"routes\": [{\"host\": \"a.example\"}]", "want one of \"tunnel\""},
        {"\"routes\": [{\"address\": \"a:1\", \"outboundTag\": \"out\"}]",
         "want one of \"tunnel\""},
        {"\"portal\": \"many\", \"routes\": [{\"tunnel\": \"a b\"}]",
         "routes/0/tunnel: error: want a name of 1..63"},
        {"\"portal\": \"many\", \"routes\": [{\"node\": \"$a\"}]",
         "routes/0/node: error: want a name"},
        {"\"routes\": [{\"address\": \"a:1\", \"tenant\": \"x\"}]", "in routes to tunnels only"},
        {"\"routes\": [{\"host\": \"2130706433\", \"address\": \"a:1\"}]", "ends in a number"},
        {"\"routes\": [{\"host\": \"a:80\", \"address\": \"a:1\"}]",
         "something stands behind a host"},
        {"\"routes\": [{\"host\": [], \"address\": \"a:1\"}]", "want a host; leave \"host\" out"},
        {"\"routes\": [{\"path\": \"a\", \"address\": \"a:1\"}]",
         "want a path that begins with '/'"},
        {"\"routes\": [{\"header\": \"a b\", \"value\": \"x\", \"address\": \"a:1\"}]",
         "want the name of a header"},
        {"\"routes\": [{\"header\": \"a\", \"address\": \"a:1\"}]", "want \"value\""},
        {"\"routes\": [{\"value\": \"a\", \"address\": \"a:1\"}]", "want a \"header\""},
        {"\"routes\": [{\"host\": \"a.example\", \"address\": \"a:1\"}, "
         "{\"host\": \"A.Example.\", \"address\": \"b:1\"}]",
         "routes/1/host: error: another route is for the same"},
        {"\"routesUrl\": \"http://a/\"", "want \"portal\", where the tunnels are"},
        {"\"portal\": \"many\", \"routesUrl\": \"ftp://a/\"", "want a URL http://"},
        {"\"portal\": \"many\", \"routesUrl\": \"http://a b/\"", "a byte that no name has"},
        {"\"portal\": \"many\", \"routesUrl\": {\"url\": \"http://a/\", \"ttl\": 0}",
         "routesUrl/ttl"},
        {"\"routesFile\": \"/nonexistent\"",
         "settings/routesFile: error: /nonexistent: cannot be read"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct run r = run_ingress(cases[i].settings);
        if (r.config || !strstr(r.said, cases[i].said))
            fail_msg("case %zu: %s", i, r.said);
        run_free(&r);
    }
}

static void a_service_is_a_url_or_an_object(void **state)
{
    (void)state;
    static const struct {
        const char *url, *path;
        unsigned port;
    } cases[] = {
        {"\"http://127.0.0.1:9000/find\"", "/find?host=", 9000},
        {"\"HTTP://Plugin.example\"", "/?host=", 80},
        {"{\"url\": \"https://plugin.example/x?key=1\", \"ttl\": 7}", "/x?key=1&host=", 443},
        {"\"http://[::1]:81?a\"", "/?a&host=", 81},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char settings[256];
        snprintf(settings, sizeof settings, "\"portal\": \"many\", \"routesUrl\": %s",
                 cases[i].url);
        struct run r = run_ingress(settings);
        const struct guide_set *g = guide_of(&r);
        assert_string_equal(g->service.path, cases[i].path);
        assert_int_equal(g->service.at.port, cases[i].port);
        assert_int_equal(g->service.carriage != NULL, cases[i].port == 443);
        assert_true(g->conf.lookups.ttl == (cases[i].port == 443 ? 7 : 60));
        assert_ptr_equal(g->conf.lookups.service, &g->service);
        assert_true(g->conf.has_portal);
        run_free(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_route_leads_to_a_tunnel_an_outbound_or_a_server),
        cmocka_unit_test(what_is_wrong_with_a_route_is_said),
        cmocka_unit_test(a_service_is_a_url_or_an_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
