#include "core/flow.h"

#include <stdlib.h>
#include <string.h>

#include "core/log.h"

enum {
    PACKETS_MAX = 64, /* datagrams that one pipe holds; more are dropped by who puts them */
    SCARCE = 75, /* hundredths of the budget in use, from which on a pipe holds no more than ... */
    SCARCE_LIMIT = 32 * 1024, /* ... so many bytes */
};

static struct pipe *pipe_in(const struct end *e)
{
    return &e->flow->pipes[e->side];
}

static struct pipe *pipe_out(const struct end *e)
{
    return &e->flow->pipes[!e->side];
}

static struct end *end_peer(const struct end *e)
{
    return e->flow->ends[!e->side];
}

static void end_run(struct task *t)
{
    struct end *e = container_of(t, struct end, task);
    e->ops->wake(e);
}

void end_wake(struct end *e)
{
    loop_ready(e->flow->loop, &e->task);
}

static void end_wake_peer(struct end *e)
{
    if (end_peer(e))
        end_wake(end_peer(e));
}

static void flow_fail(struct flow *f, const struct err *why)
{
    if (f->why_code)
        return;
    f->why_code = why->code;
    f->why = strdup(why->text);
}

void flow_abort(struct flow *f, const struct err *why)
{
    flow_fail(f, why);
    for (int side = 0; side < 2; side++)
        if (f->ends[side])
            end_wake(f->ends[side]);
}

void flow_drain(struct flow *f)
{
    for (int side = 0; side < 2; side++)
        if (f->ends[side] && f->ends[side]->ops->drain)
            f->ends[side]->ops->drain(f->ends[side]);
}

void flows_abort(struct loop *l, const struct err *why)
{
    l->ends = true;
    for (struct list_item *i = list_first(&l->flows); i; i = list_next(&l->flows, i))
        flow_abort(container_of(i, struct flow, item), why);
}

/* --- idle time --- */

static const double IDLE_ANSWER = 1; /* seconds, at most, that another loop has to answer */

/* Nothing says when datagrams end. */
static double flow_idle_limit(const struct flow *f)
{
    bool client_ended = f->pipes[1].eof, target_ended = f->pipes[0].eof;
    if (client_ended == target_ended || f->packets)
        return f->policy->conn_idle;
    return client_ended ? f->policy->downlink_only : f->policy->uplink_only;
}

static void flow_arm(struct flow *f, double seconds)
{
    ev_timer_stop(f->loop->ev, &f->idle);
    ev_timer_set(&f->idle, seconds > 0.001 ? seconds : 0.001, 0);
    ev_timer_start(f->loop->ev, &f->idle);
}

static void flow_arm_idle(struct flow *f)
{
    flow_arm(f, f->active + flow_idle_limit(f) - loop_steady());
}

/* A side ended: from now on the limit may be a shorter one. */
static void flow_half_closed(struct flow *f)
{
    f->active = loop_steady();
    if (flow_idle_limit(f) < f->policy->conn_idle)
        flow_arm_idle(f);
}

/* An end may know of bytes that move elsewhere. */
static bool flow_asks(struct flow *f)
{
    bool asks = false;
    for (int side = 0; side < 2; side++)
        if (f->ends[side] && f->ends[side]->ops->idle)
            asks |= f->ends[side]->ops->idle(f->ends[side]);
    return asks;
}

/* The timer is not moved with every byte; when it fires it looks how long nothing happened. */
static void on_idle(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)events;
    struct flow *f = w->data;
    double limit = flow_idle_limit(f);
    if (loop_steady() - f->active < limit) {
        flow_arm_idle(f);
        return;
    }
    if (flow_asks(f)) {
        flow_arm(f, limit / 4 < IDLE_ANSWER ? limit / 4 : IDLE_ANSWER);
        return;
    }
    struct err why;
    err_set(&why, ETIMEDOUT, "idle for %g s", limit);
    flow_abort(f, &why);
}

/* --- birth and death --- */

static void flow_seat(struct flow *f, struct end *e, const struct end_ops *ops, uint8_t side)
{
    *e = (struct end){.ops = ops, .flow = f, .side = side, .task = {.run = end_run}};
    f->ends[side] = e;
}

void flow_start(struct flow *f, struct loop *l, struct end *first, const struct end_ops *ops)
{
    f->loop = l;
    f->pipes[0].limit = f->pipes[1].limit = f->policy->buffer_size;
    f->born = f->active = loop_steady();
    flow_seat(f, first, ops, 0);
    ev_init(&f->idle, on_idle);
    f->idle.data = f;
    flow_arm_idle(f);
    list_push(&l->flows, &f->item);
    if (f->twin)
        return;
    stat_add(l->counters, STAT_flows_opened, 1);
    stat_add(l->counters, STAT_flows_live, 1);
}

struct flow *flow_new(struct loop *l, struct end *inbound_end, const struct end_ops *ops,
                      const struct meta *m, const struct policy *p)
{
    struct flow *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->id = ++l->next_flow ? l->next_flow : ++l->next_flow;
    f->meta = *m;
    f->meta.outbound_tag = "";
    f->packets = m->net == NET_UDP;
    f->policy = p;
    flow_start(f, l, inbound_end, ops);
    return f;
}

struct flow *flow_twin(const struct flow *f)
{
    struct flow *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->id = f->id; /* what is logged of either belongs together */
    t->meta = f->meta;
    t->packets = f->packets;
    t->carrier = f->carrier;
    t->opened = f->opened;
    t->tries = f->tries;
    t->policy = f->policy;
    t->twin = true;
    return t;
}

void flow_join(struct flow *f, struct end *outbound_end, const struct end_ops *ops)
{
    flow_seat(f, outbound_end, ops, 1);
    end_wake(outbound_end);
}

void flow_limit(struct flow *f, const struct policy *p)
{
    if (!p || p->conn_idle >= f->policy->conn_idle)
        return;
    f->policy = p;
    flow_arm_idle(f);
}

static void flow_log_end(const struct flow *f)
{
    char from[ADDR_TEXT_MAX], to[ADDR_TEXT_MAX];
    enum log_level level = f->quiet ? LOG_DEBUG : LOG_INFO;
    if (f->twin || !log_on(level))
        return;
    log_line(level, f->id,
             "flow ended in=%s from=%s to=%s:%s out=%s up=%llu down=%llu ms=%.0f end=%s",
             f->meta.inbound_tag, f->meta.source.type ? addr_text(&f->meta.source, from) : "-",
             f->packets ? "udp" : "tcp", addr_text(&f->meta.target, to), f->meta.outbound_tag,
             (unsigned long long)f->pipes[1].total, (unsigned long long)f->pipes[0].total,
             (loop_steady() - f->born) * 1000, f->why_code ? (f->why ? f->why : "error") : "eof");
}

static void pipe_clear(struct flow *f, struct pipe *p)
{
    if (f->packets)
        f->loop->datagrams -= p->q.count;
    bufq_free(&p->q, &f->loop->bufs);
}

static void flow_free(struct flow *f)
{
    struct loop *l = f->loop;
    ev_timer_stop(l->ev, &f->idle);
    flow_log_end(f);
    pipe_clear(f, &f->pipes[0]);
    pipe_clear(f, &f->pipes[1]);
    list_remove(&f->item);
    stat_add(l->counters, STAT_flows_live, f->twin ? 0 : -1);
    stat_add(l->counters, STAT_flows_failed, !f->twin && f->why_code);
    free(f->why);
    free(f);
}

static void flow_leave(struct flow *f, uint8_t side, const struct err *why)
{
    if (f->ends[side])
        loop_unready(&f->ends[side]->task);
    f->ends[side] = NULL;
    f->left[side] = true;
    pipe_clear(f, &f->pipes[side]);
    f->pipes[!side].eof = true;
    if (why && why->code)
        flow_fail(f, why);
    if (f->left[!side]) {
        flow_free(f);
        return;
    }
    flow_half_closed(f);
    if (f->ends[!side])
        end_wake(f->ends[!side]);
}

void flow_refuse(struct flow *f, const struct err *why)
{
    flow_leave(f, 1, why);
}

void end_leave(struct end *e, const struct err *why)
{
    flow_leave(e->flow, e->side, why);
}

void end_reseat(struct end *e, struct end *to, const struct end_ops *ops)
{
    loop_unready(&e->task);
    flow_seat(e->flow, to, ops, e->side);
    end_wake(to);
}

void end_vacate(struct end *e)
{
    loop_unready(&e->task);
    e->flow->ends[e->side] = NULL;
}

/* --- bytes --- */

/* When memory is short, who does not read holds little of it. Carriers are few, and many wait for what is in them. */
static size_t pipe_limit(const struct flow *f, const struct pipe *p)
{
    bool scarce =
        p->limit > SCARCE_LIMIT && !f->carrier && budget_above(f->loop->bufs.budget, SCARCE);
    return scarce ? SCARCE_LIMIT : p->limit;
}

size_t end_room(struct end *e)
{
    struct flow *f = e->flow;
    struct pipe *p = pipe_out(e);
    size_t limit = pipe_limit(f, p);
    if (p->q.bytes < limit && !(f->packets && p->q.count >= PACKETS_MAX))
        return limit - p->q.bytes;
    end_call_at(e, limit / 2);
    return 0;
}

void end_call_at(struct end *e, size_t low)
{
    pipe_out(e)->low = low;
    pipe_out(e)->starved = true;
}

void end_limit(struct end *e, size_t limit)
{
    if (limit < pipe_in(e)->limit)
        pipe_in(e)->limit = limit;
}

void end_need(struct end *e, size_t least)
{
    if (least > pipe_in(e)->limit)
        pipe_in(e)->limit = least;
}

static void end_moved(struct end *e, size_t len)
{
    struct flow *f = e->flow;
    pipe_out(e)->total += len;
    f->active = loop_steady();
    if (f->meta.user && !f->twin) {
        const struct traffic *t = &f->meta.user->traffic;
        stat_add(f->loop->counters, e->side == 0 ? t->up : t->down, (int64_t)len);
    }
    end_wake_peer(e);
}

void end_passed(struct end *e, size_t len)
{
    end_moved(e, len);
}

void end_put(struct end *e, struct buf *b)
{
    struct flow *f = e->flow;
    size_t len = b->len;
    if (f->left[!e->side] || (!len && !f->packets)) {
        buf_free(&f->loop->bufs, b);
        return;
    }
    if (f->packets) {
        bufq_put(&pipe_out(e)->q, b);
        f->loop->datagrams++;
    } else {
        bufq_put_joined(&pipe_out(e)->q, &f->loop->bufs, b);
    }
    end_moved(e, len);
}

bool end_write(struct end *e, const void *from, size_t len)
{
    struct flow *f = e->flow;
    if (f->left[!e->side])
        return true;
    bool whole = bufq_append(&pipe_out(e)->q, &f->loop->bufs, from, len);
    end_moved(e, len);
    return whole;
}

struct buf *end_take(struct end *e)
{
    struct pipe *p = pipe_in(e);
    struct buf *b = bufq_take(&p->q);
    if (b)
        e->flow->active = loop_steady();
    if (b && e->flow->packets)
        e->flow->loop->datagrams--;
    /* Telling the putter at half full, not at every buf, halves the wake-ups of a slow reader. */
    if (p->starved && p->q.bytes <= p->low) {
        p->starved = false;
        end_wake_peer(e);
    }
    return b;
}

void end_untake(struct end *e, struct buf *b)
{
    if (!b->len) {
        buf_free(&e->flow->loop->bufs, b);
        return;
    }
    bufq_unget(&pipe_in(e)->q, b);
    if (e->flow->packets)
        e->flow->loop->datagrams++;
}

void end_untake_all(struct end *e, struct bufq *q)
{
    bufq_unget_all(&pipe_in(e)->q, q);
}

const struct buf *end_peek(const struct end *e)
{
    return pipe_in(e)->q.head;
}

size_t end_waiting(const struct end *e)
{
    return pipe_in(e)->q.bytes;
}

uint64_t end_total(const struct end *e)
{
    return pipe_out(e)->total;
}

bool end_has(const struct end *e)
{
    return pipe_in(e)->q.head != NULL;
}

size_t end_unread(const struct end *e)
{
    return pipe_out(e)->q.bytes;
}

bool end_at_eof(const struct end *e)
{
    return pipe_in(e)->eof && !pipe_in(e)->q.head;
}

void end_eof(struct end *e)
{
    if (pipe_out(e)->eof)
        return;
    pipe_out(e)->eof = true;
    flow_half_closed(e->flow);
    end_wake_peer(e);
}

bool end_sent_eof(const struct end *e)
{
    return pipe_out(e)->eof;
}

bool end_peer_left(const struct end *e)
{
    return e->flow->left[!e->side];
}

bool end_failed(const struct end *e)
{
    return e->flow->why_code != 0;
}

void end_opened(struct end *e)
{
    if (e->flow->opened)
        return;
    e->flow->opened = true;
    end_wake_peer(e);
}

bool end_is_opened(const struct end *e)
{
    return e->flow->opened;
}

void end_ask(struct end *e)
{
    if (e->flow->asked)
        return;
    e->flow->asked = true;
    end_wake_peer(e);
}

bool end_is_asked(const struct end *e)
{
    return e->flow->asked;
}
