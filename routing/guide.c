#include "routing/guide.h"

#include <stdlib.h>

struct guide {
    const struct guide_conf *conf;
    struct guide_holders holders;
    struct lookups *lookups;
    struct route_reader reader;
};

struct guide *guide_new(const struct guide_conf *conf, const struct guide_holders *holders,
                        struct lookups_asker *asker)
{
    struct lookups *lookups = lookups_new(&conf->lookups, asker);
    struct guide *g = lookups ? calloc(1, sizeof *g) : NULL;
    if (g)
        *g = (struct guide){.conf = conf, .holders = *holders, .lookups = lookups};
    else
        lookups_free(lookups);
    return g;
}

void guide_adopt(struct guide *g, const struct guide_conf *conf,
                 const struct guide_holders *holders)
{
    route_reader_fini(&g->reader);
    g->conf = conf;
    g->holders = *holders;
    lookups_adopt(g->lookups, &conf->lookups);
}

void guide_free(struct guide *g)
{
    if (!g)
        return;
    lookups_free(g->lookups);
    route_reader_fini(&g->reader);
    free(g);
}

/* --- who holds the host --- */

static void lead(const struct guide *g, enum lookup_state s, const struct lookup_answer *a,
                 struct route_to *to)
{
    to->kind = s == LOOKUP_FOUND ? ROUTE_TUNNEL : s == LOOKUP_AWAY ? ROUTE_AWAY : ROUTE_NONE;
    if (s != LOOKUP_FOUND)
        return;
    to->outbound = g->conf->portal;
    to->is_private = a->is_private;
    to->tunnel = a->tunnel;
}

static enum lookup_state held(struct guide *g, const struct route_asked *asked, double now,
                              struct route_to *to, struct lookup_wait *w)
{
    const struct guide_holders *h = &g->holders;
    struct lookup_answer a = {0};
    enum lookup_state s = LOOKUP_NOTHING;
    if (!*asked->host)
        return s;
    if (h->claims && claims_find(h->claims, asked->host, now, &a.tunnel, &a.is_private))
        s = LOOKUP_FOUND;
    else if (h->others)
        s = h->others->find(h->others, h->portal, asked->host, asked->source, now, &a, w);
    lead(g, s, &a, to);
    to->by_claim = s == LOOKUP_FOUND;
    return s;
}

static enum lookup_state looked_up(struct guide *g, const char *host, double now,
                                   struct route_to *to, struct lookup_wait *w)
{
    struct lookup_answer a;
    if (!*host || !*g->conf->lookups.url)
        return LOOKUP_NOTHING;
    enum lookup_state s = lookups_find(g->lookups, host, now, &a, w);
    lead(g, s, &a, to);
    if (s == LOOKUP_FOUND)
        to->tunnel.tenant = g->conf->tenant;
    return s;
}

static enum step step_of(enum lookup_state s)
{
    return s == LOOKUP_FOUND ? STEP_DONE : s == LOOKUP_WAITS ? STEP_MORE : STEP_FAIL;
}

enum step guide_claimed(struct guide *g, const struct route_asked *asked, double now,
                        struct route_to *to, struct lookup_wait *w)
{
    return step_of(held(g, asked, now, to, w));
}

/* --- all of it --- */

enum step guide_ask(struct guide *g, const struct route_asked *asked, double now,
                    struct route_to *to, struct lookup_wait *w)
{
    const struct routes *r = route_reader_now(&g->reader, g->conf->table);
    bool known;
    if (routes_find_host(r, asked, to, &known))
        return STEP_DONE;
    if (known)
        return STEP_FAIL;
    enum lookup_state s = held(g, asked, now, to, w);
    if (s == LOOKUP_NOTHING)
        s = looked_up(g, asked->host, now, to, w);
    if (s == LOOKUP_NOTHING)
        return routes_find_default(r, asked, to) ? STEP_DONE : STEP_FAIL;
    return step_of(s);
}
