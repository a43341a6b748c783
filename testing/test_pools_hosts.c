/* A portal of a cluster: hostnames are its bridges' once the others agree. */
#include <stdio.h>

#include "routing/claims.h"
#include "testing/pools_rig.h"

/* The others: say what the test wants, and write down what they heard, as "claim web www.alice.example". */
static struct others {
    struct elsewhere elsewhere;
    enum elsewhere_claim says;
    unsigned claims, leaves;
    char heard[256];
} others;

static void note(const char *what, const struct hostname_pattern *host,
                 const struct tunnel_name *holder)
{
    snprintf(others.heard, sizeof others.heard, "%s %s %s%.60s", what, holder->text,
             host->below ? "." : "", host->host.text);
}

static void on_has(struct elsewhere *e, const struct portal_conf *portal,
                   const struct tunnel_name *t, unsigned links)
{
    (void)e, (void)portal, (void)t, (void)links;
}

static enum elsewhere_answer on_send(struct elsewhere *e, struct outbound *portal, struct flow *f,
                                     struct end *seat)
{
    (void)e, (void)portal, (void)f, (void)seat;
    return ELSEWHERE_NOWHERE;
}

static enum elsewhere_claim on_claim(struct elsewhere *e, struct outbound *portal,
                                     const struct hostname_pattern *host,
                                     const struct tunnel_name *holder)
{
    (void)e, (void)portal;
    others.claims++;
    note("claim", host, holder);
    return others.says;
}

static void on_leave(struct elsewhere *e, const struct portal_conf *portal,
                     const struct hostname_pattern *host, const struct tunnel_name *holder)
{
    (void)e, (void)portal;
    others.leaves++;
    note("leave", host, holder);
}

static const struct elsewhere_ops ops = {
    .send = on_send, .has = on_has, .claim = on_claim, .leave = on_leave};

static int open_in_cluster(void **state)
{
    if (pools_open(state) < 0)
        return -1;
    struct test *t = *state;
    others = (struct others){.elsewhere = {.ops = &ops}, .says = ELSEWHERE_GRANTED};
    for (int i = 0; i < 2; i++)
        portal_join_cluster(t->at[i].portal, &others.elsewhere);
    return 0;
}

static struct hostname_pattern pattern(const char *name)
{
    struct hostname_pattern p;
    struct err e;
    assert_int_equal(hostname_read_pattern(&p, name, strlen(name), &e), 0);
    return p;
}

static void decide(struct test *t, const char *host, const char *tunnel, bool granted)
{
    struct tunnel_name holder = {.by = TUNNEL_BY_ID};
    struct hostname_pattern p = pattern(host);
    snprintf(holder.text, sizeof holder.text, "%s", tunnel);
    for (int i = 0; i < 2; i++)
        portal_host_decided(t->at[i].portal, &p, &holder, granted);
    turn(t);
}

/* Whose it is; "": nobody's. */
static const char *holder(struct test *t, const char *host)
{
    static struct tunnel_name found;
    bool is_private;
    struct claims *c = portal_shards_claims(t->shards);
    return claims_find(c, host, loop_steady(), &found, &is_private) ? found.text : "";
}

static int answer(struct test *t, struct far *wire, const char *host)
{
    return host_answer(t, wire, host).host.answer;
}

/* What the bridge was told since, of the last name; 0: nothing. */
static int told(struct test *t, struct far *wire)
{
    struct said *s = hear(&t->at[0], wire);
    int last = 0;
    for (size_t i = 0; i < s->item_count; i++)
        if (s->items[i].type == LINK_HOST_ANSWER)
            last = s->items[i].host.answer;
    return last;
}

static const char www[] = "www.alice.example";

/* --- */

static void a_name_is_a_bridges_once_the_others_agree(void **state)
{
    struct test *t = *state;
    struct far *web = bridge(t, &alice, "web"), *shop = bridge(t, &alice, "shop");
    assert_int_equal(answer(t, web, www), HOST_GRANTED);
    assert_string_equal(others.heard, "claim web www.alice.example");
    assert_string_equal(holder(t, www), "web");
    assert_int_equal(answer(t, shop, www), HOST_TAKEN);
    assert_int_equal(others.claims, 1); /* that can be said here */
    others.says = ELSEWHERE_TAKEN;
    assert_int_equal(answer(t, shop, "*.alice.example"), HOST_TAKEN);
    assert_string_equal(holder(t, "a.alice.example"), "");
    assert_string_equal(others.heard, "leave shop .alice.example");
    others.says = ELSEWHERE_GRANTED;
    assert_int_equal(answer(t, web, ".alice.example"), HOST_GRANTED); /* it lingered not */
}

static void what_is_not_decided_yet_nobody_hears_or_finds(void **state)
{
    struct test *t = *state;
    struct far *web = bridge(t, &alice, "web"), *twin = bridge(t, &alice, "web"),
               *shop = bridge(t, &alice, "shop");
    others.says = ELSEWHERE_LATER;
    assert_int_equal(answer(t, web, www), 0);
    assert_int_equal(answer(t, web, www), 0);
    assert_int_equal(answer(t, twin, www), 0);
    assert_int_equal(answer(t, shop, www), HOST_TAKEN); /* who came first has asked for it */
    assert_string_equal(holder(t, www), "");
    decide(t, www, "web", true);
    assert_int_equal(told(t, web), HOST_GRANTED);
    assert_int_equal(told(t, twin), HOST_GRANTED);
    assert_string_equal(holder(t, www), "web");
    decide(t, www, "web", true);
    assert_int_equal(told(t, web), 0); /* once */
}

static void what_another_tunnel_got_first_is_given_up(void **state)
{
    struct test *t = *state;
    struct far *web = bridge(t, &alice, "web"), *shop = bridge(t, &alice, "shop");
    others.says = ELSEWHERE_LATER;
    assert_int_equal(answer(t, web, www), 0);
    decide(t, www, "web", false);
    assert_int_equal(told(t, web), HOST_TAKEN);
    assert_string_equal(holder(t, www), "");
    assert_string_equal(others.heard, "leave web www.alice.example");
    assert_int_equal(answer(t, shop, www), 0);
    decide(t, www, "shop", true);
    assert_string_equal(holder(t, www), "shop");
}

static void what_was_lost_to_another_tunnel_is_given_up_on_all_links(void **state)
{
    struct test *t = *state;
    struct far *web = bridge(t, &alice, "web"), *twin = bridge(t, &alice, "web");
    assert_int_equal(answer(t, web, www), HOST_GRANTED);
    assert_int_equal(answer(t, twin, www), HOST_GRANTED);
    assert_int_equal(answer(t, twin, "b.alice.example"), HOST_GRANTED);
    unsigned before = others.leaves;
    decide(t, www, "shop", false); /* not theirs */
    assert_int_equal(told(t, web), 0);
    decide(t, www, "web", false);
    assert_int_equal(told(t, web), HOST_TAKEN);
    assert_int_equal(told(t, twin), HOST_TAKEN);
    assert_string_equal(holder(t, www), "");
    assert_string_equal(holder(t, "b.alice.example"), "web");
    assert_int_equal(others.leaves, before + 1);
    assert_int_equal(answer(t, web, www), HOST_GRANTED); /* it may ask again */
}

static void the_others_hear_of_the_last_link_that_leaves(void **state)
{
    struct test *t = *state;
    struct far *web = bridge(t, &alice, "web"), *twin = bridge(t, &alice, "web");
    assert_int_equal(answer(t, web, www), HOST_GRANTED);
    assert_int_equal(answer(t, twin, www), HOST_GRANTED);
    far_leave(web, 0);
    turn(t);
    assert_int_equal(others.leaves, 0);
    far_leave(twin, 0);
    turn(t);
    assert_string_equal(others.heard, "leave web www.alice.example");
    assert_string_equal(holder(t, www), "web"); /* and lingers */
    others.says = ELSEWHERE_LATER;
    web = bridge(t, &alice, "web");
    assert_int_equal(answer(t, web, www), 0);
    assert_string_equal(holder(t, www), "web"); /* is found meanwhile */
    assert_string_equal(others.heard, "claim web www.alice.example");
}

static void who_leaves_before_it_was_decided_has_it_not(void **state)
{
    struct test *t = *state;
    struct far *web = bridge(t, &alice, "web"), *shop = bridge(t, &alice, "shop");
    others.says = ELSEWHERE_LATER;
    assert_int_equal(answer(t, web, www), 0);
    far_leave(web, 0);
    turn(t);
    assert_string_equal(others.heard, "leave web www.alice.example");
    decide(t, www, "web", true);
    assert_string_equal(holder(t, www), "");
    others.says = ELSEWHERE_GRANTED;
    assert_int_equal(answer(t, shop, www), HOST_GRANTED);
}

static void a_name_that_the_portal_gives_needs_no_agreement(void **state)
{
    struct test *t = *state;
    struct far *web = bridge(t, &alice, "web");
    others.says = ELSEWHERE_LATER;
    assert_int_equal(answer(t, web, ""), HOST_GRANTED);
    assert_string_equal(others.heard, "claim web 4b5e57f6eb2f42b9.tunnel.test");
    assert_string_equal(holder(t, "4b5e57f6eb2f42b9.tunnel.test"), "web");
    decide(t, "4b5e57f6eb2f42b9.tunnel.test", "web", true);
    assert_int_equal(told(t, web), 0);
}

static void what_its_claims_do_not_cover_is_not_asked_of_others(void **state)
{
    struct test *t = *state;
    struct far *web = bridge(t, &alice, "web");
    assert_int_equal(answer(t, web, "www.bob.example"), HOST_NOT_ALLOWED);
    assert_int_equal(answer(t, web, "no host"), HOST_INVALID);
    assert_int_equal(others.claims, 0);
}

#define CLUSTER_TEST(name) cmocka_unit_test_setup_teardown(name, open_in_cluster, pools_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLUSTER_TEST(a_name_is_a_bridges_once_the_others_agree),
        CLUSTER_TEST(what_is_not_decided_yet_nobody_hears_or_finds),
        CLUSTER_TEST(what_another_tunnel_got_first_is_given_up),
        CLUSTER_TEST(what_was_lost_to_another_tunnel_is_given_up_on_all_links),
        CLUSTER_TEST(the_others_hear_of_the_last_link_that_leaves),
        CLUSTER_TEST(who_leaves_before_it_was_decided_has_it_not),
        CLUSTER_TEST(a_name_that_the_portal_gives_needs_no_agreement),
        CLUSTER_TEST(what_its_claims_do_not_cover_is_not_asked_of_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
