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

/* --- the registry --- */

/* Each worker has a connection of its own. */
static void say_connection(struct worker *w, struct gathering *g, struct page *p)
{
    struct registry_view v;
    size_t from = p->len;
    if (!w->cluster || !cluster_look_at_registry(w->cluster, &v))
        return;
    page_item(p);
    page_text(p, "{");
    page_member_text(p, "server", v.server);
    page_member_bool(p, "up", v.well);
    page_member_text(p, "trouble", v.trouble);
    page_member_number(p, "pending", v.pending);
    page_member(p, "lag");
    page_format(p, "%.6f}", v.lag);
    gathering_end_item(g, w, p, from);
}

static void say_registry(struct process *process, struct page *p)
{
    struct gathering connections = {.say = say_connection};
    struct registry_count count;
    if (!cluster_registered(process->shared.cluster, &count))
        return;
    page_member(p, "registry");
    page_text(p, "{");
    page_member_number(p, "tunnels", (int64_t)count.tunnels);
    page_member_number(p, "hosts", (int64_t)count.hosts);
    page_member_number(p, "unwritten", (int64_t)count.unwritten);
    page_member_number(p, "lostHosts", (int64_t)count.lost);
    page_member_number(p, "losses", (int64_t)count.losses);
    page_member(p, "connections");
    control_gather(process, &connections, p);
    page_text(p, "}");
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
    say_registry(p, to);
    page_text(to, "}");
}

void control_cluster(struct process *p, struct errand *e)
{
    page_text(&e->page, "{");
    control_say_cluster(p, &e->page);
    page_text(&e->page, "}\n");
}
