#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "reverse/carrier.h"
#include "routing/claims.h"
#include "testing/clock.h"
#include "testing/portal_rig.h"

/* A portal with many tunnels, on two loops that one thread turns. */
struct test {
    struct portal_rig at[2];
    struct portal_shards *shards;
};

#define PATTERNS(...)                                                                              \
    {                                                                                              \
        .items = (const char *const[]){__VA_ARGS__},                                               \
        .count = sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)                       \
    }

static const struct user alice = {.email = "alice", .traffic = {-1, -1}, .may_link = true},
                         bob = {.email = "bob", .traffic = {-1, -1}, .may_link = true},
                         guest = {.email = "guest", .traffic = {-1, -1}};

static const struct portal_claim alices = {.user = "alice",
                                           .tunnels = PATTERNS("web", "shop", "$ssh"),
                                           .hosts = PATTERNS(".alice.example"),
                                           .nodes = PATTERNS("*"),
                                           .clusters = PATTERNS("west")},
                                 bobs = {.user = "bob",
                                         .tenant = "b",
                                         .tunnels = PATTERNS("*"),
                                         .hosts = PATTERNS("*"),
                                         .nodes = PATTERNS("*"),
                                         .clusters = PATTERNS("*")},
                                 less = {.user = "alice", .tunnels = PATTERNS("shop")},
                                 one_host = {.user = "bob",
                                             .tenant = "b",
                                             .tunnels = PATTERNS("*"),
                                             .hosts = PATTERNS("kept.example")},
                                 guests = {.user = "guest", .visits = PATTERNS("ssh")},
                                 *const claims[] = {&alices, &bobs, &guests};

static void portal_begin(struct test *t, int loop)
{
    struct portal_rig *r = &t->at[loop];
    portal_rig_init(r, t->shards, (unsigned)loop);
    portal_rig_stop(r);
    r->conf.domain = "*.Tunnel.Test";
    r->conf.users = NULL;
    r->conf.user_count = 0;
    r->conf.max_tunnels = 1000;
    r->conf.claims = claims;
    r->conf.claim_count = 3;
    r->conf.has_private = true;
    r->portal = portal_new(&r->rig.loop, &r->conf, t->shards);
    assert_non_null(r->portal);
}

static int test_open(void **state)
{
    struct test *t = calloc(1, sizeof *t);
    if (!t)
        return -1;
    t->shards = portal_shards_new(2);
    portal_begin(t, 0);
    portal_begin(t, 1);
    *state = t;
    return 0;
}

static void turn(struct test *t)
{
    for (int i = 0; i < 8; i++)
        rig_turn(&t->at[i % 2].rig);
}

static int test_close(void **state)
{
    struct test *t = *state;
    for (int i = 0; i < 2; i++)
        portal_rig_stop(&t->at[i]);
    for (int i = 0; i < 2; i++)
        for (struct far *f = t->at[i].rig.fars; f; f = f->next)
            if (!f->left)
                far_leave(f, ECANCELED);
    turn(t);
    bool none = t->shards->tunnels.count == 0 && t->shards->carriers == 0;
    bool clean[] = {portal_rig_fini(&t->at[0]), portal_rig_fini(&t->at[1])};
    portal_shards_free(t->shards);
    free(t);
    return clean[0] && clean[1] && none ? 0 : -1;
}

static struct portal *portal_at(struct test *t, int loop)
{
    return container_of(t->at[loop].portal, struct portal, out);
}

/* Both loops; bridges speak meanwhile. */
static void wait_for(struct test *t, double seconds)
{
    static const double STEP = 0.5;
    for (; seconds > 0; seconds -= STEP) {
        clock_forward(STEP);
        for (int i = 0; i < 2; i++)
            for (size_t n = 0; n < t->at[i].bridge_count; n++)
                if (!t->at[i].bridges[n]->left && !t->at[i].bridges[n]->refuses)
                    far_say_frame(t->at[i].bridges[n], &(struct mux_frame){.status = MUX_KEEPALIVE},
                                  NULL);
        turn(t);
    }
}

/* --- bridges and visitors --- */

static struct far *bridge_to(struct test *t, int loop, const struct user *u, const char *domain,
                             uint64_t instance)
{
    struct portal_rig *r = &t->at[loop];
    struct far *f =
        portal_asked(r, domain, (struct meta){.net = NET_TCP, .user = u, .by_rule = true});
    assert_true(r->bridge_count < BRIDGES_MAX);
    r->bridges[r->bridge_count++] = f;
    if (!f->failed)
        far_say_item(f, &(struct link_item){.type = LINK_HELLO,
                                            .hello = {.version = LINK_VERSION,
                                                      .datagram_max = BUF_DATA,
                                                      .features = LINK_FEATURES,
                                                      .window = 64 * 1024,
                                                      .streams = 8192,
                                                      .instance = instance}});
    turn(t);
    return f;
}

static struct far *bridge(struct test *t, const struct user *u, const char *id)
{
    static uint64_t instance;
    char domain[128];
    snprintf(domain, sizeof domain, "%s.tunnel.test", id);
    return bridge_to(t, 0, u, domain, ++instance);
}

static struct link_text text(const char *s)
{
    return (struct link_text){.p = s, .len = (uint8_t)strlen(s)};
}

static void say_names(struct test *t, struct far *f, const char *node, const char *cluster,
                      const char *tenant, uint8_t weight)
{
    far_say_item(f, &(struct link_item){.type = LINK_NAMES,
                                        .names = {.weight = weight,
                                                  .node = text(node),
                                                  .cluster = text(cluster),
                                                  .tenant = text(tenant)}});
    turn(t);
}

static struct far *visitor_from(struct test *t, int loop, enum tunnel_by by, const char *tenant,
                                const char *name, const char *source)
{
    struct meta m = {.net = NET_TCP, .tunnel = {.tenant = tenant, .by = (uint8_t)by}};
    struct err e;
    strcpy(m.tunnel.text, name);
    if (source)
        assert_int_equal(addr_parse_host(&m.source, source, strlen(source), &e), 0);
    struct far *f = portal_asked(&t->at[loop], "site.example", m);
    turn(t);
    return f;
}

static struct far *visitor(struct test *t, enum tunnel_by by, const char *tenant, const char *name)
{
    return visitor_from(t, 0, by, tenant, name, NULL);
}

static struct far *visit(struct test *t, const char *id)
{
    return visitor(t, TUNNEL_BY_ID, NULL, id);
}

static unsigned streams(struct test *t, struct far *wire)
{
    turn(t);
    return hear(&t->at[0], wire)->new_count;
}

/* --- by id --- */

static void a_visitor_gets_a_bridge_of_his_tunnel(void **state)
{
    struct test *t = *state;
    struct far *web = bridge(t, &alice, "WEB"), *shop = bridge(t, &alice, "shop");
    visit(t, "web"), visit(t, "web"), visit(t, "shop");
    assert_int_equal(streams(t, web), 2);
    assert_int_equal(streams(t, shop), 1);
}

static void a_tunnel_that_nobody_heard_of_is_refused_at_once(void **state)
{
    struct test *t = *state;
    wait_for(t, 11);
    struct far *f = visit(t, "web");
    assert_true(f->failed);
    assert_string_equal(f->why, "no such tunnel");
    assert_int_equal(t->shards->tunnels.count, 0);
}

static void a_portal_that_just_began_lets_visitors_wait_for_any_tunnel(void **state)
{
    struct test *t = *state;
    struct far *served = visit(t, "web"), *in_vain = visit(t, "other");
    assert_false(served->left || in_vain->left);
    struct far *web = bridge(t, &alice, "web");
    assert_int_equal(streams(t, web), 1);
    wait_for(t, 3.5);
    assert_true(in_vain->failed);
    assert_string_equal(in_vain->why, "no bridge is connected");
}

static void what_visitors_wait_for_in_vain_leaves_bridges_room(void **state)
{
    struct test *t = *state;
    t->at[0].conf.max_tunnels = 8;
    char id[16];
    for (int i = 0; i < 8; i++) {
        snprintf(id, sizeof id, "no%d", i);
        visitor(t, TUNNEL_BY_NODE, NULL, id);
    }
    assert_int_equal(t->shards->tunnels.count, 4);
    struct far *web = bridge(t, &alice, "web");
    visit(t, "web");
    assert_int_equal(streams(t, web), 1);
}

static void a_tunnel_without_bridges_is_waited_for_for_a_minute(void **state)
{
    struct test *t = *state;
    wait_for(t, 11);
    far_leave(bridge(t, &alice, "web"), 0);
    turn(t);
    wait_for(t, 50);
    struct far *waits = visit(t, "web");
    assert_false(waits->left);
    struct far *web = bridge(t, &alice, "web");
    assert_int_equal(streams(t, web), 1);
    far_leave(web, 0);
    turn(t);
    wait_for(t, 55);
    waits = visit(t, "web");
    assert_false(waits->left);
    wait_for(t, 5.5);
    struct far *late = visit(t, "web");
    assert_true(late->failed);
    assert_string_equal(late->why, "no such tunnel");
}

static void a_tunnel_that_is_gone_for_long_takes_no_memory(void **state)
{
    struct test *t = *state;
    struct far *web = bridge(t, &alice, "web");
    say_names(t, web, "n1", "west", "", 1);
    assert_int_equal(t->shards->tunnels.count, 3);
    far_leave(web, 0);
    turn(t);
    visitor_from(t, 1, TUNNEL_BY_ID, NULL, "web", NULL); /* there, too, it is known */
    assert_int_equal(portal_at(t, 1)->pools.count, 1);
    wait_for(t, 140);
    assert_int_equal(portal_at(t, 0)->pools.count, 0);
    assert_int_equal(portal_at(t, 1)->pools.count, 0);
    assert_int_equal(t->shards->tunnels.count, 0);
}

static void no_more_tunnels_than_allowed(void **state)
{
    struct test *t = *state;
    t->at[0].conf.max_tunnels = 3;
    char id[16];
    for (int i = 0; i < 3; i++) {
        snprintf(id, sizeof id, "t%d", i);
        assert_false(bridge(t, &bob, id)->failed);
    }
    assert_int_equal(rig_stat(&t->at[0].rig, PORTAL_CARRIERS), 3);
    struct said *s = hear(&t->at[0], bridge(t, &bob, "t3"));
    assert_int_equal(heard_items(s, LINK_WHY), 1);
    bridge(t, &bob, "t0"); /* one more for one that is there */
    assert_int_equal(rig_stat(&t->at[0].rig, PORTAL_CARRIERS), 4);
}

/* --- who may have what --- */

static void assert_told(struct test *t, struct far *wire, const char *why)
{
    struct said *s = hear(&t->at[0], wire);
    const struct link_item *told = NULL, *going = NULL;
    for (unsigned i = 0; i < s->item_count; i++) {
        told = s->items[i].type == LINK_WHY ? &s->items[i] : told;
        going = s->items[i].type == LINK_GOAWAY ? &s->items[i] : going;
    }
    assert_non_null(told);
    assert_non_null(going);
    assert_int_equal(told->why.len, strlen(why));
    assert_memory_equal(told->why.p, why, told->why.len);
    assert_int_equal(going->going.reason, GOING_REFUSED);
    assert_int_equal(going->going.wait, 10000);
    assert_int_equal(s->new_count, 0);
    wait_for(t, 3);
    assert_true(wire->left && !wire->failed);
}

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
    static const struct portal_claim *const fewer[] = {&less, &bobs};
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

static struct far *names(struct test *t, const struct user *u, const char *host, uint16_t port)
{
    struct far *f = far_new(&t->at[0].rig);
    struct meta m = {.net = NET_TCP, .user = u, .inbound_tag = "door"};
    struct err e;
    assert_int_equal(addr_parse_host(&m.target, host, strlen(host), &e), 0);
    m.target.port = port;
    t->at[0].portal->ops->open(t->at[0].portal, far_flow(&t->at[0].rig, f, &m));
    turn(t);
    return f;
}

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

/* --- by node, by cluster --- */

static void a_node_and_a_cluster_are_reached_by_name(void **state)
{
    struct test *t = *state;
    struct far *one = bridge(t, &alice, "web"), *other = bridge(t, &alice, "shop");
    say_names(t, one, "n1", "west", "", 1);
    say_names(t, other, "n2", "west", "", 1);
    visitor(t, TUNNEL_BY_NODE, NULL, "n2");
    assert_int_equal(streams(t, other), 1);
    for (int i = 0; i < 7; i++)
        visitor(t, TUNNEL_BY_CLUSTER, NULL, "west");
    assert_int_equal(streams(t, one), 4);
    assert_int_equal(streams(t, other), 3);
    say_names(t, other, "n3", "", "", 1); /* it stays what it was */
    visitor(t, TUNNEL_BY_NODE, NULL, "n2");
    assert_int_equal(streams(t, other), 1);
}

static void the_nodes_of_a_cluster_share_its_visitors_however_many_links_they_have(void **state)
{
    struct test *t = *state;
    struct far *wires[5];
    unsigned first = 0;
    for (int i = 0; i < 5; i++) {
        wires[i] = bridge(t, &alice, "web");
        say_names(t, wires[i], i < 4 ? "n1" : "n2", "west", "", 1);
    }
    for (int i = 0; i < 20; i++)
        visitor(t, TUNNEL_BY_CLUSTER, NULL, "west");
    for (int i = 0; i < 4; i++)
        first += streams(t, wires[i]);
    assert_int_equal(first, 10);
}

static void a_stream_of_a_cluster_is_tried_again_in_the_cluster(void **state)
{
    struct test *t = *state;
    struct far *one = bridge(t, &alice, "web"), *other = bridge(t, &alice, "shop"),
               *stranger = bridge(t, &alice, "web");
    say_names(t, one, "n1", "west", "", 1);
    struct far *v = visitor(t, TUNNEL_BY_CLUSTER, NULL, "west");
    assert_int_equal(streams(t, one), 1);
    say_names(t, other, "n2", "west", "", 1);
    far_leave(one, ECONNRESET);
    assert_int_equal(streams(t, other), 1);
    assert_int_equal(streams(t, stranger), 0);
    assert_false(v->failed);
}

/* --- choice --- */

static void weights_divide_the_load(void **state)
{
    struct test *t = *state;
    struct far *a = bridge(t, &alice, "web"), *b = bridge(t, &alice, "web");
    say_names(t, a, "", "", "", 3);
    say_names(t, b, "", "", "", 1);
    for (int i = 0; i < 40; i++)
        visit(t, "web");
    assert_int_equal(streams(t, a), 30);
    assert_int_equal(streams(t, b), 10);
}

static void a_weight_of_255_takes_over_and_one_of_0_takes_what_nobody_else_does(void **state)
{
    struct test *t = *state;
    for (int choice = CHOICE_LEAST_LOAD; choice <= CHOICE_SOURCE_HASH; choice++) {
        char id[] = {'t', (char)('0' + choice), '\0'};
        t->at[0].conf.choice = (enum portal_choice)choice;
        struct far *usual = bridge(t, &bob, id), *all = bridge(t, &bob, id),
                   *none = bridge(t, &bob, id);
        say_names(t, all, "", "", "", 255);
        say_names(t, none, "", "", "", 0);
        for (int i = 0; i < 6; i++)
            visitor(t, TUNNEL_BY_ID, "b", id);
        assert_int_equal(streams(t, all), 6);
        far_say_item(all, &(struct link_item){.type = LINK_WEIGHT, .weight = 0});
        turn(t);
        for (int i = 0; i < 6; i++)
            visitor(t, TUNNEL_BY_ID, "b", id);
        assert_int_equal(streams(t, usual), 6);
        far_leave(usual, 0), far_leave(all, 0);
        turn(t);
        visitor(t, TUNNEL_BY_ID, "b", id);
        assert_int_equal(streams(t, none), 13); /* with those that had no answer there */
        far_leave(none, 0);
        turn(t);
    }
}

/* Two of three in a row would be "aab": smooth is "aba". */
static void round_robin_takes_turns_smoothly(void **state)
{
    struct test *t = *state;
    t->at[0].conf.choice = CHOICE_ROUND_ROBIN;
    struct far *wires[3];
    static const uint8_t weights[] = {5, 1, 1};
    static const char *const expected = "aabacaa";
    char got[8] = "";
    for (int i = 0; i < 3; i++) {
        wires[i] = bridge(t, &alice, "web");
        say_names(t, wires[i], "", "", "", weights[i]);
    }
    for (int n = 0; n < 7; n++) {
        visit(t, "web");
        for (int i = 0; i < 3; i++)
            if (streams(t, wires[i]))
                got[n] = (char)('a' + i);
    }
    /* b and c have the same weight: either may come first */
    for (int n = 0; n < 7; n++)
        assert_true(got[n] == expected[n] ||
                    (expected[n] != 'a' && (got[n] == 'b' || got[n] == 'c')));
    unsigned counts[3] = {0};
    for (int n = 0; n < 70; n++)
        far_leave(visit(t, "web"), ECONNRESET);
    for (int i = 0; i < 3; i++)
        counts[i] = streams(t, wires[i]);
    assert_int_equal(counts[0], 50);
    assert_int_equal(counts[1], 10);
    assert_int_equal(counts[2], 10);
}

static void an_address_gets_the_same_bridge_while_it_is_there(void **state)
{
    struct test *t = *state;
    enum { WIRES = 4, SOURCES = 40 };
    struct far *wires[WIRES];
    int first[SOURCES], moved = 0;
    unsigned got[WIRES] = {0};
    char source[20];
    t->at[0].conf.choice = CHOICE_SOURCE_HASH;
    for (int i = 0; i < WIRES; i++)
        wires[i] = bridge(t, &alice, "web");
    for (int round = 0; round < 3; round++) {
        if (round == 2) {
            far_leave(wires[0], 0); /* its visitors had no answer, and go elsewhere */
            for (int i = 1; i < WIRES; i++)
                streams(t, wires[i]);
        }
        for (int n = 0; n < SOURCES; n++) {
            snprintf(source, sizeof source, "10.0.0.%d", n);
            visitor_from(t, 0, TUNNEL_BY_ID, NULL, "web", source);
            int at = round == 2;
            while (at < WIRES && !streams(t, wires[at]))
                at++;
            assert_true(at < WIRES);
            if (round == 0)
                first[n] = at;
            got[at]++;
            moved += at != first[n];
            if (first[n] != 0)
                assert_int_equal(at, first[n]);
        }
    }
    for (int i = 0; i < WIRES; i++)
        assert_true(got[i] > 0);
    assert_true(moved > 0 && moved < SOURCES / 2);
}

/* --- hostnames --- */

static struct link_item host_answer(struct test *t, struct far *wire, const char *name)
{
    far_say_item(wire, &(struct link_item){.type = LINK_HOST, .host = {.name = text(name)}});
    turn(t);
    struct said *s = hear(&t->at[0], wire);
    for (unsigned i = 0; i < s->item_count; i++)
        if (s->items[i].type == LINK_HOST_ANSWER)
            return s->items[i];
    return (struct link_item){0};
}

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

/* --- two loops --- */

static void any_loop_serves_any_tunnel(void **state)
{
    struct test *t = *state;
    struct far *web = bridge(t, &alice, "web");
    say_names(t, web, "n1", "west", "", 1);
    for (int choice = CHOICE_LEAST_LOAD; choice <= CHOICE_SOURCE_HASH; choice++) {
        t->at[0].conf.choice = t->at[1].conf.choice = (enum portal_choice)choice;
        visitor_from(t, 1, TUNNEL_BY_ID, NULL, "web", "10.1.1.1");
        visitor_from(t, 1, TUNNEL_BY_NODE, NULL, "n1", "10.1.1.1");
        visitor_from(t, 1, TUNNEL_BY_CLUSTER, NULL, "west", "10.1.1.1");
        assert_int_equal(streams(t, web), 3);
    }
}

static unsigned streams_at(struct test *t, int loop, struct far *wire)
{
    turn(t);
    return hear(&t->at[loop], wire)->new_count;
}

static void turns_and_addresses_are_the_same_on_all_loops(void **state)
{
    struct test *t = *state;
    struct far *wires[4];
    unsigned got[4];
    for (int i = 0; i < 4; i++) /* three on one loop, one on the other */
        wires[i] = bridge_to(t, i == 3, &alice, "web.tunnel.test", 1000 + (uint64_t)i);
    t->at[0].conf.choice = t->at[1].conf.choice = CHOICE_ROUND_ROBIN;
    wait_for(t, 3);
    for (int i = 0; i < 40; i++)
        visitor_from(t, i % 2, TUNNEL_BY_ID, NULL, "web", NULL);
    for (int i = 0; i < 4; i++)
        assert_int_equal(streams_at(t, i == 3, wires[i]), 10);
    t->at[0].conf.choice = t->at[1].conf.choice = CHOICE_SOURCE_HASH;
    for (int n = 0; n < 20; n++) {
        char source[20];
        snprintf(source, sizeof source, "10.0.0.%d", n);
        visitor_from(t, 0, TUNNEL_BY_ID, NULL, "web", source);
        visitor_from(t, 1, TUNNEL_BY_ID, NULL, "web", source);
        for (int i = 0; i < 4; i++) {
            got[i] = streams_at(t, i == 3, wires[i]);
            assert_true(got[i] == 0 || got[i] == 2);
        }
    }
}

static void who_waits_on_another_loop_is_served_when_the_tunnel_comes(void **state)
{
    struct test *t = *state;
    struct far *v = visitor_from(t, 1, TUNNEL_BY_ID, NULL, "web", NULL);
    struct far *other = visitor_from(t, 1, TUNNEL_BY_ID, NULL, "shop", NULL);
    struct far *web = bridge(t, &alice, "web");
    assert_int_equal(streams(t, web), 1);
    assert_false(v->failed || other->left);
}

static void a_tunnel_is_known_on_all_loops_while_it_is_on_one(void **state)
{
    struct test *t = *state;
    bridge(t, &alice, "web");
    wait_for(t, 200);
    assert_false(visitor_from(t, 1, TUNNEL_BY_ID, NULL, "web", NULL)->failed);
    assert_true(visitor_from(t, 1, TUNNEL_BY_ID, NULL, "shop", NULL)->failed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, test_open, test_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_visitor_gets_a_bridge_of_his_tunnel),
        TEST(a_tunnel_that_nobody_heard_of_is_refused_at_once),
        TEST(a_portal_that_just_began_lets_visitors_wait_for_any_tunnel),
        TEST(what_visitors_wait_for_in_vain_leaves_bridges_room),
        TEST(a_tunnel_without_bridges_is_waited_for_for_a_minute),
        TEST(a_tunnel_that_is_gone_for_long_takes_no_memory),
        TEST(no_more_tunnels_than_allowed),
        TEST(who_asks_for_a_tunnel_that_is_not_his_hears_why),
        TEST(an_old_bridge_that_is_refused_sees_its_link_end),
        TEST(nobody_becomes_a_bridge_without_a_rule_or_a_user),
        TEST(without_claims_a_tunnel_is_whose_it_was_first),
        TEST(tenants_never_mix),
        TEST(who_says_another_tenant_node_or_cluster_is_rejected),
        TEST(other_claims_reject_what_they_do_not_cover),
        TEST(only_who_may_name_it_reaches_a_private_tunnel),
        TEST(a_private_tunnel_has_no_other_names),
        TEST(behind_the_tunnel_its_id_is_the_target),
        TEST(no_id_means_more_behind_the_tunnel),
        TEST(a_node_and_a_cluster_are_reached_by_name),
        TEST(the_nodes_of_a_cluster_share_its_visitors_however_many_links_they_have),
        TEST(a_stream_of_a_cluster_is_tried_again_in_the_cluster),
        TEST(weights_divide_the_load),
        TEST(a_weight_of_255_takes_over_and_one_of_0_takes_what_nobody_else_does),
        TEST(round_robin_takes_turns_smoothly),
        TEST(an_address_gets_the_same_bridge_while_it_is_there),
        TEST(hostnames_are_granted_by_claims_to_the_first),
        TEST(a_bridge_without_a_hostname_gets_one),
        TEST(other_claims_take_hostnames_away),
        TEST(any_loop_serves_any_tunnel),
        TEST(turns_and_addresses_are_the_same_on_all_loops),
        TEST(who_waits_on_another_loop_is_served_when_the_tunnel_comes),
        TEST(a_tunnel_is_known_on_all_loops_while_it_is_on_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
