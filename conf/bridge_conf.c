#include <stdio.h>
#include <string.h>

#include "conf/compile.h"
#include "conf/idn.h"

enum {
    HOSTS_MAX = 64,     /* that a bridge may ask for */
    PATH_LONGEST = 512, /* bytes */
};

struct bridge_keys {
    const char *tag, *domain;
    const char *node, *cluster, *tenant;
    int64_t connections, weight;
    const struct node *portals, *hosts, *health, *sniffing;
};

const struct field bridge_fields[] = {
    FIELD_TEXT("tag", struct bridge_keys, tag, ""),
    FIELD_TEXT("domain", struct bridge_keys, domain, ""),
    FIELD_NUMBER("connections", struct bridge_keys, connections, 1, 64, 2),
    FIELD_NODE("portals", struct bridge_keys, portals, "tags"),
    FIELD_TEXT("node", struct bridge_keys, node, ""),
    FIELD_TEXT("cluster", struct bridge_keys, cluster, ""),
    FIELD_TEXT("tenant", struct bridge_keys, tenant, ""),
    FIELD_NODE("hosts", struct bridge_keys, hosts, "names"),
    FIELD_NUMBER("weight", struct bridge_keys, weight, 1, 255, 1),
    FIELD_NODE("health", struct bridge_keys, health, "object"),
    FIELD_NODE("sniffing", struct bridge_keys, sniffing, "object"),
    FIELD_END,
};

/* --- its server's health --- */

struct health_keys {
    const struct node *address;
    const char *path;
    int64_t interval, timeout, rise, fall;
};

const struct field health_fields[] = {
    FIELD_NODE("address", struct health_keys, address, "host:port"),
    FIELD_TEXT("path", struct health_keys, path, ""),
    FIELD_NUMBER("interval", struct health_keys, interval, 1, 3600, 5),
    FIELD_NUMBER("timeout", struct health_keys, timeout, 1, 60, 3),
    FIELD_NUMBER("rise", struct health_keys, rise, 1, 100, 2),
    FIELD_NUMBER("fall", struct health_keys, fall, 1, 100, 3),
    FIELD_END,
};

static void health_request_build(struct build *b, const struct node *at, const char *path,
                                 struct origin_conf *origin)
{
    char host[ADDR_TEXT_MAX];
    if (*path != '/' || !value_is_line(path, '!') || strlen(path) > PATH_LONGEST) {
        report_error(b->report, node_member(at, "path"),
                     "want a path of at most %d bytes that begins with \"/\", got \"%.64s\"",
                     PATH_LONGEST, path);
        return;
    }
    char *text = arena_printf(b->scratch,
                              "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: v2c\r\n"
                              "Accept: */*\r\nConnection: close\r\n\r\n",
                              path, addr_text(&origin->address, host));
    origin->request = text ? build_text(b, text) : NULL;
}

static bool health_address_build(struct build *b, const struct node *at, struct addr *address)
{
    struct hostname h;
    struct err e = {0};
    if (at->type != NODE_TEXT) {
        report_wrong(b->report, at, "\"host:port\" as text");
        return false;
    }
    bool read = hostname_read(&h, at->text, strlen(at->text), &e) == 0;
    if (read && h.port) {
        hostname_addr(&h, 0, address);
        return true;
    }
    report_error(b->report, at, "want \"host:port\", got \"%.64s\"%s%s", at->text, read ? "" : ": ",
                 e.text);
    return false;
}

static const struct origin_conf *health_build(struct build *b, const struct node *at)
{
    struct health_keys keys;
    struct origin_conf origin;
    memset(&origin, 0, sizeof origin); /* what is kept is compared with its padding */
    if (!at || !fields_read(b->report, at, health_fields, &keys))
        return NULL;
    origin.interval = (double)keys.interval;
    origin.timeout = (double)keys.timeout;
    origin.rise = (unsigned)keys.rise;
    origin.fall = (unsigned)keys.fall;
    if (!keys.address)
        report_error(b->report, at, "want an \"address\": that of the server, \"host:port\"");
    else if (health_address_build(b, keys.address, &origin.address) && *keys.path)
        health_request_build(b, at, keys.path, &origin);
    return build_keep(b, &origin, sizeof origin);
}

/* --- its names --- */

static const char *name_build(struct build *b, const struct node *at, const char *key,
                              const char *text)
{
    char name[HOSTNAME_LABEL_MAX + 1];
    if (!*text)
        return NULL;
    if (tunnel_text_read(name, text, strlen(text)))
        return build_text(b, name);
    report_error(b->report, node_member(at, key),
                 "want 1 to %d letters, digits, '.', '_' and '-', got \"%.64s\"",
                 HOSTNAME_LABEL_MAX, text);
    return NULL;
}

static bool hosts_have(const char *const *hosts, size_t count, const char *host)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(hosts[i], host) == 0)
            return true;
    return false;
}

/* As HOST says it in docs/link.md; what was not read is "". */
static const char *host_text(const struct hostname_pattern *h, char text[HOSTNAME_MAX + 2])
{
    snprintf(text, HOSTNAME_MAX + 2, "%s%s", h->below ? "." : "", h->host.text);
    return text;
}

static void host_build(struct build *b, const struct text_item *item, const char **hosts,
                       size_t *count)
{
    struct hostname_pattern h = {0};
    struct err e = {0};
    char text[HOSTNAME_MAX + 2];
    bool any = strcmp(item->text, "auto") == 0;
    if (!any && host_pattern_read(&h, item->text, strlen(item->text), &e) < 0)
        report_error(b->report, item->at, "want a name like \"app.example.com\", got \"%.64s\": %s",
                     item->text, e.text);
    else if (h.host.kind != HOSTNAME_NAME || h.host.port)
        report_error(b->report, item->at, "want a name without a port, got \"%.64s\"", item->text);
    else if (hosts_have(hosts, *count, host_text(&h, text)))
        report_error(b->report, item->at, "\"%.64s\" stands here twice", item->text);
    else
        hosts[(*count)++] = build_text(b, text);
}

static void hosts_build(struct build *b, const struct node *at, struct bridge_conf *bridge)
{
    struct text_list list;
    if (!at || !value_texts(b->report, b->scratch, at, &list))
        return;
    if (list.count == 0 || list.count > HOSTS_MAX) {
        report_error(b->report, at, "want 1 to %d names, got %zu", HOSTS_MAX, list.count);
        return;
    }
    const char **hosts = arena_array(b->scratch, list.count, sizeof *hosts);
    for (size_t i = 0; hosts && i < list.count; i++)
        host_build(b, &list.items[i], hosts, &bridge->host_count);
    if (hosts)
        bridge->hosts = build_keep(b, hosts, bridge->host_count * sizeof *hosts);
}

static void bridge_names_build(struct build *b, const struct node *at,
                               const struct bridge_keys *keys, struct bridge_conf *bridge)
{
    bridge->node = name_build(b, at, "node", keys->node);
    bridge->cluster = name_build(b, at, "cluster", keys->cluster);
    bridge->tenant = name_build(b, at, "tenant", keys->tenant);
    bridge->weight = (uint8_t)keys->weight;
    hosts_build(b, keys->hosts, bridge);
}

/* --- the bridge --- */

void bridge_conf_build(struct build *b, const struct node *at, struct bridge_conf *bridge)
{
    struct bridge_keys keys;
    fields_read(b->report, at, bridge_fields, &keys);
    if (!*keys.tag)
        report_error(b->report, node_member(at, "tag"), "bridge tag is empty");
    if (!*keys.domain)
        report_error(b->report, node_member(at, "domain"), "bridge domain is empty");
    bridge->tag = build_text(b, keys.tag);
    bridge->domain = build_text(b, keys.domain);
    reverse_domain_check(b, node_member(at, "domain"), bridge->domain);
    bridge->connections = (unsigned)keys.connections;
    bridge->traffic = build_traffic(b, "bridge", bridge->tag, true, true);
    bridge->carriers_slot = build_slot(b, "bridge", bridge->tag, "carriers");
    bridge_names_build(b, at, &keys, bridge);
    bridge->health = health_build(b, keys.health);
    bridge->sniffing = sniffing_conf_build(b, keys.sniffing, NULL, "where this bridge connects to");
}

/* --- its portals --- */

static bool leads_out(enum outbound_kind kind)
{
    return kind == OUT_FREEDOM || kind == OUT_VMESS;
}

static bool holds(const size_t *items, size_t count, size_t item)
{
    for (size_t i = 0; i < count; i++)
        if (items[i] == item)
            return true;
    return false;
}

static void bridge_portal_build(struct build *b, const struct text_item *item, size_t *portals,
                                size_t *count)
{
    const struct name *name = names_find(&b->outbound_tags, item->text);
    if (!name && !b->partial)
        report_error(b->report, item->at, "no outbound has the tag \"%.64s\"", item->text);
    if (!name)
        return;
    if (!leads_out(b->config->outbounds[name->index].kind))
        report_error(b->report, item->at, "no portal is reached through \"%.64s\"", item->text);
    else if (holds(portals, *count, name->index))
        report_error(b->report, item->at, "\"%.64s\" stands here twice", item->text);
    else
        portals[(*count)++] = name->index;
}

void bridge_portals_build(struct build *b, const struct node *at, struct bridge_conf *bridge)
{
    const struct node *tags = node_get(at, "portals");
    struct text_list list;
    if (!tags || tags->type == NODE_NULL || !value_texts(b->report, b->scratch, tags, &list))
        return;
    if (list.count == 0)
        report_error(b->report, tags,
                     "want at least one tag; leave \"portals\" out to let rules "
                     "find the portal");
    size_t *portals = arena_array(b->scratch, list.count, sizeof *portals);
    for (size_t i = 0; portals && i < list.count; i++)
        bridge_portal_build(b, &list.items[i], portals, &bridge->portal_count);
    if (portals)
        bridge->portals = build_keep(b, portals, bridge->portal_count * sizeof *portals);
}
