#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf/cluster_settings.h"
#include "testing/conf_rig.h"

#define KEY_HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define KEY_BASE64 "ASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4mrze8="
#define CLUSTER(more) "{\"cluster\": {\"key\": \"" KEY_HEX "\"" more "}}"
#define REGISTRY(more) CLUSTER(", \"registry\": {" more "}")

static const struct cluster_conf *conf_of(struct run *r, const char *text)
{
    struct config *c = run_good(r, text);
    assert_non_null(c->cluster);
    return &c->cluster->conf;
}

static void assert_at(const struct addr *a, const char *text)
{
    char got[ADDR_TEXT_MAX];
    assert_string_equal(addr_text(a, got), text);
}

static void without_the_object_there_is_no_cluster(void **state)
{
    (void)state;
    struct run r;
    assert_null(run_good(&r, "{}")->cluster);
    run_free(&r);
}

static void absent_keys_have_the_defaults_of_the_manual(void **state)
{
    (void)state;
    struct run r;
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    const struct cluster_conf *c = conf_of(&r, REGISTRY("\"redis\": \"a.example\""));
    assert_string_equal(c->name, "v2c");
    assert_int_equal(strcasecmp(c->node, host), 0);
    assert_string_equal(c->zone, "");
    assert_int_equal(c->listen.port, 0);
    assert_int_equal(c->advertise.port, 0);
    assert_int_equal(c->peer_count + c->network_count + c->links, 0);
    assert_true(c->spread == 10);
    const struct registry_conf *g = c->registry;
    assert_int_equal(g->server_count, 1);
    assert_at(&g->servers[0].at, "a.example:6379");
    assert_null(g->servers[0].carriage);
    assert_null(g->master);
    assert_null(g->user);
    assert_null(g->password);
    assert_true(g->timeout == 0.05 && g->lease == 10 && g->sweep == 600 && g->hold == 86400);
    run_free(&r);
}

static void the_key_is_the_same_in_each_form(void **state)
{
    (void)state;
    struct run a, b, c;
    char path[] = "/tmp/v2c-key-XXXXXX", text[128];
    int fd = mkstemp(path);
    dprintf(fd, KEY_BASE64 "\nignored\n");
    close(fd);
    snprintf(text, sizeof text, "{\"cluster\": {\"key\": \"file:%s\", \"listen\": \":1\"}}", path);
    const uint8_t *hex = conf_of(&a, CLUSTER(", \"peers\": \"a\""))->key;
    const uint8_t *base64 =
        conf_of(&b, "{\"cluster\": {\"key\": \"" KEY_BASE64 "\", \"peers\": \"a\"}}")->key;
    assert_memory_equal(hex, base64, CLUSTER_KEY);
    assert_memory_equal(hex, conf_of(&c, text)->key, CLUSTER_KEY);
    run_free(&a);
    run_free(&b);
    run_free(&c);
    unlink(path);
}

static void a_weak_key_is_refused_and_not_shown(void **state)
{
    (void)state;
    struct run r = run_text("{\"cluster\": {\"key\": \"cafecafecafe\", \"peers\": \"a\"}}");
    assert_null(r.config);
    assert_null(strstr(r.said, "cafe"));
    assert_non_null(strstr(r.said, "/cluster/key: error: want the key as hexadecimal digits"));
    run_free(&r);
    assert_refused("{\"cluster\": {\"peers\": \"a\"}}", "/cluster: error: want \"key\"");
    assert_refused("{\"cluster\": {\"key\": \"file:/nowhere/at/all\", \"peers\": \"a\"}}",
                   "/nowhere/at/all: cannot open");
}

static void places_are_read(void **state)
{
    (void)state;
    struct run r;
    setenv("V2C_TEST_POD", "2001:db8::7", 1);
    const struct cluster_conf *c =
        conf_of(&r, CLUSTER(", \"node\": \"A.1\", \"zone\": \"env:V2C_TEST_ZONE\", \"listen\": "
                            "\":7401\", \"advertise\": \"env:V2C_TEST_POD\", \"peers\": [\"b\", "
                            "\"192.0.2.7:80\", \"[::1]:81\"], \"networks\": [\"10.1.0.0/16\", "
                            "\"2001:db8::/32\", \"192.0.2.7\"], \"spread\": \"500ms\""));
    assert_string_equal(c->node, "a.1");
    assert_string_equal(c->zone, "eu-1");
    assert_int_equal(c->listen.type, ADDR_NONE);
    assert_int_equal(c->listen.port, 7401);
    assert_at(&c->advertise, "[2001:db8::7]:7401");
    assert_int_equal(c->peer_count, 3);
    assert_at(&c->peers[0], "b:7400");
    assert_at(&c->peers[1], "192.0.2.7:80");
    assert_at(&c->peers[2], "[::1]:81");
    assert_int_equal(c->network_count, 3);
    assert_int_equal(c->networks[0].bits, 16);
    assert_int_equal(c->networks[1].bits, 32);
    assert_int_equal(c->networks[2].bits, 32);
    assert_true(c->spread == 0.5);
    run_free(&r);
}

static void a_registry_wants_to_know_where_this_node_is(void **state)
{
    (void)state;
    struct run r;
    assert_refused(CLUSTER(", \"listen\": \"0.0.0.0:1\", \"registry\": {\"redis\": \"a\"}"),
                   "want \"advertise\"");
    assert_refused(CLUSTER(", \"listen\": \":1\", \"advertise\": \"0.0.0.0\", \"peers\": \"a\""),
                   "want the address that other nodes dial");
    const struct cluster_conf *c =
        conf_of(&r, CLUSTER(", \"listen\": \"192.0.2.1:1\", \"registry\": {\"redis\": \"a\"}"));
    assert_at(&c->advertise, "192.0.2.1:1");
    run_free(&r);
    c = conf_of(&r, CLUSTER(", \"listen\": \":1\", \"peers\": \"a\""));
    assert_int_equal(c->advertise.type, ADDR_NONE);
    run_free(&r);
}

static void a_port_has_one_listener(void **state)
{
    (void)state;
    assert_refused("{\"inbounds\": [{\"protocol\": \"socks\", \"listen\": \"127.0.0.1\", \"port\": "
                   "7400}], \"outbounds\": [{\"protocol\": \"freedom\"}], \"cluster\": {\"key\": "
                   "\"" KEY_HEX "\", \"listen\": \":7400\"}}",
                   "/cluster/listen: error: /inbounds/0 listens on the same port");
}

static void who_can_find_nobody_is_warned(void **state)
{
    (void)state;
    assert_warned(CLUSTER(""), "this node finds no other and none finds it");
}

static void urls_are_read(void **state)
{
    (void)state;
    struct run r;
    const struct registry_conf *g =
        conf_of(&r, REGISTRY("\"redis\": [\"redis://us%65r:p%40w%2f@h:7/3\", "
                             "\"REDISS://user:p%40w%2f@[::1]/3\", \"unix:///run/r.sock\"]"))
            ->registry;
    assert_int_equal(g->server_count, 3);
    assert_at(&g->servers[0].at, "h:7");
    assert_null(g->servers[0].carriage);
    assert_at(&g->servers[1].at, "[::1]:6379");
    assert_non_null(g->servers[1].carriage);
    assert_non_null(g->servers[1].carriage->tls);
    assert_int_equal(g->servers[2].at.type, ADDR_UNIX);
    assert_string_equal(g->servers[2].at.name, "/run/r.sock");
    assert_string_equal(g->user, "user");
    assert_string_equal(g->password, "p@w/");
    assert_int_equal(g->database, 3);
    run_free(&r);
}

static void wrong_urls_are_refused_and_no_password_is_shown(void **state)
{
    (void)state;
    static const struct {
        const char *redis, *message;
    } cases[] = {
        {"\"http://u:hush@a\"", "want \"redis://host:port\""},
        {"\"redis://hush@a\"", "want \"user:password@\""},
        {"\"redis://u:hush@a/x\"", "want the number of a database"},
        {"\"redis://u:hush@a/1234567\"", "want the number of a database"},
        {"\"redis://u:hush@a?db=1\"", "want nothing like"},
        {"\"redis://u:hush@a:99999\"", "want \"host:port\""},
        {"\"redis://u:hush@\"", "want \"host:port\""},
        {"\"unix://\"", "want \"unix:///path\""},
        {"[\"redis://u:hush@a\", \"redis://u:husht@b\"]", "want the same user and password"},
        {"[\"redis://a/1\", \"redis://b/2\"]", "want the same database"},
        {"[\"redis://u:hush@a\"], \"user\": \"v\"", "in the URL or here, not both"},
        {"\"a\", \"user\": \"v\"", "want a password for"},
        {"\"a\", \"password\": \"hush\", \"passwordFile\": \"/x\"", "not both"},
        {"\"a\", \"sentinel\": {}", "want \"redis\" or \"sentinel\", not both"},
        {"[]", "want at least one server"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        snprintf(text, sizeof text, REGISTRY("\"redis\": %s"), cases[i].redis);
        struct run r = run_text(text);
        if (r.config || !strstr(r.said, cases[i].message) || strstr(r.said, "hush"))
            print_error("%s: %s", cases[i].redis, r.said);
        assert_null(r.config);
        assert_non_null(strstr(r.said, cases[i].message));
        assert_null(strstr(r.said, "hush"));
        run_free(&r);
    }
}

static void sentinels_are_told_apart_from_servers(void **state)
{
    (void)state;
    struct run r;
    const struct registry_conf *g =
        conf_of(&r, REGISTRY("\"user\": \"u\", \"password\": \"p\", \"sentinel\": {\"master\": "
                             "\"main\", \"password\": \"s\", \"servers\": [\"a\", \"b:1\"]}"))
            ->registry;
    assert_string_equal(g->master, "main");
    assert_string_equal(g->sentinel_password, "s");
    assert_string_equal(g->password, "p");
    assert_at(&g->servers[0].at, "a:26379");
    assert_at(&g->servers[1].at, "b:1");
    run_free(&r);
    assert_refused(REGISTRY("\"sentinel\": {\"master\": \"m\"}"), "want \"servers\"");
    assert_refused(REGISTRY("\"sentinel\": {\"servers\": \"a\"}"), "want the name under which");
    assert_refused(REGISTRY("\"sentinel\": {\"master\": \"m\", \"servers\": \"redis://u:p@a\"}"),
                   "want user and password of Redis in \"registry\"");
}

static void tls_without_a_server_that_has_it_is_warned_of(void **state)
{
    (void)state;
    assert_warned(REGISTRY("\"redis\": \"a\", \"tls\": {\"serverName\": \"b\"}"), "has no effect");
}

static void what_differs_is_seen(void **state)
{
    (void)state;
    struct run a, b, c;
    conf_of(&a, CLUSTER(", \"peers\": \"a\""));
    conf_of(&b, "{\"cluster\": {\"Peers\": \"a\", \"key\": \"" KEY_HEX "\"}}");
    conf_of(&c, "{\"cluster\": {\"peers\": \"b\", \"key\": \"" KEY_HEX "\"}}");
    assert_true(cluster_settings_same(a.config->cluster, b.config->cluster));
    assert_false(cluster_settings_same(a.config->cluster, c.config->cluster));
    assert_false(cluster_settings_same(a.config->cluster, NULL));
    assert_true(cluster_settings_same(NULL, NULL));
    run_free(&a);
    run_free(&b);
    run_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_the_object_there_is_no_cluster),
        cmocka_unit_test(absent_keys_have_the_defaults_of_the_manual),
        cmocka_unit_test(the_key_is_the_same_in_each_form),
        cmocka_unit_test(a_weak_key_is_refused_and_not_shown),
        cmocka_unit_test(places_are_read),
        cmocka_unit_test(a_registry_wants_to_know_where_this_node_is),
        cmocka_unit_test(a_port_has_one_listener),
        cmocka_unit_test(who_can_find_nobody_is_warned),
        cmocka_unit_test(urls_are_read),
        cmocka_unit_test(wrong_urls_are_refused_and_no_password_is_shown),
        cmocka_unit_test(sentinels_are_told_apart_from_servers),
        cmocka_unit_test(tls_without_a_server_that_has_it_is_warned_of),
        cmocka_unit_test(what_differs_is_seen),
    };
    setenv("V2C_TEST_ZONE", "EU-1", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
