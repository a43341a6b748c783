#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "testing/conf_rig.h"

#define OUTBOUNDS                                                                                  \
    "\"outbounds\":[{\"protocol\":\"freedom\",\"tag\":\"z\"},"                                     \
    "{\"protocol\":\"freedom\",\"tag\":\"p-2\"},{\"protocol\":\"freedom\"},"                       \
    "{\"protocol\":\"blackhole\",\"tag\":\"p-1\"}],\"api\":{\"tag\":\"p-api\"},"                   \
    "\"reverse\":{\"portals\":[{\"tag\":\"p-0\",\"domain\":\"d.example\"}]}"
#define ROUTING(balancers, rule)                                                                   \
    "{" OUTBOUNDS ",\"routing\":{\"balancers\":" balancers ",\"rules\":[" rule "]}}"
#define RULE "{\"inboundTag\":[\"in\"],\"balancerTag\":\"b\"}"

static const char *tag_at(const struct config *c, size_t i)
{
    return c->outbounds[c->balancers.items[0].outbounds[i]].tag;
}

static void a_selector_takes_prefixes_of_outbounds_and_portals_sorted_by_tag(void **state)
{
    (void)state;
    struct run r;
    const struct config *c =
        run_good(&r, ROUTING("[{\"tag\":\"b\",\"selector\":[\"z\",\"p-\"]}]", RULE));
    const struct balancer *b = &c->balancers.items[0];
    assert_int_equal(b->count, 4); /* neither the api nor what has no tag */
    assert_string_equal(tag_at(c, 0), "p-0");
    assert_string_equal(tag_at(c, 1), "p-1");
    assert_string_equal(tag_at(c, 2), "p-2");
    assert_string_equal(tag_at(c, 3), "z");
    assert_int_equal(b->strategy, BALANCE_RANDOM);
    assert_false(b->has_fallback);
    assert_ptr_equal(c->rules.items[0].balancer, b);
    run_free(&r);
}

static void strategies_have_words_in_any_case(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum balance_strategy strategy;
    } cases[] = {
        {ROUTING("[{\"tag\":\"b\",\"selector\":\"z\",\"strategy\":{\"type\":\"random\"}}]", RULE),
         BALANCE_RANDOM},
        {ROUTING("[{\"tag\":\"b\",\"selector\":\"z\",\"strategy\":{\"type\":\"roundrobin\"}}]",
                 RULE),
         BALANCE_ROUND_ROBIN},
        {ROUTING("[{\"tag\":\"b\",\"selector\":\"z\",\"strategy\":{\"type\":\"leastPing\"}}]",
                 RULE),
         BALANCE_LEAST_PING},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct run r;
        assert_int_equal(run_good(&r, cases[i].text)->balancers.items[0].strategy,
                         cases[i].strategy);
        run_free(&r);
    }
}

static void a_fallback_is_an_outbound(void **state)
{
    (void)state;
    struct run r;
    const struct config *c = run_good(
        &r, ROUTING("[{\"tag\":\"b\",\"selector\":[\"p-0\"],\"fallbackTag\":\"z\"}]", RULE));
    assert_true(c->balancers.items[0].has_fallback);
    assert_int_equal(c->balancers.items[0].fallback, 0);
    run_free(&r);
}

static void mistakes_have_v2rays_words(void **state)
{
    (void)state;
    assert_refused(ROUTING("[{\"selector\":[\"z\"]}]", ""), "/routing/balancers/0: error: empty "
                                                            "balancer tag");
    assert_refused(ROUTING("[{\"tag\":\"b\"}]", RULE),
                   "/routing/balancers/0: error: empty selector list");
    assert_refused(ROUTING("[{\"tag\":\"b\",\"selector\":[]}]", RULE),
                   "/routing/balancers/0/selector: error: empty selector list");
    assert_refused(ROUTING("[]", RULE),
                   "/routing/rules/0/balancerTag: error: balancer b not found");
    assert_refused(ROUTING("[{\"tag\":\"b\",\"selector\":\"z\"},{\"tag\":\"b\",\"selector\":"
                           "\"z\"}]",
                           RULE),
                   "balancer with tag");
    assert_refused(ROUTING("[{\"tag\":\"b\",\"selector\":\"z\",\"strategy\":{\"type\":"
                           "\"leastLoad\"}}]",
                           RULE),
                   "/routing/balancers/0/strategy/type: error: v2c has no type \"leastLoad\" yet");
    assert_refused(
        ROUTING("[{\"tag\":\"b\",\"selector\":\"z\",\"strategy\":{\"type\":\"best\"}}]", RULE),
        "want one of random, roundRobin, leastPing, got \"best\"");
    assert_refused(
        ROUTING("[{\"tag\":\"b\",\"selector\":\"z\"}]", "{\"port\":1,\"balancerTag\":5}"),
        "/routing/rules/0/balancerTag: error: want the tag of a balancer as text");
}

static void what_selects_nothing_is_said(void **state)
{
    (void)state;
    assert_refused(ROUTING("[{\"tag\":\"b\",\"selector\":[\"q\"]}]", RULE), "nothing is selected");
    assert_warned(ROUTING("[{\"tag\":\"b\",\"selector\":[\"z\",\"q\"]}]", RULE),
                  "/routing/balancers/0/selector/1: warning: no outbound or portal has a tag that "
                  "begins with \"q\"");
    assert_refused(ROUTING("[{\"tag\":\"b\",\"selector\":\"z\",\"fallbackTag\":\"q\"}]", RULE),
                   "/routing/balancers/0/fallbackTag: error: no outbound, portal or api has the "
                   "tag \"q\"");
    assert_refused(ROUTING("[{\"tag\":\"b\",\"selector\":\"z\",\"fallbackTag\":1}]", RULE),
                   "want the tag of an outbound as text");
}

static void a_portal_for_every_inbound_is_warned_about(void **state)
{
    (void)state;
    assert_warned(
        ROUTING("[{\"tag\":\"b\",\"selector\":\"p-0\"}]", "{\"port\":80,\"balancerTag\":\"b\"}"),
        "visitors of every inbound may reach this portal");
    assert_warned(ROUTING("[{\"tag\":\"b\",\"selector\":\"z\",\"fallbackTag\":\"p-0\"}]",
                          "{\"port\":80,\"balancerTag\":\"b\"}"),
                  "visitors of every inbound may reach this portal");
}

static void an_outbound_tag_decides_where_both_stand(void **state)
{
    (void)state;
    struct run r;
    const struct config *c =
        run_good(&r, ROUTING("[{\"tag\":\"b\",\"selector\":\"p\"}]",
                             "{\"port\":80,\"outboundTag\":\"z\",\"balancerTag\":\"b\"}"));
    assert_null(c->rules.items[0].balancer);
    assert_int_equal(c->rules.items[0].outbound, 0);
    run_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_selector_takes_prefixes_of_outbounds_and_portals_sorted_by_tag),
        cmocka_unit_test(strategies_have_words_in_any_case),
        cmocka_unit_test(a_fallback_is_an_outbound),
        cmocka_unit_test(mistakes_have_v2rays_words),
        cmocka_unit_test(what_selects_nothing_is_said),
        cmocka_unit_test(a_portal_for_every_inbound_is_warned_about),
        cmocka_unit_test(an_outbound_tag_decides_where_both_stand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
