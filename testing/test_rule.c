#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routing/rule.h"

static struct addr addr_of(const char *host, uint16_t port)
{
    struct addr a = {.port = port};
    struct err e;
    assert_int_equal(addr_parse_host(&a, host, strlen(host), &e), 0);
    return a;
}

/* A TCP flow of a@b from 198.51.100.9:5000 through "door" to the given target. */
static struct meta flow_to(const char *host, uint16_t port)
{
    static const struct user user = {.email = "a@b"};
    return (struct meta){
        .net = NET_TCP,
        .source = addr_of("198.51.100.9", 5000),
        .target = addr_of(host, port),
        .inbound_tag = "door",
        .user = &user,
        .outbound_tag = "",
    };
}

static struct domain_set *domains_of(const char *text)
{
    struct err e;
    struct domain_set *s = domain_set_new();
    assert_int_equal(domain_set_add(s, text, &e), 0);
    return s;
}

static struct cidr_set *cidrs_of(const char *text)
{
    struct err e;
    struct cidr_set *s = cidr_set_new();
    assert_int_equal(cidr_set_add(s, text, &e), 0);
    assert_int_equal(cidr_set_seal(s), 0);
    return s;
}

static struct port_set ports_of(const char *text)
{
    struct err e;
    struct port_set s = {0};
    assert_int_equal(port_set_add(&s, text, &e), 0);
    return s;
}

static struct string_list list_of(const char *one, const char *two)
{
    struct string_list l = {calloc(2, sizeof(char *)), 2};
    assert_non_null(l.items);
    l.items[0] = strdup(one);
    l.items[1] = strdup(two);
    return l;
}

static void assert_rule(const struct rule *r, const struct meta *m, bool expected)
{
    char name[ADDR_NAME_MAX + 1];
    struct query q = query_of(m, name);
    assert_int_equal(rule_match(r, &q), expected);
}

static void rule_without_fields_matches_all(void **state)
{
    (void)state;
    struct rule r = {0};
    struct meta m = flow_to("example.com", 80), bare = {.net = NET_UDP, .inbound_tag = ""};
    assert_rule(&r, &m, true);
    assert_rule(&r, &bare, true);
}

static void rule_domains_need_a_name_in_any_spelling(void **state)
{
    (void)state;
    struct rule r = {.domains = domains_of("domain:example.com")};
    struct meta name = flow_to("WWW.Example.COM.", 80), other = flow_to("example.net", 80);
    struct meta ip = flow_to("192.0.2.1", 80);
    assert_rule(&r, &name, true);
    assert_string_equal(name.target.name, "WWW.Example.COM.");
    assert_rule(&r, &other, false);
    assert_rule(&r, &ip, false);
    rule_fini(&r);
    r.domains = domains_of("");
    assert_rule(&r, &other, true);
    assert_rule(&r, &ip, false);
    rule_fini(&r);
}

static void rule_ips_need_an_ip_target(void **state)
{
    (void)state;
    struct rule r = {.ips = cidrs_of("192.0.2.0/24")};
    struct meta in = flow_to("192.0.2.1", 80), out = flow_to("192.0.3.1", 80);
    struct meta name = flow_to("example.com", 80);
    assert_rule(&r, &in, true);
    assert_rule(&r, &out, false);
    assert_rule(&r, &name, false);
    rule_fini(&r);
}

static void rule_sources_need_a_source(void **state)
{
    (void)state;
    struct rule r = {.sources = cidrs_of("0.0.0.0/0")};
    struct rule ports = {.source_ports = ports_of("0-65535")};
    struct meta m = flow_to("example.com", 80);
    assert_rule(&r, &m, true);
    assert_rule(&ports, &m, true);
    m.source = (struct addr){0};
    assert_rule(&r, &m, false);
    assert_rule(&ports, &m, false);
    rule_fini(&r);
    rule_fini(&ports);
}

static void rule_users_are_exact_and_case_sensitive(void **state)
{
    (void)state;
    static const struct user upper = {.email = "A@b"}, part = {.email = "a@bc"},
                             none = {.email = ""};
    struct rule r = {.users = list_of("x@y", "a@b")};
    struct meta m = flow_to("example.com", 80);
    assert_rule(&r, &m, true);
    const struct user *others[] = {&upper, &part, &none, NULL};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        m.user = others[i];
        assert_rule(&r, &m, false);
    }
    rule_fini(&r);
}

static void rule_without_email_or_tag_never_matches_an_empty_entry(void **state)
{
    (void)state;
    static const struct user none = {.email = ""};
    struct rule users = {.users = list_of("", "a")}, tags = {.inbound_tags = list_of("", "a")};
    struct meta m = flow_to("example.com", 80);
    m.user = &none;
    m.inbound_tag = "";
    assert_rule(&users, &m, false);
    assert_rule(&tags, &m, false);
    rule_fini(&users);
    rule_fini(&tags);
}

static void rule_inbound_tags_are_exact(void **state)
{
    (void)state;
    struct rule r = {.inbound_tags = list_of("window", "door")};
    struct meta m = flow_to("example.com", 80);
    assert_rule(&r, &m, true);
    m.inbound_tag = "Door";
    assert_rule(&r, &m, false);
    m.inbound_tag = "doo";
    assert_rule(&r, &m, false);
    rule_fini(&r);
}

static void rule_networks_are_a_mask(void **state)
{
    (void)state;
    struct meta m = flow_to("example.com", 80);
    for (unsigned mask = 1; mask <= 3; mask++) {
        struct rule r = {.networks = mask};
        m.net = NET_TCP;
        assert_rule(&r, &m, mask & NET_TCP);
        m.net = NET_UDP;
        assert_rule(&r, &m, (mask & NET_UDP) != 0);
    }
}

static void rule_ports_are_the_targets_and_source_ports_the_sources(void **state)
{
    (void)state;
    struct rule r = {.ports = ports_of("80"), .source_ports = ports_of("5000")};
    struct rule swapped = {.ports = ports_of("5000"), .source_ports = ports_of("80")};
    struct meta m = flow_to("example.com", 80);
    assert_rule(&r, &m, true);
    assert_rule(&swapped, &m, false);
    m.target.port = 81;
    assert_rule(&r, &m, false);
    rule_fini(&r);
    rule_fini(&swapped);
}

/* Each field in turn is the one that does not fit. */
static void rule_needs_every_present_field(void **state)
{
    (void)state;
    struct rule r = {
        .inbound_tags = list_of("door", "x"),
        .users = list_of("a@b", "x"),
        .ips = cidrs_of("192.0.2.1"),
        .sources = cidrs_of("198.51.100.9"),
        .ports = ports_of("80"),
        .source_ports = ports_of("5000"),
        .networks = NET_TCP,
    };
    struct meta fits = flow_to("192.0.2.1", 80);
    assert_rule(&r, &fits, true);
    struct meta bad[7] = {fits, fits, fits, fits, fits, fits, fits};
    bad[0].inbound_tag = "y";
    bad[1].user = NULL;
    bad[2].target = addr_of("192.0.2.2", 80);
    bad[3].source = addr_of("198.51.100.8", 5000);
    bad[4].target.port = 81;
    bad[5].source.port = 5001;
    bad[6].net = NET_UDP;
    for (size_t i = 0; i < 7; i++)
        assert_rule(&r, &bad[i], false);
    rule_fini(&r);
}

static struct regex **patterns_of(const char *pattern)
{
    struct err e;
    struct regex **patterns = malloc(sizeof(struct regex *));
    assert_non_null(patterns);
    patterns[0] = regex_new_exact(pattern, &e);
    assert_non_null(patterns[0]);
    return patterns;
}

static void rule_users_may_be_patterns(void **state)
{
    (void)state;
    static const struct user alice = {.email = "alice@x"}, upper = {.email = "ALICE@x"},
                             listed = {.email = "b"}, nameless = {.email = ""};
    struct rule r = {.users = list_of("b", "c"), .user_patterns = patterns_of("^(alice@.*)?$")};
    r.user_pattern_count = 1;
    struct meta m = flow_to("example.com", 80);
    m.user = &alice;
    assert_rule(&r, &m, true);
    m.user = &listed;
    assert_rule(&r, &m, true);
    m.user = &upper;
    assert_rule(&r, &m, false);
    m.user = &nameless;
    assert_rule(&r, &m, false);
    m.user = NULL;
    assert_rule(&r, &m, false);
    rule_fini(&r);
}

static void rule_long_lists_are_searched_too(void **state)
{
    (void)state;
    enum { MANY = 1000 };
    struct rule rule = {.inbound_tags = {calloc(MANY, sizeof(char *)), MANY}};
    struct rules rs = {calloc(1, sizeof rule), 1, 0, NULL};
    char text[16];
    for (int i = 0; i < MANY; i++) {
        snprintf(text, sizeof text, "tag%d", (i * 37) % MANY);
        rule.inbound_tags.items[i] = strdup(text);
    }
    rs.items[0] = rule;
    assert_true(rules_seal(&rs));
    struct meta m = flow_to("example.com", 80);
    for (int i = 0; i < MANY; i++) {
        snprintf(text, sizeof text, "tag%d", i);
        m.inbound_tag = text;
        assert_rule(&rs.items[0], &m, true);
    }
    m.inbound_tag = "tag1000";
    assert_rule(&rs.items[0], &m, false);
    m.inbound_tag = "";
    assert_rule(&rs.items[0], &m, false);
    rules_fini(&rs);
}

static void rule_protocols_are_prefixes_of_what_was_sniffed(void **state)
{
    (void)state;
    struct rule r = {.protocols = list_of("http", "tls")};
    struct meta m = flow_to("example.com", 80);
    struct query q = {.meta = &m};
    assert_false(rule_match(&r, &q));
    q.protocol = "http1";
    assert_true(rule_match(&r, &q));
    q.protocol = "tls";
    assert_true(rule_match(&r, &q));
    q.protocol = "htt";
    assert_false(rule_match(&r, &q));
    q.protocol = "quic";
    assert_false(rule_match(&r, &q));
    rule_fini(&r);
}

static void rule_attrs_need_a_request(void **state)
{
    (void)state;
    struct err e;
    struct rule r = {.attrs = attrs_new("attrs[':method'] != 'POST'", &e)};
    struct meta m = flow_to("example.com", 80);
    struct query q = {.meta = &m};
    assert_false(rule_match(&r, &q));
    q.head = "GET / HTTP/1.1\r\n\r\n";
    q.head_len = strlen(q.head);
    assert_true(rule_match(&r, &q));
    q.head = "POST / HTTP/1.1\r\n\r\n";
    assert_false(rule_match(&r, &q));
    rule_fini(&r);
}

static void rule_ips_may_be_those_of_the_name(void **state)
{
    (void)state;
    struct rule r = {.ips = cidrs_of("192.0.2.0/24")};
    struct meta m = flow_to("example.com", 80);
    struct addr ips[] = {addr_of("198.51.100.1", 0), addr_of("192.0.2.7", 0)};
    struct query q = {.meta = &m, .name = "example.com", .ips = ips, .ip_count = 1};
    assert_false(rule_match(&r, &q));
    q.ip_count = 2;
    assert_true(rule_match(&r, &q));
    rule_fini(&r);
}

static void rule_explains_each_condition(void **state)
{
    (void)state;
    struct rule r = {
        .domains = domains_of("full:a.com"), .ports = ports_of("80"), .networks = NET_UDP};
    struct meta m = flow_to("b.com", 80);
    char name[ADDR_NAME_MAX + 1];
    struct rule_finding f[COND_COUNT];
    struct query q = query_of(&m, name);
    r.texts[COND_DOMAIN] = "full:a.com";
    assert_int_equal(rule_explain(&r, &q, f), 3);
    assert_string_equal(f[0].key, "network");
    assert_false(f[0].matched);
    assert_string_equal(f[1].key, "port");
    assert_string_equal(f[1].text, "");
    assert_true(f[1].matched);
    assert_string_equal(f[2].key, "domain");
    assert_string_equal(f[2].text, "full:a.com");
    assert_false(f[2].matched);
    rule_fini(&r);
}

/* Not known yet: what must be found out before the choice is made? */
static void rules_lack_only_what_decides(void **state)
{
    (void)state;
    struct rules rs = {calloc(4, sizeof(struct rule)), 4, 0, NULL};
    rs.items[0] = (struct rule){.domains = domains_of("full:a.com"), .networks = NET_UDP};
    rs.items[1] = (struct rule){.protocols = list_of("tls", "quic"), .ports = ports_of("443")};
    rs.items[2] = (struct rule){.inbound_tags = list_of("door", "x")};
    rs.items[3] = (struct rule){.ips = cidrs_of("192.0.2.1")};
    const unsigned all = FACT_NAME | FACT_PROTOCOL | FACT_HEAD | FACT_IPS;
    struct meta m = flow_to("b.com", 80);
    struct query q = {.meta = &m};
    assert_int_equal(rules_lack(&rs, &q, all), 0);
    m.target.port = 443;
    assert_int_equal(rules_lack(&rs, &q, all), FACT_PROTOCOL);
    assert_int_equal(rules_lack(&rs, &q, FACT_NAME), 0);
    m.net = NET_UDP;
    assert_int_equal(rules_lack(&rs, &q, all), FACT_NAME | FACT_PROTOCOL);
    m.inbound_tag = "other";
    assert_int_equal(rules_lack(&rs, &q, all), FACT_NAME | FACT_PROTOCOL | FACT_IPS);
    m.net = NET_TCP;
    m.target.port = 80;
    assert_int_equal(rules_lack(&rs, &q, all), FACT_IPS);
    assert_int_equal(rules_lack(&rs, &q, 0), 0);
    assert_true(rules_seal(&rs));
    assert_int_equal(~rs.unasked, FACT_NAME | FACT_PROTOCOL | FACT_IPS);
    assert_int_equal(rules_lack(&rs, &q, all), FACT_IPS);
    rules_fini(&rs);
}

static const struct rule *rules_say(const struct rules *rs, const struct meta *m)
{
    char name[ADDR_NAME_MAX + 1];
    struct query q = query_of(m, name);
    return rules_match(rs, &q);
}

static void rules_first_match_decides(void **state)
{
    (void)state;
    struct rules rs = {calloc(3, sizeof(struct rule)), 3, 0, NULL};
    rs.items[0] = (struct rule){.domains = domains_of("full:a.com"), .outbound = 7};
    rs.items[1] = (struct rule){.domains = domains_of("domain:a.com"), .outbound = 8};
    rs.items[2] = (struct rule){.networks = NET_UDP, .outbound = 9};
    struct meta m = flow_to("A.com.", 80);
    assert_int_equal(rules_say(&rs, &m)->outbound, 7);
    m.target = addr_of("x.a.com", 80);
    assert_int_equal(rules_say(&rs, &m)->outbound, 8);
    m.target = addr_of("192.0.2.1", 80);
    assert_null(rules_say(&rs, &m));
    m.net = NET_UDP;
    assert_int_equal(rules_say(&rs, &m)->outbound, 9);
    rules_fini(&rs);
    assert_null(rules_say(&rs, &m));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_without_fields_matches_all),
        cmocka_unit_test(rule_domains_need_a_name_in_any_spelling),
        cmocka_unit_test(rule_ips_need_an_ip_target),
        cmocka_unit_test(rule_sources_need_a_source),
        cmocka_unit_test(rule_users_are_exact_and_case_sensitive),
        cmocka_unit_test(rule_without_email_or_tag_never_matches_an_empty_entry),
        cmocka_unit_test(rule_inbound_tags_are_exact),
        cmocka_unit_test(rule_networks_are_a_mask),
        cmocka_unit_test(rule_ports_are_the_targets_and_source_ports_the_sources),
        cmocka_unit_test(rule_needs_every_present_field),
        cmocka_unit_test(rule_users_may_be_patterns),
        cmocka_unit_test(rule_long_lists_are_searched_too),
        cmocka_unit_test(rule_protocols_are_prefixes_of_what_was_sniffed),
        cmocka_unit_test(rule_attrs_need_a_request),
        cmocka_unit_test(rule_ips_may_be_those_of_the_name),
        cmocka_unit_test(rule_explains_each_condition),
        cmocka_unit_test(rules_lack_only_what_decides),
        cmocka_unit_test(rules_first_match_decides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
