#include "conf/retired.h"

#include <stdlib.h>

static const double LOOK = 0.2; /* seconds */

struct retired {
    struct list_item item;
    struct loop *loop;
    struct inbound *in; /* one of the two */
    struct outbound *out;
    uint8_t side;    /* on which it stands in its flows */
    const char *tag; /* they end with it; NULL: they go on */
    double until;    /* of loop_steady() */
    struct generation *generation;
};

/* Tags are kept once: the same text is the same pointer. */
static bool is_of(const struct retired *r, const struct flow *f)
{
    return r->tag && (r->side ? f->meta.outbound_tag : f->meta.inbound_tag) == r->tag;
}

/* A link that it made itself, and of which is_busy() knows. */
static bool is_own_link(const struct retired *r, const struct flow *f)
{
    const struct end *own = f->ends[r->side];
    return f->carrier && (!own || own->ops->drain);
}

static bool has_flows(const struct retired *r)
{
    for (struct list_item *i = list_first(&r->loop->flows); r->tag && i;
         i = list_next(&r->loop->flows, i)) {
        const struct flow *f = container_of(i, struct flow, item);
        if (is_of(r, f) && !is_own_link(r, f))
            return true;
    }
    return false;
}

/* Carriers: visitors of other tags are on them. */
static void drain_flows(const struct retired *r)
{
    for (struct list_item *i = list_first(&r->loop->flows); r->tag && i;
         i = list_next(&r->loop->flows, i)) {
        struct flow *f = container_of(i, struct flow, item);
        if (is_of(r, f))
            flow_drain(f);
    }
}

static bool is_busy(const struct retired *r)
{
    if (r->in && r->in->ops->busy && r->in->ops->busy(r->in))
        return true;
    return r->out && r->out->ops->busy && r->out->ops->busy(r->out);
}

/* But its own links, which end in order: the last bytes of others may be on them. */
static void cut_flows(const struct retired *r)
{
    struct err why;
    err_set(&why, ECANCELED, "\"%s\" is no longer in the configuration", r->tag);
    for (struct list_item *i = list_first(&r->loop->flows); i; i = list_next(&r->loop->flows, i)) {
        struct flow *f = container_of(i, struct flow, item);
        if (is_of(r, f) && !is_own_link(r, f))
            flow_abort(f, &why);
    }
}

static void retired_end(const struct retired *r)
{
    if (r->in)
        r->in->ops->free(r->in);
    if (r->out)
        r->out->ops->free(r->out);
    if (r->tag)
        cut_flows(r);
    generation_unref(r->generation);
}

static void retired_free(struct retired *r)
{
    list_remove(&r->item);
    retired_end(r);
    free(r);
}

static void retirement_look(struct retirement *all)
{
    double now = loop_steady();
    for (struct list_item *i = list_first(&all->all), *next; i; i = next) {
        struct retired *r = container_of(i, struct retired, item);
        next = list_next(&all->all, i);
        if (now >= r->until || (!is_busy(r) && !has_flows(r)))
            retired_free(r);
    }
    if (!list_first(&all->all))
        ev_timer_stop(all->loop->ev, &all->look);
    else if (!ev_is_active(&all->look))
        ev_timer_again(all->loop->ev, &all->look);
}

static void on_look(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)events;
    retirement_look(w->data);
}

void retirement_init(struct retirement *r, struct loop *l)
{
    *r = (struct retirement){.loop = l};
    ev_timer_init(&r->look, on_look, 0, LOOK);
    r->look.data = r;
}

static void retire(struct retirement *all, struct retired what, double drain, struct generation *g)
{
    struct retired *r = malloc(sizeof *r);
    what.loop = all->loop;
    what.until = loop_steady() + drain;
    what.generation = generation_ref(g);
    if (!r) { /* then it is not waited for */
        retired_end(&what);
        return;
    }
    *r = what;
    drain_flows(r);
    list_append(&all->all, &r->item);
    retirement_look(all);
}

void retire_inbound(struct retirement *r, struct inbound *in, bool tag_gone, double drain,
                    struct generation *g)
{
    const char *tag = tag_gone && *in->tag ? in->tag : NULL;
    retire(r, (struct retired){.in = in, .side = 0, .tag = tag}, drain, g);
}

void retire_outbound(struct retirement *r, struct outbound *out, bool tag_gone, double drain,
                     struct generation *g)
{
    const char *tag = tag_gone && *out->tag ? out->tag : NULL;
    retire(r, (struct retired){.out = out, .side = 1, .tag = tag}, drain, g);
}

void retirement_renew(struct retirement *all, const struct config *to, struct dispatcher *open,
                      struct dispatcher *closed)
{
    for (struct list_item *i = list_first(&all->all); i; i = list_next(&all->all, i)) {
        struct retired *r = container_of(i, struct retired, item);
        bool named =
            r->in ? config_has_inbound(to, r->in->tag) : config_has_outbound(to, r->out->tag);
        if (named)
            r->tag = NULL;
        if (r->in)
            r->in->dispatcher = named ? open : closed;
    }
}

void retirement_fini(struct retirement *r)
{
    struct list_item *i;
    ev_timer_stop(r->loop->ev, &r->look);
    while ((i = list_first(&r->all)))
        retired_free(container_of(i, struct retired, item));
}
