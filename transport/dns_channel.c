#define CARES_NO_DEPRECATED /* newer versions want their own messages in place of bytes */
#include "transport/dns_channel.h"

#include <ares.h>
#include <netdb.h>
#include <stdlib.h>

#include "core/list.h"
#include "core/loop.h"

enum {
    TRIES = 2,
    TRIES_SHORT = 12, /* the same for c-ares that waits for as long as the server usually takes */
    SYSTEM_TIMEOUT =
        2000, /* milliseconds of a try; the next goes to the next server of resolv.conf */
};

/* One that c-ares has open. */
struct channel_socket {
    struct list_item item;
    ev_io io;
};

struct dns_channel {
    struct loop *loop;
    ares_channel ares;
    struct list sockets;
    ev_timer timer;
};

/* --- sockets and clock --- */

static void channel_arm(struct dns_channel *c)
{
    struct timeval tv, *left = ares_timeout(c->ares, NULL, &tv);
    ev_timer_stop(c->loop->ev, &c->timer);
    if (!left)
        return;
    double wait = (double)left->tv_sec + (double)left->tv_usec / 1e6;
    ev_timer_set(&c->timer, wait > 0.001 ? wait : 0.001, 0);
    ev_timer_start(c->loop->ev, &c->timer);
}

static void on_timer(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)events;
    struct dns_channel *c = w->data;
    ares_process_fd(c->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    channel_arm(c);
}

static void on_io(struct ev_loop *ev, ev_io *w, int events)
{
    (void)ev;
    struct dns_channel *c = w->data;
    ares_process_fd(c->ares, events & EV_READ ? w->fd : ARES_SOCKET_BAD,
                    events & EV_WRITE ? w->fd : ARES_SOCKET_BAD);
    channel_arm(c);
}

static struct channel_socket *socket_find(const struct dns_channel *c, ares_socket_t fd)
{
    for (struct list_item *i = list_first(&c->sockets); i; i = list_next(&c->sockets, i)) {
        struct channel_socket *s = container_of(i, struct channel_socket, item);
        if (s->io.fd == fd)
            return s;
    }
    return NULL;
}

static void socket_watch(struct dns_channel *c, ares_socket_t fd, int events)
{
    struct channel_socket *s = calloc(1, sizeof *s);
    if (!s)
        return; /* its question ends by its own time limit */
    ev_io_init(&s->io, on_io, fd, events);
    s->io.data = c;
    ev_io_start(c->loop->ev, &s->io);
    list_append(&c->sockets, &s->item);
}

static void socket_forget(struct dns_channel *c, struct channel_socket *s)
{
    ev_io_stop(c->loop->ev, &s->io);
    list_remove(&s->item);
    free(s);
}

static void on_socket(void *data, ares_socket_t fd, int readable, int writable)
{
    struct dns_channel *c = data;
    struct channel_socket *s = socket_find(c, fd);
    int events = (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0);
    if (s)
        socket_forget(c, s);
    if (events)
        socket_watch(c, fd, events);
}

/* --- beginning and end --- */

static bool set_server(struct dns_channel *c, const struct addr *at)
{
    char text[ADDR_TEXT_MAX];
    return ares_set_servers_ports_csv(c->ares, addr_text(at, text)) == ARES_SUCCESS;
}

/* In milliseconds. By UDP the first try gets a third of the time: the second, which waits twice as long, still fits. By
 * TCP there is one, and the asker's own time limit comes first. */
static int try_time(const struct addr *at, bool tcp, double timeout)
{
    if (!at)
        return SYSTEM_TIMEOUT;
    return (int)(tcp ? timeout * 2000 : timeout * 1000 / (TRIES + 1));
}

static bool channel_init(struct dns_channel *c, const struct addr *at, bool tcp, double timeout)
{
    struct ares_options options = {.sock_state_cb = on_socket,
                                   .sock_state_cb_data = c,
                                   .timeout = try_time(at, tcp, timeout),
                                   .tries = TRIES};
    int mask = ARES_OPT_SOCK_STATE_CB | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES;
    if (at) {
        options.flags = ARES_FLAG_NOCHECKRESP | (tcp ? ARES_FLAG_USEVC : 0);
        mask |= ARES_OPT_FLAGS;
    }
#ifdef ARES_OPT_QUERY_CACHE /* since 1.23: an answer would repeat the letters of another question */
    options.qcache_max_ttl = 0;
    mask |= ARES_OPT_QUERY_CACHE;
    if (at)
        options.tries = TRIES_SHORT;
    options.udp_max_queries = 1; /* what is wrong with an answer closes its socket, for all */
    mask |= ARES_OPT_UDP_MAX_QUERIES;
#endif
    return ares_init_options(&c->ares, &options, mask) == ARES_SUCCESS;
}

struct dns_channel *dns_channel_new(struct loop *l, const struct addr *at, bool tcp, double timeout)
{
    struct dns_channel *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->loop = l;
    ev_timer_init(&c->timer, on_timer, 0, 0);
    c->timer.data = c;
    if (channel_init(c, at, tcp, timeout)) {
        if (!at || set_server(c, at))
            return c;
        ares_destroy(c->ares);
    }
    free(c);
    return NULL;
}

void dns_channel_free(struct dns_channel *c)
{
    struct list_item *i;
    if (!c)
        return;
    ares_destroy(c->ares);
    while ((i = list_first(&c->sockets)))
        socket_forget(c, container_of(i, struct channel_socket, item));
    ev_timer_stop(c->loop->ev, &c->timer);
    free(c);
}

/* --- questions --- */

struct asked {
    dns_tell *tell;
    void *owner;
};

static struct asked *asked_new(dns_tell *tell, void *owner)
{
    struct asked *a = calloc(1, sizeof *a);
    struct dns_told t = {0};
    if (a) {
        *a = (struct asked){tell, owner};
        return a;
    }
    err_set(&t.why, ENOMEM, "out of memory");
    tell(owner, &t);
    return NULL;
}

static void asked_answer(struct asked *a, struct dns_told *t, int status)
{
    t->destroyed = status == ARES_EDESTRUCTION;
    if (status != ARES_SUCCESS)
        err_set(&t->why, status == ARES_ETIMEOUT ? ETIMEDOUT : EHOSTUNREACH, "%s",
                ares_strerror(status));
    a->tell(a->owner, t);
    free(a);
}

static void on_message(void *data, int status, int timeouts, unsigned char *message, int len)
{
    (void)timeouts;
    struct dns_told t = {0};
    if (status == ARES_SUCCESS) {
        t.message = message;
        t.len = (size_t)len;
    }
    asked_answer(data, &t, status);
}

void dns_channel_ask(struct dns_channel *c, const uint8_t *question, size_t len, dns_tell *tell,
                     void *owner)
{
    struct asked *a = asked_new(tell, owner);
    if (!a)
        return;
    ares_send(c->ares, question, (int)len, on_message, a);
    channel_arm(c);
}

/* --- the system --- */

static void take_host(const struct hostent *h, struct dns_records *out)
{
    for (char **bytes = h->h_addr_list; *bytes; bytes++) {
        struct addr ip = {.type = h->h_addrtype == AF_INET ? ADDR_IPV4 : ADDR_IPV6};
        memcpy(ip.ip, *bytes, addr_ip_len(&ip));
        dns_records_add(out, &ip);
    }
}

static bool is_localhost(const char *name)
{
    static const char text[] = "localhost";
    size_t len = strlen(name), tail = sizeof text - 1;
    return len >= tail && strcmp(name + len - tail, text) == 0 &&
           (len == tail || name[len - tail - 1] == '.');
}

static void take_loopback(unsigned families, struct dns_records *out)
{
    static const struct addr v6 = {.type = ADDR_IPV6, .ip = {[15] = 1}},
                             v4 = {.type = ADDR_IPV4, .ip = {127, 0, 0, 1}};
    if (families & DNS_AAAA)
        dns_records_add(out, &v6);
    if (families & DNS_A)
        dns_records_add(out, &v4);
}

bool dns_channel_files(struct dns_channel *c, const char *name, unsigned families,
                       struct dns_records *out)
{
    for (unsigned family = DNS_A; family <= DNS_AAAA; family++) {
        struct hostent *h = NULL;
        if (families & family &&
            ares_gethostbyname_file(c->ares, name, family == DNS_A ? AF_INET : AF_INET6, &h) ==
                ARES_SUCCESS)
            take_host(h, out);
        if (h)
            ares_free_hostent(h);
    }
    if (!out->count && is_localhost(name))
        take_loopback(families, out);
    if (out->count)
        out->ttl = 0; /* the file may change */
    return out->count;
}
