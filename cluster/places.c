/* cluster/places.c -- where configured peers may be: a name has as many places as it has addresses, so one name can stand for
 * all portals. They are looked up again all the time, for portals come and go. */
#include <stdlib.h>

#include "cluster/inside.h"
#include "transport/resolve.h"

static const double AGAIN = 5, COMPLAINT = 60; /* seconds */

struct place {
    struct cluster *cluster;
    struct addr at;              /* as it was configured */
    struct resolve_query *query; /* NULL: none is under way */
    struct addr found[RESOLVE_MAX];
    size_t count;
    double due, complained; /* loop_steady() */
};

static void complain(struct place *p, const struct err *why)
{
    double now = loop_steady();
    if (p->complained && now - p->complained < COMPLAINT)
        return;
    p->complained = now;
    log_warn("cluster: the address of peer %s is not found: %s", p->at.name, why->text);
}

/* Those that were found stay while nobody knows better. */
static void on_found(void *owner, const struct resolve_answer *a)
{
    struct place *p = owner;
    p->query = NULL;
    if (!a->count) {
        complain(p, &a->why);
        return;
    }
    p->count = a->count;
    for (size_t i = 0; i < a->count; i++) {
        p->found[i] = a->addrs[i];
        p->found[i].port = p->at.port;
    }
    peers_look(p->cluster, loop_steady());
}

static void place_look(struct place *p, double now)
{
    if (p->at.type != ADDR_NAME || p->query || now < p->due)
        return;
    p->due = now + AGAIN;
    p->query = resolve_start(p->cluster->loop, p->at.name, DIAL_ANY, on_found, p);
}

int places_open(struct cluster *c)
{
    size_t count = c->conf->peer_count;
    c->places = calloc(count + 1, sizeof *c->places);
    if (!c->places)
        return -1;
    for (size_t i = 0; i < count; i++) {
        struct place *p = &c->places[i];
        p->cluster = c;
        p->at = c->conf->peers[i];
        p->found[0] = p->at;
        p->count = p->at.type != ADDR_NAME;
    }
    c->place_count = count;
    return 0;
}

void places_look(struct cluster *c, double now)
{
    for (size_t i = 0; i < c->place_count; i++)
        place_look(&c->places[i], now);
}

bool places_are_sought(const struct cluster *c)
{
    for (size_t i = 0; i < c->place_count; i++)
        if (c->places[i].query && !c->places[i].count)
            return true;
    return false;
}

const struct addr *places_at(const struct cluster *c, size_t place, size_t which)
{
    const struct place *p = &c->places[place];
    return which < p->count ? &p->found[which] : NULL;
}

void places_close(struct cluster *c)
{
    for (size_t i = 0; i < c->place_count; i++)
        if (c->places[i].query)
            resolve_cancel(c->places[i].query);
    free(c->places);
    c->places = NULL;
    c->place_count = 0;
}
