#include "proxy/splice.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    SPLICE_AFTER = 256 * 1024, /* bytes of a direction before its first pipe */
    SPLICE_MIN = 32 * 1024,    /* a read of less is not bulk */
    SPLICE_HOLDS = 512 * 1024, /* what a pipe holds, if the kernel lets it */
    SPLICES_LENT = 64,         /* pipes of one loop */
    SPLICES_KEPT = 16,         /* ... that wait for the next borrower */
};

/* Seconds unused until pipes are closed, or until others are asked for. */
static const double SPLICE_REST = 1;

struct splice {
    struct splice *next; /* of the kept */
    int fds[2];
    size_t room, held;
    bool full; /* the reader waits until it is not */
};

struct splice_pool {
    struct loop *loop;
    struct straggler straggler;
    struct splice *kept;
    unsigned kept_count, lent;
    int fd_max;           /* descriptors from here on are for connections */
    double refused_until; /* loop_steady() */
    ev_timer rest;
    bool used;
};

/* --- pipes --- */

static void splice_close(struct splice *s)
{
    close(s->fds[0]);
    close(s->fds[1]);
    free(s);
}

static void pool_clear(struct splice_pool *p)
{
    struct splice *s;
    while ((s = p->kept)) {
        p->kept = s->next;
        splice_close(s);
    }
    p->kept_count = 0;
}

static void on_rest(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)events;
    struct splice_pool *p = w->data;
    if (!p->used) {
        pool_clear(p);
        ev_timer_stop(ev, w);
    }
    p->used = false;
}

static void on_loop_end(struct straggler *n)
{
    struct splice_pool *p = container_of(n, struct splice_pool, straggler);
    ev_timer_stop(p->loop->ev, &p->rest);
    pool_clear(p);
    p->loop->splices = NULL;
    free(p);
}

/* Pipes take at most the lower half of the descriptors. */
static int splice_fd_max(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > INT_MAX)
        return INT_MAX;
    return (int)(limit.rlim_cur / 2);
}

/* NULL: no memory. */
static struct splice_pool *pool_of(struct loop *l)
{
    if (l->splices)
        return l->splices;
    struct splice_pool *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->loop = l;
    p->fd_max = splice_fd_max();
    ev_timer_init(&p->rest, on_rest, 0, SPLICE_REST);
    p->rest.data = p;
    p->straggler.drop = on_loop_end;
    loop_adopt(l, &p->straggler);
    return l->splices = p;
}

static struct splice *splice_new(const struct splice_pool *p)
{
    struct splice *s = calloc(1, sizeof *s);
    if (!s || pipe2(s->fds, O_NONBLOCK | O_CLOEXEC) < 0) {
        free(s);
        return NULL;
    }
    if (s->fds[0] >= p->fd_max || s->fds[1] >= p->fd_max) {
        splice_close(s);
        return NULL;
    }
    int holds = fcntl(s->fds[1], F_SETPIPE_SZ, SPLICE_HOLDS);
    if (holds < 0)
        holds = fcntl(s->fds[1], F_GETPIPE_SZ);
    s->room = holds > 0 ? (size_t)holds : 0;
    if (s->room >= SPLICE_MIN)
        return s;
    splice_close(s);
    return NULL;
}

/* NULL: none to be had for now. */
static struct splice *splice_borrow(struct loop *l)
{
    struct splice_pool *p = pool_of(l);
    if (!p || p->lent >= SPLICES_LENT)
        return NULL;
    struct splice *s = p->kept;
    if (s) {
        p->kept = s->next;
        p->kept_count--;
    } else if (loop_steady() >= p->refused_until) {
        s = splice_new(p);
        if (!s)
            p->refused_until = loop_steady() + SPLICE_REST;
    }
    p->lent += s != NULL;
    p->used = true;
    return s;
}

static void splice_return(struct loop *l, struct splice *s)
{
    struct splice_pool *p = l->splices;
    p->lent--;
    if (s->held || p->kept_count >= SPLICES_KEPT) {
        splice_close(s);
        return;
    }
    s->full = false;
    s->next = p->kept;
    p->kept = s;
    p->kept_count++;
    if (!ev_is_active(&p->rest))
        ev_timer_again(l->ev, &p->rest);
}

/* --- directions --- */

/* Nothing lies between its socket and the flow. */
static bool conn_splices(const struct conn *c)
{
    return !c->codec && !c->stream.stack && c->stream.fd >= 0;
}

/* The plain connection at the other end; NULL: there is another one, or none. */
static struct conn *splice_peer(const struct conn *c)
{
    struct end *e = c->end.flow->ends[!c->end.side];
    if (!e || e->ops != &conn_end_ops || c->end.flow->packets)
        return NULL;
    struct conn *peer = container_of(e, struct conn, end);
    return conn_splices(peer) && !peer->stream.connecting ? peer : NULL;
}

static struct conn *splice_writer(const struct conn *c)
{
    const struct flow *f = c->end.flow;
    bool bulk = c->last_read >= SPLICE_MIN && end_total(&c->end) >= SPLICE_AFTER &&
                f->policy->buffer_size >= SPLICE_AFTER;
    return bulk && conn_splices(c) ? splice_peer(c) : NULL;
}

/* The pipe is empty, or its writer goes. */
static void splice_part(struct conn *writer)
{
    struct conn *reader = splice_peer(writer);
    if (reader && reader->rx == writer->tx) {
        reader->rx = NULL;
        if (reader->paused)
            end_wake(&reader->end);
    }
    splice_return(writer->stream.loop, writer->tx);
    writer->tx = NULL;
}

static size_t splice_room(const struct conn *c)
{
    size_t limit = c->end.flow->policy->buffer_size;
    size_t room = limit < c->rx->room ? limit : c->rx->room;
    return room > c->rx->held ? room - c->rx->held : 0;
}

bool splice_has_room(const struct conn *c)
{
    return !c->rx->full && splice_room(c) > 0;
}

ssize_t splice_fill(struct conn *c)
{
    struct conn *writer = c->rx ? splice_peer(c) : splice_writer(c);
    if (!writer || (!c->rx && !(writer->tx = splice_borrow(c->stream.loop))))
        return SPLICE_NONE;
    struct splice *s = c->rx = writer->tx;
    ssize_t n = stream_splice_in(&c->stream, s->fds[1], splice_room(c));
    if (n > 0) {
        s->held += (size_t)n;
        stat_add(c->stream.loop->counters, STAT_spliced_bytes, n);
        end_passed(&c->end, (size_t)n);
    }
    s->full = s->held && (n == STREAM_AGAIN || !splice_room(c));
    if (!s->held)
        splice_part(writer);
    return n;
}

ssize_t splice_drain(struct conn *c)
{
    struct splice *s = c->tx;
    struct conn *reader = splice_peer(c);
    ssize_t n = stream_splice_out(&c->stream, s->fds[0], s->held);
    c->blocked = n < (ssize_t)s->held;
    if (n <= 0)
        return n;
    s->held -= (size_t)n;
    c->end.flow->active = loop_steady();
    if (!s->held) {
        splice_part(c);
    } else if (s->full && s->held <= s->room / 2 && reader) {
        s->full = false;
        end_wake(&reader->end);
    }
    return n;
}

void splice_leave(struct conn *c)
{
    if (c->tx)
        splice_part(c);
}
