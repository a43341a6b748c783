#include <string.h>

#include "conf/compile.h"

static void own_add(struct build *b, struct names *own, const struct addr *host)
{
    char *name = host->type == ADDR_NAME
                     ? arena_text(b->config->strings, host->name, strlen(host->name))
                     : NULL;
    if (!name)
        return;
    addr_normalise_name(name);
    names_add(own, b->scratch, name, NULL, 0);
}

static void own_add_servers(struct build *b, struct names *own, const struct login_servers *servers)
{
    for (size_t i = 0; i < servers->count; i++)
        own_add(b, own, &servers->items[i].addr);
}

static void own_add_outbound(struct build *b, struct names *own, const struct outbound_conf *o)
{
    switch (o->kind) {
    case OUT_VMESS:
        for (size_t i = 0; i < o->vmess.count; i++)
            own_add(b, own, &o->vmess.servers[i].addr);
        break;
    case OUT_SOCKS:
        own_add_servers(b, own, &o->socks.servers);
        break;
    case OUT_HTTP:
        own_add_servers(b, own, &o->http.servers);
        break;
    case OUT_DNS:
        own_add(b, own, &o->dns.server);
        break;
    case OUT_FREEDOM: /* reaches what visitors name, or what stands for it */
    case OUT_BLACKHOLE:
    case OUT_FILE:
    case OUT_WEB:
    case OUT_API:
    case OUT_PORTAL:
        break;
    }
}

/* What must be known before anything can be asked by way of an outbound. */
static void own_build(struct build *b, struct dns_conf *c)
{
    const struct config *all = b->config;
    struct names own = {0};
    for (size_t i = 0; i < c->server_count; i++)
        own_add(b, &own, &c->servers[i].at);
    for (size_t i = 0; i < all->outbound_count; i++)
        own_add_outbound(b, &own, &all->outbounds[i]);
    names_seal(&own);
    c->own = arena_array(b->config->strings, own.count, sizeof(const char *));
    for (size_t i = 0; c->own && i < own.count; i++)
        c->own[c->own_count++] = own.items[i].text;
}

static bool is_routed(const struct dns_server *s)
{
    return s->kind == DNS_HTTPS && !s->direct;
}

static bool rule_names(const struct rule *r, const char *tag)
{
    for (size_t i = 0; i < r->inbound_tags.count; i++)
        if (strcmp(r->inbound_tags.items[i], tag) == 0)
            return true;
    return false;
}

/* V2Ray sends the questions to all servers but those with "+local" by the rules. */
static void warn_direct(struct build *b, const struct node *at, const struct dns_conf *c)
{
    const struct rules *rules = &b->config->rules;
    const struct node *tag = node_get(at, "tag");
    bool named = false;
    for (size_t i = 0; node_is(tag, NODE_TEXT) && *tag->text && i < rules->count; i++)
        named |= rule_names(&rules->items[i], tag->text);
    for (size_t i = 0; named && i < c->server_count; i++)
        if (!is_routed(&c->servers[i]) && c->servers[i].kind != DNS_SYSTEM)
            report_warn(b->report, tag,
                        "the rules decide about https:// servers only: \"%.64s\" is asked directly",
                        c->servers[i].label);
}

void dns_conf_finish(struct build *b, const struct node *at)
{
    struct dns_conf *c = b->config->dns;
    if (!c)
        return;
    own_build(b, c);
    warn_direct(b, at, c);
}
