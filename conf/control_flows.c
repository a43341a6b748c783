/* conf/control_flows.c -- the flows that live, and the end of one. Each is known by its worker and its number
 * there, which the log shows: "0-2945970632". */
#include <stdio.h>
#include <string.h>

#include "conf/control.h"
#include "conf/process.h"
#include "core/log.h"

enum { LIMIT = 500, LIMIT_MAX = 5000 }; /* flows in one answer */

/* --- the list --- */

struct wish {
    const char *inbound, *outbound, *user; /* "": any */
    uint32_t limit, skip;                  /* of each worker */
};

struct flow_listing {
    struct gathering gathering;
    struct wish wish;
};

static bool fits(const char *wanted, const char *is)
{
    return !*wanted || strcmp(wanted, is) == 0;
}

static const char *email_of(const struct flow *f)
{
    return f->meta.user ? f->meta.user->email : "";
}

static bool is_wished(const struct wish *w, const struct flow *f)
{
    return !f->twin && fits(w->inbound, f->meta.inbound_tag) &&
           fits(w->outbound, f->meta.outbound_tag) && fits(w->user, email_of(f));
}

static void flow_ways(struct page *p, const struct flow *f)
{
    page_member_text(p, "inbound", f->meta.inbound_tag);
    page_member_text(p, "outbound", f->meta.outbound_tag);
    page_member_bool(p, "byRule", f->meta.by_rule);
    page_member_text(p, "user", email_of(f));
    page_member_bool(p, "carrier", f->carrier);
    page_member_bool(p, "opened", f->opened);
}

static void flow_numbers(struct page *p, const struct flow *f)
{
    double now = loop_steady();
    page_member(p, "age");
    page_format(p, "%.3f", now - f->born);
    page_member(p, "idle");
    page_format(p, "%.3f", now - f->active);
    page_member_number(p, "up", (int64_t)f->pipes[1].total);
    page_member_number(p, "down", (int64_t)f->pipes[0].total);
}

static void flow_item(const struct worker *w, const struct flow *f, struct page *p)
{
    char text[ADDR_TEXT_MAX];
    page_item(p);
    page_format(p, "{\"id\": \"%u-%u\"", w->loop.index, f->id);
    page_member_text(p, "network", f->packets ? "udp" : "tcp");
    page_member_text(p, "source", f->meta.source.type ? addr_text(&f->meta.source, text) : "");
    page_member_text(p, "target", f->meta.target.type ? addr_text(&f->meta.target, text) : "");
    flow_ways(p, f);
    flow_numbers(p, f);
    page_text(p, "}");
}

static void say_flows(struct worker *w, struct gathering *g, struct page *p)
{
    const struct wish *wish = &container_of(g, struct flow_listing, gathering)->wish;
    uint32_t seen = 0;
    for (struct list_item *i = list_first(&w->loop.flows); i; i = list_next(&w->loop.flows, i)) {
        const struct flow *f = container_of(i, struct flow, item);
        size_t from = p->len;
        if (!is_wished(wish, f))
            continue;
        bool shown = seen >= wish->skip && seen - wish->skip < wish->limit;
        seen++;
        if (shown)
            flow_item(w, f, p);
        gathering_end_item(g, w, p, from);
    }
}

/* The newest first on each worker; "total" says how many there are of which these are a part. */
void control_flows(struct process *p, struct errand *e)
{
    const struct api_target *t = &e->target;
    struct flow_listing l = {.gathering = {.errand = e, .say = say_flows},
                             .wish = {.inbound = api_option(t, "inbound"),
                                      .outbound = api_option(t, "outbound"),
                                      .user = api_option(t, "user")}};
    if (!control_number(api_option(t, "limit"), LIMIT, LIMIT_MAX, &l.wish.limit) ||
        !control_number(api_option(t, "skip"), 0, UINT32_MAX, &l.wish.skip)) {
        control_refuse(e, 422, "want limit from 0 to %d, and skip from 0", LIMIT_MAX);
        return;
    }
    page_text(&e->page, "{");
    page_member(&e->page, "flows");
    size_t total = control_gather(p, &l.gathering, &e->page);
    page_member_number(&e->page, "total", (int64_t)total);
    page_text(&e->page, "}\n");
}

/* --- the end of one --- */

struct ending {
    uint32_t id;
    bool found;
};

static int end_flow(struct worker *w, void *with)
{
    struct ending *n = with;
    struct err why;
    err_set(&why, ECANCELED, "ended through the api");
    for (struct list_item *i = list_first(&w->loop.flows); i; i = list_next(&w->loop.flows, i)) {
        struct flow *f = container_of(i, struct flow, item);
        if (f->id != n->id || f->twin)
            continue;
        flow_abort(f, &why);
        n->found = true;
    }
    return 0;
}

void control_flow_end(struct process *p, struct errand *e)
{
    const char *name = e->target.pieces[2];
    struct ending n = {0};
    uint32_t worker = 0;
    char number[16] = "";
    const char *dash = strchr(name, '-');
    if (dash)
        snprintf(number, sizeof number, "%.*s", (int)(dash - name), name);
    if (!*number || !dash[1] || !control_number(number, 0, UINT16_MAX, &worker) ||
        !control_number(dash + 1, 0, UINT32_MAX, &n.id) || worker >= p->made) {
        control_refuse(
            e, 404,
            "there is no such flow: want its \"id\", as \"v2c flows\" and /v1/flows show it");
        return;
    }
    worker_ask(&p->workers[worker], end_flow, &n);
    worker_answer(&p->workers[worker]);
    if (!n.found) {
        control_refuse(e, 404, "there is no such flow any more");
        return;
    }
    log_warn("api: flow %u is ended", n.id);
    control_say(e, "ended", name);
}
