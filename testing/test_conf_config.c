#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "testing/conf_rig.h"

#define ID "27848739-7e62-4138-9fd3-098a63964b6b"
#define DOOR "\"protocol\":\"dokodemo-door\",\"settings\":{\"address\":\"127.0.0.1\",\"port\":80}"

/* The manual's example of a bridge, put together as printed, comments and all. */
static const char manual_bridge[] =
    "{\"reverse\":{\n    \"bridges\": [\n        {\n            \"tag\": \"bridge\",\n"
    "            \"domain\": \"test.v2fly.org\"\n        }\n    ]\n},\n"
    "\"outbounds\": [\n{\n    \"tag\": \"out\",\n    \"protocol\": \"freedom\",\n"
    "    \"settings\": {\n        \"redirect\": \"127.0.0.1:80\" // Forward all traffic to the web "
    "server\n    }\n},\n{\n    \"protocol\": \"vmess\",\n    \"settings\": {\n"
    "        \"vnext\": [\n            {\n"
    "                \"address\": \"portal \xe7\x9a\x84 IP \xe5\x9c\xb0\xe5\x9d\x80\",\n"
    "                \"port\": 1024,\n                \"users\": [\n                    {\n"
    "                        \"id\": \"" ID "\"\n                    }\n"
    "                ]\n            }\n        ]\n    },\n    \"tag\": \"interconn\"\n}\n],\n"
    "\"routing\": {\n    \"rules\": [\n        {\n            \"type\": \"field\",\n"
    "            \"inboundTag\": [\n                \"bridge\"\n            ],\n"
    "            \"domain\": [\n                \"full:test.v2fly.org\"\n            ],\n"
    "            \"outboundTag\": \"interconn\"\n        },\n        {\n"
    "            \"type\": \"field\",\n            \"inboundTag\": [\n                \"bridge\"\n"
    "            ],\n            \"outboundTag\": \"out\"\n        }\n    ]\n}}\n";

static const char manual_portal[] =
    "{\"reverse\":{\n    \"portals\": [\n        {\n            \"tag\": \"portal\",\n"
    "            \"domain\": \"test.v2fly.org\" // Must be identical to bridge domain\n"
    "        }\n    ]\n},\n\"inbounds\": [\n{\n    \"tag\": \"external\",\n"
    "    \"port\": 80, // Bind to port 80 to receive HTTP requests\n"
    "    \"protocol\": \"dokodemo-door\",\n    \"settings\": {\n"
    "        \"address\": \"127.0.0.1\",\n        \"port\": 80,\n"
    "        \"network\": \"tcp\"\n    }\n},\n{\n"
    "    \"port\": 1024, // For receiving bridge connections\n    \"tag\": \"interconn\",\n"
    "    \"protocol\": \"vmess\",\n    \"settings\": {\n        \"clients\": [\n            {\n"
    "                \"id\": \"" ID "\"\n            }\n        ]\n    }\n}\n],\n"
    "\"routing\": {\n    \"rules\": [\n        {\n            \"type\": \"field\",\n"
    "            \"inboundTag\": [\n                \"external\"\n            ],\n"
    "            \"outboundTag\": \"portal\"\n        },\n        {\n"
    "            \"type\": \"field\",\n            \"inboundTag\": [\n"
    "                \"interconn\"\n            ],\n            \"outboundTag\": \"portal\"\n"
    "        }\n    ]\n}}\n";

static void the_manual_s_bridge_loads_without_a_word(void **state)
{
    (void)state;
    struct run r;
    struct config *c = run_good(&r, manual_bridge);
    assert_int_equal(r.len, 0);
    assert_true(c->has_default);
    assert_int_equal(c->outbound_count, 2);
    assert_int_equal(c->outbounds[0].kind, OUT_FREEDOM);
    assert_int_equal(c->outbounds[0].freedom.redirect.port, 80);
    assert_int_equal(c->outbounds[1].vmess.count, 1);
    assert_int_equal(c->outbounds[1].vmess.servers[0].addr.port, 1024);
    assert_int_equal(c->outbounds[1].vmess.servers[0].users[0].security, VMESS_AUTO);
    assert_int_equal(c->outbounds[1].vmess.servers[0].users[0].id[0], 0x27);
    assert_int_equal(c->bridge_count, 1);
    assert_string_equal(c->bridges[0].domain, "test.v2fly.org");
    assert_int_equal(c->rules.count, 2);
    assert_int_equal(c->rules.items[0].outbound, 1);
    assert_int_equal(c->rules.items[1].outbound, 0);
    assert_string_equal(c->log.access, "none");
    assert_int_equal(c->log.level, LOG_WARNING);
    run_free(&r);
}

static void the_manual_s_portal_loads_and_is_no_default(void **state)
{
    (void)state;
    struct run r;
    struct config *c = run_good(&r, manual_portal);
    assert_int_equal(r.len, 0);
    assert_false(c->has_default);
    assert_int_equal(c->outbound_count, 1);
    assert_int_equal(c->outbounds[0].kind, OUT_PORTAL);
    assert_null(c->outbounds[0].portal->users);
    assert_null(c->outbounds[0].portal->control_domain);
    assert_int_equal(c->inbound_count, 2);
    assert_int_equal(c->inbounds[0].listen.type, ADDR_NONE);
    assert_int_equal(c->inbounds[0].ports.to, 80);
    assert_int_equal(c->inbounds[0].dokodemo.networks, NET_TCP);
    assert_int_equal(c->inbounds[1].kind, IN_VMESS);
    assert_int_equal(c->inbounds[1].vmess.count, 1);
    assert_string_equal(c->inbounds[1].pointer, "/inbounds/1");
    run_free(&r);
}

static void five_mistakes_are_five_errors(void **state)
{
    (void)state;
    struct run r = run_text(
        "{\"inbounds\":[{\"port\":70000," DOOR "},\n {\"port\":1,\"protocol\":\"dokodemo\"}],\n"
        "\"outbounds\":[{\"protocol\":\"freedom\",\"tag\":7,\"sendThrough\":\"a.com\"}],\n"
        "\"routing\":{\"rules\":[{\"port\":1,\"outboundTag\":\"nowhere\"}]}}");
    assert_null(r.config);
    assert_int_equal(run_count(&r, ": error: "), 5);
    assert_int_equal(run_count(&r, "\n"), 5);
    assert_non_null(strstr(r.said, ":2:23: /inbounds/1/protocol: error: failed to load inbound "
                                   "detour config: unknown config id: dokodemo"));
    assert_non_null(strstr(r.said, ":4:45: /routing/rules/0/outboundTag: error: no outbound"));
    run_free(&r);
}

/* The pattern with the secret at every @. */
static void put_secret(char *out, size_t room, const char *pattern, const char *secret)
{
    size_t used = 0;
    for (; *pattern; pattern++) {
        int n = snprintf(out + used, room - used, "%.*s", *pattern == '@' ? 64 : 1,
                         *pattern == '@' ? secret : pattern);
        assert_true(n > 0 && used + (size_t)n < room);
        used += (size_t)n;
    }
}

static void no_message_shows_an_id(void **state)
{
    (void)state;
    static const char *const places[] = {
        "{\"inbounds\":[{\"port\":1,\"protocol\":\"vmess\",\"settings\":{\"clients\":[{\"id\":\"@"
        "\"}]}}]}",
        "{\"inbounds\":[{\"port\":\"@\"," DOOR "}]}",
        "{\"inbounds\":[{\"port\":1,\"listen\":\"@\"," DOOR "}]}",
        "{\"outbounds\":[{\"protocol\":\"@\"}]}",
        "{\"outbounds\":[{\"protocol\":\"freedom\",\"settings\":{\"redirect\":\"@\"}}]}",
        "{\"log\":{\"loglevel\":\"@\"}}",
        "{\"routing\":{\"rules\":[{\"ip\":[\"@\"],\"user\":\"@\",\"outboundTag\":\"@\"}]}}",
        "{\"routing\":{\"rules\":[{\"domain\":[\"@\"],\"port\":\"@\",\"outboundTag\":\"a\"}]}}",
        "{\"@\":\"@\"}",
        "{\"reverse\":{\"portals\":[{\"tag\":\"p\",\"domain\":\"d\",\"users\":\"@\"}]}}",
    };
    static const char secret[] = ID "0f";
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char text[1024];
        put_secret(text, sizeof text, places[i], secret);
        struct run r = run_text(text);
        assert_true(r.len > 0);
        assert_null(strstr(r.said, "27848739-7e62"));
        assert_null(strstr(r.said, "098a63964b6b"));
        run_free(&r);
    }
}

static void any_address_is_dual_stack(void **state)
{
    (void)state;
    static const char *const any[] = {"0.0.0.0", "::", "[::]"};
    struct run r;
    for (size_t i = 0; i < 3; i++) {
        char text[256];
        snprintf(text, sizeof text, "{\"inbounds\":[{\"listen\":\"%s\",\"port\":1," DOOR "}]}",
                 any[i]);
        assert_int_equal(run_good(&r, text)->inbounds[0].listen.type, ADDR_NONE);
        run_free(&r);
    }
    struct config *c =
        run_good(&r, "{\"inbounds\":[{\"listen\":\"localhost\",\"port\":1," DOOR "}]}");
    assert_int_equal(c->inbounds[0].listen.type, ADDR_IPV4);
    assert_int_equal(c->inbounds[0].listen.ip[0], 127);
    run_free(&r);
    assert_refused("{\"inbounds\":[{\"listen\":\"\",\"port\":1," DOOR "}]}", "invalid address");
    assert_refused("{\"inbounds\":[{\"listen\":\"@\"," DOOR "}]}", "empty name of a unix socket");
    assert_refused("{\"inbounds\":[{\"listen\":\"127.0.0.1\"," DOOR "}]}",
                   "Listen on specific ip without port in InboundDetour.");
}

static void ports_have_v2ray_s_forms(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint16_t from, to;
    } good[] = {{"1", 1, 1},
                {"65535", 65535, 65535},
                {"\"80\"", 80, 80},
                {"\"80-90\"", 80, 90},
                {"\"env:V2C_TEST.PORT\"", 7, 9}};
    static const char *const bad[] = {"0",
                                      "-1",
                                      "65536",
                                      "1.5",
                                      "\"\"",
                                      "\"80-\"",
                                      "\"-80\"",
                                      "\"90-80\"",
                                      "\"0-80\"",
                                      "\" 80\"",
                                      "\"80,90\"",
                                      "\"http\"",
                                      "[80]",
                                      "true",
                                      "\"env:\"",
                                      "\"65536\"",
                                      "\"env:V2C_NOT_SET\""};
    struct run r;
    char text[256];
    setenv("V2C_TEST_PORT", "7-9", 1);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(text, sizeof text, "{\"inbounds\":[{\"port\":%s," DOOR "}]}", good[i].text);
        struct config *c = run_good(&r, text);
        assert_int_equal(c->inbounds[0].ports.from, good[i].from);
        assert_int_equal(c->inbounds[0].ports.to, good[i].to);
        run_free(&r);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, "{\"inbounds\":[{\"port\":%s," DOOR "}]}", bad[i]);
        assert_refused(text, ": /inbounds/0/port: error: ");
    }
}

static void two_inbounds_cannot_share_a_port(void **state)
{
    (void)state;
    struct run r;
    assert_refused("{\"inbounds\":[{\"port\":\"1-5\"," DOOR
                   "},{\"port\":\"5-9\",\"listen\":\"::1\"," DOOR "}]}",
                   "/inbounds/1: error: /inbounds/0 listens on the same port");
    run_good(&r, "{\"inbounds\":[{\"port\":5,\"listen\":\"127.0.0.1\"," DOOR "},"
                 "{\"port\":5,\"listen\":\"127.0.0.2\"," DOOR "},"
                 "{\"port\":5,\"protocol\":\"dokodemo-door\",\"settings\":{\"address\":\"a\","
                 "\"network\":\"udp\"}}]}");
    assert_int_equal(r.config->inbounds[2].dokodemo.networks, NET_UDP);
    run_free(&r);
}

static void policies_default_and_are_brought_to_what_works(void **state)
{
    (void)state;
    struct run r;
    struct config *c = run_good(
        &r, "{\"policy\":{\"levels\":{\"7\":{},\"1\":{\"uplinkOnly\":2,\"bufferSize\":0},"
            "\"3\":{\"bufferSize\":-1,\"connIdle\":9,\"handshake\":4,\"downlinkOnly\":5}}},"
            "\"inbounds\":[{\"port\":1,\"protocol\":\"dokodemo-door\",\"settings\":"
            "{\"address\":\"a\",\"userLevel\":3}},{\"port\":2,\"protocol\":\"dokodemo-door\","
            "\"settings\":{\"address\":\"a\",\"timeout\":11}}]}");
    const struct policy want = POLICY_DEFAULT;
    assert_memory_equal(c->default_policy, &want, sizeof want);
    assert_memory_equal(config_policy(c, 7), &want, sizeof want);
    assert_ptr_equal(config_policy(c, 0), c->default_policy);
    assert_ptr_equal(config_policy(c, 2), c->default_policy);
    assert_true(config_policy(c, 1)->uplink_only == 2);
    assert_true(config_policy(c, 1)->downlink_only == want.downlink_only);
    assert_int_equal(config_policy(c, 1)->buffer_size, 16 * 1024);
    assert_int_equal(config_policy(c, 3)->buffer_size, 16 * 1024 * 1024);
    assert_true(config_policy(c, 3)->conn_idle == 9);
    assert_true(config_policy(c, 3)->handshake == 4);
    assert_ptr_equal(c->inbounds[0].policy, config_policy(c, 3));
    assert_true(c->inbounds[1].policy->conn_idle == 11);
    run_free(&r);
    assert_warned("{\"policy\":{\"levels\":{\"0\":{\"connIdle\":0}}}}", "1 second is used");
    assert_warned("{\"policy\":{\"levels\":{\"0\":{},\"00\":{}}}}", "duplicate key");
    assert_refused("{\"policy\":{\"levels\":{\"4294967296\":{}}}}", "want a level");
}

static const char *slot_name(const struct config *c, int slot)
{
    return slot < 0 ? "-" : c->stats.info[slot].name;
}

#define COUNTED                                                                                    \
    "\"policy\":{\"levels\":{\"0\":{\"statsUserUplink\":true}},"                                   \
    "\"system\":{\"statsInboundDownlink\":true,\"statsOutboundUplink\":true}},"                    \
    "\"inbounds\":[{\"tag\":\"in\",\"port\":1,\"protocol\":\"vmess\",\"settings\":{\"clients\":["  \
    "{\"id\":\"" ID "\",\"email\":\"a@b\"},{\"id\":\"" ID "\"},"                                   \
    "{\"id\":\"" ID "\",\"email\":\"c@d\",\"level\":1}]}}],"                                       \
    "\"outbounds\":[{\"tag\":\"out\",\"protocol\":\"freedom\"}],"                                  \
    "\"reverse\":{\"bridges\":[{\"tag\":\"br\",\"domain\":\"d.e\"}],"                              \
    "\"portals\":[{\"tag\":\"po\",\"domain\":\"f.g\"}]}}"

static void counters_exist_as_policy_and_stats_say(void **state)
{
    (void)state;
    struct run r;
    struct config *c = run_good(&r, "{\"stats\":{}," COUNTED);
    assert_string_equal(slot_name(c, c->inbounds[0].traffic->up), "-");
    assert_string_equal(slot_name(c, c->inbounds[0].traffic->down),
                        "inbound>>>in>>>traffic>>>downlink");
    assert_string_equal(slot_name(c, c->outbounds[0].traffic->up),
                        "outbound>>>out>>>traffic>>>uplink");
    const struct vmess_user *users = c->inbounds[0].vmess.users;
    assert_string_equal(slot_name(c, users[0].user->traffic.up), "user>>>a@b>>>traffic>>>uplink");
    assert_string_equal(slot_name(c, users[0].user->traffic.down), "-");
    assert_int_equal(users[1].user->traffic.up, -1);
    assert_int_equal(users[2].user->traffic.up, -1);
    run_free(&r);
}

static void tunnels_are_counted_always(void **state)
{
    (void)state;
    struct run r;
    struct config *c = run_good(&r, "{" COUNTED);
    assert_int_equal(c->inbounds[0].traffic->down, -1);
    assert_int_equal(c->outbounds[0].traffic->up, -1);
    const struct portal_conf *p = c->outbounds[1].portal;
    assert_string_equal(slot_name(c, p->traffic.up), "portal>>>po>>>traffic>>>uplink");
    assert_string_equal(slot_name(c, p->traffic.down), "portal>>>po>>>traffic>>>downlink");
    assert_string_equal(slot_name(c, p->carriers_slot), "portal>>>po>>>carriers");
    assert_string_equal(slot_name(c, p->visitors_slot), "portal>>>po>>>visitors");
    assert_int_equal(c->stats.info[p->visitors_slot].kind, STAT_GAUGE);
    assert_string_equal(slot_name(c, c->bridges[0].carriers_slot), "bridge>>>br>>>carriers");
    assert_string_equal(slot_name(c, c->bridges[0].traffic.up), "bridge>>>br>>>traffic>>>uplink");
    run_free(&r);
}

static void outbounds_stand_before_the_api_before_portals(void **state)
{
    (void)state;
    struct run r;
    struct config *c = run_good(
        &r, "{\"reverse\":{\"portals\":[{\"tag\":\"p\",\"domain\":\"a.b\",\"controlDomain\":\"c\","
            "\"users\":[\"u@v\"]}]},\"api\":{\"tag\":\"api\",\"services\":[\"StatsService\"]},"
            "\"inbounds\":["
            "{\"tag\":\"i\",\"port\":1,\"protocol\":\"vmess\",\"settings\":{\"clients\":["
            "{\"id\":\"" ID "\",\"email\":\"u@v\"}]}}],\"outbounds\":[{\"protocol\":\"blackhole\","
            "\"settings\":{\"response\":{\"type\":\"HTTP\"}},\"tag\":\"b\"},"
            "{\"protocol\":\"direct\",\"tag\":\"d\",\"sendThrough\":\"::1\",\"settings\":"
            "{\"redirect\":\"[::2]:0\",\"domainStrategy\":\"use_ip_v4\"}}],\"routing\":{\"rules\":["
            "{\"inboundTag\":\"i\",\"outboundTag\":\"p\"},{\"user\":\"u@v\",\"outboundTag\":"
            "\"api\"}]}}");
    assert_int_equal(r.len, 0);
    static const enum outbound_kind kinds[] = {OUT_BLACKHOLE, OUT_FREEDOM, OUT_API, OUT_PORTAL};
    assert_int_equal(c->outbound_count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(c->outbounds[i].kind, kinds[i]);
    assert_true(c->outbounds[0].blackhole.http);
    assert_int_equal(c->outbounds[1].send_through->type, ADDR_IPV6);
    assert_int_equal(c->outbounds[1].freedom.redirect.type, ADDR_IPV6);
    assert_int_equal(c->outbounds[1].freedom.redirect.port, 0);
    assert_int_equal(c->outbounds[1].freedom.family, DIAL_IPV4);
    assert_int_equal(c->rules.items[0].outbound, 3);
    assert_int_equal(c->rules.items[1].outbound, 2);
    assert_string_equal(c->outbounds[3].portal->control_domain, "c");
    assert_int_equal(c->outbounds[3].portal->user_count, 1);
    assert_string_equal(c->outbounds[3].portal->users[0], "u@v");
    run_free(&r);
}

static void redirects_keep_what_they_do_not_name(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum addr_type type;
        uint16_t port;
    } good[] = {{":80", ADDR_NONE, 80},        {"0.0.0.0:80", ADDR_NONE, 80},
                {"127.0.0.1:0", ADDR_IPV4, 0}, {"a.b:65535", ADDR_NAME, 65535},
                {"[::1]:80", ADDR_IPV6, 80},   {"", ADDR_NONE, 0}};
    static const char *const bad[] = {"a",     "a:", "a:http",    "a:65536", "::1:80",
                                      "[::1]", ":",  "[::1]80:1", "a:-1",    "a:080000"};
    char text[256];
    struct run r;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(text, sizeof text,
                 "{\"outbounds\":[{\"protocol\":\"freedom\",\"settings\":{\"redirect\":\"%s\"}}]}",
                 good[i].text);
        const struct addr *to = &run_good(&r, text)->outbounds[0].freedom.redirect;
        assert_int_equal(to->type, good[i].type);
        assert_int_equal(to->port, good[i].port);
        run_free(&r);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text,
                 "{\"outbounds\":[{\"protocol\":\"freedom\",\"settings\":{\"redirect\":\"%s\"}}]}",
                 bad[i]);
        assert_refused(text, "/settings/redirect: error: invalid redirect ");
    }
}

static const struct rule *rules_say(const struct rules *rs, const struct meta *m)
{
    char name[ADDR_NAME_MAX + 1];
    struct query q = query_of(m, name);
    return rules_match(rs, &q);
}

static void rules_match_as_written(void **state)
{
    (void)state;
    struct run r;
    struct config *c = run_good(
        &r,
        "{\"inbounds\":[{\"tag\":\"i\",\"port\":1," DOOR "}],\"outbounds\":[{\"tag\":\"a\","
        "\"protocol\":\"freedom\"},{\"tag\":\"b\",\"protocol\":\"freedom\"}],\"routing\":{"
        "\"rules\":["
        "{\"network\":\"tpc\",\"outboundTag\":\"a\"},{\"port\":\"\",\"outboundTag\":\"a\"},"
        "{\"port\":\"90-80\",\"outboundTag\":\"a\"},{\"port\":\"22,80-90\",\"ip\":\"10.0.0.0/8\","
        "\"network\":\"UDP\",\"source\":[\"192.0.2.1\"],\"inboundTag\":[\"i\"],\"outboundTag\":"
        "\"b\"},"
        "{\"domain\":\"full:x.y\",\"domains\":[\"domain:z.y\"],\"outboundTag\":\"a\"}]}}");
    struct meta m = {.net = NET_UDP, .inbound_tag = "i", .outbound_tag = ""};
    struct err e;
    assert_int_equal(addr_parse_host(&m.source, "192.0.2.1", 9, &e), 0);
    assert_int_equal(addr_parse_host(&m.target, "10.1.2.3", 8, &e), 0);
    m.target.port = 85;
    assert_int_equal(rules_say(&c->rules, &m)->outbound, 1);
    m.target.port = 91;
    assert_null(rules_say(&c->rules, &m));
    assert_int_equal(addr_parse_host(&m.target, "w.Z.y.", 6, &e), 0);
    assert_int_equal(rules_say(&c->rules, &m)->outbound, 0);
    assert_int_equal(addr_parse_host(&m.target, "X.y", 3, &e), 0);
    assert_int_equal(rules_say(&c->rules, &m)->outbound, 0);
    assert_int_equal(addr_parse_host(&m.target, "v.x.y", 5, &e), 0);
    assert_null(rules_say(&c->rules, &m));
    run_free(&r);
}

static void what_would_be_dangerous_is_refused(void **state)
{
    (void)state;
    assert_refused("{\"outbounds\":[{\"protocol\":\"freedom\",\"streamSettings\":"
                   "{\"security\":\"tlss\"}}]}",
                   "unknown security");
    assert_refused("{\"inbounds\":[{\"port\":1,\"protocol\":\"vmess\",\"settings\":{\"clients\":["
                   "{\"id\":\"" ID "\",\"alterId\":64}]}}]}",
                   "set alterId to 0 on both sides");
    assert_refused("{\"outbounds\":[{\"protocol\":\"vmess\",\"settings\":{\"vnext\":[{\"address\":"
                   "\"a\",\"port\":1,\"users\":[{\"id\":\"" ID "\",\"security\":\"aes\"}]}]}}]}",
                   "want one of auto, aes-128-gcm, chacha20-poly1305, none, got \"aes\"");
    assert_refused("{\"reverse\":{\"portals\":[{\"tag\":\"p\",\"domain\":\"d\",\"users\":[]}]}}",
                   "want at least one email");
    assert_refused("{\"reverse\":{\"portals\":[{\"tag\":\"p\",\"domain\":\"10.0.0.1\"}]}}",
                   "want a domain name");
    assert_refused("{\"reverse\":{\"portals\":[{\"tag\":\"p\",\"domain\":\"a b\"}]}}",
                   "want a domain of letters");
    assert_refused("{\"reverse\":{\"portals\":[{\"tag\":\"p\",\"domain\":\"d.e\"},"
                   "{\"tag\":\"q\",\"domain\":\"D.E\"}]}}",
                   "portal with domain \"D.E\" already exists");
    assert_refused("{\"reverse\":{\"bridges\":[{\"tag\":\"i\",\"domain\":\"d\"}]},\"inbounds\":["
                   "{\"tag\":\"i\",\"port\":1," DOOR "}]}",
                   "inbound or bridge with tag \"i\" already exists");
    assert_refused(
        "{\"api\":{\"tag\":\"x\"},\"outbounds\":[{\"tag\":\"x\",\"protocol\":\"freedom\"}]}",
        "outbound, portal or api with tag \"x\" already exists");
    assert_refused("{\"inbounds\":[null]}", "/inbounds/0: error: want an object, got null");
}

static void what_has_no_effect_is_warned_about(void **state)
{
    (void)state;
    assert_warned(
        "{\"outbounds\":[{\"protocol\":\"freedom\",\"streamSettings\":{\"security\":\"none\","
        "\"tlsSettings\":{\"alpn\":[\"h2\"]}}}]}",
        "/tlsSettings: warning: has no effect");
    assert_warned(
        "{\"outbounds\":[{\"protocol\":\"freedom\",\"tag\":\"a\"}],\"routing\":{\"rules\":["
        "{\"domain\":[\"com\"],\"outboundTag\":\"a\"}]}}",
        "did you mean \"domain:com\"?");
    assert_warned(
        "{\"outbounds\":[{\"protocol\":\"freedom\",\"tag\":\"a\"}],\"routing\":{\"rules\":["
        "{\"inboundTag\":\"a, b\",\"outboundTag\":\"a\"}]}}",
        "spaces around \"b\" are left out");
    assert_warned(
        "{\"reverse\":{\"portals\":[{\"tag\":\"p\",\"domain\":\"d\",\"users\":\"a@b\"}]}}",
        "no client has the email \"a@b\"");
    assert_warned("{\"reverse\":{\"bridges\":[{\"tag\":\"p\",\"domain\":\"d\"},"
                  "{\"tag\":\"q\",\"domain\":\"d\"}]}}",
                  "another bridge has the domain");
}

static struct run run_two(const char *first, const char *second)
{
    char dir[] = "/tmp/v2c-conf-XXXXXX", a[64], b[64];
    assert_non_null(mkdtemp(dir));
    snprintf(a, sizeof a, "%s/1.json", dir);
    snprintf(b, sizeof b, "%s/2-tail.json", dir);
    const char *texts[] = {first, second}, *paths[] = {a, b};
    for (size_t i = 0; i < 2; i++) {
        FILE *f = fopen(paths[i], "w");
        assert_non_null(f);
        fputs(texts[i], f);
        fclose(f);
    }
    struct run r = run_source(&(struct config_source){.files = paths, .file_count = 2});
    unlink(a);
    unlink(b);
    rmdir(dir);
    return r;
}

static void a_later_file_s_objects_replace_whole_ones(void **state)
{
    (void)state;
    struct run r = run_two(
        "{\"log\":{\"loglevel\":\"debug\",\"error\":\"x\"},\"outbounds\":[{\"tag\":\"a\","
        "\"protocol\":\"freedom\"},{\"protocol\":\"freedom\"}]}",
        "{\"log\":{},\"outbounds\":[{\"protocol\":\"blackhole\"},{\"tag\":\"c\",\"protocol\":"
        "\"freedom\"}]}");
    assert_non_null(r.config);
    assert_int_equal(r.config->log.level, LOG_WARNING);
    assert_string_equal(r.config->log.error, "");
    assert_int_equal(r.config->outbound_count, 3);
    assert_string_equal(r.config->outbounds[0].tag, "a");
    assert_int_equal(r.config->outbounds[1].kind, OUT_BLACKHOLE);
    assert_string_equal(r.config->outbounds[2].tag, "c");
    assert_non_null(strstr(r.said, "V2Ray 4.34 would drop theirs"));
    run_free(&r);
}

static void errors_of_all_files_come_at_once(void **state)
{
    (void)state;
    struct run r = run_two("{\"outbounds\":[{\"tag\":\"a\" \"protocol\":\"freedom\"}]}",
                           "{\"fakedns\":{\"a\":1},\"routing\":{\"rules\":[{\"port\":1,"
                           "\"outboundTag\":\"a\"},{\"outboundTag\":\"a\"}]}}");
    assert_null(r.config);
    assert_int_equal(run_count(&r, ": error: "), 3); /* "a" may stand in the broken file */
    assert_non_null(strstr(r.said, "/1.json:1:26: /outbounds/0: error: want ',' or '}'"));
    assert_non_null(strstr(r.said, "/2-tail.json:1:12: /fakedns: error: v2c has no fakedns yet"));
    run_free(&r);
}

static void no_prefix_of_a_config_is_a_config(void **state)
{
    (void)state;
    static const char *const texts[] = {manual_bridge, manual_portal};
    for (size_t i = 0; i < 2; i++) {
        size_t end = strlen(texts[i]) - 2;
        for (size_t len = 0; len < end; len += 37) {
            struct run r = run_bytes(texts[i], len, false);
            assert_null(r.config);
            assert_int_equal(run_count(&r, ": error: "), 1);
            run_free(&r);
        }
    }
}

static void only_regular_files_of_bounded_size_are_read(void **state)
{
    (void)state;
    size_t len = 5 * 1024 * 1024;
    char *big = malloc(len);
    assert_non_null(big);
    memset(big, ' ', len);
    memcpy(big, "{}", 2);
    struct run r = run_bytes(big, len, false);
    assert_null(r.config);
    assert_non_null(strstr(r.said, "larger than 4 MiB"));
    run_free(&r);
    r = run_bytes(big, 4 * 1024 * 1024, false);
    assert_non_null(r.config);
    run_free(&r);
    free(big);
    static const char *const paths[] = {"/dev/zero", "/tmp", "/nonexistent/x.json"};
    for (size_t i = 0; i < 3; i++) {
        r = run_file(paths[i]);
        assert_null(r.config);
        assert_int_equal(run_count(&r, ": error: "), 1);
        run_free(&r);
    }
    char fifo[] = "/tmp/v2c-fifo-XXXXXX";
    assert_non_null(mkdtemp(fifo));
    char path[64];
    snprintf(path, sizeof path, "%s/f", fifo);
    assert_int_equal(mkfifo(path, 0600), 0);
    r = run_file(path); /* nobody writes: this must not wait */
    assert_non_null(strstr(r.said, "not a regular file"));
    run_free(&r);
    unlink(path);
    rmdir(fifo);
}

static unsigned strict_complaints(const char *text, mode_t mode, bool *loads)
{
    char path[] = "/tmp/v2c-strict-XXXXXX";
    const char *name = path;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    struct run r =
        run_source(&(struct config_source){.files = &name, .file_count = 1, .strict = true});
    unsigned found = (unsigned)run_count(&r, "may read the secrets in here");
    *loads = r.config != NULL;
    run_free(&r);
    close(fd);
    unlink(path);
    return found;
}

static void strict_asks_for_private_files_too(void **state)
{
    (void)state;
    static const char key[] = "{\"inbounds\":[{\"streamSettings\":{\"tlsSettings\":{"
                              "\"certificates\":[{\"key\":[\"a line\"]}]}}}]}";
    bool loads;
    assert_int_equal(strict_complaints(manual_portal, 0600, &loads), 0);
    assert_true(loads);
    assert_int_equal(strict_complaints(manual_portal, 0644, &loads), 1);
    assert_false(loads);
    assert_int_equal(strict_complaints(key, 0644, &loads), 1);
    assert_int_equal(strict_complaints(key, 0600, &loads), 0);
    struct run r = run_bytes("{\"log\":{},\"nosuch\":1}", 21, true);
    assert_null(r.config);
    run_free(&r);
}

static void nothing_named_is_an_error(void **state)
{
    (void)state;
    struct run r = run_source(&(struct config_source){0});
    assert_null(r.config);
    assert_string_equal(r.said, "config: error: no configuration file\n");
    run_free(&r);
}

static void log_s_absence_silences_access(void **state)
{
    (void)state;
    struct run r;
    assert_string_equal(run_good(&r, "{\"log\":{}}")->log.access, "");
    run_free(&r);
    struct config *c = run_good(&r, "{\"log\":{\"loglevel\":\"none\",\"access\":\"/x\"}}");
    assert_string_equal(c->log.access, "none");
    assert_int_equal(c->log.level, LOG_NONE);
    run_free(&r);
}

static void mux_is_for_vmess_outbounds(void **state)
{
    (void)state;
#define MUX(mux)                                                                                   \
    "{\"outbounds\":[{\"protocol\":\"vmess\",\"settings\":{\"address\":\"192.0.2.1\",\"port\":1,"  \
    "\"id\":\"27848739-7e62-4138-9fd3-098a63964b6b\"},\"mux\":" mux "}]}"
    static const struct {
        const char *text;
        unsigned streams;
    } cases[] = {
        {MUX("{}"), 0},
        {MUX("{\"enabled\":true}"), 8},
        {MUX("{\"enabled\":true,\"concurrency\":0}"), 8},
        {MUX("{\"enabled\":true,\"concurrency\":1024,\"xudpConcurrency\":5}"), 1024},
        {MUX("{\"enabled\":true,\"concurrency\":-1}"), 0},
        {MUX("{\"enabled\":false,\"concurrency\":5}"), 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct run r;
        assert_int_equal(run_good(&r, cases[i].text)->outbounds[0].mux, cases[i].streams);
        run_free(&r);
    }
    assert_refused(
        MUX("{\"concurrency\":1025}"),
        "/outbounds/0/mux/concurrency: error: invalid mux concurrency: 1025: want at most 1024");
    assert_refused("{\"outbounds\":[{\"protocol\":\"freedom\",\"mux\":{\"enabled\":true}}]}",
                   "/outbounds/0/mux: error: v2c has mux on vmess outbounds only");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mux_is_for_vmess_outbounds),
        cmocka_unit_test(the_manual_s_bridge_loads_without_a_word),
        cmocka_unit_test(the_manual_s_portal_loads_and_is_no_default),
        cmocka_unit_test(five_mistakes_are_five_errors),
        cmocka_unit_test(no_message_shows_an_id),
        cmocka_unit_test(any_address_is_dual_stack),
        cmocka_unit_test(ports_have_v2ray_s_forms),
        cmocka_unit_test(two_inbounds_cannot_share_a_port),
        cmocka_unit_test(policies_default_and_are_brought_to_what_works),
        cmocka_unit_test(counters_exist_as_policy_and_stats_say),
        cmocka_unit_test(tunnels_are_counted_always),
        cmocka_unit_test(outbounds_stand_before_the_api_before_portals),
        cmocka_unit_test(redirects_keep_what_they_do_not_name),
        cmocka_unit_test(rules_match_as_written),
        cmocka_unit_test(what_would_be_dangerous_is_refused),
        cmocka_unit_test(what_has_no_effect_is_warned_about),
        cmocka_unit_test(a_later_file_s_objects_replace_whole_ones),
        cmocka_unit_test(errors_of_all_files_come_at_once),
        cmocka_unit_test(no_prefix_of_a_config_is_a_config),
        cmocka_unit_test(only_regular_files_of_bounded_size_are_read),
        cmocka_unit_test(strict_asks_for_private_files_too),
        cmocka_unit_test(nothing_named_is_an_error),
        cmocka_unit_test(log_s_absence_silences_access),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
