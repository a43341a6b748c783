#include "conf/keep.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "conf/arena.h"

enum { BUCKETS_FIRST = 256 };

struct kept {
    struct kept *next; /* in its bucket */
    size_t len;
    uint64_t hash;
    const void *bytes;
};

struct kept_object {
    struct kept_object *next;
    const char *name;
    void *object;
    void (*drop)(void *object);
};

struct keep {
    _Atomic unsigned shares;
    struct arena *arena;
    struct kept **buckets;
    size_t bucket_count, count;
    struct kept_object *objects;
};

struct keep *keep_new(void)
{
    struct keep *k = calloc(1, sizeof *k);
    if (!k)
        return NULL;
    k->shares = 1;
    k->bucket_count = BUCKETS_FIRST;
    k->buckets = calloc(k->bucket_count, sizeof(struct kept *));
    k->arena = arena_new();
    if (k->buckets && k->arena)
        return k;
    keep_unref(k);
    return NULL;
}

struct keep *keep_ref(struct keep *k)
{
    atomic_fetch_add_explicit(&k->shares, 1, memory_order_relaxed);
    return k;
}

void keep_unref(struct keep *k)
{
    if (!k || atomic_fetch_sub_explicit(&k->shares, 1, memory_order_acq_rel) > 1)
        return;
    for (struct kept_object *o = k->objects; o; o = o->next)
        o->drop(o->object);
    arena_free(k->arena);
    free(k->buckets);
    free(k);
}

/* FNV-1a: what is hashed is the operator's own. */
static uint64_t hash_of(const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ p[i]) * 0x100000001b3;
    return hash;
}

static struct kept **bucket_of(const struct keep *k, uint64_t hash)
{
    return &k->buckets[hash % k->bucket_count];
}

/* Without memory the old table does, only slower. */
static void keep_grow(struct keep *k)
{
    struct kept **old = k->buckets;
    size_t old_count = k->bucket_count;
    struct kept **buckets = calloc(old_count * 2, sizeof(struct kept *));
    if (!buckets)
        return;
    k->buckets = buckets;
    k->bucket_count = old_count * 2;
    for (size_t i = 0; i < old_count; i++)
        for (struct kept *e = old[i], *next; e; e = next) {
            next = e->next;
            e->next = *bucket_of(k, e->hash);
            *bucket_of(k, e->hash) = e;
        }
    free(old);
}

static const void *keep_add(struct keep *k, const void *bytes, size_t len, uint64_t hash)
{
    struct kept *e = arena_alloc(k->arena, sizeof *e);
    void *copy = arena_alloc(k->arena, len ? len : 1);
    if (!e || !copy)
        return NULL;
    memcpy(copy, bytes, len);
    if (++k->count > k->bucket_count)
        keep_grow(k);
    *e = (struct kept){.next = *bucket_of(k, hash), .len = len, .hash = hash, .bytes = copy};
    *bucket_of(k, hash) = e;
    return copy;
}

const void *keep_bytes(struct keep *k, const void *bytes, size_t len)
{
    uint64_t hash = hash_of(bytes, len);
    for (const struct kept *e = *bucket_of(k, hash); e; e = e->next)
        if (e->hash == hash && e->len == len && memcmp(e->bytes, bytes, len) == 0)
            return e->bytes;
    return keep_add(k, bytes, len, hash);
}

const char *keep_text(struct keep *k, const char *text)
{
    return keep_bytes(k, text, strlen(text) + 1);
}

const void *keep_object(const struct keep *k, const char *name)
{
    for (const struct kept_object *o = k->objects; o; o = o->next)
        if (strcmp(o->name, name) == 0)
            return o->object;
    return NULL;
}

bool keep_add_object(struct keep *k, const char *name, void *object, void (*drop)(void *object))
{
    struct kept_object *o = arena_alloc(k->arena, sizeof *o);
    const char *kept = keep_text(k, name);
    if (!o || !kept)
        return false;
    *o = (struct kept_object){.next = k->objects, .name = kept, .object = object, .drop = drop};
    k->objects = o;
    return true;
}

bool keep_failed(const struct keep *k)
{
    return k->arena->failed;
}
