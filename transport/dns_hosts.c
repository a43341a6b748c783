#include "transport/dns_hosts.h"

#include <stdio.h>

/* What the entries for a name say together. */
struct found {
    struct dns_records *records;
    unsigned families;
    const char *alias;
    bool any;
};

static unsigned family_of(const struct addr *ip)
{
    return ip->type == ADDR_IPV4 ? DNS_A : DNS_AAAA;
}

static void take(struct found *f, const struct dns_host *h)
{
    for (size_t i = 0; i < h->ip_count; i++)
        if (family_of(&h->ips[i]) & f->families)
            dns_records_add(f->records, &h->ips[i]);
    f->any = true;
    if (!f->alias)
        f->alias = h->alias;
}

/* The first entry that is not before the name. */
static size_t first_of(const struct dns_conf *c, const char *name)
{
    size_t from = 0, to = c->name_count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (strcmp(c->names[middle].name, name) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

static void find(const struct dns_conf *c, const char *name, struct found *f)
{
    for (size_t i = first_of(c, name); i < c->name_count; i++) {
        if (strcmp(c->names[i].name, name) != 0)
            break;
        take(f, &c->names[i]);
    }
    for (size_t i = 0; i < c->pattern_count; i++)
        if (c->match_name(c->patterns[i].domains, name))
            take(f, &c->patterns[i]);
}

enum dns_hosts_say dns_hosts_find(const struct dns_conf *c, char name[ADDR_NAME_MAX + 1],
                                  unsigned families, struct dns_records *out, struct err *e)
{
    out->count = 0;
    for (int i = 0; i <= DNS_ALIASES_MAX; i++) {
        struct found f = {.records = out, .families = families};
        find(c, name, &f);
        if (!f.any)
            return DNS_HOSTS_NONE;
        if (out->count || !f.alias)
            return DNS_HOSTS_FOUND;
        snprintf(name, ADDR_NAME_MAX + 1, "%s", f.alias);
    }
    err_set(e, ELOOP, "hosts: more than %d aliases, or they go round", DNS_ALIASES_MAX);
    return DNS_HOSTS_FAIL;
}
