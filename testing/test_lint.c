#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "testing/conf_rig.h"

/* What `v2c test` says of a configuration. */
static struct run lint_of(const char *text)
{
    struct run r = run_bytes_with(text, strlen(text), (struct config_source){.lint = true});
    if (!r.config)
        print_error("%s", r.said);
    assert_non_null(r.config);
    return r;
}

static void assert_said(const char *text, const char *message)
{
    struct run r = lint_of(text);
    if (!strstr(r.said, message))
        print_error("want: %s\ngot: %s", message, r.said);
    assert_non_null(strstr(r.said, message));
    run_free(&r);
}

static void assert_silent(const char *text)
{
    struct run r = lint_of(text);
    if (r.len)
        print_error("got: %s", r.said);
    assert_int_equal(r.len, 0);
    run_free(&r);
}

#define ID_A "11223344-5566-4788-99aa-bbccddeeff00"
#define ID_B "11223344-5566-4788-99aa-bbccddeeff01"
#define DOOR(tag, port)                                                                            \
    "{\"tag\":\"" tag "\",\"listen\":\"127.0.0.1\",\"port\":" port                                 \
    ",\"protocol\":\"dokodemo-door\",\"settings\":{\"address\":\"127.0.0.1\",\"port\":80}}"
#define VMESS_IN(tag, port, clients)                                                               \
    "{\"tag\":\"" tag "\",\"port\":" port                                                          \
    ",\"protocol\":\"vmess\",\"settings\":{\"clients\":[" clients "]}}"
#define VMESS_OUT(tag, host, security)                                                             \
    "{\"tag\":\"" tag "\",\"protocol\":\"vmess\",\"settings\":{\"vnext\":[{\"address\":\"" host    \
    "\",\"port\":1,\"users\":[{\"id\":\"" ID_A "\",\"security\":\"" security "\"}]}]}}"
#define FREEDOM "{\"tag\":\"out\",\"protocol\":\"freedom\"}"

static void assert_rules(const char *rules, const char *message)
{
    char text[4096];
    snprintf(text, sizeof text,
             "{\"inbounds\":[" DOOR("a", "1") "," DOOR("b", "2") "],\"outbounds\":[" FREEDOM
                                                                 "],\"routing\":{\"rules\":[%s]}}",
             rules);
    if (message)
        assert_said(text, message);
    else
        assert_silent(text);
}

#define RULE(fields) "{" fields ",\"outboundTag\":\"out\"}"
#define NEVER "/routing/rules/1: warning: this rule never matches: /routing/rules/0 before it"

static void a_rule_behind_a_wider_one_never_matches(void **state)
{
    (void)state;
    static const char *const pairs[] = {
        RULE("\"inboundTag\":[\"a\"]") "," RULE("\"inboundTag\":[\"a\"],\"port\":80"),
        RULE("\"inboundTag\":\"a,b\"") "," RULE("\"inboundTag\":[\"b\"]"),
        RULE("\"network\":\"tcp,udp\"") "," RULE("\"inboundTag\":[\"b\"]"),
        RULE("\"port\":\"1-100\"") "," RULE("\"port\":80"),
        RULE("\"port\":\"1-100,443\"") "," RULE("\"port\":\"50-60,443\""),
        RULE("\"domain\":[\"domain:x.y\"]") "," RULE("\"domain\":[\"full:a.x.y\",\"domain:X.Y\"]"),
        RULE("\"domain\":[\"x.y\"]") "," RULE("\"domains\":[\"full:ax.ya\"]"),
        RULE("\"ip\":[\"10.0.0.0/8\"]") "," RULE("\"ip\":[\"10.1.0.0/16\",\"10.2.3.4\"]"),
        RULE("\"source\":[\"fd00::/8\"]") "," RULE("\"sourceIP\":[\"fd12::1\"]"),
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        assert_rules(pairs[i], NEVER);
}

static void a_rule_that_may_match_is_not_blamed(void **state)
{
    (void)state;
    static const char *const pairs[] = {
        RULE("\"inboundTag\":[\"a\"],\"port\":80") "," RULE("\"inboundTag\":[\"a\"]"),
        RULE("\"inboundTag\":[\"a\"]") "," RULE("\"inboundTag\":\"a,b\""),
        RULE("\"network\":\"tcp\"") "," RULE("\"inboundTag\":[\"b\"]"),
        RULE("\"port\":\"1-100\"") "," RULE("\"port\":\"80-101\""),
        RULE("\"domain\":[\"domain:x.y\"]") "," RULE("\"domain\":[\"full:ax.y\"]"),
        RULE("\"domain\":[\"full:x.y\"]") "," RULE("\"domain\":[\"domain:x.y\"]"),
        RULE("\"domain\":[\"regexp:x\"]") "," RULE("\"domain\":[\"full:x\"]"),
        RULE("\"ip\":[\"10.1.0.0/16\"]") "," RULE("\"ip\":[\"10.0.0.0/8\"]"),
        RULE("\"ip\":[\"10.0.0.0/9\"]") "," RULE("\"ip\":[\"10.128.0.0/9\"]"),
        RULE("\"ip\":[\"10.0.0.0/8\"]") "," RULE("\"source\":[\"10.0.0.1\"]"),
        RULE("\"ip\":[\"10.0.0.0/8\"]") "," RULE("\"domain\":[\"full:x.y\"]"),
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        assert_rules(pairs[i], NULL);
}

static void assert_bridge(const char *rules, const char *outbounds, const char *message)
{
    char text[4096];
    snprintf(text, sizeof text,
             "{\"reverse\":{\"bridges\":[{\"tag\":\"br\",\"domain\":\"t.test\"}]},"
             "\"outbounds\":[%s],\"routing\":{\"rules\":[%s]}}",
             outbounds, rules);
    if (message)
        assert_said(text, message);
    else
        assert_silent(text);
}

#define LINK_OUT VMESS_OUT("link", "portal.test", "auto")
#define MAGIC "{\"inboundTag\":[\"br\"],\"domain\":[\"full:t.test\"],\"outboundTag\":\"link\"}"
#define BRIDGE_OUT "{\"inboundTag\":[\"br\"],\"outboundTag\":\"out\"}"

static void a_bridge_must_reach_its_portal(void **state)
{
    (void)state;
    assert_bridge(MAGIC "," BRIDGE_OUT, FREEDOM "," LINK_OUT, NULL);
    assert_bridge(BRIDGE_OUT "," MAGIC, FREEDOM "," LINK_OUT,
                  "/reverse/bridges/0: warning: a rule sends this bridge's own domain to \"out\"");
    assert_bridge("{\"inboundTag\":[\"br\"],\"domain\":[\"full:typo\"],\"outboundTag\":\"link\"}",
                  FREEDOM "," LINK_OUT,
                  "no rule matches, and the default outbound takes this bridge's own domain");
    assert_bridge(MAGIC, LINK_OUT "," FREEDOM,
                  "visitors would go back through \"link\", to where its portal is");
}

static void a_bridge_may_reach_its_portal_by_a_balancer(void **state)
{
    (void)state;
    assert_silent("{\"reverse\":{\"bridges\":[{\"tag\":\"br\",\"domain\":\"t.test\"}]},"
                  "\"outbounds\":[" FREEDOM "," LINK_OUT "],\"routing\":{\"balancers\":["
                  "{\"tag\":\"ways\",\"selector\":[\"link\"]}],\"rules\":[{\"inboundTag\":[\"br\"],"
                  "\"domain\":[\"full:t.test\"],\"balancerTag\":\"ways\"}," BRIDGE_OUT "]}}");
}

static void assert_portal_of(const char *domain, const char *more, const char *clients,
                             const char *rules, const char *message)
{
    char text[4096];
    snprintf(text, sizeof text,
             "{\"reverse\":{\"portals\":[{\"tag\":\"p\",\"domain\":\"%s\"%s}]},\"inbounds\":[" DOOR(
                 "v", "1") ",{\"tag\":\"in\",\"port\":2,\"protocol\":\"vmess\",\"settings\":{"
                           "\"clients\":[%s]}}],\"outbounds\":[" FREEDOM
                           "],\"routing\":{\"rules\":["
                           "{\"inboundTag\":[\"v\"],\"outboundTag\":\"p\"},%s]}}",
             domain, more, clients, rules);
    if (message)
        assert_said(text, message);
    else
        assert_silent(text);
}

static void assert_portal(const char *more, const char *clients, const char *rules,
                          const char *message)
{
    assert_portal_of("t.test", more, clients, rules, message);
}

#define ONE "{\"id\":\"" ID_A "\",\"email\":\"a@b\"}"
#define TWO ONE ",{\"id\":\"" ID_B "\",\"email\":\"c@d\"}"
#define JOIN "{\"inboundTag\":[\"in\"],\"outboundTag\":\"p\"}"
#define JOIN_A "{\"inboundTag\":[\"in\"],\"user\":[\"a@b\"],\"outboundTag\":\"p\"}"

static void who_may_be_a_bridge_is_said(void **state)
{
    (void)state;
    assert_portal("", ONE, JOIN, NULL);
    assert_portal("", TWO, JOIN_A, NULL);
    assert_portal(",\"users\":[\"a@b\"]", TWO, JOIN, NULL);
    assert_portal("", TWO, JOIN,
                  "/reverse/portals/0: warning: each of the 2 users of inbound \"in\" may become");
    assert_portal("", ONE, "{\"inboundTag\":[\"in\"],\"outboundTag\":\"out\"}",
                  "no bridge can join this portal");
}

static void who_may_be_a_bridge_of_many_tunnels_is_said(void **state)
{
    (void)state;
    assert_portal_of("*.t.test", "", ONE, JOIN, NULL);
    assert_portal_of("*.t.test", ",\"claims\":[{\"user\":\"a@b\",\"tunnels\":[\"*\"]}]", TWO, JOIN,
                     NULL);
    assert_portal_of(
        "*.t.test", "", ONE,
        "{\"inboundTag\":[\"in\"],\"domain\":[\"full:a.t.test\"],\"outboundTag\":\"p\"}",
        "no rule sends \"domain:t.test\"");
}

static void a_portal_that_v2ray_makes_the_default_is_named(void **state)
{
    (void)state;
    assert_said("{\"reverse\":{\"portals\":[{\"tag\":\"p\",\"domain\":\"t.test\"}]},\"inbounds\":"
                "[" VMESS_IN("in", "1", ONE) "],\"routing\":{\"rules\":[" JOIN "]}}",
                "V2Ray would make this portal the default one");
}

static void a_tag_that_nothing_leads_to_is_named(void **state)
{
    (void)state;
    assert_said(
        "{\"inbounds\":[" DOOR("a", "1") "],\"outbounds\":[" FREEDOM
                                         ",{\"tag\":\"idle\",\"protocol\":\"freedom\"}]}",
        "/outbounds/1: warning: no rule, balancer, route or proxySettings leads to this outbound");
    assert_silent("{\"inbounds\":[" DOOR(
        "a", "1") "],\"outbounds\":[{\"protocol\":\"freedom\","
                  "\"proxySettings\":{\"tag\":\"next\"}},{\"tag\":\"next\",\"protocol\":"
                  "\"freedom\"}]}");
    assert_silent("{\"inbounds\":[" DOOR(
        "a",
        "1") "],\"outbounds\":[{\"protocol\":\"web\",\"settings\":{\"outboundTag\":\"lan\","
             "\"routes\":"
             "[{\"host\":\"a.example\",\"address\":\"192.0.2.1:80\"},{\"outboundTag\":\"next\"}]}},"
             "{\"tag\":\"lan\",\"protocol\":\"freedom\"},{\"tag\":\"next\",\"protocol\":"
             "\"freedom\"}]}");
}

#define PROXY(protocol, listen, stream)                                                            \
    "{\"inbounds\":[{\"port\":1,\"listen\":\"" listen "\",\"protocol\":\"" protocol                \
    "\",\"settings\":{\"auth\":\"password\",\"accounts\":[{\"user\":\"u\",\"pass\":\"p\"}]"        \
    "}" stream "}],\"outbounds\":[{\"protocol\":\"freedom\"}]}"

static void what_travels_in_the_clear_is_named(void **state)
{
    (void)state;
    assert_said(PROXY("socks", "::", ""), "/inbounds/0: warning: passwords come here in the clear");
    assert_said(PROXY("http", "192.0.2.1", ""), "/inbounds/0: warning: passwords come here");
    assert_silent(PROXY("socks", "127.0.0.1", ""));
    assert_silent(PROXY("socks", "@name", ""));
    assert_said("{\"inbounds\":[" DOOR("a", "1") "],\"outbounds\":[" VMESS_OUT("o", "203.0.113.5",
                                                                               "none") "]}",
                "/outbounds/0: warning: \"security\": \"none\" sends what it carries in the clear");
    assert_silent("{\"inbounds\":[" DOOR("a", "1") "],\"outbounds\":[" VMESS_OUT("o", "127.0.0.1",
                                                                                 "none") "]}");
}

#define IN_CLUSTER(more)                                                                           \
    "{\"cluster\":{\"key\":\"" ID_KEY "\"" more "},\"inbounds\":[" VMESS_IN(                       \
        "in", "1",                                                                                 \
        ONE) "],\"outbounds\":[" FREEDOM                                                           \
             "],\"reverse\":{\"portals\":[{\"tag\":\"p\",\"domain\":\"a.b\"}]},\"routing\":{"      \
             "\"rules\":[" JOIN "]}}"
#define ID_KEY "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define LISTEN ",\"listen\":\":7400\""

static void what_a_cluster_lacks_is_said(void **state)
{
    (void)state;
    assert_silent(IN_CLUSTER(LISTEN ",\"peers\":\"b.test\""));
    assert_said(IN_CLUSTER(",\"peers\":\"b.test\""),
                "/cluster: warning: without \"listen\" visitors of other nodes do not get");
    assert_said(IN_CLUSTER(LISTEN), "without \"peers\" or \"registry\" visitors of this node");
    assert_said("{\"cluster\":{\"key\":\"" ID_KEY "\"" LISTEN ",\"peers\":\"b\"}}",
                "\"reverse\" has none");
}

static void redis_on_another_machine_wants_tls(void **state)
{
    (void)state;
#define REDIS(url) IN_CLUSTER(LISTEN ",\"advertise\":\"a.test\",\"registry\":{\"redis\":" url "}")
    assert_said(REDIS("\"redis://r.test\""),
                "/cluster/registry: warning: r.test:6379 is asked in the clear: where others can");
    assert_said(REDIS("[\"redis://localhost\", \"redis://192.0.2.1:7\"]"),
                "192.0.2.1:7 is asked in the clear");
    assert_said(REDIS("\"redis://:hush@r.test\""), "in the clear, with a password:");
    assert_silent(REDIS("\"rediss://r.test\""));
    assert_silent(REDIS("\"redis://127.0.0.1\""));
    assert_silent(REDIS("\"unix:///run/redis.sock\""));
}

static void a_node_that_others_look_for_on_themselves_is_named(void **state)
{
    (void)state;
    assert_said(IN_CLUSTER(",\"listen\":\"127.0.0.1:7400\",\"registry\":{\"redis\":"
                           "\"rediss://r.test\"}"),
                "find this one at 127.0.0.1:7400, which is their own machine");
    assert_silent(IN_CLUSTER(",\"listen\":\"127.0.0.1:7400\",\"registry\":{\"redis\":"
                             "\"localhost\"}"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rule_behind_a_wider_one_never_matches),
        cmocka_unit_test(a_rule_that_may_match_is_not_blamed),
        cmocka_unit_test(a_bridge_must_reach_its_portal),
        cmocka_unit_test(a_bridge_may_reach_its_portal_by_a_balancer),
        cmocka_unit_test(who_may_be_a_bridge_is_said),
        cmocka_unit_test(who_may_be_a_bridge_of_many_tunnels_is_said),
        cmocka_unit_test(a_portal_that_v2ray_makes_the_default_is_named),
        cmocka_unit_test(what_a_cluster_lacks_is_said),
        cmocka_unit_test(redis_on_another_machine_wants_tls),
        cmocka_unit_test(a_node_that_others_look_for_on_themselves_is_named),
        cmocka_unit_test(a_tag_that_nothing_leads_to_is_named),
        cmocka_unit_test(what_travels_in_the_clear_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
