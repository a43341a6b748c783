#include "testing/rig.h"

#include <stdlib.h>
#include <unistd.h>

/* --- the ready queue --- */

struct noted {
    struct task task;
    struct loop *loop;
    int id, *order;
    size_t *count;
    int again; /* times to queue itself once more */
};

static void note(struct task *t)
{
    struct noted *n = container_of(t, struct noted, task);
    n->order[(*n->count)++] = n->id;
    if (n->again-- > 0)
        loop_ready(n->loop, t);
}

static void noted_init(struct noted *n, int count, struct loop *l, int *order, size_t *done)
{
    for (int i = 0; i < count; i++)
        n[i] = (struct noted){
            .task = {.run = note}, .loop = l, .id = i, .order = order, .count = done};
}

static void ready_tasks_run_in_order_and_once(void **state)
{
    (void)state;
    struct rig r;
    struct noted n[4];
    int order[8];
    size_t count = 0;
    rig_open(&r);
    noted_init(n, 4, &r.loop, order, &count);
    for (int round = 0; round < 3; round++)
        for (int i = 3; i >= 0; i--)
            loop_ready(&r.loop, &n[i].task);
    assert_int_equal(count, 0); /* later, from the loop */
    rig_turn(&r);
    assert_int_equal(count, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(order[i], 3 - i);
    rig_close(&r);
}

/* Each of four tasks in turn is taken out; the others still run, and the queue goes on. */
static void an_unready_task_does_not_run(void **state)
{
    (void)state;
    for (int out = 0; out < 4; out++) {
        struct rig r;
        struct noted n[5];
        int order[8];
        size_t count = 0;
        rig_open(&r);
        noted_init(n, 5, &r.loop, order, &count);
        for (int i = 0; i < 4; i++)
            loop_ready(&r.loop, &n[i].task);
        loop_unready(&n[out].task);
        loop_unready(&n[out].task);
        loop_ready(&r.loop, &n[4].task);
        rig_turn(&r);
        assert_int_equal(count, 4);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(order[i], (int)i < out ? (int)i : (int)i + 1);
        rig_close(&r);
    }
}

static void settling_runs_what_tasks_make_ready(void **state)
{
    (void)state;
    struct rig r;
    struct noted n[1];
    int *order = calloc(20001, sizeof *order);
    size_t count = 0;
    rig_open(&r);
    noted_init(n, 1, &r.loop, order, &count);
    n[0].again = 20000;
    loop_ready(&r.loop, &n[0].task);
    loop_settle(&r.loop);
    assert_int_equal(count, 20001);
    assert_false(loop_is_busy(&r.loop));
    rig_close(&r);
    free(order);
}

struct forever {
    struct task task;
    struct loop *loop;
    uint64_t runs;
};

static void run_forever(struct task *t)
{
    struct forever *f = container_of(t, struct forever, task);
    f->runs++;
    loop_ready(f->loop, t);
}

static void on_due(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)events;
    *(bool *)w->data = true;
}

static void tasks_without_end_do_not_starve_timers(void **state)
{
    (void)state;
    struct rig r;
    bool due = false;
    ev_timer timer;
    rig_open(&r);
    struct forever f = {.task = {.run = run_forever}, .loop = &r.loop};
    ev_timer_init(&timer, on_due, 0.01, 0);
    timer.data = &due;
    ev_timer_start(r.loop.ev, &timer);
    loop_ready(&r.loop, &f.task);
    RIG_UNTIL(&r, due);
    assert_true(f.runs > 0);
    loop_unready(&f.task);
    rig_close(&r);
}

/* Ready tasks left over: the poll must not wait for its timer. */
static void a_full_ready_queue_does_not_wait(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r);
    struct forever f = {.task = {.run = run_forever}, .loop = &r.loop};
    ev_timer_stop(r.loop.ev, &r.tick);
    loop_ready(&r.loop, &f.task);
    for (uint64_t i = 1; i <= 3; i++) {
        ev_run(r.loop.ev, EVRUN_ONCE); /* would block for a minute and more */
        assert_true(f.runs >= i);
    }
    loop_unready(&f.task);
    rig_close(&r);
}

/* --- the inbox --- */

enum { THREADS = 4, POSTS = 2000 };

struct posted {
    struct task task;
    struct poster *by;
    unsigned number;
};

struct poster {
    pthread_t thread, loop_thread;
    struct loop *loop;
    struct posted posts[POSTS];
    unsigned seen;
    unsigned *total;
};

static void on_posted(struct task *t)
{
    struct posted *p = container_of(t, struct posted, task);
    if (!pthread_equal(pthread_self(), p->by->loop_thread) || p->number != p->by->seen++)
        return; /* then the total is never reached */
    if (++*p->by->total == THREADS * POSTS)
        loop_stop(p->by->loop);
}

static void *post_all(void *arg)
{
    struct poster *p = arg;
    for (unsigned i = 0; i < POSTS; i++) {
        p->posts[i] = (struct posted){.task = {.run = on_posted}, .by = p, .number = i};
        loop_post(p->loop, &p->posts[i].task);
    }
    return NULL;
}

static void on_too_late(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)w, (void)events;
    ev_break(ev, EVBREAK_ALL);
}

static void posts_of_other_threads_run_on_the_loop_in_order(void **state)
{
    (void)state;
    struct rig r;
    unsigned total = 0;
    ev_timer late;
    struct poster *p = calloc(THREADS, sizeof *p);
    rig_open(&r);
    ev_timer_init(&late, on_too_late, RIG_DEADLINE, 0);
    ev_timer_start(r.loop.ev, &late);
    for (int i = 0; i < THREADS; i++) {
        p[i].loop = &r.loop;
        p[i].loop_thread = pthread_self();
        p[i].total = &total;
        assert_int_equal(pthread_create(&p[i].thread, NULL, post_all, &p[i]), 0);
    }
    loop_run(&r.loop);
    for (int i = 0; i < THREADS; i++)
        pthread_join(p[i].thread, NULL);
    assert_int_equal(total, THREADS * POSTS);
    ev_timer_stop(r.loop.ev, &late);
    rig_close(&r);
    free(p);
}

struct again {
    struct task task;
    struct loop *loop;
    unsigned runs;
};

static void post_again(struct task *t)
{
    struct again *a = container_of(t, struct again, task);
    if (++a->runs < 10)
        loop_post(a->loop, t);
}

static void a_posted_task_may_post_itself_again(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r);
    struct again a = {.task = {.run = post_again}, .loop = &r.loop};
    loop_post(&r.loop, &a.task);
    RIG_UNTIL(&r, a.runs == 10);
    rig_close(&r);
}

struct sight {
    struct task task;
    ev_io io;
    struct loop *loop;
    unsigned runs, read_before; /* of the task; of them, after the socket was read */
    bool read;
};

static void on_sight(struct ev_loop *ev, ev_io *w, int events)
{
    (void)events;
    ev_io_stop(ev, w);
    container_of(w, struct sight, io)->read = true;
}

static void look_back(struct task *t)
{
    struct sight *s = container_of(t, struct sight, task);
    s->runs++;
    s->read_before += s->read;
}

/* A link that has ended is thus known before a visitor of another loop arrives. */
static void what_sockets_had_before_a_post_is_read_before_it_runs(void **state)
{
    (void)state;
    struct rig r;
    int ends[2];
    rig_open(&r);
    struct sight s = {.task = {.run = look_back}, .loop = &r.loop};
    assert_int_equal(pipe(ends), 0);
    close(ends[1]);
    for (unsigned i = 1; i <= 3; i++) {
        s.read = false;
        ev_io_init(&s.io, on_sight, ends[0], EV_READ);
        ev_io_start(r.loop.ev, &s.io);
        loop_post(&r.loop, &s.task);
        RIG_UNTIL(&r, s.runs == i);
        assert_int_equal(s.read_before, i);
    }
    close(ends[0]);
    rig_close(&r);
}

static void stop_loop(struct task *t)
{
    loop_stop(container_of(t, struct again, task)->loop);
}

static void a_stop_posted_before_the_run_ends_it(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r);
    struct again a = {.task = {.run = stop_loop}, .loop = &r.loop};
    loop_post(&r.loop, &a.task);
    loop_run(&r.loop);
    rig_close(&r);
}

static void a_ready_task_may_stop_the_loop(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r);
    struct again a = {.task = {.run = stop_loop}, .loop = &r.loop};
    loop_ready(&r.loop, &a.task);
    loop_run(&r.loop);
    rig_close(&r);
}

/* --- stragglers --- */

struct hermit {
    struct straggler straggler;
    unsigned dropped;
};

static void hermit_drop(struct straggler *n)
{
    container_of(n, struct hermit, straggler)->dropped++;
}

static void stragglers_are_dropped_once_unless_disowned(void **state)
{
    (void)state;
    for (int out = 0; out < 3; out++) {
        struct rig r;
        struct hermit h[3] = {0};
        rig_open(&r);
        for (int i = 0; i < 3; i++) {
            h[i].straggler.drop = hermit_drop;
            loop_adopt(&r.loop, &h[i].straggler);
        }
        loop_disown(&h[out].straggler);
        loop_disown(&h[out].straggler);
        loop_drop_stragglers(&r.loop);
        loop_drop_stragglers(&r.loop);
        for (int i = 0; i < 3; i++)
            assert_int_equal(h[i].dropped, i != out);
        rig_close(&r);
    }
}

static void counters_start_at_zero_and_are_the_loops_own(void **state)
{
    (void)state;
    struct loop l[2];
    struct err e;
    assert_int_equal(loop_init(&l[0], 0, 3, &e), 0);
    assert_int_equal(loop_init(&l[1], 1, 3, &e), 0);
    stat_add(l[0].counters, 2, 5);
    assert_int_equal(l[0].counters[2].value, 5);
    assert_int_equal(l[1].counters[2].value, 0);
    assert_int_equal(l[1].index, 1);
    loop_fini(&l[0]);
    loop_fini(&l[1]);
    assert_null(l[0].ev);
}

static void a_resting_loop_gives_its_bufs_back(void **state)
{
    (void)state;
    struct rig r;
    struct buf *bufs[20];
    rig_open(&r);
    for (int i = 0; i < 20; i++)
        bufs[i] = buf_new(&r.loop.bufs);
    for (int i = 0; i < 20; i++)
        buf_free(&r.loop.bufs, bufs[i]);
    assert_int_equal(r.loop.bufs.kept, 20);
    memset(r.loop.scratch, 1, LOOP_SCRATCH);
    RIG_UNTIL(&r, r.loop.bufs.kept == BUF_POOL_REST);
    assert_int_equal(r.loop.scratch[LOOP_SCRATCH - 1], 0); /* its pages too */
    rig_turn(&r);
    assert_false(ev_is_active(&r.loop.rest)); /* and nothing wakes it any more */
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ready_tasks_run_in_order_and_once),
        cmocka_unit_test(an_unready_task_does_not_run),
        cmocka_unit_test(settling_runs_what_tasks_make_ready),
        cmocka_unit_test(tasks_without_end_do_not_starve_timers),
        cmocka_unit_test(a_full_ready_queue_does_not_wait),
        cmocka_unit_test(posts_of_other_threads_run_on_the_loop_in_order),
        cmocka_unit_test(a_posted_task_may_post_itself_again),
        cmocka_unit_test(what_sockets_had_before_a_post_is_read_before_it_runs),
        cmocka_unit_test(a_stop_posted_before_the_run_ends_it),
        cmocka_unit_test(a_ready_task_may_stop_the_loop),
        cmocka_unit_test(stragglers_are_dropped_once_unless_disowned),
        cmocka_unit_test(counters_start_at_zero_and_are_the_loops_own),
        cmocka_unit_test(a_resting_loop_gives_its_bufs_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
