#include "cluster/records.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS = 16 }; /* at first; a power of two, as all counts of rows */

void records_init(struct records *t)
{
    *t = (struct records){0};
    crypto_shorthash_keygen(t->key);
}

void records_fini(struct records *t)
{
    free(t->rows);
    *t = (struct records){0};
}

static uint64_t hash_of(const struct records *t, const char *key, size_t len)
{
    uint64_t hash;
    crypto_shorthash((uint8_t *)&hash, (const uint8_t *)key, len, t->key);
    return hash;
}

static struct record **row_of(const struct records *t, uint64_t hash)
{
    return &t->rows[hash & (t->row_count - 1)];
}

struct record *records_find(const struct records *t, const struct ledger_key *key)
{
    if (!t->count)
        return NULL;
    uint64_t hash = hash_of(t, key->text, key->len);
    for (struct record *i = *row_of(t, hash); i; i = i->next)
        if (i->hash == hash && i->key_len == key->len && memcmp(i->key, key->text, key->len) == 0)
            return i;
    return NULL;
}

static void row_put(struct records *t, struct record *rec)
{
    struct record **row = row_of(t, rec->hash);
    rec->next = *row;
    *row = rec;
}

/* Twice as many rows, as long as there is memory for them. */
static void grow(struct records *t)
{
    struct records old = *t;
    size_t count = old.row_count ? 2 * old.row_count : ROWS;
    struct record **rows = calloc(count, sizeof *rows), *next;
    if (!rows)
        return;
    t->rows = rows;
    t->row_count = count;
    for (size_t n = 0; n < old.row_count; n++)
        for (struct record *i = old.rows[n]; i; i = next) {
            next = i->next;
            row_put(t, i);
        }
    free(old.rows);
}

bool records_add(struct records *t, struct record *rec)
{
    if (t->count >= t->row_count)
        grow(t);
    if (!t->row_count)
        return false;
    rec->hash = hash_of(t, rec->key, rec->key_len);
    row_put(t, rec);
    t->count++;
    return true;
}

void records_remove(struct records *t, struct record *rec)
{
    struct record **i = row_of(t, rec->hash);
    while (*i != rec)
        i = &(*i)->next;
    *i = rec->next;
    t->count--;
}
