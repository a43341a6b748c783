#include "proxy/dns_outbound.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/dns_asked.h"
#include "proxy/request.h"
#include "transport/resolve.h"
#include "transport/udp.h"

enum {
    ASKED_MAX = 64,     /* questions of one client that wait for an answer */
    MESSAGE_MAX = 4096, /* bytes of a message in a stream */
    PREFIX = 2,         /* bytes in front of it that say how long it is */
};

struct dns_outbound {
    struct outbound out;
    const struct dns_out_conf *conf;
    const struct addr *send_through;
    const struct traffic *traffic;
};

/* Bytes of a stream until they are a message. */
struct parts {
    uint8_t bytes[PREFIX + MESSAGE_MAX];
    size_t len;
};

struct talk {         /* with one client */
    struct end end;   /* of its flow */
    struct end below; /* of the flow to a name server; flow NULL: there is none */
    struct addr server;
    enum net net; /* of what goes to it */
    const struct addr *send_through;
    const struct traffic *traffic;
    struct list asked;
    unsigned asked_count;
    struct parts *in, *back; /* of streams; owned */
};

struct asked {
    struct list_item item;
    struct talk *talk;
    struct dns_asked question;
    struct resolve_query *query;
};

/* --- the end --- */

static void asked_free(struct asked *a)
{
    if (a->query)
        resolve_cancel(a->query);
    list_remove(&a->item);
    a->talk->asked_count--;
    free(a);
}

static void talk_leave(struct talk *t, const struct err *why)
{
    struct list_item *i;
    while ((i = list_first(&t->asked)))
        asked_free(container_of(i, struct asked, item));
    if (t->below.flow)
        end_leave(&t->below, why);
    end_leave(&t->end, why);
    free(t->in);
    free(t->back);
    free(t);
}

static void talk_fail(struct talk *t, int code, const char *reason)
{
    struct err why;
    err_set(&why, code, "%s", reason);
    talk_leave(t, &why);
}

/* All is asked and answered. */
static bool talk_over(const struct talk *t)
{
    bool below_over = !t->below.flow || end_at_eof(&t->below);
    return end_peer_left(&t->end) || (end_at_eof(&t->end) && t->asked_count == 0 && below_over);
}

/* --- messages --- */

/* To either end; what does not fit is lost, as datagrams are. */
static bool message_put(struct end *e, const uint8_t *bytes, size_t len)
{
    uint8_t prefix[PREFIX] = {(uint8_t)(len >> 8), (uint8_t)len};
    struct flow *f = e->flow;
    if (!f->packets)
        return end_write(e, prefix, PREFIX) && end_write(e, bytes, len);
    struct buf *b = len <= BUF_ROOM && end_room(e) ? buf_new(&f->loop->bufs) : NULL;
    if (!b) {
        stat_add(f->loop->counters, STAT_datagrams_dropped, 1);
        return true;
    }
    buf_append(b, bytes, len);
    end_put(e, b);
    return true;
}

static size_t message_len(const struct parts *p)
{
    return (size_t)p->bytes[0] << 8 | p->bytes[1];
}

/* Fills up to the end of the prefix, then of the message. DONE: it is whole. FAIL: it is too long. */
static enum step parts_fill(struct end *e, struct parts *p)
{
    for (;;) {
        size_t want = p->len < PREFIX ? PREFIX : PREFIX + message_len(p);
        if (want > sizeof p->bytes)
            return STEP_FAIL;
        if (p->len >= PREFIX && p->len == want)
            return STEP_DONE;
        struct buf *b = end_take(e);
        if (!b)
            return STEP_MORE;
        size_t n = b->len < want - p->len ? b->len : want - p->len;
        memcpy(p->bytes + p->len, b->data, n);
        p->len += n;
        buf_pull(b, n);
        end_untake(e, b);
    }
}

/* A datagram for a stream that takes no more is lost, too. */
static bool message_pass(const struct end *from, struct end *to, const uint8_t *bytes, size_t len)
{
    if (!from->flow->packets || end_room(to))
        return message_put(to, bytes, len);
    stat_add(to->flow->loop->counters, STAT_datagrams_dropped, 1);
    return true;
}

typedef bool message_came(struct talk *t, const uint8_t *bytes, size_t len);

static bool take_datagrams(struct talk *t, struct end *e, message_came *came)
{
    struct buf *b;
    bool well = true;
    while (well && (b = end_take(e))) {
        well = came(t, b->data, b->len);
        buf_free(&e->flow->loop->bufs, b);
    }
    return well;
}

/* What is taken from a stream is answered or passed on: who does not read is not heard either. */
static bool may_take(struct talk *t, const struct end *from)
{
    if (!t->end.flow->packets && !end_room(&t->end))
        return false;
    return from != &t->end ||
           (t->asked_count < ASKED_MAX && (!t->below.flow || end_room(&t->below)));
}

static bool take_stream(struct talk *t, struct end *e, struct parts **parts, message_came *came)
{
    if (!*parts && !(*parts = calloc(1, sizeof **parts)))
        return false;
    while (may_take(t, e)) {
        enum step s = parts_fill(e, *parts);
        if (s != STEP_DONE)
            return s == STEP_MORE;
        size_t len = (*parts)->len - PREFIX;
        (*parts)->len = 0;
        if (!came(t, (*parts)->bytes + PREFIX, len))
            return false;
    }
    return true;
}

/* False: it cannot go on. */
static bool take_messages(struct talk *t, struct end *e, struct parts **parts, message_came *came)
{
    return e->flow->packets ? take_datagrams(t, e, came) : take_stream(t, e, parts, came);
}

/* --- the server behind us --- */

static void talk_run(struct talk *t);

static bool on_server_said(struct talk *t, const uint8_t *bytes, size_t len)
{
    return message_pass(&t->below, &t->end, bytes, len);
}

static void on_below_wake(struct end *e)
{
    talk_run(container_of(e, struct talk, below));
}

static const struct end_ops below_ops = {.wake = on_below_wake};

/* A flow of its own, below the client's. */
static bool below_open(struct talk *t)
{
    struct flow *f = flow_twin(t->end.flow);
    struct loop *l = end_loop(&t->end);
    if (!f)
        return false;
    f->packets = t->net == NET_UDP;
    f->opened = false;
    f->meta.net = t->net;
    f->meta.target = t->server;
    flow_start(f, l, &t->below, &below_ops);
    if (f->packets) {
        udp_request_open(l, f,
                         &(struct udp_to){.addr = &t->server,
                                          .from = t->send_through,
                                          .family = DIAL_AS_IS,
                                          .traffic = t->traffic});
    } else {
        struct outbound plain = {.loop = l};
        request_open(&plain, f,
                     &(struct request_to){.addr = &t->server,
                                          .from = t->send_through,
                                          .family = DIAL_AS_IS,
                                          .traffic = t->traffic},
                     NULL);
    }
    return true;
}

/* --- questions --- */

static void on_resolved(void *owner, const struct resolve_answer *found)
{
    struct asked *a = owner;
    struct talk *t = a->talk;
    uint8_t answer[DNS_ASKED_ANSWER];
    size_t len = dns_asked_answer(&a->question, found->addrs, found->count,
                                  !found->count && found->why.code != 0, answer);
    a->query = NULL;
    asked_free(a);
    if (!message_put(&t->end, answer, len))
        talk_fail(t, ENOMEM, "out of memory");
    else if (talk_over(t))
        talk_leave(t, NULL);
    else if (end_has(&t->end))
        end_wake(&t->end);
}

static bool ask_resolver(struct talk *t, const struct dns_asked *q)
{
    struct asked *a = t->asked_count < ASKED_MAX ? calloc(1, sizeof *a) : NULL;
    if (!a)
        return t->asked_count >=
               ASKED_MAX; /* like a datagram that is lost: the client asks again */
    a->talk = t;
    a->question = *q;
    a->query = resolve_start(end_loop(&t->end), q->name,
                             q->type == DNS_ASKED_A ? DIAL_IPV4 : DIAL_IPV6, on_resolved, a);
    list_append(&t->asked, &a->item);
    t->asked_count++;
    if (a->query)
        return true;
    asked_free(a);
    return false;
}

static bool on_client_said(struct talk *t, const uint8_t *bytes, size_t len)
{
    struct dns_asked q;
    if (dns_asked_read(cur_of(bytes, len), &q))
        return ask_resolver(t, &q);
    if (!t->below.flow && !below_open(t))
        return false;
    return message_pass(&t->end, &t->below, bytes, len);
}

/* Both ways, for each may have waited for room in the other. */
static void talk_run(struct talk *t)
{
    if (end_failed(&t->end))
        talk_leave(t, NULL);
    else if (t->below.flow && end_failed(&t->below))
        talk_fail(t, EHOSTUNREACH, "the name server cannot be asked");
    else if (!take_messages(t, &t->end, &t->in, on_client_said))
        talk_fail(t, EPROTO, "no DNS message, or out of memory");
    else if (t->below.flow && !take_messages(t, &t->below, &t->back, on_server_said))
        talk_fail(t, EPROTO, "the name server's answer cannot be passed on");
    else if (talk_over(t))
        talk_leave(t, NULL);
    else if (end_at_eof(&t->end) && t->below.flow)
        end_eof(&t->below);
}

static void on_wake(struct end *e)
{
    talk_run(container_of(e, struct talk, end));
}

static const struct end_ops talk_ops = {.wake = on_wake};

/* --- the outbound --- */

static void dns_outbound_open(struct outbound *out, struct flow *f)
{
    struct dns_outbound *d = container_of(out, struct dns_outbound, out);
    const struct addr *server = &d->conf->server;
    struct talk *t = calloc(1, sizeof *t);
    struct err why;
    if (!t) {
        err_set(&why, ENOMEM, "out of memory");
        flow_refuse(f, &why);
        return;
    }
    t->server = server->type == ADDR_NONE ? f->meta.target : *server;
    t->server.port = server->port ? server->port : f->meta.target.port;
    t->net = d->conf->net ? d->conf->net : f->meta.net;
    t->send_through = d->send_through;
    t->traffic = d->traffic;
    flow_join(f, &t->end, &talk_ops);
    end_opened(&t->end);
}

static void dns_outbound_free(struct outbound *out)
{
    free(container_of(out, struct dns_outbound, out));
}

static const struct outbound_ops dns_outbound_ops = {.open = dns_outbound_open,
                                                     .free = dns_outbound_free};

struct outbound *dns_outbound_new(struct loop *l, const char *tag, const struct dns_out_conf *conf,
                                  const struct addr *send_through, const struct traffic *traffic)
{
    struct dns_outbound *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->out = (struct outbound){.ops = &dns_outbound_ops, .loop = l, .tag = tag};
    d->conf = conf;
    d->send_through = send_through;
    d->traffic = traffic;
    return &d->out;
}

void dns_outbound_adopt(struct outbound *out, const struct dns_out_conf *conf,
                        const struct traffic *traffic)
{
    struct dns_outbound *d = container_of(out, struct dns_outbound, out);
    d->conf = conf;
    d->traffic = traffic;
}
