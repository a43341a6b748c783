/* conf/control_balancers.c -- balancers and what the observatory knows. All of it is shared by the loops, so that the
 * first one answers for all. */
#include <string.h>

#include "conf/control.h"
#include "conf/process.h"
#include "core/log.h"

/* On the first worker's loop: with its configuration and the outbounds there. */
struct balancer_call {
    struct errand *errand;
    void (*answer)(struct errand *e, const struct config *c, struct outbound *const *all,
                   const char *outbound);
    const char *outbound; /* an override's; NULL: none */
};

static int answer_there(struct worker *w, void *with)
{
    const struct balancer_call *c = with;
    if (w->now.generation)
        c->answer(c->errand, w->now.generation->config, w->now.outbounds, c->outbound);
    else
        control_refuse(c->errand, 503, "v2c ends");
    return 0;
}

static void call_first(struct process *p, struct balancer_call *c)
{
    worker_ask(&p->workers[0], answer_there, c);
    worker_answer(&p->workers[0]);
}

/* --- what there is --- */

static void health_members(struct page *p, const struct outbound *out)
{
    struct health_report r = {0};
    if (out->health)
        health_read(out->health, &r);
    page_member_bool(p, "alive", outbound_is_alive(out));
    page_member(p, "delay");
    if (r.known && r.alive)
        page_format(p, "%.6f", r.delay);
    else
        page_text(p, "null");
}

static void candidates(struct page *p, const struct balancer *b, struct outbound *const *all)
{
    page_member(p, "candidates");
    page_text(p, "[");
    for (size_t i = 0; i < b->count; i++) {
        page_item(p);
        page_text(p, "{");
        page_member_text(p, "tag", all[b->outbounds[i]]->tag);
        health_members(p, all[b->outbounds[i]]);
        page_text(p, "}");
    }
    page_text(p, "]");
}

static const char *tag_of(const struct outbound *out)
{
    return out ? out->tag : "";
}

static void say_balancers(struct errand *e, const struct config *c, struct outbound *const *all,
                          const char *outbound)
{
    struct page *p = &e->page;
    (void)outbound;
    page_text(p, "{\"balancers\": [");
    for (size_t i = 0; i < c->balancers.count; i++) {
        const struct balancer *b = &c->balancers.items[i];
        page_item(p);
        page_text(p, "{");
        page_member_text(p, "tag", b->tag);
        page_member_text(p, "strategy", balance_strategy_name(b->strategy));
        page_member_text(p, "fallback", b->has_fallback ? all[b->fallback]->tag : "");
        page_member_text(p, "override", tag_of(balance_overridden(b, all)));
        page_member_text(p, "settled", tag_of(balance_settled(b, all)));
        candidates(p, b, all);
        page_text(p, "}");
    }
    page_text(p, "]}\n");
}

void control_balancers(struct process *p, struct errand *e)
{
    call_first(p, &(struct balancer_call){.errand = e, .answer = say_balancers});
}

static void say_observed(struct errand *e, const struct config *c, struct outbound *const *all,
                         const char *outbound)
{
    struct page *p = &e->page;
    struct health_report r;
    (void)outbound;
    page_text(p, "{\"outbounds\": [");
    for (size_t i = 0; i < c->outbound_count; i++) {
        if (!all[i]->health)
            continue;
        health_read(all[i]->health, &r);
        page_item(p);
        page_text(p, "{");
        page_member_text(p, "tag", all[i]->tag);
        page_member_bool(p, "known", r.known);
        health_members(p, all[i]);
        page_format(p, ", \"triedAt\": %.3f, \"aliveAt\": %.3f", r.tried_at, r.alive_at);
        page_member_text(p, "error", r.error);
        page_text(p, "}");
    }
    page_text(p, "]}\n");
}

void control_observatory(struct process *p, struct errand *e)
{
    call_first(p, &(struct balancer_call){.errand = e, .answer = say_observed});
}

/* --- overrides --- */

static void override(struct errand *e, const struct config *c, struct outbound *const *all,
                     const char *outbound)
{
    const char *tag = e->target.pieces[2];
    const struct balancer *b = balancers_find(&c->balancers, tag);
    if (!b) {
        control_refuse(e, 404, "there is no balancer with this tag");
    } else if (!balance_override(b, all, outbound)) {
        control_refuse(e, 422, "want an outbound that this balancer selects, or its fallbackTag");
    } else {
        log_warn("api: balancer \"%s\": %s", b->tag, outbound ? "overridden" : "not overridden");
        control_say(e, "override", tag_of(balance_overridden(b, all)));
    }
}

void control_override(struct process *p, struct errand *e)
{
    struct control_body b;
    char tag[256] = "";
    control_body_open(&b, e);
    const struct node *at = b.at ? node_get(b.at, "outbound") : NULL;
    if (b.at && (!node_is(at, NODE_TEXT) || !*at->text || strlen(at->text) >= sizeof tag))
        report_error(&b.report, at ? at : b.at, "want \"outbound\": the tag of one");
    else if (b.at)
        memcpy(tag, at->text, strlen(at->text) + 1);
    if (control_body_close(&b, e))
        call_first(p, &(struct balancer_call){.errand = e, .answer = override, .outbound = tag});
}

void control_override_end(struct process *p, struct errand *e)
{
    call_first(p, &(struct balancer_call){.errand = e, .answer = override});
}
