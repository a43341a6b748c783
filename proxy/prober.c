#include "proxy/prober.h"

#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "routing/dispatch.h"
#include "transport/carriage.h"
#include "transport/flow_layer.h"
#include "transport/stream.h"

enum {
    PROBES_MAX = 64, /* at once */
    ANSWER = 12,     /* bytes: "HTTP/1.1 200" */
};

static const double PATIENCE = 5; /* seconds for an answer */

struct prober {
    struct loop *loop;
    const struct prober_conf *conf;
    struct outbound *const *outbounds;
    const struct policy *policy;
    ev_timer round;
    struct task step; /* a probe has ended: the next one may begin */
    struct list probes;
    unsigned running;
    size_t next; /* of conf's items, in this round */
};

struct probe {
    struct stream stream;
    struct prober *prober;
    const struct observed *item;
    struct list_item listed;
    ev_timer limit;
    double began;
    size_t sent, got;
    char answer[ANSWER];
};

/* --- one probe --- */

static void probe_end(struct probe *b, bool well)
{
    struct prober *p = b->prober;
    ev_timer_stop(p->loop->ev, &b->limit);
    list_remove(&b->listed);
    p->running--;
    if (well)
        stream_close(&b->stream);
    else
        stream_reset(&b->stream);
    free(b);
    loop_ready(p->loop, &p->step);
}

static void probe_failed(struct probe *b, const char *why)
{
    const struct outbound *out = b->prober->outbounds[b->item->outbound];
    if (health_delay(b->item->health) != HEALTH_DEAD)
        log_warn("observatory: outbound \"%s\" is dead: %s", out->tag, why);
    health_failed(b->item->health, why, loop_now(b->prober->loop));
    probe_end(b, false);
}

static void probe_answered(struct probe *b)
{
    const struct outbound *out = b->prober->outbounds[b->item->outbound];
    double delay = loop_steady() - b->began;
    uint32_t before = health_delay(b->item->health);
    if (before == HEALTH_DEAD || before == HEALTH_UNKNOWN)
        log_info("observatory: outbound \"%s\" is alive: %.0f ms", out->tag, delay * 1000);
    health_answered(b->item->health, delay, loop_now(b->prober->loop));
    probe_end(b, true);
}

static void probe_broke(struct probe *b)
{
    struct err why = stream_why(&b->stream);
    probe_failed(b, why.code ? why.text : strerror(errno));
}

static bool is_http(const char *answer)
{
    return memcmp(answer, "HTTP/1.", 7) == 0 && answer[8] == ' ' && answer[9] >= '1' &&
           answer[9] <= '5';
}

/* False: it has ended. */
static bool probe_write(struct probe *b)
{
    const char *request = b->prober->conf->request;
    size_t left = strlen(request) - b->sent;
    struct iovec iov = {(void *)(request + b->sent), left};
    ssize_t n = left ? stream_writev(&b->stream, &iov, 1) : 0;
    if (n > 0)
        b->sent += (size_t)n;
    if (n != STREAM_ERROR)
        return true;
    probe_broke(b);
    return false;
}

/* The same. */
static bool probe_read(struct probe *b)
{
    struct iovec iov = {b->answer + b->got, sizeof b->answer - b->got};
    ssize_t n = stream_readv(&b->stream, &iov, 1);
    if (n == STREAM_AGAIN)
        return true;
    if (n > 0 && (b->got += (size_t)n) < sizeof b->answer)
        return true;
    if (n == STREAM_ERROR)
        probe_broke(b);
    else if (n == 0)
        probe_failed(b, "the connection ended without an answer");
    else if (is_http(b->answer))
        probe_answered(b);
    else
        probe_failed(b, "what answered is not HTTP");
    return false;
}

static void on_ready(struct stream *s, bool readable, bool writable)
{
    struct probe *b = container_of(s, struct probe, stream);
    if (s->connecting && stream_connected(s)) {
        probe_broke(b);
        return;
    }
    if (writable && !probe_write(b))
        return;
    if (readable && !probe_read(b))
        return;
    stream_want(s, true, b->sent < strlen(b->prober->conf->request));
}

static void on_limit(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)events;
    probe_failed(w->data, "no answer within 5 s");
}

static struct flow *probe_flow(struct prober *p, struct layer *l)
{
    struct meta meta = {.net = NET_TCP, .inbound_tag = "", .target = p->conf->target};
    return flow_new(p->loop, flow_layer_end(l), &flow_layer_end_ops, &meta, p->policy);
}

/* The flow that the outbound takes; NULL: out of memory, and nothing is left of it. */
static struct flow *probe_connect(struct probe *b)
{
    struct layer *l = flow_layer_new();
    struct flow *f = l ? probe_flow(b->prober, l) : NULL;
    stream_open(&b->stream, b->prober->loop, -1, on_ready);
    if (f && stream_put_layer(&b->stream, l) == 0)
        return f;
    if (f)
        flow_refuse(f, NULL);
    else if (l)
        l->ops->free(l, false);
    return NULL;
}

static void probe_start(struct prober *p, const struct observed *item)
{
    struct err why;
    struct probe *b = calloc(1, sizeof *b);
    if (!b)
        return;
    b->prober = p;
    b->item = item;
    b->began = loop_steady();
    struct flow *f = probe_connect(b);
    if (!f) {
        free(b);
        return;
    }
    list_push(&p->probes, &b->listed);
    p->running++;
    ev_timer_init(&b->limit, on_limit, PATIENCE, 0);
    b->limit.data = b;
    ev_timer_start(p->loop->ev, &b->limit);
    b->stream.connecting = true;
    const struct carriage *tls = p->conf->carriage;
    bool layered = carriage_dialled(&b->stream, tls, &p->conf->target, &why) == 0;
    dispatch_through(p->outbounds[item->outbound], f);
    if (layered)
        stream_want(&b->stream, true, true);
    else
        probe_failed(b, why.text);
}

/* --- rounds --- */

static bool leads_nowhere(const struct outbound *out)
{
    return out->ops->alive && !out->ops->alive(out);
}

static void prober_step(struct prober *p)
{
    unsigned most = p->conf->concurrent ? PROBES_MAX : 1;
    while (p->next < p->conf->count && p->running < most) {
        const struct observed *item = &p->conf->items[p->next++];
        if (!leads_nowhere(p->outbounds[item->outbound]))
            probe_start(p, item);
    }
}

static void on_step(struct task *t)
{
    prober_step(container_of(t, struct prober, step));
}

/* A round that takes longer than the interval goes on. */
static void on_round(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)events;
    struct prober *p = w->data;
    if (p->next == p->conf->count && !p->running)
        p->next = 0;
    prober_step(p);
}

struct prober *prober_new(struct loop *l, const struct prober_conf *conf,
                          struct outbound *const *outbounds, const struct policy *policy)
{
    struct prober *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    *p = (struct prober){.loop = l, .conf = conf, .outbounds = outbounds, .policy = policy};
    p->step.run = on_step;
    ev_timer_init(&p->round, on_round, 0, conf->interval);
    p->round.data = p;
    return p;
}

void prober_start(struct prober *p)
{
    ev_timer_start(p->loop->ev, &p->round);
}

void prober_free(struct prober *p)
{
    struct list_item *i;
    if (!p)
        return;
    ev_timer_stop(p->loop->ev, &p->round);
    while ((i = list_first(&p->probes)))
        probe_end(container_of(i, struct probe, listed), false);
    loop_unready(&p->step);
    free(p);
}
