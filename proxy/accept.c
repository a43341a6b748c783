#include "proxy/accept.h"

#include <limits.h>
#include <stdlib.h>

#include "core/log.h"
#include "routing/dispatch.h"

enum {
    GREETINGS = 1024, /* connections that have not authenticated */
    COMPLAINTS = 5,   /* log lines a second about failed greetings */
};

struct accepted {
    struct conn conn;
    struct accept_inbound *inbound;
    struct list_item greets;   /* in the inbound's list */
    struct carriage *carriage; /* what its layers need; NULL: it has none */
    struct addr from;
    size_t swallow; /* bytes still to read and drop after a failed greeting */
};

static struct accepted *oldest_greeting(const struct accept_inbound *in)
{
    struct list_item *first = list_first(&in->greeting);
    return first ? container_of(first, struct accepted, greets) : NULL;
}

static void accepted_unlist(struct accepted *a)
{
    if (!list_holds(&a->greets))
        return; /* it has greeted, and may outlive the inbound */
    list_remove(&a->greets);
    a->inbound->greeting_count--;
}

static void accepted_list(struct accepted *a)
{
    struct accept_inbound *in = a->inbound;
    if (in->greeting_count >= GREETINGS)
        conn_drop(&oldest_greeting(in)->conn, false);
    list_append(&in->greeting, &a->greets);
    in->greeting_count++;
}

static void accepted_release(struct conn *c)
{
    struct accepted *a = container_of(c, struct accepted, conn);
    accepted_unlist(a);
    carriage_unref(a->carriage);
    free(a);
}

static void on_greeting_timeout(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)events;
    conn_drop(w->data, true);
}

/* --- a failed greeting: swallow as much as any other failed one, then close --- */

static void on_swallowing(struct stream *s, bool readable, bool writable)
{
    (void)readable, (void)writable;
    struct accepted *a = container_of(s, struct accepted, conn.stream);
    struct iovec iov = {s->loop->scratch, a->swallow < LOOP_SCRATCH ? a->swallow : LOOP_SCRATCH};
    ssize_t n = stream_readv(s, &iov, 1);
    if (n == STREAM_AGAIN)
        return;
    if (n > 0)
        a->swallow -= (size_t)n;
    if (n <= 0 || !a->swallow)
        conn_drop(&a->conn, true);
    else
        stream_want(s, true, false);
}

static struct meta accepted_meta(const struct accepted *a)
{
    struct meta m = {.net = NET_TCP,
                     .source = a->from,
                     .target = a->inbound->target,
                     .inbound_tag = a->inbound->in.tag,
                     .user = a->inbound->user,
                     .outbound_tag = "",
                     .certificate = stream_certificate(&a->conn.stream),
                     .tunnel = a->inbound->tunnel,
                     .sniffing = a->inbound->sniffing};
    if (a->inbound->follows)
        listen_redirected(a->conn.stream.fd, &m.target);
    return m;
}

static void accepted_complain(struct accepted *a, const struct err *why)
{
    struct accept_inbound *in = a->inbound;
    char from[ADDR_TEXT_MAX];
    stat_add(in->in.loop->counters, STAT_handshakes_failed, 1);
    if (!log_allowed(&in->complained, (int64_t)loop_now(in->in.loop), COMPLAINTS))
        return;
    struct meta m = accepted_meta(a);
    log_access(&m, "", why->text);
    log_info("inbound %s: %s: %s", in->in.tag, addr_text(&a->from, from), why->text);
}

static void accepted_fail(struct accepted *a, size_t unread, const struct err *why)
{
    struct accept_inbound *in = a->inbound;
    if (in->greeting_failed)
        in->greeting_failed(in, a->conn.codec);
    accepted_complain(a, why);
    if (a->conn.codec->signs & CODEC_SAYS) {
        conn_bow_out(&a->conn);
        return;
    }
    a->swallow = a->conn.codec->drain > unread ? a->conn.codec->drain - unread : 0;
    if (!a->swallow) {
        conn_drop(&a->conn, true);
        return;
    }
    a->conn.stream.ready = on_swallowing;
}

/* --- a whole greeting: a flow --- */

static void accepted_carries(struct accepted *a)
{
    const struct carriage *c = a->inbound->carriage;
    stream_prepare_carrier(&a->conn.stream);
    sockopt_keep(&a->conn.stream, c ? &c->sockopt : NULL);
}

static void accepted_flow(struct accepted *a, struct meta *m, const struct policy *p, uint8_t *more,
                          size_t len)
{
    struct accept_inbound *in = a->inbound;
    struct flow *f = flow_new(in->in.loop, &a->conn.end, &conn_end_ops, m, p);
    accepted_unlist(a);
    if (!f) {
        conn_drop(&a->conn, false);
        return;
    }
    if (in->route)
        in->route(in, &a->conn);
    else
        dispatch(in->in.dispatcher, f);
    if (f->carrier)
        accepted_carries(a);
    conn_start(&a->conn, more, len);
}

static void accepted_greeted(struct accepted *a, struct meta *m, uint8_t *more, size_t len)
{
    struct err why;
    if (conn_say(&a->conn, &why) < 0) {
        conn_drop(&a->conn, false);
        return;
    }
    a->conn.hold = !(a->conn.codec->signs & CODEC_MUTE);
    accepted_flow(a, m, m->user && m->user->policy ? m->user->policy : a->inbound->policy, more,
                  len);
}

static bool accepted_keep(struct accepted *a, const uint8_t *from, size_t len)
{
    uint8_t *kept = len ? malloc(len) : NULL;
    if (len && !kept)
        return false;
    if (len)
        memcpy(kept, from, len);
    free(a->conn.rest);
    a->conn.rest = kept;
    a->conn.rest_len = len;
    return true;
}

static void accepted_more(struct accepted *a, const uint8_t *rest, size_t len)
{
    struct err why;
    if (len > a->conn.codec->ops->accept_max || !accepted_keep(a, rest, len) ||
        conn_speak(&a->conn, &why) < 0)
        conn_drop(&a->conn, false);
    else
        stream_want(&a->conn.stream, true, false);
}

static void accepted_try(struct accepted *a, uint8_t *in, size_t n)
{
    struct cursor c = cur_of(in, n);
    struct meta m = accepted_meta(a);
    struct err why;
    switch (a->conn.codec->ops->accept(a->conn.codec, &c, &m, &why)) {
    case STEP_DONE:
        a->conn.rest_len = 0;
        accepted_greeted(a, &m, in + (n - cur_left(&c)), cur_left(&c));
        break;
    case STEP_MORE:
        accepted_more(a, in + (n - cur_left(&c)), cur_left(&c));
        break;
    case STEP_FAIL:
        accepted_fail(a, cur_left(&c), &why);
    }
}

/* Nothing came to greet with. */
static void accepted_lost(struct accepted *a, ssize_t n)
{
    struct err why = stream_why(&a->conn.stream);
    if (n == STREAM_ERROR && why.code)
        accepted_complain(a, &why);
    conn_drop(&a->conn, n == 0);
}

static void accepted_read(struct accepted *a)
{
    struct stream *s = &a->conn.stream;
    uint8_t *mem = s->loop->scratch;
    size_t kept = a->conn.rest_len;
    struct iovec iov = {mem + kept, LOOP_SCRATCH - kept};
    ssize_t n = stream_readv(s, &iov, 1);
    if (n == STREAM_AGAIN)
        return;
    if (n <= 0) {
        accepted_lost(a, n);
        return;
    }
    if (kept)
        memcpy(mem, a->conn.rest, kept);
    accepted_try(a, mem, kept + (size_t)n);
}

/* A flow of who says nothing about himself. */
static void accepted_ungreeted(struct accepted *a)
{
    struct meta m = accepted_meta(a);
    struct err why;
    if (m.target.type != ADDR_NONE) {
        accepted_flow(a, &m, a->inbound->policy, NULL, 0);
        return;
    }
    err_set(&why, EDESTADDRREQ, "unable to get destination: nobody redirected the connection");
    accepted_complain(a, &why);
    conn_drop(&a->conn, false);
}

/* The layers below have greeted, if there are any. */
static void on_greeting(struct stream *s, bool readable, bool writable)
{
    (void)readable, (void)writable;
    struct accepted *a = container_of(s, struct accepted, conn.stream);
    stream_source(s, &a->from);
    if (a->conn.codec) {
        accepted_read(a);
    } else if (stream_why(s).code) {
        accepted_lost(a, STREAM_ERROR);
    } else {
        accepted_ungreeted(a);
    }
}

static void accepted_greet(struct accepted *a)
{
    struct conn *c = &a->conn;
    accepted_list(a);
    c->stream.ready = on_greeting;
    stream_want(&c->stream, true, false);
    ev_timer_init(&c->deadline, on_greeting_timeout, a->inbound->policy->handshake, 0);
    c->deadline.data = c;
    ev_timer_start(c->stream.loop->ev, &c->deadline);
    if (!c->stream.stack)
        on_greeting(&c->stream, true, false); /* it mostly came with the connection */
}

static void accepted_begin(struct accepted *a)
{
    struct err why;
    if (!carriage_is_plain(a->inbound->carriage))
        a->carriage = carriage_ref(a->inbound->carriage);
    const struct accept_inbound *in = a->inbound;
    if (carriage_accepted(&a->conn.stream, a->carriage, &why) < 0 ||
        (in->look && in->look(a->inbound, &a->conn.stream, a->carriage, &why) < 0)) {
        accepted_complain(a, &why);
        conn_drop(&a->conn, false);
    } else if (a->conn.codec || a->conn.stream.stack) {
        accepted_greet(a);
    } else {
        accepted_ungreeted(a);
    }
}

static void on_accepted(struct listener *ln, int fd, const struct addr *from)
{
    struct accept_inbound *in = ln->owner;
    bool greets = in->new_codec != NULL;
    struct accepted *a = calloc(1, sizeof *a);
    struct codec *codec = a && greets ? in->new_codec(in) : NULL;
    if (!a || (greets && !codec)) {
        free(a);
        listen_refuse(fd);
        return;
    }
    conn_init(&a->conn, ln->loop, codec, in->traffic, accepted_release);
    conn_attach(&a->conn, fd);
    a->inbound = in;
    a->from = *from;
    accepted_begin(a);
}

int accept_init(struct accept_inbound *a, size_t ports)
{
    a->listeners = calloc(ports, sizeof *a->listeners);
    if (!a->listeners)
        return -1;
    a->listener_count = ports;
    for (size_t i = 0; i < ports; i++)
        a->listeners[i].fd = -1;
    return 0;
}

void accept_listen(struct accept_inbound *a, size_t i, int fd)
{
    listen_start(&a->listeners[i], a->in.loop, fd, on_accepted, a);
    if (a->spare)
        a->listeners[i].fd_max = INT_MAX;
}

int accept_release(struct accept_inbound *a, size_t i)
{
    return listen_release(&a->listeners[i]);
}

void accept_adopt(struct accept_inbound *a, const struct policy *policy,
                  const struct traffic *traffic)
{
    a->policy = policy;
    a->traffic = traffic;
}

void accept_inherit(struct accept_inbound *a, struct accept_inbound *from)
{
    struct accepted *stranger;
    while ((stranger = oldest_greeting(from))) {
        accepted_unlist(stranger);
        stranger->inbound = a;
        list_append(&a->greeting, &stranger->greets);
        a->greeting_count++;
    }
}

void accept_drain(struct accept_inbound *a)
{
    for (size_t i = 0; i < a->listener_count; i++)
        if (a->listeners[i].fd >= 0)
            listen_drain(&a->listeners[i]);
}

bool accept_busy(const struct inbound *in)
{
    return container_of(in, struct accept_inbound, in)->greeting_count > 0;
}

void accept_stop(struct accept_inbound *a)
{
    for (size_t i = 0; i < a->listener_count; i++)
        if (a->listeners[i].fd >= 0)
            listen_stop(&a->listeners[i]);
    free(a->listeners);
    a->listeners = NULL;
    a->listener_count = 0;
    struct accepted *stranger;
    while ((stranger = oldest_greeting(a)))
        conn_drop(&stranger->conn, false);
}
