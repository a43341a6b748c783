/* Nodes of a cluster in one thread, each with a loop, a portal and real sockets: how a visitor at one reaches the bridge of
 * another. */
#include "cluster/inside.h"
#include "cluster/who_has.h"
#include "proxy/request.h"
#include "reverse/portal.h"
#include "testing/clock.h"
#include "testing/rig.h"
#include "transport/listen.h"

enum { NODES = 3, SERVERS = 8 };

static const struct user home = {.email = "home", .traffic = {-1, -1}, .may_link = true};
static const struct portal_conf portal_conf = {.tag = "portal",
                                               .domain = "*.tunnel.test",
                                               .traffic = {-1, -1},
                                               .carriers_slot = STAT_FIXED,
                                               .visitors_slot = STAT_FIXED + 1,
                                               .max_tunnels = 100};

/* A bridge's link, and the servers that it was asked to reach. */
struct bridge {
    struct mux mux;
    struct rig *rig;
    struct rig_end servers[SERVERS];
    struct meta metas[SERVERS];
    unsigned count;
    bool is_open;
};

static struct node {
    struct rig rig;
    struct addr at, peers[NODES];
    struct cluster_conf conf;
    struct cluster_shared *shared;
    struct cluster *cluster;
    struct portal_shards *shards;
    struct outbound *portal;
    struct bridge bridge;
    struct rig_end visitors[SERVERS];
    unsigned visitor_count;
} nodes[NODES];

static const char *const names[NODES] = {"a", "b", "c"}, *const zones[NODES] = {"x", "y", "x"};

static void step(void)
{
    for (int i = 0; i < NODES; i++)
        rig_step(&nodes[i].rig);
}

#define UNTIL(condition) RIG_UNTIL_BY(step(), condition)

/* --- nodes --- */

static void node_configure(struct node *n, int i)
{
    n->conf = (struct cluster_conf){
        .name = "test", .node = names[i], .zone = zones[i], .listen = n->at, .peers = n->peers};
    for (int j = 0; j < NODES; j++) /* itself among them */
        n->peers[n->conf.peer_count++] = nodes[j].at;
}

static void node_start(struct node *n, int fd)
{
    n->shared = cluster_shared_new(&n->conf, 1);
    assert_non_null(n->shared);
    n->cluster = cluster_new(&n->rig.loop, &n->conf, n->shared);
    assert_non_null(n->cluster);
    cluster_listen(n->cluster, fd);
    cluster_join(n->cluster, n->portal);
}

static int fds[NODES];

/* The portals are old enough to know who is not coming. */
static int open_nodes(void **state)
{
    struct err e;
    (void)state;
    memset(nodes, 0, sizeof nodes);
    for (int i = 0; i < NODES; i++) {
        struct node *n = &nodes[i];
        struct addr any = rig_addr("127.0.0.1", 0);
        rig_open(&n->rig);
        n->shards = portal_shards_new(1);
        n->portal = portal_new(&n->rig.loop, &portal_conf, n->shards);
        assert_int_equal(listen_open(&any, SOCK_STREAM, &fds[i], 1, &e), 0);
        n->at = rig_addr_of(fds[i]);
    }
    clock_forward(11);
    for (int i = 0; i < NODES; i++)
        node_configure(&nodes[i], i);
    return 0;
}

static int begin(void **state)
{
    open_nodes(state);
    for (int i = 0; i < NODES; i++)
        node_start(&nodes[i], fds[i]);
    return 0;
}

static void node_stop(struct node *n)
{
    cluster_leave(n->cluster, n->portal);
    n->portal->ops->free(n->portal);
    cluster_free(n->cluster);
    cluster_shared_free(n->shared);
    rig_turn(&n->rig);
    for (unsigned i = 0; i < n->visitor_count; i++)
        rig_end_free(&n->visitors[i]);
    for (unsigned i = 0; i < n->bridge.count; i++)
        rig_end_free(&n->bridge.servers[i]);
    rig_close(&n->rig);
    portal_shards_free(n->shards);
}

static int end(void **state)
{
    (void)state;
    for (int i = 0; i < NODES; i++)
        node_stop(&nodes[i]);
    return 0;
}

static bool is_linked(int from, int to)
{
    return peers_find(nodes[from].cluster, names[to], nodes[to].shared->epoch) != NULL;
}

static bool all_linked(void)
{
    bool all = true;
    for (int i = 0; i < NODES; i++)
        for (int j = 0; j < NODES; j++)
            all = all && (i == j || is_linked(i, j));
    return all;
}

static int64_t stat_of(int node, int slot)
{
    return rig_stat(&nodes[node].rig, slot);
}

/* --- bridges --- */

static int on_opened(struct mux *m, const struct mux_frame *f)
{
    struct bridge *b = container_of(m, struct bridge, mux);
    const struct meta meta = {
        .net = f->net, .source = f->source, .target = f->target, .inbound_tag = ""};
    if (f->net == NET_UDP) { /* the portal's own words */
        m->control_id = f->id;
        return 0;
    }
    struct flow *flow = mux_accept(m, f, &meta, &b->rig->policy);
    assert_non_null(flow);
    assert_true(b->count < SERVERS);
    b->metas[b->count] = meta;
    rig_join(flow, &b->servers[b->count]);
    end_opened(&b->servers[b->count++].end);
    return 0;
}

static void on_closed(struct mux *m, const struct err *why)
{
    (void)why;
    container_of(m, struct bridge, mux)->is_open = false;
}

static const struct mux_ops bridge_ops = {.opened = on_opened, .closed = on_closed};

/* One of the tunnel "web". */
static void bridge_comes(int node)
{
    struct node *n = &nodes[node];
    struct bridge *b = &n->bridge;
    const struct meta meta = {.net = NET_TCP,
                              .inbound_tag = "",
                              .outbound_tag = "",
                              .user = &home,
                              .by_rule = true,
                              .target = {.type = ADDR_NAME, .name = "web.tunnel.test"}};
    *b = (struct bridge){.rig = &n->rig, .is_open = true};
    mux_init(&b->mux, &bridge_ops, false, NULL, -1);
    struct flow *f = flow_new(&n->rig.loop, &b->mux.end, &mux_end_ops, &meta, &n->rig.policy);
    assert_non_null(f);
    f->carrier = true;
    n->portal->ops->open(n->portal, f);
    mux_start(&b->mux);
    UNTIL(b->mux.is_v2c);
}

static void bridge_goes(int node)
{
    mux_close(&nodes[node].bridge.mux, NULL);
    rig_turn(&nodes[node].rig);
}

/* --- visitors --- */

static struct rig_end *visitor_comes(int node, const char *tunnel)
{
    struct node *n = &nodes[node];
    struct rig_end *v = &n->visitors[n->visitor_count++];
    struct flow *f = rig_flow(&n->rig, v, NET_TCP);
    assert_true(n->visitor_count <= SERVERS);
    f->meta.source = rig_addr("192.0.2.7", 50000);
    f->meta.target = (struct addr){.type = ADDR_NAME, .port = 80, .name = "site.test"};
    f->meta.outbound_tag = "portal";
    f->meta.tunnel.by = TUNNEL_BY_ID;
    strcpy(f->meta.tunnel.text, tunnel);
    n->portal->ops->open(n->portal, f);
    return v;
}

static void says(struct rig_end *e, const char *text)
{
    assert_true(end_write(&e->end, text, strlen(text)));
}

static bool has_heard(const struct rig_end *e, const char *text)
{
    return e->len == strlen(text) && memcmp(e->got, text, e->len) == 0;
}

static void a_visitor_reaches_the_bridge_of_another_node(void **state)
{
    (void)state;
    UNTIL(all_linked());
    bridge_comes(1);
    struct rig_end *v = visitor_comes(0, "web");
    says(v, "hello");
    struct bridge *b = &nodes[1].bridge;
    UNTIL(b->count == 1 && has_heard(&b->servers[0], "hello"));
    assert_string_equal(b->metas[0].target.name, "site.test");
    struct addr source = rig_addr("192.0.2.7", 50000);
    assert_true(addr_equal(&b->metas[0].source, &source));
    says(&b->servers[0], "you too");
    UNTIL(has_heard(v, "you too"));
    assert_true(end_is_opened(&v->end));
    assert_int_equal(stat_of(0, STAT_cluster_forwarded), 1);
    assert_int_equal(stat_of(1, STAT_cluster_received), 1);
}

static void a_tunnel_that_nobody_has_is_not_waited_for(void **state)
{
    (void)state;
    UNTIL(all_linked());
    double began = ev_time();
    struct rig_end *v = visitor_comes(0, "none");
    UNTIL(v->left);
    assert_true(v->failed);
    assert_string_equal(v->why, "no such tunnel");
    assert_true(ev_time() - began < 2); /* nobody waits for 3 s */
}

/* Each believes that the other one has it. */
static void what_another_node_sent_is_not_sent_on(void **state)
{
    (void)state;
    UNTIL(all_linked());
    for (int i = 0; i < 2; i++) {
        struct question_of of = {.kind = ASK_TUNNEL,
                                 .portal = portal_key(&portal_conf),
                                 .tunnel = {.by = TUNNEL_BY_ID, .text = "web"}};
        struct answer a = {.known = true, .count = 1, .at = {{.links = 1}}};
        strcpy(a.at[0].node, names[!i]);
        a.at[0].epoch = nodes[!i].shared->epoch;
        directory_learn(nodes[i].cluster->directory, &of, &a, loop_steady());
    }
    struct rig_end *v = visitor_comes(0, "web");
    UNTIL(v->left);
    assert_true(v->failed);
    assert_int_equal(stat_of(0, STAT_cluster_forwarded), 1);
    assert_int_equal(stat_of(1, STAT_cluster_received), 1);
    assert_int_equal(stat_of(1, STAT_cluster_forwarded), 0);
}

static void a_tunnel_that_has_moved_is_asked_for_again(void **state)
{
    (void)state;
    UNTIL(all_linked());
    bridge_comes(1);
    struct rig_end *v = visitor_comes(0, "web");
    UNTIL(end_is_opened(&v->end));
    bridge_goes(1);
    UNTIL(v->left);
    bridge_comes(2);
    visitor_comes(0, "web"); /* the answer that is known is wrong now */
    UNTIL(nodes[2].bridge.count == 1);
    assert_int_equal(stat_of(0, STAT_cluster_forwarded), 3);
}

static struct answer heard;
static int answers; /* 1: with something in it */

static void on_told(struct question *q, const struct answer *a)
{
    (void)q;
    answers = a ? 1 : -1;
    heard = a ? *a : (struct answer){.known = false};
}

static int answer_to(const char *tunnel)
{
    struct question q = {.told = on_told,
                         .of = {.kind = ASK_TUNNEL, .portal = portal_key(&portal_conf)}};
    q.of.tunnel.by = TUNNEL_BY_ID;
    q.of.tunnel.tenant = "";
    snprintf(q.of.tunnel.text, sizeof q.of.tunnel.text, "%s", tunnel);
    answers = 0;
    assert_true(who_has_ask(nodes[0].cluster, &q));
    UNTIL(answers);
    return answers;
}

/* Nobody has a tunnel when all have said so; one whose link is just ending has not. */
static void that_nobody_has_a_tunnel_is_said_by_all_peers_or_not_known(void **state)
{
    (void)state;
    UNTIL(all_linked());
    bridge_comes(2);
    assert_int_equal(answer_to("none"), 1);
    assert_false(heard.known);
    struct mux *m = &peers_find(nodes[0].cluster, "b", nodes[1].shared->epoch)->link->mux;
    m->closing = true;
    assert_int_equal(answer_to("none"), -1);
    assert_int_equal(answer_to("web"), 1);
    assert_int_equal(heard.count, 1);
    m->closing = false;
}

static void a_node_of_the_same_zone_comes_first_and_one_that_goes_last(void **state)
{
    (void)state;
    UNTIL(all_linked());
    bridge_comes(1);
    bridge_comes(2);
    for (unsigned i = 1; i <= 3; i++) {
        visitor_comes(0, "web");
        UNTIL(nodes[2].bridge.count == i);
    }
    cluster_drain(nodes[2].cluster);
    UNTIL(peers_find(nodes[0].cluster, "c", nodes[2].shared->epoch)->link->node.state ==
          NODE_DRAINS);
    visitor_comes(0, "web");
    UNTIL(nodes[1].bridge.count == 1);
}

static void who_waits_is_sent_on_when_the_bridge_comes_anywhere(void **state)
{
    (void)state;
    UNTIL(all_linked());
    bridge_comes(1);
    bridge_goes(1);
    struct rig_end *v = visitor_comes(0, "web"); /* it was there a moment ago */
    UNTIL(nodes[0].cluster->hope_count == 1);
    assert_false(v->left);
    bridge_comes(2);
    UNTIL(nodes[2].bridge.count == 1);
}

static void another_key_another_cluster_and_the_same_name_are_no_peers(void **state)
{
    open_nodes(state);
    nodes[1].conf.key[0] = 1;
    nodes[2].conf.node = names[0];
    for (int i = 0; i < NODES; i++)
        node_start(&nodes[i], fds[i]);
    for (int round = 0; round < 400; round++)
        step();
    for (int i = 0; i < NODES; i++)
        assert_int_equal(nodes_count(nodes[i].shared->nodes, loop_steady()), 1);
}

static void a_node_leaves_itself_alone(void **state)
{
    (void)state;
    UNTIL(all_linked());
    for (int i = 0; i < NODES; i++) {
        assert_false(is_linked(i, i));
        assert_int_equal(nodes_count(nodes[i].shared->nodes, loop_steady()), NODES);
    }
}

/* --- one that only plays back --- */

static int returned;

static void on_unopened(struct mux *m, struct end *seat, int refusal)
{
    (void)m;
    returned = refusal;
    end_leave(seat, NULL);
}

static void on_replay_closed(struct mux *m, const struct err *why)
{
    (void)m, (void)why;
}

/* It has the words of a peer, and no answer to a new question. */
static void who_cannot_answer_opens_nothing(void **state)
{
    static const struct mux_ops ops = {.unopened = on_unopened, .closed = on_replay_closed};
    static struct outbound dials = {.tag = "replay"};
    const struct meta meta = {.net = NET_TCP,
                              .inbound_tag = "",
                              .outbound_tag = "",
                              .target = {.type = ADDR_NAME, .port = 1, .name = PEER_TARGET}};
    const struct request_to how = {.addr = &nodes[1].at, .carrier = true};
    const struct link_route route = {.portal = portal_key(&portal_conf),
                                     .tunnel = {.by = TUNNEL_BY_ID, .name = text_of("web")}};
    struct rig *r = &nodes[0].rig;
    struct rig_end visitor = {.idle = false};
    struct mux m;
    (void)state;
    UNTIL(all_linked());
    bridge_comes(1);
    dials.loop = &r->loop;
    mux_init(&m, &ops, true, NULL, -1);
    m.offers = LINK_PEER_FEATURES;
    struct flow *f = flow_new(&r->loop, &m.end, &mux_end_ops, &meta, &r->policy);
    request_open(
        &dials, f, &how,
        vmess_request_new(&nodes[0].shared->vmess, NET_TCP, &meta.target, (int64_t)ev_time()));
    mux_start(&m);
    mux_say_node(&m, &(struct link_node){.state = LINK_NODE_UP,
                                         .version = PEER_VERSION,
                                         .epoch = 1,
                                         .name = text_of("old")});
    UNTIL(m.is_v2c);
    struct flow *v = rig_flow(r, &visitor, NET_TCP);
    v->meta.target = rig_addr("192.0.2.1", 80);
    assert_true(mux_forward(&m, v, NULL, &route));
    returned = 0;
    UNTIL(returned);
    assert_int_equal(returned, REFUSED_NO_ROOM);
    assert_int_equal(nodes[1].bridge.count, 0);
    assert_false(nodes_alive(nodes[1].shared->nodes, "old", 1, loop_steady()));
    mux_close(&m, NULL);
    UNTIL(visitor.left);
    rig_end_free(&visitor);
}

#define NODES_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        NODES_TEST(a_visitor_reaches_the_bridge_of_another_node),
        NODES_TEST(a_tunnel_that_nobody_has_is_not_waited_for),
        NODES_TEST(what_another_node_sent_is_not_sent_on),
        NODES_TEST(a_tunnel_that_has_moved_is_asked_for_again),
        NODES_TEST(a_node_of_the_same_zone_comes_first_and_one_that_goes_last),
        NODES_TEST(who_waits_is_sent_on_when_the_bridge_comes_anywhere),
        NODES_TEST(a_node_leaves_itself_alone),
        NODES_TEST(that_nobody_has_a_tunnel_is_said_by_all_peers_or_not_known),
        NODES_TEST(who_cannot_answer_opens_nothing),
        cmocka_unit_test_teardown(another_key_another_cluster_and_the_same_name_are_no_peers, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
