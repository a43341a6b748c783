#define CARES_NO_DEPRECATED /* newer versions want their own messages in place of bytes */
#include "transport/dns_channel.h"

#include <ares.h>
#include <netdb.h>
#include <stdlib.h>

#include "core/loop.h"

enum { SOCKETS = 16, TRIES = 2 }; /* sockets that c-ares may have open at once */

struct channel_socket {
    ev_io io;
    bool used;
};

struct dns_channel {
    struct loop *loop;
    ares_channel ares;
    struct channel_socket sockets[SOCKETS];
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

static struct channel_socket *socket_find(struct dns_channel *c, ares_socket_t fd)
{
    struct channel_socket *unused = NULL;
    for (int i = 0; i < SOCKETS; i++) {
        if (c->sockets[i].used && c->sockets[i].io.fd == fd)
            return &c->sockets[i];
        if (!c->sockets[i].used)
            unused = &c->sockets[i];
    }
    return unused;
}

/* A socket beyond SOCKETS is not watched; its question ends by its own time limit. */
static void on_socket(void *data, ares_socket_t fd, int readable, int writable)
{
    struct dns_channel *c = data;
    struct channel_socket *s = socket_find(c, fd);
    if (!s)
        return;
    if (s->used)
        ev_io_stop(c->loop->ev, &s->io);
    s->used = readable || writable;
    if (!s->used)
        return;
    ev_io_init(&s->io, on_io, fd, (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
    s->io.data = c;
    ev_io_start(c->loop->ev, &s->io);
}

/* --- beginning and end --- */

static bool set_server(struct dns_channel *c, const struct addr *at)
{
    char text[ADDR_TEXT_MAX];
    return ares_set_servers_ports_csv(c->ares, addr_text(at, text)) == ARES_SUCCESS;
}

static bool channel_init(struct dns_channel *c, const struct addr *at, bool tcp, double timeout)
{
    char lookups[] = "b"; /* servers only, no files */
    /* By UDP the first try gets a third of the time: the second, which waits twice as long, still fits. By TCP there is
     * one; the asker's own time limit comes first. */
    struct ares_options options = {.sock_state_cb = on_socket,
                                   .sock_state_cb_data = c,
                                   .timeout =
                                       (int)(tcp ? timeout * 2000 : timeout * 1000 / (TRIES + 1)),
                                   .tries = TRIES,
                                   .lookups = lookups};
    int mask = ARES_OPT_SOCK_STATE_CB | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES;
    if (at) {
        options.flags = ARES_FLAG_NOCHECKRESP | (tcp ? ARES_FLAG_USEVC : 0);
        mask |= ARES_OPT_FLAGS | ARES_OPT_LOOKUPS;
    }
#ifdef ARES_OPT_QUERY_CACHE /* since 1.23: an answer would repeat the letters of another question */
    options.qcache_max_ttl = 0;
    mask |= ARES_OPT_QUERY_CACHE;
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
    if (!c)
        return;
    ares_destroy(c->ares);
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

static void take_nodes(const struct ares_addrinfo *found, struct dns_records *r)
{
    for (const struct ares_addrinfo_node *n = found->nodes; n && r->count < DNS_ADDRS_MAX;
         n = n->ai_next) {
        struct addr ip;
        if (n->ai_family != AF_INET && n->ai_family != AF_INET6)
            continue;
        addr_from_sockaddr(&ip, n->ai_addr);
        dns_records_add(r, &ip);
        if (n->ai_ttl >= 0 && (uint32_t)n->ai_ttl < r->ttl)
            r->ttl = (uint32_t)n->ai_ttl;
    }
}

/* That there is nothing is an answer, too. */
static void on_addresses(void *data, int status, int timeouts, struct ares_addrinfo *found)
{
    (void)timeouts;
    struct dns_told t = {0};
    struct dns_records r;
    r.count = 0;
    r.ttl = UINT32_MAX;
    if (status == ARES_SUCCESS)
        take_nodes(found, &r);
    if (status == ARES_ENOTFOUND || status == ARES_ENODATA) {
        r.ttl = 0;
        status = ARES_SUCCESS;
    }
    if (status == ARES_SUCCESS)
        t.records = &r;
    asked_answer(data, &t, status);
    if (found)
        ares_freeaddrinfo(found);
}

void dns_channel_look_up(struct dns_channel *c, const char *name, unsigned families, dns_tell *tell,
                         void *owner)
{
    struct ares_addrinfo_hints hints = {.ai_family = families == DNS_A      ? AF_INET
                                                     : families == DNS_AAAA ? AF_INET6
                                                                            : AF_UNSPEC,
                                        .ai_flags = ARES_AI_NUMERICSERV};
    struct asked *a = asked_new(tell, owner);
    if (!a)
        return;
    ares_getaddrinfo(c->ares, name, NULL, &hints, on_addresses, a);
    channel_arm(c);
}
