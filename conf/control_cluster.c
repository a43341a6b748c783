/* conf/control_cluster.c -- the cluster as this node sees it. */
#include <inttypes.h>
#include <stdlib.h>

#include "cluster/view.h"
#include "conf/cluster_settings.h"
#include "conf/control.h"
#include "conf/process.h"

static const char *state_text(uint8_t state)
{
    static const char *const texts[] = {
        [NODE_STARTS] = "starts", [NODE_UP] = "up", [NODE_DRAINS] = "drains"};
    return state < sizeof texts / sizeof *texts ? texts[state] : "unknown";
}

/* --- nodes --- */

static void say_node(struct page *p, const struct node_view *v)
{
    char at[ADDR_TEXT_MAX];
    page_item(p);
    page_text(p, "{");
    page_member_text(p, "node", v->name);
    page_member_text(p, "state", v->alive ? state_text(v->state) : "gone");
    page_member_text(p, "zone", v->zone);
    page_member_text(p, "address", v->at.type == ADDR_NONE ? "" : addr_text(&v->at, at));
    page_format(p, ", \"epoch\": \"%016" PRIx64 "\"", v->epoch);
    page_member_number(p, "links", v->links);
    page_member_bool(p, "linked", v->linked);
    page_member_bool(p, "leased", v->leased);
    page_member(p, "rtt");
    if (v->rtt > 0)
        page_format(p, "%.6f}", v->rtt);
    else
        page_text(p, "null}");
}

static void say_nodes(struct page *p, const struct cluster_shared *s)
{
    struct node_view *all = calloc(NODES_MAX, sizeof *all);
    unsigned count = all ? cluster_nodes(s, all, NODES_MAX) : 0;
    p->failed |= !all;
    page_member(p, "nodes");
    page_text(p, "[");
    for (unsigned i = 0; i < count; i++)
        say_node(p, &all[i]);
    page_text(p, "]");
    free(all);
}

/* --- addresses --- */

struct listing {
    const struct worker *worker;
    struct gathering *gathering;
    struct page *page;
};

static void say_peer(void *with, const struct peer_view *v)
{
    const struct listing *l = with;
    struct page *p = l->page;
    char at[ADDR_TEXT_MAX];
    size_t from = p->len;
    page_item(p);
    page_text(p, "{");
    page_member_text(p, "address", addr_text(v->at, at));
    page_member_text(p, "node", v->node);
    page_member_bool(p, "up", v->up);
    page_member_bool(p, "static", v->is_static);
    page_member_number(p, "failures", v->failures);
    page_member_number(p, "streams", v->streams);
    page_text(p, "}");
    gathering_end_item(l->gathering, l->worker, p, from);
}

/* Each worker dials the same; the first one stands for all. */
static void say_peers(struct worker *w, struct gathering *g, struct page *p)
{
    struct listing l = {.worker = w, .gathering = g, .page = p};
    if (w->loop.index == 0 && w->cluster)
        cluster_look_at_peers(w->cluster, say_peer, &l);
}

/* --- all of it --- */

void control_say_cluster(struct process *p, struct page *to)
{
    const struct cluster_shared *s = p->shared.cluster;
    struct gathering peers = {.say = say_peers};
    if (!s)
        return;
    const struct cluster_conf *conf = &p->generation->config->cluster->conf;
    page_member(to, "cluster");
    page_text(to, "{");
    page_member_text(to, "name", conf->name);
    page_member_text(to, "node", conf->node);
    page_member_text(to, "zone", conf->zone);
    page_member_text(to, "state", state_text((uint8_t)cluster_state(s)));
    page_format(to, ", \"epoch\": \"%016" PRIx64 "\"", cluster_epoch(s));
    say_nodes(to, s);
    page_member(to, "peers");
    control_gather(p, &peers, to);
    page_text(to, "}");
}

void control_cluster(struct process *p, struct errand *e)
{
    page_text(&e->page, "{");
    control_say_cluster(p, &e->page);
    page_text(&e->page, "}\n");
}
