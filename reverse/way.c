#include "reverse/way.h"

#include <sodium.h>

#include "reverse/backoff.h"

enum {
    SPREAD = 128, /* streams a link, on average, before another one is dialled */
    LINKS_MAX = 64,
    SCATTER_MAX = 6, /* links dialled in vain to find another worker of the portal */
    PATIENCE = 3,    /* looks before a link that is not needed goes */
};

static const double GAP = 0.05;    /* seconds between two attempts, at least */
static const double GAP_MANY = 10; /* ... with LINKS_MAX links */
static const double STEP =
    0.2; /* ... between two that look for one portal more, at most, beyond that */
static const double TRIM = 10;      /* seconds between looks for links that are not needed */
static const double COMPLAINT = 30; /* seconds between warnings about a silent portal */

/* What the way's links can take. */
struct census {
    unsigned usable,
        streams;       /* links that take streams, or are being dialled, and what they carry */
    unsigned dialling; /* of those links, have not come up */
    unsigned shards;   /* workers of the portal on which they lie, at most 64 */
    bool may_scatter;  /* the portal has more of them */
};

static struct census way_census(const struct way *y)
{
    struct census c = {0};
    uint64_t seen = 0;
    for (struct list_item *i = list_first(&y->links); i; i = list_next(&y->links, i)) {
        const struct link *k = link_at(i);
        if (!link_usable(k))
            continue;
        c.usable++;
        c.dialling += !k->up;
        c.streams += k->mux.sessions;
        seen |= k->mux.hello.shard ? 1ull << (k->mux.hello.shard - 1) % 64 : 0;
        c.may_scatter = c.may_scatter || k->mux.hello.shards > 1;
    }
    c.shards = (unsigned)__builtin_popcountll(seen);
    return c;
}

static bool way_lacks(const struct way *y, const struct census *c)
{
    return c->usable < y->bridge->share || c->streams > SPREAD * c->usable;
}

/* All links that there should be lie on one worker of the portal. */
static bool way_huddles(const struct way *y, const struct census *c)
{
    return c->may_scatter && c->shards == 1 && !c->dialling && y->bridge->share > 1 &&
           y->scattering < SCATTER_MAX && bridge_nodes(y->bridge) < 2;
}

static bool way_wants(const struct way *y, const struct census *c)
{
    bool crowded = c->usable >= y->bridge->share && y->link_count >= LINKS_MAX;
    return (way_lacks(y, c) && !crowded) || way_huddles(y, c) || (!c->dialling && way_roams(y));
}

/* --- dialling --- */

static void way_schedule(struct way *y, double delay)
{
    if (y->bridge->stopping || ev_is_active(&y->redial))
        return;
    ev_timer_set(&y->redial, delay, 0);
    ev_timer_start(y->bridge->in.loop->ev, &y->redial);
}

static void way_dial(struct way *y)
{
    y->dialled = loop_steady();
    if (!link_new(y))
        way_schedule(y, GAP_MANY);
}

static void on_redial(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)events;
    struct way *y = w->data;
    struct census c = way_census(y);
    if (c.shards > 1)
        y->scattering = 0;
    if (!way_wants(y, &c)) {
        way_roam_later(y);
        return;
    }
    double wish = y->not_before - loop_steady();
    if (wish > 0) { /* the portal has asked for it since the timer was set */
        way_schedule(y, wish);
        return;
    }
    y->scattering += !way_lacks(y, &c) && !way_roams(y);
    way_dial(y);
    way_check(y);
}

/* Not before the portal's wish, the outage's, and what is decent. A portal that drains links faster than
 * they end is given no more than a few a minute. */
static double way_delay(const struct way *y, double now)
{
    double delay = y->dialled + (y->link_count < LINKS_MAX ? GAP : GAP_MANY) - now;
    double wish = (y->not_before > y->returns_at ? y->not_before : y->returns_at) - now;
    double outage = 0;
    if (y->down_since > 0)
        outage = backoff_delay(now - y->down_since, randombytes_uniform(1000) / 1000.0);
    if (outage > delay)
        delay = outage;
    if (y->roamed) /* bridges that keep in step would be dealt to the same portals again and again */
        delay += STEP * randombytes_uniform(1000) / 1000;
    if (wish > delay)
        delay = wish;
    return delay > 0 ? delay : 0;
}

void way_check(struct way *y)
{
    struct census c = way_census(y);
    if (way_wants(y, &c))
        way_schedule(y, way_delay(y, loop_steady()));
    else
        way_roam_later(y);
}

void way_came(struct way *y)
{
    way_schedule(y, way_delay(y, loop_steady()));
}

/* --- links that are not needed any more --- */

/* Another link lies on the same worker of the portal. */
static bool link_has_twin(const struct link *k)
{
    const struct list *links = &k->way->links;
    for (struct list_item *i = list_first(links); i; i = list_next(links, i)) {
        const struct link *other = link_at(i);
        if (other != k && other->up && link_usable(other) &&
            other->mux.hello.shard == k->mux.hello.shard && other->node == k->node)
            return true;
    }
    return false;
}

static bool link_needed_less(const struct link *k, const struct link *than)
{
    bool is_double = link_is_double(k);
    if (is_double != link_is_double(than))
        return is_double;
    bool twin = link_has_twin(k), its_twin = link_has_twin(than);
    return twin == its_twin ? k->mux.sessions < than->mux.sessions : twin;
}

static struct link *way_least_needed(const struct way *y)
{
    struct link *best = NULL;
    for (struct list_item *i = list_first(&y->links); i; i = list_next(&y->links, i)) {
        struct link *k = link_at(i);
        if (k->up && link_usable(k) && (!best || link_needed_less(k, best)))
            best = k;
    }
    return best;
}

/* One that may be dropped because the others could carry its streams twice over; NULL: none. */
static struct link *way_surplus(const struct way *y, const struct census *c)
{
    bool surplus = c->usable > y->bridge->share && c->streams < (c->usable - 1) * SPREAD / 2;
    struct link *k = surplus ? way_least_needed(y) : NULL;
    return k && (!k->node || link_is_spare(k)) ? k : NULL;
}

void way_thin(struct way *y)
{
    struct census c = way_census(y);
    struct link *k = way_surplus(y, &c);
    if (k && link_is_double(k))
        link_drain(k);
}

/* Only for good. */
static void on_trim(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)events;
    struct way *y = w->data;
    struct census c = way_census(y);
    struct link *k = way_surplus(y, &c);
    if (!k)
        y->surplus = 0;
    else if (++y->surplus >= PATIENCE)
        link_drain(k);
    if (!c.dialling)
        way_stay(y);
}

/* --- life --- */

void way_init(struct way *y, struct bridge *b, long outbound)
{
    *y = (struct way){.bridge = b, .outbound = outbound};
    y->down_since = loop_steady();
    y->complained = y->refused = -COMPLAINT;
    y->hosts = b->hosts + (size_t)(y - b->ways) * b->conf->host_count;
    ev_timer_init(&y->redial, on_redial, 0, 0);
    y->redial.data = y;
    ev_timer_init(&y->trim, on_trim, TRIM, TRIM);
    y->trim.data = y;
    ev_timer_start(b->in.loop->ev, &y->trim);
    way_roam_init(y);
    way_schedule(y, 0);
}

static void way_rest(struct way *y)
{
    struct ev_loop *ev = y->bridge->in.loop->ev;
    ev_timer_stop(ev, &y->redial);
    ev_timer_stop(ev, &y->trim);
    ev_timer_stop(ev, &y->roam);
}

void way_drain(struct way *y)
{
    struct list_item *next;
    way_rest(y);
    for (struct list_item *i = list_first(&y->links); i; i = next) {
        struct link *k = link_at(i);
        next = list_next(&y->links, i);
        if (k->up)
            link_drain(k);
        else
            mux_close(&k->mux, NULL);
    }
}

void way_stop(struct way *y)
{
    struct list_item *i;
    way_rest(y);
    while ((i = list_first(&y->links)))
        mux_close(&link_at(i)->mux, NULL);
}
