/* Two nodes of a cluster in one thread, without a registry: who holds which hostname. */
#include "cluster/inside.h"
#include "reverse/portal.h"
#include "routing/claims.h"
#include "routing/lookups.h"
#include "testing/clock.h"
#include "testing/rig.h"
#include "transport/listen.h"

static const struct portal_conf portal_conf = {.tag = "portal",
                                               .domain = "*.tunnel.test",
                                               .traffic = {-1, -1},
                                               .carriers_slot = STAT_FIXED,
                                               .visitors_slot = STAT_FIXED + 1,
                                               .max_tunnels = 100};

static struct node {
    struct rig rig;
    struct addr at;
    struct cluster_conf conf;
    struct cluster_shared *shared;
    struct cluster *cluster;
    struct portal_shards *shards;
    struct outbound *portal;
    int fd;
} nodes[2];

static void step(void)
{
    for (int i = 0; i < 2; i++)
        rig_step(&nodes[i].rig);
}

#define UNTIL(condition) RIG_UNTIL_BY(step(), condition)

static bool is_linked(const struct node *n)
{
    for (struct list_item *i = list_first(&n->cluster->peers); i;
         i = list_next(&n->cluster->peers, i))
        if (container_of(i, struct peer, item)->link)
            return true;
    return false;
}

static void node_start(struct node *n, int i)
{
    n->conf = (struct cluster_conf){.name = "test",
                                    .node = i ? "b" : "a",
                                    .zone = "",
                                    .listen = n->at,
                                    .peers = &nodes[1 - i].at,
                                    .peer_count = 1};
    n->shared = cluster_shared_new(&n->conf, 1);
    n->cluster = cluster_new(&n->rig.loop, &n->conf, n->shared);
    assert_non_null(n->cluster);
    cluster_join(n->cluster, n->portal);
}

/* Not yet heard by each other. */
static int open_nodes(void **state)
{
    struct err e;
    (void)state;
    memset(nodes, 0, sizeof nodes);
    for (int i = 0; i < 2; i++) {
        struct addr any = rig_addr("127.0.0.1", 0);
        rig_open(&nodes[i].rig);
        nodes[i].shards = portal_shards_new(1);
        nodes[i].portal = portal_new(&nodes[i].rig.loop, &portal_conf, nodes[i].shards);
        assert_int_equal(listen_open(&any, SOCK_STREAM, &nodes[i].fd, 1, &e), 0);
        nodes[i].at = rig_addr_of(nodes[i].fd);
    }
    for (int i = 0; i < 2; i++)
        node_start(&nodes[i], i);
    return 0;
}

static void link_nodes(void)
{
    for (int i = 0; i < 2; i++)
        cluster_listen(nodes[i].cluster, nodes[i].fd);
    UNTIL(is_linked(&nodes[0]) && is_linked(&nodes[1]));
}

static int open_linked(void **state)
{
    open_nodes(state);
    link_nodes();
    return 0;
}

static int close_nodes(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct node *n = &nodes[i];
        cluster_leave(n->cluster, n->portal);
        n->portal->ops->free(n->portal);
        cluster_free(n->cluster);
        cluster_shared_free(n->shared);
        rig_turn(&n->rig);
    }
    for (int i = 0; i < 2; i++) {
        rig_turn(&nodes[i].rig);
        rig_close(&nodes[i].rig);
        portal_shards_free(nodes[i].shards);
    }
    return 0;
}

/* --- what bridges and visitors do --- */

static struct tunnel_name tunnel(const char *id)
{
    struct tunnel_name t = {.by = TUNNEL_BY_ID};
    snprintf(t.text, sizeof t.text, "%s", id);
    return t;
}

static struct hostname_pattern pattern(const char *name)
{
    struct hostname_pattern p;
    struct err e;
    assert_int_equal(hostname_read_pattern(&p, name, strlen(name), &e), 0);
    return p;
}

static struct claims *claims_at(int i)
{
    return portal_claims(nodes[i].portal);
}

/* As a carrier does: "granted", "taken", "later". */
static const char *wish(int i, const char *host, const char *id)
{
    struct elsewhere *e = &nodes[i].cluster->elsewhere;
    struct hostname_pattern p = pattern(host);
    struct tunnel_name t = tunnel(id);
    assert_int_equal(claims_ask(claims_at(i), &p, &t, false, loop_steady()), CLAIM_ASKED);
    switch (e->ops->claim(e, nodes[i].portal, &p, &t)) {
    case ELSEWHERE_GRANTED:
        claims_decide(claims_at(i), &p, &t, true);
        return "granted";
    case ELSEWHERE_TAKEN:
        return "taken";
    case ELSEWHERE_LATER:
        break;
    }
    return "later";
}

static void leave(int i, const char *host, const char *id)
{
    struct elsewhere *e = &nodes[i].cluster->elsewhere;
    struct hostname_pattern p = pattern(host);
    struct tunnel_name t = tunnel(id);
    claims_leave(claims_at(i), &p, &t, loop_steady());
    e->ops->leave(e, &portal_conf, &p, &t);
}

/* Whose it is there; "": nobody's. */
static const char *holder(int i, const char *host)
{
    static struct tunnel_name t;
    bool is_private;
    return claims_find(claims_at(i), host, loop_steady(), &t, &is_private) ? t.text : "";
}

struct visitor {
    struct lookup_wait wait;
    unsigned told;
    struct lookup_answer answer;
};

static void on_told(struct lookup_wait *w)
{
    container_of(w, struct visitor, wait)->told++;
}

static enum lookup_state find(int i, const char *host, struct visitor *v)
{
    static const struct addr from = {.type = ADDR_IPV4, .ip = {192, 0, 2, 1}};
    struct host_finder *f = cluster_hosts(nodes[i].cluster);
    v->wait.told = on_told;
    return f->find(f, portal_key(&portal_conf), host, &from, loop_steady(), &v->answer, &v->wait);
}

static enum lookup_state found(int i, const char *host, struct visitor *v)
{
    enum lookup_state s = find(i, host, v);
    if (s != LOOKUP_WAITS)
        return s;
    v->told = 0;
    UNTIL(v->told);
    return find(i, host, v);
}

/* --- */

static void who_holds_a_name_elsewhere_is_found_and_remembered(void **state)
{
    (void)state;
    struct visitor v = {0}, other = {0}, gone = {0};
    assert_string_equal(wish(0, "www.example", "t1"), "later");
    UNTIL(*holder(0, "www.example"));
    assert_int_equal(find(1, "www.example", &v), LOOKUP_WAITS);
    assert_int_equal(find(1, "www.example", &other), LOOKUP_WAITS);
    assert_int_equal(find(1, "www.example", &gone), LOOKUP_WAITS);
    lookup_forget(&gone.wait);
    UNTIL(v.told && other.told);
    assert_int_equal(gone.told, 0);
    assert_int_equal(find(1, "www.example", &v), LOOKUP_FOUND);
    assert_string_equal(v.answer.tunnel.text, "t1");
    assert_int_equal(found(1, "nobody.example", &v), LOOKUP_NOTHING);
    assert_string_equal(wish(0, "*.wide.example", "t2"), "later");
    UNTIL(*holder(0, "a.wide.example"));
    assert_int_equal(found(1, "b.wide.example", &v), LOOKUP_FOUND);
    assert_string_equal(v.answer.tunnel.text, "t2");
}

static void who_asks_for_too_many_names_is_not_answered(void **state)
{
    (void)state;
    static struct visitor v[400];
    char name[32];
    unsigned waits = 0, away = 0;
    for (int i = 0; i < 400; i++) {
        snprintf(name, sizeof name, "h%d.example", i);
        enum lookup_state s = find(0, name, &v[i]);
        waits += s == LOOKUP_WAITS;
        away += s == LOOKUP_AWAY;
    }
    assert_in_range(waits, 200, 250); /* some came back meanwhile */
    assert_int_equal(waits + away, 400);
    UNTIL(v[199].told);
}

static void a_name_that_another_node_granted_is_taken(void **state)
{
    (void)state;
    assert_string_equal(wish(0, "www.example", "t1"), "later");
    UNTIL(*holder(0, "www.example"));
    assert_string_equal(wish(1, "www.example", "t2"), "later");
    assert_string_equal(wish(1, "www.other.example", "t2"), "later");
    UNTIL(*holder(1, "www.other.example"));
    assert_string_equal(holder(1, "www.example"), "");
    leave(1, "www.example", "t2");
    assert_string_equal(wish(1, "www.example", "t1"),
                        "later"); /* the same tunnel may have it on both */
    UNTIL(*holder(1, "www.example"));
}

static void of_two_that_ask_at_once_one_gets_it(void **state)
{
    (void)state;
    assert_string_equal(wish(0, "www.example", "t2"), "later");
    assert_string_equal(wish(1, "www.example", "t1"), "later");
    UNTIL(*holder(1, "www.example"));
    clock_forward(.3);
    for (int i = 0; i < 20; i++)
        step();
    assert_string_equal(holder(0, "www.example"), "");
}

static void a_wish_waits_until_the_other_node_can_be_asked(void **state)
{
    (void)state;
    assert_string_equal(wish(0, "www.example", "t1"), "later");
    for (int i = 0; i < 20; i++)
        step();
    assert_string_equal(holder(0, "www.example"), "");
    link_nodes();
    clock_forward(.3);
    UNTIL(*holder(0, "www.example"));
}

static void a_node_that_finds_nobody_is_alone(void **state)
{
    (void)state;
    assert_string_equal(wish(0, "www.example", "t1"), "later");
    clock_forward(4);
    UNTIL(*holder(0, "www.example"));
    assert_string_equal(wish(0, "other.example", "t1"), "granted");
}

static void who_leaves_wishes_no_more(void **state)
{
    (void)state;
    assert_string_equal(wish(0, "www.example", "t1"), "later");
    leave(0, "www.example", "t1");
    assert_string_equal(wish(0, "last.example", "t1"), "later");
    UNTIL(*holder(0, "last.example"));
    assert_string_equal(holder(0, "www.example"), "");
}

#define LINKED(test) cmocka_unit_test_setup_teardown(test, open_linked, close_nodes)
#define UNLINKED(test) cmocka_unit_test_setup_teardown(test, open_nodes, close_nodes)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LINKED(who_holds_a_name_elsewhere_is_found_and_remembered),
        LINKED(who_asks_for_too_many_names_is_not_answered),
        LINKED(a_name_that_another_node_granted_is_taken),
        LINKED(of_two_that_ask_at_once_one_gets_it),
        UNLINKED(a_wish_waits_until_the_other_node_can_be_asked),
        UNLINKED(a_node_that_finds_nobody_is_alone),
        LINKED(who_leaves_wishes_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
