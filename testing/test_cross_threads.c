/* Crossings between threads; test_cross.c has the single laws. */
#include "core/cross.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "testing/rig.h"

/* --- what the linker puts between (see sources.am) --- */

static _Atomic unsigned posts;

void __real_loop_post(struct loop *l, struct task *t);
void __wrap_loop_post(struct loop *l, struct task *t);

void __wrap_loop_post(struct loop *l, struct task *t)
{
    posts++;
    __real_loop_post(l, t);
}

/* --- two loops on two threads, each crossing to the other --- */

enum { CROSSINGS = 1000, AT_ONCE = 32, PLAN_BYTES = 300000, MOVING = 100000 };

enum fate { COMPLETE, FIRST_FAILS, LAST_FAILS, FIRST_LEAVES, LAST_LEAVES, REFUSED, ENDLESS };

/* Side 0 is the flow's end, side 1 the twin's; each fills in its own. */
struct plan {
    enum fate fate;
    enum net net;
    struct site *site;
    size_t total[2]; /* to put, or to put before the fate */
    size_t put[2], got[2];
    bool wrong[2]; /* bytes that were not those put */
    int failed[2]; /* codes; 0: ended well */
    char why[2][40];
};

struct pump {
    struct end end;
    struct plan *plan;
    struct site *site; /* on whose loop it is */
};

struct site {
    struct loop loop;
    pthread_t thread;
    struct policy policy;
    struct site *far;
    struct plan *plans;
    size_t count, begun;
    struct task begin, finish, stop;
    ev_timer calm;
    struct count *ended;
};

/* Told from any thread, waited for by the test. */
struct count {
    pthread_mutex_t lock;
    pthread_cond_t told;
    size_t value;
};

static void count_tell(struct count *c)
{
    pthread_mutex_lock(&c->lock);
    c->value++;
    pthread_cond_signal(&c->told);
    pthread_mutex_unlock(&c->lock);
}

static void count_await(struct count *c, size_t value)
{
    struct timespec deadline;
    int timed_out = 0;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 10 * RIG_DEADLINE;
    pthread_mutex_lock(&c->lock);
    while (c->value < value && !timed_out)
        timed_out = pthread_cond_timedwait(&c->told, &c->lock, &deadline);
    pthread_mutex_unlock(&c->lock);
    assert_int_equal(timed_out, 0);
}

static void site_begin(struct site *s);

static void pump_leave(struct pump *p, const struct err *why)
{
    struct plan *plan = p->plan;
    uint8_t side = p->end.side;
    const struct flow *f = p->end.flow;
    plan->failed[side] = f->why_code;
    if (f->why)
        snprintf(plan->why[side], sizeof plan->why[side], "%s", f->why);
    struct site *s = p->site;
    end_leave(&p->end, why);
    free(p);
    if (side == 1 || plan->fate == ENDLESS)
        return;
    count_tell(s->ended);
    site_begin(s);
}

static void pump_take(struct pump *p)
{
    uint8_t right[BUF_ROOM];
    size_t *got = &p->plan->got[p->end.side], before = *got;
    struct buf *b;
    while ((b = end_take(&p->end))) {
        rig_pattern(right, b->len, *got);
        p->plan->wrong[p->end.side] |= memcmp(b->data, right, b->len) != 0;
        *got += b->len;
        buf_free(&end_loop(&p->end)->bufs, b);
    }
    if (p->plan->fate == ENDLESS && before < MOVING && *got >= MOVING)
        count_tell(p->site->ended);
}

static void pump_put(struct pump *p)
{
    size_t *put_so_far = &p->plan->put[p->end.side], total = p->plan->total[p->end.side];
    while (*put_so_far < total && end_room(&p->end)) {
        struct buf *b = buf_new(&end_loop(&p->end)->bufs);
        b->len = p->plan->net == NET_UDP ? BUF_DATA : 1 + randombytes_uniform(BUF_DATA);
        if (b->len > total - *put_so_far)
            b->len = total - *put_so_far;
        rig_pattern(b->data, b->len, *put_so_far);
        *put_so_far += b->len;
        end_put(&p->end, b);
    }
}

/* Has put all: what then? True: it left. */
static bool pump_act(struct pump *p)
{
    enum fate fate = p->plan->fate;
    struct err why;
    err_set(&why, EPIPE, "side %d fails", p->end.side);
    if (fate == (p->end.side == 0 ? FIRST_FAILS : LAST_FAILS)) {
        pump_leave(p, &why);
        return true;
    }
    if (fate == (p->end.side == 0 ? FIRST_LEAVES : LAST_LEAVES)) {
        pump_leave(p, NULL);
        return true;
    }
    if (fate == COMPLETE)
        end_eof(&p->end);
    return false;
}

static void on_pump(struct end *e)
{
    struct pump *p = container_of(e, struct pump, end);
    struct plan *plan = p->plan;
    if (end_failed(e)) {
        pump_leave(p, NULL);
        return;
    }
    pump_take(p);
    pump_put(p);
    if (plan->put[e->side] == plan->total[e->side] && pump_act(p))
        return;
    if (end_at_eof(e) && (end_peer_left(e) || end_sent_eof(e)))
        pump_leave(p, NULL);
}

static const struct end_ops pump_ops = {.wake = on_pump};

static struct pump *pump_new(struct plan *plan, struct site *s)
{
    struct pump *p = malloc(sizeof *p);
    p->plan = plan;
    p->site = s;
    return p;
}

static void on_far_twin(void *arg, struct flow *twin)
{
    struct plan *plan = arg;
    struct err why;
    if (plan->fate == REFUSED) {
        err_set(&why, EHOSTUNREACH, "refused");
        flow_refuse(twin, &why);
        return;
    }
    flow_join(twin, &pump_new(plan, plan->site->far)->end, &pump_ops);
}

/* Some flows have another second end first. */
static void on_waiter(struct end *e)
{
    (void)e;
}

static const struct end_ops waiter_ops = {.wake = on_waiter};

static void site_begin(struct site *s)
{
    if (s->begun == s->count)
        return;
    struct plan *plan = &s->plans[s->begun++];
    const struct meta m = {.net = plan->net, .inbound_tag = "in"};
    struct pump *p = pump_new(plan, s);
    struct flow *f = flow_new(&s->loop, &p->end, &pump_ops, &m, &s->policy);
    struct end waiter;
    if (s->begun % 2) {
        cross_flow(f, &s->far->loop, on_far_twin, plan);
    } else {
        flow_join(f, &waiter, &waiter_ops);
        cross_take_over(&waiter, &s->far->loop, on_far_twin, plan);
    }
    end_wake(&p->end);
}

static void on_begin(struct task *t)
{
    struct site *s = container_of(t, struct site, begin);
    for (int i = 0; i < AT_ONCE; i++)
        site_begin(s);
}

/* Twins may outlive all flows. */
static void on_calm(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)events;
    struct site *s = w->data;
    if (list_first(&s->loop.flows))
        return;
    ev_timer_stop(ev, w);
    loop_stop(&s->loop);
}

static void on_finish(struct task *t)
{
    struct site *s = container_of(t, struct site, finish);
    ev_timer_init(&s->calm, on_calm, 0.001, 0.001);
    s->calm.data = s;
    ev_timer_start(s->loop.ev, &s->calm);
}

/* Leaves twins that were asked for and never came. */
static void on_stop(struct task *t)
{
    struct site *s = container_of(t, struct site, stop);
    on_begin(&s->begin);
    loop_stop(&s->loop);
}

static void *site_run(void *arg)
{
    struct site *s = arg;
    loop_run(&s->loop);
    return NULL;
}

struct sites {
    struct site at[2];
    struct plan *plans;
    struct budget budget;
    struct count ended;
};

static void sites_open(struct sites *x, size_t count)
{
    struct err e;
    memset(x, 0, sizeof *x);
    x->plans = calloc(2 * count, sizeof *x->plans);
    pthread_mutex_init(&x->ended.lock, NULL);
    pthread_cond_init(&x->ended.told, NULL);
    for (int i = 0; i < 2; i++) {
        struct site *s = &x->at[i];
        assert_int_equal(loop_init(&s->loop, (unsigned)i, STAT_FIXED, &e), 0);
        s->loop.bufs.budget = &x->budget;
        s->policy = POLICY_DEFAULT;
        s->far = &x->at[!i];
        s->plans = x->plans + (size_t)i * count;
        s->count = count;
        s->ended = &x->ended;
        s->begin.run = on_begin, s->finish.run = on_finish, s->stop.run = on_stop;
        for (size_t n = 0; n < count; n++)
            s->plans[n].site = s;
    }
}

static void sites_run(struct sites *x)
{
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&x->at[i].thread, NULL, site_run, &x->at[i]), 0);
        loop_post(&x->at[i].loop, &x->at[i].begin);
    }
}

static void sites_join(struct sites *x)
{
    for (int i = 0; i < 2; i++)
        pthread_join(x->at[i].thread, NULL);
}

static int64_t sites_stat(struct sites *x, unsigned slot)
{
    struct counter *const counters[] = {x->at[0].loop.counters, x->at[1].loop.counters};
    return stat_sum(counters, 2, slot);
}

static void loops_finish(struct loop *a, struct loop *b)
{
    bool more;
    do {
        more = loop_finish(a);
        more |= loop_finish(b);
    } while (more);
}

static void sites_close(struct sites *x)
{
    loops_finish(&x->at[0].loop, &x->at[1].loop); /* calls that came too late */
    for (int i = 0; i < 2; i++) {
        assert_null(list_first(&x->at[i].loop.flows));
        assert_int_equal(x->at[i].loop.datagrams, 0);
    }
    assert_int_equal(sites_stat(x, STAT_flows_live), 0);
    assert_int_equal(sites_stat(x, STAT_datagrams_dropped), 0);
    for (int i = 0; i < 2; i++)
        loop_fini(&x->at[i].loop);
    assert_int_equal(x->budget.used, 0);
    free(x->plans);
}

static void plan_draw(struct plan *p)
{
    p->fate = randombytes_uniform(2) ? COMPLETE : (enum fate)randombytes_uniform(ENDLESS);
    p->net = randombytes_uniform(4) ? NET_TCP : NET_UDP;
    for (int side = 0; side < 2; side++)
        p->total[side] = randombytes_uniform(5) ? randombytes_uniform(PLAN_BYTES) : 0;
}

static void plan_check(const struct plan *p)
{
    bool fails = p->fate == FIRST_FAILS || p->fate == LAST_FAILS || p->fate == REFUSED;
    assert_false(p->wrong[0] || p->wrong[1]);
    assert_int_equal(p->failed[0] != 0, fails && p->fate != FIRST_FAILS);
    if (p->fate == COMPLETE || p->fate == FIRST_LEAVES)
        assert_int_equal(p->got[1], p->put[0]);
    if (p->fate == COMPLETE || p->fate == LAST_LEAVES)
        assert_int_equal(p->got[0], p->put[1]);
    if (p->fate == COMPLETE)
        assert_true(p->put[0] == p->total[0] && p->put[1] == p->total[1]);
    if (p->fate == LAST_FAILS)
        assert_string_equal(p->why[0], "side 1 fails");
    if (p->failed[1])
        assert_string_equal(p->why[1], "side 0 fails");
    if (p->fate == REFUSED)
        assert_string_equal(p->why[0], "refused");
}

static void a_thousand_crossings_between_threads_begin_and_end(void **state)
{
    (void)state;
    struct sites x;
    int64_t failed = 0;
    sites_open(&x, CROSSINGS / 2);
    for (size_t i = 0; i < CROSSINGS; i++)
        plan_draw(&x.plans[i]);
    sites_run(&x);
    count_await(&x.ended, CROSSINGS);
    for (int i = 0; i < 2; i++)
        loop_post(&x.at[i].loop, &x.at[i].finish);
    sites_join(&x);
    for (size_t i = 0; i < CROSSINGS; i++) {
        enum fate fate = x.plans[i].fate;
        plan_check(&x.plans[i]);
        failed += fate == FIRST_FAILS || fate == LAST_FAILS || fate == REFUSED;
    }
    assert_int_equal(sites_stat(&x, STAT_flows_opened), CROSSINGS);
    assert_int_equal(sites_stat(&x, STAT_flows_failed), failed);
    sites_close(&x);
}

static void many_bufs_cross_with_few_calls(void **state)
{
    (void)state;
    enum { BULK = 64 * 1024 * 1024 };
    struct sites x;
    sites_open(&x, 1);
    x.at[1].count = 0;
    x.plans[0] = (struct plan){.fate = COMPLETE, .net = NET_TCP, .site = &x.at[0], .total = {BULK}};
    posts = 0;
    sites_run(&x);
    count_await(&x.ended, 1);
    unsigned calls = posts;
    for (int i = 0; i < 2; i++)
        loop_post(&x.at[i].loop, &x.at[i].finish);
    sites_join(&x);
    assert_int_equal(x.plans[0].got[1], BULK);
    assert_true(calls < BULK / BUF_DATA / 2);
    print_message("%u calls for %d bufs\n", calls, 2 * BULK / BUF_DATA);
    sites_close(&x);
}

/* As conf's workers end: each loop by itself, then what they posted, then their memory. */
static void loops_stopped_in_the_middle_leak_nothing(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++) {
        struct sites x;
        struct err why;
        err_set(&why, ECANCELED, "v2c stops");
        sites_open(&x, 2 * AT_ONCE);
        for (size_t i = 0; i < 4 * AT_ONCE; i++) {
            x.plans[i].fate = ENDLESS;
            x.plans[i].net = NET_TCP;
            x.plans[i].total[0] = x.plans[i].total[1] = SIZE_MAX;
        }
        sites_run(&x);
        count_await(&x.ended, AT_ONCE); /* that many ends have got something */
        for (int i = 0; i < 2; i++)
            loop_post(&x.at[i].loop, &x.at[i].stop);
        sites_join(&x);
        for (int i = 0; i < 2; i++) {
            flows_abort(&x.at[i].loop, &why);
            loop_settle(&x.at[i].loop);
        }
        sites_close(&x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_crossings_between_threads_begin_and_end),
        cmocka_unit_test(many_bufs_cross_with_few_calls),
        cmocka_unit_test(loops_stopped_in_the_middle_leak_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
