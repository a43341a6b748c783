#include "routing/routes.h"

#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/cursor.h"

/* All text lies in one arena and is known by its offset, so that a million hosts take little. A site is what the table
 * knows of one host: exact(4) below(4) length(1) text. exact and below begin chains of items, the first to be asked first;
 * an item is next(4) and what item_write() says. A host with one route thus lies in one place, behind one slot: what is
 * not in the cache costs most. Offset 0 means "none". */
enum { SITE_HEAD = 9, SLOTS_MIN = 16, BYTES_MIN = 256, UNRESERVED = 0x100 };
enum {
    ITEM_ROOM = 4 + 2 + ROUTE_PATH_MAX + 2 + ROUTE_HEADER_MAX + 2 + ROUTE_VALUE_MAX + 2 + 4 + 8 +
                2 + ADDR_NAME_MAX + 4
};

/* The hash says where the slot belongs, and whether a look at the site is worth it. 0: free. */
struct slot {
    uint32_t hash, site;
};

struct site {
    uint32_t exact, below;
};

struct routes {
    atomic_uint others;                     /* shares beyond the first */
    uint8_t key[crypto_shorthash_KEYBYTES]; /* visitors cannot know which names collide */
    char *bytes;
    struct slot *slots;
    size_t slot_count, site_count, count; /* count: of items */
    uint32_t len, room;                   /* of bytes */
    uint32_t any;                         /* the chain for hosts without one */
    uint64_t lengths[4];                  /* a bit for each length that a site's text has */
};

/* --- memory --- */

static int out_of_memory(struct err *e)
{
    return err_set(e, ENOMEM, "out of memory");
}

struct routes *routes_new(void)
{
    struct routes *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    crypto_shorthash_keygen(r->key);
    r->len = 1;
    return r;
}

struct routes *routes_ref(struct routes *r)
{
    atomic_fetch_add_explicit(&r->others, 1, memory_order_relaxed);
    return r;
}

void routes_unref(struct routes *r)
{
    if (!r || atomic_fetch_sub_explicit(&r->others, 1, memory_order_acq_rel) > 0)
        return;
    free(r->bytes);
    free(r->slots);
    free(r);
}

static void *copy_of(const void *from, size_t size)
{
    void *to = malloc(size);
    if (to && from)
        memcpy(to, from, size);
    return to;
}

struct routes *routes_copy(const struct routes *r)
{
    struct routes *to = copy_of(r, sizeof *r);
    if (!to)
        return NULL;
    atomic_init(&to->others, 0);
    to->bytes = r->bytes ? copy_of(r->bytes, r->room) : NULL;
    to->slots = r->slots ? copy_of(r->slots, r->slot_count * sizeof *r->slots) : NULL;
    if (!to->bytes == !r->bytes && !to->slots == !r->slots)
        return to;
    routes_unref(to);
    return NULL;
}

static int bytes_reserve(struct routes *r, size_t len, struct err *e)
{
    if (r->len + len <= r->room)
        return 0;
    size_t room = (size_t)r->room + r->room / 2 + BYTES_MIN + len;
    if (room > UINT32_MAX)
        return err_set(e, E2BIG, "routes of more than 4 GiB");
    char *bytes = realloc(r->bytes, room);
    if (!bytes)
        return out_of_memory(e);
    r->bytes = bytes;
    r->room = (uint32_t)room;
    return 0;
}

/* --- sites --- */

static uint32_t hash_of(const struct routes *r, const char *text, size_t len)
{
    uint8_t out[crypto_shorthash_BYTES];
    uint32_t hash;
    crypto_shorthash(out, (const uint8_t *)text, len, r->key);
    memcpy(&hash, out, sizeof hash);
    return hash ? hash : 1;
}

static bool site_is(const struct routes *r, uint32_t site, const char *text, size_t len)
{
    const char *s = r->bytes + site;
    return (uint8_t)s[SITE_HEAD - 1] == len && memcmp(s + SITE_HEAD, text, len) == 0;
}

/* The slot of the text, or the free one where it belongs. There always is a free one. */
static struct slot *slot_find(const struct routes *r, uint32_t hash, const char *text, size_t len)
{
    size_t i = hash & (r->slot_count - 1);
    while (r->slots[i].hash &&
           !(r->slots[i].hash == hash && site_is(r, r->slots[i].site, text, len)))
        i = (i + 1) & (r->slot_count - 1);
    return &r->slots[i];
}

/* At most three of four slots are taken. */
static int slots_reserve(struct routes *r, struct err *e)
{
    if (r->site_count < r->slot_count / 4 * 3)
        return 0;
    size_t count = r->slot_count ? 2 * r->slot_count : SLOTS_MIN;
    struct slot *slots = calloc(count, sizeof *slots);
    if (!slots)
        return out_of_memory(e);
    for (size_t old = 0; old < r->slot_count; old++) {
        size_t i = r->slots[old].hash & (count - 1);
        while (r->slots[old].hash && slots[i].hash)
            i = (i + 1) & (count - 1);
        if (r->slots[old].hash)
            slots[i] = r->slots[old];
    }
    free(r->slots);
    r->slots = slots;
    r->slot_count = count;
    return 0;
}

static bool has_length(const struct routes *r, size_t len)
{
    return len < 256 && r->lengths[len / 64] >> len % 64 & 1;
}

/* 0: it has none. */
static uint32_t site_find(const struct routes *r, const char *text, size_t len)
{
    if (!has_length(r, len))
        return 0;
    const struct slot *slot = slot_find(r, hash_of(r, text, len), text, len);
    return slot->hash ? slot->site : 0;
}

static struct site site_get(const struct routes *r, uint32_t site)
{
    struct site s = {0, 0};
    if (site)
        memcpy(&s, r->bytes + site, sizeof s);
    return s;
}

static void site_set(struct routes *r, uint32_t site, struct site s)
{
    memcpy(r->bytes + site, &s, sizeof s);
}

/* The one it has, or a new one without items. 0 and e: out of memory. */
static uint32_t site_make(struct routes *r, const struct hostname *h, struct err *e)
{
    uint32_t site = site_find(r, h->text, h->len);
    if (site)
        return site;
    if (bytes_reserve(r, SITE_HEAD + h->len, e) < 0 || slots_reserve(r, e) < 0)
        return 0;
    uint32_t hash = hash_of(r, h->text, h->len);
    site = r->len;
    site_set(r, site, (struct site){0, 0});
    r->bytes[site + SITE_HEAD - 1] = (char)h->len;
    memcpy(r->bytes + site + SITE_HEAD, h->text, h->len);
    *slot_find(r, hash, h->text, h->len) = (struct slot){hash, site};
    r->len += SITE_HEAD + h->len;
    r->site_count++;
    r->lengths[h->len / 64] |= (uint64_t)1 << h->len % 64;
    return site;
}

/* --- one route as bytes --- */

static void text_write(struct writer *w, struct head_text t)
{
    wr_be16(w, (uint16_t)t.len);
    if (t.len) /* its text may be NULL */
        wr_bytes(w, t.text, t.len);
}

static void tunnel_write(struct writer *w, const struct tunnel_name *t)
{
    size_t len = strlen(t->text);
    wr_bytes(w, &t->tenant, sizeof t->tenant);
    wr_u8(w, t->by);
    wr_u8(w, (uint8_t)len);
    wr_bytes(w, t->text, len);
}

static void address_write(struct writer *w, const struct addr *a)
{
    size_t len = addr_is_ip(a) ? addr_ip_len(a) : strlen(a->name);
    wr_u8(w, a->type);
    wr_be16(w, a->port);
    wr_u8(w, (uint8_t)len);
    wr_bytes(w, a->ip, len);
}

/* path, header, value: length(2) text each; kind(1) private(1) outbound(4); then the tunnel or address. */
static void item_write(struct writer *w, const struct route *one)
{
    text_write(w, one->path);
    text_write(w, one->header);
    text_write(w, one->value);
    wr_u8(w, one->to.kind);
    wr_u8(w, one->to.is_private);
    wr_be32(w, (uint32_t)one->to.outbound);
    if (one->to.kind == ROUTE_TUNNEL)
        tunnel_write(w, &one->to.tunnel);
    else if (one->to.kind == ROUTE_ADDRESS)
        address_write(w, &one->to.address);
}

static struct head_text text_read(struct cursor *c)
{
    uint16_t len = 0;
    struct cursor text = {c->p, c->p};
    cur_be16(c, &len);
    cur_sub(c, len, &text);
    return (struct head_text){(const char *)text.p, cur_left(&text)};
}

struct conditions {
    struct head_text path, header, value;
};

static struct conditions conditions_read(struct cursor *c)
{
    struct conditions k;
    k.path = text_read(c);
    k.header = text_read(c);
    k.value = text_read(c);
    return k;
}

static void tunnel_read(struct cursor *c, struct tunnel_name *t)
{
    uint8_t len = 0;
    cur_bytes(c, &t->tenant, sizeof t->tenant);
    cur_u8(c, &t->by);
    cur_u8(c, &len);
    cur_bytes(c, t->text, len);
    t->text[len] = '\0';
}

static void address_read(struct cursor *c, struct addr *a)
{
    uint8_t len = 0;
    cur_u8(c, &a->type);
    cur_be16(c, &a->port);
    cur_u8(c, &len);
    cur_bytes(c, a->ip, len);
    if (!addr_is_ip(a))
        a->name[len] = '\0';
}

static void target_read(struct cursor *c, struct route_to *to)
{
    uint8_t is_private = 0;
    uint32_t outbound = 0;
    cur_u8(c, &to->kind);
    cur_u8(c, &is_private);
    cur_be32(c, &outbound);
    to->is_private = is_private;
    to->outbound = outbound;
    if (to->kind == ROUTE_TUNNEL)
        tunnel_read(c, &to->tunnel);
    else if (to->kind == ROUTE_ADDRESS)
        address_read(c, &to->address);
}

static uint32_t item_next(const struct routes *r, uint32_t item)
{
    uint32_t next;
    memcpy(&next, r->bytes + item, sizeof next);
    return next;
}

static struct cursor item_at(const struct routes *r, uint32_t item)
{
    uint32_t at = item + (uint32_t)sizeof item;
    return cur_of(r->bytes + at, r->len - at);
}

/* --- paths --- */

static int hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_unreserved(int c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

/* The next byte of a path; of "%61" the 'a', for both mean the same, of "%2F" a number that no byte has. */
static int path_next(struct head_text *p)
{
    int c = (unsigned char)*p->text;
    int high = c == '%' && p->len > 2 ? hex_of(p->text[1]) : -1;
    int low = high >= 0 ? hex_of(p->text[2]) : -1;
    size_t took = low >= 0 ? 3 : 1;
    p->text += took;
    p->len -= took;
    if (low < 0)
        return c;
    return is_unreserved(high << 4 | low) ? high << 4 | low : UNRESERVED | high << 4 | low;
}

static size_t path_length(struct head_text p)
{
    size_t len = 0;
    for (; p.len; len++)
        path_next(&p);
    return len;
}

static bool path_begins(struct head_text path, struct head_text with)
{
    int last = '/';
    while (with.len) {
        last = path_next(&with);
        if (!path.len || path_next(&path) != last)
            return false;
    }
    return last == '/' || !path.len || *path.text == '/' || *path.text == '?';
}

static bool paths_equal(struct head_text a, struct head_text b)
{
    return path_length(a) == path_length(b) && path_begins(a, b);
}

/* --- adding --- */

static bool texts_equal(struct head_text a, struct head_text b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.text, b.text, a.len) == 0);
}

/* Below 0: a is asked before b; 0: they are for the same. */
static int conditions_order(const struct conditions *a, const struct conditions *b)
{
    size_t a_len = path_length(a->path), b_len = path_length(b->path);
    if (a_len != b_len)
        return a_len > b_len ? -1 : 1;
    if (!a->header.len != !b->header.len)
        return a->header.len ? -1 : 1;
    bool same = paths_equal(a->path, b->path) && texts_equal(a->header, b->header) &&
                texts_equal(a->value, b->value);
    return same ? 0 : 1; /* as they came */
}

/* Where in the chain, which begins at *first, the item belongs: the one before it, 0: none. */
static int chain_place(const struct routes *r, uint32_t first, const struct route *one,
                       uint32_t *before, struct err *e)
{
    struct conditions mine = {one->path, one->header, one->value};
    size_t count = 0;
    bool placed = false;
    *before = 0;
    for (uint32_t i = first; i; i = item_next(r, i)) {
        struct cursor c = item_at(r, i);
        struct conditions other = conditions_read(&c);
        int order = conditions_order(&mine, &other);
        if (order == 0)
            return err_set(e, EEXIST, "another route is for the same");
        placed |= order < 0;
        if (!placed)
            *before = i;
        if (++count == ROUTES_OF_HOST_MAX)
            return err_set(e, E2BIG, "more than %d routes for one host", ROUTES_OF_HOST_MAX);
    }
    return 0;
}

/* As the first of the chain, or behind the item before it. */
static int item_add(struct routes *r, uint32_t *first, uint32_t before, const struct route *one,
                    struct err *e)
{
    uint8_t room[ITEM_ROOM];
    struct writer w = wr_of(room, sizeof room);
    uint32_t item = r->len, next = before ? item_next(r, before) : *first;
    wr_bytes(&w, &next, sizeof next);
    item_write(&w, one);
    if (w.overflow)
        return err_set(e, E2BIG, "a route with too long a path, header or value");
    if (bytes_reserve(r, wr_len(&w), e) < 0)
        return -1;
    memcpy(r->bytes + item, room, wr_len(&w));
    r->len += (uint32_t)wr_len(&w);
    r->count++;
    if (before)
        memcpy(r->bytes + before, &item, sizeof item);
    else
        *first = item;
    return 0;
}

static int chain_add(struct routes *r, uint32_t *first, const struct route *one, struct err *e)
{
    uint32_t before;
    if (chain_place(r, *first, one, &before, e) < 0)
        return -1;
    return item_add(r, first, before, one, e);
}

int routes_add(struct routes *r, const struct route *one, struct err *e)
{
    if (one->path.len > ROUTE_PATH_MAX || one->header.len > ROUTE_HEADER_MAX ||
        one->value.len > ROUTE_VALUE_MAX)
        return err_set(e, E2BIG, "a route with too long a path, header or value");
    if (!one->host)
        return chain_add(r, &r->any, one, e);
    uint32_t site = site_make(r, &one->host->host, e);
    if (!site)
        return -1;
    struct site s = site_get(r, site);
    if (chain_add(r, one->host->below ? &s.below : &s.exact, one, e) < 0)
        return -1;
    site_set(r, site, s);
    return 0;
}

bool routes_have(const struct routes *r, const struct hostname_pattern *host)
{
    struct site s = site_get(r, site_find(r, host->host.text, host->host.len));
    return host->below ? s.below : s.exact;
}

size_t routes_count(const struct routes *r)
{
    return r->count;
}

static bool chain_leads(const struct routes *r, uint32_t first, size_t outbound)
{
    for (uint32_t i = first; i; i = item_next(r, i)) {
        struct cursor c = item_at(r, i);
        struct route_to to = {0};
        conditions_read(&c);
        target_read(&c, &to);
        if ((to.kind == ROUTE_OUTBOUND || to.kind == ROUTE_TUNNEL) && to.outbound == outbound)
            return true;
    }
    return false;
}

bool routes_lead(const struct routes *r, size_t outbound)
{
    bool lead = chain_leads(r, r->any, outbound);
    for (size_t i = 0; i < r->slot_count && !lead; i++) {
        struct site s = r->slots[i].hash ? site_get(r, r->slots[i].site) : (struct site){0, 0};
        lead = chain_leads(r, s.exact, outbound) || chain_leads(r, s.below, outbound);
    }
    return lead;
}

/* --- finding --- */

static bool header_fits(const struct conditions *k, const struct route_asked *asked,
                        struct head_text *found)
{
    if (!k->header.len)
        return true;
    if (!asked->head.len || !head_attr(asked->head, k->header, found))
        return false;
    return !k->value.len || texts_equal(*found, k->value);
}

/* Of a tunnel that the header names the text is still missing. False: it names none. */
static bool tunnel_complete(struct route_to *to, struct head_text named)
{
    if (to->kind != ROUTE_TUNNEL || *to->tunnel.text)
        return true;
    return tunnel_text_read(to->tunnel.text, named.text, named.len);
}

static bool chain_find(const struct routes *r, uint32_t first, const struct route_asked *asked,
                       struct route_to *to)
{
    for (uint32_t i = first; i; i = item_next(r, i)) {
        struct cursor c = item_at(r, i);
        struct conditions k = conditions_read(&c);
        struct head_text named = {"", 0};
        if (!path_begins(asked->path, k.path) || !header_fits(&k, asked, &named))
            continue;
        target_read(&c, to);
        if (tunnel_complete(to, named))
            return true;
    }
    to->kind = ROUTE_NONE;
    return false;
}

bool routes_find_host(const struct routes *r, const struct route_asked *asked, struct route_to *to,
                      bool *known)
{
    size_t len = strlen(asked->host);
    const char *at = asked->host, *dot;
    struct site s = site_get(r, site_find(r, at, len));
    uint32_t chain = s.exact ? s.exact : s.below;
    while (!chain && (dot = memchr(at, '.', len))) {
        len -= (size_t)(dot + 1 - at);
        at = dot + 1;
        chain = site_get(r, site_find(r, at, len)).below;
    }
    *known = chain;
    return chain_find(r, chain, asked, to);
}

bool routes_find_default(const struct routes *r, const struct route_asked *asked,
                         struct route_to *to)
{
    return chain_find(r, r->any, asked, to);
}

bool routes_find(const struct routes *r, const struct route_asked *asked, struct route_to *to)
{
    bool known;
    return routes_find_host(r, asked, to, &known) || (!known && routes_find_default(r, asked, to));
}
