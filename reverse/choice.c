/* reverse/choice.c -- which carrier of a pool a visitor gets. What is chosen is a bridge; of its links it is the
 * one that carries least. */
#include <sodium.h>
#include <string.h>

#include "reverse/carrier.h"

static struct member *member_at(struct list_item *i)
{
    return container_of(i, struct member, item);
}

/* Links of one bridge say so; of an old one each stands for itself. */
static void member_meet(struct member *m)
{
    const struct list *members = &m->pool->members;
    uint64_t group = carrier_group(m->carrier);
    if (m->group == group)
        return;
    m->group = group;
    for (struct list_item *i = list_first(members); i; i = list_next(members, i)) {
        const struct member *other = member_at(i);
        if (other != m && other->group == group) {
            m->bridge = other->bridge;
            break;
        }
    }
}

/* The class of the best carrier; LOAD_NONE when none takes a stream. */
static unsigned weigh_bridges(struct pool *pool, unsigned weights[BRIDGES])
{
    unsigned class = LOAD_NONE;
    for (struct list_item *i = list_first(&pool->members); i; i = list_next(&pool->members, i)) {
        struct member *m = member_at(i);
        member_meet(m);
        if (carrier_load(m->carrier) < LOAD_NONE && carrier_class(m->carrier) < class)
            class = carrier_class(m->carrier);
        weights[m->bridge] += carrier_weight(m->carrier);
    }
    return class;
}

static bool suits(const struct member *m, unsigned class)
{
    return carrier_load(m->carrier) < LOAD_NONE && carrier_class(m->carrier) == class;
}

static unsigned share_of(const struct member *m)
{
    return m->carrier->weight ? m->carrier->weight : 1;
}

/* What its bridge carries for each part of its weight, and then what itself does. */
static bool carries_less(const struct member *m, const struct member *than,
                         const unsigned weights[BRIDGES])
{
    uint64_t one = (uint64_t)weights[m->bridge] * share_of(than),
             other = (uint64_t)weights[than->bridge] * share_of(m);
    return one < other ||
           (one == other && carrier_weight(m->carrier) < carrier_weight(than->carrier));
}

void pool_weigh(struct pool *pool, struct weighing *w)
{
    const struct member *best = NULL;
    *w = (struct weighing){.load = LOAD_NONE};
    w->class = weigh_bridges(pool, w->weights);
    for (struct list_item *i = list_first(&pool->members); i; i = list_next(&pool->members, i)) {
        const struct member *m = member_at(i);
        if (suits(m, w->class) && (!best || carries_less(m, best, w->weights)))
            best = m;
    }
    if (best) {
        w->lightest = best->carrier;
        w->load = w->class + w->weights[best->bridge];
    }
    shard_publish(pool->shard, w->load);
}

bool pool_stays(const struct pool *pool)
{
    return pool->portal->conf->choice != CHOICE_LEAST_LOAD;
}

static struct carrier *lightest_of(struct pool *pool, const struct weighing *w, uint8_t bridge)
{
    struct carrier *best = NULL;
    for (struct list_item *i = list_first(&pool->members); i; i = list_next(&pool->members, i)) {
        const struct member *m = member_at(i);
        if (m->bridge == bridge && suits(m, w->class) &&
            (!best || carrier_weight(m->carrier) < carrier_weight(best)))
            best = m->carrier;
    }
    return best;
}

/* --- round robin --- */

struct turns { /* by the bridge's number */
    int32_t turn[BRIDGES];
    unsigned share[BRIDGES]; /* 0: it takes no part */
};

static void turns_read(const struct pool *pool, unsigned class, struct turns *t)
{
    for (struct list_item *i = list_first(&pool->members); i; i = list_next(&pool->members, i)) {
        const struct member *m = member_at(i);
        t->turn[m->bridge] = m->turn; /* a newer link has none yet, and stands in front */
        if (suits(m, class))
            t->share[m->bridge] = share_of(m);
    }
}

static void turns_write(struct pool *pool, const struct turns *t)
{
    for (struct list_item *i = list_first(&pool->members); i; i = list_next(&pool->members, i)) {
        struct member *m = member_at(i);
        m->turn = t->share[m->bridge] ? t->turn[m->bridge] : 0;
    }
}

/* Smooth: who has a weight of 3 against 1 is not chosen three times in a row. Each gains its weight, and the first
 * pays for all. */
static struct carrier *choose_in_turn(struct pool *pool, const struct weighing *w)
{
    struct turns t = {0};
    int32_t sum = 0;
    unsigned next = BRIDGES;
    turns_read(pool, w->class, &t);
    for (unsigned i = 0; i < BRIDGES; i++) {
        if (!t.share[i])
            continue;
        t.turn[i] += (int32_t)t.share[i];
        sum += (int32_t)t.share[i];
        if (next == BRIDGES || t.turn[i] > t.turn[next])
            next = i;
    }
    if (next == BRIDGES)
        return NULL;
    t.turn[next] -= sum;
    turns_write(pool, &t);
    return lightest_of(pool, w, (uint8_t)next);
}

/* --- by the visitor's address --- */

/* The same on all loops as long as the process lives. */
static uint64_t score_of(const struct pool *pool, const struct addr *source, uint64_t group)
{
    uint8_t bytes[sizeof group + sizeof source->ip] = {0};
    uint64_t score;
    memcpy(bytes, &group, sizeof group);
    memcpy(bytes + sizeof group, source->ip, addr_ip_len(source));
    crypto_shorthash((uint8_t *)&score, bytes, sizeof bytes, pool->shard->all->portal->tunnels.key);
    return score;
}

/* The bridge that scores highest: when one goes only its own visitors move. */
static struct carrier *choose_by_source(struct pool *pool, const struct addr *source,
                                        const struct weighing *w)
{
    const struct member *best = NULL;
    uint64_t highest = 0;
    for (struct list_item *i = list_first(&pool->members); i; i = list_next(&pool->members, i)) {
        const struct member *m = member_at(i);
        if (!suits(m, w->class))
            continue;
        uint64_t score = score_of(pool, source, m->group);
        if (best && score <= highest)
            continue;
        best = m;
        highest = score;
    }
    return best ? lightest_of(pool, w, best->bridge) : NULL;
}

struct carrier *pool_choose(struct pool *pool, const struct meta *visitor, const struct weighing *w)
{
    switch (pool->portal->conf->choice) {
    case CHOICE_ROUND_ROBIN:
        return choose_in_turn(pool, w);
    case CHOICE_SOURCE_HASH:
        if (addr_is_ip(&visitor->source))
            return choose_by_source(pool, &visitor->source, w);
        break;
    case CHOICE_LEAST_LOAD:
        break;
    }
    return w->lightest;
}
