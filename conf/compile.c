#include "conf/compile.h"

#include <string.h>
#include <strings.h>

#include "conf/guides.h"
#include "conf/lint.h"

const char *build_text(struct build *b, const char *text)
{
    const char *copy = keep_text(b->config->keep, text);
    return copy ? copy : "";
}

const void *build_keep(struct build *b, const void *bytes, size_t len)
{
    return keep_bytes(b->config->keep, bytes, len);
}

int build_slot(struct build *b, const char *kind, const char *name, const char *what)
{
    char *text = arena_printf(b->scratch, "%s>>>%s>>>%s", kind, name, what);
    int slot = text ? stats_slot(&b->config->stats, text) : -1;
    if (slot < 0 && b->config->stats.count >= STATS_MAX)
        report_error_file(b->report, "config", 0, "too many tags and users are counted");
    else if (slot < 0)
        b->scratch->failed = true;
    return slot;
}

/* Without "stats" V2Ray counts nothing by tag or user; portals and bridges are counted always. */
struct traffic build_traffic(struct build *b, const char *kind, const char *name, bool up,
                             bool down)
{
    bool tunnel = strcmp(kind, "portal") == 0 || strcmp(kind, "bridge") == 0;
    bool wanted = *name && (tunnel || b->stats);
    return (struct traffic){
        .up = wanted && up ? build_slot(b, kind, name, "traffic>>>uplink") : -1,
        .down = wanted && down ? build_slot(b, kind, name, "traffic>>>downlink") : -1,
    };
}

const struct traffic *build_kept_traffic(struct build *b, const char *kind, const char *name,
                                         bool up, bool down)
{
    struct traffic t = build_traffic(b, kind, name, up, down);
    return build_keep(b, &t, sizeof t);
}

const struct policy *build_policy(struct build *b, int64_t level, int64_t timeout)
{
    const struct policy *p = config_policy(b->config, (uint32_t)level);
    if (!p || level != 0 || timeout == 0)
        return p;
    struct policy own = *p;
    own.conn_idle = (double)timeout;
    return build_keep(b, &own, sizeof own);
}

static const struct policy_level *level_of(const struct config *c, uint32_t level)
{
    for (size_t i = 0; i < c->level_count; i++)
        if (c->levels[i].level == level)
            return &c->levels[i];
    return NULL;
}

void build_user(struct build *b, struct user *who)
{
    const struct policy_level *of = level_of(b->config, who->level);
    who->policy = config_policy(b->config, who->level);
    who->traffic = (struct traffic){-1, -1};
    if (of)
        who->traffic = build_traffic(b, "user", who->email, of->stats_up, of->stats_down);
}

/* What all may inherit changes all. */
static void digest_transport(struct build *b, const struct root *root, struct digest *d)
{
    struct digest transport;
    if (!root->transport)
        return;
    digest_node(&transport, root->transport, b->scratch);
    digest_mix(d, &transport, sizeof transport);
}

static void inbounds_build(struct build *b, const struct root *root)
{
    const struct node_list *nodes = &root->inbounds;
    struct config *c = b->config;
    c->inbounds = arena_array(c->strings, nodes->count + (root->api ? 1 : 0), sizeof *c->inbounds);
    if (!c->inbounds)
        return;
    c->inbound_count = nodes->count;
    for (size_t i = 0; i < nodes->count; i++) {
        struct inbound_conf *in = &c->inbounds[i];
        inbound_conf_build(b, nodes->items[i], in);
        digest_node(&in->digest, nodes->items[i], b->scratch);
        digest_mix(&in->digest, &in->ports, sizeof in->ports); /* it may come from elsewhere */
        digest_transport(b, root, &in->digest);
        names_add(&b->inbound_tags, b->scratch, c->inbounds[i].tag, nodes->items[i], i);
    }
    inbound_conf_check_ports(b, nodes);
}

static void bridges_build(struct build *b, const struct node_list *nodes)
{
    struct config *c = b->config;
    struct names domains = {.fold = true};
    b->bridges = arena_array(b->scratch, nodes->count, sizeof *b->bridges);
    c->bridge_digests = arena_array(c->strings, nodes->count, sizeof *c->bridge_digests);
    if (!b->bridges || !c->bridge_digests)
        return;
    c->bridge_count = nodes->count;
    for (size_t i = 0; i < nodes->count; i++) {
        bridge_conf_build(b, nodes->items[i], &b->bridges[i]);
        digest_node(&c->bridge_digests[i], nodes->items[i], b->scratch);
        names_add(&b->inbound_tags, b->scratch, b->bridges[i].tag, nodes->items[i], i);
        names_add(&domains, b->scratch, b->bridges[i].domain, nodes->items[i], i);
    }
    names_seal(&domains);
    for (size_t i = 1; i < domains.count; i++)
        if (strcasecmp(domains.items[i - 1].text, domains.items[i].text) == 0)
            report_warn(b->report, domains.items[i].at,
                        "another bridge has the domain \"%.64s\": a portal mixes them",
                        domains.items[i].text);
}

/* Once the outbounds are known. */
static void inbounds_finish(struct build *b, const struct node_list *nodes)
{
    for (size_t i = 0; i < b->config->inbound_count; i++)
        if (b->config->inbounds[i].kind == IN_INGRESS)
            ingress_conf_build(b, nodes->items[i], &b->config->inbounds[i]);
}

/* The same. */
static void bridges_finish(struct build *b, const struct node_list *nodes)
{
    struct config *c = b->config;
    for (size_t i = 0; i < c->bridge_count; i++)
        bridge_portals_build(b, nodes->items[i], &b->bridges[i]);
    if (c->bridge_count > 0)
        c->bridges = build_keep(b, b->bridges, c->bridge_count * sizeof *c->bridges);
}

/* What changes in a portal without its links having to go. */
static const char *const portal_details[] = {"claims", "choice", "maxTunnels", NULL};

static void portals_build(struct build *b, const struct node_list *nodes)
{
    struct config *c = b->config;
    struct names domains = {.fold = true};
    for (size_t i = 0; i < nodes->count; i++) {
        struct outbound_conf *out = &c->outbounds[c->outbound_count];
        portal_conf_build(b, nodes->items[i], out);
        digest_object(&out->digest, nodes->items[i], portal_details, b->scratch);
        names_add(&b->outbound_tags, b->scratch, out->tag, nodes->items[i], c->outbound_count++);
        names_add(&domains, b->scratch, out->portal ? out->portal->domain : "", nodes->items[i], i);
    }
    names_seal(&domains);
    names_report_doubles(&domains, b->report, "portal with domain");
}

static void outbounds_build(struct build *b, const struct root *root,
                            const struct node_list *portals)
{
    struct config *c = b->config;
    size_t count = root->outbounds.count + (root->api ? 1 : 0) + portals->count;
    c->outbounds = arena_array(c->strings, count, sizeof *c->outbounds);
    if (!c->outbounds)
        return;
    c->has_default = root->outbounds.count > 0;
    for (size_t i = 0; i < root->outbounds.count; i++) {
        const struct node *at = root->outbounds.items[i];
        outbound_conf_build(b, at, &c->outbounds[i]);
        digest_node(&c->outbounds[i].digest, at, b->scratch);
        digest_transport(b, root, &c->outbounds[i].digest);
        names_add(&b->outbound_tags, b->scratch, c->outbounds[i].tag, at, i);
    }
    c->outbound_count = root->outbounds.count;
    if (root->api) {
        struct outbound_conf *out = &c->outbounds[c->outbound_count];
        api_conf_build(b, root->api, out);
        digest_node(&out->digest, root->api, b->scratch);
        names_add(&b->outbound_tags, b->scratch, out->tag, root->api, c->outbound_count++);
    }
    portals_build(b, portals);
}

/* Once the outbounds are known: their routes name some. */
static void webs_finish(struct build *b, const struct node_list *nodes)
{
    for (size_t i = 0; i < nodes->count; i++)
        if (b->config->outbounds[i].kind == OUT_WEB)
            web_out_conf_finish(b, nodes->items[i], &b->config->outbounds[i]);
}

static void stats_check(struct build *b, const struct node *at)
{
    static const struct field none[] = {FIELD_END};
    char nothing;
    b->stats = b->config->counts = at;
    fields_read(b->report, at, none, &nothing);
}

bool compile(struct build *b, const struct root *root)
{
    struct reverse_lists reverse;
    struct node_list bridges = {0}, portals = {0};
    process_conf_build(b, root);
    log_conf_build(b, root->log);
    stats_check(b, root->stats);
    policy_conf_build(b, root->policy);
    dns_conf_build(b, root->dns);
    transport_conf_build(b, root->transport);
    fields_read(b->report, root->reverse, reverse_fields, &reverse);
    value_objects(b->report, b->scratch, reverse.bridges, &bridges);
    value_objects(b->report, b->scratch, reverse.portals, &portals);
    inbounds_build(b, root);
    cluster_conf_build(b, root->cluster);
    bridges_build(b, &bridges);
    names_seal(&b->inbound_tags);
    names_report_doubles(&b->inbound_tags, b->report, "inbound or bridge with tag");
    names_seal(&b->emails);
    outbounds_build(b, root, &portals);
    names_seal(&b->outbound_tags);
    names_report_doubles(&b->outbound_tags, b->report, "outbound, portal or api with tag");
    chain_conf_check(b, &root->outbounds);
    inbounds_finish(b, &root->inbounds);
    guides_finish(b);
    webs_finish(b, &root->outbounds);
    bridges_finish(b, &bridges);
    observatory_conf_build(b, root->observatory);
    routing_conf_build(b, root->routing);
    reserved_build(b);
    dns_conf_finish(b, root->dns);
    if (b->config->inbound_count == 0 && bridges.count == 0 && b->report->errors == 0)
        report_warn(b->report, root->at, "nothing to do: neither inbounds nor bridges");
    if (b->lint && b->report->errors == 0)
        lint(b, root);
    return !b->scratch->failed && !b->config->strings->failed && !keep_failed(b->config->keep);
}
