#include "reverse/crowd.h"

#include <sodium.h>
#include <string.h>

#include "reverse/carrier.h"

enum {
    SLACK = 8,          /* links that a portal may have less than others, and ... */
    DRAIN_RATE = 100,   /* bridges told to go, a second and loop */
    RETURN_RATE = 2000, /* bridges that come back, a second */
};

static const double EVEN = 0.9;      /* ... the part of the mean that is as good as all of it */
static const double EVEN_TIME = 250; /* in which it comes to two thirds of what it lacks */
static const double ASK_AGAIN = 600; /* before a bridge that did not move is asked again */
static const double PARTING = 1;     /* for bridges to find another portal */

static double least(double a, double b)
{
    return a < b ? a : b;
}

static double return_time(const struct link_node *n)
{
    return least(n->spread / 1000.0, (double)n->links / RETURN_RATE);
}

/* How many links it has changes all the time and concerns no bridge. */
static bool same_news(const struct link_node *a, const struct link_node *b)
{
    double before = return_time(a), now = return_time(b);
    return a->epoch == b->epoch && a->state == b->state && a->portals == b->portals &&
           a->wanted == b->wanted && now <= 2 * before + 0.1 && before <= 2 * now + 0.1;
}

/* What was told last is kept, so that many small changes become a large one. */
void crowd_set(struct crowd *c, const struct link_node *node, double mean, double least)
{
    c->mean = mean;
    c->least = least;
    c->node = *node;
    if (c->told && same_news(&c->news, node))
        return;
    c->news = *node;
    c->told = c->told + 1 ? c->told + 1 : 1;
}

/* Where links are dealt out to all portals in turn, one of so many comes to the one that has too few. */
double crowd_move_chance(const struct crowd *c, double seconds)
{
    double links = c->node.links;
    if (links <= c->mean || c->least >= EVEN * c->mean - SLACK)
        return 0;
    return (links - c->mean) / links * c->node.portals * seconds / EVEN_TIME;
}

double crowd_drain_time(const struct crowd *c, unsigned links)
{
    return least(c->node.spread / 1000.0, (double)links / DRAIN_RATE);
}

double crowd_return_time(const struct crowd *c)
{
    return return_time(&c->node);
}

bool crowd_admits(struct crowd_door *d, double now)
{
    d->tokens = least(CROWD_RATE, d->tokens + (now - d->at) * CROWD_RATE);
    d->at = now;
    if (d->tokens < 1)
        return false;
    d->tokens--;
    return true;
}

double crowd_wait(const struct crowd *c)
{
    double over = c->node.spread > 1000 ? c->node.spread / 1000.0 : 1;
    return 1 + over * randombytes_uniform(1000) / 1000;
}

/* --- a portal's links --- */

static void tell_node(struct carrier *c, const struct crowd *crowd)
{
    struct link_node n = crowd->node;
    n.spread = (uint32_t)(crowd_return_time(crowd) * 1000);
    c->crowd_told = crowd->told;
    mux_say_node(&c->mux, &n);
}

static bool dice_say(double chance)
{
    return randombytes_uniform(1000 * 1000) < chance * 1000 * 1000;
}

/* The bridge looks for another portal first, and says itself that it goes. */
static void ask_to_move(struct carrier *c, const struct crowd *crowd, double seconds)
{
    double now = loop_steady();
    if (c->draining || !(c->mux.features & LINK_NODES) || now < c->moves_again ||
        !dice_say(crowd_move_chance(crowd, seconds)))
        return;
    c->moves_again = now + ASK_AGAIN;
    mux_say_going(&c->mux, GOING_MOVES, 0);
}

void carrier_in_crowd(struct carrier *c, double seconds)
{
    const struct elsewhere *e = c->portal->elsewhere;
    if (!e || !e->crowd.told)
        return;
    if (c->crowd_told != e->crowd.told)
        tell_node(c, &e->crowd);
    ask_to_move(c, &e->crowd, seconds);
}

static unsigned carriers_of(const struct portal *p)
{
    unsigned count = 0;
    for (struct list_item *i = list_first(&p->carriers); i; i = list_next(&p->carriers, i))
        count++;
    return count;
}

void portal_leave_crowd(struct portal *p)
{
    unsigned count = carriers_of(p);
    double over = p->elsewhere ? crowd_drain_time(&p->elsewhere->crowd, count) : 0;
    p->leaves_until = p->elsewhere && count ? loop_steady() + over + PARTING : 0;
    for (struct list_item *i = list_first(&p->carriers); i; i = list_next(&p->carriers, i)) {
        struct carrier *c = container_of(i, struct carrier, item);
        if (over > 0)
            carrier_drain_within(c, over);
        else
            carrier_drain(c, GOING_STOPS);
    }
}

bool portal_is_leaving(const struct portal *p)
{
    return loop_steady() < p->leaves_until && list_first(&p->carriers);
}
