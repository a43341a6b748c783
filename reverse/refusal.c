/* reverse/refusal.c -- a link that is not wanted: its bridge said who it is and may be trusted so far, so it
 * hears why, and when it may come again. It never becomes a carrier. An old bridge just sees the link end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reverse/carrier.h"

static const double PATIENCE = 3; /* seconds for the bridge to say HELLO */

struct refusal {
    struct mux mux;
    struct portal *portal;
    struct list_item item; /* in the portal's refusals */
    ev_timer end;
    const char *what; /* a constant */
    double wait;
    char name[TUNNEL_NAME_MAX + 1];
};

void refusal_say(struct mux *m, const char *what, const char *name, double wait)
{
    char why[LINK_WHY_MAX + 1];
    snprintf(why, sizeof why, "%.53s \"%.63s\"", what, name);
    mux_say_why(m, (struct link_text){.p = why, .len = (uint8_t)strlen(why)});
    mux_say_going(m, GOING_REFUSED, (uint32_t)(wait * 1000));
}

static struct refusal *refusal_of(struct mux *m)
{
    return container_of(m, struct refusal, mux);
}

static void on_end(struct ev_loop *ev, ev_timer *t, int events)
{
    (void)ev, (void)events;
    struct refusal *r = t->data;
    mux_close(&r->mux, NULL);
}

/* It ends a moment later, for this is a call from within the mux. */
static void on_met(struct mux *m)
{
    struct refusal *r = refusal_of(m);
    struct ev_loop *ev = r->portal->out.loop->ev;
    refusal_say(m, r->what, r->name, r->wait);
    ev_timer_stop(ev, &r->end);
    ev_timer_set(&r->end, 0.01, 0);
    ev_timer_start(ev, &r->end);
}

static void on_unopened(struct mux *m, struct end *seat, int refusal)
{
    (void)refusal;
    portal_visitor_again(refusal_of(m)->portal, seat);
}

static void on_closed(struct mux *m, const struct err *why)
{
    (void)why;
    struct refusal *r = refusal_of(m);
    ev_timer_stop(r->portal->out.loop->ev, &r->end);
    list_remove(&r->item);
    r->portal->refusal_count--;
    free(r);
}

static const struct mux_ops refusal_ops = {
    .unopened = on_unopened, .met = on_met, .closed = on_closed};

bool refusal_new(struct portal *p, struct flow *f, const char *what, const char *name, double wait)
{
    static const struct traffic none = {-1, -1};
    struct refusal *r = p->refusal_count < REFUSALS_MAX ? calloc(1, sizeof *r) : NULL;
    if (!r)
        return false;
    r->portal = p;
    r->what = what;
    r->wait = wait;
    strncpy(r->name, name, TUNNEL_NAME_MAX);
    mux_init(&r->mux, &refusal_ops, true, &none, -1);
    f->carrier = true;
    flow_join(f, &r->mux.end, &mux_end_ops);
    list_push(&p->refusals, &r->item);
    p->refusal_count++;
    ev_timer_init(&r->end, on_end, PATIENCE, 0);
    r->end.data = r;
    ev_timer_start(p->out.loop->ev, &r->end);
    mux_start(&r->mux);
    return true;
}

void refusals_end(struct portal *p)
{
    struct list_item *i;
    while ((i = list_first(&p->refusals)))
        mux_close(&container_of(i, struct refusal, item)->mux, NULL);
}
