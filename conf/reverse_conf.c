#include <string.h>

#include "conf/compile.h"
#include "core/hostname.h"
#include "reverse/control.h"

struct portal_keys {
    const char *tag, *domain, *host_domain, *control_domain;
    const struct node *users, *claims;
    int choice;
    int64_t max_tunnels;
};

static const struct field_name choices[] = {
    {"leastLoad", CHOICE_LEAST_LOAD},
    {"roundRobin", CHOICE_ROUND_ROBIN},
    {"sourceHash", CHOICE_SOURCE_HASH},
    {NULL, 0},
};

const struct field portal_fields[] = {
    FIELD_TEXT("tag", struct portal_keys, tag, ""),
    FIELD_TEXT("domain", struct portal_keys, domain, ""),
    FIELD_TEXT("hostDomain", struct portal_keys, host_domain, ""),
    FIELD_TEXT("controlDomain", struct portal_keys, control_domain, ""),
    FIELD_NODE("users", struct portal_keys, users, "emails"),
    FIELD_NODE("claims", struct portal_keys, claims, "objects"),
    FIELD_NAME("choice", struct portal_keys, choice, choices, CHOICE_LEAST_LOAD),
    FIELD_NUMBER("maxTunnels", struct portal_keys, max_tunnels, 1, 10 * 1000 * 1000, 100 * 1000),
    FIELD_END,
};

/* The domain travels in a VMess header as a name; see addr_read_wire(). */
void reverse_domain_check(struct build *b, const struct node *at, const char *domain)
{
    struct addr a = {0};
    struct err e = {0};
    if (!*domain)
        return;
    if (addr_parse_host(&a, domain, strlen(domain), &e) < 0)
        report_error(b->report, at, "invalid domain: %s; want letters, digits, '.', '_' and '-'",
                     e.text);
    else if (addr_is_ip(&a))
        report_error(b->report, at, "want a domain name, got the IP address \"%.64s\"", domain);
    else if (strspn(domain, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-") !=
             strlen(domain))
        report_error(b->report, at,
                     "want a domain of letters, digits, '.', '_' and '-', got \"%.64s\"", domain);
}

static void portal_users_build(struct build *b, const struct node *at, struct portal_conf *portal)
{
    struct text_list list;
    if (!at || !value_texts(b->report, b->scratch, at, &list))
        return;
    const char **users = arena_array(b->scratch, list.count, sizeof *users);
    if (list.count == 0)
        report_error(b->report, at,
                     "want at least one email; leave \"users\" out to let rules decide");
    for (size_t i = 0; users && i < list.count; i++) {
        const char *email = list.items[i].text;
        if (!b->partial && !names_find(&b->emails, email))
            report_warn(b->report, list.items[i].at, "no client has the email \"%.64s\"", email);
        users[portal->user_count++] = build_text(b, email);
    }
    if (users)
        portal->users = build_keep(b, users, portal->user_count * sizeof *users);
}

/* It is compared with hosts, so it is read as one. */
static void host_domain_build(struct build *b, const struct node *at, const char *domain, bool many,
                              struct portal_conf *portal)
{
    struct hostname h;
    struct err e = {0};
    if (!*domain)
        return;
    if (!many)
        report_error(b->report, at,
                     "only a portal with many tunnels gives hostnames: want a \"domain\" like "
                     "\"*.tunnel.example\" beside it, got \"%.64s\" alone",
                     domain);
    else if (hostname_read_bare(&h, domain, strlen(domain), &e) < 0 || h.kind != HOSTNAME_NAME)
        report_error(b->report, at, "want a domain like \"example.org\", got \"%.64s\"", domain);
    else
        portal->host_domain = build_text(b, h.text);
}

void portal_conf_build(struct build *b, const struct node *at, struct outbound_conf *out)
{
    struct portal_keys keys;
    fields_read(b->report, at, portal_fields, &keys);
    if (!*keys.tag)
        report_error(b->report, node_member(at, "tag"), "portal tag is empty");
    if (!*keys.domain)
        report_error(b->report, node_member(at, "domain"), "portal domain is empty");
    outbound_conf_init(b, at, keys.tag, out);
    out->kind = OUT_PORTAL;
    struct portal_conf portal;
    memset(&portal, 0, sizeof portal); /* what is kept is compared with its padding */
    portal.tag = out->tag;
    portal.domain = build_text(b, keys.domain);
    /* "*.NAME": one domain for each tunnel. */
    bool many = strncmp(keys.domain, "*.", 2) == 0 && keys.domain[2];
    reverse_domain_check(b, node_member(at, "domain"), keys.domain + (many ? 2 : 0));
    reverse_domain_check(b, node_member(at, "controlDomain"), keys.control_domain);
    host_domain_build(b, node_member(at, "hostDomain"), keys.host_domain, many, &portal);
    portal.control_domain = *keys.control_domain ? build_text(b, keys.control_domain) : NULL;
    portal_users_build(b, keys.users, &portal);
    claims_conf_build(b, keys.claims, &portal);
    portal.choice = (enum portal_choice)keys.choice;
    portal.max_tunnels = (size_t)keys.max_tunnels;
    portal.traffic = build_traffic(b, "portal", out->tag, true, true);
    portal.carriers_slot = build_slot(b, "portal", out->tag, "carriers");
    portal.visitors_slot = build_slot(b, "portal", out->tag, "visitors");
    out->portal = build_keep(b, &portal, sizeof portal);
}

static void reserved_add(struct build *b, const char *name)
{
    char *copy = name ? arena_printf(b->config->strings, "%s", name) : NULL;
    if (!copy)
        return;
    addr_normalise_name(copy);
    b->config->reserved.items[b->config->reserved.count++] = copy;
}

void reserved_build(struct build *b)
{
    struct config *c = b->config;
    size_t room = 1 + c->bridge_count + 2 * c->outbound_count;
    for (size_t i = 0; control_name(i); i++)
        room++;
    c->reserved.items = arena_array(c->strings, room, sizeof *c->reserved.items);
    if (!c->reserved.items)
        return;
    for (size_t i = 0; i < c->bridge_count; i++)
        reserved_add(b, b->bridges[i].domain);
    c->links = c->reserved;
    reserved_add(b, MUX_NAME);
    for (size_t i = 0; control_name(i); i++)
        reserved_add(b, control_name(i));
    for (size_t i = 0; i < c->outbound_count; i++) {
        if (c->outbounds[i].kind != OUT_PORTAL || !c->outbounds[i].portal)
            continue;
        reserved_add(b, c->outbounds[i].portal->domain);
        reserved_add(b, c->outbounds[i].portal->control_domain);
    }
}

const struct field reverse_fields[] = {
    FIELD_NODE("bridges", struct reverse_lists, bridges, "objects"),
    FIELD_NODE("portals", struct reverse_lists, portals, "objects"),
    FIELD_END,
};
