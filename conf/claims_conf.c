/* conf/claims_conf.c -- what users may have of a portal. All of it is kept, since carriers outlive configurations:
 * each claim by itself, so that a reload that changes one of thousands keeps that one anew, and a list. */
#include <stdlib.h>
#include <string.h>

#include "conf/compile.h"
#include "conf/idn.h"
#include "reverse/claim.h"

struct claim_keys {
    const char *user, *certificate, *tenant;
    const struct node *tunnels, *visits, *hosts, *nodes, *clusters;
    bool is_private;
};

const struct field claim_fields[] = {
    FIELD_TEXT("user", struct claim_keys, user, ""),
    FIELD_TEXT("certificate", struct claim_keys, certificate, ""),
    FIELD_TEXT("tenant", struct claim_keys, tenant, ""),
    FIELD_NODE("tunnels", struct claim_keys, tunnels, "names"),
    FIELD_NODE("visits", struct claim_keys, visits, "names"),
    FIELD_NODE("hosts", struct claim_keys, hosts, "names"),
    FIELD_NODE("nodes", struct claim_keys, nodes, "names"),
    FIELD_NODE("clusters", struct claim_keys, clusters, "names"),
    FIELD_BOOL("private", struct claim_keys, is_private, false),
    FIELD_END,
};

/* A reader of one item into its normal form. False: it is none. */
typedef bool item_reader(char *to, size_t room, const char *text);

/* "web", "team-*", "*". */
static bool read_name(char *to, size_t room, const char *text)
{
    char name[TUNNEL_NAME_MAX + 1] = "";
    size_t len = strlen(text);
    bool open = len && text[len - 1] == '*';
    if ((len > open || !open) && !tunnel_text_read(name, text, len - open))
        return false;
    snprintf(to, room, "%s%s", name, open ? "*" : "");
    return true;
}

static bool read_tunnel(char *to, size_t room, const char *text)
{
    bool marked = *text == '$';
    *to = '$';
    return read_name(to + marked, room - marked, text + marked);
}

static bool read_host(char *to, size_t room, const char *text)
{
    struct hostname_pattern p = {0};
    struct err e;
    bool any = strcmp(text, "*") == 0;
    if (!any && (host_pattern_read(&p, text, strlen(text), &e) < 0 || p.host.port))
        return false;
    snprintf(to, room, "%s%s", any ? "*" : p.below ? "." : "", p.host.text);
    return true;
}

static void patterns_build(struct build *b, const struct node *at, item_reader *read,
                           const char *wanted, struct patterns *out)
{
    struct text_list list;
    char text[HOSTNAME_MAX + 2];
    if (!at || !value_texts(b->report, b->scratch, at, &list))
        return;
    if (list.count == 0)
        report_error(b->report, at, "want at least one; leave it out for none");
    const char **items = arena_array(b->scratch, list.count, sizeof *items);
    for (size_t i = 0; items && i < list.count; i++)
        if (read(text, sizeof text, list.items[i].text))
            items[out->count++] = build_text(b, text);
        else
            report_error(b->report, list.items[i].at, "want %s, got \"%.64s\"", wanted,
                         list.items[i].text);
    if (items && out->count)
        out->items = build_keep(b, items, out->count * sizeof *items);
}

static void owner_build(struct build *b, const struct node *at, const struct claim_keys *keys,
                        struct portal_claim *c)
{
    char tenant[TUNNEL_NAME_MAX + 1];
    if (!*keys->user && !*keys->certificate)
        report_error(b->report, at, "want \"user\" or \"certificate\": whose claim it is");
    if (*keys->user && !b->partial && !names_find(&b->emails, keys->user))
        report_warn(b->report, node_member(at, "user"), "no client has the email \"%.64s\"",
                    keys->user);
    c->user = *keys->user ? build_text(b, keys->user) : NULL;
    c->certificate = *keys->certificate ? build_text(b, keys->certificate) : NULL;
    if (!*keys->tenant)
        return;
    if (tunnel_text_read(tenant, keys->tenant, strlen(keys->tenant)))
        c->tenant = build_text(b, tenant);
    else
        report_error(b->report, node_member(at, "tenant"),
                     "want 1 to 63 letters, digits, '.', '_' or '-', got \"%.64s\"", keys->tenant);
}

static bool has_marked(const struct patterns *p)
{
    for (size_t i = 0; i < p->count; i++)
        if (*p->items[i] == '$')
            return true;
    return false;
}

static const struct portal_claim *claim_build(struct build *b, const struct node *at)
{
    static const char name[] = "a name of 1 to 63 letters, digits, '.', '_' and '-', which may "
                               "end in '*', or \"*\"",
                      host[] = "a hostname, \".example.com\" with all below it, or \"*\"";
    struct claim_keys keys;
    struct portal_claim c;
    memset(&c, 0, sizeof c); /* what is kept is compared with its padding */
    fields_read(b->report, at, claim_fields, &keys);
    owner_build(b, at, &keys, &c);
    patterns_build(b, keys.tunnels, read_tunnel, name, &c.tunnels);
    patterns_build(b, keys.visits, read_name, name, &c.visits);
    patterns_build(b, keys.hosts, read_host, host, &c.hosts);
    patterns_build(b, keys.nodes, read_name, name, &c.nodes);
    patterns_build(b, keys.clusters, read_name, name, &c.clusters);
    c.is_private = keys.is_private;
    return build_keep(b, &c, sizeof c);
}

void claims_conf_build(struct build *b, const struct node *at, struct portal_conf *portal)
{
    struct node_list nodes = {0};
    if (!at)
        return;
    value_objects(b->report, b->scratch, at, &nodes);
    if (nodes.count == 0 && at->type == NODE_ARRAY && node_count(at) == 0)
        report_error(b->report, at,
                     "want at least one; leave \"claims\" out to let each user have what nobody "
                     "else has");
    const struct portal_claim **claims = arena_array(b->scratch, nodes.count, sizeof *claims);
    if (!claims)
        return;
    for (size_t i = 0; i < nodes.count; i++) {
        const struct portal_claim *c = claim_build(b, nodes.items[i]);
        if (!c)
            return;
        portal->has_private |= c->is_private || has_marked(&c->tunnels);
        claims[portal->claim_count++] = c;
    }
    qsort(claims, portal->claim_count, sizeof *claims, claim_compare);
    portal->claims = build_keep(b, claims, portal->claim_count * sizeof *claims);
}
