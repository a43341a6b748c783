#include "cluster/ledger.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/cursor.h"

enum { VERSION = 1 };

/* --- keys --- */

static void key_print(struct ledger_key *key, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void key_print(struct ledger_key *key, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(key->text, sizeof key->text, fmt, ap);
    va_end(ap);
    key->len = len > 0 && (size_t)len < sizeof key->text ? (size_t)len : 0;
}

void ledger_key_of(const struct ledger *p, const char *what, struct ledger_key *key)
{
    key_print(key, "v2c:%s:%s", p->cluster, what);
}

void ledger_key_node(const struct ledger *p, const char *node, struct ledger_key *key)
{
    key_print(key, "v2c:%s:n:%s", p->cluster, node);
}

void ledger_key_tunnel(const struct ledger *p, uint64_t portal, const struct tunnel_name *t,
                       struct ledger_key *key)
{
    const char *tenant = t->tenant ? t->tenant : "";
    const struct seal_part parts[] = {
        {&t->by, 1}, {tenant, strlen(tenant)}, {t->text, strlen(t->text)}};
    uint8_t name[SEAL_LEN];
    char hex[2 * SEAL_LEN + 1];
    seal_make(&p->seal, "name", parts, 3, name);
    sodium_bin2hex(hex, sizeof hex, name, sizeof name);
    key_print(key, "v2c:%s:t:{%016" PRIx64 "/%s}", p->cluster, portal, hex);
}

void ledger_key_host(const struct ledger *p, uint64_t portal, const char *host, bool below,
                     struct ledger_key *key)
{
    key_print(key, "v2c:%s:h:{%016" PRIx64 "/%s%s}", p->cluster, portal, below ? "." : "", host);
}

/* --- values --- */

/* What a value is: nobody can put it where it does not belong. */
struct place {
    const char *purpose, *field;
    const struct ledger_key *key;
};

struct sealed {
    struct seal_part parts[3];
};

static struct sealed sealed_of(const struct place *at, const void *bytes, size_t len)
{
    return (struct sealed){
        {{at->key->text, at->key->len}, {at->field, strlen(at->field)}, {bytes, len}}};
}

static struct writer value_begin(struct ledger_value *v)
{
    struct writer w = wr_of(v->bytes, sizeof v->bytes - SEAL_LEN);
    wr_u8(&w, VERSION);
    return w;
}

static void value_end(const struct ledger *p, const struct place *at, const struct writer *w,
                      struct ledger_value *v)
{
    size_t len = wr_len(w);
    struct sealed s = sealed_of(at, v->bytes, len);
    seal_make(&p->seal, at->purpose, s.parts, 3, v->bytes + len);
    v->len = len + SEAL_LEN;
}

/* Its members. */
static bool value_open(const struct ledger *p, const struct place *at, const void *data, size_t len,
                       struct cursor *members)
{
    uint8_t version;
    if (len > LEDGER_MAX || len < 1 + SEAL_LEN)
        return false;
    const uint8_t *seal = (const uint8_t *)data + len - SEAL_LEN;
    struct sealed s = sealed_of(at, data, len - SEAL_LEN);
    *members = cur_of(data, len - SEAL_LEN);
    return seal_fits(&p->seal, at->purpose, s.parts, 3, seal) && cur_u8(members, &version) &&
           version == VERSION;
}

static void text_write(struct writer *w, const char *text)
{
    size_t len = strlen(text);
    wr_u8(w, (uint8_t)len);
    wr_bytes(w, text, len);
}

static bool text_read(struct cursor *c, char to[NODE_NAME_MAX + 1])
{
    uint8_t len;
    if (!cur_u8(c, &len) || len > NODE_NAME_MAX || !cur_bytes(c, to, len))
        return false;
    to[len] = '\0';
    return !memchr(to, '\0', len);
}

static void addr_write(struct writer *w, const struct addr *a)
{
    bool any = a->type == ADDR_NAME || addr_is_ip(a);
    wr_u8(w, any);
    if (any)
        addr_write_wire(w, a);
}

static bool addr_read(struct cursor *c, struct addr *a)
{
    struct err e;
    uint8_t any;
    *a = (struct addr){.type = ADDR_NONE};
    return cur_u8(c, &any) && (!any || addr_read_wire(c, a, &e) == STEP_DONE);
}

void ledger_write_lease(const struct ledger *p, const struct ledger_key *key,
                        const struct ledger_lease *l, struct ledger_value *v)
{
    struct writer w = value_begin(v);
    wr_be64(&w, l->epoch), wr_be64(&w, l->serial);
    wr_u8(&w, l->state), wr_u8(&w, l->version);
    wr_be32(&w, l->links);
    text_write(&w, l->zone);
    addr_write(&w, &l->at);
    value_end(p, &(struct place){"lease", "", key}, &w, v);
}

bool ledger_read_lease(const struct ledger *p, const struct ledger_key *key, const void *data,
                       size_t len, struct ledger_lease *l)
{
    struct cursor c;
    return value_open(p, &(struct place){"lease", "", key}, data, len, &c) &&
           cur_be64(&c, &l->epoch) && cur_be64(&c, &l->serial) && cur_u8(&c, &l->state) &&
           cur_u8(&c, &l->version) && cur_be32(&c, &l->links) && text_read(&c, l->zone) &&
           addr_read(&c, &l->at);
}

void ledger_write_links(const struct ledger *p, const struct ledger_key *key, const char *node,
                        const struct ledger_links *l, struct ledger_value *v)
{
    struct writer w = value_begin(v);
    wr_be64(&w, l->epoch), wr_be16(&w, l->links);
    value_end(p, &(struct place){"links", node, key}, &w, v);
}

bool ledger_read_links(const struct ledger *p, const struct ledger_key *key, const char *node,
                       const void *data, size_t len, struct ledger_links *l)
{
    struct cursor c;
    return value_open(p, &(struct place){"links", node, key}, data, len, &c) &&
           cur_be64(&c, &l->epoch) && cur_be16(&c, &l->links);
}

void ledger_write_holder(const struct ledger *p, const struct ledger_key *key,
                         const struct ledger_holder *h, struct ledger_value *v)
{
    struct writer w = value_begin(v);
    wr_u8(&w, h->by);
    text_write(&w, h->tenant), text_write(&w, h->text);
    wr_be64(&w, h->since);
    value_end(p, &(struct place){"holder", "", key}, &w, v);
}

bool ledger_read_holder(const struct ledger *p, const struct ledger_key *key, const void *data,
                        size_t len, struct ledger_holder *h)
{
    struct cursor c;
    return value_open(p, &(struct place){"holder", "", key}, data, len, &c) && cur_u8(&c, &h->by) &&
           text_read(&c, h->tenant) && text_read(&c, h->text) && cur_be64(&c, &h->since);
}

/* --- holders --- */

void ledger_holder_of(const struct tunnel_name *t, uint64_t since, struct ledger_holder *h)
{
    *h = (struct ledger_holder){.by = t->by, .since = since};
    strncpy(h->tenant, t->tenant ? t->tenant : "", TUNNEL_NAME_MAX);
    memcpy(h->text, t->text, sizeof h->text);
}

bool ledger_same_tenant(const struct ledger_holder *h, const struct tunnel_name *t)
{
    return strcmp(h->tenant, t->tenant ? t->tenant : "") == 0;
}

bool ledger_holder_is(const struct ledger_holder *h, const struct tunnel_name *t)
{
    return h->by == t->by && strcmp(h->text, t->text) == 0 && ledger_same_tenant(h, t);
}
