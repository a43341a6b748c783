#include "reverse/origin.h"

#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "routing/dispatch.h"

static void origin_turn(struct origin *o, const char *why)
{
    char at[ADDR_TEXT_MAX];
    o->down = !o->down;
    o->streak = 0;
    addr_text(&o->conf->address, at);
    if (o->down)
        log_warn("bridge %s: its server %s is down: %s", o->tag, at, why);
    else
        log_info("bridge %s: its server %s is up", o->tag, at);
    o->changed(o);
}

static void origin_count(struct origin *o, bool well, const char *why)
{
    unsigned enough = !o->answered ? 1 : o->down ? o->conf->rise : o->conf->fall;
    o->answered = true;
    o->streak = well == o->down ? o->streak + 1 : 0;
    if (o->streak >= enough)
        origin_turn(o, why);
}

/* --- one question --- */

static void origin_hush(struct origin *o, int code)
{
    struct err why;
    err_set(&why, code, "the answer has come, or is not waited for");
    ev_timer_stop(o->loop->ev, &o->limit);
    o->asking = false;
    end_leave(&o->end, code ? &why : NULL);
}

/* why points into the flow. */
static void origin_failed(struct origin *o, const char *why)
{
    struct err kept;
    err_set(&kept, ECANCELED, "%s", why);
    origin_hush(o, ECANCELED);
    origin_count(o, false, kept.text);
}

static void origin_answered(struct origin *o)
{
    origin_hush(o, 0);
    origin_count(o, true, "");
}

static void origin_read(struct origin *o)
{
    struct buf *b;
    while ((b = end_take(&o->end))) {
        size_t left = sizeof o->answer - o->got, n = b->len < left ? b->len : left;
        memcpy(o->answer + o->got, b->data, n);
        o->got += n;
        buf_free(&o->loop->bufs, b);
    }
}

static void origin_judge(struct origin *o)
{
    const char *a = o->answer;
    char why[64];
    if (memcmp(a, "HTTP/1.", 7) != 0 || a[8] != ' ') {
        origin_failed(o, "what answered is not HTTP");
    } else if (a[9] == '2' || a[9] == '3') {
        origin_answered(o);
    } else {
        char status[4 * 3 + 1];
        snprintf(why, sizeof why, "it answered %s", log_escape(a + 9, 3, status, sizeof status));
        origin_failed(o, why);
    }
}

static void on_wake(struct end *e)
{
    struct origin *o = container_of(e, struct origin, end);
    bool asks = o->conf->request;
    origin_read(o);
    if (asks && o->got == sizeof o->answer)
        origin_judge(o);
    else if (end_failed(e))
        origin_failed(o, e->flow->why ? e->flow->why : "it ended the connection");
    else if (!asks && end_is_opened(e))
        origin_answered(o);
    else if (end_at_eof(e) || end_peer_left(e))
        origin_failed(o, "the connection ended without an answer");
}

static const struct end_ops origin_end_ops = {.wake = on_wake};

static void on_limit(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)events;
    struct origin *o = w->data;
    char why[64];
    snprintf(why, sizeof why, "no answer within %g s", o->conf->timeout);
    origin_failed(o, why);
}

static void origin_ask(struct origin *o)
{
    struct meta meta = {.net = NET_TCP, .target = o->conf->address, .inbound_tag = o->tag};
    const char *request = o->conf->request;
    struct flow *f = flow_new(o->loop, &o->end, &origin_end_ops, &meta, o->policy);
    if (!f)
        return;
    o->asking = true;
    o->got = 0;
    ev_timer_set(&o->limit, o->conf->timeout, 0);
    ev_timer_start(o->loop->ev, &o->limit);
    if (request)
        end_write(&o->end, request, strlen(request)); /* what is lost is not answered */
    dispatch(o->dispatcher, f);
}

/* --- again and again --- */

static void on_round(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)events;
    struct origin *o = w->data;
    if (!o->asking)
        origin_ask(o);
}

void origin_start(struct origin *o, const struct origin_conf *conf)
{
    o->conf = conf;
    if (!conf)
        return;
    ev_timer_init(&o->round, on_round, 0, conf->interval);
    o->round.data = o;
    ev_init(&o->limit, on_limit);
    o->limit.data = o;
    ev_timer_start(o->loop->ev, &o->round);
}

void origin_stop(struct origin *o)
{
    if (!o->conf)
        return;
    ev_timer_stop(o->loop->ev, &o->round);
    if (o->asking)
        origin_hush(o, ECANCELED);
}
