/* cluster/peer_in.c -- links that other nodes have dialled: the port for peers, where only who has the cluster's key is heard,
 * and what such a node opens here. A guest may open streams once it has answered a question that nobody has heard before:
 * who plays back what was said to another node cannot. */
#include <sodium.h>
#include <stdlib.h>
#include <time.h>

#include "cluster/inside.h"
#include "cluster/network.h"

enum { GUESTS_MAX = 4096, COMPLAINTS = 4 /* log lines a minute */ };

static const double PATIENCE = 5; /* seconds until it has said who it is and answered */

/* Its streams end when the other side says so. */
static const double LONG = 86400;
static const struct policy guest_policy = {.handshake = 10,
                                           .conn_idle = 300,
                                           .uplink_only = 300,
                                           .downlink_only = 300,
                                           .buffer_size = 512 * 1024},
                           stream_policy = {.handshake = 10,
                                            .conn_idle = LONG,
                                            .uplink_only = LONG,
                                            .downlink_only = LONG,
                                            .buffer_size = 512 * 1024};
static const struct traffic uncounted = {-1, -1};

struct guest {
    struct mux mux;
    struct cluster *cluster;
    struct list_item item; /* in the cluster's guests */
    struct node_view node; /* once it is told: */
    bool told;
    bool proven;    /* it has answered */
    uint64_t token; /* of what it was asked */
};

static struct guest *guest_of(struct mux *m)
{
    return container_of(m, struct guest, mux);
}

/* Who is refused comes again soon. */
static bool may_complain(struct cluster *c)
{
    return log_allowed(&c->strangers, (int64_t)(loop_now(c->loop) / 60), COMPLAINTS);
}

/* --- what it opens --- */

static int guest_refused(struct guest *g, const char *reason)
{
    if (may_complain(g->cluster))
        log_warn("cluster: a stream of node %s is refused: %s", g->told ? g->node.name : "?",
                 reason);
    return REFUSED_RULES;
}

static int guest_serve(struct guest *g, const struct mux_frame *f, struct outbound *portal)
{
    char tenant[NODE_NAME_MAX + 1];
    struct meta meta = {.net = f->net,
                        .source = f->source,
                        .target = f->target,
                        .inbound_tag = "",
                        .outbound_tag = portal->tag,
                        .forwarded = true};
    if (!tunnel_read(&f->route.tunnel, &meta.tunnel, tenant))
        return REFUSED_NOT_HERE;
    struct flow *flow = mux_accept(&g->mux, f, &meta, &stream_policy);
    if (!flow)
        return REFUSED_NO_ROOM;
    stat_add(g->cluster->loop->counters, STAT_cluster_received, 1);
    portal_forwarded(portal, flow, f->route.by_claim);
    return 0;
}

static int on_opened(struct mux *m, const struct mux_frame *f)
{
    struct guest *g = guest_of(m);
    const struct cluster *c = g->cluster;
    if (!g->told || !g->proven)
        return REFUSED_NO_ROOM;
    if (!f->routed)
        return guest_refused(g, "it does not say to which tunnel");
    struct outbound *portal = cluster_portal(c, f->route.portal);
    if (!portal || (f->route.epoch && f->route.epoch != c->shared->epoch))
        return REFUSED_NOT_HERE;
    return guest_serve(g, f, portal);
}

/* --- who it is --- */

static void guest_abort(struct guest *g, const char *reason)
{
    char from[ADDR_TEXT_MAX];
    struct err why;
    if (may_complain(g->cluster))
        log_warn("cluster: a link from %s is refused: %s",
                 addr_text(&g->mux.end.flow->meta.source, from), reason);
    err_set(&why, EPROTO, "%s", reason);
    flow_abort(g->mux.end.flow, &why);
}

static void guest_says(struct guest *g, enum nodes_link what)
{
    nodes_linked(g->cluster->shared->nodes, &g->node, what, loop_steady());
}

static void guest_rise(struct guest *g)
{
    if (!g->told || !g->proven)
        return;
    g->mux.end.flow->quiet = false;
    guest_says(g, NODE_LINK_UP);
}

static void on_node_told(struct mux *m, const struct link_node *n)
{
    struct guest *g = guest_of(m);
    struct node_view view;
    const char *objection = node_objection(g->cluster, n, &view);
    if (node_is_self(g->cluster, n))
        return; /* the one that dialled notices it, too, and ends the link */
    if (objection) {
        guest_abort(g, objection);
    } else if (!g->told) {
        g->told = true;
        g->node = view;
        guest_rise(g);
    } else if (view.epoch != g->node.epoch || strcmp(view.name, g->node.name) != 0) {
        guest_abort(g, "it says to be another node than before");
    } else {
        view.at = g->node.at;
        g->node = view;
        guest_says(g, NODE_LINK_SAYS);
    }
}

/* So that this node can dial it, also while there is no registry to say where it is. */
static void on_place_told(struct mux *m, const struct addr *place)
{
    struct guest *g = guest_of(m);
    if (!g->told || !network_allows(g->cluster->conf, place))
        return;
    g->node.at = *place;
    if (g->proven)
        guest_says(g, NODE_LINK_SAYS);
}

static void on_answer_told(struct mux *m, const struct link_answer *a)
{
    struct guest *g = guest_of(m);
    if (g->proven || a->token != g->token)
        return;
    g->proven = true;
    guest_rise(g);
}

static void on_asked(struct mux *m, const struct link_question *q)
{
    struct guest *g = guest_of(m);
    if (g->proven)
        node_answer(g->cluster, m, q);
}

/* --- its life --- */

static void on_closed(struct mux *m, const struct err *why)
{
    struct guest *g = guest_of(m);
    (void)why;
    if (g->told && g->proven)
        guest_says(g, NODE_LINK_WENT);
    list_remove(&g->item);
    g->cluster->guest_count--;
    free(g);
}

static const struct mux_ops guest_ops = {.opened = on_opened,
                                         .node_told = on_node_told,
                                         .asked = on_asked,
                                         .answer_told = on_answer_told,
                                         .place_told = on_place_told,
                                         .closed = on_closed};

static void guest_greet(struct guest *g)
{
    randombytes_buf(&g->token, sizeof g->token);
    mux_start(&g->mux);
    node_say(g->cluster, &g->mux);
    mux_say_question(&g->mux, &(struct link_question){.token = g->token, .kind = LINK_ASK_TUNNEL});
}

static void guest_new(struct cluster *c, struct flow *f)
{
    struct guest *g = c->guest_count < GUESTS_MAX && !c->stopping ? calloc(1, sizeof *g) : NULL;
    struct err why;
    if (!g) {
        err_set(&why, ENOMEM, "too many links of peers, or out of memory");
        flow_refuse(f, &why);
        return;
    }
    g->cluster = c;
    mux_init(&g->mux, &guest_ops, false, NULL, -1);
    g->mux.offers = LINK_PEER_FEATURES;
    f->carrier = true;
    f->quiet = true; /* also somebody's look whether it is he himself */
    flow_join(f, &g->mux.end, &mux_end_ops);
    list_push(&c->guests, &g->item);
    c->guest_count++;
    guest_greet(g);
}

/* --- the port --- */

static struct codec *new_codec(struct accept_inbound *a)
{
    return vmess_accept_new(container_of(a, struct cluster, accept)->server);
}

/* They have the key, and may still not be a peer, but somebody's proxy. */
static void route(struct accept_inbound *a, struct conn *conn)
{
    struct cluster *c = container_of(a, struct cluster, accept);
    struct flow *f = conn->end.flow;
    const struct addr *to = &f->meta.target;
    struct err why;
    if (f->meta.net == NET_TCP && to->type == ADDR_NAME && strcmp(to->name, PEER_TARGET) == 0) {
        guest_new(c, f);
        return;
    }
    err_set(&why, EACCES, "no peer of a cluster");
    flow_refuse(f, &why);
}

static int64_t wall_clock(void)
{
    return (int64_t)time(NULL);
}

int guests_open(struct cluster *c)
{
    c->accept = (struct accept_inbound){
        .in = {.loop = c->loop, .tag = "cluster"},
        .policy = &guest_policy,
        .traffic = &uncounted,
        .new_codec = new_codec,
        .route = route,
    };
    c->server = vmess_server_new(&c->shared->vmess_conf, c->shared->guard, wall_clock);
    return c->server ? accept_init(&c->accept, 1) : -1;
}

void guests_look(struct cluster *c, double now)
{
    for (struct list_item *i = list_first(&c->guests); i; i = list_next(&c->guests, i)) {
        struct guest *g = container_of(i, struct guest, item);
        if ((!g->told || !g->proven) && now - g->mux.end.flow->born > PATIENCE)
            guest_abort(g, "it did not say who it is");
    }
}

void guests_say_node(struct cluster *c)
{
    for (struct list_item *i = list_first(&c->guests); i; i = list_next(&c->guests, i))
        node_say(c, &container_of(i, struct guest, item)->mux);
}

void guests_close(struct cluster *c)
{
    struct list_item *i;
    if (c->server)
        accept_stop(&c->accept);
    vmess_server_free(c->server);
    while ((i = list_first(&c->guests)))
        mux_close(&container_of(i, struct guest, item)->mux, NULL);
}
