#include "proxy/web_visit.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/web_page.h"

enum {
    TURNS = 16,       /* of one visitor; then others have theirs */
    KEPT_REST = 2048, /* bytes that an idle visitor may keep */
    COMPLAINTS = 10,  /* log lines a second */
};

static const uint64_t GOLDEN = 0x9e3779b97f4a7c15;

static const double IDLE = 60;     /* seconds between two requests */
static const double PATIENCE = 60; /* ... until an answer begins */
static const double LAST_IDLE = 1; /* ... when there will be no more of them here */

/* --- what waits --- */

struct cursor visit_look(const struct end *e, size_t len)
{
    const struct buf *b = end_peek(e);
    if (!b || b->len >= len || !b->next)
        return b ? cur_of(b->data, b->len) : (struct cursor){0};
    struct writer w = wr_of(end_loop(e)->scratch, HTTP1_HEAD_MAX);
    for (; b; b = b->next) {
        size_t room = (size_t)(w.end - w.p);
        wr_bytes(&w, b->data, b->len < room ? b->len : room);
    }
    return cur_of(w.start, wr_len(&w));
}

void visit_take(struct end *e, size_t len)
{
    while (len) {
        struct buf *b = end_take(e);
        size_t n = b->len < len ? b->len : len;
        buf_pull(b, n);
        end_untake(e, b);
        len -= n;
    }
}

/* --- time --- */

static void on_timer(struct ev_loop *ev, ev_timer *t, int events);

/* The timer is not moved with every request: when it fires too early it is set again. */
static void visit_arm(struct visit *v, double now)
{
    struct ev_loop *ev = end_loop(&v->end)->ev;
    double seconds = v->due - now;
    v->armed = v->due;
    ev_timer_stop(ev, &v->timer);
    ev_timer_set(&v->timer, seconds > 0.001 ? seconds : 0.001, 0);
    ev_timer_start(ev, &v->timer);
}

static void visit_limit_from(struct visit *v, double now, double seconds)
{
    v->due = seconds > 0 ? now + seconds : 0;
    if (v->due && (!ev_is_active(&v->timer) || v->armed > v->due))
        visit_arm(v, now);
}

void visit_limit(struct visit *v, double seconds)
{
    visit_limit_from(v, v->end.flow->active, seconds);
}

void visit_await_answer(struct visit *v)
{
    double patience = v->web ? v->web->conf->answer_timeout : 0;
    visit_limit(v, patience > 0 ? patience : PATIENCE);
}

/* Who has begun a request hears why nothing comes of it; who has not goes well. */
static void visit_overdue(struct visit *v)
{
    struct err why = {0};
    enum visit_turn t = VISIT_LEAVES;
    if (v->state == VISIT_READS && end_has(&v->end)) {
        v->last = true;
        t = visit_say(v, 408, &why);
    } else if (v->state != VISIT_READS) {
        t = visit_say(v, 504, &why);
    }
    if (t == VISIT_LEAVES)
        visit_free(v, &why);
    else
        end_wake(&v->end);
}

static void on_timer(struct ev_loop *ev, ev_timer *t, int events)
{
    (void)ev, (void)events;
    struct visit *v = t->data;
    double now = loop_steady();
    if (!v->due)
        return;
    if (now < v->due)
        visit_arm(v, now);
    else
        visit_overdue(v);
}

/* --- its work --- */

static enum visit_turn visit_work(struct visit *v, struct err *why)
{
    if (end_failed(&v->end) || (end_peer_left(&v->end) && v->state != VISIT_RAW))
        return VISIT_LEAVES;
    switch (v->state) {
    case VISIT_READS:
        return visit_read(v, why);
    case VISIT_ASKS:
        return list_holds(&v->wait.item) ? VISIT_WAITS : visit_ask(v, why);
    case VISIT_EXCHANGE:
        return visit_exchange(v, why);
    case VISIT_RAW:
        break;
    }
    return visit_pass(v, why);
}

static void on_wake(struct end *e)
{
    struct visit *v = container_of(e, struct visit, end);
    struct err why = {0};
    for (int i = 0; i < TURNS; i++) {
        enum visit_turn t = visit_work(v, &why);
        if (t == VISIT_LEAVES)
            visit_free(v, &why);
        if (t != VISIT_AGAIN)
            return;
    }
    end_wake(e);
}

static void on_drain(struct end *e)
{
    visit_part(container_of(e, struct visit, end));
}

static const struct end_ops visit_ops = {.wake = on_wake, .drain = on_drain};

static void on_found(struct lookup_wait *w)
{
    end_wake(&container_of(w, struct visit, wait)->end);
}

/* --- between two requests --- */

static void visit_number(struct visit *v)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t n = v->number = v->number * 6364136223846793005u + 1442695040888963407u;
    n ^= n >> 32;
    for (int i = 0; i < VISIT_ID; i++, n >>= 4)
        v->id[i] = digits[n & 15];
}

/* Its next request may be on its way already, and shall be answered. */
void visit_part(struct visit *v)
{
    v->parts = true;
    if (v->state == VISIT_READS && !end_has(&v->end))
        visit_limit_from(v, loop_steady(), LAST_IDLE);
}

static void visit_forget(struct visit *v)
{
    v->kept_len = 0;
    if (v->kept_room <= KEPT_REST)
        return;
    free(v->kept);
    v->kept = NULL;
    v->kept_room = 0;
}

enum visit_turn visit_next(struct visit *v)
{
    if (v->last)
        return VISIT_LEAVES;
    v->state = VISIT_READS;
    v->head = v->answer = (struct http1_head){0};
    v->tries = 0;
    v->answered = v->relayed = v->head_only = v->changes = v->alone = false;
    visit_forget(v);
    visit_number(v);
    visit_limit(v, v->parts ? LAST_IDLE : IDLE);
    return VISIT_AGAIN;
}

/* What the page does not say. */
static void visit_complain(const struct visit *v, int status)
{
    const struct flow *f = v->way ? v->way->end.flow : NULL;
    char to[ADDR_TEXT_MAX];
    if (!f || !v->web || !log_on(LOG_INFO) ||
        !log_allowed(&v->web->complained, (int64_t)loop_now(f->loop), COMPLAINTS))
        return;
    log_line(LOG_INFO, f->id, "request %s to %s by outbound \"%s\" was answered %d: %s", v->id,
             addr_text(&f->meta.target, to), f->meta.outbound_tag, status,
             f->why ? f->why : "no valid answer came");
}

/* Only a request that is whole has another one behind it. */
enum visit_turn visit_say(struct visit *v, int status, struct err *why)
{
    uint8_t text[WEB_PAGE_MAX];
    struct loop *l = end_loop(&v->end);
    struct err cut;
    v->last |= v->parts || !visit_is_whole(v);
    struct web_page page = {.status = status,
                            .id = v->id,
                            .now = (time_t)loop_now(l),
                            .minor = v->head.minor,
                            .keep_alive = !v->last,
                            .head_only = v->head_only};
    visit_complain(v, status);
    lookup_forget(&v->wait);
    if (v->state == VISIT_ASKS)
        visit_take(&v->end, v->head.len);
    if (v->way) {
        err_set(&cut, ECANCELED, "the visitor was answered %d", status);
        way_drop(v->way, &cut);
        v->way = NULL;
    }
    stat_add(l->counters, STAT_web_pages, 1);
    if (!end_write(&v->end, text, web_page_write(text, &page))) {
        err_set(why, ENOMEM, "out of memory");
        return VISIT_LEAVES;
    }
    *why = (struct err){0}; /* he was told; his flow ends well */
    return visit_next(v);
}

/* --- its beginning and end --- */

bool visit_begin(struct web *w, struct flow *f, const char *sni)
{
    struct visit *v = calloc(1, sizeof *v);
    char *name = v && sni ? strdup(sni) : NULL;
    if (!v || (sni && !name)) {
        free(v);
        return false;
    }
    v->web = w;
    v->parts = w->going;
    v->sni = name;
    v->wait.told = on_found;
    v->number = w->ids += GOLDEN;
    visit_number(v);
    flow_join(f, &v->end, &visit_ops);
    end_need(&v->end, HTTP1_HEAD_MAX);
    ev_init(&v->timer, on_timer);
    v->timer.data = v;
    list_append(&w->visits, &v->item);
    visit_limit_from(v, loop_steady(), IDLE);
    end_opened(&v->end);
    return true;
}

void visit_free(struct visit *v, const struct err *why)
{
    struct err gone;
    ev_timer_stop(end_loop(&v->end)->ev, &v->timer);
    list_remove(&v->item);
    lookup_forget(&v->wait);
    if (v->way) {
        err_set(&gone, ECANCELED, "the visitor is gone");
        way_drop(v->way, &gone);
    }
    end_leave(&v->end, why);
    free(v->sni);
    free(v->kept);
    free(v);
}
