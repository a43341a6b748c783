#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "reverse/claim.h"

#define PATTERNS(...)                                                                              \
    {                                                                                              \
        .items = (const char *const[]){__VA_ARGS__},                                               \
        .count = sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)                       \
    }

static const struct portal_claim by_card = {.certificate = "gate.example",
                                            .tunnels = PATTERNS("card")},
                                 alice = {.user = "alice",
                                          .tunnels = PATTERNS("web", "team-*", "$ssh"),
                                          .visits = PATTERNS("far"),
                                          .hosts = PATTERNS("a.example", ".b.example"),
                                          .nodes = PATTERNS("n*")},
                                 alice_too = {.user = "alice",
                                              .tenant = "t",
                                              .tunnels = PATTERNS("other"),
                                              .clusters = PATTERNS("c")},
                                 bob = {.user = "bob",
                                        .tenant = "t",
                                        .tunnels = PATTERNS("*"),
                                        .hosts = PATTERNS("*"),
                                        .is_private = true},
                                 alices_card = {.user = "alice",
                                                .certificate = "gate.example",
                                                .tunnels = PATTERNS("web")},
                                 carol = {.user = "carol", .tunnels = PATTERNS("far", "ssh")};

static const struct user users[] = {{.email = "alice"}, {.email = "bob"}, {.email = "carol"}};
enum { ALICE, BOB, CAROL };

static struct meta user(int n)
{
    return (struct meta){.user = &users[n]};
}

static struct portal_conf conf_of(const struct portal_claim **all, size_t count)
{
    qsort(all, count, sizeof *all, claim_compare);
    return (struct portal_conf){.claims = all, .claim_count = count, .has_private = true};
}

static struct portal_conf everybody(void)
{
    static const struct portal_claim *all[5];
    const struct portal_claim *fresh[] = {&carol, &alice, &by_card, &bob, &alice_too};
    memcpy(all, fresh, sizeof all);
    return conf_of(all, 5);
}

/* "tenant/id", with "$" in front when it is private; "-": not his. */
static const char *answer(bool (*ask)(const struct portal_conf *, const struct meta *,
                                      struct tunnel_name *),
                          const struct portal_conf *c, struct meta who, const char *id)
{
    static char text[128];
    struct tunnel_name t = {.by = TUNNEL_BY_ID};
    strcpy(t.text, id);
    if (!ask(c, &who, &t))
        return "-";
    strcpy(text, t.by == TUNNEL_PRIVATE ? "$" : "");
    strcat(strcat(strcat(text, t.tenant ? t.tenant : ""), "/"), t.text);
    return text;
}

static void a_user_serves_what_his_claims_list(void **state)
{
    (void)state;
    struct portal_conf c = everybody();
    assert_string_equal(answer(claim_serves, &c, user(ALICE), "web"), "/web");
    assert_string_equal(answer(claim_serves, &c, user(ALICE), "team-"), "/team-");
    assert_string_equal(answer(claim_serves, &c, user(ALICE), "team-7"), "/team-7");
    assert_string_equal(answer(claim_serves, &c, user(ALICE), "team"), "-");
    assert_string_equal(answer(claim_serves, &c, user(ALICE), "webs"), "-");
    assert_string_equal(answer(claim_serves, &c, user(ALICE), "far"), "-");
    assert_string_equal(answer(claim_serves, &c, user(CAROL), "web"), "-");
    assert_string_equal(answer(claim_serves, &c, (struct meta){0}, "web"), "-");
}

static void a_tunnel_is_of_the_tenant_whose_claim_lists_it(void **state)
{
    (void)state;
    struct portal_conf c = everybody();
    assert_string_equal(answer(claim_serves, &c, user(BOB), "web"), "$t/web");
    assert_string_equal(answer(claim_serves, &c, user(ALICE), "other"), "$t/other"); /* bob's "*" */
    assert_null(claim_tenant(&c, &(struct meta){.user = &users[CAROL]}));
    assert_string_equal(claim_tenant(&c, &(struct meta){.user = &users[BOB]}), "t");
}

static void what_one_claim_calls_private_is_private_for_all(void **state)
{
    (void)state;
    struct portal_conf c = everybody();
    assert_string_equal(answer(claim_serves, &c, user(ALICE), "ssh"), "$/ssh");
    assert_string_equal(answer(claim_serves, &c, user(CAROL), "ssh"), "$/ssh");
    assert_string_equal(answer(claim_visits, &c, user(CAROL), "ssh"), "$/ssh");
    assert_string_equal(answer(claim_serves, &c, user(CAROL), "far"), "/far");
}

static void who_may_visit_need_not_serve(void **state)
{
    (void)state;
    struct portal_conf c = everybody();
    assert_string_equal(answer(claim_visits, &c, user(ALICE), "far"), "/far");
    assert_string_equal(answer(claim_visits, &c, user(ALICE), "web"), "/web");
    assert_string_equal(answer(claim_visits, &c, user(CAROL), "web"), "-");
}

static void a_certificate_has_claims_of_its_own(void **state)
{
    (void)state;
    struct portal_conf c = everybody();
    struct meta who = user(CAROL);
    assert_string_equal(answer(claim_serves, &c, who, "card"), "-");
    who.certificate.shown = true;
    strcpy(who.certificate.name, "gate.example");
    assert_string_equal(answer(claim_serves, &c, who, "card"), "/card");
    assert_string_equal(answer(claim_serves, &c, who, "far"), "/far"); /* and the user's */
    strcpy(who.certificate.name, "other.example");
    assert_string_equal(answer(claim_serves, &c, who, "card"), "-");
}

static void of_user_and_certificate_both_must_hold(void **state)
{
    (void)state;
    const struct portal_claim *all[] = {&alices_card};
    struct portal_conf c = conf_of(all, 1);
    struct meta who = user(ALICE);
    assert_string_equal(answer(claim_serves, &c, who, "web"), "-");
    who.certificate = (struct certificate){.shown = true, .name = "gate.example"};
    assert_string_equal(answer(claim_serves, &c, who, "web"), "/web");
    who.user = &users[BOB];
    assert_string_equal(answer(claim_serves, &c, who, "web"), "-");
}

static void names_of_nodes_and_clusters_are_of_the_tenant(void **state)
{
    (void)state;
    struct portal_conf c = everybody();
    struct meta who = user(ALICE);
    assert_true(claim_names(&c, &who, NULL, TUNNEL_BY_NODE, "n1"));
    assert_false(claim_names(&c, &who, NULL, TUNNEL_BY_NODE, "m1"));
    assert_false(claim_names(&c, &who, "t", TUNNEL_BY_NODE, "n1"));
    assert_true(claim_names(&c, &who, "t", TUNNEL_BY_CLUSTER, "c"));
    assert_false(claim_names(&c, &who, NULL, TUNNEL_BY_CLUSTER, "c"));
}

static bool may_have(const struct portal_conf *c, struct meta who, const char *tenant,
                     const char *host)
{
    struct hostname_pattern p;
    struct err e;
    assert_int_equal(hostname_read_pattern(&p, host, strlen(host), &e), 0);
    return claim_host(c, &who, tenant, &p);
}

static void a_hostname_is_granted_as_far_as_the_claim_goes(void **state)
{
    (void)state;
    struct portal_conf c = everybody();
    assert_true(may_have(&c, user(ALICE), NULL, "A.example."));
    assert_false(may_have(&c, user(ALICE), NULL, "x.a.example"));
    assert_false(may_have(&c, user(ALICE), NULL, ".a.example")); /* more than was claimed */
    assert_true(may_have(&c, user(ALICE), NULL, "b.example"));
    assert_true(may_have(&c, user(ALICE), NULL, "x.y.b.example"));
    assert_true(may_have(&c, user(ALICE), NULL, "*.x.b.example"));
    assert_false(may_have(&c, user(ALICE), NULL, "ab.example"));
    assert_false(may_have(&c, user(ALICE), "t", "b.example"));
    assert_true(may_have(&c, user(BOB), "t", "anything.example"));
    assert_false(may_have(&c, user(CAROL), NULL, "a.example"));
}

static void without_claims_all_but_tenants_and_hostnames_are_free(void **state)
{
    (void)state;
    struct portal_conf c = {.claims = NULL};
    struct meta who = user(ALICE);
    assert_string_equal(answer(claim_serves, &c, who, "web"), "/web");
    assert_string_equal(answer(claim_visits, &c, who, "web"), "/web");
    assert_true(claim_names(&c, &who, NULL, TUNNEL_BY_NODE, "n"));
    assert_false(claim_names(&c, &who, "t", TUNNEL_BY_NODE, "n"));
    assert_false(may_have(&c, who, NULL, "a.example"));
}

static void one_of_ten_thousand_is_found(void **state)
{
    (void)state;
    enum { MANY = 10000 };
    static struct portal_claim claims[MANY];
    static const struct portal_claim *all[MANY];
    static char names[MANY][8];
    static const char *ids[MANY];
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "u%d", i * 7919 % MANY);
        ids[i] = names[i];
        claims[i] =
            (struct portal_claim){.user = names[i], .tunnels = {.items = &ids[i], .count = 1}};
        all[i] = &claims[i];
    }
    struct portal_conf c = conf_of(all, MANY);
    for (int i = 0; i < MANY; i++) {
        struct user u = {.email = names[i]};
        assert_string_equal(answer(claim_serves, &c, (struct meta){.user = &u}, names[i]) + 1,
                            names[i]);
        assert_string_equal(
            answer(claim_serves, &c, (struct meta){.user = &u}, names[(i + 1) % MANY]), "-");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_user_serves_what_his_claims_list),
        cmocka_unit_test(a_tunnel_is_of_the_tenant_whose_claim_lists_it),
        cmocka_unit_test(what_one_claim_calls_private_is_private_for_all),
        cmocka_unit_test(who_may_visit_need_not_serve),
        cmocka_unit_test(a_certificate_has_claims_of_its_own),
        cmocka_unit_test(of_user_and_certificate_both_must_hold),
        cmocka_unit_test(names_of_nodes_and_clusters_are_of_the_tenant),
        cmocka_unit_test(a_hostname_is_granted_as_far_as_the_claim_goes),
        cmocka_unit_test(without_claims_all_but_tenants_and_hostnames_are_free),
        cmocka_unit_test(one_of_ten_thousand_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
