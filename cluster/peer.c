/* cluster/peer.c -- the link to a node that this one dials: it is given streams once the node has said who it is. */
#include <sodium.h>
#include <stdlib.h>
#include <time.h>

#include "cluster/inside.h"
#include "proxy/request.h"

enum {
    FAILURES = 4,            /* in a row, after which nothing is expected of an address */
    WORN_STREAMS = 60000,    /* ever opened on a link: before the ids run out */
    WORN_PIECES = 48 * 1024, /* sealed in one direction: before nonces repeat at 65536 */
    ADDRESS_PORT = 7400,     /* of PEER_TARGET, which leads nowhere */
};

/* Seconds. */
static const double CONNECT = 2, ANSWER = 4; /* until it is connected, and has said who it is */
static const double REDIAL = 0.05, REDIAL_MAX = 2;
static const double REST = 20;      /* between two looks at an address that needs no link */
static const double FULL = 1;       /* for which one that had no room is passed over */
static const double COMPLAINT = 30; /* between two warnings about one address */
static const double GRACE = 3;      /* before the first one: portals are often started together */
static const double BRIEF =
    2; /* a link that did not last longer is dialled again later each time */

static const struct policy peer_policy = {.handshake = 10,
                                          .conn_idle = 300,
                                          .uplink_only = 300,
                                          .downlink_only = 300,
                                          .buffer_size = 512 * 1024};

static struct peer_link *link_of(struct mux *m)
{
    return container_of(m, struct peer_link, mux);
}

static double redial_delay(const struct peer *p)
{
    unsigned doubled = p->failures + p->brief < 8 ? p->failures + p->brief : 8;
    double delay = REDIAL * (1 << doubled);
    if (p->rest > 0)
        return p->rest;
    delay = delay < REDIAL_MAX ? delay : REDIAL_MAX;
    return delay * (0.5 + randombytes_uniform(1000) / 2000.0);
}

static void peer_redial_later(struct peer *p)
{
    struct ev_loop *ev = p->cluster->loop->ev;
    if (p->ends || ev_is_active(&p->redial))
        return;
    ev_timer_set(&p->redial, redial_delay(p), 0);
    ev_timer_start(ev, &p->redial);
}

/* --- who it is --- */

static void link_abort(struct peer_link *k, int code, const char *reason)
{
    struct err why;
    err_set(&why, code, "%s", reason);
    flow_abort(k->mux.end.flow, &why);
}

static void link_part(struct peer_link *k)
{
    if (k->counted)
        nodes_linked(k->peer->cluster->shared->nodes, &k->node, NODE_LINK_WENT, loop_steady());
    k->counted = false;
}

static void link_says(const struct peer_link *k)
{
    if (k->counted)
        nodes_linked(k->peer->cluster->shared->nodes, &k->node, NODE_LINK_SAYS, loop_steady());
}

/* It takes the place of the one before it, whose streams go on. */
static void link_rise(struct peer_link *k)
{
    struct peer *p = k->peer;
    char at[ADDR_TEXT_MAX];
    if (!k->told || !k->asked || p->coming != k)
        return;
    if (p->link)
        list_append(&p->former, &p->link->item);
    p->link = k;
    p->coming = NULL;
    p->failures = 0;
    p->rest = 0;
    k->counted = true;
    k->mux.end.flow->quiet = false;
    k->rose = loop_steady();
    nodes_linked(p->cluster->shared->nodes, &k->node, NODE_LINK_UP, loop_steady());
    log_info("cluster: linked to node %s at %s", k->node.name, addr_text(&p->at, at));
    cluster_linked(p->cluster);
}

/* Nothing is wrong, and nothing is gained by dialling it again soon. */
static void link_is_needless(struct peer_link *k, const char *reason)
{
    k->peer->rest = REST;
    link_abort(k, ECANCELED, reason);
}

static void link_introduced(struct peer_link *k, const struct link_node *n, struct node_view *view)
{
    struct peer *p = k->peer;
    const char *objection = node_objection(p->cluster, n, view);
    const struct peer *other = peers_find(p->cluster, view->name, view->epoch);
    if (node_is_self(p->cluster, n)) {
        link_is_needless(k, "it is this node itself");
    } else if (objection) {
        link_abort(k, EPROTO, objection);
    } else if (other && other != p) {
        link_is_needless(k, "another address leads to the same node");
    } else {
        k->told = true;
        k->node = *view;
        k->node.at = p->at;
        k->node.is_static = p->is_static;
        link_rise(k);
    }
}

static void on_node_told(struct mux *m, const struct link_node *n)
{
    struct peer_link *k = link_of(m);
    struct node_view view;
    if (!k->told) {
        link_introduced(k, n, &view);
    } else if (node_objection(k->peer->cluster, n, &view) || view.epoch != k->node.epoch ||
               strcmp(view.name, k->node.name) != 0) {
        link_abort(k, EPROTO, "it says to be another node than before");
    } else {
        k->node.state = view.state;
        k->node.links = view.links;
        link_says(k);
    }
}

/* Its first question is there to be answered: who only plays back what it has heard cannot do so. */
static void on_asked(struct mux *m, const struct link_question *q)
{
    struct peer_link *k = link_of(m);
    node_answer(k->peer->cluster, m, q);
    k->asked = true;
    link_rise(k);
}

static void on_answer_told(struct mux *m, const struct link_answer *a)
{
    struct peer_link *k = link_of(m);
    if (k->counted)
        who_has_told(k->peer->cluster, &k->node, a);
}

/* --- its life --- */

static void on_unopened(struct mux *m, struct end *seat, int refusal)
{
    struct peer *p = link_of(m)->peer;
    if (refusal == REFUSED_NO_ROOM)
        p->full_until = loop_steady() + FULL;
    forward_returned(p->cluster, p, seat, refusal);
}

static void on_silence(struct mux *m)
{
    const struct peer_link *k = link_of(m);
    if (k->counted)
        log_info("cluster: node %s %s", k->node.name, m->silent ? "is silent" : "speaks again");
    while (m->silent && mux_give_back(m, NULL, NULL))
        ;
}

/* Loops other than the first meet the same. */
static bool may_complain(struct peer *p)
{
    double now = loop_steady();
    if (p->cluster->loop->index || p->rest > 0 || now - p->complained < COMPLAINT)
        return false;
    p->complained = now;
    return true;
}

static void link_complain(struct peer *p, const struct mux *m, const struct err *why)
{
    static const char advice[] =
        "; check that \"key\" and \"name\" of the cluster are the same there, the address is that "
        "of its port for peers, and the clocks are within 120 s";
    const char *what = why && why->code ? why->text : "the connection was closed without an answer";
    char at[ADDR_TEXT_MAX];
    if (may_complain(p))
        log_warn("cluster: no link to peer %s: %s%s", addr_text(&p->at, at), what,
                 m->reached && !m->heard ? advice : "");
}

static void link_lost(struct peer *p, const struct err *why)
{
    if (!p->ends)
        log_info("cluster: link to node %s lost%s%s", p->link->node.name,
                 why && why->code ? ": " : "", why && why->code ? why->text : "");
    p->brief = loop_steady() - p->link->rose < BRIEF ? p->brief + 1 : 0;
    p->link = NULL;
}

static void on_closed(struct mux *m, const struct err *why)
{
    struct peer_link *k = link_of(m);
    struct peer *p = k->peer;
    link_part(k);
    list_remove(&k->item);
    if (p->link == k) {
        link_lost(p, why);
    } else if (p->coming == k) {
        p->coming = NULL;
        p->failures++;
        link_complain(p, m, why);
    }
    if (!p->link)
        peer_redial_later(p);
    free(k);
}

static const struct mux_ops link_ops = {.unopened = on_unopened,
                                        .node_told = on_node_told,
                                        .asked = on_asked,
                                        .answer_told = on_answer_told,
                                        .silence = on_silence,
                                        .closed = on_closed};

/* --- dialling --- */

static struct peer_link *link_new(struct peer *p, struct flow **f)
{
    struct meta meta = {
        .net = NET_TCP,
        .inbound_tag = "",
        .target = p->at,
    };
    struct peer_link *k = calloc(1, sizeof *k);
    if (!k)
        return NULL;
    k->peer = p;
    mux_init(&k->mux, &link_ops, true, NULL, -1);
    k->mux.offers = LINK_PEER_FEATURES;
    *f = flow_new(p->cluster->loop, &k->mux.end, &mux_end_ops, &meta, &peer_policy);
    if (*f) {
        (*f)->quiet = true; /* a portal that is away is dialled all the time */
        (*f)->carrier = true;
        (*f)->meta.outbound_tag = p->cluster->dials.tag;
        return k;
    }
    free(k);
    return NULL;
}

static void peer_dial(struct peer *p)
{
    static const struct addr target = {
        .type = ADDR_NAME, .port = ADDRESS_PORT, .name = PEER_TARGET};
    struct cluster *c = p->cluster;
    struct flow *f;
    struct request_to how = {.addr = &p->at, .family = DIAL_AS_IS, .carrier = true};
    struct err why;
    p->coming = link_new(p, &f);
    if (!p->coming) {
        p->failures++;
        peer_redial_later(p);
        return;
    }
    struct codec *codec =
        vmess_request_new(&c->shared->vmess, NET_TCP, &target, (int64_t)time(NULL));
    if (codec) {
        request_open(&c->dials, f, &how, codec);
    } else {
        err_set(&why, ENOMEM, "out of memory");
        flow_refuse(f, &why);
    }
    mux_start(&p->coming->mux);
    node_say(c, &p->coming->mux);
}

static bool link_is_worn(const struct peer_link *k)
{
    return k->mux.opened > WORN_STREAMS || k->mux.end.flow->pieces > WORN_PIECES;
}

static void on_redial(struct ev_loop *ev, ev_timer *t, int events)
{
    (void)ev, (void)events;
    struct peer *p = t->data;
    if (!p->coming && (!p->link || link_is_worn(p->link)))
        peer_dial(p);
}

/* --- for others --- */

bool peer_is_coming(const struct peer *p)
{
    return !p->link && p->rest == 0 && p->failures < FAILURES;
}

bool peer_serves(const struct peer *p, double now)
{
    const struct mux *m = p->link ? &p->link->mux : NULL;
    return m && !m->silent && !mux_is_ending(m) && mux_ids_left(m) && p->full_until <= now &&
           m->sessions < m->hello.streams;
}

void peer_say_node(struct peer *p)
{
    if (p->link)
        node_say(p->cluster, &p->link->mux);
}

/* It is still waited for. */
static bool is_late(const struct peer_link *k, double now)
{
    double age = now - k->mux.end.flow->born;
    return age > (end_is_opened(&k->mux.end) ? ANSWER : CONNECT);
}

static void peer_end_former(struct peer *p)
{
    struct list_item *i, *next;
    for (i = list_first(&p->former); i; i = next) {
        struct peer_link *k = container_of(i, struct peer_link, item);
        next = list_next(&p->former, i);
        if (!k->mux.sessions)
            mux_close(&k->mux, NULL);
    }
}

void peer_look(struct peer *p, double now)
{
    if (p->coming && is_late(p->coming, now))
        link_abort(p->coming, ETIMEDOUT,
                   end_is_opened(&p->coming->mux.end) ? "no answer" : "no connection");
    if (p->link) {
        mux_ask(&p->link->mux); /* so that its silence is heard soon */
        p->link->node.rtt = p->link->mux.lag;
        link_says(p->link);
        if (p->link->node.state == NODE_DRAINS)
            mux_drain_streams(&p->link->mux); /* it waits for those that rest */
    }
    if (p->link && link_is_worn(p->link) && !p->coming)
        peer_redial_later(p);
    peer_end_former(p);
}

struct peer *peer_new(struct cluster *c, const struct addr *at, bool is_static)
{
    struct peer *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->cluster = c;
    p->at = *at;
    p->is_static = is_static;
    p->complained = loop_steady() - COMPLAINT + GRACE;
    ev_init(&p->redial, on_redial);
    p->redial.data = p;
    list_append(&c->peers, &p->item);
    c->peer_count++;
    peer_dial(p);
    return p;
}

void peer_free(struct peer *p)
{
    struct list_item *i;
    p->ends = true;
    if (p->coming)
        mux_close(&p->coming->mux, NULL);
    if (p->link)
        mux_close(&p->link->mux, NULL);
    while ((i = list_first(&p->former)))
        mux_close(&container_of(i, struct peer_link, item)->mux, NULL);
    ev_timer_stop(p->cluster->loop->ev, &p->redial);
    list_remove(&p->item);
    p->cluster->peer_count--;
    free(p);
}
