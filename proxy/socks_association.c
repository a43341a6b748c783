#include "proxy/socks_association.h"

#include <stdlib.h>

#include "proxy/accept.h"
#include "proxy/socks_wire.h"
#include "routing/dispatch.h"
#include "transport/udp.h"

enum {
    ASSOCIATIONS_MAX = 1024,   /* of one inbound on one loop; */
    ASSOCIATIONS_OF_ONE = 512, /* of these, of clients with one address */
    TARGETS_MAX = 256,         /* of one association; beyond, the one that rested longest ends */
};

struct association {
    struct end control; /* of the TCP connection's flow */
    struct end client;  /* of the flow that its socket's datagrams make */
    bool has_client;
    struct socks_host *host; /* NULL: it went */
    struct list_item item;   /* in the host's list */
    struct udp_listener *socket;
    struct addr from;    /* the client; port 0: has not sent anything yet */
    struct list targets; /* the one used last comes first */
    unsigned target_count;
};

struct target {
    struct end end;
    struct association *of;
    struct list_item item;
    struct addr to;
};

static void drop_datagram(struct loop *l, struct buf *b)
{
    stat_add(l->counters, STAT_datagrams_dropped, 1);
    buf_free(&l->bufs, b);
}

static void put_datagram(struct end *to, struct buf *b)
{
    if (end_room(to))
        end_put(to, b);
    else
        drop_datagram(end_loop(to), b);
}

/* --- the end --- */

static void target_free(struct target *t)
{
    end_leave(&t->end, NULL);
    list_remove(&t->item);
    t->of->target_count--;
    free(t);
}

static void association_unhost(struct association *a)
{
    if (!a->host)
        return;
    list_remove(&a->item);
    a->host->count--;
    a->host = NULL;
}

static void association_free(struct association *a, const struct err *why)
{
    struct list_item *i;
    while ((i = list_first(&a->targets)))
        target_free(container_of(i, struct target, item));
    if (a->has_client)
        end_leave(&a->client, NULL);
    association_unhost(a);
    udp_listener_free(a->socket);
    end_leave(&a->control, why);
    free(a);
}

static bool association_rests(const struct association *a)
{
    return (!a->host || a->host->going) && a->target_count == 0;
}

/* --- from a target to the client --- */

static void target_answers(struct target *t)
{
    struct association *a = t->of;
    uint8_t head[SOCKS_UDP_HEAD_MAX];
    size_t len = socks_udp_write(head, &t->to);
    struct buf *b;
    while ((b = end_take(&t->end))) {
        if (a->has_client && socks_udp_push(b, head, len))
            put_datagram(&a->client, b);
        else
            drop_datagram(end_loop(&t->end), b);
    }
}

static void on_target_wake(struct end *e)
{
    struct target *t = container_of(e, struct target, end);
    struct association *a = t->of;
    target_answers(t);
    if (!end_failed(e) && !end_peer_left(e))
        return;
    target_free(t);
    if (association_rests(a))
        association_free(a, NULL);
}

static const struct end_ops target_ops = {.wake = on_target_wake};

/* --- from the client to a target --- */

static struct target *find_target(struct association *a, const struct addr *to)
{
    for (struct list_item *i = list_first(&a->targets); i; i = list_next(&a->targets, i)) {
        struct target *t = container_of(i, struct target, item);
        if (!addr_equal(&t->to, to))
            continue;
        list_remove(i);
        list_push(&a->targets, i);
        return t;
    }
    return NULL;
}

static struct flow *target_flow(struct association *a, struct target *t)
{
    const struct flow *control = a->control.flow;
    struct meta m = control->meta;
    m.net = NET_UDP;
    m.source = a->from;
    m.target = t->to;
    return flow_new(control->loop, &t->end, &target_ops, &m, control->policy);
}

static struct target *new_target(struct association *a, const struct addr *to)
{
    struct target *t = a->host ? calloc(1, sizeof *t) : NULL;
    if (!t)
        return NULL;
    t->of = a;
    t->to = *to;
    struct flow *f = target_flow(a, t);
    if (!f) {
        free(t);
        return NULL;
    }
    if (a->target_count == TARGETS_MAX)
        target_free(container_of(list_last(&a->targets), struct target, item));
    list_push(&a->targets, &t->item);
    a->target_count++;
    dispatch(a->host->inbound->in.dispatcher, f);
    return t;
}

static void client_says(struct association *a, struct buf *b)
{
    struct cursor c = cur_of(b->data, b->len);
    struct addr to;
    struct err e;
    struct target *t = NULL;
    if (socks_udp_read(&c, &to, &e) == STEP_DONE) {
        buf_pull(b, b->len - cur_left(&c));
        t = find_target(a, &to);
        t = t ? t : new_target(a, &to);
    }
    if (t)
        put_datagram(&t->end, b);
    else
        drop_datagram(end_loop(&a->control), b);
}

static void on_client_wake(struct end *e)
{
    struct association *a = container_of(e, struct association, client);
    struct buf *b;
    while ((b = end_take(e)))
        client_says(a, b);
    if (!end_failed(e) && !end_peer_left(e))
        return;
    a->has_client = false;
    end_leave(e, NULL);
}

static const struct end_ops client_ops = {.wake = on_client_wake};

static bool same_ip(const struct addr *a, const struct addr *b)
{
    return addr_is_ip(a) && a->type == b->type && memcmp(a->ip, b->ip, addr_ip_len(a)) == 0;
}

/* The flow between the socket and us is no conversation of its own: it is neither counted nor logged. */
static bool on_source(void *owner, struct end *end, const struct addr *from)
{
    struct association *a = owner;
    if (!same_ip(from, &a->from) || (a->from.port && a->from.port != from->port))
        return false;
    struct flow *f = flow_twin(a->control.flow);
    if (!f)
        return false;
    a->from.port = from->port;
    f->meta.net = NET_UDP;
    f->packets = true;
    flow_start(f, end_loop(&a->control), end, &udp_peer_ops);
    flow_join(f, &a->client, &client_ops);
    a->has_client = true;
    return true;
}

/* --- the connection --- */

static void on_control_wake(struct end *e)
{
    struct association *a = container_of(e, struct association, control);
    struct buf *b;
    while ((b = end_take(e)))
        buf_free(&end_loop(e)->bufs, b);
    if (end_failed(e) || end_peer_left(e) || end_at_eof(e))
        association_free(a, NULL);
}

/* It is idle by nature, and lives as long as its client wants. */
static bool on_control_idle(struct end *e)
{
    e->flow->active = loop_steady();
    return true;
}

static const struct end_ops control_ops = {.wake = on_control_wake, .idle = on_control_idle};

static int open_socket(struct association *a, const struct addr *local, struct err *why)
{
    struct addr at = *local;
    int fd;
    at.port = 0;
    if (!addr_is_ip(local) || !addr_is_ip(&a->from))
        return err_set(why, EOPNOTSUPP, "UDP for a client without an IP address");
    if (listen_open(&at, SOCK_DGRAM, &fd, 1, why) < 0)
        return -1;
    udp_listener_start(a->socket, fd);
    return 0;
}

static void tell_address(struct association *a, const struct addr *told)
{
    uint8_t wire[3 + SOCKS_ADDR_MAX];
    struct writer w = wr_of(wire, sizeof wire);
    struct addr bound, at;
    udp_listener_local(a->socket, &bound);
    at = told->type == ADDR_NONE ? bound : *told;
    at.port = bound.port;
    socks_reply_write(&w, SOCKS_OK, &at);
    end_opened(&a->control);
    end_write(&a->control, wire, wr_len(&w));
}

static bool is_from(const struct association *a, const struct addr *host)
{
    struct addr from = a->from, of = *host;
    from.port = of.port = 0;
    return addr_equal(&from, &of);
}

/* One client cannot take the places of all others. */
static bool has_place(const struct socks_host *host, const struct addr *from)
{
    unsigned of_one = 0;
    if (host->count < ASSOCIATIONS_OF_ONE)
        return true;
    for (struct list_item *i = list_first(&host->associations); i;
         i = list_next(&host->associations, i))
        of_one += is_from(container_of(i, struct association, item), from);
    return host->count < ASSOCIATIONS_MAX && of_one < ASSOCIATIONS_OF_ONE;
}

static struct association *association_new(struct socks_host *host, const struct flow *f)
{
    struct association *a = has_place(host, &f->meta.source) ? calloc(1, sizeof *a) : NULL;
    struct udp_listener *socket = a ? udp_listener_new(f->loop, 1) : NULL;
    if (!socket) {
        free(a);
        return NULL;
    }
    udp_listener_own(socket, host->inbound->traffic, on_source, a);
    a->socket = socket;
    a->host = host;
    a->from = f->meta.source;
    a->from.port = 0;
    list_push(&host->associations, &a->item);
    host->count++;
    return a;
}

void socks_associate(struct socks_host *host, struct flow *f, const struct addr *local,
                     const struct addr *told)
{
    struct err why;
    struct association *a = association_new(host, f);
    if (!a) {
        err_set(&why, ENOMEM, "too many UDP associations");
        flow_refuse(f, &why);
        return;
    }
    flow_join(f, &a->control, &control_ops);
    if (open_socket(a, local, &why) < 0)
        association_free(a, &why);
    else
        tell_address(a, told);
}

/* --- the host --- */

static void end_those_that_rest(struct socks_host *host)
{
    struct list_item *i = list_first(&host->associations);
    while (i) {
        struct association *a = container_of(i, struct association, item);
        i = list_next(&host->associations, i);
        if (association_rests(a))
            association_free(a, NULL);
    }
}

void socks_host_drain(struct socks_host *host)
{
    host->going = true;
    end_those_that_rest(host);
}

void socks_host_leave(struct socks_host *host)
{
    struct list_item *i;
    socks_host_drain(host);
    while ((i = list_first(&host->associations)))
        association_unhost(container_of(i, struct association, item));
}
