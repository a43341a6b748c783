#include "transport/dns_cache.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>

struct entry {
    struct list_item item; /* in its list */
    struct list_item use;
    double until;
    unsigned families;
    size_t count;
    struct dns_ip *ips;
    char name[];
};

static struct list *list_of(struct dns_cache *c, const char *name)
{
    uint64_t hash;
    static_assert(sizeof hash == crypto_shorthash_BYTES &&
                      sizeof c->key == crypto_shorthash_KEYBYTES,
                  "SipHash-2-4");
    crypto_shorthash((uint8_t *)&hash, (const uint8_t *)name, strlen(name), c->key);
    return &c->lists[hash % DNS_CACHE_LISTS];
}

static void entry_free(struct dns_cache *c, struct entry *e)
{
    list_remove(&e->item);
    list_remove(&e->use);
    free(e->ips);
    free(e);
    c->count--;
}

static struct entry *entry_find(struct dns_cache *c, const char *name, unsigned families)
{
    const struct list *l = c->lists ? list_of(c, name) : NULL;
    for (struct list_item *i = l ? list_first(l) : NULL; i; i = list_next(l, i)) {
        struct entry *e = container_of(i, struct entry, item);
        if (e->families == families && strcmp(e->name, name) == 0)
            return e;
    }
    return NULL;
}

static void entry_use(struct dns_cache *c, struct entry *e)
{
    list_remove(&e->use);
    list_append(&c->used, &e->use);
}

bool dns_cache_find(struct dns_cache *c, const char *name, unsigned families, double now,
                    struct dns_records *out)
{
    struct entry *e = entry_find(c, name, families);
    if (!e)
        return false;
    if (now >= e->until) {
        entry_free(c, e);
        return false;
    }
    entry_use(c, e);
    out->count = e->count;
    out->ttl = (uint32_t)(e->until - now);
    if (e->count)
        memcpy(out->ips, e->ips, e->count * sizeof *e->ips);
    return true;
}

static bool cache_ready(struct dns_cache *c)
{
    if (c->lists)
        return true;
    c->lists = calloc(DNS_CACHE_LISTS, sizeof *c->lists);
    randombytes_buf(c->key, sizeof c->key);
    return c->lists;
}

static struct entry *entry_new(const char *name, unsigned families, const struct dns_records *r)
{
    size_t len = strlen(name) + 1;
    struct entry *e = calloc(1, sizeof *e + len);
    struct dns_ip *ips = r->count ? calloc(r->count, sizeof *ips) : NULL;
    if (!e || (r->count && !ips)) {
        free(e);
        free(ips);
        return NULL;
    }
    if (r->count)
        memcpy(ips, r->ips, r->count * sizeof *ips);
    e->ips = ips;
    e->count = r->count;
    e->families = families;
    memcpy(e->name, name, len);
    return e;
}

static double lifetime(const struct dns_records *r)
{
    uint32_t most = r->count ? DNS_TTL_MAX : DNS_TTL_NOTHING;
    uint32_t ttl = r->ttl < most ? r->ttl : most;
    return ttl > DNS_TTL_MIN ? ttl : DNS_TTL_MIN;
}

void dns_cache_add(struct dns_cache *c, const char *name, unsigned families, double now,
                   const struct dns_records *r)
{
    struct entry *old = entry_find(c, name, families);
    if (old)
        entry_free(c, old);
    struct entry *e = cache_ready(c) ? entry_new(name, families, r) : NULL;
    if (!e)
        return;
    if (c->count == DNS_CACHE_NAMES)
        entry_free(c, container_of(list_first(&c->used), struct entry, use));
    e->until = now + lifetime(r);
    list_push(list_of(c, name), &e->item);
    list_append(&c->used, &e->use);
    c->count++;
}

void dns_cache_clear(struct dns_cache *c)
{
    struct list_item *first;
    while ((first = list_first(&c->used)))
        entry_free(c, container_of(first, struct entry, use));
    free(c->lists);
    *c = (struct dns_cache){0};
}
