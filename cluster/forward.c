/* cluster/forward.c -- visitors for whose tunnel this process has no link: asks where it is, and opens their streams there. */
#include <stdlib.h>

#include "cluster/inside.h"

enum { HOPES_MAX = 1024 };

static const double AGAIN = 0.25; /* seconds until those who wait look again */

/* --- hopes --- */

static bool is_hoped(const struct cluster *c, const struct question_of *of)
{
    for (struct list_item *i = list_first(&c->hopes); i; i = list_next(&c->hopes, i)) {
        const struct hope *h = container_of(i, struct hope, item);
        if (h->portal == of->portal && tunnel_name_equal(&h->tunnel, &of->tunnel))
            return true;
    }
    return false;
}

static void hope_free(struct cluster *c, struct hope *h)
{
    list_remove(&h->item);
    c->hope_count--;
    free(h);
}

/* Whoever still waits then asks again, and there will be another hope. */
static void on_hoping(struct ev_loop *ev, ev_timer *t, int events)
{
    (void)ev, (void)events;
    struct cluster *c = t->data;
    struct list_item *i;
    while ((i = list_first(&c->hopes))) {
        struct hope *h = container_of(i, struct hope, item);
        struct outbound *portal = cluster_portal(c, h->portal);
        if (portal)
            portal_found(portal, &h->tunnel);
        hope_free(c, h);
    }
}

/* Of those that find no room here visitors wait until their time is over. */
static void hope_for(struct cluster *c, const struct question_of *of)
{
    bool room = c->hope_count < HOPES_MAX && !is_hoped(c, of);
    struct hope *h = room ? calloc(1, sizeof *h) : NULL;
    if (!h)
        return;
    h->portal = of->portal;
    h->tunnel = of->tunnel;
    list_append(&c->hopes, &h->item);
    c->hope_count++;
    if (ev_is_active(&c->hoping))
        return;
    ev_timer_init(&c->hoping, on_hoping, AGAIN, 0);
    c->hoping.data = c;
    ev_timer_start(c->loop->ev, &c->hoping);
}

void forward_stop(struct cluster *c)
{
    struct list_item *i;
    ev_timer_stop(c->loop->ev, &c->hoping);
    while ((i = list_first(&c->hopes)))
        hope_free(c, container_of(i, struct hope, item));
}

/* --- sending --- */

static struct question_of question_of(const struct cluster *c, const struct outbound *portal,
                                      const struct flow *f)
{
    struct question_of of = {
        .kind = ASK_TUNNEL, .portal = cluster_key_of(c, portal), .tunnel = f->meta.tunnel};
    of.tunnel.bridge = 0;
    return of;
}

static struct link_route route_to(const struct peer *p, const struct question_of *of,
                                  const struct flow *f)
{
    return (struct link_route){.portal = of->portal,
                               .epoch = p->link->node.epoch,
                               .by_claim = f->meta.by_claim,
                               .tunnel = link_tunnel_of(&of->tunnel)};
}

static bool send_to(struct peer *p, const struct question_of *of, struct flow *f, struct end *seat)
{
    struct link_route route = route_to(p, of, f);
    if (!mux_forward(&p->link->mux, f, seat, &route))
        return false;
    stat_add(p->cluster->loop->counters, STAT_cluster_forwarded, 1);
    return true;
}

/* What died since it was said to be there. */
static void drop_dead(struct cluster *c, const struct question_of *of, const struct answer *a,
                      double now)
{
    for (unsigned i = 0; i < a->count; i++)
        if (!nodes_alive(c->shared->nodes, a->at[i].node, a->at[i].epoch, now))
            directory_wrong(c->directory, of, a->at[i].node, a->at[i].epoch);
}

/* This process itself, of which the registry knows, too: it would not ask if it could serve. */
static bool is_here_only(const struct cluster *c, const struct answer *a)
{
    for (unsigned i = 0; i < a->count; i++)
        if (strcmp(a->at[i].node, c->conf->node) != 0)
            return false;
    return a->count > 0;
}

/* Somebody has the tunnel, or had it a moment ago. */
static enum elsewhere_answer send_by(struct cluster *c, const struct question_of *of,
                                     const struct answer *a, struct flow *f, struct end *seat)
{
    double now = loop_steady();
    struct peer *p = peers_choose(c, a, now);
    if (p && send_to(p, of, f, seat))
        return ELSEWHERE_TOOK;
    if (is_here_only(c, a))
        return ELSEWHERE_NOWHERE;
    drop_dead(c, of, a, now);
    hope_for(c, of);
    return ELSEWHERE_ASKS;
}

/* Nobody could say. That is worth waiting for while there is somebody. */
static enum elsewhere_answer send_blindly(struct cluster *c, const struct question_of *of)
{
    if (!cluster_starts(c) && nodes_count(c->shared->nodes, loop_steady()) <= 1)
        return ELSEWHERE_NOWHERE;
    hope_for(c, of);
    return ELSEWHERE_ASKS;
}

/* NULL: he did not come by a network. */
static const struct addr *visitor_of(const struct flow *f)
{
    return addr_is_ip(&f->meta.source) ? &f->meta.source : NULL;
}

enum elsewhere_answer forward_send(struct elsewhere *e, struct outbound *portal, struct flow *f,
                                   struct end *seat)
{
    struct cluster *c = cluster_of(e);
    struct question_of of = question_of(c, portal, f);
    struct answer a;
    if (!of.portal || c->stopping)
        return ELSEWHERE_NOWHERE;
    switch (directory_ask(c->directory, &of, visitor_of(f), loop_steady(), &a)) {
    case STEP_MORE:
        return ELSEWHERE_ASKS;
    case STEP_FAIL:
        return send_blindly(c, &of);
    case STEP_DONE:
        break;
    }
    if (!a.known)
        return cluster_starts(c) ? send_blindly(c, &of) : ELSEWHERE_NOWHERE;
    return send_by(c, &of, &a, f, seat);
}

bool forward_serves(struct elsewhere *e, struct outbound *portal, const struct flow *f)
{
    struct cluster *c = cluster_of(e);
    struct question_of of = question_of(c, portal, f);
    double now = loop_steady();
    struct answer a;
    return of.portal && !c->stopping &&
           directory_ask(c->directory, &of, visitor_of(f), now, &a) == STEP_DONE &&
           peers_choose(c, &a, now);
}

void forward_returned(struct cluster *c, const struct peer *p, struct end *seat, int refusal)
{
    struct outbound *portal =
        c->stopping ? NULL : cluster_portal_tagged(c, seat->flow->meta.outbound_tag);
    struct err why;
    if (!portal) {
        err_set(&why, ECANCELED, "the portal is gone");
        end_leave(seat, &why);
        return;
    }
    if (refusal == REFUSED_NOT_HERE && p->link) {
        struct question_of of = question_of(c, portal, seat->flow);
        directory_wrong(c->directory, &of, p->link->node.name, p->link->node.epoch);
    }
    portal_returned(portal, seat);
}

void forward_told(void *with, const struct question_of *of)
{
    struct cluster *c = with;
    struct outbound *portal = of->kind == ASK_TUNNEL ? cluster_portal(c, of->portal) : NULL;
    if (of->kind == ASK_HOST)
        hosts_told(c, of);
    if (portal)
        portal_found(portal, &of->tunnel);
}
