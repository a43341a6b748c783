#include "transport/resolve.h"

#include <ares.h>
#include <netdb.h>
#include <stdlib.h>

enum {
    SOCKETS = 16,      /* that c-ares may have open at once */
    TIMEOUT_MS = 2000, /* of one try; the next goes to the next server */
    TRIES = 2,
};

struct ares_socket {
    ev_io io;
    bool used;
};

struct ares_state {
    struct loop *loop;
    ares_channel channel;
    struct ares_socket sockets[SOCKETS];
    ev_timer timer;
};

struct resolve_query {
    resolve_done *done; /* NULL once cancelled */
    void *owner;
    struct task later; /* carries the answer out of c-ares' own calls */
    struct loop *loop;
    struct resolve_answer answer;
};

static void ares_arm(struct ares_state *a)
{
    struct timeval tv, *left = ares_timeout(a->channel, NULL, &tv);
    ev_timer_stop(a->loop->ev, &a->timer);
    if (!left)
        return;
    double wait = (double)left->tv_sec + (double)left->tv_usec / 1e6;
    ev_timer_set(&a->timer, wait > 0.001 ? wait : 0.001, 0);
    ev_timer_start(a->loop->ev, &a->timer);
}

static void on_ares_timer(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)events;
    struct ares_state *a = w->data;
    ares_process_fd(a->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    ares_arm(a);
}

static void on_ares_io(struct ev_loop *ev, ev_io *w, int events)
{
    (void)ev;
    struct ares_state *a = w->data;
    ares_process_fd(a->channel, events & EV_READ ? w->fd : ARES_SOCKET_BAD,
                    events & EV_WRITE ? w->fd : ARES_SOCKET_BAD);
    ares_arm(a);
}

static struct ares_socket *ares_find(struct ares_state *a, ares_socket_t fd)
{
    struct ares_socket *unused = NULL;
    for (int i = 0; i < SOCKETS; i++) {
        if (a->sockets[i].used && a->sockets[i].io.fd == fd)
            return &a->sockets[i];
        if (!a->sockets[i].used)
            unused = &a->sockets[i];
    }
    return unused;
}

/* A socket beyond SOCKETS is not watched; its query ends by its own time limit. */
static void on_ares_socket(void *data, ares_socket_t fd, int readable, int writable)
{
    struct ares_state *a = data;
    struct ares_socket *s = ares_find(a, fd);
    if (!s)
        return;
    if (s->used)
        ev_io_stop(a->loop->ev, &s->io);
    s->used = readable || writable;
    if (!s->used)
        return;
    ev_io_init(&s->io, on_ares_io, fd, (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
    s->io.data = a;
    ev_io_start(a->loop->ev, &s->io);
}

static struct ares_state *ares_state_new(struct loop *l)
{
    struct ares_state *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    struct ares_options options = {.sock_state_cb = on_ares_socket,
                                   .sock_state_cb_data = a,
                                   .timeout = TIMEOUT_MS,
                                   .tries = TRIES};
    int mask = ARES_OPT_SOCK_STATE_CB | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES;
    a->loop = l;
    ev_timer_init(&a->timer, on_ares_timer, 0, 0);
    a->timer.data = a;
    if (ares_init_options(&a->channel, &options, mask) != ARES_SUCCESS) {
        free(a);
        return NULL;
    }
    return a;
}

static void answer_fill(struct resolve_answer *a, const struct ares_addrinfo *found)
{
    for (const struct ares_addrinfo_node *n = found->nodes; n && a->count < RESOLVE_MAX;
         n = n->ai_next)
        if (n->ai_family == AF_INET || n->ai_family == AF_INET6)
            addr_from_sockaddr(&a->addrs[a->count++], n->ai_addr);
}

static void query_deliver(struct task *t)
{
    struct resolve_query *q = container_of(t, struct resolve_query, later);
    if (q->done)
        q->done(q->owner, &q->answer);
    free(q);
}

static void on_ares_answer(void *data, int status, int timeouts, struct ares_addrinfo *found)
{
    (void)timeouts;
    struct resolve_query *q = data;
    if (status == ARES_SUCCESS)
        answer_fill(&q->answer, found);
    if (!q->answer.count)
        err_set(&q->answer.why, EHOSTUNREACH, "%s",
                status == ARES_SUCCESS ? "no address of the wanted family" : ares_strerror(status));
    if (found)
        ares_freeaddrinfo(found);
    if (status == ARES_EDESTRUCTION)
        free(q);
    else
        loop_ready(q->loop, &q->later);
}

struct resolve_query *resolve_start(struct loop *l, const char *name, enum dial_family family,
                                    resolve_done *done, void *owner)
{
    if (!l->ares)
        l->ares = ares_state_new(l);
    struct resolve_query *q = l->ares ? calloc(1, sizeof *q) : NULL;
    if (!q)
        return NULL;
    struct ares_addrinfo_hints hints = {.ai_family = family == DIAL_IPV4   ? AF_INET
                                                     : family == DIAL_IPV6 ? AF_INET6
                                                                           : AF_UNSPEC,
                                        .ai_flags = ARES_AI_NUMERICSERV};
    *q = (struct resolve_query){
        .done = done, .owner = owner, .loop = l, .later = {.run = query_deliver}};
    ares_getaddrinfo(l->ares->channel, name, NULL, &hints, on_ares_answer, q);
    ares_arm(l->ares);
    return q;
}

void resolve_cancel(struct resolve_query *q)
{
    q->done = NULL;
}

void resolve_stop(struct loop *l)
{
    struct ares_state *a = l->ares;
    if (!a)
        return;
    l->ares = NULL;
    ares_destroy(a->channel);
    ev_timer_stop(l->ev, &a->timer);
    free(a);
}
