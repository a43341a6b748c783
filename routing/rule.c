#include "routing/rule.h"

#include <stdlib.h>
#include <string.h>

/* An empty text never matches: it means that the flow has none. */
static bool list_has(const struct string_list *l, const char *text)
{
    if (!*text)
        return false;
    for (size_t i = 0; i < l->count; i++)
        if (!strcmp(l->items[i], text))
            return true;
    return false;
}

/* The cheap fields come first. */
bool rule_match(const struct rule *r, const struct query *q)
{
    const struct meta *m = q->meta;
    if (r->networks && !(r->networks & m->net))
        return false;
    if (r->ports.count && !port_set_match(&r->ports, m->target.port))
        return false;
    if (r->source_ports.count &&
        (m->source.type == ADDR_NONE || !port_set_match(&r->source_ports, m->source.port)))
        return false;
    if (r->inbound_tags.count && !list_has(&r->inbound_tags, m->inbound_tag))
        return false;
    if (r->users.count && !(m->user && list_has(&r->users, m->user->email)))
        return false;
    if (r->sources && !cidr_set_match(r->sources, &m->source))
        return false;
    if (r->ips && !cidr_set_match(r->ips, &m->target))
        return false;
    return !r->domains || (q->name && domain_set_match(r->domains, q->name));
}

const struct rule *rules_match(const struct rules *rs, const struct query *q)
{
    for (size_t i = 0; i < rs->count; i++)
        if (rule_match(&rs->items[i], q))
            return &rs->items[i];
    return NULL;
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
    domain_set_free(r->domains);
    cidr_set_free(r->ips);
    cidr_set_free(r->sources);
    port_set_fini(&r->ports);
    port_set_fini(&r->source_ports);
    *r = (struct rule){0};
}

void rules_fini(struct rules *rs)
{
    for (size_t i = 0; i < rs->count; i++)
        rule_fini(&rs->items[i]);
    free(rs->items);
    *rs = (struct rules){0};
}
