#include "reverse/shards.h"

#include <stdlib.h>

#include "reverse/carrier.h"

static void on_came(struct task *t)
{
    struct shard *s = container_of(t, struct shard, came);
    if (s->portal)
        portal_look(s->portal);
}

struct portal_shards *portal_shards_new(unsigned loops)
{
    struct portal_shards *all = calloc(1, sizeof *all + loops * sizeof *all->at);
    if (!all)
        return NULL;
    all->count = loops;
    for (unsigned i = 0; i < loops; i++) {
        all->at[i].all = all;
        all->at[i].came.run = on_came;
        atomic_init(&all->at[i].load, LOAD_NONE);
    }
    return all;
}

void portal_shards_free(struct portal_shards *all)
{
    free(all);
}

struct shard *shard_join(struct portal_shards *all, struct loop *l, struct portal *p)
{
    struct shard *s = &all->at[l->index];
    s->portal = p;
    atomic_store(&s->loop, l);
    return s;
}

void shard_leave(struct shard *s)
{
    s->portal = NULL;
    atomic_store(&s->load, LOAD_NONE);
}

void shard_publish(struct shard *s, unsigned load)
{
    atomic_store(&s->load, load);
}

/* One stream more or less is no reason to cross. */
static bool much_better(unsigned there, unsigned here)
{
    return there / LOAD_CLASS < here / LOAD_CLASS || there + 1 < here;
}

struct shard *shard_better(const struct shard *s, unsigned load)
{
    struct shard *best = NULL;
    unsigned least = load;
    for (unsigned i = 0; i < s->all->count; i++) {
        struct shard *other = &s->all->at[i];
        unsigned there = atomic_load(&other->load);
        if (other != s && there < least && much_better(there, load)) {
            best = other;
            least = there;
        }
    }
    return best;
}

bool shards_have(const struct portal_shards *all, unsigned load)
{
    for (unsigned i = 0; i < all->count; i++)
        if (atomic_load_explicit(&all->at[i].load, memory_order_relaxed) < load)
            return true;
    return false;
}

void shard_expect(struct shard *s)
{
    atomic_fetch_add(&s->load, 1);
}

void shard_tell_others(struct shard *s)
{
    for (unsigned i = 0; i < s->all->count; i++) {
        struct shard *other = &s->all->at[i];
        struct loop *l = atomic_load(&other->loop);
        if (other != s && l)
            loop_post(l, &other->came);
    }
}
