#include "conf/process.h"

#include <malloc.h>
#include <sodium.h>
#include <stdlib.h>
#include <time.h>

#include "conf/clustered.h"
#include "conf/guides.h"
#include "conf/reload.h"
#include "core/log.h"

void process_ask(struct process *p, int (*f)(struct worker *w, void *with), void *with)
{
    for (unsigned i = 0; i < p->made; i++)
        worker_ask(&p->workers[i], f, with);
    for (unsigned i = 0; i < p->made; i++)
        worker_answer(&p->workers[i]);
}

/* --- the end --- */

/* Flows may lead from one loop to another, so all loops end together. */
static void process_free(struct process *p)
{
    bool moved = true;
    control_close(&p->control);
    for (unsigned i = 0; i < p->made; i++)
        worker_clear(&p->workers[i]);
    while (moved) {
        moved = false;
        for (unsigned i = 0; i < p->made; i++)
            moved |= worker_settle(&p->workers[i]);
    }
    for (unsigned i = 0; i < p->made; i++)
        worker_fini(&p->workers[i]);
    clustered_free(p);
    portals_fini(&p->portals);
    free(p->workers);
    free(p->shared.counters);
    counters_free(p->shared.bases, STATS_MAX);
    generation_unref(p->generation);
    *p = (struct process){0};
}

/* --- the start --- */

static int process_make_workers(struct process *p, struct err *e)
{
    struct worker_shared *s = &p->shared;
    s->counters = calloc(s->count, sizeof(struct counter *));
    p->workers = calloc(s->count, sizeof *p->workers);
    s->bases = counters_new(STATS_MAX);
    s->taker = &p->control.taker;
    if (!s->counters || !p->workers || !s->bases)
        return err_set(e, ENOMEM, "out of memory");
    for (; p->made < s->count; p->made++) {
        if (worker_init(&p->workers[p->made], p->made, s, e) < 0)
            return -1;
        s->counters[p->made] = p->workers[p->made].loop.counters;
    }
    return 0;
}

static int process_install(struct process *p, struct err *e)
{
    struct plan plan;
    int result = 0;
    if (plan_init(&plan, NULL, p->generation, p->shared.count, &p->portals, e) < 0)
        return -1;
    for (unsigned i = 0; result == 0 && i < p->made; i++)
        result = worker_prepare(&p->workers[i], &plan, e);
    for (unsigned i = 0; i < p->made; i++)
        if (result == 0)
            worker_change(&p->workers[i], &plan);
        else
            worker_abandon(&p->workers[i], &plan);
    plan_fini(&plan);
    return result;
}

static void process_block_signals(struct process *p)
{
    sigemptyset(&p->signals);
    sigaddset(&p->signals, SIGINT);
    sigaddset(&p->signals, SIGTERM);
    sigaddset(&p->signals, SIGHUP);
    sigaddset(&p->signals, SIGUSR1);
    sigaddset(&p->signals, control_signal());
    pthread_sigmask(SIG_BLOCK, &p->signals, NULL);
}

int process_start(struct process *p, struct config *c, const struct config_source *source,
                  struct err *e)
{
    *p = (struct process){.source = *source, .generation = generation_new(c)};
    if (!p->generation) {
        config_free(c);
        return err_set(e, ENOMEM, "out of memory");
    }
    process_block_signals(p);
    control_init(&p->control);
    p->shared = (struct worker_shared){.count = c->workers, .started = (double)time(NULL)};
    p->shared.budget.limit = c->memory;
    randombytes_buf(&p->shared.instance, sizeof p->shared.instance);
    if (process_make_workers(p, e) == 0 && clustered_start(p, e) == 0 && process_install(p, e) == 0)
        return 0;
    process_free(p);
    return -1;
}

/* --- the threads --- */

static void *worker_thread(void *arg)
{
    worker_run(arg);
    return NULL;
}

static void process_stop(struct process *p, unsigned running)
{
    for (unsigned i = 0; i < running; i++)
        worker_stop(&p->workers[i]);
    for (unsigned i = 0; i < running; i++)
        pthread_join(p->workers[i].thread, NULL);
}

static int process_run_workers(struct process *p, struct err *e)
{
    for (unsigned i = 0; i < p->made; i++) {
        int error = pthread_create(&p->workers[i].thread, NULL, worker_thread, &p->workers[i]);
        if (error == 0)
            continue;
        process_stop(p, i);
        errno = error;
        return err_sys(e, "worker %u", i);
    }
    return 0;
}

/* --- signals --- */

static void reopen_logs(void)
{
    struct err e;
    if (log_reopen(&e) < 0)
        log_error("log files: %s", e.text);
}

/* The next one. Files are looked at each second, however many come. */
static int process_next(struct process *p)
{
    static const struct timespec second = {.tv_sec = 1};
    for (;;) {
        const struct config *c = p->generation->config;
        bool watches = guides_watch(c);
        if (watches && loop_steady() - p->looked >= 1) {
            p->looked = loop_steady();
            guides_look(c);
        }
        int caught = sigtimedwait(&p->signals, NULL, watches ? &second : NULL);
        if (caught > 0)
            return caught;
    }
}

/* The main thread waits for signals, which the others have blocked, and little else. True: to drain first. */
static bool process_wait(struct process *p)
{
    for (;;) {
        int caught = process_next(p);
        if (caught == SIGHUP)
            process_reload(p);
        else if (caught == SIGUSR1)
            reopen_logs();
        else if (caught == control_signal())
            control_serve(p);
        else
            return caught == SIGTERM;
        if (p->shared.ends)
            return true;
    }
}

static int drain(struct worker *w, void *with)
{
    (void)with;
    worker_drain(w);
    return 0;
}

static int part(struct worker *w, void *with)
{
    (void)with;
    worker_part(w);
    return 0;
}

static size_t process_visitors(const struct process *p)
{
    size_t count = 0;
    for (unsigned i = 0; i < p->made; i++)
        count += atomic_load_explicit(&p->workers[i].visitors, memory_order_relaxed);
    return count;
}

/* True: a signal says to end at once. */
static bool ends_at_once(struct process *p)
{
    static const struct timespec look = {.tv_nsec = 50 * 1000 * 1000};
    int caught = sigtimedwait(&p->signals, NULL, &look);
    if (caught == SIGUSR1)
        reopen_logs();
    if (caught == control_signal())
        control_serve(p);
    return caught == SIGTERM || caught == SIGINT;
}

/* False: somebody is left, and the time is over, or a signal says to end at once. */
static bool process_settles(struct process *p, double end)
{
    while (process_visitors(p) > 0)
        if (loop_steady() >= end || ends_at_once(p))
            return false;
    return true;
}

/* In a cluster others take over first, while all that comes is still served. False: as above. */
static bool process_leaves(struct process *p)
{
    double spread = clustered_leave(p), end = loop_steady() + spread;
    if (spread > 0)
        log_warn("v2c leaves its cluster, over %g s", spread);
    while (loop_steady() < end)
        if (ends_at_once(p))
            return false;
    return true;
}

/* Visitors first; then their last bytes may still lie on the links. */
static void process_drain(struct process *p)
{
    p->shared.ends = true;
    if (!process_leaves(p))
        return;
    double limit = p->generation->config->drain, end = loop_steady() + limit;
    process_ask(p, drain, NULL);
    log_warn("v2c ends: %zu visitors are open and have %g s", process_visitors(p), limit);
    bool settled = process_settles(p, end);
    log_warn("v2c ends now: %zu visitors are cut", process_visitors(p));
    if (!settled)
        return;
    process_ask(p, part, NULL);
    process_settles(p, end);
}

int process_run(struct process *p, struct err *e)
{
    control_open(&p->control);
    int result = process_run_workers(p, e);
    if (result == 0) {
        malloc_trim(0); /* what reading the configuration took */
        log_warn("v2c started");
        if (process_wait(p) && p->generation->config->drain > 0)
            process_drain(p);
        process_stop(p, p->made);
    }
    process_free(p);
    return result;
}
