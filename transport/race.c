#include "transport/race.h"

#include <stdlib.h>
#include <unistd.h>

#include "core/loop.h"

static const double PATIENCE = 0.25; /* seconds, as RFC 8305 says */
static const double CONNECT = 16;    /* seconds for the last one */

struct racer {
    struct race *race;
    ev_io io;
    struct addr to;
    int fd; /* -1: not yet begun, or failed */
};

struct race {
    struct race **slot;
    struct loop *loop;
    const struct race_ops *ops;
    void *owner;
    ev_timer timer;
    struct err why;
    size_t next, running, count;
    struct racer racers[];
};

/* --- end --- */

/* The descriptor is the caller's from here on. */
static int racer_end(struct racer *r)
{
    int fd = r->fd;
    ev_io_stop(r->race->loop->ev, &r->io);
    r->race->running--;
    r->fd = -1;
    return fd;
}

void race_stop(struct race **slot)
{
    struct race *r = *slot;
    if (!r)
        return;
    ev_timer_stop(r->loop->ev, &r->timer);
    for (size_t i = 0; i < r->next; i++)
        if (r->racers[i].fd >= 0)
            close(racer_end(&r->racers[i]));
    *slot = NULL;
    free(r);
}

static void race_lose(struct race *r)
{
    const struct race_ops *ops = r->ops;
    void *owner = r->owner;
    struct err why = r->why;
    race_stop(r->slot);
    ops->done(owner, -1, NULL, &why);
}

static void race_win(struct racer *n)
{
    struct race *r = n->race;
    const struct race_ops *ops = r->ops;
    void *owner = r->owner;
    struct addr to = n->to;
    int fd = racer_end(n);
    race_stop(r->slot);
    ops->done(owner, fd, &to, NULL);
}

/* --- running --- */

static void on_writable(struct ev_loop *ev, ev_io *w, int events);

static bool racer_begin(struct race *r)
{
    struct racer *n = &r->racers[r->next++];
    n->fd = r->ops->connect(r->owner, &n->to, &r->why);
    if (n->fd < 0)
        return false;
    ev_io_init(&n->io, on_writable, n->fd, EV_WRITE);
    n->io.data = n;
    ev_io_start(r->loop->ev, &n->io);
    r->running++;
    return true;
}

/* Lets the next one begin; the race may be over afterwards. */
static void race_next(struct race *r)
{
    while (r->next < r->count)
        if (racer_begin(r))
            break;
    if (!r->running) {
        race_lose(r);
        return;
    }
    ev_timer_stop(r->loop->ev, &r->timer);
    ev_timer_set(&r->timer, r->next < r->count ? PATIENCE : CONNECT, 0);
    ev_timer_start(r->loop->ev, &r->timer);
}

static void racer_failed(struct racer *n, int error)
{
    struct race *r = n->race;
    char text[ADDR_TEXT_MAX];
    err_set(&r->why, error, "connect %s: %s", addr_text(&n->to, text), strerror(error));
    close(racer_end(n));
    if (r->next < r->count || !r->running)
        race_next(r);
}

static void on_writable(struct ev_loop *ev, ev_io *w, int events)
{
    (void)ev, (void)events;
    struct racer *n = w->data;
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(n->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    if (error)
        racer_failed(n, error);
    else
        race_win(n);
}

static void on_timer(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)events;
    struct race *r = w->data;
    if (r->next < r->count) {
        race_next(r);
        return;
    }
    err_set(&r->why, ETIMEDOUT, "no address of %zu answers within %g s", r->count, CONNECT);
    race_lose(r);
}

void race_start(struct race **slot, struct loop *l, const struct addr *addrs, size_t count,
                const struct race_ops *ops, void *owner)
{
    struct err why;
    count = count < RACE_MAX ? count : RACE_MAX;
    struct race *r = calloc(1, sizeof *r + count * sizeof *r->racers);
    if (!r) {
        err_set(&why, ENOMEM, "out of memory");
        ops->done(owner, -1, NULL, &why);
        return;
    }
    *r = (struct race){.slot = slot, .loop = l, .ops = ops, .owner = owner, .count = count};
    for (size_t i = 0; i < count; i++)
        r->racers[i] = (struct racer){.race = r, .to = addrs[i], .fd = -1};
    ev_timer_init(&r->timer, on_timer, 0, 0);
    r->timer.data = r;
    *slot = r;
    race_next(r);
}
