#include "routing/balance.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

struct balance_state {
    _Atomic unsigned shares;
    _Atomic unsigned turn; /* flows so far, for roundRobin */
    _Atomic(const char *)
        overrider; /* an outbound's tag; tags stay for ever, and the same one is the same pointer */
};

struct balance_state *balance_state_new(void)
{
    struct balance_state *s = calloc(1, sizeof *s);
    if (s)
        atomic_init(&s->shares, 1);
    return s;
}

struct balance_state *balance_state_ref(struct balance_state *s)
{
    atomic_fetch_add_explicit(&s->shares, 1, memory_order_relaxed);
    return s;
}

void balance_state_unref(struct balance_state *s)
{
    if (s && atomic_fetch_sub_explicit(&s->shares, 1, memory_order_acq_rel) == 1)
        free(s);
}

/* --- strategies --- */

static size_t balance_count_alive(const struct balancer *b, struct outbound *const *all)
{
    size_t count = 0;
    for (size_t i = 0; i < b->count; i++)
        count += outbound_is_alive(all[b->outbounds[i]]);
    return count;
}

/* The n-th of those that are alive. NULL: meanwhile there are fewer. */
static struct outbound *balance_nth_alive(const struct balancer *b, struct outbound *const *all,
                                          size_t n)
{
    for (size_t i = 0; i < b->count; i++) {
        struct outbound *out = all[b->outbounds[i]];
        if (outbound_is_alive(out) && n-- == 0)
            return out;
    }
    return NULL;
}

static uint32_t balance_number(const struct balancer *b, size_t below)
{
    if (b->strategy == BALANCE_ROUND_ROBIN)
        return atomic_fetch_add_explicit(&b->state->turn, 1, memory_order_relaxed) %
               (uint32_t)below;
    return randombytes_uniform((uint32_t)below);
}

/* Another loop's bridge may go between counting and choosing. */
static struct outbound *balance_one_of(const struct balancer *b, struct outbound *const *all)
{
    struct outbound *out = NULL;
    for (size_t count; !out && (count = balance_count_alive(b, all)) > 0;)
        out = balance_nth_alive(b, all, balance_number(b, count));
    return out;
}

/* Of those that are alive and have answered the observatory. NULL: none has. */
static struct outbound *balance_nearest(const struct balancer *b, struct outbound *const *all)
{
    struct outbound *best = NULL;
    uint32_t least = HEALTH_DEAD;
    for (size_t i = 0; i < b->count; i++) {
        struct outbound *out = all[b->outbounds[i]];
        uint32_t delay = out->health ? health_delay(out->health) : HEALTH_UNKNOWN;
        if (delay != HEALTH_UNKNOWN && delay < least && outbound_is_alive(out)) {
            best = out;
            least = delay;
        }
    }
    return best;
}

/* --- choosing --- */

/* Whom nothing speaks for or against comes after all that answered: else the first flows of a process, before
 * anything was probed, would find nobody. */
struct outbound *balance_choose(const struct balancer *b, struct outbound *const *all)
{
    struct outbound *out = balance_overridden(b, all);
    if (!out && b->strategy == BALANCE_LEAST_PING)
        out = balance_nearest(b, all);
    if (!out)
        out = balance_one_of(b, all);
    return out || !b->has_fallback ? out : all[b->fallback];
}

struct outbound *balance_settled(const struct balancer *b, struct outbound *const *all)
{
    struct outbound *out = balance_overridden(b, all);
    if (!out && b->strategy == BALANCE_LEAST_PING)
        out = balance_nearest(b, all);
    size_t alive = balance_count_alive(b, all);
    if (out || alive > 1)
        return out;
    if (alive == 1)
        return balance_nth_alive(b, all, 0);
    return b->has_fallback ? all[b->fallback] : NULL;
}

/* --- by hand --- */

static struct outbound *balance_find(const struct balancer *b, struct outbound *const *all,
                                     const char *tag)
{
    for (size_t i = 0; i < b->count; i++)
        if (strcmp(all[b->outbounds[i]]->tag, tag) == 0)
            return all[b->outbounds[i]];
    return b->has_fallback && strcmp(all[b->fallback]->tag, tag) == 0 ? all[b->fallback] : NULL;
}

bool balance_override(const struct balancer *b, struct outbound *const *all, const char *tag)
{
    struct outbound *out = tag ? balance_find(b, all, tag) : NULL;
    if (tag && !out)
        return false;
    atomic_store(&b->state->overrider, out ? out->tag : NULL);
    return true;
}

struct outbound *balance_overridden(const struct balancer *b, struct outbound *const *all)
{
    const char *tag = atomic_load_explicit(&b->state->overrider, memory_order_acquire);
    return tag ? balance_find(b, all, tag) : NULL;
}

const struct balancer *balancers_find(const struct balancers *bs, const char *tag)
{
    for (size_t i = 0; i < bs->count; i++)
        if (strcmp(bs->items[i].tag, tag) == 0)
            return &bs->items[i];
    return NULL;
}

const char *balance_strategy_name(enum balance_strategy s)
{
    static const char *const names[] = {"random", "roundRobin", "leastPing"};
    return names[s];
}
