/* reverse/roam.c -- a bridge whose portal is one of a cluster: its links should lie on several portals, though it may have
 * one address only, behind which somebody deals them out. So it dials again while a portal is missing, keeps what it found,
 * and ends what is double. One loop of a bridge does so for all: each of its links counts, those of other loops do not. */
#include <sodium.h>

#include "reverse/way.h"

enum {
    TRIES = 6,     /* links in a row, for each portal that is wanted, to find one more */
    NODES_MAX = 16 /* that are told apart */
};

/* Seconds. */
static const double PAUSE =
    5; /* after that from one try to the next, and up to twice as long; ... */
static const double PAUSE_MAX = 480; /* ... it doubles, up to this */
static const double SETTLING = 1;    /* for a link to find its portal */
static const double SPREAD_MAX = 60; /* nobody is kept away for longer */
static const double ALONE = 0.3;     /* the same, for who has no other link */

static uint64_t node_of(struct link_text name)
{
    static const uint8_t key[crypto_shorthash_KEYBYTES];
    uint64_t hash;
    crypto_shorthash((uint8_t *)&hash, (const uint8_t *)name.p, name.len, key);
    return hash ? hash : 1;
}

static bool holds(const uint64_t *nodes, unsigned count, uint64_t node)
{
    for (unsigned i = 0; i < count; i++)
        if (nodes[i] == node)
            return true;
    return false;
}

static bool link_serves(const struct link *k)
{
    return k->up && link_usable(k);
}

unsigned bridge_nodes(const struct bridge *b)
{
    uint64_t seen[NODES_MAX];
    unsigned count = 0;
    for (const struct way *y = b->ways; y < b->ways + b->way_count; y++)
        for (struct list_item *i = list_first(&y->links); i; i = list_next(&y->links, i)) {
            const struct link *k = link_at(i);
            if (link_serves(k) && k->node && count < NODES_MAX && !holds(seen, count, k->node))
                seen[count++] = k->node;
        }
    return count;
}

bool link_is_double(const struct link *k)
{
    const struct list *links = &k->way->links;
    for (struct list_item *i = list_first(links); i; i = list_next(links, i)) {
        const struct link *other = link_at(i);
        if (other != k && link_serves(other) && other->node == k->node)
            return true;
    }
    return false;
}

/* --- one portal more --- */

/* It has just been dialled, and its portal has not said which one it is. */
static bool link_is_new(const struct link *k)
{
    return !k->node && loop_steady() - k->mux.end.flow->born < SETTLING;
}

static bool bridge_settles(const struct bridge *b)
{
    for (const struct way *y = b->ways; y < b->ways + b->way_count; y++)
        for (struct list_item *i = list_first(&y->links); i; i = list_next(&y->links, i))
            if (link_is_new(link_at(i)))
                return true;
    return false;
}

static bool way_misses_one(const struct way *y)
{
    return y->bridge->in.loop->index == 0 && y->wanted > 1 && bridge_nodes(y->bridge) < y->wanted;
}

bool way_roams(const struct way *y)
{
    return y->roamed < TRIES * y->wanted && way_misses_one(y) && !bridge_settles(y->bridge);
}

bool link_is_spare(const struct link *k)
{
    const struct way *y = k->way;
    return y->bridge->in.loop->index > 0 || link_is_double(k) ||
           bridge_nodes(y->bridge) > y->wanted;
}

static void on_roam(struct ev_loop *ev, ev_timer *t, int events)
{
    (void)ev, (void)events;
    struct way *y = t->data;
    y->pause = y->pause * 2 < PAUSE_MAX ? y->pause * 2 : PAUSE_MAX;
    y->roamed -= y->roamed > 0;
    way_check(y);
}

void way_tried(struct way *y)
{
    y->roamed += way_misses_one(y);
}

void way_roam_init(struct way *y)
{
    y->pause = PAUSE;
    ev_timer_init(&y->roam, on_roam, 0, 0);
    y->roam.data = y;
}

void way_roam_later(struct way *y)
{
    struct ev_loop *ev = y->bridge->in.loop->ev;
    if (y->bridge->stopping || ev_is_active(&y->roam) || way_roams(y) || !way_misses_one(y))
        return;
    ev_timer_set(&y->roam, y->pause * (1 + randombytes_uniform(1000) / 1000.0), 0);
    ev_timer_start(ev, &y->roam);
}

static void way_found_all(struct way *y)
{
    ev_timer_stop(y->bridge->in.loop->ev, &y->roam);
    y->roamed = 0;
    y->pause = PAUSE;
}

/* --- what the portal says --- */

static void way_wants_nodes(struct way *y, const struct link_node *n)
{
    unsigned wanted = n->wanted < n->portals ? n->wanted : n->portals;
    double spread = n->spread / 1000.0;
    wanted = wanted < NODES_MAX ? wanted : NODES_MAX;
    if (wanted != y->wanted)
        way_found_all(y);
    y->wanted = wanted;
    y->spread = spread < SPREAD_MAX ? spread : SPREAD_MAX;
}

/* A link that should move does so when this one came to another portal, and stays otherwise. */
static void way_moves_one(struct way *y, const struct link *to)
{
    for (struct list_item *i = list_first(&y->links); i; i = list_next(&y->links, i)) {
        struct link *k = link_at(i);
        if (!k->moves)
            continue;
        k->moves = false;
        if (k->node != to->node)
            link_drain(k);
        return;
    }
}

void link_node_told(struct mux *m, const struct link_node *n)
{
    struct link *k = link_of(m);
    struct way *y = k->way;
    bool first = !k->node;
    k->node = node_of(n->name);
    way_wants_nodes(y, n);
    if (first)
        way_moves_one(y, k);
    if (!way_misses_one(y))
        way_found_all(y);
    if (first)
        way_thin(y);
    way_came(y);
}

void link_moves(struct link *k)
{
    if (k->draining || k->moves)
        return;
    k->moves = true;
    way_check(k->way);
}

void way_stay(struct way *y)
{
    for (struct list_item *i = list_first(&y->links); i; i = list_next(&y->links, i))
        link_at(i)->moves = false;
}

/* --- coming back --- */

static bool bridge_is_up(const struct bridge *b)
{
    for (const struct way *y = b->ways; y < b->ways + b->way_count; y++)
        for (struct list_item *i = list_first(&y->links); i; i = list_next(&y->links, i))
            if (link_serves(link_at(i)))
                return true;
    return false;
}

void way_lost_one(struct way *y)
{
    bool others = bridge_is_up(y->bridge);
    double over = others || y->spread < ALONE ? y->spread : ALONE;
    if (y->spread <= 0)
        return;
    y->returns_at = loop_steady() + over * randombytes_uniform(1000) / 1000;
    if (!others)
        ev_timer_stop(y->bridge->in.loop->ev, &y->redial);
}
