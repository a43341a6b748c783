#include "conf/lint.h"

#include <string.h>
#include <strings.h>

#include "conf/cluster_settings.h"
#include "conf/guides.h"
#include "conf/shadow.h"

static const struct outbound_conf *outbound_at(const struct build *b, size_t i)
{
    return &b->config->outbounds[i];
}

/* --- rules --- */

static void lint_rules(struct build *b, const struct node *routing)
{
    struct node_list rules = {0};
    const struct node *settings = node_get(routing, "settings");
    value_objects(b->report, b->scratch, node_get(routing, "rules"), &rules);
    if (node_is(settings, NODE_OBJECT))
        value_objects(b->report, b->scratch, node_get(settings, "rules"), &rules);
    shadow_check(b->report, b->scratch, &rules);
}

/* --- where flows go --- */

/* A TCP flow that nobody has made. */
static struct meta made_up(const char *inbound_tag, const struct user *user, const char *name)
{
    struct meta m = {.net = NET_TCP, .inbound_tag = inbound_tag, .user = user, .outbound_tag = ""};
    struct err e;
    addr_parse_host(&m.target, name, strlen(name), &e);
    return m;
}

struct way {
    const struct rule *rule;         /* NULL: none matches */
    const struct outbound_conf *out; /* NULL: a balancer chooses, or the flow is refused */
};

static struct way way_of(const struct build *b, const struct meta *m)
{
    char name[ADDR_NAME_MAX + 1];
    struct query q = query_of(m, name);
    const struct rule *r = rules_match(&b->config->rules, &q);
    if (r)
        return (struct way){r, r->balancer ? NULL : outbound_at(b, r->outbound)};
    return (struct way){NULL, b->config->has_default ? outbound_at(b, 0) : NULL};
}

static bool balancer_leads(const struct balancer *balancer, size_t out)
{
    bool leads = balancer->has_fallback && balancer->fallback == out;
    for (size_t i = 0; i < balancer->count; i++)
        leads |= balancer->outbounds[i] == out;
    return leads;
}

static bool rule_leads(const struct rule *r, size_t out)
{
    return r->balancer ? balancer_leads(r->balancer, out) : r->outbound == out;
}

/* --- bridges --- */

static void lint_bridge_link(struct build *b, const struct node *at,
                             const struct bridge_conf *bridge)
{
    struct meta m = made_up(bridge->tag, NULL, bridge->domain);
    struct way way = way_of(b, &m);
    const char *by = way.rule ? "a rule sends" : "no rule matches, and the default outbound takes";
    if (!way.rule && !way.out)
        report_warn(
            b->report, at,
            "no rule sends this bridge's domain anywhere: add {\"inboundTag\": [\"%.64s\"], "
            "\"domain\": [\"full:%.64s\"], \"outboundTag\": the outbound to the portal}",
            bridge->tag, bridge->domain);
    else if (way.out && (way.out->kind == OUT_FREEDOM || way.out->kind == OUT_BLACKHOLE))
        report_warn(b->report, at,
                    "%s this bridge's own domain to \"%.64s\", where no portal is: a rule for "
                    "\"full:%.64s\" must come before",
                    by, way.out->tag, bridge->domain);
}

/* What its visitors want must leave the tunnel. */
static void lint_bridge_visitors(struct build *b, const struct node *at,
                                 const struct bridge_conf *bridge)
{
    struct meta link = made_up(bridge->tag, NULL, bridge->domain);
    struct meta visitor = made_up(bridge->tag, NULL, "visitor.invalid");
    struct way there = way_of(b, &link), way = way_of(b, &visitor);
    if (way.out && way.out == there.out && way.out->kind == OUT_VMESS)
        report_warn(b->report, at,
                    "this bridge's visitors would go back through \"%.64s\", to where its portal "
                    "is: send inboundTag \"%.64s\" to a freedom outbound",
                    way.out->tag, bridge->tag);
}

static void lint_bridges(struct build *b, const struct node_list *nodes)
{
    for (size_t i = 0; i < b->config->bridge_count; i++) {
        const struct bridge_conf *bridge = &b->config->bridges[i];
        if (bridge->portal_count > 0)
            continue;
        lint_bridge_link(b, nodes->items[i], bridge);
        lint_bridge_visitors(b, nodes->items[i], bridge);
    }
}

/* --- portals --- */

/* The users of one inbound that may become bridges of a portal. */
static size_t joiners(const struct build *b, const struct inbound_conf *in,
                      const struct outbound_conf *portal, const struct rule **rule)
{
    size_t count = 0;
    for (size_t i = 0; in->kind == IN_VMESS && i < in->vmess.count; i++) {
        struct meta m = made_up(in->tag, in->vmess.users[i].user, portal->portal->domain);
        struct way way = way_of(b, &m);
        if (!way.rule || !rule_leads(way.rule, (size_t)(portal - b->config->outbounds)))
            continue;
        *rule = way.rule;
        count++;
    }
    return count;
}

static void lint_portal(struct build *b, const struct node *at, const struct outbound_conf *portal)
{
    size_t all = 0;
    for (size_t i = 0; i < b->config->inbound_count; i++) {
        const struct inbound_conf *in = &b->config->inbounds[i];
        const struct rule *rule = NULL;
        size_t count = joiners(b, in, portal, &rule);
        all += count;
        if (count > 1 && !portal->portal->users && !portal->portal->claims && !rule->users.count)
            report_warn(b->report, at,
                        "each of the %zu users of inbound \"%.64s\" may become this portal's "
                        "bridge and get its visitors: name who may in the rule's \"user\" or "
                        "in the portal's \"users\"",
                        count, in->tag);
    }
    if (all == 0 && *portal->portal->domain == '*')
        report_warn(b->report, at,
                    "no rule sends \"domain:%.64s\" from a vmess inbound's users here: bridges of "
                    "tunnels that no rule names cannot join",
                    portal->portal->domain + 2);
    else if (all == 0)
        report_warn(b->report, at,
                    "no bridge can join this portal: no rule sends \"full:%.64s\" from a vmess "
                    "inbound's users here",
                    portal->portal->domain);
}

static void lint_portals(struct build *b, const struct node_list *nodes, const struct root *root)
{
    const struct config *c = b->config;
    size_t first = c->outbound_count - nodes->count;
    for (size_t i = 0; i < nodes->count; i++)
        lint_portal(b, nodes->items[i], outbound_at(b, first + i));
    if (nodes->count > 0 && root->outbounds.count == 0)
        report_warn(b->report, nodes->items[0],
                    "there are no outbounds: V2Ray would make this portal the default one, v2c "
                    "refuses what no rule routes; with a blackhole outbound both do that");
}

/* --- tags --- */

static bool web_leads(const struct outbound_conf *o, size_t i)
{
    return o->kind == OUT_WEB && (o->web.dials == i || routes_lead(o->web.routes, i));
}

static bool guides_lead(const struct config *c, size_t i)
{
    bool lead = false;
    for (const struct guide_set *g = c->guides; g; g = g->next)
        lead |= routes_lead(g->routes, i) || (g->home.has_portal && g->home.portal == i);
    return lead;
}

static bool is_used(const struct build *b, size_t i)
{
    const struct config *c = b->config;
    bool used = i == 0 && c->has_default;
    for (size_t r = 0; r < c->rules.count; r++)
        used |= rule_leads(&c->rules.items[r], i);
    for (size_t o = 0; o < c->outbound_count; o++)
        used |= c->outbounds[o].via == c->outbounds[i].tag || web_leads(&c->outbounds[o], i);
    for (size_t n = 0; n < c->bridge_count; n++)
        for (size_t p = 0; p < c->bridges[n].portal_count; p++)
            used |= c->bridges[n].portals[p] == i;
    for (size_t n = 0; n < c->inbound_count; n++)
        used |= c->inbounds[n].kind == IN_INGRESS && c->inbounds[n].ingress.web.dials == i;
    return used || guides_lead(c, i);
}

static void lint_tags(struct build *b, const struct node_list *outbounds)
{
    for (size_t i = 0; i < outbounds->count; i++)
        if (!is_used(b, i))
            report_warn(b->report, outbounds->items[i],
                        "no rule, balancer, route or proxySettings leads to this outbound");
}

/* --- what others can read --- */

static bool is_local(const struct addr *a)
{
    if (a->type == ADDR_NAME)
        return strcasecmp(a->name, "localhost") == 0;
    return a->type == ADDR_IPV4 ? a->ip[0] == 127
                                : a->ip[15] == 1 && !memcmp(a->ip, (uint8_t[15]){0}, 15);
}

static bool is_encrypted(const struct carriage *c)
{
    return c && c->tls;
}

static void lint_vmess_out(struct build *b, const struct node *at, const struct outbound_conf *out)
{
    if (out->kind != OUT_VMESS || is_encrypted(out->carriage) || out->via)
        return;
    for (size_t i = 0; i < out->vmess.count; i++) {
        const struct vmess_server_conf *server = &out->vmess.servers[i];
        for (size_t u = 0; u < server->count; u++)
            if (server->users[u].security == VMESS_NONE && !is_local(&server->addr))
                report_warn(b->report, at,
                            "\"security\": \"none\" sends what it carries in the clear to another "
                            "machine: leave it out, or use tls");
    }
}

static const struct accounts *accounts_of(const struct inbound_conf *in)
{
    static const struct accounts none;
    return in->kind == IN_SOCKS  ? &in->socks.accounts
           : in->kind == IN_HTTP ? &in->http.accounts
                                 : &none;
}

static void lint_passwords(struct build *b, const struct node *at, const struct inbound_conf *in)
{
    bool outside = in->listen.type != ADDR_UNIX && !is_local(&in->listen);
    if (outside && accounts_of(in)->count > 0 && !is_encrypted(in->carriage))
        report_warn(b->report, at,
                    "passwords come here in the clear: add tls, or listen on 127.0.0.1");
}

static void lint_clear(struct build *b, const struct root *root)
{
    for (size_t i = 0; i < root->outbounds.count; i++)
        lint_vmess_out(b, root->outbounds.items[i], outbound_at(b, i));
    for (size_t i = 0; i < root->inbounds.count; i++)
        lint_passwords(b, root->inbounds.items[i], &b->config->inbounds[i]);
}

/* --- clusters --- */

static bool is_here(const struct addr *a)
{
    return a->type == ADDR_UNIX || (a->type != ADDR_NONE && is_local(a));
}

/* The first Redis that is on another machine and asked in the clear. */
static const struct redis_server *clear_redis(const struct registry_conf *r)
{
    for (size_t i = 0; r && i < r->server_count; i++)
        if (!r->servers[i].carriage && !is_here(&r->servers[i].at))
            return &r->servers[i];
    return NULL;
}

static void lint_registry(struct build *b, const struct node *at, const struct cluster_conf *c)
{
    const struct redis_server *clear = clear_redis(c->registry);
    char text[ADDR_TEXT_MAX];
    if (clear)
        report_warn(b->report, at,
                    "%s is asked in the clear%s: where others can listen use rediss://",
                    addr_text(&clear->at, text), c->registry->password ? ", with a password" : "");
    if (c->registry && c->listen.port && is_here(&c->advertise) &&
        !is_here(&c->registry->servers[0].at))
        report_warn(b->report, at,
                    "other nodes are told to find this one at %s, which is their own machine: set "
                    "\"advertise\"",
                    addr_text(&c->advertise, text));
}

static void lint_cluster(struct build *b, const struct root *root, size_t portals)
{
    const struct node *at = root->cluster;
    if (!b->config->cluster)
        return;
    const struct cluster_conf *c = &b->config->cluster->conf;
    if (!portals)
        report_warn(b->report, at, "a cluster is of portals, and \"reverse\" has none");
    if (!c->listen.port)
        report_warn(b->report, at,
                    "without \"listen\" visitors of other nodes do not get to the bridges of this "
                    "one");
    else if (!c->peer_count && !c->registry)
        report_warn(b->report, at,
                    "without \"peers\" or \"registry\" visitors of this node do not get to the "
                    "bridges of others");
    lint_registry(b, node_member(at, "registry"), c);
}

void lint(struct build *b, const struct root *root)
{
    struct node_list bridges = {0}, portals = {0};
    value_objects(b->report, b->scratch, node_get(root->reverse, "bridges"), &bridges);
    value_objects(b->report, b->scratch, node_get(root->reverse, "portals"), &portals);
    if (root->routing)
        lint_rules(b, root->routing);
    lint_bridges(b, &bridges);
    lint_portals(b, &portals, root);
    lint_tags(b, &root->outbounds);
    lint_clear(b, root);
    lint_cluster(b, root, portals.count);
}
