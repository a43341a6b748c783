#include "proxy/vmess_guard.h"

#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>

/* The drain length is from LEAST on and below BASE. A greeting is shorter: it would else be told apart by its
 * size. */
enum { DRAIN_LEAST = 512, DRAIN_BASE = 3266 };

struct vmess_guard {
    _Atomic unsigned shares;
    uint32_t drain;
    uint8_t hash_key[GUARD_HASH_KEY];
    pthread_mutex_t lock; /* of the sets */
    struct vmess_seen seen[GUARD_KINDS];
};

struct vmess_guard *vmess_guard_new(void)
{
    struct vmess_guard *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    atomic_init(&g->shares, 1);
    g->drain = DRAIN_LEAST + randombytes_uniform(DRAIN_BASE - DRAIN_LEAST);
    randombytes_buf(g->hash_key, sizeof g->hash_key);
    pthread_mutex_init(&g->lock, NULL);
    for (int i = 0; i < GUARD_KINDS; i++)
        vmess_seen_init(&g->seen[i], SEEN_MAX);
    return g;
}

struct vmess_guard *vmess_guard_ref(struct vmess_guard *g)
{
    atomic_fetch_add_explicit(&g->shares, 1, memory_order_relaxed);
    return g;
}

void vmess_guard_unref(struct vmess_guard *g)
{
    if (!g || atomic_fetch_sub_explicit(&g->shares, 1, memory_order_acq_rel) > 1)
        return;
    for (int i = 0; i < GUARD_KINDS; i++)
        vmess_seen_fini(&g->seen[i]);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

bool vmess_guard_has(struct vmess_guard *g, enum guard_kind kind, const uint8_t key[SEEN_KEY],
                     int64_t now)
{
    pthread_mutex_lock(&g->lock);
    bool has = vmess_seen_has(&g->seen[kind], key, now);
    pthread_mutex_unlock(&g->lock);
    return has;
}

enum guard_answer vmess_guard_add(struct vmess_guard *g, enum guard_kind kind,
                                  const uint8_t key[SEEN_KEY], int64_t expiry, int64_t now)
{
    enum guard_answer answer = GUARD_NEW;
    pthread_mutex_lock(&g->lock);
    if (vmess_seen_has(&g->seen[kind], key, now))
        answer = GUARD_SEEN;
    else if (vmess_seen_add(&g->seen[kind], key, expiry, now) < 0)
        answer = GUARD_NO_MEMORY;
    pthread_mutex_unlock(&g->lock);
    return answer;
}

uint32_t vmess_guard_drain(const struct vmess_guard *g)
{
    return g->drain;
}

const uint8_t *vmess_guard_hash_key(const struct vmess_guard *g)
{
    return g->hash_key;
}
