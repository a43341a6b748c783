#include "core/loop.h"

#include <malloc.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

enum { READY_BUDGET = 4096 }; /* ends that run before sockets are looked at again */

static const double REST = 0.5; /* seconds */

double loop_steady(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void loop_ready(struct loop *l, struct task *t)
{
    if (!list_holds(&t->queued))
        list_append(&l->ready, &t->queued);
}

void loop_unready(struct task *t)
{
    list_remove(&t->queued);
}

bool loop_is_busy(const struct loop *l)
{
    return list_first(&l->ready) != NULL;
}

/* NULL: the queue is empty. */
static struct task *task_take(struct list *queue)
{
    struct list_item *first = list_first(queue);
    if (!first)
        return NULL;
    list_remove(first);
    return container_of(first, struct task, queued);
}

static void loop_run_ready(struct loop *l)
{
    struct task *t;
    for (int i = 0; i < READY_BUDGET && (t = task_take(&l->ready)); i++)
        t->run(t);
    if (loop_is_busy(l))
        ev_idle_start(l->ev, &l->busy);
    else
        ev_idle_stop(l->ev, &l->busy);
}

/* A pool that nobody used for a whole period is given back, but for what control messages need. */
static void on_rest(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)events;
    struct loop *l = w->data;
    bool used = l->bufs.used;
    l->bufs.used = false;
    if (used)
        return;
    buf_pool_shrink(&l->bufs, BUF_POOL_REST);
    madvise(l->scratch, LOOP_SCRATCH, MADV_DONTNEED);
    malloc_trim(0);
    ev_timer_stop(ev, w);
}

static void on_before_poll(struct ev_loop *ev, ev_prepare *w, int events)
{
    (void)events;
    struct loop *l = w->data;
    loop_run_ready(l);
    l->turn++;
    if (l->bufs.kept > BUF_POOL_REST && !ev_is_active(&l->rest))
        ev_timer_again(ev, &l->rest);
}

static void on_busy(struct ev_loop *ev, ev_idle *w, int events)
{
    (void)ev, (void)w, (void)events;
}

void loop_post(struct loop *l, struct task *t)
{
    pthread_mutex_lock(&l->inbox_lock);
    if (!list_holds(&t->queued))
        list_append(&l->inbox, &t->queued);
    pthread_mutex_unlock(&l->inbox_lock);
    ev_async_send(l->ev, &l->bell);
}

static struct task *loop_take_posted(struct loop *l)
{
    pthread_mutex_lock(&l->inbox_lock);
    struct task *t = task_take(&l->inbox);
    pthread_mutex_unlock(&l->inbox_lock);
    return t;
}

/* False: there was nothing. */
static bool loop_run_posted(struct loop *l)
{
    struct task *t;
    bool any = false;
    while ((t = loop_take_posted(l))) {
        t->run(t);
        any = true;
    }
    return any;
}

static void on_bell(struct ev_loop *ev, ev_async *w, int events)
{
    (void)ev, (void)events;
    loop_run_posted(w->data);
}

static void loop_watch(struct loop *l)
{
    ev_prepare_init(&l->before_poll, on_before_poll);
    l->before_poll.data = l;
    ev_prepare_start(l->ev, &l->before_poll);
    ev_timer_init(&l->rest, on_rest, 0, REST);
    l->rest.data = l;
    ev_idle_init(&l->busy, on_busy);
    ev_async_init(&l->bell, on_bell);
    l->bell.data = l;
    ev_set_priority(&l->bell, LOOP_BEGINNERS);
    ev_async_start(l->ev, &l->bell);
}

/* Pages of its own, which a resting loop can give back. */
static uint8_t *scratch_new(void)
{
    void *mem =
        mmap(NULL, LOOP_SCRATCH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return mem == MAP_FAILED ? NULL : mem;
}

struct counter *counters_new(unsigned slots)
{
    void *mem = mmap(NULL, slots * sizeof(struct counter), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return mem == MAP_FAILED ? NULL : mem;
}

void counters_free(struct counter *counters, unsigned slots)
{
    if (counters)
        munmap(counters, slots * sizeof *counters);
}

enum { MEMORY_TRIES = 1000 };

/* libev aborts the process when it gets no memory for its lists. They are small and grow seldom: a second of
 * waiting for others to give some back harms less. */
static void *loop_memory(void *old, long size)
{
    static const struct timespec moment = {.tv_nsec = 1000 * 1000};
    if (size == 0) {
        free(old);
        return NULL;
    }
    void *mem = NULL;
    for (int i = 0; i < MEMORY_TRIES && !(mem = realloc(old, (size_t)size)); i++)
        nanosleep(&moment, NULL);
    return mem;
}

int loop_init(struct loop *l, unsigned index, unsigned slots, struct err *e)
{
    *l =
        (struct loop){.index = index, .slots = slots, .next_flow = randombytes_random(), .turn = 1};
    pthread_mutex_init(&l->inbox_lock, NULL);
    ev_set_allocator(loop_memory); /* the same for all loops */
    l->ev = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
    l->scratch = scratch_new();
    l->counters = counters_new(slots);
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
    buf_pool_shrink(&l->bufs, 0);
    if (l->scratch)
        munmap(l->scratch, LOOP_SCRATCH);
    counters_free(l->counters, l->slots);
    pthread_mutex_destroy(&l->inbox_lock);
    *l = (struct loop){0};
}

void loop_settle(struct loop *l)
{
    while (loop_is_busy(l))
        loop_run_ready(l);
}

bool loop_finish(struct loop *l)
{
    bool any = loop_is_busy(l);
    loop_settle(l);
    while (loop_run_posted(l)) {
        loop_settle(l);
        any = true;
    }
    return any;
}

void loop_adopt(struct loop *l, struct straggler *n)
{
    list_push(&l->stragglers, &n->item);
}

void loop_disown(struct straggler *n)
{
    list_remove(&n->item);
}

void loop_drop_stragglers(struct loop *l)
{
    struct list_item *i;
    while ((i = list_first(&l->stragglers))) {
        struct straggler *n = container_of(i, struct straggler, item);
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
