#include "testing/clock.h"
#include "testing/rig.h"

#include <sodium.h>
#include <stdlib.h>

enum { PACKETS_LIMIT = 64 }; /* datagrams in one pipe */

static struct buf *pattern_buf(struct loop *l, size_t len, size_t position)
{
    struct buf *b = buf_new(&l->bufs);
    assert_non_null(b);
    rig_pattern(b->data, len, position);
    b->len = len;
    return b;
}

/* A flow of two idle ends: they only count their wake-ups. */
struct pair {
    struct rig rig;
    struct rig_end in, out;
    struct flow *flow;
};

static void pair_open(struct pair *p, enum net net, size_t limit)
{
    memset(p, 0, sizeof *p);
    rig_open(&p->rig);
    p->rig.policy.buffer_size = limit;
    p->in.idle = p->out.idle = true;
    p->flow = rig_flow(&p->rig, &p->in, net);
    rig_join(p->flow, &p->out);
    rig_turn(&p->rig);
    p->in.wakes = p->out.wakes = 0;
}

static void pair_close(struct pair *p)
{
    if (!p->in.left)
        rig_leave(&p->in, NULL);
    if (!p->out.left)
        rig_leave(&p->out, NULL);
    rig_end_free(&p->in);
    rig_end_free(&p->out);
    rig_close(&p->rig);
}

static void put(struct pair *p, struct rig_end *e, size_t len)
{
    end_put(&e->end, pattern_buf(&p->rig.loop, len, 0));
}

/* --- single laws --- */

static void every_change_wakes_the_peer_later_and_once(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, NET_TCP, 100000);
    put(&p, &p.in, 10);
    put(&p, &p.in, 10);
    assert_true(end_write(&p.in.end, "abc", 3));
    end_eof(&p.in.end);
    assert_int_equal(p.out.wakes, 0); /* nobody calls up */
    rig_turn(&p.rig);
    assert_int_equal(p.out.wakes, 1);
    assert_int_equal(p.in.wakes, 0);
    end_eof(&p.in.end); /* no change */
    rig_turn(&p.rig);
    assert_int_equal(p.out.wakes, 1);
    pair_close(&p);
}

static void a_starved_putter_is_woken_at_half(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, NET_TCP, 8 * BUF_DATA);
    while (end_room(&p.in.end))
        put(&p, &p.in, BUF_DATA);
    rig_turn(&p.rig);
    for (int taken = 1; taken <= 8; taken++) {
        buf_free(&p.rig.loop.bufs, end_take(&p.out.end));
        rig_turn(&p.rig);
        assert_int_equal(p.in.wakes, taken >= 4);
    }
    pair_close(&p);
}

static void a_putter_that_never_asked_is_not_woken(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, NET_TCP, 8 * BUF_DATA);
    for (int i = 0; i < 8; i++)
        put(&p, &p.in, BUF_DATA);
    rig_take(&p.out);
    rig_turn(&p.rig);
    assert_int_equal(p.in.wakes, 0);
    pair_close(&p);
}

static void who_asks_is_woken_once_when_no_more_than_that_waits(void **state)
{
    (void)state;
    for (size_t low = 0; low <= 8; low++) {
        struct pair p;
        pair_open(&p, NET_TCP, 100 * BUF_DATA);
        for (int i = 0; i < 8; i++)
            put(&p, &p.in, BUF_DATA);
        end_call_at(&p.in.end, low * BUF_DATA + 10);
        for (size_t left = 8; left-- > 0;) {
            buf_free(&p.rig.loop.bufs, end_take(&p.out.end));
            rig_turn(&p.rig);
            assert_int_equal(p.in.wakes, left <= low);
        }
        end_call_at(&p.in.end, 0);
        put(&p, &p.in, 5);
        buf_free(&p.rig.loop.bufs, end_take(&p.out.end));
        rig_turn(&p.rig);
        assert_int_equal(p.in.wakes, 2);
        pair_close(&p);
    }
}

static void what_was_ever_put_is_counted_whether_taken_or_not(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, NET_TCP, 100000);
    put(&p, &p.in, 3000);
    rig_take(&p.out);
    put(&p, &p.in, 40);
    assert_int_equal(end_total(&p.in.end), 3040);
    assert_int_equal(end_unread(&p.in.end), 40);
    assert_int_equal(end_total(&p.out.end), 0);
    pair_close(&p);
}

static void an_end_may_have_less_wait_for_it_never_more(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, NET_TCP, 5000);
    end_limit(&p.out.end, 6000);
    assert_int_equal(end_room(&p.in.end), 5000);
    end_limit(&p.out.end, 1000);
    assert_int_equal(end_room(&p.in.end), 1000);
    assert_int_equal(end_room(&p.out.end), 5000); /* the other way is as before */
    put(&p, &p.in, 1000);
    assert_int_equal(end_room(&p.in.end), 0);
    rig_take(&p.out);
    rig_turn(&p.rig);
    assert_true(end_room(&p.in.end) > 0 && p.in.wakes > 0);
    end_need(&p.out.end, 500);
    assert_int_equal(end_room(&p.in.end), 1000);
    end_need(&p.out.end, 7000);
    assert_int_equal(end_room(&p.in.end), 7000);
    pair_close(&p);
}

static void when_memory_is_short_little_waits_and_carriers_go_on(void **state)
{
    (void)state;
    struct budget budget = {.limit = 1 << 20};
    struct pair p;
    pair_open(&p, NET_TCP, 500000);
    p.rig.loop.bufs.budget = &budget;
    budget_add(&budget, 700000);
    assert_int_equal(end_room(&p.in.end), 500000);
    budget_add(&budget, 200000);
    assert_int_equal(end_room(&p.in.end), 32768);
    put(&p, &p.in, 16000);
    put(&p, &p.in, 16384);
    put(&p, &p.in, 16384);
    assert_int_equal(end_room(&p.in.end), 0);
    p.in.wakes = 0;
    buf_free(&p.rig.loop.bufs, end_take(&p.out.end));
    rig_turn(&p.rig);
    assert_int_equal(p.in.wakes, 0);
    buf_free(&p.rig.loop.bufs, end_take(&p.out.end));
    rig_turn(&p.rig);
    assert_int_equal(p.in.wakes, 1);
    p.flow->carrier = true;
    assert_int_equal(end_room(&p.in.end), 500000 - 16384);
    pair_close(&p);
}

static void that_the_target_was_reached_is_told_once(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, NET_TCP, 5000);
    assert_false(end_is_opened(&p.in.end) || end_is_opened(&p.out.end));
    end_opened(&p.out.end);
    end_opened(&p.out.end);
    rig_turn(&p.rig);
    end_opened(&p.out.end);
    rig_turn(&p.rig);
    assert_int_equal(p.in.wakes, 1);
    assert_true(end_is_opened(&p.in.end) && end_is_opened(&p.out.end));
    pair_close(&p);
}

static void half_close_leaves_the_other_way_open(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, NET_TCP, 100000);
    put(&p, &p.in, 100);
    end_eof(&p.in.end);
    assert_true(end_sent_eof(&p.in.end));
    assert_false(end_sent_eof(&p.out.end));
    assert_false(end_at_eof(&p.out.end)); /* there are bytes before it */
    rig_take(&p.out);
    assert_true(p.out.eof);
    assert_false(end_at_eof(&p.in.end));
    assert_false(end_peer_left(&p.out.end));
    put(&p, &p.out, 50);
    rig_take(&p.in);
    assert_int_equal(p.in.len, 50);
    assert_false(end_failed(&p.in.end));
    pair_close(&p);
}

static void leaving_well_keeps_what_was_put(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, NET_TCP, 100000);
    put(&p, &p.in, 5000);
    put(&p, &p.out, 700);
    rig_leave(&p.in, NULL);
    rig_turn(&p.rig);
    assert_true(p.out.wakes > 0);
    assert_true(end_peer_left(&p.out.end));
    assert_false(end_failed(&p.out.end));
    rig_take(&p.out);
    assert_int_equal(p.out.len, 5000);
    assert_true(p.out.eof);
    size_t kept = p.rig.loop.bufs.kept;
    put(&p, &p.out, 5000); /* nobody takes it: freed at once */
    assert_true(end_write(&p.out.end, "abc", 3));
    assert_int_equal(p.rig.loop.bufs.kept, kept);
    assert_int_equal(end_unread(&p.out.end), 0);
    pair_close(&p);
}

static void the_first_reason_is_the_flows(void **state)
{
    (void)state;
    struct pair p;
    struct err first, second;
    err_set(&first, ECONNRESET, "read: reset");
    err_set(&second, EPIPE, "write: gone");
    pair_open(&p, NET_TCP, 100000);
    rig_leave(&p.out, &first);
    rig_turn(&p.rig);
    assert_true(end_failed(&p.in.end));
    rig_leave(&p.in, &second);
    assert_string_equal(p.in.why, "read: reset");
    assert_int_equal(rig_stat(&p.rig, STAT_flows_failed), 1);
    pair_close(&p);
}

static void a_refused_flow_fails_its_first_end(void **state)
{
    (void)state;
    struct rig r;
    struct rig_end e = {0};
    struct err why;
    rig_open(&r);
    struct flow *f = rig_flow(&r, &e, NET_TCP);
    err_set(&why, EHOSTUNREACH, "no way");
    flow_refuse(f, &why);
    rig_turn(&r);
    assert_true(e.left && e.failed);
    assert_string_equal(e.why, "no way");
    f = rig_flow(&r, &e, NET_TCP);
    flow_refuse(f, NULL); /* refused well: the first end sees an orderly end */
    rig_turn(&r);
    assert_true(e.left && !e.failed);
    f = rig_flow(&r, &e, NET_TCP);
    rig_leave(&e, NULL);
    flow_refuse(f, &why); /* the first end is gone already: the flow dies here */
    rig_close(&r);
}

static void a_late_second_end_sees_what_the_first_left(void **state)
{
    (void)state;
    struct rig r;
    struct rig_end in = {.idle = true}, out = {0};
    rig_open(&r);
    struct flow *f = rig_flow(&r, &in, NET_TCP);
    assert_true(end_write(&in.end, "hello", 5));
    rig_leave(&in, NULL);
    rig_turn(&r);
    rig_join(f, &out);
    rig_turn(&r);
    assert_int_equal(out.len, 5);
    assert_true(out.left && out.eof && !out.failed);
    rig_end_free(&out);
    rig_close(&r);
}

static void aborting_fails_every_flow(void **state)
{
    (void)state;
    struct rig r;
    struct rig_end in[20] = {0}, out[20] = {0};
    struct err why;
    rig_open(&r);
    for (int i = 0; i < 20; i++) {
        struct flow *f = rig_flow(&r, &in[i], NET_TCP);
        rig_join(f, &out[i]);
        assert_true(end_write(&in[i].end, "x", 1));
    }
    err_set(&why, ECANCELED, "stops");
    flows_abort(&r.loop, &why);
    loop_settle(&r.loop);
    for (int i = 0; i < 20; i++) {
        assert_true(in[i].left && in[i].failed && out[i].left && out[i].failed);
        assert_string_equal(out[i].why, "stops");
        rig_end_free(&out[i]);
    }
    assert_int_equal(rig_stat(&r, STAT_flows_failed), 20);
    rig_close(&r);
}

static void reseating_keeps_bytes_and_wakes_the_new_end(void **state)
{
    (void)state;
    struct pair p;
    struct rig_end next = {.idle = true};
    pair_open(&p, NET_TCP, 100000);
    put(&p, &p.in, 3000);
    put(&p, &p.out, 40);
    end_reseat(&p.out.end, &next.end, &rig_end_ops);
    rig_turn(&p.rig);
    assert_int_equal(p.out.wakes, 0);
    assert_int_equal(next.wakes, 1);
    rig_take(&next);
    assert_int_equal(next.len, 3000);
    rig_check_pattern(next.got, next.len, 0);
    rig_take(&p.in);
    assert_int_equal(p.in.len, 40);
    assert_true(end_write(&next.end, "more", 4));
    rig_take(&p.in);
    assert_int_equal(p.in.len, 44);
    p.out.left = true;
    rig_leave(&p.in, NULL);
    rig_leave(&next, NULL);
    rig_end_free(&next);
    pair_close(&p);
}

static void a_seat_that_was_given_up_shows_no_trace(void **state)
{
    (void)state;
    struct pair p;
    struct rig_end next = {.idle = true};
    pair_open(&p, NET_TCP, 100000);
    put(&p, &p.in, 3000);
    assert_ptr_equal(end_peek(&p.out.end), end_peek(&p.out.end));
    assert_int_equal(end_peek(&p.out.end)->len, 3000);
    end_vacate(&p.out.end);
    put(&p, &p.in, 10);
    rig_turn(&p.rig);
    assert_int_equal(p.out.wakes, 0);
    assert_false(end_peer_left(&p.in.end));
    rig_join(p.flow, &next);
    rig_turn(&p.rig);
    assert_int_equal(next.wakes, 1);
    rig_take(&next);
    assert_int_equal(next.len, 3010);
    p.out.left = true;
    rig_leave(&next, NULL);
    rig_end_free(&next);
    pair_close(&p);
}

static void packets_are_never_joined_and_their_number_is_bounded(void **state)
{
    (void)state;
    struct pair p;
    pair_open(&p, NET_UDP, 1000000);
    for (size_t i = 0; i < PACKETS_LIMIT; i++) {
        assert_true(end_room(&p.in.end) > 0);
        put(&p, &p.in, i); /* the first is empty: also a datagram */
    }
    assert_int_equal(end_room(&p.in.end), 0);
    rig_take(&p.out);
    assert_int_equal(p.out.count, PACKETS_LIMIT);
    for (size_t i = 0; i < p.out.count; i++)
        assert_int_equal(p.out.sizes[i], i);
    pair_close(&p);
}

static void ids_are_not_zero_and_not_shared(void **state)
{
    (void)state;
    struct rig r;
    struct rig_end e[3] = {0};
    uint32_t ids[3];
    rig_open(&r);
    r.loop.next_flow = UINT32_MAX - 1;
    for (int i = 0; i < 3; i++) {
        struct flow *f = rig_flow(&r, &e[i], NET_TCP);
        ids[i] = f->id;
        flow_refuse(f, NULL);
    }
    assert_true(ids[0] == UINT32_MAX && ids[1] == 1 && ids[2] == 2);
    rig_close(&r);
}

static void bytes_of_a_user_are_counted_by_direction(void **state)
{
    (void)state;
    struct rig r;
    struct rig_end in = {.idle = true}, out = {.idle = true};
    const struct user user = {.email = "a@b", .traffic = {STAT_FIXED, STAT_FIXED + 1}};
    const struct meta m = {.net = NET_TCP, .inbound_tag = "in", .user = &user};
    rig_open(&r);
    struct flow *f = flow_new(&r.loop, &in.end, &rig_end_ops, &m, &r.policy);
    rig_join(f, &out);
    assert_true(end_write(&in.end, "12345", 5));
    assert_true(end_write(&out.end, "123", 3));
    assert_int_equal(rig_stat(&r, STAT_FIXED), 5);
    assert_int_equal(rig_stat(&r, STAT_FIXED + 1), 3);
    rig_leave(&in, NULL);
    rig_leave(&out, NULL);
    rig_close(&r);
}

/* --- idle time --- */

static void idle_pair(struct pair *p, double idle, double uplink, double downlink)
{
    memset(p, 0, sizeof *p);
    rig_open(&p->rig);
    p->rig.policy.conn_idle = idle;
    p->rig.policy.uplink_only = uplink;
    p->rig.policy.downlink_only = downlink;
    p->flow = rig_flow(&p->rig, &p->in, NET_TCP);
    rig_join(p->flow, &p->out);
}

static void a_flow_in_which_nothing_moves_fails(void **state)
{
    (void)state;
    struct pair p;
    idle_pair(&p, 0.05, 100, 100);
    RIG_UNTIL(&p.rig, p.in.left && p.out.left);
    assert_true(p.in.failed && p.out.failed);
    assert_string_equal(p.in.why, "idle for 0.05 s");
    pair_close(&p);
}

static void a_flow_in_which_bytes_move_lives(void **state)
{
    (void)state;
    struct pair p;
    idle_pair(&p, 0.2, 100, 100);
    for (ev_tstamp end = ev_time() + 0.6; ev_time() < end;) {
        rig_step(&p.rig); /* every 5 ms */
        assert_false(p.in.left);
        assert_true(end_write(&p.in.end, "x", 1));
    }
    RIG_UNTIL(&p.rig, p.in.left && p.out.left);
    pair_close(&p);
}

static void half_closed_flows_have_their_own_limits(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        struct pair p;
        idle_pair(&p, 100, side ? 0.05 : 100, side ? 100 : 0.05);
        end_eof(side ? &p.out.end : &p.in.end);
        RIG_UNTIL(&p.rig, p.in.left && p.out.left);
        assert_true(p.in.failed);
        pair_close(&p);
    }
}

/* An answer may take its time: connIdle alone says how long. */
static void datagrams_have_the_same_time_answered_or_not(void **state)
{
    (void)state;
    for (int answered = 0; answered < 2; answered++) {
        struct pair p;
        idle_pair(&p, 300, 1, 1);
        rig_leave(&p.in, NULL);
        rig_turn(&p.rig);
        p.flow = rig_flow(&p.rig, &p.in, NET_UDP);
        rig_join(p.flow, &p.out);
        assert_true(end_write(answered ? &p.out.end : &p.in.end, "x", 1));
        rig_turn(&p.rig);
        clock_forward(299);
        rig_turn(&p.rig);
        assert_false(p.in.left || p.out.left);
        clock_forward(2);
        RIG_UNTIL(&p.rig, p.in.left && p.out.left);
        assert_string_equal(p.in.why, "idle for 300 s");
        pair_close(&p);
    }
}

/* Who left has ended its side too; who stays may be a socket that its peer does not read. */
static void a_flow_that_one_end_left_has_the_half_closed_limit(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        struct pair p;
        idle_pair(&p, 100, side ? 0.05 : 100, side ? 100 : 0.05);
        p.in.stays = p.out.stays = true;
        rig_turn(&p.rig);
        rig_leave(side ? &p.out : &p.in, NULL);
        struct rig_end *left = side ? &p.in : &p.out;
        RIG_UNTIL(&p.rig, end_failed(&left->end));
        pair_close(&p);
    }
}

/* --- any sequence of events, against a model --- */

struct way {           /* one direction of the model */
    size_t put, taken; /* positions in the pattern */
    size_t sizes[PACKETS_LIMIT];
    size_t count; /* datagrams */
    bool eof, starved;
};

struct model {
    struct pair *p;
    bool packets, joined, left[2], due[2], failed;
    size_t limit;
    struct way ways[2]; /* ways[i] leads to end i */
};

static struct rig_end *model_end(struct model *m, int side)
{
    return side ? &m->p->out : &m->p->in;
}

static size_t way_bytes(const struct way *w)
{
    return w->put - w->taken;
}

static void way_add(struct model *m, struct way *w, size_t len)
{
    if (m->packets)
        w->sizes[w->count++] = len;
    w->put += len;
}

static void model_wakes_peer(struct model *m, int side)
{
    if (!m->left[!side] && (side == 1 || m->joined))
        m->due[!side] = true;
}

static void model_put(struct model *m, int side)
{
    struct way *w = &m->ways[!side];
    struct end *e = &model_end(m, side)->end;
    size_t len = (m->packets ? 0 : 1) + randombytes_uniform(6000), room = end_room(e);
    bool full = way_bytes(w) >= m->limit || (m->packets && w->count == PACKETS_LIMIT);
    assert_int_equal(room, full ? 0 : m->limit - way_bytes(w));
    w->starved |= full;
    if (full || w->eof)
        return;
    struct buf *b = pattern_buf(&m->p->rig.loop, len, w->put);
    if (m->packets || randombytes_uniform(2)) {
        end_put(e, b);
    } else {
        assert_true(end_write(e, b->data, b->len));
        buf_free(&m->p->rig.loop.bufs, b);
    }
    if (m->left[!side])
        return;
    way_add(m, w, len);
    model_wakes_peer(m, side);
    assert_true(end_unread(e) < m->limit + 6001);
}

static void model_take(struct model *m, int side)
{
    struct way *w = &m->ways[side];
    struct end *e = &model_end(m, side)->end;
    const struct buf *first = end_peek(e);
    struct buf *b = end_take(e);
    assert_ptr_equal(first, b);
    assert_true((b == NULL) == (m->packets ? !w->count : !way_bytes(w)));
    size_t len = b ? b->len : 0, after = way_bytes(w) - len;
    if (w->starved && after <= m->limit / 2) {
        w->starved = false;
        model_wakes_peer(m, side);
    }
    if (!b)
        return;
    assert_true(!m->packets || len == w->sizes[0]);
    rig_check_pattern(b->data, len, w->taken);
    if (!m->packets && randombytes_uniform(3) == 0) {
        size_t used = randombytes_uniform((uint32_t)len + 1);
        buf_pull(b, used);
        end_untake(e, b);
        w->taken += used;
        return;
    }
    buf_free(&m->p->rig.loop.bufs, b);
    w->taken += len;
    if (m->packets)
        memmove(w->sizes, w->sizes + 1, --w->count * sizeof *w->sizes);
}

static void model_eof(struct model *m, int side)
{
    struct way *w = &m->ways[!side];
    end_eof(&model_end(m, side)->end);
    if (!w->eof)
        model_wakes_peer(m, side);
    w->eof = true;
}

static void model_left(struct model *m, int side, const struct err *why)
{
    m->left[side] = true;
    m->due[side] = false;
    m->failed |= why != NULL;
    m->ways[!side].eof = true;
    m->ways[side] = (struct way){.eof = m->ways[side].eof};
    model_wakes_peer(m, side);
}

static void model_leave(struct model *m, int side)
{
    struct err why, *reason = randombytes_uniform(3) ? NULL : &why;
    err_set(&why, EPIPE, "left");
    if (side == 1 && !m->joined) {
        flow_refuse(m->p->flow, reason);
        m->p->out.left = true;
    } else {
        rig_leave(model_end(m, side), reason);
    }
    model_left(m, side, reason);
}

static void model_reseat(struct model *m, int side)
{
    struct rig_end *e = model_end(m, side);
    loop_unready(&e->end.task); /* a listed item must not be copied */
    struct rig_end old = *e;
    end_reseat(&old.end, &e->end, &rig_end_ops);
    m->due[side] = true;
}

static void model_vacate(struct model *m)
{
    end_vacate(&m->p->out.end);
    m->joined = m->due[1] = false;
}

static void model_abort(struct model *m)
{
    struct err why;
    err_set(&why, ECANCELED, "stops");
    flows_abort(&m->p->rig.loop, &why);
    m->failed = true;
    for (int side = 0; side < 2; side++)
        m->due[side] = !m->left[side] && (side == 0 || m->joined);
}

/* Exactly those ends are woken that have something new to see. */
static void model_settle(struct model *m)
{
    for (int side = 0; side < 2; side++)
        model_end(m, side)->wakes = 0;
    loop_settle(&m->p->rig.loop);
    for (int side = 0; side < 2; side++) {
        assert_int_equal(model_end(m, side)->wakes, m->due[side]);
        m->due[side] = false;
    }
}

static void model_compare(struct model *m, int side)
{
    const struct end *e = &model_end(m, side)->end;
    const struct way *in = &m->ways[side], *out = &m->ways[!side];
    assert_int_equal(end_waiting(e), way_bytes(in));
    assert_int_equal(end_unread(e), way_bytes(out));
    assert_int_equal(end_at_eof(e), in->eof && (m->packets ? !in->count : !way_bytes(in)));
    assert_int_equal(end_sent_eof(e), out->eof);
    assert_int_equal(end_peer_left(e), m->left[!side]);
    assert_int_equal(end_failed(e), m->failed);
}

static void model_step(struct model *m)
{
    int side = (int)randombytes_uniform(2);
    unsigned what = randombytes_uniform(100);
    if (m->left[side])
        return;
    if (side == 1 && !m->joined) {
        if (what < 30) {
            rig_join(m->p->flow, &m->p->out);
            m->joined = m->due[1] = true;
        } else if (what < 34) {
            model_leave(m, 1);
        }
        return;
    }
    if (what < 40)
        model_put(m, side);
    else if (what < 75)
        model_take(m, side);
    else if (what < 90)
        model_settle(m);
    else if (what < 93)
        model_eof(m, side);
    else if (what < 96)
        model_reseat(m, side);
    else if (what < 97)
        model_abort(m);
    else if (what < 98 && side == 1)
        model_vacate(m);
    else
        model_leave(m, side);
}

static void any_order_of_events_is_survived(void **state)
{
    (void)state;
    enum { RUNS = 10000, STEPS = 120 };
    struct pair p = {.in = {.idle = true}, .out = {.idle = true}};
    rig_open(&p.rig);
    for (int run = 0; run < RUNS; run++) {
        struct model m = {.p = &p,
                          .packets = randombytes_uniform(3) == 0,
                          .limit = 1 + randombytes_uniform(40000)};
        p.rig.policy.buffer_size = m.limit;
        p.flow = rig_flow(&p.rig, &p.in, m.packets ? NET_UDP : NET_TCP);
        p.out.left = false;
        for (int i = 0; i < STEPS && !(m.left[0] && m.left[1]); i++) {
            model_step(&m);
            for (int side = 0; side < 2; side++)
                if (!m.left[side] && (side == 0 || m.joined))
                    model_compare(&m, side);
        }
        for (int side = 0; side < 2; side++)
            if (!m.left[side])
                model_leave(&m, side);
        assert_null(list_first(&p.rig.loop.flows));
        assert_false(loop_is_busy(&p.rig.loop));
    }
    rig_close(&p.rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_change_wakes_the_peer_later_and_once),
        cmocka_unit_test(a_starved_putter_is_woken_at_half),
        cmocka_unit_test(a_putter_that_never_asked_is_not_woken),
        cmocka_unit_test(who_asks_is_woken_once_when_no_more_than_that_waits),
        cmocka_unit_test(what_was_ever_put_is_counted_whether_taken_or_not),
        cmocka_unit_test(an_end_may_have_less_wait_for_it_never_more),
        cmocka_unit_test(when_memory_is_short_little_waits_and_carriers_go_on),
        cmocka_unit_test(that_the_target_was_reached_is_told_once),
        cmocka_unit_test(half_close_leaves_the_other_way_open),
        cmocka_unit_test(leaving_well_keeps_what_was_put),
        cmocka_unit_test(the_first_reason_is_the_flows),
        cmocka_unit_test(a_refused_flow_fails_its_first_end),
        cmocka_unit_test(a_late_second_end_sees_what_the_first_left),
        cmocka_unit_test(aborting_fails_every_flow),
        cmocka_unit_test(reseating_keeps_bytes_and_wakes_the_new_end),
        cmocka_unit_test(a_seat_that_was_given_up_shows_no_trace),
        cmocka_unit_test(packets_are_never_joined_and_their_number_is_bounded),
        cmocka_unit_test(ids_are_not_zero_and_not_shared),
        cmocka_unit_test(bytes_of_a_user_are_counted_by_direction),
        cmocka_unit_test(a_flow_in_which_nothing_moves_fails),
        cmocka_unit_test(a_flow_in_which_bytes_move_lives),
        cmocka_unit_test(half_closed_flows_have_their_own_limits),
        cmocka_unit_test(datagrams_have_the_same_time_answered_or_not),
        cmocka_unit_test(a_flow_that_one_end_left_has_the_half_closed_limit),
        cmocka_unit_test(any_order_of_events_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
