/* cluster/peers.c -- to which nodes this loop has links, and which of them a visitor gets. */
#include <sodium.h>
#include <stdlib.h>

#include "cluster/inside.h"

enum { PEERS_MAX = 2 * NODES_MAX }; /* addresses */

static struct peer *peer_at(struct list_item *i)
{
    return container_of(i, struct peer, item);
}

/* --- who they are --- */

static struct peer *find_at(const struct cluster *c, const struct addr *at)
{
    for (struct list_item *i = list_first(&c->peers); i; i = list_next(&c->peers, i))
        if (addr_equal(&peer_at(i)->at, at))
            return peer_at(i);
    return NULL;
}

static void know(struct cluster *c, const struct addr *at, bool is_static)
{
    struct peer *p = find_at(c, at);
    if (!p && c->peer_count < PEERS_MAX)
        p = peer_new(c, at, is_static);
    if (p)
        p->is_known = true;
}

/* Also when another address leads to it: some link of this loop is up that it said its name on. */
static bool is_linked(const struct cluster *c, const struct node_view *v)
{
    return peers_find(c, v->name, v->epoch) != NULL;
}

static void know_places(struct cluster *c)
{
    for (size_t i = 0; i < c->place_count; i++) {
        const struct addr *at;
        for (size_t n = 0; (at = places_at(c, i, n)); n++)
            know(c, at, true);
    }
}

static void know_all(struct cluster *c, double now)
{
    static const unsigned most = NODES_MAX;
    struct node_view *list = calloc(most, sizeof *list);
    unsigned count = list ? nodes_list(c->shared->nodes, list, most, now) : 0;
    know_places(c);
    for (unsigned i = 0; i < count; i++)
        if (list[i].sought && list[i].at.type != ADDR_NONE && !is_linked(c, &list[i]))
            know(c, &list[i].at, false);
    free(list);
}

void peers_look(struct cluster *c, double now)
{
    struct list_item *i, *next;
    for (i = list_first(&c->peers); i; i = list_next(&c->peers, i))
        peer_at(i)->is_known = peer_at(i)->link || list_first(&peer_at(i)->former);
    places_look(c, now);
    know_all(c, now);
    for (i = list_first(&c->peers); i; i = next) {
        struct peer *p = peer_at(i);
        next = list_next(&c->peers, i);
        if (p->is_known)
            peer_look(p, now);
        else
            peer_free(p);
    }
}

void peers_free(struct cluster *c)
{
    struct list_item *i;
    while ((i = list_first(&c->peers)))
        peer_free(peer_at(i));
}

/* --- which one --- */

struct peer *peers_find(const struct cluster *c, const char *node, uint64_t epoch)
{
    for (struct list_item *i = list_first(&c->peers); i; i = list_next(&c->peers, i)) {
        struct peer *p = peer_at(i);
        if (p->link && p->link->node.epoch == epoch && strcmp(p->link->node.name, node) == 0)
            return p;
    }
    return NULL;
}

/* Less is better. */
enum { IN_ZONE, BEYOND, DRAINING, CLASSES };

static unsigned class_of(const struct cluster *c, const struct peer *p)
{
    if (p->link->node.state == NODE_DRAINS)
        return DRAINING;
    return *c->conf->zone && strcmp(p->link->node.zone, c->conf->zone) == 0 ? IN_ZONE : BEYOND;
}

/* Of two that are taken by chance the one with less to carry: so nobody is run over by all others at once. */
static struct peer *choose_of(struct peer *const *from, unsigned count)
{
    struct peer *one = from[randombytes_uniform(count)], *other = from[randombytes_uniform(count)];
    return other->link->mux.sessions < one->link->mux.sessions ? other : one;
}

struct peer *peers_choose(const struct cluster *c, const struct answer *a, double now)
{
    struct peer *found[CLASSES][PLACES_MAX];
    unsigned counts[CLASSES] = {0};
    for (unsigned i = 0; i < a->count; i++) {
        struct peer *p = peers_find(c, a->at[i].node, a->at[i].epoch);
        if (!p || !peer_serves(p, now))
            continue;
        unsigned class = class_of(c, p);
        found[class][counts[class]++] = p;
    }
    for (unsigned class = 0; class < CLASSES; class ++)
        if (counts[class])
            return choose_of(found[class], counts[class]);
    return NULL;
}
