#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf/compile.h"

static bool host_alias(struct build *b, const struct node *at, const struct addr *a,
                       struct dns_host *h)
{
    if (h->alias || h->ip_count) {
        report_error(b->report, at, "want IP addresses, or one name alone");
        return false;
    }
    char *alias = arena_text(b->config->strings, a->name, strlen(a->name));
    if (alias)
        addr_normalise_name(alias);
    h->alias = alias;
    return alias;
}

/* An IP of many, or one name. */
static void host_value(struct build *b, const struct node *at, struct addr *ips, struct dns_host *h)
{
    struct addr a = {0};
    if (!value_host(b->report, at, &a))
        return;
    if (!addr_is_ip(&a))
        host_alias(b, at, &a, h);
    else if (h->alias)
        report_error(b->report, at, "want IP addresses, or one name alone");
    else
        ips[h->ip_count++] = a;
}

static void host_values(struct build *b, const struct node *at, struct dns_host *h)
{
    bool many = at->type == NODE_ARRAY;
    struct addr *ips = arena_array(b->config->strings, many ? node_count(at) : 1, sizeof *ips);
    h->ips = ips;
    if (!ips)
        return;
    if (many && !at->first)
        report_error(b->report, at, "want at least one IP address, or a name");
    for (const struct node *n = many ? at->first : at; n; n = many ? n->next : NULL)
        host_value(b, n, ips, h);
}

/* A text with a form, unlike one of a rule, is a name if it has none. */
static const char *host_name(const char *key)
{
    static const char full[] = "full:";
    if (strncasecmp(key, full, sizeof full - 1) == 0)
        return key + sizeof full - 1;
    return strchr(key, ':') ? NULL : key;
}

/* As a list of one: a text with a comma in it would be two. */
static void host_pattern(struct build *b, const struct node *at, struct dns_host *h)
{
    struct domain_set *set = NULL;
    struct node *list = arena_alloc(b->scratch, sizeof *list);
    struct node *key = arena_alloc(b->scratch, sizeof *key);
    if (!list || !key)
        return;
    *key = *at;
    key->type = NODE_TEXT;
    key->text = at->key;
    key->offset = at->key_offset;
    key->next = NULL;
    *list = *key;
    list->type = NODE_ARRAY;
    list->first = list->last = key;
    domain_set_build(b, list, &set);
    h->domains = set;
}

static void hosts_add(struct build *b, const struct node *at, struct dns_host *names,
                      struct dns_host *patterns, struct dns_conf *c)
{
    const char *name = host_name(at->key);
    struct dns_host h = {0};
    host_values(b, at, &h);
    if (name) {
        char *normal = arena_text(b->config->strings, name, strlen(name));
        if (normal)
            addr_normalise_name(normal);
        h.name = normal ? normal : "";
        names[c->name_count++] = h;
    } else {
        host_pattern(b, at, &h);
        patterns[c->pattern_count++] = h;
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct dns_host *)a)->name, ((const struct dns_host *)b)->name);
}

void dns_hosts_build(struct build *b, const struct node *at, struct dns_conf *c)
{
    if (!at)
        return;
    if (at->type != NODE_OBJECT) {
        report_wrong(b->report, at, "an object");
        return;
    }
    size_t count = node_count(at);
    struct dns_host *names = arena_array(b->config->strings, count, sizeof *names);
    struct dns_host *patterns = arena_array(b->config->strings, count, sizeof *patterns);
    c->names = names;
    c->patterns = patterns;
    if (!names || !patterns)
        return;
    for (const struct node *n = at->first; n; n = n->next)
        if (!field_is_comment(n->key))
            hosts_add(b, n, names, patterns, c);
    qsort(names, c->name_count, sizeof *names, by_name);
}
