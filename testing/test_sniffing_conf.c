#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "routing/sniff.h"
#include "testing/conf_rig.h"

#define DOOR(more)                                                                                 \
    "{\"port\":80,\"protocol\":\"dokodemo-door\",\"settings\":{\"address\":\"127.0.0.1\"}" more "}"
#define WITH(more) "{\"inbounds\":[" DOOR(more) "],\"outbounds\":[{\"protocol\":\"freedom\"}]}"
#define SNIFFING(keys) WITH(",\"sniffing\":{" keys "}")

static const struct sniff_conf *load(struct run *r, const char *text)
{
    return run_good(r, text)->inbounds[0].sniffing;
}

static void nothing_is_sniffed_unless_enabled(void **state)
{
    (void)state;
    static const char *const off[] = {
        WITH(""),
        SNIFFING(""),
        SNIFFING("\"destOverride\":[\"http\"]"),
        SNIFFING("\"enabled\":false,\"destOverride\":[\"http\"]"),
        SNIFFING("\"enabled\":true,\"metadataOnly\":true,\"destOverride\":[\"http\"]"),
        SNIFFING("\"destOverride\":[\"http\"]},\"domainOverride\":[\"http\"],\"x\":{"),
    };
    for (size_t i = 0; i < sizeof off / sizeof *off; i++) {
        struct run r;
        assert_null(load(&r, off[i]));
        run_free(&r);
    }
}

static void words_are_a_mask(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned names;
        bool route_only;
    } cases[] = {
        {SNIFFING("\"enabled\":true"), 0, false},
        {SNIFFING("\"enabled\":true,\"destOverride\":[]"), 0, false},
        {SNIFFING("\"enabled\":true,\"destOverride\":[\"HTTP\",\"tls\"]"), SNIFF_HTTP | SNIFF_TLS,
         false},
        {SNIFFING("\"enabled\":true,\"destOverride\":\"https,quic\",\"routeOnly\":true"),
         SNIFF_TLS | SNIFF_QUIC, true},
        {SNIFFING("\"enabled\":true,\"destOverride\":[\"ssl\"]"), SNIFF_TLS, false},
        {WITH(",\"domainOverride\":[\"tls\",\"http\"]"), SNIFF_HTTP | SNIFF_TLS, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct run r;
        const struct sniff_conf *c = load(&r, cases[i].text);
        assert_non_null(c);
        assert_int_equal(c->names, cases[i].names);
        assert_int_equal(c->route_only, cases[i].route_only);
        assert_null(c->domains_excluded);
        run_free(&r);
    }
}

/* Flows point to it: what says the same is the same, sets included. */
static void the_same_settings_are_kept_once(void **state)
{
    (void)state;
    static const char both[] =
        "\"enabled\":true,\"destOverride\":[\"http\"],\"domainsExcluded\":[\"full:a.test\"],"
        "\"ipsExcluded\":[\"10.0.0.0/8\"],\"routeOnly\":true";
    char text[1024];
    struct run r;
    struct addr ip = {.type = ADDR_IPV4, .ip = {10, 1, 2, 3}};
    snprintf(
        text, sizeof text,
        "{\"inbounds\":[%s,\"sniffing\":{%s}},{\"port\":81,\"protocol\":\"dokodemo-door\","
        "\"settings\":{\"address\":\"127.0.0.1\"},\"sniffing\":{%s}}],\"reverse\":{\"bridges\":"
        "[{\"tag\":\"b\",\"domain\":\"d.test\",\"sniffing\":{%s}}]},"
        "\"outbounds\":[{\"protocol\":\"freedom\"}]}",
        "{\"port\":80,\"protocol\":\"dokodemo-door\",\"settings\":{\"address\":\"127.0.0.1\"}",
        both, both, both);
    const struct sniff_conf *c = load(&r, text);
    assert_non_null(c);
    assert_ptr_equal(r.config->inbounds[1].sniffing, c);
    assert_ptr_equal(r.config->bridges[0].sniffing, c);
    assert_true(domain_set_match(c->domains_excluded, "a.test"));
    assert_false(domain_set_match(c->domains_excluded, "b.a.test"));
    assert_true(cidr_set_match(c->ips_excluded, &ip));
    run_free(&r);
}

static void mistakes_are_found(void **state)
{
    (void)state;
    assert_refused(SNIFFING("\"enabled\":true,\"destOverride\":[\"http\",\"dns\"]"),
                   "/inbounds/0/sniffing/destOverride/1: error: unknown protocol: dns");
    assert_refused(SNIFFING("\"enabled\":false,\"destOverride\":[\"fakedns\"]"),
                   "/inbounds/0/sniffing/destOverride/0: error: v2c has no fakedns yet");
    assert_refused(SNIFFING("\"enabled\":1"), "/inbounds/0/sniffing/enabled: error: want true or "
                                              "false, got the number 1");
    assert_refused(SNIFFING("\"destOverride\":5"), "/inbounds/0/sniffing/destOverride: error: ");
    assert_refused(SNIFFING("\"domainsExcluded\":[\"regexp:(\"]"),
                   "/inbounds/0/sniffing/domainsExcluded/0: error: failed to parse domain rule");
    assert_refused(SNIFFING("\"ipsExcluded\":[\"10.0.0.0/40\"]"),
                   "/inbounds/0/sniffing/ipsExcluded/0: error: invalid IP");
    assert_refused(WITH(",\"sniffing\":true"), "/inbounds/0/sniffing: error: ");
    assert_refused(WITH(",\"domainOverride\":[\"x\"]"),
                   "/inbounds/0/domainOverride/0: error: unknown protocol: x");
    assert_warned(SNIFFING("\"enabled\":true,\"metadataOnly\":true"),
                  "/inbounds/0/sniffing: warning: with metadataOnly nothing is sniffed");
    assert_warned(SNIFFING("\"enabled\":true,\"destOverride\":[\"http\"]"),
                  "/inbounds/0/sniffing: warning: visitors choose the target");
    assert_warned("{\"reverse\":{\"bridges\":[{\"tag\":\"b\",\"domain\":\"d.test\",\"sniffing\":{"
                  "\"enabled\":true,\"destOverride\":[\"http\"]}}]},\"outbounds\":[{\"protocol\":"
                  "\"freedom\"}]}",
                  "/reverse/bridges/0/sniffing: warning: visitors choose where this bridge");
}

static void strategies_are_words_and_the_newer_place_counts(void **state)
{
    (void)state;
    static const struct {
        const char *routing;
        enum domain_strategy strategy;
    } cases[] = {
        {"{}", AS_IS},
        {"{\"domainStrategy\":\"alwaysIP\"}", AS_IS},
        {"{\"domainStrategy\":\"ipIfNonMatch\"}", IP_IF_NON_MATCH},
        {"{\"domainStrategy\":\"IPOnDemand\"}", IP_ON_DEMAND},
        {"{\"settings\":{\"domainStrategy\":\"IPOnDemand\"}}", IP_ON_DEMAND},
        {"{\"domainStrategy\":null,\"settings\":{\"domainStrategy\":\"IPOnDemand\"}}",
         IP_ON_DEMAND},
        {"{\"domainStrategy\":\"AsIs\",\"settings\":{\"domainStrategy\":\"IPOnDemand\"}}", AS_IS},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256];
        struct run r;
        snprintf(text, sizeof text, "{\"outbounds\":[{\"protocol\":\"freedom\"}],\"routing\":%s}",
                 cases[i].routing);
        assert_int_equal(run_good(&r, text)->strategy, cases[i].strategy);
        run_free(&r);
    }
}

static bool is_reserved(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->reserved.count; i++)
        if (strcmp(c->reserved.items[i], name) == 0)
            return true;
    return false;
}

static void names_of_tunnels_are_reserved(void **state)
{
    (void)state;
    static const char *const names[] = {"v1.mux.cool",
                                        "reverse",
                                        "reverse.internal.v2ray.com",
                                        "reverse.internal.v2fly.org",
                                        "reverse.internal.example.com",
                                        "home.test",
                                        "control.test",
                                        "far.test"};
    struct run r;
    const struct config *c = run_good(
        &r, "{\"reverse\":{\"portals\":[{\"tag\":\"p\",\"domain\":\"Home.TEST.\",\"controlDomain\":"
            "\"Control.test\"}],\"bridges\":[{\"tag\":\"b\",\"domain\":\"FAR.test\"}]},"
            "\"outbounds\":[{\"protocol\":\"freedom\"}]}");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_true(is_reserved(c, names[i]));
    assert_int_equal(c->reserved.count, sizeof names / sizeof *names);
    run_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_sniffed_unless_enabled),
        cmocka_unit_test(words_are_a_mask),
        cmocka_unit_test(the_same_settings_are_kept_once),
        cmocka_unit_test(mistakes_are_found),
        cmocka_unit_test(strategies_are_words_and_the_newer_place_counts),
        cmocka_unit_test(names_of_tunnels_are_reserved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
