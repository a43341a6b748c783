#include "proxy/socks_datagrams.h"

#include <stdlib.h>

#include "proxy/socks_wire.h"
#include "routing/dispatch.h"
#include "transport/carriage.h"
#include "transport/udp.h"

struct datagrams {
    struct end upper;   /* of the flow that asked */
    struct end control; /* of the connection's */
    struct end relay;   /* of the datagrams' */
    bool has_control, has_relay;
    const char *via; /* as the outbound's: it may go while we wait */
    struct dispatcher *dispatcher;
    struct carriage *carriage; /* a share; NULL: plain */
    struct addr server;        /* where the relay is, if it does not say */
    const struct addr *from;
    const struct traffic *traffic;
    uint8_t head[SOCKS_UDP_HEAD_MAX]; /* the target's */
    size_t head_len;
};

static void datagrams_free(struct datagrams *d, const struct err *why)
{
    if (d->has_control)
        end_leave(&d->control, NULL);
    if (d->has_relay)
        end_leave(&d->relay, NULL);
    end_leave(&d->upper, why);
    carriage_unref(d->carriage);
    free(d);
}

/* A flow below has ended, and with it all. */
static void datagrams_end(struct datagrams *d, const struct end *by)
{
    const struct flow *f = by->flow;
    struct err why;
    err_set(&why, f->why_code ? f->why_code : ECONNRESET, "%s",
            f->why ? f->why : "the socks server ended the association");
    datagrams_free(d, &why);
}

static void drop_datagram(struct loop *l, struct buf *b)
{
    stat_add(l->counters, STAT_datagrams_dropped, 1);
    buf_free(&l->bufs, b);
}

/* --- datagrams --- */

static void move_up(struct datagrams *d)
{
    struct buf *b;
    struct addr from;
    struct err e;
    while ((b = end_take(&d->relay))) {
        struct cursor c = cur_of(b->data, b->len);
        if (socks_udp_read(&c, &from, &e) == STEP_DONE && end_room(&d->upper)) {
            buf_pull(b, b->len - cur_left(&c));
            end_put(&d->upper, b);
        } else {
            drop_datagram(end_loop(&d->upper), b);
        }
    }
}

static void move_down(struct datagrams *d)
{
    struct buf *b;
    while (d->has_relay && (b = end_take(&d->upper))) {
        if (end_room(&d->relay) && socks_udp_push(b, d->head, d->head_len))
            end_put(&d->relay, b);
        else
            drop_datagram(end_loop(&d->upper), b);
    }
}

static void on_relay_wake(struct end *e)
{
    struct datagrams *d = container_of(e, struct datagrams, relay);
    move_up(d);
    if (end_failed(e) || end_peer_left(e))
        datagrams_end(d, e);
}

static const struct end_ops relay_ops = {.wake = on_relay_wake};

/* A flow below the one that asked: no conversation of its own, so neither counted nor logged. */
static struct flow *flow_below(const struct datagrams *d, enum net net, const struct addr *to)
{
    struct flow *f = flow_twin(d->upper.flow);
    if (!f)
        return NULL;
    f->meta.net = net;
    f->meta.target = *to;
    f->packets = net == NET_UDP;
    f->opened = f->carrier = false;
    return f;
}

static void relay_start(struct datagrams *d, const struct addr *at)
{
    struct outbound *via = d->via ? dispatcher_find(d->dispatcher, d->via) : NULL;
    struct flow *f = flow_below(d, NET_UDP, at);
    struct udp_to to = {.carriage = d->carriage,
                        .addr = at,
                        .from = d->from,
                        .family = DIAL_AS_IS,
                        .traffic = d->traffic};
    struct err why;
    if (!f || (d->via && !via)) {
        free(f);
        err_set(&why, ENOMEM, "no way to the socks server's relay");
        datagrams_free(d, &why);
        return;
    }
    flow_start(f, end_loop(&d->upper), &d->relay, &relay_ops);
    d->has_relay = true;
    if (via)
        dispatch_through(via, f);
    else
        udp_request_open(end_loop(&d->upper), f, &to);
    end_opened(&d->upper);
    move_down(d);
}

/* --- the connection --- */

static bool is_nowhere(const struct addr *a)
{
    static const uint8_t zero[16];
    return !addr_is_ip(a) || memcmp(a->ip, zero, addr_ip_len(a)) == 0;
}

/* The codec puts it into the flow in one piece. */
static void on_relay_address(struct datagrams *d, struct buf *b)
{
    struct cursor c = cur_of(b->data, b->len);
    struct addr at = {0};
    struct err e;
    enum step s = addr_read_wire(&c, &at, &e);
    buf_free(&end_loop(&d->upper)->bufs, b);
    if (s != STEP_DONE || is_nowhere(&at)) {
        uint16_t port = at.port;
        at = d->server;
        at.port = port;
    }
    relay_start(d, &at);
}

static void on_control_wake(struct end *e)
{
    struct datagrams *d = container_of(e, struct datagrams, control);
    struct buf *b = d->has_relay ? NULL : end_take(e);
    if (b)
        on_relay_address(d, b);
    else if (end_failed(e) || end_peer_left(e) || end_at_eof(e))
        datagrams_end(d, e);
}

/* Nothing moves there as long as all is well. */
static bool on_control_idle(struct end *e)
{
    e->flow->active = loop_steady();
    return true;
}

static const struct end_ops control_ops = {.wake = on_control_wake, .idle = on_control_idle};

/* --- the flow that asked --- */

static void on_upper_wake(struct end *e)
{
    struct datagrams *d = container_of(e, struct datagrams, upper);
    move_down(d);
    if (end_failed(e) || end_peer_left(e))
        datagrams_free(d, NULL);
}

static const struct end_ops upper_ops = {.wake = on_upper_wake};

static struct datagrams *datagrams_new(const struct outbound *out, const struct flow *f,
                                       const struct request_to *server)
{
    struct datagrams *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->via = out->via;
    d->dispatcher = out->dispatcher;
    d->carriage = out->carriage ? carriage_ref(out->carriage) : NULL;
    d->server = *server->addr;
    d->from = server->from;
    d->traffic = server->traffic;
    d->head_len = socks_udp_write(d->head, &f->meta.target);
    return d;
}

void socks_datagrams_open(struct outbound *out, struct flow *f, const struct request_to *server,
                          struct codec *codec)
{
    struct datagrams *d = datagrams_new(out, f, server);
    struct err why;
    err_set(&why, ENOMEM, "out of memory");
    if (!d) {
        codec->ops->free(codec);
        flow_refuse(f, &why);
        return;
    }
    flow_join(f, &d->upper, &upper_ops);
    struct flow *below = flow_below(d, NET_TCP, server->addr);
    if (!below) {
        codec->ops->free(codec);
        datagrams_free(d, &why);
        return;
    }
    flow_start(below, out->loop, &d->control, &control_ops);
    d->has_control = true;
    request_open(out, below, server, codec);
}
