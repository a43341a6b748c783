/* cluster/wishes.c -- hostnames that bridges of this loop want. The registry grants a wish; while it is away a peer that knows
 * the name as this tunnel's does, until the registry says otherwise. Where there is none, a wish is granted when all peers
 * that are linked agree. Until then it stays one. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "cluster/inside.h"
#include "cluster/who_has.h"
#include "routing/claims.h"

enum { ROWS = 1024, WISHES_MAX = 65536 };

/* Seconds. */
static const double AGAIN = 0.25; /* until those are asked again who did not answer, */
static const double AWAY = 1;     /* or who may know more than a registry that is away */
static const double ALONE = 3;    /* after its start a node that nobody is linked to is alone */

struct wish {
    struct wishes *all;
    struct list_item item; /* in its row */
    struct list_item idle; /* in `idle`: peers are to be asked again */
    uint64_t portal;
    struct hostname_pattern host;
    struct tunnel_name holder;
    struct question q;      /* to peers */
    struct claim_wait wait; /* for the registry */
    bool granted;           /* by a peer; the registry may still refuse */
};

struct wishes {
    struct cluster *cluster;
    uint8_t key[crypto_shorthash_KEYBYTES]; /* bridges choose names */
    struct list rows[ROWS];
    struct list idle;
    unsigned count;
    ev_timer again;
    struct log_limit full;
};

/* --- which there are --- */

static struct list *row_of(struct wishes *all, const struct hostname_pattern *host)
{
    uint64_t hash;
    crypto_shorthash((uint8_t *)&hash, (const uint8_t *)host->host.text, host->host.len, all->key);
    return &all->rows[hash % ROWS];
}

static struct wish *wish_find(struct wishes *all, uint64_t portal,
                              const struct hostname_pattern *host, const struct tunnel_name *holder)
{
    struct list *row = row_of(all, host);
    for (struct list_item *i = list_first(row); i; i = list_next(row, i)) {
        struct wish *w = container_of(i, struct wish, item);
        if (w->portal == portal && w->host.below == host->below &&
            strcmp(w->host.host.text, host->host.text) == 0 &&
            tunnel_name_equal(&w->holder, holder))
            return w;
    }
    return NULL;
}

static void wish_free(struct wish *w)
{
    if (!list_holds(&w->idle))
        who_has_forget(w->all->cluster, &w->q);
    registry_claim_forget(&w->wait);
    list_remove(&w->idle);
    list_remove(&w->item);
    w->all->count--;
    free(w);
}

/* --- asking --- */

static void wish_rest(struct wish *w)
{
    struct wishes *all = w->all;
    struct ev_loop *ev = all->cluster->loop->ev;
    list_append(&all->idle, &w->idle);
    if (ev_is_active(&all->again))
        return;
    ev_timer_set(&all->again, all->cluster->registry ? AWAY : AGAIN, 0);
    ev_timer_start(ev, &all->again);
}

/* False: they cannot be asked now, or need not be. */
static bool wish_ask(struct wish *w)
{
    struct cluster *c = w->all->cluster;
    if ((c->registry && registry_is_well(c->registry)) || !who_has_ask(c, &w->q))
        return false;
    list_remove(&w->idle);
    return true;
}

static bool is_linked(const struct cluster *c)
{
    for (struct list_item *i = list_first(&c->peers); i; i = list_next(&c->peers, i))
        if (container_of(i, struct peer, item)->link)
            return true;
    return false;
}

/* There is nobody who could object. */
static bool is_alone(const struct cluster *c)
{
    bool young = loop_steady() - c->shared->began < ALONE;
    return !c->registry && !is_linked(c) && !(c->conf->peer_count && young);
}

/* One that goes and the one that follows it may have the same key. */
static void tell_portals(struct cluster *c, uint64_t portal, const struct hostname_pattern *host,
                         const struct tunnel_name *holder, bool granted)
{
    struct list_item *i, *next;
    for (i = list_first(&c->portals); i; i = next) {
        const struct joined *j = container_of(i, struct joined, item);
        next = list_next(&c->portals, i);
        if (j->key == portal)
            portal_host_decided(j->portal, host, holder, granted);
    }
}

static void wish_decided(struct wish *w, bool granted)
{
    struct cluster *c = w->all->cluster;
    struct hostname_pattern host = w->host;
    struct tunnel_name holder = w->holder;
    uint64_t portal = w->portal;
    wish_free(w);
    tell_portals(c, portal, &host, &holder, granted);
}

static void on_decided(struct claim_wait *wait, bool granted)
{
    struct wish *w = container_of(wait, struct wish, wait);
    if (w->granted && granted)
        wish_free(w); /* its bridge knows */
    else
        wish_decided(w, granted);
}

static bool confirm(const struct wish *w)
{
    const struct outbound *portal = cluster_portal(w->all->cluster, w->portal);
    return !portal || claims_confirm(portal_claims(portal), &w->host, &w->holder);
}

/* They know the name as this tunnel's, or as nobody's. */
static void peers_agree(struct wish *w)
{
    if (confirm(w))
        wish_decided(w, true);
}

static void peers_know(struct wish *w)
{
    list_remove(&w->idle);
    w->granted = true;
    tell_portals(w->all->cluster, w->portal, &w->host, &w->holder, true);
}

static void on_told(struct question *q, const struct answer *a)
{
    struct wish *w = container_of(q, struct wish, q);
    bool own = a && a->known && tunnel_name_equal(&a->holder, &w->holder);
    wish_rest(w);
    if (w->all->cluster->registry) {
        if (own)
            peers_know(w);
    } else if (a && a->known && !own) {
        wish_decided(w, false);
    } else if (a) {
        peers_agree(w);
    }
}

static void on_again(struct ev_loop *ev, ev_timer *t, int events)
{
    (void)ev, (void)events;
    struct wishes *all = t->data;
    struct list waiting = {0};
    struct list_item *i;
    bool alone = is_alone(all->cluster);
    while ((i = list_first(&all->idle))) {
        list_remove(i);
        list_append(&waiting, i);
    }
    while ((i = list_first(&waiting))) {
        struct wish *w = container_of(i, struct wish, idle);
        if (alone) {
            wish_decided(w, true);
        } else if (!wish_ask(w)) {
            list_remove(i);
            wish_rest(w);
        }
    }
}

/* --- for portals --- */

static struct wish *wish_new(struct wishes *all, uint64_t portal,
                             const struct hostname_pattern *host, const struct tunnel_name *holder)
{
    struct wish *w = all->count < WISHES_MAX ? calloc(1, sizeof *w) : NULL;
    if (!w)
        return NULL;
    w->all = all;
    w->portal = portal;
    w->wait.decided = on_decided;
    w->host = *host;
    w->holder = *holder;
    w->q = (struct question){.told = on_told,
                             .of = {.kind = ASK_CLAIM, .portal = portal, .tunnel = *holder}};
    snprintf(w->q.of.host, sizeof w->q.of.host, "%s%s", host->below ? "." : "", host->host.text);
    list_push(row_of(all, host), &w->item);
    all->count++;
    return w;
}

static enum elsewhere_claim wish_begin(struct wish *w)
{
    struct registry *r = w->all->cluster->registry;
    enum elsewhere_claim a =
        r ? registry_claim(r, w->portal, &w->host, &w->holder, &w->wait) : ELSEWHERE_LATER;
    if (a != ELSEWHERE_LATER)
        wish_free(w);
    else if (!wish_ask(w))
        wish_rest(w);
    return a;
}

/* Its bridge hears nothing, and asks again with its next link. */
static void complain(struct wishes *all)
{
    struct loop *l = all->cluster->loop;
    if (log_allowed(&all->full, (int64_t)loop_now(l), 1))
        log_warn("cluster: too many hostnames wait for an answer of the other portals");
}

enum elsewhere_claim wishes_claim(struct elsewhere *e, struct outbound *portal,
                                  const struct hostname_pattern *host,
                                  const struct tunnel_name *holder)
{
    struct cluster *c = cluster_of(e);
    uint64_t key = cluster_key_of(c, portal);
    if (!key || is_alone(c))
        return ELSEWHERE_GRANTED;
    struct wish *w = wish_find(c->wishes, key, host, holder);
    if (w)
        return w->granted ? ELSEWHERE_GRANTED : ELSEWHERE_LATER;
    w = wish_new(c->wishes, key, host, holder);
    if (w)
        return wish_begin(w);
    complain(c->wishes);
    return ELSEWHERE_LATER;
}

void wishes_leave(struct elsewhere *e, const struct portal_conf *portal,
                  const struct hostname_pattern *host, const struct tunnel_name *holder)
{
    struct cluster *c = cluster_of(e);
    uint64_t key = portal_key(portal);
    struct wish *w = wish_find(c->wishes, key, host, holder);
    if (w)
        wish_free(w);
    if (c->registry)
        registry_leave(c->registry, key, host, holder);
}

void wishes_lost(void *cluster, uint64_t portal, const struct hostname_pattern *host,
                 const struct tunnel_name *holder)
{
    struct cluster *c = cluster;
    struct wish *w = wish_find(c->wishes, portal, host, holder);
    if (w)
        wish_free(w);
    tell_portals(c, portal, host, holder, false);
}

/* --- life --- */

struct wishes *wishes_new(struct cluster *c)
{
    struct wishes *all = calloc(1, sizeof *all);
    if (!all)
        return NULL;
    all->cluster = c;
    crypto_shorthash_keygen(all->key);
    ev_init(&all->again, on_again);
    all->again.data = all;
    return all;
}

void wishes_free(struct wishes *all)
{
    struct list_item *i;
    if (!all)
        return;
    ev_timer_stop(all->cluster->loop->ev, &all->again);
    for (unsigned n = 0; n < ROWS; n++)
        while ((i = list_first(&all->rows[n])))
            wish_free(container_of(i, struct wish, item));
    free(all);
}
