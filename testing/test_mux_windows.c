#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdlib.h>

#include "mux/session.h"
#include "testing/clock.h"
#include "testing/mux_rig.h"

enum { FIRST = 65536, FLOOD = 1000 * 1000 };

/* Memory is out for the muxes while this is set. */
static bool no_bufs;

struct buf *__real_buf_new(struct buf_pool *pool);
struct buf *__wrap_buf_new(struct buf_pool *pool);

struct buf *__wrap_buf_new(struct buf_pool *pool)
{
    return no_bufs ? NULL : __real_buf_new(pool);
}

static bool no_writes;

bool __real_end_write(struct end *e, const void *from, size_t len);
bool __wrap_end_write(struct end *e, const void *from, size_t len);

bool __wrap_end_write(struct end *e, const void *from, size_t len)
{
    return !no_writes && __real_end_write(e, from, len);
}

/* Two muxes that are joined, or one of them with the test as its peer. */
struct test {
    struct rig rig;
    struct budget budget;
    struct peer client, server;
    struct far *wire;
    uint8_t *bytes; /* FLOOD */
};

static int test_open(void **state)
{
    struct test *t = calloc(1, sizeof *t);
    if (!t || !(t->bytes = calloc(1, FLOOD)))
        return -1;
    rig_init(&t->rig);
    t->rig.loop.bufs.budget = &t->budget;
    peer_init(&t->rig, &t->client, true);
    peer_init(&t->rig, &t->server, false);
    *state = t;
    return 0;
}

static int test_close(void **state)
{
    struct test *t = *state;
    struct peer *peers[] = {&t->client, &t->server};
    for (int i = 0; i < 2; i++)
        if (peers[i]->mux.end.flow && !peers[i]->closed)
            mux_close(&peers[i]->mux, NULL);
    bool clean = rig_fini(&t->rig) && t->budget.used == 0 && t->budget.promised == 0;
    free(t->bytes);
    free(t);
    return clean ? 0 : -1;
}

static void join(struct test *t)
{
    peers_join(&t->rig, &t->client, &t->server, 16384);
    mux_start(&t->client.mux);
    mux_start(&t->server.mux);
    rig_turn(&t->rig);
}

static void server_open(struct test *t, uint32_t window)
{
    t->wire = peer_wire(&t->rig, &t->server);
    mux_start(&t->server.mux);
    far_say_features(t->wire, LINK_WINDOWS, window);
    rig_turn(&t->rig);
}

static void say_new(struct test *t, uint16_t id)
{
    struct mux_frame f = {.id = id, .status = MUX_NEW, .net = NET_TCP};
    f.target = (struct addr){.type = ADDR_IPV4, .port = 80, .ip = {10, 9, 8, 7}};
    far_say_frame(t->wire, &f, NULL);
    rig_turn(&t->rig);
}

static void say_keep(struct test *t, uint16_t id, size_t len)
{
    for (size_t part; len; len -= part) {
        part = len < 16384 ? len : 16384;
        far_say_frame(
            t->wire,
            &(struct mux_frame){
                .id = id, .status = MUX_KEEP, .option = MUX_DATA, .data_len = (uint16_t)part},
            t->bytes);
    }
    rig_turn(&t->rig);
}

/* What the mux has written since the last time. */
struct written {
    size_t data, blocked, ends;
    uint64_t credit;
};

static struct written written(struct test *t)
{
    struct written w = {0};
    struct mux_frame f;
    const uint8_t *data;
    while (far_next_frame(t->wire, &f, &data)) {
        struct cursor c = cur_of(data, f.data_len);
        struct link_item i;
        w.data += f.status == MUX_KEEP ? f.data_len : 0;
        w.ends += f.status == MUX_END;
        while (f.status == MUX_KEEPALIVE && link_read_magic(&c) && link_read(&c, &i)) {
            w.blocked += i.type == LINK_BLOCKED;
            w.credit += i.type == LINK_WINDOW ? i.credit : 0;
        }
    }
    return w;
}

/* --- sending --- */

static void no_more_is_sent_than_the_window_allows(void **state)
{
    struct test *t = *state;
    server_open(t, 1000);
    say_new(t, 1);
    far_say(t->server.opened[0], t->bytes, 2500);
    rig_turn(&t->rig);
    struct written w = written(t);
    assert_int_equal(w.data, 1000);
    assert_int_equal(w.blocked, 1);
    far_say(t->server.opened[0], t->bytes, 10); /* it is blocked already */
    rig_turn(&t->rig);
    far_say_item(t->wire, &(struct link_item){.type = LINK_WINDOW, .stream = 1, .credit = 1500});
    rig_turn(&t->rig);
    w = written(t);
    assert_int_equal(w.data, 1500);
    assert_int_equal(w.blocked, 1); /* anew, for the ten bytes */
    far_say_item(t->wire, &(struct link_item){.type = LINK_WINDOW, .stream = 1, .credit = 10});
    rig_turn(&t->rig);
    w = written(t);
    assert_int_equal(w.data, 10);
    assert_int_equal(w.blocked, 0);
}

static void without_any_credit_nothing_is_sent(void **state)
{
    struct test *t = *state;
    server_open(t, 0);
    say_new(t, 1);
    far_say(t->server.opened[0], t->bytes, 5);
    rig_turn(&t->rig);
    struct written w = written(t);
    assert_int_equal(w.data, 0);
    assert_int_equal(w.blocked, 1);
}

static void the_end_needs_no_credit(void **state)
{
    struct test *t = *state;
    server_open(t, 5);
    say_new(t, 1);
    far_say(t->server.opened[0], t->bytes, 5);
    end_eof(&t->server.opened[0]->end);
    rig_turn(&t->rig);
    struct written w = written(t);
    assert_int_equal(w.data, 5);
    assert_int_equal(w.blocked, 0);
    assert_true(session_find(&t->server.mux, 1)->said_eof);
}

static void what_waits_for_credit_stops_its_source_and_costs_little(void **state)
{
    struct test *t = *state;
    server_open(t, FIRST);
    say_new(t, 1);
    struct far *target = t->server.opened[0];
    size_t said = 0;
    for (; said < FLOOD && end_room(&target->end); said += 10000) {
        far_say(target, t->bytes, 10000);
        rig_turn(&t->rig);
    }
    assert_true(said >= FIRST && said < FIRST + 65536 + 2 * 10000);
}

static void streams_begun_before_hello_have_what_they_sent_counted(void **state)
{
    struct test *t = *state;
    t->wire = peer_wire(&t->rig, &t->client);
    mux_start(&t->client.mux);
    struct far *a = peer_visitor(&t->client, NET_TCP), *b = peer_visitor(&t->client, NET_TCP);
    far_say(a, t->bytes, 100000);
    far_say(b, t->bytes, 30000);
    rig_turn(&t->rig);
    assert_int_equal(written(t).data, 130000);
    far_say_features(t->wire, LINK_WINDOWS, FIRST);
    rig_turn(&t->rig);
    far_say(a, t->bytes, 100), far_say(b, t->bytes, 100000);
    rig_turn(&t->rig);
    assert_int_equal(written(t).data, FIRST - 30000);
    uint32_t owed = 100000 - FIRST + 100;
    far_say_item(t->wire, &(struct link_item){.type = LINK_WINDOW, .stream = 1, .credit = owed});
    rig_turn(&t->rig);
    assert_int_equal(written(t).data, 100);
}

static void datagrams_have_no_windows(void **state)
{
    struct test *t = *state;
    t->wire = peer_wire(&t->rig, &t->client);
    mux_start(&t->client.mux);
    far_say_features(t->wire, LINK_WINDOWS, 0);
    rig_turn(&t->rig);
    struct far *visitor = peer_visitor(&t->client, NET_UDP);
    for (int i = 0; i < 100; i++) {
        far_put_packet(visitor, t->bytes, 2000);
        rig_turn(&t->rig);
    }
    struct written w = written(t);
    assert_int_equal(w.data, 100 * 2000);
    assert_int_equal(w.blocked, 0);
}

/* --- receiving --- */

static void what_was_read_is_given_back_and_no_more(void **state)
{
    struct test *t = *state;
    server_open(t, FIRST);
    say_new(t, 1);
    uint64_t granted = WINDOW_FIRST, said = 0;
    for (int i = 0; i < 40; i++) {
        clock_forward(0.1); /* nothing calls for a larger window */
        size_t part = (size_t)(granted - said) < 20000 ? (size_t)(granted - said) : 20000;
        say_keep(t, 1, part);
        said += part;
        granted += written(t).credit;
        assert_true(granted <= said + WINDOW_FIRST);
        assert_true(granted >= said + WINDOW_FIRST / 2);
    }
    assert_int_equal(t->server.opened[0]->len, said);
}

static void the_window_of_a_sender_that_says_blocked_grows(void **state)
{
    for (int says = 0; says < 2; says++) {
        struct test *t = *state;
        server_open(t, FIRST);
        say_new(t, 1);
        const struct mux_session *s = session_find(&t->server.mux, 1);
        for (int i = 0; i < 10; i++) {
            clock_forward(0.1); /* nothing else calls for a larger window */
            if (says)
                far_say_item(t->wire, &(struct link_item){.type = LINK_BLOCKED, .stream = 1});
            say_keep(t, 1, (size_t)(s->window.granted - s->came));
        }
        assert_true(says ? s->window.size >= 4 * WINDOW_FIRST : s->window.size == WINDOW_FIRST);
        assert_int_equal(test_close(state), 0);
        assert_int_equal(test_open(state), 0);
    }
}

static void a_reader_that_stops_holds_up_itself_alone(void **state)
{
    struct test *t = *state;
    server_open(t, FIRST);
    say_new(t, 1), say_new(t, 2);
    t->server.opened[0]->refuses = true;
    say_keep(t, 1, WINDOW_FIRST);
    say_keep(t, 2, 5);
    assert_int_equal(t->server.opened[1]->len, 5);
    assert_null(t->server.mux.stalled);
    assert_int_equal(written(t).credit, 0);
    far_read_on(t->server.opened[0]);
    rig_turn(&t->rig);
    assert_int_equal(t->server.opened[0]->len, WINDOW_FIRST);
    assert_true(written(t).credit >= WINDOW_FIRST);
}

/* A client sends without limit until it has heard HELLO. */
static void who_sent_far_more_than_was_granted_is_given_the_rest_as_it_is_read(void **state)
{
    struct test *t = *state;
    t->rig.policy.buffer_size = 16 * WINDOW_FIRST;
    server_open(t, FIRST);
    say_new(t, 1);
    struct far *target = t->server.opened[0];
    target->refuses = true;
    say_keep(t, 1, 8 * WINDOW_FIRST);
    uint64_t granted = WINDOW_FIRST + written(t).credit, taken = 0;
    struct buf *b;
    while ((b = end_take(&target->end))) {
        clock_forward(0.1);
        taken += b->len;
        buf_free(&t->rig.loop.bufs, b);
        rig_turn(&t->rig);
        granted += written(t).credit;
        assert_true(granted >= taken + WINDOW_FIRST / 2);
    }
    assert_int_equal(taken, 8 * WINDOW_FIRST);
}

static void between_two_muxes_a_reader_that_stops_holds_up_itself_alone(void **state)
{
    struct test *t = *state;
    join(t);
    struct far *a = peer_visitor(&t->client, NET_TCP), *b = peer_visitor(&t->client, NET_TCP);
    rig_turn(&t->rig);
    struct far *to_a = t->server.opened[0], *to_b = t->server.opened[1];
    a->refuses = to_a->refuses = true;
    size_t said = 0;
    for (int i = 0; i < 2000; i++) {
        if (end_room(&to_a->end))
            far_say(to_a, t->bytes, 1000);
        far_say(b, t->bytes, 1000);
        far_say(to_b, t->bytes, 1000);
        said += 1000;
        rig_turn(&t->rig);
        assert_true(b->len == said && to_b->len == said);
        assert_null(t->client.mux.stalled);
    }
    assert_true(end_unread(&session_find(&t->client.mux, 1)->end) <= WINDOW_FIRST);
    assert_false(a->failed);
}

/* It is treated like one that has no windows. */
static void a_peer_that_ignores_windows_is_stalled(void **state)
{
    struct test *t = *state;
    t->budget.limit = 1 << 20; /* nothing to spare */
    budget_add(&t->budget, 1 << 19);
    t->rig.policy.buffer_size = 20000;
    server_open(t, FIRST);
    say_new(t, 1);
    t->server.opened[0]->refuses = true;
    say_keep(t, 1, 2 * WINDOW_FIRST);
    assert_non_null(t->server.mux.stalled);
    assert_true(end_unread(&t->server.mux.stalled->end) <= WINDOW_FIRST + BUF_BYTES);
    budget_add(&t->budget, -(1 << 19));
}

/* However much an old peer's stream had queued before it held the others up: they need not wait for all of it. */
static void a_link_goes_on_once_the_reader_that_held_it_up_does(void **state)
{
    struct test *t = *state;
    t->budget.limit = 64 << 20;
    t->wire = peer_wire(&t->rig, &t->server);
    mux_start(&t->server.mux);
    say_new(t, 1), say_new(t, 2);
    struct far *slow = t->server.opened[0];
    slow->refuses = true;
    say_keep(t, 1, (4 << 20) + 100 * 1000);
    say_keep(t, 2, 1000);
    assert_non_null(t->server.mux.stalled);
    assert_int_equal(t->server.opened[1]->len, 0);
    for (size_t taken = 0; taken < 300 * 1000;) {
        struct buf *b = end_take(&slow->end);
        taken += b->len;
        buf_free(&t->rig.loop.bufs, b);
    }
    rig_turn(&t->rig);
    assert_null(t->server.mux.stalled);
    assert_int_equal(t->server.opened[1]->len, 1000);
}

static void bytes_that_nobody_takes_any_more_are_given_back_too(void **state)
{
    struct test *t = *state;
    server_open(t, 100);
    say_new(t, 1);
    struct far *target = t->server.opened[0];
    far_say(target, t->bytes, 200); /* keeps the stream: it has no credit for the rest */
    rig_turn(&t->rig);
    far_leave(target, 0);
    rig_turn(&t->rig);
    written(t);
    say_keep(t, 1, WINDOW_FIRST);
    assert_true(written(t).credit >= WINDOW_FIRST / 2);
    far_say_item(t->wire, &(struct link_item){.type = LINK_WINDOW, .stream = 1, .credit = 100});
    rig_turn(&t->rig);
    struct written w = written(t);
    assert_int_equal(w.data, 100);
    assert_int_equal(w.ends, 1);
}

static void when_memory_is_out_a_stream_that_nobody_reads_ends_and_others_do_not(void **state)
{
    struct test *t = *state;
    t->budget.limit = 8 << 20;
    server_open(t, FIRST);
    say_new(t, 1), say_new(t, 2);
    t->server.opened[0]->refuses = true;
    say_keep(t, 1, WINDOW_FIRST - 1000);
    budget_add(&t->budget, 8 << 20);
    say_keep(t, 1, 1000);
    say_keep(t, 2, 1000);
    assert_true(t->server.opened[0]->failed || !session_find(&t->server.mux, 1));
    assert_int_equal(t->server.opened[1]->len, 1000);
    assert_int_equal(rig_stat(&t->rig, STAT_mux_shed), 1);
    assert_int_equal(written(t).ends, 1);
    budget_add(&t->budget, -(8 << 20));
}

/* Each stream that waits for its target costs a buf, however little it says: memory for very few bytes. */
static void when_memory_is_out_no_stream_is_opened(void **state)
{
    struct test *t = *state;
    t->budget.limit = 8 << 20;
    server_open(t, FIRST);
    say_new(t, 1);
    budget_add(&t->budget, 9 << 20);
    say_new(t, 2);
    assert_int_equal(t->server.opened_count, 1);
    assert_int_equal(t->server.mux.sessions, 1);
    assert_int_equal(written(t).ends, 1); /* this peer has no answers */
    budget_add(&t->budget, -(9 << 20));
    say_new(t, 3);
    assert_int_equal(t->server.opened_count, 2);
}

static void without_memory_for_a_part_the_stream_ends_and_the_loop_goes_on(void **state)
{
    struct test *t = *state;
    server_open(t, 1000);
    say_new(t, 1);
    far_say(t->server.opened[0], t->bytes, 2000);
    no_bufs = true;
    rig_turn(&t->rig);
    no_bufs = false;
    rig_turn(&t->rig);
    assert_true(t->server.opened[0]->failed);
    assert_int_equal(t->server.mux.sessions, 0);
    assert_false(t->server.closed);
}

/* A frame that is lost in silence would leave a stream open, or cut off. */
static void without_memory_for_a_frame_the_link_fails(void **state)
{
    struct test *t = *state;
    server_open(t, 1000);
    say_new(t, 1);
    end_eof(&t->server.opened[0]->end);
    no_writes = true;
    rig_turn(&t->rig);
    no_writes = false;
    assert_true(t->server.closed && t->server.opened[0]->failed);
    assert_int_equal(t->server.why, ECONNRESET);
}

#define LAW(f) cmocka_unit_test_setup_teardown(f, test_open, test_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAW(no_more_is_sent_than_the_window_allows),
        LAW(without_any_credit_nothing_is_sent),
        LAW(the_end_needs_no_credit),
        LAW(what_waits_for_credit_stops_its_source_and_costs_little),
        LAW(streams_begun_before_hello_have_what_they_sent_counted),
        LAW(who_sent_far_more_than_was_granted_is_given_the_rest_as_it_is_read),
        LAW(datagrams_have_no_windows),
        LAW(what_was_read_is_given_back_and_no_more),
        LAW(the_window_of_a_sender_that_says_blocked_grows),
        LAW(a_reader_that_stops_holds_up_itself_alone),
        LAW(between_two_muxes_a_reader_that_stops_holds_up_itself_alone),
        LAW(a_peer_that_ignores_windows_is_stalled),
        LAW(a_link_goes_on_once_the_reader_that_held_it_up_does),
        LAW(bytes_that_nobody_takes_any_more_are_given_back_too),
        LAW(when_memory_is_out_a_stream_that_nobody_reads_ends_and_others_do_not),
        LAW(when_memory_is_out_no_stream_is_opened),
        LAW(without_memory_for_a_part_the_stream_ends_and_the_loop_goes_on),
        LAW(without_memory_for_a_frame_the_link_fails),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
