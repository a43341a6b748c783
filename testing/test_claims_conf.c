#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "testing/conf_rig.h"

#define PORTAL(more) "{\"reverse\":{\"portals\":[{\"tag\":\"p\",\"domain\":\"*.t.test\"" more "}]}}"
#define CLAIMS(list, more) PORTAL(",\"claims\":[" list "]" more)

static const struct portal_conf *portal_of(const struct run *r)
{
    assert_non_null(r->config);
    return r->config->outbounds[r->config->outbound_count - 1].portal;
}

static void claims_are_sorted_by_user_and_in_normal_form(void **state)
{
    (void)state;
    struct run r = run_text(CLAIMS(
        "{\"user\":\"z\",\"tunnels\":[\"Web\",\"TEAM-*\",\"*\",\"$SSH\"],\"tenant\":\"Acme\"},"
        "{\"user\":\"a\",\"hosts\":[\"*.Example.COM\",\"a.example.\",\"*\",\"Bücher.example\"],"
        "\"nodes\":\"N1,n2\"},"
        "{\"certificate\":\"gate\",\"clusters\":[\"c\"],\"visits\":[\"v*\"]}",
        ""));
    const struct portal_conf *p = portal_of(&r);
    assert_int_equal(p->claim_count, 3);
    assert_null(p->claims[0]->user);
    assert_string_equal(p->claims[0]->certificate, "gate");
    assert_string_equal(p->claims[0]->visits.items[0], "v*");
    assert_string_equal(p->claims[1]->user, "a");
    assert_string_equal(p->claims[1]->hosts.items[0], ".example.com");
    assert_string_equal(p->claims[1]->hosts.items[1], "a.example");
    assert_string_equal(p->claims[1]->hosts.items[2], "*");
    assert_string_equal(p->claims[1]->hosts.items[3], "xn--bcher-kva.example");
    assert_string_equal(p->claims[1]->nodes.items[1], "n2");
    const struct portal_claim *z = p->claims[2];
    assert_string_equal(z->tenant, "acme");
    assert_string_equal(z->tunnels.items[0], "web");
    assert_string_equal(z->tunnels.items[1], "team-*");
    assert_string_equal(z->tunnels.items[2], "*");
    assert_string_equal(z->tunnels.items[3], "$ssh");
    assert_true(p->has_private);
    run_free(&r);
}

static void what_is_not_said_has_its_default(void **state)
{
    (void)state;
    struct run r = run_text(PORTAL(""));
    const struct portal_conf *p = portal_of(&r);
    assert_null(p->claims);
    assert_int_equal(p->choice, CHOICE_LEAST_LOAD);
    assert_int_equal(p->max_tunnels, 100000);
    run_free(&r);
    r = run_text(PORTAL(",\"choice\":\"sourceHash\",\"maxTunnels\":5"));
    p = portal_of(&r);
    assert_int_equal(p->choice, CHOICE_SOURCE_HASH);
    assert_int_equal(p->max_tunnels, 5);
    run_free(&r);
}

static void wrong_claims_are_named_where_they_stand(void **state)
{
    (void)state;
    static const struct {
        const char *claim, *said;
    } wrong[] = {
        {"{\"tunnels\":[\"a\"]}", "/reverse/portals/0/claims/0: error: want \"user\" or"},
        {"{\"user\":\"u\",\"tunnels\":[\"a\",\"b c\"]}", "/claims/0/tunnels/1: error: want a name"},
        {"{\"user\":\"u\",\"tunnels\":[\"$\"]}", "/claims/0/tunnels/0: error: want a name"},
        {"{\"user\":\"u\",\"tunnels\":[\"a*b\"]}", "/claims/0/tunnels/0: error: want a name"},
        {"{\"user\":\"u\",\"visits\":[\"$a\"]}", "/claims/0/visits/0: error: want a name"},
        {"{\"user\":\"u\",\"hosts\":[\"a.b:80\"]}", "/claims/0/hosts/0: error: want a hostname"},
        {"{\"user\":\"u\",\"hosts\":[\"a b\"]}", "/claims/0/hosts/0: error: want a hostname"},
        {"{\"user\":\"u\",\"tenant\":\"a/b\"}", "/claims/0/tenant: error: want 1 to 63 letters"},
        {"{\"user\":\"u\",\"nodes\":[]}", "/claims/0/nodes: error: want at least one"},
        {"", "/reverse/portals/0/claims: error: want at least one"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char text[512];
        snprintf(text, sizeof text, CLAIMS("%s", ""), wrong[i].claim);
        struct run r = run_text(text);
        if (!strstr(r.said, wrong[i].said))
            print_error("want: %s\ngot: %s", wrong[i].said, r.said);
        assert_non_null(strstr(r.said, wrong[i].said));
        assert_null(r.config);
        run_free(&r);
    }
}

static struct digest digest_of(const char *text)
{
    struct run r = run_text(text);
    assert_non_null(r.config);
    struct digest d = r.config->outbounds[r.config->outbound_count - 1].digest;
    run_free(&r);
    return d;
}

/* So a reload keeps the portal, and its links. */
static void other_claims_make_no_other_portal(void **state)
{
    (void)state;
    struct digest d = digest_of(PORTAL(""));
    static const char *const same[] = {
        CLAIMS("{\"user\":\"a\"}", ""), CLAIMS("{\"user\":\"b\"}", ",\"maxTunnels\":7"),
        PORTAL(",\"Choice\":\"roundRobin\""), PORTAL(",\"claims\":null")};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        struct digest other = digest_of(same[i]);
        assert_true(digest_equal(&d, &other));
    }
    struct digest other = digest_of(PORTAL(",\"users\":[\"a\"]"));
    assert_false(digest_equal(&d, &other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(claims_are_sorted_by_user_and_in_normal_form),
        cmocka_unit_test(what_is_not_said_has_its_default),
        cmocka_unit_test(wrong_claims_are_named_where_they_stand),
        cmocka_unit_test(other_claims_make_no_other_portal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
