#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf/compile.h"

enum { NOTE_MAX = 160 }; /* bytes of a condition that are kept for people */

struct rule_keys {
    const struct node *type, *domain, *domains, *ip, *port, *source_port, *network, *source;
    const struct node *source_ip, *user, *inbound_tag, *balancer_tag, *outbound_tag, *protocol,
        *attrs;
    const char *rule_tag;
};

static const struct field_name type_names[] = {
    {"field", 0},
    {"chinaip", NAME_LATER},
    {"chinasites", NAME_LATER},
    {NULL, 0},
};

const struct field rule_fields[] = {
    FIELD_NODE("type", struct rule_keys, type, "field"),
    FIELD_NODE("domain", struct rule_keys, domain, "texts"),
    FIELD_NODE("domains", struct rule_keys, domains, "texts"),
    FIELD_NODE("ip", struct rule_keys, ip, "texts"),
    FIELD_NODE("port", struct rule_keys, port, "ports"),
    FIELD_NODE("sourcePort", struct rule_keys, source_port, "ports"),
    FIELD_NODE("network", struct rule_keys, network, "networks"),
    FIELD_NODE("source", struct rule_keys, source, "texts"),
    FIELD_NODE("sourceIP", struct rule_keys, source_ip, "texts"),
    FIELD_NODE("user", struct rule_keys, user, "emails"),
    FIELD_NODE("inboundTag", struct rule_keys, inbound_tag, "tags"),
    FIELD_NODE("outboundTag", struct rule_keys, outbound_tag, "tag"),
    FIELD_NODE("balancerTag", struct rule_keys, balancer_tag, "tag"),
    FIELD_NODE("protocol", struct rule_keys, protocol, "texts"),
    FIELD_NODE("attrs", struct rule_keys, attrs, "condition"),
    FIELD_TEXT("ruleTag", struct rule_keys, rule_tag, ""),
    FIELD_LATER_WHAT("localIP", "localIP in rules"),
    FIELD_LATER_WHAT("localPort", "localPort in rules"),
    FIELD_LATER_WHAT("process", "process in rules"),
    FIELD_LATER_WHAT("localOS", "localOS in rules"),
    FIELD_LATER("vlessRoute"),
    FIELD_LATER("webhook"),
    FIELD_IGNORED("domainMatcher"),
    FIELD_END,
};

/* A rule in the making. fields: how many can match; never: one of them cannot. */
struct rule_build {
    struct build *b;
    struct rule rule;
    unsigned fields;
    bool never;
};

static void fail_memory(struct rule_build *rb)
{
    rb->b->scratch->failed = true;
}

/* Puts a value, as it stands in the file, behind what is noted already. */
static void note_value(char text[NOTE_MAX], const struct node *n)
{
    size_t len = strlen(text);
    const char *comma = len ? ", " : "", *key = n->key && n->parent->key ? n->key : "";
    if (n->type == NODE_INTEGER)
        snprintf(text + len, NOTE_MAX - len, "%s%" PRId64, comma, n->integer);
    else if (n->type == NODE_TEXT)
        snprintf(text + len, NOTE_MAX - len, "%s%s%s%s", comma, key, *key ? ": " : "", n->text);
}

/* One more condition; keeps its beginning for people. */
static void note(struct rule_build *rb, enum condition cond, const struct node *at)
{
    const char **kept = &rb->rule.texts[cond];
    char text[NOTE_MAX] = "";
    rb->fields++;
    if (*kept)
        snprintf(text, sizeof text, "%s", *kept);
    if (at->type == NODE_ARRAY || at->type == NODE_OBJECT)
        for (const struct node *n = at->first; n && strlen(text) < NOTE_MAX - 1; n = n->next)
            note_value(text, n);
    else
        note_value(text, at);
    if (strlen(text) == NOTE_MAX - 1)
        memcpy(text + NOTE_MAX - 4, "...", 4);
    *kept = arena_text(rb->b->config->strings, text, strlen(text));
}

static void domains_build(struct rule_build *rb, const struct node *at)
{
    if (domain_set_build(rb->b, at, &rb->rule.domains))
        note(rb, COND_DOMAIN, at);
}

static void ips_build(struct rule_build *rb, enum condition cond, const struct node *at,
                      struct cidr_set **set)
{
    if (cidr_set_build(rb->b, at, set))
        note(rb, cond, at);
}

/* V2Ray accepts an empty text and a range from high to low, which match nothing: so do we, loudly. */
static void ports_build(struct rule_build *rb, enum condition cond, const struct node *at,
                        struct port_set *set)
{
    char digits[32];
    const char *text = digits;
    struct err e = {0};
    if (!at)
        return;
    if (at->type == NODE_TEXT)
        text = at->text;
    else if (at->type == NODE_INTEGER)
        snprintf(digits, sizeof digits, "%" PRId64, at->integer);
    else {
        report_wrong(rb->b->report, at, "a port or text like \"53,443,1000-2000\"");
        return;
    }
    note(rb, cond, at);
    if (strcmp(text, "0") == 0)
        report_warn(rb->b->report, at, "port 0 is nobody's: the rule never matches");
    else if (port_set_add(set, text, &e) == 0)
        return;
    else if (e.code == ERANGE)
        report_warn(rb->b->report, at, "%s: it never matches", e.text);
    else
        report_error(rb->b->report, at, "%s", e.text);
    rb->never = rb->never || set->count == 0;
}

static void networks_build(struct rule_build *rb, const struct node *at)
{
    if (!at || node_is_blank(at))
        return;
    note(rb, COND_NETWORK, at);
    if (value_networks(rb->b->report, rb->b->scratch, at, &rb->rule.networks))
        rb->never = rb->never || rb->rule.networks == 0;
}

static bool list_of(struct rule_build *rb, enum condition cond, const struct node *at,
                    struct text_list *list)
{
    if (!at || at->type == NODE_NULL || !value_texts(rb->b->report, rb->b->scratch, at, list))
        return false;
    if (list->count == 0)
        report_warn(rb->b->report, at,
                    "want somebody in this list, got nobody: it is no condition, and anybody "
                    "matches");
    else
        note(rb, cond, at);
    return list->count > 0;
}

/* The rule owns its texts. */
static bool list_room(struct rule_build *rb, struct string_list *to, size_t count)
{
    to->items = calloc(count, sizeof *to->items);
    if (!to->items)
        fail_memory(rb);
    return to->items;
}

static void list_add(struct rule_build *rb, struct string_list *to, const char *text)
{
    char *copy = strdup(text);
    if (copy)
        to->items[to->count++] = copy;
    else
        fail_memory(rb);
}

static void check_name(struct rule_build *rb, const struct text_item *item,
                       const struct names *names, const char *unknown)
{
    if (!rb->b->partial && !names_find(names, item->text))
        report_warn(rb->b->report, item->at, "%s \"%.64s\": it never matches", unknown, item->text);
}

static void tags_build(struct rule_build *rb, const struct node *at)
{
    struct string_list *to = &rb->rule.inbound_tags;
    struct text_list list;
    if (!list_of(rb, COND_INBOUND, at, &list) || !list_room(rb, to, list.count))
        return;
    for (size_t i = 0; i < list.count; i++) {
        list_add(rb, to, list.items[i].text);
        check_name(rb, &list.items[i], &rb->b->inbound_tags, "no inbound or bridge has the tag");
    }
}

static void pattern_add(struct rule_build *rb, const struct text_item *item, const char *pattern)
{
    struct rule *r = &rb->rule;
    struct err e = {0};
    struct regex **patterns =
        realloc(r->user_patterns, (r->user_pattern_count + 1) * sizeof(struct regex *));
    if (!patterns) {
        fail_memory(rb);
        return;
    }
    r->user_patterns = patterns;
    struct regex *regex = *pattern ? regex_new_exact(pattern, &e) : NULL;
    if (regex)
        patterns[r->user_pattern_count++] = regex;
    else
        report_error(rb->b->report, item->at, "%s",
                     *pattern ? e.text : "want a regular expression after regexp:");
}

/* Whole emails, and Xray's "regexp:". */
static void users_build(struct rule_build *rb, const struct node *at)
{
    static const char prefix[] = "regexp:";
    struct string_list *to = &rb->rule.users;
    struct text_list list;
    if (!list_of(rb, COND_USER, at, &list) || !list_room(rb, to, list.count))
        return;
    for (size_t i = 0; i < list.count; i++) {
        const struct text_item *item = &list.items[i];
        if (strncmp(item->text, prefix, sizeof prefix - 1) == 0) {
            pattern_add(rb, item, item->text + sizeof prefix - 1);
            continue;
        }
        list_add(rb, to, item->text);
        check_name(rb, item, &rb->b->emails, "no client has the email");
    }
}

/* What v2c never says is looked for in vain, and what is cut short matches all that begins so. */
static void check_protocol(struct rule_build *rb, const struct text_item *item)
{
    static const char *const known[] = {"http1", "tls", "quic", "bittorrent"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strncasecmp(known[i], item->text, strlen(item->text)) == 0)
            return;
    report_warn(rb->b->report, item->at,
                "v2c recognises http, tls, quic and bittorrent, not \"%.64s\": it never matches",
                item->text);
}

static void protocols_build(struct rule_build *rb, const struct node *at)
{
    struct string_list *to = &rb->rule.protocols;
    struct text_list list;
    if (!list_of(rb, COND_PROTOCOL, at, &list) || !list_room(rb, to, list.count))
        return;
    for (size_t i = 0; i < list.count; i++) {
        char word[64];
        snprintf(word, sizeof word, "%s", list.items[i].text);
        for (char *c = word; *c; c++)
            *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + ('a' - 'A')) : *c;
        list_add(rb, to, word);
        check_protocol(rb, &list.items[i]);
    }
}

static void attrs_map_build(struct rule_build *rb, const struct node *at)
{
    struct err e = {0};
    rb->rule.attrs = attrs_map_new();
    if (!rb->rule.attrs)
        fail_memory(rb);
    for (const struct node *n = at->first; rb->rule.attrs && n; n = n->next)
        if (n->type != NODE_TEXT)
            report_wrong(rb->b->report, n, "a regular expression as text");
        else if (attrs_map_add(rb->rule.attrs, n->key, n->text, &e) < 0)
            report_error(rb->b->report, n, "%s", e.text);
}

/* V2Ray's expression, or Xray's map. */
static void attrs_build(struct rule_build *rb, const struct node *at)
{
    struct err e = {0};
    bool none =
        at && ((at->type == NODE_TEXT && !*at->text) || (at->type == NODE_OBJECT && !at->first));
    if (!at || none)
        return;
    note(rb, COND_ATTRS, at);
    if (at->type == NODE_OBJECT) {
        attrs_map_build(rb, at);
    } else if (at->type == NODE_TEXT) {
        rb->rule.attrs = attrs_new(at->text, &e);
        if (!rb->rule.attrs)
            report_error(rb->b->report, at, "%s", e.text);
    } else {
        report_wrong(rb->b->report, at, "a text like \"attrs[':method'] == 'GET'\" or an object");
    }
}

static void check_portal_rule(struct rule_build *rb, const struct node *at)
{
    const struct rule *rule = &rb->rule;
    const struct config *c = rb->b->config;
    bool portal = rule->balancer ? balancer_has_portal(c, rule->balancer)
                                 : c->outbounds[rule->outbound].kind == OUT_PORTAL;
    if (portal && !rule->inbound_tags.count && !rule->users.count && !rule->user_pattern_count)
        report_warn(
            rb->b->report, at,
            "visitors of every inbound may reach this portal: name an inboundTag or a user");
}

static void target_build(struct rule_build *rb, const struct node *at, const struct rule_keys *keys)
{
    struct report *r = rb->b->report;
    const struct node *tag = keys->outbound_tag;
    if (tag && tag->type != NODE_TEXT) {
        report_wrong(r, tag, "the tag of an outbound as text");
    } else if (tag && *tag->text) {
        const struct name *name = names_find(&rb->b->outbound_tags, tag->text);
        if (name)
            rb->rule.outbound = name->index;
        else if (!rb->b->partial)
            report_error(r, tag, "no outbound, portal or api has the tag \"%.64s\"", tag->text);
        if (name)
            check_portal_rule(rb, at);
        if (keys->balancer_tag)
            report_warn(r, keys->balancer_tag, "has no effect: outboundTag decides");
    } else if (keys->balancer_tag && !node_is_empty(keys->balancer_tag)) {
        rb->rule.balancer = balancer_named(rb->b, keys->balancer_tag);
        if (rb->rule.balancer)
            check_portal_rule(rb, at);
    } else {
        report_error(r, node_member(at, "outboundTag"),
                     "neither outboundTag nor balancerTag is specified in routing rule");
    }
}

static void conditions_build(struct rule_build *rb, const struct rule_keys *keys)
{
    struct rule *rule = &rb->rule;
    domains_build(rb, keys->domain);
    domains_build(rb, keys->domains);
    ips_build(rb, COND_IP, keys->ip, &rule->ips);
    ips_build(rb, COND_SOURCE, keys->source, &rule->sources);
    ips_build(rb, COND_SOURCE, keys->source_ip, &rule->sources);
    ports_build(rb, COND_PORT, keys->port, &rule->ports);
    ports_build(rb, COND_SOURCE_PORT, keys->source_port, &rule->source_ports);
    networks_build(rb, keys->network);
    tags_build(rb, keys->inbound_tag);
    users_build(rb, keys->user);
    protocols_build(rb, keys->protocol);
    attrs_build(rb, keys->attrs);
}

bool rule_conf_build(struct build *b, const struct node *at, struct rule *out)
{
    struct rule_keys keys;
    struct rule_build rb = {.b = b};
    char pointer[NODE_POINTER_MAX];
    unsigned before = b->report->errors;
    fields_read(b->report, at, rule_fields, &keys);
    if (keys.type)
        value_name(b->report, keys.type, type_names, "unknown router rule type", "rules");
    if (*keys.rule_tag)
        rb.rule.tag = arena_text(b->config->strings, keys.rule_tag, strlen(keys.rule_tag));
    rb.rule.pointer = arena_printf(b->config->strings, "%s", node_pointer(at, pointer));
    conditions_build(&rb, &keys);
    if (rb.fields == 0 && b->report->errors == before)
        report_error(b->report, at, "this rule has no effective fields");
    target_build(&rb, at, &keys);
    if (rb.never || b->report->errors > before) {
        rule_fini(&rb.rule);
        return false;
    }
    *out = rb.rule;
    return true;
}
