#include <stdlib.h>
#include <string.h>

#include "conf/compile.h"

struct balancer_keys {
    const char *tag;
    const struct node *selector, *fallback;
    int strategy;
};

static const struct field_name strategy_names[] = {
    {"random", BALANCE_RANDOM},
    {"roundRobin", BALANCE_ROUND_ROBIN},
    {"leastPing", BALANCE_LEAST_PING},
    {"leastLoad", NAME_LATER},
    {NULL, 0},
};

/* settings: whom to observe by, and that only what is alive counts, which it always does. */
static const struct field strategy_fields[] = {
    FIELD_NAME("type", struct balancer_keys, strategy, strategy_names, BALANCE_RANDOM),
    FIELD_IGNORED("settings"),
    FIELD_END,
};

const struct field balancer_fields[] = {
    FIELD_TEXT("tag", struct balancer_keys, tag, ""),
    FIELD_NODE("selector", struct balancer_keys, selector, "texts"),
    FIELD_OBJECT("strategy", strategy_fields),
    FIELD_NODE("fallbackTag", struct balancer_keys, fallback, "tag"),
    FIELD_END,
};

/* --- selectors --- */

static bool selects(const struct outbound_conf *out, const char *prefix)
{
    return *out->tag && out->kind != OUT_API && strncmp(out->tag, prefix, strlen(prefix)) == 0;
}

static void check_prefix(struct build *b, const struct text_item *item)
{
    const struct config *c = b->config;
    for (size_t i = 0; i < c->outbound_count; i++)
        if (selects(&c->outbounds[i], item->text))
            return;
    if (!b->partial)
        report_warn(b->report, item->at,
                    "no outbound or portal has a tag that begins with \"%.64s\"", item->text);
}

static bool selected(const struct outbound_conf *out, const struct text_list *prefixes)
{
    for (size_t i = 0; i < prefixes->count; i++)
        if (selects(out, prefixes->items[i].text))
            return true;
    return false;
}

static void sort_by_tag(const struct config *c, size_t *items, size_t count)
{
    for (size_t i = 1; i < count; i++)
        for (size_t j = i;
             j > 0 && strcmp(c->outbounds[items[j]].tag, c->outbounds[items[j - 1]].tag) < 0; j--) {
            size_t other = items[j];
            items[j] = items[j - 1];
            items[j - 1] = other;
        }
}

size_t selector_build(struct build *b, const struct text_list *prefixes, size_t **items)
{
    struct config *c = b->config;
    size_t count = 0;
    *items = arena_array(c->strings, c->outbound_count, sizeof **items);
    for (size_t i = 0; i < prefixes->count; i++)
        check_prefix(b, &prefixes->items[i]);
    for (size_t i = 0; *items && i < c->outbound_count; i++)
        if (selected(&c->outbounds[i], prefixes))
            (*items)[count++] = i;
    sort_by_tag(c, *items, count);
    return count;
}

/* --- balancers --- */

static void candidates_build(struct build *b, const struct node *at, const struct balancer_keys *k,
                             struct balancer *out)
{
    struct text_list prefixes = {0};
    size_t *items;
    if (k->selector && !value_texts(b->report, b->scratch, k->selector, &prefixes))
        return;
    if (prefixes.count == 0) {
        report_error(b->report, k->selector ? k->selector : at,
                     "empty selector list: want the beginning of a tag");
        return;
    }
    out->count = selector_build(b, &prefixes, &items);
    out->outbounds = items;
    if (out->count == 0 && !b->partial)
        report_error(b->report, k->selector,
                     "nothing is selected: no outbound or portal has such "
                     "a tag");
}

static void fallback_build(struct build *b, const struct node *at, struct balancer *out)
{
    if (!at || (at->type == NODE_TEXT && !*at->text))
        return;
    if (at->type != NODE_TEXT) {
        report_wrong(b->report, at, "the tag of an outbound as text");
        return;
    }
    const struct name *name = names_find(&b->outbound_tags, at->text);
    out->has_fallback = name;
    out->fallback = name ? name->index : 0;
    if (!name && !b->partial)
        report_error(b->report, at, "no outbound, portal or api has the tag \"%.64s\"", at->text);
}

static bool is_observed(const struct config *c, size_t outbound)
{
    for (size_t i = 0; i < c->observatory.count; i++)
        if (c->observatory.items[i].outbound == outbound)
            return true;
    return false;
}

/* They are only used when none that is observed answers. */
static void check_observed(struct build *b, const struct node *at, const struct balancer *out)
{
    const struct config *c = b->config;
    if (out->strategy != BALANCE_LEAST_PING || b->partial)
        return;
    if (c->observatory.count == 0 && out->count > 0)
        report_warn(b->report, at, "leastPing without an observatory chooses at random");
    for (size_t i = 0; c->observatory.count > 0 && i < out->count; i++)
        if (!is_observed(c, out->outbounds[i]))
            report_warn(b->report, at,
                        "the observatory does not observe \"%.64s\": leastPing takes it last",
                        c->outbounds[out->outbounds[i]].tag);
}

static void balancer_build(struct build *b, const struct node *at, struct balancer *out)
{
    struct balancer_keys keys;
    fields_read(b->report, at, balancer_fields, &keys);
    if (!*keys.tag)
        report_error(b->report, node_member(at, "tag"), "empty balancer tag");
    out->tag = build_text(b, keys.tag);
    out->strategy = (enum balance_strategy)keys.strategy;
    candidates_build(b, at, &keys, out);
    fallback_build(b, keys.fallback, out);
    check_observed(b, at, out);
}

void balancers_conf_build(struct build *b, const struct node *at)
{
    struct balancers *all = &b->config->balancers;
    struct node_list nodes = {0};
    value_objects(b->report, b->scratch, at, &nodes);
    all->items = arena_array(b->config->strings, nodes.count, sizeof *all->items);
    if (!all->items)
        return;
    all->count = nodes.count;
    for (size_t i = 0; i < nodes.count; i++) {
        balancer_build(b, nodes.items[i], &all->items[i]);
        names_add(&b->balancer_tags, b->scratch, all->items[i].tag, nodes.items[i], i);
    }
    names_seal(&b->balancer_tags);
    names_report_doubles(&b->balancer_tags, b->report, "balancer with tag");
}

const struct balancer *balancer_named(struct build *b, const struct node *at)
{
    if (at->type != NODE_TEXT) {
        report_wrong(b->report, at, "the tag of a balancer as text");
        return NULL;
    }
    const struct name *name = names_find(&b->balancer_tags, at->text);
    if (!name && !b->partial)
        report_error(b->report, at, "balancer %.64s not found", at->text);
    return name ? &b->config->balancers.items[name->index] : NULL;
}

bool balancer_has_portal(const struct config *c, const struct balancer *b)
{
    for (size_t i = 0; i < b->count; i++)
        if (c->outbounds[b->outbounds[i]].kind == OUT_PORTAL)
            return true;
    return b->has_fallback && c->outbounds[b->fallback].kind == OUT_PORTAL;
}
