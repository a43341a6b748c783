/* conf/control_status.c -- bridges, portals, carriers and traffic, now. */
#include <inttypes.h>
#include <time.h>

#include "conf/control.h"
#include "conf/links.h"
#include "conf/process.h"
#include "core/log.h"
#include "mux/link.h"
#include "proxy/api_json.h"
#include "proxy/api_pages.h"
#include "reverse/view.h"

static struct api_view view_of(struct process *p)
{
    return (struct api_view){.stats = &p->generation->config->stats,
                             .counters = p->shared.counters,
                             .bases = p->shared.bases,
                             .loops = p->made,
                             .started = p->shared.started};
}

/* --- counters --- */

/* What does not fit is left out, from the end. */
void control_stats_page(struct process *p, struct errand *e)
{
    struct api_view view = view_of(p);
    struct api_moment moment = {.log_dropped = log_dropped()};
    struct links all;
    links_gather(p, &all);
    api_page_stats(&e->page, &view, &moment);
    links_page(&e->page, &all, p);
    page_cut_line(&e->page);
    e->page.full = false;
    e->type = api_text_type;
    links_free(&all);
}

void control_stats(struct process *p, struct errand *e)
{
    struct api_view view = view_of(p);
    api_json_stats(&e->page, &view, api_option(&e->target, "pattern"));
}

void control_stats_reset(struct process *p, struct errand *e)
{
    struct api_view view = view_of(p);
    struct control_body b;
    const char *pattern = "";
    control_body_open(&b, e);
    const struct node *at = b.at ? node_get(b.at, "pattern") : NULL;
    if (at && at->type != NODE_TEXT)
        report_error(&b.report, at, "want a text that names have in them");
    else if (at)
        pattern = at->text;
    if (b.report.errors == 0)
        api_json_reset(&e->page, &view, p->shared.bases, pattern);
    control_body_close(&b, e);
}

/* --- carriers --- */

struct link_listing {
    struct worker *worker;
    struct gathering *gathering;
    struct page *page;
    const char *kind;
};

static const struct outbound_conf *outbound_of(const struct config *c, const char *tag)
{
    for (size_t i = 0; i < c->outbound_count; i++)
        if (c->outbounds[i].tag == tag)
            return &c->outbounds[i];
    return NULL;
}

/* A bridge's link came from nowhere; where it leads its outbound knows. */
static const struct addr *peer_of(const struct worker *w, const struct flow *f)
{
    const struct outbound_conf *o;
    if (f->meta.source.type != ADDR_NONE)
        return &f->meta.source;
    o = outbound_of(w->now.generation->config, f->meta.outbound_tag);
    return o && o->kind == OUT_VMESS && o->vmess.count ? &o->vmess.servers[0].addr : NULL;
}

static const char *state_of(const struct link_view *v)
{
    if (v->refused)
        return "refused";
    if (!v->up)
        return "connecting";
    if (v->silent)
        return "silent";
    return v->draining ? "draining" : "up";
}

static void link_times(struct page *p, const struct link_view *v)
{
    page_member(p, "age");
    page_format(p, "%.3f", loop_steady() - v->flow->born);
    page_member(p, "rtt");
    if (v->lag > 0)
        page_format(p, "%.6f", v->lag);
    else
        page_text(p, "null");
}

static void link_names(struct page *p, const struct link_view *v)
{
    page_member_text(p, "tunnel", v->tunnel);
    page_member_text(p, "node", v->node);
    page_member_text(p, "cluster", v->cluster);
    page_member_text(p, "tenant", v->tenant ? v->tenant : "");
    page_member_number(p, "weight", v->weight);
}

static void link_item(void *with, const struct link_view *v)
{
    struct link_listing *l = with;
    const struct flow *f = v->flow;
    const struct addr *peer = peer_of(l->worker, f);
    struct page *p = l->page;
    char text[ADDR_TEXT_MAX];
    size_t from = p->len;
    page_item(p);
    page_format(p, "{\"id\": \"%u-%u\"", l->worker->loop.index, f->id);
    page_member_text(p, "kind", l->kind);
    page_member_text(p, "tag", v->tag);
    page_member_text(p, "state", state_of(v));
    page_member_text(p, "peer", peer ? addr_text(peer, text) : "");
    page_member_text(p, "user", f->meta.user ? f->meta.user->email : "");
    page_format(p, ", \"bridge\": \"%.*" PRIx64 "\"", v->bridge ? 16 : 0, v->bridge);
    link_names(p, v);
    page_member_bool(p, "v2c", v->v2c);
    page_member_number(p, "streams", v->streams);
    link_times(p, v);
    page_member_number(p, "up", (int64_t)f->pipes[1].total);
    page_member_number(p, "down", (int64_t)f->pipes[0].total);
    page_text(p, "}");
    gathering_end_item(l->gathering, l->worker, p, from);
}

static void say_links(struct worker *w, struct gathering *g, struct page *p)
{
    struct link_listing l = {.worker = w, .gathering = g, .page = p, .kind = "bridge"};
    const struct config *c = w->now.generation ? w->now.generation->config : NULL;
    for (size_t i = 0; c && i < c->bridge_count; i++)
        if (w->now.bridges[i])
            bridge_look(w->now.bridges[i], link_item, &l);
    l.kind = "portal";
    for (size_t i = 0; c && i < c->outbound_count; i++)
        if (c->outbounds[i].kind == OUT_PORTAL)
            portal_look_at(w->now.outbounds[i], link_item, &l);
}

/* --- hostnames of bridges --- */

static const char *answer_of(uint8_t answer)
{
    switch (answer) {
    case 0:
        return "asked";
    case HOST_GRANTED:
        return "granted";
    case HOST_TAKEN:
        return "taken";
    case HOST_INVALID:
        return "invalid";
    }
    return "not allowed";
}

static void host_item(void *with, const struct host_view *v)
{
    struct link_listing *l = with;
    struct page *p = l->page;
    size_t from = p->len;
    page_item(p);
    page_text(p, "{");
    page_member_text(p, "host", v->host);
    page_member_text(p, "bridge", v->tag);
    page_member_text(p, "outbound", v->outbound);
    page_member_text(p, "state", answer_of(v->answer));
    page_text(p, "}");
    gathering_end_item(l->gathering, l->worker, p, from);
}

/* Each worker hears the same; the first one has links of every bridge. */
static void say_hosts(struct worker *w, struct gathering *g, struct page *p)
{
    struct link_listing l = {.worker = w, .gathering = g, .page = p};
    const struct config *c = w->now.generation ? w->now.generation->config : NULL;
    for (size_t i = 0; c && w->loop.index == 0 && i < c->bridge_count; i++)
        if (w->now.bridges[i])
            bridge_look_at_hosts(w->now.bridges[i], host_item, &l);
}

/* --- all of it --- */

static void say_bridges(struct page *p, const struct config *c, const struct api_view *v)
{
    page_member(p, "bridges");
    page_text(p, "[");
    for (size_t i = 0; i < c->bridge_count; i++) {
        page_item(p);
        page_text(p, "{");
        page_member_text(p, "tag", c->bridges[i].tag);
        page_member_text(p, "domain", c->bridges[i].domain);
        page_member_number(p, "carriers", api_sum(v, (unsigned)c->bridges[i].carriers_slot));
        page_text(p, "}");
    }
    page_text(p, "]");
}

static void say_portals(struct page *p, const struct config *c, const struct api_view *v)
{
    page_member(p, "portals");
    page_text(p, "[");
    for (size_t i = 0; i < c->outbound_count; i++) {
        const struct portal_conf *portal = c->outbounds[i].portal;
        if (c->outbounds[i].kind != OUT_PORTAL)
            continue;
        page_item(p);
        page_text(p, "{");
        page_member_text(p, "tag", portal->tag);
        page_member_text(p, "domain", portal->domain);
        page_member_number(p, "carriers", api_sum(v, (unsigned)portal->carriers_slot));
        page_member_number(p, "visitors", api_sum(v, (unsigned)portal->visitors_slot));
        page_text(p, "}");
    }
    page_text(p, "]");
}

void control_status(struct process *p, struct errand *e)
{
    struct api_view view = view_of(p);
    struct page *to = &e->page;
    struct gathering links = {.errand = e, .say = say_links},
                     hosts = {.errand = e, .say = say_hosts};
    page_text(to, "{");
    page_member_text(to, "version", api_version);
    page_member(to, "uptime");
    page_format(to, "%.0f", (double)time(NULL) - view.started);
    page_member_number(to, "workers", p->made);
    page_member_number(to, "flows", api_sum(&view, STAT_flows_live));
    say_bridges(to, p->generation->config, &view);
    say_portals(to, p->generation->config, &view);
    control_say_cluster(p, to);
    page_member(to, "carriers");
    size_t count = control_gather(p, &links, to);
    page_member_number(to, "carrierCount", (int64_t)count);
    page_member(to, "hosts");
    control_gather(p, &hosts, to);
    control_say_tunnels(p, to);
    page_member(to, "traffic");
    api_json_traffic(to, &view);
    page_text(to, "}\n");
}
