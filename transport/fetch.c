#include "transport/fetch.h"

#include <stdlib.h>

#include "core/flow.h"
#include "transport/carriage.h"
#include "transport/fetch_reply.h"
#include "transport/flow_layer.h"
#include "transport/stream.h"

static const double IDLE = 30; /* seconds that a connection waits for the next question */

struct fetch {
    struct loop *loop;
    const struct fetch_server *server;
    const struct resolve_way *way;
    struct list links, waiting; /* questions that have no connection yet */
    size_t count;               /* of links */
};

struct question {
    struct list_item item; /* while it waits */
    fetch_tell *tell;
    void *owner;
    bool again; /* asked once more, for its first connection had gone stale */
    size_t len;
    uint8_t bytes[]; /* the request */
};

struct link {
    struct list_item item;
    struct fetch *fetch;
    struct stream stream;
    struct carriage *carriage; /* its layers point into it */
    struct question *question; /* under way; NULL: idle */
    size_t sent;               /* bytes of it */
    uint8_t *in; /* what came of the reply; FETCH_REPLY_WIRE bytes; NULL: nothing yet; owned */
    size_t in_len;
    ev_timer timer;
    bool served; /* it has brought an answer */
};

/* What one exchange needs. */
static const struct policy link_policy = {.handshake = 60,
                                          .conn_idle = 60,
                                          .uplink_only = 60,
                                          .downlink_only = 60,
                                          .buffer_size = 64 * 1024};

static void fetch_pump(struct fetch *h);

/* --- the end of a connection --- */

static void question_fail(struct question *q, const struct err *why)
{
    struct fetch_told t = {.why = *why};
    q->tell(q->owner, &t);
    free(q);
}

static void link_free(struct link *k, bool well)
{
    ev_timer_stop(k->fetch->loop->ev, &k->timer);
    list_remove(&k->item);
    k->fetch->count--;
    if (well)
        stream_close(&k->stream);
    else
        stream_reset(&k->stream);
    carriage_unref(k->carriage);
    free(k->in);
    free(k);
}

/* A server may close what is idle just when we ask: that question is asked once more, elsewhere. */
static void link_fail(struct link *k, const struct err *why)
{
    struct fetch *h = k->fetch;
    struct question *q = k->question;
    bool stale = q && k->served && !k->in_len && !q->again;
    link_free(k, false);
    if (stale) {
        q->again = true;
        list_push(&h->waiting, &q->item);
    } else if (q) {
        question_fail(q, why);
    }
    fetch_pump(h);
}

static void link_broke(struct link *k, int error)
{
    struct err why = stream_why(&k->stream);
    if (!why.code)
        err_set(&why, error, "%s", strerror(error));
    link_fail(k, &why);
}

static void on_timer(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)events;
    struct link *k = w->data;
    struct err why;
    if (!k->question) {
        link_free(k, true);
        return;
    }
    err_set(&why, ETIMEDOUT, "no answer in time");
    link_fail(k, &why);
}

static void link_wait(struct link *k, double seconds)
{
    struct ev_loop *ev = k->fetch->loop->ev;
    ev_timer_stop(ev, &k->timer);
    ev_timer_set(&k->timer, seconds, 0);
    ev_timer_start(ev, &k->timer);
}

/* --- bytes --- */

/* 0, or an errno. */
static int link_write(struct link *k)
{
    struct question *q = k->question;
    while (q && k->sent < q->len) {
        struct iovec iov = {q->bytes + k->sent, q->len - k->sent};
        ssize_t n = stream_writev(&k->stream, &iov, 1);
        if (n == STREAM_AGAIN)
            break;
        if (n < 0)
            return errno;
        k->sent += (size_t)n;
    }
    stream_want(&k->stream, true, q && k->sent < q->len);
    return 0;
}

static void link_rest(struct link *k)
{
    free(k->in);
    k->in = NULL;
    k->in_len = k->sent = 0;
    k->question = NULL;
    k->served = true;
    link_wait(k, IDLE);
}

/* The whole reply is there. */
static void link_answer(struct link *k, const struct fetch_reply *r, bool more)
{
    struct fetch *h = k->fetch;
    struct question *q = k->question;
    struct fetch_told t = {.status = r->status, .body = r->body, .len = r->len};
    link_rest(k);
    if (r->closes || more) /* nobody asked for more */
        link_free(k, !more);
    q->tell(q->owner, &t);
    free(q);
    fetch_pump(h);
}

/* True: the link may be gone. */
static bool link_parse(struct link *k)
{
    struct cursor in = cur_of(k->in, k->in_len);
    struct err why;
    struct fetch_reply *r = malloc(sizeof *r);
    enum step s = r ? fetch_reply_read(&in, r, &why) : step_fail(&why, ENOMEM, "out of memory");
    if (s == STEP_DONE)
        link_answer(k, r, cur_left(&in) > 0);
    else if (s == STEP_FAIL)
        link_fail(k, &why);
    free(r);
    return s != STEP_MORE;
}

static void link_read(struct link *k)
{
    for (;;) {
        uint8_t stray;
        struct iovec iov = {&stray, 1};
        if (k->question && !k->in && !(k->in = malloc(FETCH_REPLY_WIRE))) {
            link_broke(k, ENOMEM);
            return;
        }
        if (k->question)
            iov = (struct iovec){k->in + k->in_len, FETCH_REPLY_WIRE - k->in_len};
        ssize_t n = stream_readv(&k->stream, &iov, 1);
        if (n == STREAM_AGAIN)
            return;
        if (n <= 0 || !k->question) {
            link_broke(k, n == STREAM_ERROR ? errno : ECONNRESET);
            return;
        }
        k->in_len += (size_t)n;
        if (link_parse(k))
            return;
    }
}

static void on_stream(struct stream *s, bool readable, bool writable)
{
    struct link *k = container_of(s, struct link, stream);
    int error = s->connecting ? stream_connected(s) : 0;
    (void)writable;
    if (!error)
        error = link_write(k);
    if (error)
        link_broke(k, error);
    else if (readable)
        link_read(k);
}

/* --- connecting --- */

static struct flow *link_flow(const struct fetch *h, struct layer *l)
{
    struct flow like = {.policy = &link_policy};
    like.meta = (struct meta){
        .net = NET_TCP, .target = h->server->at, .inbound_tag = h->server->tag, .outbound_tag = ""};
    struct flow *f =
        flow_twin(&like); /* no visitor: not counted as one, and not waited for at the end */
    if (!f)
        return NULL;
    f->id = ++h->loop->next_flow;
    flow_start(f, h->loop, flow_layer_end(l), &flow_layer_end_ops);
    return f;
}

/* False: out of memory, or e. */
static bool link_open(struct link *k, struct flow **f, struct err *e)
{
    struct fetch *h = k->fetch;
    struct layer *l = flow_layer_new();
    *f = l ? link_flow(h, l) : NULL;
    stream_open(&k->stream, h->loop, -1, on_stream);
    err_set(e, ENOMEM, "out of memory");
    if (!*f) {
        if (l)
            l->ops->free(l, false);
        return false;
    }
    if (stream_put_layer(&k->stream, l) < 0)
        return false;
    k->stream.connecting = true;
    return carriage_dialled(&k->stream, k->carriage, &h->server->at, e) == 0;
}

static struct link *link_new(struct fetch *h, struct err *e)
{
    struct link *k = calloc(1, sizeof *k);
    struct flow *f = NULL;
    err_set(e, ENOMEM, "out of memory");
    if (!k)
        return NULL;
    k->fetch = h;
    k->carriage = h->server->carriage ? carriage_ref(h->server->carriage) : NULL;
    ev_timer_init(&k->timer, on_timer, 0, 0);
    k->timer.data = k;
    list_append(&h->links, &k->item);
    h->count++;
    bool opened = link_open(k, &f, e);
    if (opened)
        h->way->open(h->way->owner, f, h->server->direct);
    else if (f)
        flow_refuse(f, e);
    if (opened)
        return k;
    link_free(k, false);
    return NULL;
}

/* --- who asks where --- */

static struct link *link_idle(const struct fetch *h)
{
    for (struct list_item *i = list_first(&h->links); i; i = list_next(&h->links, i)) {
        struct link *k = container_of(i, struct link, item);
        if (!k->question)
            return k;
    }
    return NULL;
}

/* False: there is no connection for it now. */
static bool question_send(struct fetch *h, struct question *q)
{
    struct link *k = link_idle(h);
    struct err why;
    if (!k && h->count >= h->server->links)
        return false;
    if (!k)
        k = link_new(h, &why);
    list_remove(&q->item);
    if (!k) {
        question_fail(q, &why);
        return true;
    }
    k->question = q;
    link_wait(k, h->server->timeout);
    stream_want(&k->stream, true, true);
    return true;
}

static void fetch_pump(struct fetch *h)
{
    struct list_item *first;
    while ((first = list_first(&h->waiting)))
        if (!question_send(h, container_of(first, struct question, item)))
            return;
}

void fetch_ask(struct fetch *h, const uint8_t *request, size_t len, fetch_tell *tell, void *owner)
{
    struct question *q = calloc(1, sizeof *q + len);
    if (!q) {
        struct fetch_told t = {0};
        err_set(&t.why, ENOMEM, "out of memory");
        tell(owner, &t);
        return;
    }
    q->tell = tell;
    q->owner = owner;
    q->len = len;
    memcpy(q->bytes, request, len);
    list_append(&h->waiting, &q->item);
    fetch_pump(h);
}

static void put(struct writer *w, const char *text)
{
    wr_bytes(w, text, strlen(text));
}

void fetch_host_write(struct writer *w, const struct addr *at, uint16_t usual)
{
    char host[ADDR_TEXT_MAX];
    if (at->port != usual)
        put(w, addr_text(at, host));
    else if (at->type == ADDR_IPV6)
        put(w, "["), put(w, addr_host_text(at, host)), put(w, "]");
    else
        put(w, addr_host_text(at, host));
}

/* --- beginning and end --- */

struct fetch *fetch_new(struct loop *l, const struct fetch_server *server,
                        const struct resolve_way *way)
{
    struct fetch *h = calloc(1, sizeof *h);
    if (h)
        *h = (struct fetch){.loop = l, .server = server, .way = way};
    return h;
}

void fetch_adopt(struct fetch *h, const struct fetch_server *server)
{
    h->server = server;
}

static void question_drop(struct question *q)
{
    struct fetch_told t = {.destroyed = true};
    list_remove(&q->item);
    q->tell(q->owner, &t);
    free(q);
}

void fetch_free(struct fetch *h)
{
    struct list_item *first;
    if (!h)
        return;
    while ((first = list_first(&h->links))) {
        struct link *k = container_of(first, struct link, item);
        if (k->question)
            question_drop(k->question);
        link_free(k, false);
    }
    while ((first = list_first(&h->waiting)))
        question_drop(container_of(first, struct question, item));
    free(h);
}
