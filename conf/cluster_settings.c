#include "conf/cluster_settings.h"

#include <sodium.h>
#include <stdlib.h>

#include "transport/carriage.h"

struct cluster_settings *cluster_settings_new(void)
{
    struct cluster_settings *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    atomic_init(&s->shares, 1);
    s->memory = arena_new();
    if (s->memory)
        return s;
    free(s);
    return NULL;
}

struct cluster_settings *cluster_settings_ref(struct cluster_settings *s)
{
    if (s)
        atomic_fetch_add_explicit(&s->shares, 1, memory_order_relaxed);
    return s;
}

void cluster_settings_unref(struct cluster_settings *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->shares, 1, memory_order_acq_rel) > 1)
        return;
    carriage_unref(s->tls);
    arena_free(s->memory);
    sodium_memzero(s, sizeof *s);
    free(s);
}

bool cluster_settings_same(const struct cluster_settings *a, const struct cluster_settings *b)
{
    return a && b ? digest_equal(&a->digest, &b->digest) : a == b;
}
