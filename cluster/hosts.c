/* cluster/hosts.c -- who holds which hostname: finds it out for ingresses of this loop, and tells peers what bridges here hold. */
#include <sodium.h>
#include <stdlib.h>

#include "cluster/inside.h"
#include "routing/claims.h"
#include "routing/lookups.h"

enum { ROWS = 256 };

/* A hostname that visitors wait for: the directory asks, or will be asked again. */
struct sought {
    struct list_item item; /* in its row */
    struct list waiting;   /* struct lookup_wait */
    uint64_t portal;
    bool again; /* nobody could say, and nobody is being asked */
    char host[];
};

struct hosts {
    struct host_finder finder;
    struct cluster *cluster;
    uint8_t key[crypto_shorthash_KEYBYTES]; /* visitors choose names */
    struct list rows[ROWS];
};

/* --- those that are sought --- */

static struct list *row_of(struct hosts *h, const char *host)
{
    uint64_t hash;
    crypto_shorthash((uint8_t *)&hash, (const uint8_t *)host, strlen(host), h->key);
    return &h->rows[hash % ROWS];
}

static struct sought *sought_find(struct hosts *h, const struct question_of *of)
{
    struct list *row = row_of(h, of->host);
    for (struct list_item *i = list_first(row); i; i = list_next(row, i)) {
        struct sought *s = container_of(i, struct sought, item);
        if (s->portal == of->portal && strcmp(s->host, of->host) == 0)
            return s;
    }
    return NULL;
}

static struct sought *sought_new(struct hosts *h, const struct question_of *of)
{
    size_t len = strlen(of->host) + 1;
    struct sought *s = calloc(1, sizeof *s + len);
    if (!s)
        return NULL;
    s->portal = of->portal;
    memcpy(s->host, of->host, len);
    list_push(row_of(h, of->host), &s->item);
    return s;
}

static void sought_free(struct sought *s)
{
    struct list_item *i;
    list_remove(&s->item);
    while ((i = list_first(&s->waiting)))
        list_remove(i);
    free(s);
}

/* --- for ingresses --- */

static enum lookup_state wait_for(struct hosts *h, const struct question_of *of, bool again,
                                  struct lookup_wait *w)
{
    struct sought *s = sought_find(h, of);
    if (!s)
        s = sought_new(h, of);
    if (!s)
        return LOOKUP_AWAY;
    s->again = again;
    list_remove(&w->item);
    list_append(&s->waiting, &w->item);
    return LOOKUP_WAITS;
}

static enum lookup_state answer_read(const struct answer *a, uint64_t portal,
                                     struct lookup_answer *to)
{
    *to = (struct lookup_answer){
        .found = a->known && a->portal == portal, .is_private = a->is_private, .tunnel = a->holder};
    return to->found ? LOOKUP_FOUND : LOOKUP_NOTHING;
}

static enum lookup_state on_find(struct host_finder *f, uint64_t portal, const char *host,
                                 const struct addr *source, double now,
                                 struct lookup_answer *answer, struct lookup_wait *w)
{
    struct hosts *h = container_of(f, struct hosts, finder);
    struct question_of of = {.kind = ASK_HOST, .portal = portal};
    struct answer a;
    memcpy(of.host, host, strlen(host) + 1); /* text of a struct hostname */
    enum step s = directory_ask(h->cluster->directory, &of, source, now, &a);
    bool found = s == STEP_DONE && a.known;
    if (s == STEP_MORE || (!found && cluster_starts(h->cluster)))
        return wait_for(h, &of, s != STEP_MORE, w);
    return s == STEP_DONE ? answer_read(&a, portal, answer) : LOOKUP_AWAY;
}

static void sought_tell(struct sought *s)
{
    struct list_item *i;
    list_remove(&s->item); /* who asks again from here on is another one */
    while ((i = list_first(&s->waiting))) {
        list_remove(i);
        struct lookup_wait *w = container_of(i, struct lookup_wait, item);
        w->told(w);
    }
    sought_free(s);
}

void hosts_told(struct cluster *c, const struct question_of *of)
{
    struct sought *s = sought_find(c->hosts, of);
    if (s)
        sought_tell(s);
}

void hosts_again(struct cluster *c)
{
    struct list those = {0};
    struct list_item *i, *next;
    for (struct list *row = c->hosts->rows; row < c->hosts->rows + ROWS; row++)
        for (i = list_first(row); i; i = next) {
            next = list_next(row, i);
            if (!container_of(i, struct sought, item)->again)
                continue;
            list_remove(i);
            list_append(&those, i);
        }
    while ((i = list_first(&those)))
        sought_tell(container_of(i, struct sought, item));
}

struct host_finder *cluster_hosts(struct cluster *c)
{
    return &c->hosts->finder;
}

/* --- for peers --- */

static bool holds(struct claims *claims, const char *host, struct tunnel_name *holder,
                  struct link_answer *a)
{
    return claims_find(claims, host, loop_steady(), holder, &a->is_private);
}

static bool objects(struct claims *claims, const struct hostname_pattern *host,
                    const struct link_question *q, struct tunnel_name *holder)
{
    char tenant[NODE_NAME_MAX + 1];
    struct tunnel_name asks;
    return tunnel_read(&q->tunnel, &asks, tenant) &&
           claims_contest(claims, host, &asks, loop_steady(), holder);
}

/* Whose it is for certain. */
static bool is_held(struct claims *claims, const struct hostname_pattern *host,
                    struct tunnel_name *holder)
{
    unsigned carriers;
    bool asked;
    return claims_look(claims, host, loop_steady(), holder, &carriers, &asked) && !asked;
}

void hosts_answer(const struct cluster *c, const struct link_question *q,
                  struct tunnel_name *holder, struct link_answer *a)
{
    struct outbound *portal = cluster_portal(c, q->portal);
    struct hostname_pattern host;
    struct err e;
    if (!portal || hostname_read_pattern(&host, q->host.p, q->host.len, &e) < 0 || host.host.port)
        return;
    a->known = q->kind == LINK_ASK_HOST ? holds(portal_claims(portal), host.host.text, holder, a)
                                        : objects(portal_claims(portal), &host, q, holder) ||
                                              is_held(portal_claims(portal), &host, holder);
    a->portal = q->portal;
    if (a->known)
        a->holder = link_tunnel_of(holder);
}

/* --- life --- */

struct hosts *hosts_new(struct cluster *c)
{
    struct hosts *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    *h = (struct hosts){.finder = {.find = on_find}, .cluster = c};
    crypto_shorthash_keygen(h->key);
    return h;
}

void hosts_free(struct hosts *h)
{
    struct list_item *i;
    if (!h)
        return;
    for (unsigned n = 0; n < ROWS; n++)
        while ((i = list_first(&h->rows[n])))
            sought_free(container_of(i, struct sought, item));
    free(h);
}
