#include "routing/guide.h"

#include <stdlib.h>

struct guide {
    const struct guide_conf *conf;
    struct claims *claims;
    struct lookups *lookups;
    struct route_reader reader;
};

struct guide *guide_new(const struct guide_conf *conf, struct claims *claims,
                        struct lookups_asker *asker)
{
    struct lookups *lookups = lookups_new(&conf->lookups, asker);
    struct guide *g = lookups ? calloc(1, sizeof *g) : NULL;
    if (g)
        *g = (struct guide){.conf = conf, .claims = claims, .lookups = lookups};
    else
        lookups_free(lookups);
    return g;
}

void guide_adopt(struct guide *g, const struct guide_conf *conf, struct claims *claims)
{
    route_reader_fini(&g->reader);
    g->conf = conf;
    g->claims = claims;
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

bool guide_claimed(struct guide *g, const char *host, double now, struct route_to *to)
{
    if (!g->claims || !claims_find(g->claims, host, now, &to->tunnel, &to->is_private))
        return false;
    to->kind = ROUTE_TUNNEL;
    to->outbound = g->conf->portal;
    return true;
}

static enum lookup_state looked_up(struct guide *g, const char *host, double now,
                                   struct route_to *to, struct lookup_wait *w)
{
    struct lookup_answer a;
    enum lookup_state s = lookups_find(g->lookups, host, now, &a, w);
    to->kind = s == LOOKUP_FOUND ? ROUTE_TUNNEL : s == LOOKUP_AWAY ? ROUTE_AWAY : ROUTE_NONE;
    if (s != LOOKUP_FOUND)
        return s;
    to->outbound = g->conf->portal;
    to->is_private = a.is_private;
    to->tunnel = a.tunnel;
    to->tunnel.tenant = g->conf->tenant;
    return s;
}

enum step guide_ask(struct guide *g, const struct route_asked *asked, double now,
                    struct route_to *to, struct lookup_wait *w)
{
    const struct routes *r = route_reader_now(&g->reader, g->conf->table);
    enum lookup_state s = LOOKUP_NOTHING;
    bool known;
    if (routes_find_host(r, asked, to, &known))
        return STEP_DONE;
    if (known)
        return STEP_FAIL;
    if (*asked->host && guide_claimed(g, asked->host, now, to))
        return STEP_DONE;
    if (*asked->host && *g->conf->lookups.url)
        s = looked_up(g, asked->host, now, to, w);
    if (s == LOOKUP_NOTHING)
        return routes_find_default(r, asked, to) ? STEP_DONE : STEP_FAIL;
    return s == LOOKUP_FOUND ? STEP_DONE : s == LOOKUP_WAITS ? STEP_MORE : STEP_FAIL;
}
