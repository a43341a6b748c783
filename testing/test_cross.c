#include "core/cross.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "testing/clock.h"
#include "testing/rig.h"

/* Bytes that one way and the pipe behind it hold; a buf more each. */
enum { WAY = 128 * 1024, PACKETS = 64 };

/* --- what the linker puts between (see sources.am) --- */

static unsigned posts;
static bool calloc_fails;

void __real_loop_post(struct loop *l, struct task *t);
void __wrap_loop_post(struct loop *l, struct task *t);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

void __wrap_loop_post(struct loop *l, struct task *t)
{
    posts++;
    __real_loop_post(l, t);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return calloc_fails ? NULL : __real_calloc(n, size);
}

/* --- two loops on one thread: a turn of each is the test's --- */

struct two {
    struct rig here, there;
    struct budget budget;
    struct rig_end in, out; /* of the flow, of its twin */
    struct flow *flow, *twin;
    const char *refusal; /* NULL: out joins */
    int onward;          /* crossings more, back and forth */
    int64_t failed;      /* flows that the test lets fail */
};

static void on_twin(void *arg, struct flow *twin)
{
    struct two *t = arg;
    struct err why;
    if (t->onward-- > 0) {
        struct rig *to = twin->loop == &t->here.loop ? &t->there : &t->here;
        assert_true(cross_flow(twin, &to->loop, on_twin, t));
        return;
    }
    assert_null(t->twin);
    t->twin = twin;
    if (!t->refusal) {
        rig_join(twin, &t->out);
        return;
    }
    t->out.left = true;
    err_set(&why, EHOSTUNREACH, "%s", t->refusal);
    flow_refuse(twin, &why);
}

static void two_init(struct two *t)
{
    memset(t, 0, sizeof *t);
    rig_open(&t->here);
    rig_open(&t->there);
    t->here.loop.bufs.budget = t->there.loop.bufs.budget = &t->budget;
    t->in.idle = t->out.idle = true;
}

static void two_turn(struct two *t)
{
    for (int i = 0; i < 6; i++) {
        rig_turn(&t->here);
        rig_turn(&t->there);
    }
}

static void two_cross(struct two *t)
{
    assert_true(cross_flow(t->flow, &t->there.loop, on_twin, t));
    assert_null(t->twin); /* later, and there */
}

static void two_open_row(struct two *t, enum net net, int onward)
{
    two_init(t);
    t->onward = onward;
    t->flow = rig_flow(&t->here, &t->in, net);
    two_cross(t);
    two_turn(t);
    assert_non_null(t->twin);
    posts = 0;
}

static void two_open(struct two *t, enum net net)
{
    two_open_row(t, net, 0);
}

static void two_fini(struct two *t)
{
    rig_close(&t->here);
    rig_close(&t->there);
    assert_int_equal(t->budget.used, 0);
    rig_end_free(&t->in);
    rig_end_free(&t->out);
}

static void two_close(struct two *t)
{
    if (!t->in.left)
        rig_leave(&t->in, NULL);
    two_turn(t);
    if (t->twin && !t->out.left)
        rig_leave(&t->out, NULL);
    two_turn(t);
    assert_int_equal(rig_stat(&t->here, STAT_flows_opened), 1);
    assert_int_equal(rig_stat(&t->here, STAT_flows_failed), t->failed);
    assert_int_equal(rig_stat(&t->there, STAT_flows_opened), 0);
    assert_int_equal(rig_stat(&t->there, STAT_flows_failed), 0);
    two_fini(t);
}

/* One end, where its bytes go, and the loops of both. Way 0 leads to the target. */
struct way {
    struct rig *rig, *far_rig;
    struct rig_end *end, *far;
};

static struct way two_way(struct two *t, int way)
{
    return way == 0 ? (struct way){&t->here, &t->there, &t->in, &t->out}
                    : (struct way){&t->there, &t->here, &t->out, &t->in};
}

static void put(struct way *w, size_t len, size_t position)
{
    struct buf *b = buf_new(&w->rig->loop.bufs);
    assert_non_null(b);
    rig_pattern(b->data, len, position);
    b->len = len;
    end_put(&w->end->end, b);
}

/* --- single laws, each for both ways --- */

static void check_bytes(int onward)
{
    enum { TOTAL = 3000000 };
    struct two t;
    size_t done[2] = {0};
    two_open_row(&t, NET_TCP, onward);
    while (t.in.len < TOTAL || t.out.len < TOTAL) {
        int way = (int)randombytes_uniform(2);
        struct way w = two_way(&t, way);
        for (unsigned n = randombytes_uniform(12); n && end_room(&w.end->end); n--) {
            size_t len = 1 + randombytes_uniform(randombytes_uniform(3) ? 200 : BUF_DATA);
            put(&w, len, done[way]);
            done[way] += len;
        }
        if (randombytes_uniform(2))
            rig_turn(w.rig);
        if (randombytes_uniform(2))
            rig_turn(w.far_rig);
        if (randombytes_uniform(4) == 0)
            rig_take(w.far);
        assert_true(w.far->len <= done[way]);
    }
    for (int i = 0; i < 100 && (t.out.len < done[0] || t.in.len < done[1]); i++) {
        two_turn(&t);
        rig_take(&t.in), rig_take(&t.out);
    }
    for (int way = 0; way < 2; way++) {
        struct way w = two_way(&t, way);
        assert_int_equal(w.far->len, done[way]);
        rig_check_pattern(w.far->got, w.far->len, 0);
    }
    two_close(&t);
}

static void bytes_pass_in_order(void **state)
{
    (void)state;
    check_bytes(0);
}

static void bytes_pass_three_crossings_in_a_row(void **state)
{
    (void)state;
    check_bytes(2);
}

static void what_waits_is_bounded_and_moves_on_at_half(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        struct two t;
        two_open(&t, NET_TCP);
        struct way w = two_way(&t, way);
        size_t done = 0, before = t.budget.used;
        for (int i = 0; i < 100; i++) {
            for (; end_room(&w.end->end); done += BUF_DATA)
                put(&w, BUF_DATA, done);
            two_turn(&t);
        }
        size_t own = end_unread(&w.end->end), beyond = end_waiting(&w.far->end);
        assert_true(beyond >= WAY && beyond < WAY + BUF_DATA);
        assert_true(done - own - beyond >= WAY && done - own - beyond < WAY + BUF_DATA);
        assert_true(t.budget.used - before < 2 * done); /* bufs are moved, or given back */
        posts = 0;
        for (int taken = 0; taken < WAY / 2 / BUF_DATA - 1; taken++) {
            buf_free(&w.far_rig->loop.bufs, end_take(&w.far->end));
            two_turn(&t);
        }
        assert_int_equal(posts, 0);
        buf_free(&w.far_rig->loop.bufs, end_take(&w.far->end));
        two_turn(&t);
        assert_true(posts > 0 && posts <= 2);
        while (end_has(&w.far->end)) {
            rig_take(w.far);
            two_turn(&t);
        }
        assert_int_equal(w.far->len, done - WAY / 2);
        rig_check_pattern(w.far->got, w.far->len, WAY / 2);
        two_close(&t);
    }
}

static void a_loop_that_does_not_look_is_called_once(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        struct two t;
        two_open(&t, NET_TCP);
        struct way w = two_way(&t, way);
        for (size_t done = 0; done < WAY; done += BUF_DATA) {
            put(&w, BUF_DATA, done);
            rig_turn(w.rig);
        }
        end_eof(&w.end->end);
        rig_turn(w.rig);
        assert_int_equal(posts, 1);
        assert_int_equal(end_waiting(&w.far->end), 0);
        rig_turn(w.far_rig);
        assert_int_equal(end_waiting(&w.far->end), WAY);
        assert_int_equal(posts, 1); /* the putter had no more */
        two_close(&t);
    }
}

/* One whose pipe is full is not called for more, and the other not before half of its way is free. */
static void a_slow_reader_costs_few_calls(void **state)
{
    (void)state;
    enum { PIPE = 2 * BUF_DATA };
    for (int way = 0; way < 2; way++) {
        struct two t;
        two_init(&t);
        t.here.policy.buffer_size = PIPE;
        t.flow = rig_flow(&t.here, &t.in, NET_TCP);
        two_cross(&t);
        two_turn(&t);
        struct way w = two_way(&t, way);
        size_t done = 0;
        for (; done < PIPE + BUF_DATA; done += BUF_DATA) {
            put(&w, BUF_DATA, done);
            two_turn(&t);
        }
        posts = 0;
        for (; end_room(&w.end->end); done += BUF_DATA) {
            put(&w, BUF_DATA, done);
            two_turn(&t);
        }
        assert_int_equal(posts, 0);
        assert_int_equal(done, WAY + 2 * PIPE);
        while (w.far->len < WAY / 2) {
            assert_int_equal(posts, 0);
            rig_take(w.far);
            two_turn(&t);
        }
        assert_true(posts > 0);
        two_close(&t);
    }
}

static void small_pieces_share_a_buf(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        struct two t;
        two_open(&t, NET_TCP);
        struct way w = two_way(&t, way);
        for (int i = 0; i < 5000; i++) {
            put(&w, 1, (size_t)i);
            rig_turn(w.rig);
        }
        assert_int_equal(t.budget.used, 2 * sizeof(struct buf)); /* it and the last piece's */
        rig_turn(w.far_rig);
        rig_take(w.far);
        assert_int_equal(w.far->len, 5000);
        rig_check_pattern(w.far->got, 5000, 0);
        two_close(&t);
    }
}

static void half_close_leaves_the_other_way_open(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        struct two t;
        two_open(&t, NET_TCP);
        struct way w = two_way(&t, way), back = two_way(&t, !way);
        put(&w, 1000, 0);
        end_eof(&w.end->end);
        two_turn(&t);
        assert_false(end_at_eof(&w.far->end)); /* bytes first */
        rig_take(w.far);
        assert_true(w.far->eof && w.far->len == 1000);
        assert_false(end_peer_left(&w.far->end));
        put(&back, 500, 0);
        two_turn(&t);
        rig_take(w.end);
        assert_true(w.end->len == 500 && !w.end->eof);
        end_eof(&back.end->end);
        two_turn(&t);
        rig_take(w.end);
        assert_true(w.end->eof);
        assert_false(end_failed(&w.end->end) || end_failed(&w.far->end));
        two_close(&t);
    }
}

static void a_failure_passes_with_its_text(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        struct two t;
        struct err why;
        two_open(&t, NET_TCP);
        struct way w = two_way(&t, way);
        for (size_t done = 0; end_room(&w.end->end); done += BUF_DATA) {
            put(&w, BUF_DATA, done);
            two_turn(&t);
        }
        err_set(&why, ECONNRESET, "read: reset by way %d", way);
        rig_leave(w.end, &why);
        two_turn(&t);
        assert_true(end_failed(&w.far->end) && end_peer_left(&w.far->end));
        assert_int_equal(w.far->end.flow->why_code, ECONNRESET);
        assert_string_equal(w.far->end.flow->why, why.text);
        t.failed = 1;
        two_close(&t);
    }
}

static void a_refused_twin_fails_the_flow(void **state)
{
    (void)state;
    struct two t;
    two_init(&t);
    t.refusal = "no carrier";
    t.flow = rig_flow(&t.here, &t.in, NET_TCP);
    two_cross(&t);
    assert_true(end_write(&t.in.end, "hello", 5));
    two_turn(&t);
    assert_true(end_failed(&t.in.end));
    assert_int_equal(t.flow->why_code, EHOSTUNREACH);
    assert_string_equal(t.flow->why, "no carrier");
    t.failed = 1;
    two_close(&t);
}

static void leaving_well_keeps_what_was_put(void **state)
{
    (void)state;
    enum { TOTAL = 30 * BUF_DATA };
    for (int way = 0; way < 2; way++) {
        struct two t;
        two_open(&t, NET_TCP);
        struct way w = two_way(&t, way), back = two_way(&t, !way);
        for (size_t done = 0; done < TOTAL; done += BUF_DATA)
            put(&w, BUF_DATA, done);
        put(&back, 700, 0);
        rig_leave(w.end, NULL);
        two_turn(&t);
        put(&back, 5000, 0); /* nobody takes it, and nobody waits for that */
        while (!w.far->eof) {
            assert_int_equal(end_peer_left(&w.far->end),
                             w.far->len + end_waiting(&w.far->end) == TOTAL);
            rig_take(w.far);
            two_turn(&t);
        }
        assert_int_equal(w.far->len, TOTAL);
        rig_check_pattern(w.far->got, TOTAL, 0);
        assert_false(end_failed(&w.far->end));
        put(&back, 5000, 0);
        assert_int_equal(end_unread(&w.far->end), 0);
        two_close(&t);
    }
}

static void what_was_put_before_the_twin_reaches_it(void **state)
{
    (void)state;
    for (int leaves = 0; leaves < 2; leaves++) {
        struct two t;
        two_init(&t);
        t.flow = rig_flow(&t.here, &t.in, NET_TCP);
        assert_true(end_write(&t.in.end, "hello", 5));
        two_cross(&t);
        if (leaves)
            rig_leave(&t.in, NULL);
        rig_turn(&t.here);
        assert_null(t.twin);
        rig_turn(&t.there);
        rig_take(&t.out);
        assert_int_equal(t.out.len, 5);
        assert_int_equal(t.out.eof, leaves);
        two_close(&t);
    }
}

static void a_flow_that_fails_first_has_no_twin(void **state)
{
    (void)state;
    struct two t;
    struct err why;
    two_init(&t);
    t.flow = rig_flow(&t.here, &t.in, NET_TCP);
    two_cross(&t);
    put(&(struct way){&t.here, &t.there, &t.in, &t.out}, 1000, 0);
    err_set(&why, ECONNRESET, "gone");
    rig_leave(&t.in, &why);
    rig_turn(&t.here);
    two_turn(&t);
    assert_null(t.twin);
    t.failed = 1;
    two_close(&t);
}

static void datagrams_pass_whole_and_too_many_are_dropped(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        struct two t;
        two_open(&t, NET_UDP);
        struct way w = two_way(&t, way);
        for (size_t i = 0; i < 40; i++)
            put(&w, i * 10, 0); /* the first is empty: also a datagram */
        two_turn(&t);
        rig_take(w.far);
        assert_int_equal(w.far->count, 40);
        for (size_t i = 0; i < 40; i++)
            assert_int_equal(w.far->sizes[i], i * 10);
        for (size_t i = 0; i < 150; i++) {
            assert_true(end_room(&w.end->end) > 0); /* nobody waits for a slow loop */
            put(&w, i, 0);
            rig_turn(w.rig);
        }
        assert_int_equal(rig_stat(w.rig, STAT_datagrams_dropped), 150 - PACKETS);
        assert_int_equal(w.rig->loop.datagrams, 0);
        rig_turn(w.far_rig);
        assert_int_equal(w.far_rig->loop.datagrams, PACKETS);
        rig_take(w.far);
        assert_int_equal(w.far->count, 40 + PACKETS);
        for (size_t i = 0; i < PACKETS; i++)
            assert_int_equal(w.far->sizes[40 + i], i);
        assert_int_equal(rig_stat(w.far_rig, STAT_datagrams_dropped), 0);
        two_close(&t);
    }
}

static void that_the_target_was_reached_passes(void **state)
{
    (void)state;
    struct two t;
    two_open(&t, NET_TCP);
    t.in.wakes = 0;
    end_opened(&t.out.end);
    two_turn(&t);
    assert_true(end_is_opened(&t.in.end));
    assert_true(t.in.wakes > 0);
    two_close(&t);
}

static void the_twin_is_the_same_flow(void **state)
{
    (void)state;
    struct two t;
    const struct user user = {.email = "a@b", .traffic = {STAT_FIXED, STAT_FIXED + 1}};
    two_init(&t);
    t.flow = rig_flow(&t.here, &t.in, NET_TCP);
    t.flow->meta.user = &user;
    t.flow->meta.outbound_tag = "portal";
    t.flow->meta.by_rule = true;
    t.flow->meta.source = rig_addr("192.0.2.1", 4711);
    t.flow->meta.target = rig_addr("example.com", 80);
    t.flow->carrier = true;
    two_cross(&t);
    two_turn(&t);
    assert_true(t.twin->twin && t.twin->carrier && !t.twin->packets && !t.twin->opened);
    assert_memory_equal(&t.twin->meta, &t.flow->meta, sizeof t.flow->meta);
    assert_ptr_equal(t.twin->policy, t.flow->policy);
    assert_ptr_equal(t.twin->loop, &t.there.loop);
    assert_int_equal(t.twin->id, t.flow->id);
    assert_true(end_write(&t.in.end, "12345", 5)); /* counted once, where the user is */
    assert_true(end_write(&t.out.end, "123", 3));
    two_turn(&t);
    assert_int_equal(rig_stat(&t.here, STAT_FIXED), 5);
    assert_int_equal(rig_stat(&t.here, STAT_FIXED + 1), 3);
    assert_int_equal(rig_stat(&t.there, STAT_FIXED), 0);
    assert_int_equal(rig_stat(&t.there, STAT_FIXED + 1), 0);
    two_close(&t);
}

static void taking_a_seat_over_keeps_what_waits(void **state)
{
    (void)state;
    struct two t;
    struct rig_end waiter = {.idle = true};
    two_init(&t);
    t.flow = rig_flow(&t.here, &t.in, NET_TCP);
    rig_join(t.flow, &waiter);
    put(&(struct way){&t.here, &t.there, &t.in, &t.out}, 5000, 0);
    assert_true(end_write(&waiter.end, "early", 5));
    end_opened(&waiter.end);
    rig_turn(&t.here);
    assert_true(cross_take_over(&waiter.end, &t.there.loop, on_twin, &t));
    two_turn(&t);
    assert_true(t.twin->opened);
    rig_take(&t.out);
    assert_int_equal(t.out.len, 5000);
    rig_check_pattern(t.out.got, 5000, 0);
    assert_true(end_write(&t.out.end, " late", 5));
    two_turn(&t);
    rig_take(&t.in);
    assert_int_equal(t.in.len, 10);
    assert_memory_equal(t.in.got, "early late", 10);
    two_close(&t);
}

static void without_memory_nothing_happens(void **state)
{
    (void)state;
    struct two t;
    struct rig_end waiter = {.idle = true};
    two_init(&t);
    t.flow = rig_flow(&t.here, &t.in, NET_TCP);
    calloc_fails = true;
    bool crossed = cross_flow(t.flow, &t.there.loop, on_twin, &t);
    calloc_fails = false;
    assert_false(crossed);
    assert_null(t.flow->ends[1]);
    rig_join(t.flow, &waiter);
    calloc_fails = true;
    crossed = cross_take_over(&waiter.end, &t.there.loop, on_twin, &t);
    calloc_fails = false;
    assert_false(crossed);
    assert_ptr_equal(t.flow->ends[1], &waiter.end);
    rig_leave(&waiter, NULL);
    two_close(&t);
}

/* --- idle time --- */

static void two_later(struct two *t, double seconds)
{
    clock_forward(seconds);
    two_turn(t);
}

static bool two_failed(const struct two *t)
{
    assert_int_equal(end_failed(&t->in.end), end_failed(&t->out.end));
    return end_failed(&t->in.end);
}

static void a_crossing_in_which_nothing_moves_fails(void **state)
{
    (void)state;
    struct two t;
    two_open(&t, NET_TCP);
    two_later(&t, 299);
    two_later(&t, 2);
    assert_false(two_failed(&t)); /* each asks the other */
    two_later(&t, 2);
    assert_true(two_failed(&t));
    assert_string_equal(t.flow->why, "idle for 300 s");
    assert_string_equal(t.twin->why, "idle for 300 s");
    t.failed = 1;
    two_close(&t);
}

/* Its bytes all wait in the other flow, where they are taken one by one. */
static void a_slow_reader_keeps_the_other_flows_alive(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct two t;
        int way = i % 2;
        two_open_row(&t, NET_TCP, i / 2 * 2);
        struct way w = two_way(&t, way);
        struct policy strict = t.here.policy;
        strict.conn_idle = 120; /* the first flow asks when the others need not yet */
        flow_limit(t.flow, &strict);
        put(&w, 1000, 0);
        two_turn(&t);
        for (int taken = 0; taken < 100; taken++) {
            two_later(&t, 50);
            struct buf *b = end_take(&w.far->end);
            assert_non_null(b);
            buf_pull(b, 1);
            end_untake(&w.far->end, b);
            assert_false(two_failed(&t));
        }
        two_later(&t, 301);
        for (int more = 0; more < 5; more++) /* the last answer, and that there is no newer one */
            two_later(&t, 2);
        assert_true(two_failed(&t));
        t.failed = 1;
        two_close(&t);
    }
}

/* --- any order of events, ended at any moment as the owner of loops ends them --- */

static void loops_finish(struct loop *a, struct loop *b)
{
    bool more;
    do {
        more = loop_finish(a);
        more |= loop_finish(b);
    } while (more);
}

static void two_finish(struct two *t)
{
    struct err why;
    err_set(&why, ECANCELED, "v2c stops");
    t->in.idle = t->out.idle = false;
    flows_abort(&t->here.loop, &why);
    loop_settle(&t->here.loop);
    flows_abort(&t->there.loop, &why);
    loop_settle(&t->there.loop);
    loops_finish(&t->here.loop, &t->there.loop);
}

static void any_step(struct two *t, int way, size_t *done)
{
    struct way w = two_way(t, way);
    unsigned what = randombytes_uniform(200);
    struct err why;
    err_set(&why, EPIPE, "left");
    if (what < 40)
        rig_turn(w.rig);
    if (what < 40 || (way == 1 && !t->twin) || w.end->left)
        return;
    if (what < 150 && end_room(&w.end->end) && !end_sent_eof(&w.end->end)) {
        size_t len = 1 + randombytes_uniform(BUF_DATA);
        put(&w, len, *done);
        *done += len;
    } else if (what < 190) {
        rig_take(w.end);
    } else if (what < 194) {
        end_eof(&w.end->end);
    } else if (what < 197) {
        rig_leave(w.end, what < 195 ? &why : NULL);
    }
}

static void any_order_and_any_end_is_survived(void **state)
{
    (void)state;
    enum { RUNS = 1500 };
    for (int run = 0; run < RUNS; run++) {
        struct two t;
        size_t done[2] = {0};
        two_init(&t);
        t.onward = run % 4 ? 0 : 2;
        t.flow = rig_flow(&t.here, &t.in, NET_TCP);
        two_cross(&t);
        for (unsigned n = randombytes_uniform(100); n; n--) {
            int way = (int)randombytes_uniform(2);
            any_step(&t, way, &done[way]);
        }
        for (int way = 0; way < 2; way++) {
            struct way w = two_way(&t, way);
            assert_true(w.far->len <= done[way]);
            rig_check_pattern(w.far->got, w.far->len, 0);
        }
        two_finish(&t);
        two_fini(&t);
    }
}

static void a_word_to_drain_crosses_once(void **state)
{
    (void)state;
    struct two t;
    two_open(&t, NET_TCP);
    flow_drain(t.twin);
    two_turn(&t);
    assert_int_equal(t.in.drains, 1);
    assert_int_equal(t.out.drains, 1);
    flow_drain(t.flow);
    two_turn(&t);
    assert_int_equal(t.in.drains, 2);
    assert_int_equal(t.out.drains, 2);
    two_close(&t);
}

/* A loop that has ended opens nothing; the flow hears of it. */
static void an_ended_loop_begins_no_twin(void **state)
{
    (void)state;
    struct two t;
    struct err why;
    two_init(&t);
    err_set(&why, ECANCELED, "v2c stops");
    flows_abort(&t.there.loop, &why);
    loop_settle(&t.there.loop);
    t.flow = rig_flow(&t.here, &t.in, NET_TCP);
    two_cross(&t);
    put(&(struct way){&t.here, &t.there, &t.in, &t.out}, 1000, 0);
    two_turn(&t);
    assert_null(t.twin);
    assert_true(end_failed(&t.in.end));
    assert_int_equal(t.flow->why_code, ECANCELED);
    t.failed = 1;
    two_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_pass_in_order),
        cmocka_unit_test(bytes_pass_three_crossings_in_a_row),
        cmocka_unit_test(what_waits_is_bounded_and_moves_on_at_half),
        cmocka_unit_test(a_loop_that_does_not_look_is_called_once),
        cmocka_unit_test(a_slow_reader_costs_few_calls),
        cmocka_unit_test(small_pieces_share_a_buf),
        cmocka_unit_test(half_close_leaves_the_other_way_open),
        cmocka_unit_test(a_failure_passes_with_its_text),
        cmocka_unit_test(a_refused_twin_fails_the_flow),
        cmocka_unit_test(leaving_well_keeps_what_was_put),
        cmocka_unit_test(what_was_put_before_the_twin_reaches_it),
        cmocka_unit_test(a_flow_that_fails_first_has_no_twin),
        cmocka_unit_test(datagrams_pass_whole_and_too_many_are_dropped),
        cmocka_unit_test(that_the_target_was_reached_passes),
        cmocka_unit_test(the_twin_is_the_same_flow),
        cmocka_unit_test(taking_a_seat_over_keeps_what_waits),
        cmocka_unit_test(without_memory_nothing_happens),
        cmocka_unit_test(a_crossing_in_which_nothing_moves_fails),
        cmocka_unit_test(a_slow_reader_keeps_the_other_flows_alive),
        cmocka_unit_test(any_order_and_any_end_is_survived),
        cmocka_unit_test(a_word_to_drain_crosses_once),
        cmocka_unit_test(an_ended_loop_begins_no_twin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
