#include "routing/rule.h"

#include <stdlib.h>
#include <string.h>

#include "routing/index.h"

enum { SORTED_FROM = 16 }; /* entries: a shorter list is searched from its start */

enum fit { FIT_ABSENT, FIT_NO, FIT_YES };

static enum fit fit_of(bool matched)
{
    return matched ? FIT_YES : FIT_NO;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void list_seal(struct string_list *l)
{
    if (l->count >= SORTED_FROM)
        qsort(l->items, l->count, sizeof *l->items, by_text);
}

/* An empty text never matches: it means that the flow has none. */
static bool list_has(const struct string_list *l, const char *text)
{
    if (!*text)
        return false;
    if (l->count >= SORTED_FROM)
        return bsearch(&text, l->items, l->count, sizeof *l->items, by_text);
    for (size_t i = 0; i < l->count; i++)
        if (!strcmp(l->items[i], text))
            return true;
    return false;
}

static enum fit fit_network(const struct rule *r, const struct query *q)
{
    return r->networks ? fit_of(r->networks & q->meta->net) : FIT_ABSENT;
}

static enum fit fit_port(const struct rule *r, const struct query *q)
{
    return r->ports.count ? fit_of(port_set_match(&r->ports, q->meta->target.port)) : FIT_ABSENT;
}

static enum fit fit_source_port(const struct rule *r, const struct query *q)
{
    const struct addr *from = &q->meta->source;
    if (!r->source_ports.count)
        return FIT_ABSENT;
    return fit_of(from->type != ADDR_NONE && port_set_match(&r->source_ports, from->port));
}

static enum fit fit_inbound(const struct rule *r, const struct query *q)
{
    return r->inbound_tags.count ? fit_of(list_has(&r->inbound_tags, q->meta->inbound_tag))
                                 : FIT_ABSENT;
}

static bool patterns_have(const struct rule *r, const char *email)
{
    for (size_t i = 0; i < r->user_pattern_count; i++)
        if (regex_match(r->user_patterns[i], email, strlen(email)))
            return true;
    return false;
}

static enum fit fit_user(const struct rule *r, const struct query *q)
{
    const struct user *user = q->meta->user;
    if (!r->users.count && !r->user_pattern_count)
        return FIT_ABSENT;
    return fit_of(user && *user->email &&
                  (list_has(&r->users, user->email) || patterns_have(r, user->email)));
}

static enum fit fit_source(const struct rule *r, const struct query *q)
{
    return r->sources ? fit_of(cidr_set_match(r->sources, &q->meta->source)) : FIT_ABSENT;
}

static enum fit fit_protocol(const struct rule *r, const struct query *q)
{
    const struct string_list *l = &r->protocols;
    if (!l->count)
        return FIT_ABSENT;
    for (size_t i = 0; q->protocol && i < l->count; i++)
        if (!strncmp(q->protocol, l->items[i], strlen(l->items[i])))
            return FIT_YES;
    return FIT_NO;
}

static enum fit fit_ip(const struct rule *r, const struct query *q)
{
    if (!r->ips)
        return FIT_ABSENT;
    if (cidr_set_match(r->ips, &q->meta->target))
        return FIT_YES;
    for (size_t i = 0; i < q->ip_count; i++)
        if (cidr_set_match(r->ips, &q->ips[i]))
            return FIT_YES;
    return FIT_NO;
}

static enum fit fit_domain(const struct rule *r, const struct query *q)
{
    return r->domains ? fit_of(q->name && domain_set_match(r->domains, q->name)) : FIT_ABSENT;
}

static enum fit fit_attrs(const struct rule *r, const struct query *q)
{
    return r->attrs ? fit_of(q->head && attrs_match(r->attrs, q->head, q->head_len)) : FIT_ABSENT;
}

static const struct {
    const char *key;
    enum fit (*fit)(const struct rule *r, const struct query *q);
    unsigned fact; /* what it looks at, unless that is always known */
} conditions[COND_COUNT] = {
    [COND_NETWORK] = {"network", fit_network, 0},
    [COND_PORT] = {"port", fit_port, 0},
    [COND_SOURCE_PORT] = {"sourcePort", fit_source_port, 0},
    [COND_INBOUND] = {"inboundTag", fit_inbound, 0},
    [COND_USER] = {"user", fit_user, 0},
    [COND_SOURCE] = {"source", fit_source, 0},
    [COND_PROTOCOL] = {"protocol", fit_protocol, FACT_PROTOCOL},
    [COND_IP] = {"ip", fit_ip, FACT_IPS},
    [COND_DOMAIN] = {"domain", fit_domain, FACT_NAME},
    [COND_ATTRS] = {"attrs", fit_attrs, FACT_HEAD},
};

bool rule_match(const struct rule *r, const struct query *q)
{
    for (size_t i = 0; i < COND_COUNT; i++)
        if (conditions[i].fit(r, q) == FIT_NO)
            return false;
    return true;
}

const struct rule *rules_match(const struct rules *rs, const struct query *q)
{
    if (rs->index)
        return rule_index_match(rs->index, q);
    for (size_t i = 0; i < rs->count; i++)
        if (rule_match(&rs->items[i], q))
            return &rs->items[i];
    return NULL;
}

bool rule_may_match(const struct rule *r, const struct query *q, unsigned unknown, unsigned *lacks)
{
    *lacks = 0;
    for (size_t i = 0; i < COND_COUNT; i++) {
        enum fit fit = conditions[i].fit(r, q);
        unsigned open = conditions[i].fact & unknown;
        if (fit == FIT_NO && !open)
            return false;
        if (fit != FIT_ABSENT)
            *lacks |= open;
    }
    return true;
}

unsigned rule_facts(const struct rule *r)
{
    static const struct meta nothing = {.inbound_tag = ""};
    const struct query q = {.meta = &nothing};
    unsigned facts = 0;
    for (size_t i = 0; i < COND_COUNT; i++)
        if (conditions[i].fact && conditions[i].fit(r, &q) != FIT_ABSENT)
            facts |= conditions[i].fact;
    return facts;
}

unsigned rules_lack(const struct rules *rs, const struct query *q, unsigned unknown)
{
    unsigned found = 0, lacks;
    unknown &= ~rs->unasked;
    if (rs->index)
        return unknown ? rule_index_lack(rs->index, q, unknown) : 0;
    for (size_t i = 0; i < rs->count && found != unknown; i++) {
        if (!rule_may_match(&rs->items[i], q, unknown, &lacks))
            continue;
        if (lacks == 0)
            break;
        found |= lacks;
    }
    return found;
}

size_t rule_explain(const struct rule *r, const struct query *q, struct rule_finding to[COND_COUNT])
{
    size_t count = 0;
    for (size_t i = 0; i < COND_COUNT; i++) {
        enum fit fit = conditions[i].fit(r, q);
        if (fit == FIT_ABSENT)
            continue;
        to[count++] = (struct rule_finding){
            .key = conditions[i].key,
            .text = r->texts[i] ? r->texts[i] : "",
            .matched = fit == FIT_YES,
        };
    }
    return count;
}

bool rules_seal(struct rules *rs)
{
    unsigned asked = 0;
    for (size_t i = 0; i < rs->count; i++) {
        list_seal(&rs->items[i].inbound_tags);
        list_seal(&rs->items[i].users);
        asked |= rule_facts(&rs->items[i]);
    }
    rs->unasked = ~asked;
    if (rs->count < RULE_INDEX_FROM)
        return true;
    rs->index = rule_index_new(rs->items, rs->count);
    return rs->index;
}

static void list_fini(struct string_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        free((void *)l->items[i]);
    free(l->items);
    *l = (struct string_list){0};
}

void rule_fini(struct rule *r)
{
    list_fini(&r->inbound_tags);
    list_fini(&r->users);
    list_fini(&r->protocols);
    for (size_t i = 0; i < r->user_pattern_count; i++)
        regex_free(r->user_patterns[i]);
    free(r->user_patterns);
    domain_set_free(r->domains);
    cidr_set_free(r->ips);
    cidr_set_free(r->sources);
    attrs_free(r->attrs);
    port_set_fini(&r->ports);
    port_set_fini(&r->source_ports);
    *r = (struct rule){0};
}

void rules_fini(struct rules *rs)
{
    rule_index_free(rs->index);
    for (size_t i = 0; i < rs->count; i++)
        rule_fini(&rs->items[i]);
    free(rs->items);
    *rs = (struct rules){0};
}
