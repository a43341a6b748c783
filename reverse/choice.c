/* reverse/choice.c -- which carrier of a pool a visitor gets. What is chosen is a bridge; of its links it is the
 * one that carries least. */
#include "reverse/carrier.h"

static const double SETTLED = 1; /* seconds after which a link is an old bridge's */

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

/* Whose link it is: v2c says so in its first frame. Until then it would count as a bridge of its own, and addresses
 * would move there and back. */
static bool is_known(const struct carrier *c)
{
    return c->mux.is_v2c || loop_steady() - c->mux.end.flow->born > SETTLED;
}

/* All loops choose from what each has. */
static void say_bridges(struct pool *pool)
{
    struct turns *t = &pool->shard->all->turns;
    unsigned loop = pool->portal->out.loop->index;
    turns_begin(t, loop);
    for (struct list_item *i = list_first(&pool->members); i; i = list_next(&pool->members, i)) {
        struct member *m = member_at(i);
        const struct carrier *c = m->carrier;
        if (carrier_load(c) < LOAD_NONE && is_known(c))
            turns_have(t, loop, m->group, (uint8_t)(carrier_class(c) / LOAD_CLASS), c->weight,
                       &m->turn);
    }
    turns_end(t);
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
        w->load = w->class + w->weights[best->bridge] / share_of(best);
    }
    shard_publish(pool->shard, w->load);
    if (pool->portal->conf->choice != CHOICE_LEAST_LOAD)
        say_bridges(pool);
}

static struct carrier *lightest_of(struct pool *pool, uint64_t bridge, unsigned class)
{
    struct carrier *best = NULL;
    for (struct list_item *i = list_first(&pool->members); i; i = list_next(&pool->members, i)) {
        const struct member *m = member_at(i);
        if (m->group == bridge && suits(m, class) &&
            (!best || carrier_weight(m->carrier) < carrier_weight(best)))
            best = m->carrier;
    }
    return best;
}

/* The shard with the least load of those that have a link of the bridge. */
static struct shard *least_of(const struct pool *pool, uint64_t loops)
{
    struct shards *all = pool->shard->all;
    struct shard *best = NULL;
    unsigned least = LOAD_NONE;
    for (unsigned i = 0; i < all->portal->count; i++) {
        unsigned load = atomic_load(&all->at[i].load);
        if (loops >> i & 1 && load < least) {
            best = &all->at[i];
            least = load;
        }
    }
    return best;
}

bool pool_choose(struct pool *pool, const struct meta *visitor, struct place *place)
{
    struct turns *t = &pool->shard->all->turns;
    const uint8_t *key = pool->shard->all->portal->tunnels.key;
    enum portal_choice choice = pool->portal->conf->choice;
    struct turn next;
    *place = (struct place){0};
    if (choice == CHOICE_ROUND_ROBIN
            ? !turns_next(t, &next)
            : choice != CHOICE_SOURCE_HASH || !addr_is_ip(&visitor->source) ||
                  !turns_by_source(t, &visitor->source, key, &next))
        return false;
    place->carrier = lightest_of(pool, next.bridge, next.class * LOAD_CLASS);
    place->bridge = next.bridge;
    if (!place->carrier)
        place->elsewhere = least_of(pool, next.loops);
    return place->carrier || place->elsewhere;
}

struct carrier *pool_chosen(struct pool *pool, uint32_t mark, const struct weighing *w)
{
    for (struct list_item *i = list_first(&pool->members); i; i = list_next(&pool->members, i)) {
        const struct member *m = member_at(i);
        if (bridge_mark(m->group) == mark && suits(m, w->class))
            return lightest_of(pool, m->group, w->class);
    }
    return NULL;
}
