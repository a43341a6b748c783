#include "reverse/pool.h"

#include <sodium.h>
#include <stdlib.h>

#include "reverse/carrier.h"

static const double SWEEP = 10; /* seconds between looks at pools without carriers */

static void on_look(struct task *t)
{
    struct pool *pool = container_of(t, struct pool, look);
    pool_look(pool);
    shard_tell_others(pool->shard);
}

static void on_weigh(struct task *t)
{
    struct pool *pool = container_of(t, struct pool, weigh);
    unsigned before = atomic_load(&pool->shard->load);
    struct weighing w;
    pool_weigh(pool, &w);
    if (before >= LOAD_NONE && w.load < LOAD_NONE)
        shard_tell_others(pool->shard); /* there is room again */
}

void pool_look_soon(struct pool *pool)
{
    loop_ready(pool->portal->out.loop, &pool->look);
}

void pool_weigh_soon(struct pool *pool)
{
    loop_ready(pool->portal->out.loop, &pool->weigh);
}

/* --- those without carriers --- */

static void pool_rest(struct pool *pool)
{
    struct portal *p = pool->portal;
    if (pool == p->pool || list_first(&pool->members))
        return;
    list_remove(&pool->idle);
    pool->idle_since = loop_steady();
    list_append(&p->idle, &pool->idle);
    if (ev_is_active(&p->sweep))
        return;
    ev_timer_set(&p->sweep, SWEEP, SWEEP);
    ev_timer_start(p->out.loop->ev, &p->sweep);
}

void pools_sweep(struct portal *p)
{
    struct list_item *i, *next;
    for (i = list_first(&p->idle); i; i = next) {
        struct pool *pool = container_of(i, struct pool, idle);
        next = list_next(&p->idle, i);
        if (loop_steady() - pool->idle_since < TUNNEL_KNOWN)
            break;
        if (!pool->waiting_count)
            pool_free(pool);
    }
    if (!list_first(&p->idle))
        ev_timer_stop(p->out.loop->ev, &p->sweep);
}

/* --- life --- */

struct pool *pool_new(struct portal *p, const struct tunnel_name *name, size_t room)
{
    struct pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return NULL;
    pool->portal = p;
    pool->look.run = on_look;
    pool->weigh.run = on_weigh;
    pool->shard = shard_join(p->place, name, room, pool);
    if (!pool->shard) {
        free(pool);
        return NULL;
    }
    pool->item.name = &pool->shard->all->name;
    return pool;
}

void pool_free(struct pool *pool)
{
    if (pool != pool->portal->pool)
        tunnels_remove(&pool->portal->pools, &pool->item);
    loop_unready(&pool->look);
    loop_unready(&pool->weigh);
    list_remove(&pool->idle);
    shard_leave(pool->shard);
    free(pool);
}

struct pool *pool_named(struct portal *p, const struct tunnel_name *name, size_t room)
{
    struct tunnel_item *i = tunnels_find(&p->pools, name);
    if (i)
        return container_of(i, struct pool, item);
    struct pool *pool = pool_new(p, name, room);
    if (!pool)
        return NULL;
    if (!tunnels_add(&p->pools, &pool->item)) {
        shard_leave(pool->shard);
        free(pool);
        return NULL;
    }
    pool_rest(pool);
    return pool;
}

static struct pool *pool_of_name(struct portal *p, const struct tunnel_name *name, size_t room)
{
    return name->by == TUNNEL_UNNAMED ? p->pool : pool_named(p, name, room);
}

/* Visitors may make up names: half of the room is left to those that bridges have. */
static size_t room_for_visitors(const struct portal *p)
{
    return p->conf->max_tunnels / 2;
}

struct pool *pool_of(struct portal *p, const struct flow *f)
{
    return pool_of_name(p, &f->meta.tunnel, portal_is_young(p) ? room_for_visitors(p) : 0);
}

struct pool *pool_of_asked(struct portal *p, const struct flow *f)
{
    return pool_of_name(p, &f->meta.tunnel, room_for_visitors(p));
}

bool pool_is_known(const struct pool *pool)
{
    const struct portal *p = pool->portal;
    return pool == p->pool || portal_is_young(p) || shard_is_known(pool->shard, TUNNEL_KNOWN);
}

void pools_each(struct portal *p, void (*f)(struct pool *pool, void *with), void *with)
{
    struct tunnel_item *next;
    for (size_t row = 0; row < p->pools.row_count; row++)
        for (struct tunnel_item *i = p->pools.rows[row]; i; i = next) {
            next = i->next;
            f(container_of(i, struct pool, item), with);
        }
    if (p->pool)
        f(p->pool, with);
}

/* --- members --- */

/* One that no other has, if there is any. */
static uint8_t bridge_number(const struct pool *pool)
{
    uint64_t used = 0;
    for (struct list_item *i = list_first(&pool->members); i; i = list_next(&pool->members, i))
        used |= 1ull << container_of(i, struct member, item)->bridge;
    return (uint8_t)(~used ? __builtin_ctzll(~used) : (int)randombytes_uniform(BRIDGES));
}

void pool_join(struct pool *pool, struct member *m, struct carrier *c)
{
    *m = (struct member){.carrier = c, .pool = pool, .bridge = bridge_number(pool)};
    list_remove(&pool->idle);
    /* At a tie the newest is picked: it has just proven alive. */
    list_push(&pool->members, &m->item);
    shard_gain(pool->shard);
    pool_look_soon(pool);
}

void pool_quit(struct member *m)
{
    struct pool *pool = m->pool;
    if (!pool)
        return;
    list_remove(&m->item);
    m->pool = NULL;
    shard_lose(pool->shard);
    pool_weigh_soon(pool);
    pool_rest(pool);
}
