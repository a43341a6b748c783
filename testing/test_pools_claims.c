/* A portal with many tunnels: who may have what of it. */
#include <stdio.h>

#include "routing/claims.h"
#include "testing/pools_rig.h"

static const struct portal_claim less = {.user = "alice", .tunnels = PATTERNS("shop")},
                                 one_host = {.user = "bob",
                                             .tenant = "b",
                                             .tunnels = PATTERNS("*"),
                                             .hosts = PATTERNS("kept.example")};

/* --- who may have what --- */

static void who_asks_for_a_tunnel_that_is_not_his_hears_why(void **state)
{
    struct test *t = *state;
    struct far *wire = bridge(t, &alice, "foreign");
    assert_int_equal(rig_stat(&t->at[0].rig, STAT_carriers_refused), 1);
    assert_told(t, wire, "no claim of its user covers the tunnel \"foreign\"");
    assert_told(t, bridge(t, &alice, "a!b"), "no tunnel can have the id \"a!b\"");
    assert_int_equal(rig_stat(&t->at[0].rig, PORTAL_CARRIERS), 0);
    assert_int_equal(t->shards->tunnels.count, 0);
}

static void who_may_be_no_bridge_here_hears_that(void **state)
{
    struct test *t = *state;
    static const char *const listed[] = {"bob"};
    t->at[0].conf.users = listed;
    t->at[0].conf.user_count = 1;
    assert_told(t, bridge(t, &alice, "web"), "its user may not be a bridge here, nor have \"web\"");
    assert_int_equal(rig_stat(&t->at[0].rig, PORTAL_CARRIERS), 0);
    bridge(t, &bob, "web");
    assert_int_equal(rig_stat(&t->at[0].rig, PORTAL_CARRIERS), 1);
}

static void an_old_bridge_that_is_refused_sees_its_link_end(void **state)
{
    struct test *t = *state;
    struct far *f = portal_asked(&t->at[0], "foreign.tunnel.test",
                                 (struct meta){.net = NET_TCP, .user = &alice, .by_rule = true});
    turn(t);
    wait_for(t, 3.5);
    assert_true(f->left && !f->failed);
}

static void nobody_becomes_a_bridge_without_a_rule_or_a_user(void **state)
{
    struct test *t = *state;
    static const struct meta refused[] = {
        {.net = NET_TCP, .user = &alice},
        {.net = NET_TCP, .by_rule = true},
        {.net = NET_TCP, .user = &guest, .by_rule = true},
        {.net = NET_TCP, .user = &alice, .by_rule = true, .guessed = true},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct far *f = portal_asked(&t->at[0], "web.tunnel.test", refused[i]);
        turn(t);
        assert_true(f->failed);
        assert_int_equal(f->len, 0);
    }
}

static void without_claims_a_tunnel_is_whose_it_was_first(void **state)
{
    struct test *t = *state;
    t->at[0].conf.claims = NULL;
    t->at[0].conf.claim_count = 0;
    struct far *web = bridge(t, &alice, "web");
    assert_told(t, bridge(t, &bob, "web"), "another user has the tunnel \"web\"");
    far_leave(web, 0);
    turn(t);
    assert_told(t, bridge(t, &bob, "web"), "another user has the tunnel \"web\"");
    wait_for(t, 75);
    struct far *bobs_web = bridge(t, &bob, "web");
    visit(t, "web");
    assert_int_equal(streams(t, bobs_web), 1);
}

static void tenants_never_mix(void **state)
{
    struct test *t = *state;
    struct far *of_a = bridge(t, &alice, "web"), *of_b = bridge(t, &bob, "web");
    say_names(t, of_a, "n1", "west", "", 1);
    say_names(t, of_b, "n1", "west", "b", 1);
    for (int by = TUNNEL_BY_ID; by <= TUNNEL_BY_CLUSTER; by++) {
        const char *name = by == TUNNEL_BY_ID ? "web" : by == TUNNEL_BY_NODE ? "n1" : "west";
        for (int i = 0; i < 3; i++)
            visitor(t, (enum tunnel_by)by, NULL, name);
        assert_int_equal(streams(t, of_a), 3);
        assert_int_equal(streams(t, of_b), 0);
        for (int i = 0; i < 3; i++)
            visitor(t, (enum tunnel_by)by, "b", name);
        assert_int_equal(streams(t, of_b), 3);
        assert_int_equal(streams(t, of_a), 0);
    }
}

static void who_says_another_tenant_node_or_cluster_is_rejected(void **state)
{
    struct test *t = *state;
    struct far *f = bridge(t, &alice, "web");
    say_names(t, f, "", "", "b", 1);
    assert_told(t, f, "its user is not of the tenant \"b\"");
    f = bridge(t, &alice, "web");
    say_names(t, f, "n", "east", "", 1);
    assert_told(t, f, "no claim of its user covers the cluster \"east\"");
    visit(t, "web");
    assert_int_equal(streams(t, f), 0);
}

static void other_claims_reject_what_they_do_not_cover(void **state)
{
    struct test *t = *state;
    static const struct portal_claim *const fewer[] = {&less, &bobs_claim};
    struct far *web = bridge(t, &alice, "web"), *shop = bridge(t, &alice, "shop"),
               *other = bridge(t, &bob, "x");
    struct portal_conf conf = t->at[0].conf;
    conf.claims = fewer;
    conf.claim_count = 2;
    hear(&t->at[0], web);
    portal_adopt(t->at[0].portal, &conf);
    turn(t);
    assert_told(t, web, "no claim of its user covers the tunnel \"web\"");
    visit(t, "shop"), visitor(t, TUNNEL_BY_ID, "b", "x");
    assert_int_equal(streams(t, shop), 1);
    assert_int_equal(streams(t, other), 1);
    portal_adopt(t->at[0].portal, &t->at[0].conf);
}

/* --- private tunnels --- */

static void only_who_may_name_it_reaches_a_private_tunnel(void **state)
{
    struct test *t = *state;
    struct far *ssh = bridge(t, &alice, "ssh");
    wait_for(t, 11);
    assert_true(visit(t, "ssh")->failed);
    assert_true(visitor(t, TUNNEL_PRIVATE, NULL, "ssh")->failed);
    assert_true(names(t, NULL, "ssh.tunnel.test", 22)->failed);
    assert_true(names(t, &bob, "ssh.tunnel.test", 22)->failed); /* to him it is his own */
    assert_int_equal(streams(t, ssh), 0);
    assert_false(names(t, &alice, "ssh.tunnel.test", 22)->failed);
    assert_false(names(t, &guest, "SSH.tunnel.test.", 2222)->failed);
    assert_int_equal(streams(t, ssh), 2);
    assert_true(names(t, &guest, "web.tunnel.test", 80)->failed);
}

static void a_private_tunnel_has_no_other_names(void **state)
{
    struct test *t = *state;
    struct far *ssh = bridge(t, &alice, "ssh");
    say_names(t, ssh, "n1", "west", "", 1);
    wait_for(t, 11);
    assert_true(visitor(t, TUNNEL_BY_NODE, NULL, "n1")->failed);
    assert_true(visitor(t, TUNNEL_BY_CLUSTER, NULL, "west")->failed);
    far_say_item(ssh, &(struct link_item){.type = LINK_HOST, .host = {.name = text("")}});
    turn(t);
    struct said *s = hear(&t->at[0], ssh);
    assert_int_equal(s->new_count, 0);
    assert_int_equal(heard_items(s, LINK_HOST_ANSWER), 1);
    assert_int_equal(claims_count(portal_shards_claims(t->shards)), 0);
}

static void behind_the_tunnel_its_id_is_the_target(void **state)
{
    struct test *t = *state;
    struct far *ssh = bridge(t, &alice, "ssh");
    struct mux_frame f = {0};
    const uint8_t *data;
    hear(&t->at[0], ssh);
    names(t, &alice, "ssh.tunnel.test", 22);
    while (f.status != MUX_NEW)
        assert_true(far_next_frame(ssh, &f, &data));
    assert_string_equal(f.target.name, "ssh");
    assert_int_equal(f.target.port, 22);
}

static void no_id_means_more_behind_the_tunnel(void **state)
{
    struct test *t = *state;
    static const char *const ids[] = {"reverse", "Reverse.internal.V2fly.org", "v1.mux.cool"};
    char host[64], why[96];
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        snprintf(host, sizeof host, "%s.tunnel.test", ids[i]);
        assert_true(names(t, &bob, host, 80)->failed);
        snprintf(why, sizeof why, "no tunnel can have the id \"%s\"", ids[i]);
        for (char *c = why; *c; c++)
            *c = *c == 'R' ? 'r' : *c == 'V' ? 'v' : *c;
        assert_told(t, bridge(t, &bob, ids[i]), why);
    }
    assert_int_equal(t->shards->tunnels.count, 0);
}

/* --- hostnames --- */

static void hostnames_are_granted_by_claims_to_the_first(void **state)
{
    struct test *t = *state;
    struct far *web = bridge(t, &alice, "web"), *shop = bridge(t, &alice, "shop"),
               *twin = bridge(t, &alice, "web");
    assert_int_equal(host_answer(t, web, "WWW.alice.example").host.answer, HOST_GRANTED);
    assert_int_equal(host_answer(t, web, "www.alice.example").host.answer, HOST_GRANTED);
    assert_int_equal(host_answer(t, twin, "www.alice.example").host.answer, HOST_GRANTED);
    assert_int_equal(host_answer(t, shop, "www.alice.example").host.answer, HOST_TAKEN);
    assert_int_equal(host_answer(t, shop, "www.bob.example").host.answer, HOST_NOT_ALLOWED);
    assert_int_equal(host_answer(t, shop, "no host").host.answer, HOST_INVALID);
    assert_int_equal(host_answer(t, shop, "*.alice.example").host.answer, HOST_GRANTED);
    struct tunnel_name holder;
    bool is_private;
    assert_true(claims_find(portal_shards_claims(t->shards), "www.alice.example", loop_steady(),
                            &holder, &is_private));
    assert_string_equal(holder.text, "web");
    far_leave(web, 0), far_leave(twin, 0);
    turn(t);
    assert_int_equal(host_answer(t, shop, "www.alice.example").host.answer, HOST_TAKEN);
    wait_for(t, 61);
    assert_int_equal(host_answer(t, shop, "www.alice.example").host.answer, HOST_GRANTED);
}

static void a_bridge_without_a_hostname_gets_one(void **state)
{
    struct test *t = *state;
    struct link_item a = host_answer(t, bridge(t, &alice, "web"), "");
    static const char name[] = "4b5e57f6eb2f42b9.tunnel.test"; /* of SHA-256("web") */
    assert_int_equal(a.host.answer, HOST_GRANTED);
    assert_int_equal(a.host.name.len, sizeof name - 1);
    char got[64];
    snprintf(got, sizeof got, "%.*s", (int)a.host.name.len, a.host.name.p);
    assert_string_equal(got, name);
    struct link_item b = host_answer(t, bridge(t, &bob, "web"), "");
    assert_int_equal(b.host.answer, HOST_GRANTED); /* another tenant's is another tunnel */
    assert_memory_not_equal(b.host.name.p, name, 16);
}

static void other_claims_take_hostnames_away(void **state)
{
    struct test *t = *state;
    static const struct portal_claim *const fewer[] = {&one_host};
    struct claims *held = portal_shards_claims(t->shards);
    struct far *f = bridge(t, &bob, "x");
    struct link_item own = host_answer(t, f, "");
    char name[64], below[66];
    snprintf(name, sizeof name, "%.*s", (int)own.host.name.len, own.host.name.p);
    snprintf(below, sizeof below, ".%s", name);
    assert_int_equal(host_answer(t, f, below).host.answer, HOST_GRANTED);
    assert_int_equal(host_answer(t, f, "kept.example").host.answer, HOST_GRANTED);
    assert_int_equal(host_answer(t, f, "lost.example").host.answer, HOST_GRANTED);
    struct portal_conf conf = t->at[0].conf;
    conf.claims = fewer;
    conf.claim_count = 1;
    portal_adopt(t->at[0].portal, &conf);
    turn(t);
    struct said *s = hear(&t->at[0], f);
    assert_int_equal(heard_items(s, LINK_HOST_ANSWER), 2);
    assert_false(f->left);
    wait_for(t, 61);
    struct tunnel_name holder;
    bool is_private;
    assert_false(claims_find(held, "lost.example", loop_steady(), &holder, &is_private));
    assert_true(claims_find(held, "kept.example", loop_steady(), &holder, &is_private));
    assert_true(claims_find(held, name, loop_steady(), &holder, &is_private));
    snprintf(below, sizeof below, "a.%s", name);
    assert_false(claims_find(held, below, loop_steady(), &holder, &is_private));
    portal_adopt(t->at[0].portal, &t->at[0].conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        POOLS_TEST(who_asks_for_a_tunnel_that_is_not_his_hears_why),
        POOLS_TEST(who_may_be_no_bridge_here_hears_that),
        POOLS_TEST(an_old_bridge_that_is_refused_sees_its_link_end),
        POOLS_TEST(nobody_becomes_a_bridge_without_a_rule_or_a_user),
        POOLS_TEST(without_claims_a_tunnel_is_whose_it_was_first),
        POOLS_TEST(tenants_never_mix),
        POOLS_TEST(who_says_another_tenant_node_or_cluster_is_rejected),
        POOLS_TEST(other_claims_reject_what_they_do_not_cover),
        POOLS_TEST(only_who_may_name_it_reaches_a_private_tunnel),
        POOLS_TEST(a_private_tunnel_has_no_other_names),
        POOLS_TEST(behind_the_tunnel_its_id_is_the_target),
        POOLS_TEST(no_id_means_more_behind_the_tunnel),
        POOLS_TEST(hostnames_are_granted_by_claims_to_the_first),
        POOLS_TEST(a_bridge_without_a_hostname_gets_one),
        POOLS_TEST(other_claims_take_hostnames_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
