#include "reverse/view.h"

#include "reverse/carrier.h"
#include "reverse/way.h"

static struct link_view view_of(const char *tag, const struct mux *m)
{
    return (struct link_view){.tag = tag,
                              .flow = m->end.flow,
                              .streams = m->sessions,
                              .lag = m->lag,
                              .weight = LINK_WEIGHT_USUAL,
                              .tunnel = "",
                              .node = "",
                              .cluster = "",
                              .v2c = m->is_v2c,
                              .silent = m->silent};
}

void bridge_look_at_ways(const struct inbound *in, way_seen *seen, void *with)
{
    const struct bridge *b = container_of(in, struct bridge, in);
    for (size_t y = 0; y < b->way_count; y++)
        seen(with, b->conf->tag, b->ways[y].led_to ? b->ways[y].led_to : "");
}

static void way_look_at_hosts(const struct way *y, host_seen *seen, void *with)
{
    const struct bridge_conf *c = y->bridge->conf;
    for (size_t i = 0; i < c->host_count; i++) {
        struct host_view v = {.tag = c->tag,
                              .outbound = y->led_to ? y->led_to : "",
                              .host = *c->hosts[i] ? c->hosts[i] : y->any,
                              .answer = y->hosts[i]};
        seen(with, &v);
    }
}

void bridge_look_at_hosts(const struct inbound *in, host_seen *seen, void *with)
{
    const struct bridge *b = container_of(in, struct bridge, in);
    for (size_t y = 0; y < b->way_count; y++)
        way_look_at_hosts(&b->ways[y], seen, with);
}

static void view_named(struct link_view *v, const struct bridge *b)
{
    const struct bridge_conf *c = b->conf;
    v->weight = bridge_weight(b);
    v->node = c->node ? c->node : "";
    v->cluster = c->cluster ? c->cluster : "";
    v->tenant = c->tenant;
}

void bridge_look(const struct inbound *in, link_seen *seen, void *with)
{
    const struct bridge *b = container_of(in, struct bridge, in);
    for (size_t y = 0; y < b->way_count; y++) {
        const struct list *links = &b->ways[y].links;
        for (struct list_item *i = list_first(links); i; i = list_next(links, i)) {
            const struct link *k = link_at(i);
            struct link_view v = view_of(b->conf->tag, &k->mux);
            v.bridge = b->instance;
            v.up = k->up && !k->refused;
            v.refused = k->refused;
            v.draining = k->draining;
            view_named(&v, b);
            seen(with, &v);
        }
    }
}

static const char *place_name(const struct carrier *c, int place)
{
    const struct pool *pool = c->in[place].pool;
    return pool ? pool->item.name->text : "";
}

/* What it says of itself counts where the portal has put it, and nowhere else. */
static void view_placed(struct link_view *v, const struct carrier *c)
{
    v->tunnel = place_name(c, 0);
    v->node = place_name(c, 1);
    v->cluster = place_name(c, 2);
    v->tenant = c->tenant;
}

void portal_look_at(const struct outbound *out, link_seen *seen, void *with)
{
    const struct portal *p = container_of(out, struct portal, out);
    for (struct list_item *i = list_first(&p->carriers); i; i = list_next(&p->carriers, i)) {
        const struct carrier *c = container_of(i, struct carrier, item);
        struct link_view v = view_of(p->conf->tag, &c->mux);
        v.bridge = c->mux.hello.instance;
        v.up = true;
        v.draining = c->draining;
        v.weight = c->weight;
        view_placed(&v, c);
        seen(with, &v);
    }
}
