#include "core/cross.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    WAY_BYTES = 128 * 1024,
    WAY_PACKETS = 64,
};

/* A half is called when something changed for it, and not again before it has looked. */
enum bell { BELL_SILENT, BELL_POSTED, BELL_HEARD };

struct way {
    struct bufq q;
    bool eof;     /* q holds the last that comes */
    bool starved; /* who puts has more and wants to know when there is room */
    bool wanted;  /* who takes has taken all and wants to know when there is more */
};

struct half {
    struct end end; /* flow NULL: the twin is not there yet */
    struct cross *cross;
    struct loop *loop;
    struct task task; /* posted to the loop by the other half */
    double asked_of;  /* flow->active when the other half was asked last */
    /* from here on under the lock */
    enum bell bell;
    bool left;          /* takes nothing any more */
    bool drains;        /* the other half was asked to drain, and its flow goes on here */
    double asked_since; /* the other half asks whether anything moved in this flow since; 0: no */
    double moved;       /* when something moved in the other flow, as it answered */
    struct way in;
};

struct cross {
    pthread_mutex_t lock;
    struct half halves[2]; /* the flow's, the twin's */
    struct flow *twin;     /* until it starts; then NULL. Only on its loop */
    cross_open *on_twin;
    void *arg;
    /* from here on under the lock */
    unsigned refs; /* halves that have not left, and posted tasks */
    bool opened;
    int why_code; /* 0: no half's flow has failed */
    char *why;    /* owned; may be NULL */
};

static struct half *half_other(struct half *h)
{
    struct half *halves = h->cross->halves;
    return &halves[h == halves];
}

/* The other end of its flow, where that is a crossing too. NULL: it is not. */
static struct end *half_beyond(struct half *h)
{
    struct end *e = h->end.flow->ends[!h->end.side];
    return e && e->ops == h->end.ops ? e : NULL;
}

static void cross_free(struct cross *c)
{
    pthread_mutex_destroy(&c->lock);
    free(c->why);
    free(c);
}

static void cross_unref(struct cross *c)
{
    pthread_mutex_lock(&c->lock);
    bool last = --c->refs == 0;
    pthread_mutex_unlock(&c->lock);
    if (last)
        cross_free(c);
}

/* Under the lock, as all up to on_wake(). True: its task is to be posted, once the lock is free. */
static bool half_ring(struct half *h)
{
    if (h->left || h->bell != BELL_SILENT)
        return false;
    h->bell = BELL_POSTED;
    h->cross->refs++;
    return true;
}

/* --- what passes --- */

static void way_put(struct way *w, const struct half *from, struct buf *b)
{
    struct buf_pool *pool = &from->loop->bufs;
    if (!from->end.flow->packets) {
        bufq_put_joined(&w->q, pool, b);
    } else if (w->q.count < WAY_PACKETS) {
        bufq_put(&w->q, b);
    } else {
        stat_add(from->loop->counters, STAT_datagrams_dropped, 1);
        buf_free(pool, b);
    }
}

static bool way_takes(const struct way *w, const struct half *from)
{
    return from->end.flow->packets || w->q.bytes < WAY_BYTES;
}

/* From the flow to the other half. True: it wants to know. */
static bool half_push(struct half *h, struct half *to)
{
    struct way *w = &to->in;
    struct buf *b;
    bool news = false;
    while (way_takes(w, h) && (b = end_take(&h->end))) {
        if (to->left)
            buf_free(&h->loop->bufs, b);
        else
            way_put(w, h, b);
        news = true;
    }
    w->starved = end_has(&h->end);
    if (end_at_eof(&h->end) && !w->eof)
        w->eof = news = true;
    return news && w->wanted;
}

/* From the other half to the flow. True: the other half has more and there is room. */
static bool half_pull(struct half *h)
{
    struct way *w = &h->in;
    while (w->q.head && end_room(&h->end))
        end_put(&h->end, bufq_take(&w->q));
    w->wanted = !w->q.head;
    if (w->eof && !w->q.head)
        end_eof(&h->end);
    if (!w->starved || w->q.bytes > WAY_BYTES / 2)
        return false;
    w->starved = false;
    return true;
}

/* Only the twin's second end reaches targets. */
static bool half_pass_opened(struct half *h)
{
    struct cross *c = h->cross;
    if (h == &c->halves[0]) {
        if (c->opened)
            end_opened(&h->end);
        return false;
    }
    bool news = !c->opened && end_is_opened(&h->end);
    c->opened |= news;
    return news;
}

/* Bytes that wait in one flow for a slow reader keep the other one from ending as idle. */
static bool half_answer(struct half *h, struct half *to)
{
    struct flow *f = h->end.flow;
    if (h->moved > f->active) {
        f->active = h->moved;
        if (half_beyond(h))
            end_wake(half_beyond(h)); /* it may have been asked too */
    }
    if (!h->asked_since || f->active <= h->asked_since)
        return false;
    h->asked_since = 0;
    to->moved = f->active;
    return true;
}

/* True: this half's part is done; it leaves with *why. */
static bool half_is_over(struct half *h, const struct half *other, struct err *why)
{
    struct cross *c = h->cross;
    const struct flow *f = h->end.flow;
    if (end_failed(&h->end)) {
        if (!c->why_code && f->why)
            c->why = strdup(f->why);
        c->why_code = f->why_code;
        return true;
    }
    if (other->left && c->why_code) {
        err_set(why, c->why_code, "%s", c->why ? c->why : "failed on another loop");
        return true;
    }
    if (other->left && !h->in.q.head)
        return true;
    return end_peer_left(&h->end) && end_at_eof(&h->end);
}

static void half_stop(struct half *h)
{
    h->left = true;
    bufq_free(&h->in.q, &h->loop->bufs);
}

/* The flow's own time is over. Asks once whether something moved in the other flow since. */
static bool on_idle(struct end *e)
{
    struct half *h = container_of(e, struct half, end), *other = half_other(h);
    if (h->asked_of == e->flow->active)
        return false;
    h->asked_of = e->flow->active;
    pthread_mutex_lock(&h->cross->lock);
    bool asks = !other->left;
    other->asked_since = h->asked_of;
    bool post = half_ring(other);
    pthread_mutex_unlock(&h->cross->lock);
    if (post)
        loop_post(other->loop, &other->task);
    return asks;
}

static void on_drain(struct end *e)
{
    struct half *h = container_of(e, struct half, end), *other = half_other(h);
    pthread_mutex_lock(&h->cross->lock);
    other->drains = true;
    bool post = half_ring(other);
    pthread_mutex_unlock(&h->cross->lock);
    if (post)
        loop_post(other->loop, &other->task);
}

/* The other flow's way goes away: so does this one's, for who is at its other end. */
static void half_drain(struct half *h)
{
    struct end *e = h->end.flow->ends[!h->end.side];
    if (e && e->ops->drain)
        e->ops->drain(e);
}

static void on_wake(struct end *e)
{
    struct half *h = container_of(e, struct half, end), *other = half_other(h);
    struct cross *c = h->cross;
    struct err why = {0};
    pthread_mutex_lock(&c->lock);
    if (h->bell == BELL_HEARD)
        h->bell = BELL_SILENT;
    bool news = half_push(h, other);
    news |= half_pull(h);
    news |= half_pass_opened(h);
    news |= half_answer(h, other);
    bool over = half_is_over(h, other, &why);
    if (over)
        half_stop(h);
    bool post = (news || over) && half_ring(other), asked = h->asked_since, drains = h->drains;
    h->drains = false;
    pthread_mutex_unlock(&c->lock);
    if (drains)
        half_drain(h);
    if (post)
        loop_post(other->loop, &other->task);
    if (over) {
        end_leave(e, &why);
        cross_unref(c);
    } else if (asked && half_beyond(h)) {
        on_idle(half_beyond(h));
    }
}

static const struct end_ops half_ops = {.wake = on_wake, .idle = on_idle, .drain = on_drain};

/* --- beginning --- */

/* What waits behind a crossing comes on top of what waits in it. */
static void pipe_lower(struct pipe *p)
{
    if (p->limit > WAY_BYTES)
        p->limit = WAY_BYTES;
}

/* There will be no twin. */
static void half_decline(struct half *h)
{
    struct cross *c = h->cross;
    struct half *other = half_other(h);
    pthread_mutex_lock(&c->lock);
    half_stop(h);
    if (!c->why_code)
        c->why_code = ECANCELED;
    bool post = half_ring(other);
    pthread_mutex_unlock(&c->lock);
    if (post)
        loop_post(other->loop, &other->task);
    cross_unref(c);
}

static void half_start(struct half *h, bool wanted)
{
    struct cross *c = h->cross;
    struct flow *twin = c->twin;
    c->twin = NULL;
    if (!wanted || h->loop->ends) {
        free(twin);
        half_decline(h);
        return;
    }
    flow_start(twin, h->loop, &h->end, &half_ops);
    pipe_lower(&twin->pipes[1]);
    c->on_twin(c->arg, twin);
    end_wake(&h->end); /* something may wait already */
}

static void on_bell(struct task *t)
{
    struct half *h = container_of(t, struct half, task);
    struct cross *c = h->cross;
    pthread_mutex_lock(&c->lock);
    bool left = h->left, failed = c->why_code;
    h->bell = BELL_HEARD;
    pthread_mutex_unlock(&c->lock);
    if (!left && !h->end.flow)
        half_start(h, !failed);
    else if (!left)
        end_wake(&h->end);
    cross_unref(c);
}

static struct half half_make(struct cross *c, struct loop *l)
{
    return (struct half){
        .cross = c, .loop = l, .task = {.run = on_bell}, .asked_of = -1, .in = {.wanted = true}};
}

static struct cross *cross_new(const struct flow *f, struct loop *to, cross_open *on_twin,
                               void *arg)
{
    struct cross *c = calloc(1, sizeof *c);
    struct flow *twin = flow_twin(f);
    if (!c || !twin) {
        free(c);
        free(twin);
        return NULL;
    }
    *c = (struct cross){.twin = twin, .on_twin = on_twin, .arg = arg, .refs = 2};
    c->halves[0] = half_make(c, f->loop);
    c->halves[1] = half_make(c, to);
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

/* What the flow brings in this turn goes along: its half runs before the turn is over. */
static void cross_begin(struct cross *c)
{
    struct half *far = &c->halves[1];
    pipe_lower(&c->halves[0].end.flow->pipes[0]);
    pthread_mutex_lock(&c->lock);
    bool post = half_ring(far);
    pthread_mutex_unlock(&c->lock);
    if (post)
        loop_post(far->loop, &far->task);
}

bool cross_flow(struct flow *f, struct loop *to, cross_open *on_twin, void *arg)
{
    struct cross *c = cross_new(f, to, on_twin, arg);
    if (!c)
        return false;
    flow_join(f, &c->halves[0].end, &half_ops);
    cross_begin(c);
    return true;
}

bool cross_take_over(struct end *seat, struct loop *to, cross_open *on_twin, void *arg)
{
    struct cross *c = cross_new(seat->flow, to, on_twin, arg);
    if (!c)
        return false;
    end_reseat(seat, &c->halves[0].end, &half_ops);
    cross_begin(c);
    return true;
}
