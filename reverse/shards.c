#include "reverse/shards.h"

#include <stdlib.h>
#include <string.h>

#include "reverse/carrier.h"
#include "routing/claims.h"

enum { HOSTS_MAX = 1000 * 1000 }; /* that the bridges of a portal may have */

static const double NEVER = -1e9; /* in loop_steady() */

/* --- all of a portal --- */

static struct shard *place_next_called(struct portal_place *here)
{
    pthread_mutex_lock(&here->all->lock);
    struct list_item *i = list_first(&here->called);
    if (i)
        list_remove(i);
    pthread_mutex_unlock(&here->all->lock);
    return i ? container_of(i, struct shard, called) : NULL;
}

/* Pools of this loop end on it only, so what was called is still there. */
static void on_came(struct task *t)
{
    struct portal_place *here = container_of(t, struct portal_place, came);
    struct shard *s;
    while ((s = place_next_called(here)))
        pool_look(s->pool);
}

struct claims *portal_shards_claims(struct portal_shards *all)
{
    return all->claims;
}

static struct shards *shards_new(struct portal_shards *portal, const struct tunnel_name *name)
{
    struct shards *all = calloc(1, sizeof *all + portal->count * sizeof *all->at);
    if (!all)
        return NULL;
    all->portal = portal;
    all->name = *name;
    all->item.name = &all->name;
    turns_init(&all->turns);
    atomic_init(&all->gone_at, NEVER);
    for (unsigned i = 0; i < portal->count; i++) {
        all->at[i].all = all;
        atomic_init(&all->at[i].load, LOAD_NONE);
    }
    return all;
}

static void shards_free(struct shards *all)
{
    if (!all)
        return;
    turns_fini(&all->turns);
    free(all);
}

struct portal_shards *portal_shards_new(unsigned loops)
{
    static const struct tunnel_name none;
    struct portal_shards *all = calloc(1, sizeof *all + loops * sizeof *all->at);
    if (!all)
        return NULL;
    all->count = loops;
    pthread_mutex_init(&all->lock, NULL);
    tunnels_init(&all->tunnels);
    for (unsigned i = 0; i < loops; i++) {
        all->at[i].all = all;
        all->at[i].came.run = on_came;
    }
    all->unnamed = shards_new(all, &none);
    all->claims = claims_new(HOSTS_MAX);
    if (all->unnamed && all->claims)
        return all;
    portal_shards_free(all);
    return NULL;
}

void portal_shards_free(struct portal_shards *all)
{
    tunnels_fini(&all->tunnels);
    pthread_mutex_destroy(&all->lock);
    claims_free(all->claims);
    shards_free(all->unnamed);
    free(all);
}

struct portal_place *place_take(struct portal_shards *all, struct loop *l, struct portal *p)
{
    struct portal_place *here = &all->at[l->index];
    here->portal = p;
    atomic_store(&here->loop, l);
    return here;
}

void place_leave(struct portal_place *here)
{
    here->portal = NULL;
}

/* --- one pool --- */

static struct shards *shards_find(struct portal_shards *portal, const struct tunnel_name *name)
{
    if (name->by == TUNNEL_UNNAMED)
        return portal->unnamed;
    struct tunnel_item *i = tunnels_find(&portal->tunnels, name);
    return i ? container_of(i, struct shards, item) : NULL;
}

static struct shards *shards_add(struct portal_shards *portal, const struct tunnel_name *name)
{
    struct shards *all = shards_new(portal, name);
    if (all && tunnels_add(&portal->tunnels, &all->item))
        return all;
    shards_free(all);
    return NULL;
}

struct shard *shard_join(struct portal_place *here, const struct tunnel_name *name, size_t room,
                         struct pool *p)
{
    struct portal_shards *portal = here->all;
    struct shard *s = NULL;
    pthread_mutex_lock(&portal->lock);
    struct shards *all = shards_find(portal, name);
    if (!all && portal->tunnels.count < room)
        all = shards_add(portal, name);
    if (all) {
        s = &all->at[here - portal->at];
        s->pool = p;
        all->pools++;
    }
    pthread_mutex_unlock(&portal->lock);
    return s;
}

void shard_leave(struct shard *s)
{
    struct shards *all = s->all;
    struct portal_shards *portal = all->portal;
    turns_begin(&all->turns, (unsigned)(s - all->at));
    turns_end(&all->turns);
    pthread_mutex_lock(&portal->lock);
    s->pool = NULL;
    list_remove(&s->called);
    atomic_store(&s->load, LOAD_NONE);
    bool last = --all->pools == 0 && all != portal->unnamed;
    if (last)
        tunnels_remove(&portal->tunnels, &all->item);
    pthread_mutex_unlock(&portal->lock);
    if (last)
        shards_free(all);
}

/* Each carrier is in one such pool. */
static bool counts(const struct shards *all)
{
    return all->name.by != TUNNEL_BY_NODE && all->name.by != TUNNEL_BY_CLUSTER;
}

/* The cluster hears of the first and of the last one, in the order in which they came and went. */
static void shard_report(const struct shard *s, unsigned links)
{
    const struct portal *p = s->pool->portal;
    if (p->elsewhere)
        p->elsewhere->ops->has(p->elsewhere, p->conf, &s->all->name, links);
}

void shard_gain(struct shard *s)
{
    struct shards *all = s->all;
    pthread_mutex_lock(&all->portal->lock);
    if (atomic_fetch_add(&all->carriers, 1) == 0)
        shard_report(s, 1);
    pthread_mutex_unlock(&all->portal->lock);
    if (counts(all))
        atomic_fetch_add(&all->portal->carriers, 1);
}

void shard_lose(struct shard *s)
{
    struct shards *all = s->all;
    atomic_store(&all->gone_at, loop_steady());
    pthread_mutex_lock(&all->portal->lock);
    if (atomic_fetch_sub(&all->carriers, 1) == 1)
        shard_report(s, 0);
    pthread_mutex_unlock(&all->portal->lock);
    if (counts(all))
        atomic_fetch_sub(&all->portal->carriers, 1);
}

static bool is_known(const struct shards *all, double seconds)
{
    return atomic_load(&all->carriers) > 0 || loop_steady() - atomic_load(&all->gone_at) < seconds;
}

bool shard_is_known(const struct shard *s, double seconds)
{
    return is_known(s->all, seconds);
}

unsigned shards_count(struct portal_shards *portal, const struct tunnel_name *name, double seconds,
                      bool *known)
{
    pthread_mutex_lock(&portal->lock);
    const struct shards *all = shards_find(portal, name);
    unsigned count = all ? atomic_load(&all->carriers) : 0;
    *known = all && is_known(all, seconds);
    pthread_mutex_unlock(&portal->lock);
    return count;
}

bool shard_is_full(const struct shard *s)
{
    return atomic_load(&s->all->carriers) >= CARRIERS_MAX;
}

bool shard_hold(struct shard *s, const char *email)
{
    struct shards *all = s->all;
    pthread_mutex_lock(&all->portal->lock);
    if (!all->holder)
        all->holder = email;
    bool his = strcmp(all->holder, email) == 0;
    pthread_mutex_unlock(&all->portal->lock);
    return his;
}

/* --- loads --- */

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
    for (unsigned i = 0; i < s->all->portal->count; i++) {
        struct shard *other = &s->all->at[i];
        unsigned there = atomic_load(&other->load);
        if (other != s && there < least && much_better(there, load)) {
            best = other;
            least = there;
        }
    }
    return best;
}

bool shards_have(const struct shards *all, unsigned load)
{
    for (unsigned i = 0; i < all->portal->count; i++)
        if (atomic_load_explicit(&all->at[i].load, memory_order_relaxed) < load)
            return true;
    return false;
}

struct loop *shard_loop(const struct shard *s)
{
    return atomic_load(&s->all->portal->at[s - s->all->at].loop);
}

void shard_expect(struct shard *s)
{
    atomic_fetch_add(&s->load, 1);
}

void shard_tell_others(struct shard *s)
{
    struct portal_shards *portal = s->all->portal;
    pthread_mutex_lock(&portal->lock);
    for (unsigned i = 0; i < portal->count; i++) {
        struct shard *other = &s->all->at[i];
        struct portal_place *there = &portal->at[i];
        if (other == s || !other->pool)
            continue;
        if (!list_holds(&other->called))
            list_append(&there->called, &other->called);
        loop_post(atomic_load(&there->loop), &there->came);
    }
    pthread_mutex_unlock(&portal->lock);
}
