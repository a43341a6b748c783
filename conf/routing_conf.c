#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf/compile.h"

struct routing_keys {
    const struct node *rules, *settings, *balancers;
    int strategy; /* only one is possible */
};

struct rule_keys {
    const struct node *type, *domain, *domains, *ip, *port, *source_port, *network, *source;
    const struct node *source_ip, *user, *inbound_tag, *balancer_tag, *outbound_tag;
};

static const struct field_name strategy_names[] = {
    {"AsIs", 0}, {"alwaysIP", 0}, {"IPIfNonMatch", NAME_LATER}, {"IPOnDemand", NAME_LATER},
    {NULL, 0},
};

static const struct field_name type_names[] = {
    {"field", 0},
    {"chinaip", NAME_LATER},
    {"chinasites", NAME_LATER},
    {NULL, 0},
};

static const struct field settings_fields[] = {
    FIELD_NODE("rules", struct routing_keys, rules, "objects"),
    FIELD_NAME_LENIENT("domainStrategy", struct routing_keys, strategy, strategy_names, 0),
    FIELD_END,
};

/* settings: where V2Ray 3 had the rules. */
const struct field routing_fields[] = {
    FIELD_NODE("rules", struct routing_keys, rules, "objects"),
    FIELD_NAME_LENIENT("domainStrategy", struct routing_keys, strategy, strategy_names, 0),
    FIELD_NODE("settings", struct routing_keys, settings, "object"),
    FIELD_NODE("balancers", struct routing_keys, balancers, "objects"),
    FIELD_IGNORED("strategy"),
    FIELD_IGNORED("domainMatcher"),
    FIELD_END,
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
    FIELD_LATER_WHAT("protocol", "protocol in rules"),
    FIELD_LATER_WHAT("attrs", "attrs in rules"),
    FIELD_LATER_WHAT("localIP", "localIP in rules"),
    FIELD_LATER_WHAT("localPort", "localPort in rules"),
    FIELD_LATER_WHAT("process", "process in rules"),
    FIELD_LATER_WHAT("localOS", "localOS in rules"),
    FIELD_LATER("vlessRoute"),
    FIELD_LATER("webhook"),
    FIELD_IGNORED("ruleTag"),
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

static bool starts_with(const char *text, const char *prefix)
{
    return strncasecmp(text, prefix, strlen(prefix)) == 0;
}

static void fail_memory(struct rule_build *rb)
{
    rb->b->scratch->failed = true;
}

struct later_prefix {
    const char *text, *what;
};

static bool is_later(struct rule_build *rb, const struct text_item *item,
                     const struct later_prefix *prefix)
{
    while (prefix->text && !starts_with(item->text, prefix->text))
        prefix++;
    if (prefix->text)
        report_error(rb->b->report, item->at, "v2c has no %s yet", prefix->what);
    return prefix->text;
}

/* A plain text is found anywhere in a name: "com" is in nearly every one. */
static void warn_wide_domain(struct rule_build *rb, const struct text_item *item)
{
    if (!strpbrk(item->text, ":."))
        report_warn(rb->b->report, item->at,
                    "\"%.64s\" matches every name that has this text anywhere; did you mean "
                    "\"domain:%.64s\"?",
                    item->text, item->text);
}

static void domain_add(struct rule_build *rb, const struct text_item *item)
{
    static const struct later_prefix later[] = {
        {"geosite:", "geosite: lists"},
        {"ext:", "ext: lists"},
        {"ext-domain:", "ext-domain: lists"},
        {NULL, NULL},
    };
    struct err e = {0};
    if (is_later(rb, item, later))
        return;
    warn_wide_domain(rb, item);
    if (domain_set_add(rb->rule.domains, item->text, &e) < 0)
        report_error(rb->b->report, item->at, "failed to parse domain rule: %s", e.text);
}

static void domains_build(struct rule_build *rb, const struct node *at)
{
    struct text_list list;
    if (!at || !value_texts(rb->b->report, rb->b->scratch, at, &list) || list.count == 0)
        return;
    if (!rb->rule.domains) {
        rb->rule.domains = domain_set_new();
        rb->fields++;
    }
    if (!rb->rule.domains)
        fail_memory(rb);
    for (size_t i = 0; rb->rule.domains && i < list.count; i++)
        domain_add(rb, &list.items[i]);
}

static void ip_add(struct rule_build *rb, const struct text_item *item, struct cidr_set *set)
{
    static const struct later_prefix later[] = {
        {"geoip:", "geoip: lists"},  {"ext:", "ext: lists"}, {"ext-ip:", "ext-ip: lists"},
        {"!", "\"!\" before an IP"}, {NULL, NULL},
    };
    struct err e = {0};
    if (!is_later(rb, item, later) && cidr_set_add(set, item->text, &e) < 0)
        report_error(rb->b->report, item->at, "invalid IP: %.64s", item->text);
}

static void ips_build(struct rule_build *rb, const struct node *at, struct cidr_set **set)
{
    struct text_list list;
    if (!at || !value_texts(rb->b->report, rb->b->scratch, at, &list) || list.count == 0)
        return;
    if (!*set) {
        *set = cidr_set_new();
        rb->fields++;
    }
    for (size_t i = 0; *set && i < list.count; i++)
        ip_add(rb, &list.items[i], *set);
    if (!*set || cidr_set_seal(*set) < 0)
        fail_memory(rb);
}

/* V2Ray accepts an empty text and a range from high to low, which match nothing: so do we, loudly. */
static void ports_build(struct rule_build *rb, const struct node *at, struct port_set *set)
{
    char digits[32], got[64];
    const char *text = digits;
    struct err e = {0};
    if (!at)
        return;
    if (at->type == NODE_TEXT)
        text = at->text;
    else if (at->type == NODE_INTEGER)
        snprintf(digits, sizeof digits, "%" PRId64, at->integer);
    else {
        report_error(rb->b->report, at, "want a port or text like \"53,443,1000-2000\", got %s",
                     node_describe(at, got, sizeof got));
        return;
    }
    rb->fields++;
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
    if (!at || node_is_empty(at))
        return;
    rb->fields++;
    if (value_networks(rb->b->report, rb->b->scratch, at, &rb->rule.networks))
        rb->never = rb->never || rb->rule.networks == 0;
}

/* The rule owns its texts. names: who may be meant. */
static void texts_build(struct rule_build *rb, const struct node *at, struct string_list *to,
                        const struct names *names, const char *unknown)
{
    struct text_list list;
    if (!at || !value_texts(rb->b->report, rb->b->scratch, at, &list) || list.count == 0)
        return;
    rb->fields++;
    to->items = calloc(list.count, sizeof *to->items);
    for (size_t i = 0; to->items && i < list.count; i++) {
        char *text = strdup(list.items[i].text);
        if (!text) {
            fail_memory(rb);
            return;
        }
        to->items[to->count++] = text;
        if (!rb->b->partial && !names_find(names, text))
            report_warn(rb->b->report, list.items[i].at, "%s \"%.64s\": it never matches", unknown,
                        text);
    }
    if (!to->items)
        fail_memory(rb);
}

static void check_portal_rule(struct rule_build *rb, const struct node *at)
{
    const struct rule *rule = &rb->rule;
    const struct config *c = rb->b->config;
    bool portal = rule->balancer ? balancer_has_portal(c, rule->balancer)
                                 : c->outbounds[rule->outbound].kind == OUT_PORTAL;
    if (portal && !rule->inbound_tags.count && !rule->users.count)
        report_warn(
            rb->b->report, at,
            "visitors of every inbound may reach this portal: name an inboundTag or a user");
}

static void target_build(struct rule_build *rb, const struct node *at, const struct rule_keys *keys)
{
    struct report *r = rb->b->report;
    const struct node *tag = keys->outbound_tag;
    if (tag && tag->type != NODE_TEXT) {
        report_error(r, tag, "want the tag of an outbound as text");
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
        report_error(r, at, "neither outboundTag nor balancerTag is specified in routing rule");
    }
}

static void conditions_build(struct rule_build *rb, const struct rule_keys *keys)
{
    struct rule *rule = &rb->rule;
    domains_build(rb, keys->domain);
    domains_build(rb, keys->domains);
    ips_build(rb, keys->ip, &rule->ips);
    ips_build(rb, keys->source, &rule->sources);
    ips_build(rb, keys->source_ip, &rule->sources);
    ports_build(rb, keys->port, &rule->ports);
    ports_build(rb, keys->source_port, &rule->source_ports);
    networks_build(rb, keys->network);
    texts_build(rb, keys->inbound_tag, &rule->inbound_tags, &rb->b->inbound_tags,
                "no inbound or bridge has the tag");
    texts_build(rb, keys->user, &rule->users, &rb->b->emails, "no client has the email");
}

/* False: the rule can never match, or is wrong, and is left out. */
static bool rule_build(struct build *b, const struct node *at, struct rule *out)
{
    struct rule_keys keys;
    struct rule_build rb = {.b = b};
    unsigned before = b->report->errors;
    fields_read(b->report, at, rule_fields, &keys);
    if (keys.type)
        value_name(b->report, keys.type, type_names, "unknown router rule type", "rules");
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

void routing_conf_build(struct build *b, const struct node *at)
{
    struct routing_keys keys, old;
    struct node_list nodes = {0};
    struct rules *rules = &b->config->rules;
    fields_read(b->report, at, routing_fields, &keys);
    fields_read(b->report, keys.settings, settings_fields, &old);
    balancers_conf_build(b, keys.balancers);
    value_objects(b->report, b->scratch, keys.rules, &nodes);
    value_objects(b->report, b->scratch, old.rules, &nodes);
    if (nodes.count == 0)
        return;
    rules->items = calloc(nodes.count, sizeof *rules->items);
    if (!rules->items) {
        b->scratch->failed = true;
        return;
    }
    for (size_t i = 0; i < nodes.count; i++)
        if (rule_build(b, nodes.items[i], &rules->items[rules->count]))
            rules->count++;
}
