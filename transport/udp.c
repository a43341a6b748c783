#include "transport/udp.h"

#include <netinet/in.h>
#include <sodium.h>
#include <stdalign.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/carriage.h"
#include "transport/listen.h"

enum {
    BUCKET_SOURCES = 4, /* of a full listener's sources */
    DATAGRAMS_PER_TURN = 64,
    DATAGRAMS_MAX = 4096,     /* 66 MiB: that wait in all flows of a loop */
    DATAGRAM_MAX = 16 * 1024, /* what fits into a buf */
};

/* To which of the host's addresses a datagram came: the answer must come from there. In the kernel's form,
 * for IPv4 and IPv6; empty when the socket is bound to one address. */
struct udp_here {
    size_t len;
    alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

struct udp_peer {
    struct end end;
    struct udp_listener *listener;
    struct list_item item;  /* in its bucket */
    struct list_item order; /* in `asking` or `talking` */
    bool answered;
    struct addr from;
    struct udp_here here;
};

struct udp_listener {
    struct loop *loop;
    int fd;
    ev_io io;
    const struct traffic *traffic;
    udp_arrived *arrived;
    void *owner;
    bool closing;
    unsigned peers, peers_max;
    uint8_t key[crypto_shorthash_KEYBYTES]; /* sources are chosen by strangers */
    struct list asking, talking; /* without and with an answer; who was heard of last is last */
    unsigned bucket_count;
    struct list buckets[];
};

/* --- the sources of a listener --- */

static struct list *udp_bucket(struct udp_listener *u, const struct addr *from)
{
    uint8_t in[18] = {0}, out[crypto_shorthash_BYTES];
    uint16_t index;
    memcpy(in, from->ip, addr_ip_len(from));
    memcpy(in + 16, &from->port, sizeof from->port);
    crypto_shorthash(out, in, sizeof in, u->key);
    memcpy(&index, out, sizeof index);
    return &u->buckets[index % u->bucket_count];
}

static struct udp_peer *udp_find(struct udp_listener *u, const struct addr *from)
{
    struct list *bucket = udp_bucket(u, from);
    for (struct list_item *i = list_first(bucket); i; i = list_next(bucket, i)) {
        struct udp_peer *p = container_of(i, struct udp_peer, item);
        if (addr_equal(&p->from, from))
            return p;
    }
    return NULL;
}

static void udp_listener_gone(struct udp_listener *u)
{
    if (!u->closing || u->peers)
        return;
    if (u->fd >= 0) {
        ev_io_stop(u->loop->ev, &u->io);
        close(u->fd);
    }
    free(u);
}

static void udp_peer_free(struct udp_peer *p)
{
    struct udp_listener *u = p->listener;
    list_remove(&p->item);
    list_remove(&p->order);
    u->peers--;
    free(p);
    udp_listener_gone(u);
}

static void udp_peer_moved(struct udp_peer *p)
{
    struct udp_listener *u = p->listener;
    list_remove(&p->order);
    list_append(p->answered ? &u->talking : &u->asking, &p->order);
}

/* Sources may be forged, and flows live long: somebody makes room for a new one. Who was never answered goes first,
 * and of those who was not heard of for the longest time. */
static void udp_make_room(struct udp_listener *u)
{
    struct list_item *first = list_first(&u->asking);
    struct udp_peer *p =
        container_of(first ? first : list_first(&u->talking), struct udp_peer, order);
    struct err why;
    stat_add(u->loop->counters, STAT_sources_evicted, 1);
    err_set(&why, ENOBUFS, "other sources need the room");
    end_leave(&p->end, &why);
    udp_peer_free(p);
}

static struct udp_peer *udp_peer_new(struct udp_listener *u, const struct addr *from)
{
    struct udp_peer *p = u->closing ? NULL : calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->listener = u;
    p->from = *from;
    list_push(udp_bucket(u, from), &p->item);
    u->peers++;
    if (!u->arrived(u->owner, &p->end, from)) {
        udp_peer_free(p);
        return NULL;
    }
    if (u->peers > u->peers_max)
        udp_make_room(u);
    list_append(&u->asking, &p->order);
    return p;
}

/* --- both kinds of socket --- */

static void udp_drop(struct loop *l)
{
    stat_add(l->counters, STAT_datagrams_dropped, 1);
}

/* Only the address is kept of what the kernel tells: the way back may lead through another interface. */
static void here_set(struct udp_here *here, struct msghdr *msg)
{
    struct in6_pktinfo v6;
    struct in_pktinfo v4;
    here->len = msg->msg_controllen;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            memcpy(&v6, CMSG_DATA(c), sizeof v6);
            v6.ipi6_ifindex = 0;
            memcpy(CMSG_DATA(c), &v6, sizeof v6);
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            memcpy(&v4, CMSG_DATA(c), sizeof v4);
            v4.ipi_ifindex = 0;
            memcpy(CMSG_DATA(c), &v4, sizeof v4);
        }
    }
}

/* Reads one datagram into a buf; NULL: none there, or an error (errno), or no memory (ENOMEM). `cut`: it
 * is longer than a buf. */
static struct buf *udp_receive(struct loop *l, int fd, struct sockaddr_storage *from,
                               struct udp_here *here, bool *cut)
{
    struct buf *b = buf_new(&l->bufs);
    if (!b) {
        errno = ENOMEM;
        return NULL;
    }
    struct iovec iov = {b->data, DATAGRAM_MAX};
    struct msghdr msg = {.msg_name = from,
                         .msg_namelen = from ? sizeof *from : 0,
                         .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = here ? here->control : NULL,
                         .msg_controllen = here ? sizeof here->control : 0};
    ssize_t n = recvmsg(fd, &msg, 0);
    if (n < 0) {
        int saved = errno;
        buf_free(&l->bufs, b);
        errno = saved;
        return NULL;
    }
    b->len = (size_t)n;
    if (here)
        here_set(here, &msg);
    *cut = msg.msg_flags & MSG_TRUNC;
    return b;
}

/* Sources are strangers and may be many: together they fill no more than DATAGRAMS_MAX bufs, and one each. */
static bool udp_has_room(struct end *e)
{
    bool first = !e->flow->pipes[!e->side].q.head;
    return end_room(e) && (first || end_loop(e)->datagrams < DATAGRAMS_MAX);
}

static void udp_put(struct end *e, struct buf *b, bool cut)
{
    if (!cut && udp_has_room(e)) {
        end_put(e, b);
        return;
    }
    udp_drop(end_loop(e));
    buf_free(&end_loop(e)->bufs, b);
}

/* Sends what the flow brought; what the socket does not take is lost, as datagrams are. */
static int udp_flush(struct end *e, int fd, struct msghdr *msg, int slot)
{
    struct buf *b;
    while ((b = end_take(e))) {
        struct iovec iov = {b->data, b->len};
        msg->msg_iov = &iov;
        msg->msg_iovlen = 1;
        ssize_t n = sendmsg(fd, msg, MSG_NOSIGNAL);
        buf_free(&end_loop(e)->bufs, b);
        stat_add(end_loop(e)->counters, slot, n > 0 ? n : 0);
        if (n >= 0)
            continue;
        if (errno == ECONNREFUSED)
            return -1;
        udp_drop(end_loop(e));
    }
    return 0;
}

/* --- listener --- */

static void udp_answer(struct udp_peer *p)
{
    struct sockaddr_storage to;
    struct msghdr msg = {.msg_name = &to,
                         .msg_namelen = addr_to_sockaddr(&p->from, &to),
                         .msg_control = p->here.len ? p->here.control : NULL,
                         .msg_controllen = p->here.len};
    udp_flush(&p->end, p->listener->fd, &msg, p->listener->traffic->down);
}

static void on_peer_wake(struct end *e)
{
    struct udp_peer *p = container_of(e, struct udp_peer, end);
    if (end_has(e)) {
        p->answered = true;
        udp_peer_moved(p);
    }
    if (!end_failed(e))
        udp_answer(p);
    if (!end_peer_left(e) && !end_failed(e))
        return;
    end_leave(e, NULL);
    udp_peer_free(p);
}

const struct end_ops udp_peer_ops = {.wake = on_peer_wake};

static bool udp_read_one(struct udp_listener *u)
{
    struct sockaddr_storage ss;
    struct addr from;
    struct udp_here here;
    bool cut;
    struct buf *b = udp_receive(u->loop, u->fd, &ss, &here, &cut);
    if (!b)
        return errno == ECONNREFUSED || errno == EINTR; /* an error of an earlier reply: go on */
    addr_from_sockaddr(&from, (struct sockaddr *)&ss);
    stat_add(u->loop->counters, u->traffic->up, (int64_t)b->len);
    struct udp_peer *p = udp_find(u, &from);
    if (!p)
        p = udp_peer_new(u, &from);
    if (p) {
        p->here = here;
        udp_peer_moved(p);
        udp_put(&p->end, b, cut);
        return true;
    }
    udp_drop(u->loop);
    buf_free(&u->loop->bufs, b);
    return true;
}

static void on_datagram(struct ev_loop *ev, ev_io *w, int events)
{
    (void)ev, (void)events;
    for (int i = 0; i < DATAGRAMS_PER_TURN && udp_read_one(w->data); i++)
        ;
}

struct udp_listener *udp_listener_new(struct loop *l, unsigned sources)
{
    unsigned buckets = (sources + BUCKET_SOURCES - 1) / BUCKET_SOURCES;
    struct udp_listener *u = calloc(1, sizeof *u + buckets * sizeof *u->buckets);
    if (!u)
        return NULL;
    u->peers_max = sources;
    u->bucket_count = buckets;
    u->loop = l;
    u->fd = -1;
    crypto_shorthash_keygen(u->key);
    return u;
}

void udp_listener_own(struct udp_listener *u, const struct traffic *traffic, udp_arrived *arrived,
                      void *owner)
{
    u->traffic = traffic;
    u->arrived = arrived;
    u->owner = owner;
}

void udp_listener_start(struct udp_listener *u, int fd)
{
    u->fd = fd;
    ev_io_init(&u->io, on_datagram, fd, EV_READ);
    u->io.data = u;
    ev_io_start(u->loop->ev, &u->io);
}

void udp_listener_local(const struct udp_listener *u, struct addr *local)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    *local = (struct addr){0};
    if (getsockname(u->fd, (struct sockaddr *)&ss, &len) == 0)
        addr_from_sockaddr(local, (struct sockaddr *)&ss);
}

void udp_listener_free(struct udp_listener *u)
{
    u->closing = true;
    udp_listener_gone(u);
}

/* --- a connected socket per flow --- */

struct udp_request {
    struct end end;
    struct dial dial;
    struct loop *loop;
    const struct traffic *traffic;
    struct carriage *carriage; /* a share; NULL: none */
    ev_io io;
    int fd; /* -1: still looking up */
};

static void udp_request_end(struct udp_request *r, const struct err *why)
{
    end_leave(&r->end, why);
    if (r->fd >= 0) {
        ev_io_stop(r->loop->ev, &r->io);
        close(r->fd);
    }
    dial_stop(&r->dial);
    carriage_unref(r->carriage);
    free(r);
}

static void udp_request_fail(struct udp_request *r, const char *what)
{
    struct err why;
    err_sys(&why, "%s", what);
    udp_request_end(r, &why);
}

static void on_request_wake(struct end *e)
{
    struct udp_request *r = container_of(e, struct udp_request, end);
    struct msghdr msg = {0}; /* the socket is connected */
    if (end_failed(e))
        udp_request_end(r, NULL);
    else if (r->fd >= 0 && udp_flush(e, r->fd, &msg, r->traffic->up) < 0)
        udp_request_fail(r, "send");
    else if (end_peer_left(e) && (r->fd >= 0 || end_at_eof(e)))
        udp_request_end(r, NULL);
}

static const struct end_ops udp_request_ops = {.wake = on_request_wake};

static void on_reply(struct ev_loop *ev, ev_io *w, int events)
{
    (void)ev, (void)events;
    struct udp_request *r = w->data;
    for (int i = 0; i < DATAGRAMS_PER_TURN; i++) {
        bool cut;
        struct buf *b = udp_receive(r->loop, r->fd, NULL, NULL, &cut);
        if (b) {
            stat_add(r->loop->counters, r->traffic->down, (int64_t)b->len);
            udp_put(&r->end, b, cut);
            continue;
        }
        if (errno != EAGAIN && errno != EINTR)
            udp_request_fail(r, "receive");
        return;
    }
}

static void on_udp_dialled(void *owner, int fd, const struct err *why)
{
    struct udp_request *r = owner;
    if (fd < 0) {
        udp_request_end(r, why);
        return;
    }
    r->fd = fd;
    ev_io_init(&r->io, on_reply, fd, EV_READ);
    r->io.data = r;
    ev_io_start(r->loop->ev, &r->io);
    end_opened(&r->end);
    end_wake(&r->end);
}

void udp_request_open(struct loop *l, struct flow *f, const struct udp_to *to)
{
    struct err why;
    struct udp_request *r = calloc(1, sizeof *r);
    if (!r) {
        err_set(&why, ENOMEM, "out of memory");
        flow_refuse(f, &why);
        return;
    }
    r->loop = l;
    r->traffic = to->traffic;
    r->fd = -1;
    r->dial = (struct dial){
        .loop = l, .socktype = SOCK_DGRAM, .from = to->from, .done = on_udp_dialled, .owner = r};
    if (to->carriage) {
        r->carriage = carriage_ref(to->carriage);
        r->dial.sockopt = &r->carriage->sockopt;
    }
    flow_join(f, &r->end, &udp_request_ops);
    dial_start(&r->dial, to->addr, to->family);
}
