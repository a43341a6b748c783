#include "reverse/tunnels.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS = 16 }; /* at first; a power of two, as all counts of rows */

void tunnels_init(struct tunnels *t)
{
    *t = (struct tunnels){0};
    crypto_shorthash_keygen(t->key);
}

void tunnels_fini(struct tunnels *t)
{
    free(t->rows);
    *t = (struct tunnels){0};
}

/* The tenant is left out: few tunnels of different tenants have the same name. */
static uint64_t name_hash(const struct tunnels *t, const struct tunnel_name *name)
{
    uint8_t bytes[1 + TUNNEL_NAME_MAX];
    uint64_t hash;
    size_t len = strlen(name->text);
    bytes[0] = name->by;
    memcpy(bytes + 1, name->text, len);
    crypto_shorthash((uint8_t *)&hash, bytes, 1 + len, t->key);
    return hash;
}

static struct tunnel_item **row_of(const struct tunnels *t, uint64_t hash)
{
    return &t->rows[hash & (t->row_count - 1)];
}

struct tunnel_item *tunnels_find(const struct tunnels *t, const struct tunnel_name *name)
{
    if (!t->count)
        return NULL;
    uint64_t hash = name_hash(t, name);
    for (struct tunnel_item *i = *row_of(t, hash); i; i = i->next)
        if (i->hash == hash && tunnel_name_equal(i->name, name))
            return i;
    return NULL;
}

static void row_put(struct tunnels *t, struct tunnel_item *i)
{
    struct tunnel_item **row = row_of(t, i->hash);
    i->next = *row;
    *row = i;
}

/* Twice as many rows, as long as there is memory for them. */
static void tunnels_grow(struct tunnels *t)
{
    struct tunnels old = *t;
    size_t count = old.row_count ? 2 * old.row_count : ROWS;
    struct tunnel_item **rows = calloc(count, sizeof *rows), *next;
    if (!rows)
        return;
    t->rows = rows;
    t->row_count = count;
    for (size_t n = 0; n < old.row_count; n++)
        for (struct tunnel_item *i = old.rows[n]; i; i = next) {
            next = i->next;
            row_put(t, i);
        }
    free(old.rows);
}

bool tunnels_add(struct tunnels *t, struct tunnel_item *i)
{
    if (t->count >= t->row_count)
        tunnels_grow(t);
    if (!t->rows)
        return false;
    i->hash = name_hash(t, i->name);
    row_put(t, i);
    t->count++;
    return true;
}

void tunnels_remove(struct tunnels *t, struct tunnel_item *i)
{
    struct tunnel_item **at = row_of(t, i->hash);
    while (*at != i)
        at = &(*at)->next;
    *at = i->next;
    t->count--;
}
