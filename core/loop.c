#include "core/loop.h"

#include <sodium.h>
#include <stdlib.h>
#include <time.h>

enum { READY_BUDGET = 4096 }; /* ends that run before sockets are looked at again */

double loop_steady(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void loop_ready(struct loop *l, struct task *t)
{
    if (t->link)
        return;
    t->next = NULL;
    t->link = l->ready_end;
    *l->ready_end = t;
    l->ready_end = &t->next;
}

void loop_unready(struct loop *l, struct task *t)
{
    if (!t->link)
        return;
    *t->link = t->next;
    if (t->next)
        t->next->link = t->link;
    else
        l->ready_end = t->link;
    t->link = NULL;
}

static void loop_run_ready(struct loop *l)
{
    for (int i = 0; l->ready && i < READY_BUDGET; i++) {
        struct task *t = l->ready;
        loop_unready(l, t);
        t->run(t);
    }
    if (l->ready)
        ev_idle_start(l->ev, &l->busy);
    else
        ev_idle_stop(l->ev, &l->busy);
}

static void on_before_poll(struct ev_loop *ev, ev_prepare *w, int events)
{
    (void)ev, (void)events;
    loop_run_ready(w->data);
}

static void on_busy(struct ev_loop *ev, ev_idle *w, int events)
{
    (void)ev, (void)w, (void)events;
}

void loop_post(struct loop *l, struct task *t)
{
    pthread_mutex_lock(&l->inbox_lock);
    t->next = NULL;
    *l->inbox_end = t;
    l->inbox_end = &t->next;
    pthread_mutex_unlock(&l->inbox_lock);
    ev_async_send(l->ev, &l->bell);
}

static struct task *loop_take_inbox(struct loop *l)
{
    pthread_mutex_lock(&l->inbox_lock);
    struct task *first = l->inbox;
    l->inbox = NULL;
    l->inbox_end = &l->inbox;
    pthread_mutex_unlock(&l->inbox_lock);
    return first;
}

static void on_bell(struct ev_loop *ev, ev_async *w, int events)
{
    (void)ev, (void)events;
    struct task *next;
    for (struct task *t = loop_take_inbox(w->data); t; t = next) {
        next = t->next;
        t->run(t);
    }
}

static void loop_watch(struct loop *l)
{
    ev_prepare_init(&l->before_poll, on_before_poll);
    l->before_poll.data = l;
    ev_prepare_start(l->ev, &l->before_poll);
    ev_idle_init(&l->busy, on_busy);
    ev_async_init(&l->bell, on_bell);
    l->bell.data = l;
    ev_async_start(l->ev, &l->bell);
}

int loop_init(struct loop *l, unsigned index, unsigned slots, struct err *e)
{
    *l = (struct loop){.index = index, .next_flow = randombytes_random()};
    l->ready_end = &l->ready;
    l->inbox_end = &l->inbox;
    pthread_mutex_init(&l->inbox_lock, NULL);
    l->ev = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
    l->scratch = malloc(LOOP_SCRATCH);
    l->counters = calloc(slots, sizeof *l->counters);
    if (!l->ev || !l->scratch || !l->counters) {
        loop_fini(l);
        return err_set(e, ENOMEM, "event loop %u: no memory or no descriptors left", index);
    }
    loop_watch(l);
    return 0;
}

void loop_fini(struct loop *l)
{
    if (l->ev)
        ev_loop_destroy(l->ev);
    buf_pool_fini(&l->bufs);
    free(l->scratch);
    free(l->counters);
    pthread_mutex_destroy(&l->inbox_lock);
    *l = (struct loop){0};
}

void loop_settle(struct loop *l)
{
    while (l->ready)
        loop_run_ready(l);
}

void loop_adopt(struct loop *l, struct loner *n)
{
    n->next = l->loners;
    n->link = &l->loners;
    if (n->next)
        n->next->link = &n->next;
    l->loners = n;
}

void loop_disown(struct loner *n)
{
    if (!n->link)
        return;
    *n->link = n->next;
    if (n->next)
        n->next->link = n->link;
    n->link = NULL;
}

void loop_drop_loners(struct loop *l)
{
    while (l->loners) {
        struct loner *n = l->loners;
        loop_disown(n);
        n->drop(n);
    }
}

void loop_run(struct loop *l)
{
    ev_run(l->ev, 0);
}

void loop_stop(struct loop *l)
{
    ev_break(l->ev, EVBREAK_ALL);
}
