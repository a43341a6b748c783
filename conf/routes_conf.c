/* conf/routes_conf.c -- the array "routes": hosts, paths and headers, and where their requests go. */
#include <string.h>

#include "conf/compile.h"
#include "conf/guides.h"
#include "conf/idn.h"

struct route_keys {
    const struct node *host;
    const char *path, *header, *value;
    const char *tunnel, *node, *cluster, *portal, *tenant, *outbound, *address;
    int by;
};

static const struct field_name by_names[] = {
    {"tunnel", TUNNEL_BY_ID},
    {"node", TUNNEL_BY_NODE},
    {"cluster", TUNNEL_BY_CLUSTER},
    {NULL, 0},
};

const struct field route_fields[] = {
    FIELD_NODE("host", struct route_keys, host, "texts"),
    FIELD_TEXT("path", struct route_keys, path, ""),
    FIELD_TEXT("header", struct route_keys, header, ""),
    FIELD_TEXT("value", struct route_keys, value, ""),
    FIELD_NAME("by", struct route_keys, by, by_names, TUNNEL_UNNAMED),
    FIELD_TEXT("tunnel", struct route_keys, tunnel, ""),
    FIELD_TEXT("node", struct route_keys, node, ""),
    FIELD_TEXT("cluster", struct route_keys, cluster, ""),
    FIELD_TEXT("portal", struct route_keys, portal, ""),
    FIELD_TEXT("tenant", struct route_keys, tenant, ""),
    FIELD_TEXT("outboundTag", struct route_keys, outbound, ""),
    FIELD_TEXT("address", struct route_keys, address, ""),
    FIELD_END,
};

/* --- where to --- */

/* "$ID" is a private tunnel. */
static int tunnel_read(struct route_to *to, uint8_t by, const char *text, size_t len, struct err *e)
{
    bool is_private = len > 0 && *text == '$' && by == TUNNEL_BY_ID;
    to->is_private = is_private;
    to->tunnel.by = by;
    if (tunnel_text_read(to->tunnel.text, text + is_private, len - is_private))
        return 0;
    return err_set(e, EINVAL, "want a name of 1..%d letters, digits, '-', '_' and '.'",
                   TUNNEL_NAME_MAX);
}

static int address_read(struct route_to *to, const char *text, size_t len, struct err *e)
{
    struct hostname h;
    if (hostname_read(&h, text, len, e) < 0)
        return -1;
    if (!h.port)
        return err_set(e, EINVAL, "an address without a port");
    to->kind = ROUTE_ADDRESS;
    hostname_addr(&h, 0, &to->address);
    return 0;
}

int route_to_read(struct route_to *to, const char *text, size_t len, const struct route_home *home,
                  struct err *e)
{
    struct hostname h;
    struct err none;
    bool is_ip = hostname_read_bare(&h, text, len, &none) == 0 && h.kind != HOSTNAME_NAME;
    memset(to, 0, sizeof *to);
    if (is_ip || memchr(text, ':', len))
        return address_read(to, text, len, e);
    if (!home->has_portal)
        return err_set(e, EINVAL, "a tunnel, and no \"portal\" says where it is");
    to->kind = ROUTE_TUNNEL;
    to->outbound = home->portal;
    to->tunnel.tenant = home->tenant;
    return tunnel_read(to, TUNNEL_BY_ID, text, len, e);
}

const char *tenant_build(struct build *b, const struct node *at, const char *text)
{
    char name[TUNNEL_NAME_MAX + 1];
    if (!*text)
        return NULL;
    if (tunnel_text_read(name, text, strlen(text)))
        return build_text(b, name);
    report_error(b->report, at,
                 "want a name of 1..%d letters, digits, '-', '_' and '.', got \"%.64s\"",
                 TUNNEL_NAME_MAX, text);
    return NULL;
}

bool portal_named(struct build *b, const struct node *at, const char *tag, size_t *portal)
{
    const struct name *n = names_find(&b->outbound_tags, tag);
    const struct outbound_conf *out = n ? &b->config->outbounds[n->index] : NULL;
    if (!n && !b->partial)
        report_error(b->report, at, "no portal has the tag \"%.64s\"", tag);
    else if (n && out->kind != OUT_PORTAL)
        report_error(b->report, at, "\"%.64s\" is no portal", tag);
    else if (n && out->portal && strncmp(out->portal->domain, "*.", 2) != 0)
        report_error(b->report, at,
                     "the portal \"%.64s\" has one tunnel: want one with a domain like "
                     "\"*.tunnel.example\", or its tag as \"outboundTag\"",
                     tag);
    if (n)
        *portal = n->index;
    return n;
}

/* Of "tunnel", "node" and "cluster" the one that is there. */
static bool tunnel_build(struct build *b, const struct node *at, const struct route_keys *keys,
                         const struct route_home *home, struct route_to *to)
{
    static const char *const members[] = {"tunnel", "node", "cluster"};
    const char *texts[] = {keys->tunnel, keys->node, keys->cluster};
    struct err e;
    to->kind = ROUTE_TUNNEL;
    to->tunnel.by = (uint8_t)keys->by;
    to->outbound = home->portal;
    to->tunnel.tenant =
        *keys->tenant ? tenant_build(b, node_member(at, "tenant"), keys->tenant) : home->tenant;
    for (size_t i = 0; i < 3; i++)
        if (*texts[i] &&
            tunnel_read(to, (uint8_t)by_names[i].value, texts[i], strlen(texts[i]), &e) < 0)
            report_error(b->report, node_member(at, members[i]), "%s", e.text);
    if (*keys->portal)
        return portal_named(b, node_member(at, "portal"), keys->portal, &to->outbound);
    if (!home->has_portal && !b->partial)
        report_error(b->report, at, "want \"portal\", the tag of the portal whose tunnel it is");
    return home->has_portal;
}

static bool outbound_build(struct build *b, const struct node *at, const char *tag,
                           struct route_to *to)
{
    const struct name *n = names_find(&b->outbound_tags, tag);
    if (!n && !b->partial)
        report_error(b->report, node_member(at, "outboundTag"), "no outbound has the tag \"%.64s\"",
                     tag);
    to->kind = ROUTE_OUTBOUND;
    to->outbound = n ? n->index : 0;
    return n;
}

static bool address_build(struct build *b, const struct node *at, const char *text,
                          struct route_to *to)
{
    struct err e;
    if (address_read(to, text, strlen(text), &e) == 0)
        return true;
    report_error(b->report, node_member(at, "address"), "%s; want \"HOST:PORT\", got \"%.64s\"",
                 e.text, text);
    return false;
}

/* How many of these are there; all but the first are reported. */
static int targets(struct build *b, const struct node *at, const struct route_keys *keys)
{
    const struct {
        const char *key, *text;
    } all[] = {{"address", keys->address}, {"outboundTag", keys->outbound},
               {"tunnel", keys->tunnel},   {"node", keys->node},
               {"cluster", keys->cluster}, {"by", keys->by ? "by" : ""}};
    int count = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (*all[i].text && count++)
            report_error(b->report, node_member(at, all[i].key),
                         "want one of \"tunnel\", \"node\", \"cluster\", \"by\", \"outboundTag\" "
                         "and \"address\", got \"%.64s\" besides another one",
                         all[i].text);
    if (count == 0)
        report_error(b->report, node_member(at, "address"),
                     "want one of \"tunnel\", \"node\", \"cluster\", \"by\", \"outboundTag\" and "
                     "\"address\"");
    return count;
}

static void of_tunnels_only(struct build *b, const struct node *at, const char *key,
                            const char *text)
{
    if (*text)
        report_error(b->report, node_member(at, key),
                     "want \"%s\" in routes to tunnels only, got \"%.64s\"", key, text);
}

static bool to_build(struct build *b, const struct node *at, const struct route_keys *keys,
                     const struct route_home *home, struct route_to *to)
{
    if (targets(b, at, keys) != 1)
        return false;
    if (!*keys->outbound && !*keys->address)
        return tunnel_build(b, at, keys, home, to);
    of_tunnels_only(b, at, "portal", keys->portal);
    of_tunnels_only(b, at, "tenant", keys->tenant);
    return *keys->outbound ? outbound_build(b, at, keys->outbound, to)
                           : address_build(b, at, keys->address, to);
}

/* --- which requests --- */

static bool path_check(struct build *b, const struct node *at, const char *path)
{
    bool fits = !*path || (*path == '/' && strlen(path) <= ROUTE_PATH_MAX);
    for (const char *p = path; *p; p++)
        fits &= *p > ' ' && *p < 0x7f && *p != '?' && *p != '#';
    if (!fits)
        report_error(b->report, node_member(at, "path"),
                     "want a path that begins with '/', without blanks, '?' and '#', of at most %d "
                     "bytes, got \"%.64s\"",
                     ROUTE_PATH_MAX, path);
    return fits;
}

static bool header_check(struct build *b, const struct node *at, const struct route_keys *keys)
{
    size_t before = b->report->errors;
    if (*keys->header &&
        (!header_name_is_valid(keys->header) || strlen(keys->header) > ROUTE_HEADER_MAX))
        report_error(b->report, node_member(at, "header"),
                     "want the name of a header, got \"%.64s\"", keys->header);
    if (!*keys->header && (*keys->value || keys->by))
        report_error(
            b->report, node_member(at, *keys->value ? "value" : "by"),
            "want a \"header\", of which \"value\" and \"by\" say what it means, got \"%.64s\"",
            *keys->value ? keys->value : "by");
    if (*keys->header && !*keys->value && !keys->by)
        report_error(b->report, at,
                     "want \"value\", what the header must say, or \"by\", what it names");
    if (*keys->value && keys->by)
        report_error(b->report, at, "want \"value\" or \"by\", not both");
    if (!value_is_line(keys->value, ' ') || strlen(keys->value) > ROUTE_VALUE_MAX)
        report_error(b->report, node_member(at, "value"), "want at most %d bytes of one line",
                     ROUTE_VALUE_MAX);
    return b->report->errors == before;
}

/* --- all of it --- */

static void route_add(struct build *b, const struct node *at, const struct route *one,
                      struct routes *to)
{
    struct err e;
    if (routes_add(to, one, &e) < 0)
        report_error(b->report, at, "%s", e.text);
}

static void hosts_add(struct build *b, const struct node *at, struct route *one, struct routes *to)
{
    struct text_list list;
    if (!value_texts(b->report, b->scratch, at, &list))
        return;
    if (list.count == 0)
        report_error(b->report, at, "want a host; leave \"host\" out for any");
    for (size_t i = 0; i < list.count; i++) {
        struct hostname_pattern p;
        struct err e;
        one->host = &p;
        if (host_pattern_read(&p, list.items[i].text, strlen(list.items[i].text), &e) < 0)
            report_error(b->report, list.items[i].at, "want a host, got \"%.64s\": %s",
                         list.items[i].text, e.text);
        else
            route_add(b, list.items[i].at, one, to);
    }
}

static char *lower_text(struct build *b, const char *text)
{
    char *copy = arena_text(b->scratch, text, strlen(text));
    for (char *p = copy; p && *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p + ('a' - 'A'));
    return copy;
}

static void route_build(struct build *b, const struct node *at, const struct route_home *home,
                        struct routes *to)
{
    struct route_keys keys;
    struct route one = {0};
    fields_read(b->report, at, route_fields, &keys);
    const char *header = lower_text(b, keys.header);
    bool fits = path_check(b, at, keys.path);
    fits = header_check(b, at, &keys) && fits;
    if (!to_build(b, at, &keys, home, &one.to) || !fits || !header)
        return;
    one.path = (struct head_text){keys.path, strlen(keys.path)};
    one.header = (struct head_text){header, strlen(header)};
    one.value = (struct head_text){keys.value, strlen(keys.value)};
    if (keys.host)
        hosts_add(b, keys.host, &one, to);
    else
        route_add(b, at, &one, to);
}

void routes_conf_build(struct build *b, const struct node *at, const struct route_home *home,
                       struct routes *to)
{
    struct node_list nodes = {0};
    value_objects(b->report, b->scratch, at, &nodes);
    for (size_t i = 0; i < nodes.count; i++)
        route_build(b, nodes.items[i], home, to);
}
