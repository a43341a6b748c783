#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "reverse/muxed.h"
#include "testing/clock.h"
#include "testing/mux_rig.h"

enum { STREAMS = 3, WIRES = 8, WINDOW = 100000 };

/* Each flow that the inner outbound is given is a connection; the test speaks for its server. */
struct test {
    struct rig rig;
    struct outbound inner, *out;
    struct far *wires[WIRES];
    size_t wire_count;
    bool refuses, drained, freed;
};

static struct test *test_of(const struct outbound *inner)
{
    return container_of(inner, struct test, inner);
}

static void inner_open(struct outbound *inner, struct flow *f)
{
    struct test *t = test_of(inner);
    struct err why;
    if (t->refuses) {
        err_set(&why, ECONNREFUSED, "nobody listens");
        flow_refuse(f, &why);
        return;
    }
    assert_true(t->wire_count < WIRES);
    far_join(t->wires[t->wire_count++] = far_new(&t->rig), f);
}

static void inner_drain(struct outbound *inner)
{
    test_of(inner)->drained = true;
}

static void inner_free(struct outbound *inner)
{
    test_of(inner)->freed = true;
}

static const struct outbound_ops inner_ops = {
    .open = inner_open, .drain = inner_drain, .free = inner_free};

static int test_open(void **state)
{
    struct test *t = calloc(1, sizeof *t);
    if (!t)
        return -1;
    rig_init(&t->rig);
    t->inner = (struct outbound){.ops = &inner_ops, .loop = &t->rig.loop, .tag = "far"};
    t->out = muxed_new(&t->inner, STREAMS, &t->rig.policy);
    *state = t;
    return t->out ? 0 : -1;
}

static int test_close(void **state)
{
    struct test *t = *state;
    if (!t->freed)
        t->out->ops->free(t->out);
    rig_turn(&t->rig);
    bool clean = rig_fini(&t->rig);
    free(t);
    return clean ? 0 : -1;
}

static struct far *visitor(struct test *t, enum net net)
{
    struct meta m = {.net = net, .inbound_tag = "in"};
    m.target = (struct addr){.type = ADDR_IPV4, .port = 80, .ip = {192, 0, 2, 9}};
    m.source = (struct addr){.type = ADDR_IPV4, .port = 5, .ip = {192, 0, 2, 1}};
    struct far *f = far_new(&t->rig);
    t->out->ops->open(t->out, far_flow(&t->rig, f, &m));
    rig_turn(&t->rig);
    return f;
}

/* The next frame of this status. */
static bool next_of(struct far *wire, uint8_t status, struct mux_frame *f)
{
    const uint8_t *data;
    while (far_next_frame(wire, f, &data))
        if (f->status == status)
            return true;
    return false;
}

static size_t count_of(struct far *wire, uint8_t status)
{
    struct mux_frame f;
    size_t count = 0;
    while (next_of(wire, status, &f))
        count++;
    return count;
}

static void server_ends(struct test *t, size_t wire, uint16_t id)
{
    far_say_frame(t->wires[wire], &(struct mux_frame){.id = id, .status = MUX_END}, NULL);
    rig_turn(&t->rig);
}

/* --- how many streams a connection carries --- */

static void a_connection_is_dialled_to_the_mux_name(void **state)
{
    struct test *t = *state;
    struct mux_frame f;
    visitor(t, NET_TCP);
    assert_int_equal(t->wire_count, 1);
    const struct flow *wire = t->wires[0]->flow;
    assert_string_equal(wire->meta.target.name, "v1.mux.cool");
    assert_int_equal(wire->meta.target.port, 9527);
    assert_string_equal(wire->meta.outbound_tag, "far");
    assert_true(wire->carrier);
    assert_true(next_of(t->wires[0], MUX_NEW, &f));
    assert_true(f.id == 1 && f.net == NET_TCP && f.target.port == 80);
    assert_int_equal(f.source.type, ADDR_NONE); /* nobody's business there */
}

static void a_full_connection_gets_no_more(void **state)
{
    struct test *t = *state;
    for (int i = 0; i < STREAMS; i++)
        visitor(t, i % 2 ? NET_UDP : NET_TCP);
    assert_int_equal(t->wire_count, 1);
    visitor(t, NET_TCP);
    assert_int_equal(t->wire_count, 2);
    assert_int_equal(count_of(t->wires[0], MUX_NEW), STREAMS);
    assert_int_equal(count_of(t->wires[1], MUX_NEW), 1);
    server_ends(t, 0, 2);
    for (int i = 0; i < STREAMS; i++) /* the newer one has room for the first of them */
        visitor(t, NET_TCP);
    assert_int_equal(t->wire_count, 2);
    assert_int_equal(count_of(t->wires[0], MUX_NEW), 1);
    assert_int_equal(count_of(t->wires[1], MUX_NEW), STREAMS - 1);
}

static void
after_128_streams_another_one_is_dialled_and_the_old_one_ends_with_its_last(void **state)
{
    struct test *t = *state;
    for (uint16_t id = 1; id < 128; id++) {
        visitor(t, NET_TCP);
        server_ends(t, 0, id);
    }
    struct far *last = visitor(t, NET_TCP);
    assert_int_equal(t->wire_count, 1);
    visitor(t, NET_TCP);
    assert_int_equal(t->wire_count, 2);
    assert_false(t->wires[0]->left);
    far_leave(last, 0);
    rig_turn(&t->rig);
    assert_true(t->wires[0]->left && !t->wires[0]->failed);
    assert_false(t->wires[1]->left);
}

static void a_connection_without_streams_ends_after_16_to_32_seconds(void **state)
{
    struct test *t = *state;
    far_leave(visitor(t, NET_TCP), 0);
    rig_turn(&t->rig);
    clock_forward(17); /* a stream began in that time */
    rig_turn(&t->rig);
    assert_false(t->wires[0]->left);
    clock_forward(17);
    rig_turn(&t->rig);
    assert_true(t->wires[0]->left);
    visitor(t, NET_TCP);
    assert_int_equal(t->wire_count, 2);
}

static void a_stream_keeps_its_connection(void **state)
{
    struct test *t = *state;
    visitor(t, NET_TCP);
    for (int i = 0; i < 5; i++) {
        clock_forward(17);
        rig_turn(&t->rig);
    }
    assert_false(t->wires[0]->left);
}

static void a_bridges_link_has_a_connection_of_its_own(void **state)
{
    struct test *t = *state;
    struct meta m = {.net = NET_TCP, .inbound_tag = "bridge"};
    m.target = (struct addr){.type = ADDR_NAME, .name = "home.tunnel.example"};
    struct flow *f = far_flow(&t->rig, far_new(&t->rig), &m);
    f->carrier = true;
    t->out->ops->open(t->out, f);
    rig_turn(&t->rig);
    assert_int_equal(t->wire_count, 1);
    assert_ptr_equal(t->wires[0]->flow, f);
}

/* --- connections that fail --- */

static void whoever_cannot_connect_fails_with_the_reason(void **state)
{
    struct test *t = *state;
    t->refuses = true;
    struct far *f = visitor(t, NET_TCP);
    assert_true(f->left && f->failed);
    assert_non_null(strstr(f->why, "nobody listens"));
    t->refuses = false;
    visitor(t, NET_TCP);
    assert_int_equal(t->wire_count, 1);
}

/* An old server gives no answers: what it has done is not known. */
static void what_an_old_server_had_ends_with_its_connection(void **state)
{
    struct test *t = *state;
    struct far *f = visitor(t, NET_TCP);
    far_leave(t->wires[0], ECONNRESET);
    rig_turn(&t->rig);
    assert_true(f->left && f->failed);
    assert_int_equal(t->wire_count, 1);
}

static void what_a_v2c_server_had_not_answered_goes_to_another_connection(void **state)
{
    struct test *t = *state;
    struct mux_frame f;
    const uint8_t *data;
    visitor(t, NET_TCP);
    far_say_features(t->wires[0], LINK_FEATURES, WINDOW);
    rig_turn(&t->rig);
    struct far *again = visitor(t, NET_TCP);
    far_say(again, "hi", 2);
    rig_turn(&t->rig);
    assert_int_equal(t->wire_count, 1);
    far_leave(t->wires[0], ECONNRESET);
    rig_turn(&t->rig);
    assert_false(again->left);
    assert_int_equal(t->wire_count, 2);
    assert_true(next_of(t->wires[1], MUX_NEW, &f));
    assert_true(far_next_frame(t->wires[1], &f, &data));
    assert_true(f.status == MUX_KEEP && f.data_len == 2 && memcmp(data, "hi", 2) == 0);
}

/* Of the new connection it is not known whether its server gives answers. */
static void a_stream_that_was_moved_ends_with_a_connection_that_was_never_heard(void **state)
{
    struct test *t = *state;
    visitor(t, NET_TCP);
    far_say_features(t->wires[0], LINK_FEATURES, WINDOW);
    rig_turn(&t->rig);
    struct far *f = visitor(t, NET_TCP);
    far_leave(t->wires[0], ECONNRESET);
    rig_turn(&t->rig);
    assert_false(f->left);
    far_leave(t->wires[1], ECONNRESET);
    rig_turn(&t->rig);
    assert_true(f->left && f->failed);
    assert_int_equal(t->wire_count, 2);
}

static void a_server_without_room_is_left_alone_for_a_moment(void **state)
{
    struct test *t = *state;
    visitor(t, NET_TCP);
    far_say_features(t->wires[0], LINK_FEATURES, WINDOW);
    rig_turn(&t->rig);
    visitor(t, NET_TCP);
    far_say_item(t->wires[0], &(struct link_item){
                                  .type = LINK_REFUSED, .stream = 2, .refusal = REFUSED_NO_ROOM});
    rig_turn(&t->rig);
    assert_int_equal(t->wire_count, 2);
    assert_int_equal(count_of(t->wires[1], MUX_NEW), 1);
}

static void a_server_that_goes_gets_no_new_streams(void **state)
{
    struct test *t = *state;
    struct far *f = visitor(t, NET_TCP);
    far_say_features(t->wires[0], LINK_FEATURES, WINDOW);
    far_say_item(t->wires[0], &(struct link_item){.type = LINK_GOAWAY});
    rig_turn(&t->rig);
    assert_false(f->left);
    visitor(t, NET_TCP);
    assert_int_equal(t->wire_count, 2);
    far_leave(f, 0);
    rig_turn(&t->rig);
    assert_true(t->wires[0]->left);
}

static void a_silent_server_gets_no_new_streams(void **state)
{
    struct test *t = *state;
    visitor(t, NET_TCP);
    for (int i = 0; i < 20; i++) {
        clock_forward(0.5);
        rig_turn(&t->rig);
    }
    visitor(t, NET_TCP);
    assert_int_equal(t->wire_count, 2);
    assert_false(t->wires[0]->left); /* it may be waiting for somebody who does not read */
}

/* --- life --- */

static void when_it_drains_streams_go_on_and_connections_end_with_them(void **state)
{
    struct test *t = *state;
    struct far *f = visitor(t, NET_TCP);
    t->out->ops->drain(t->out);
    rig_turn(&t->rig);
    assert_true(t->drained);
    assert_true(t->out->ops->busy(t->out));
    far_say(f, "more", 4);
    rig_turn(&t->rig);
    assert_int_equal(count_of(t->wires[0], MUX_KEEP), 1);
    far_leave(f, 0);
    rig_turn(&t->rig);
    assert_false(t->out->ops->busy(t->out));
    assert_true(t->wires[0]->left);
}

static void when_it_is_freed_streams_end(void **state)
{
    struct test *t = *state;
    struct far *f = visitor(t, NET_TCP);
    t->out->ops->free(t->out);
    rig_turn(&t->rig);
    assert_true(t->freed);
    assert_true(f->left && f->failed);
    assert_true(t->wires[0]->left);
}

static void it_is_as_alive_as_what_it_wraps(void **state)
{
    struct test *t = *state;
    assert_true(t->out->ops->alive(t->out));
    assert_ptr_equal(muxed_inner(t->out), &t->inner);
}

#define LAW(f) cmocka_unit_test_setup_teardown(f, test_open, test_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAW(a_connection_is_dialled_to_the_mux_name),
        LAW(a_full_connection_gets_no_more),
        LAW(after_128_streams_another_one_is_dialled_and_the_old_one_ends_with_its_last),
        LAW(a_connection_without_streams_ends_after_16_to_32_seconds),
        LAW(a_stream_keeps_its_connection),
        LAW(a_bridges_link_has_a_connection_of_its_own),
        LAW(whoever_cannot_connect_fails_with_the_reason),
        LAW(what_an_old_server_had_ends_with_its_connection),
        LAW(what_a_v2c_server_had_not_answered_goes_to_another_connection),
        LAW(a_stream_that_was_moved_ends_with_a_connection_that_was_never_heard),
        LAW(a_server_without_room_is_left_alone_for_a_moment),
        LAW(a_server_that_goes_gets_no_new_streams),
        LAW(a_silent_server_gets_no_new_streams),
        LAW(when_it_drains_streams_go_on_and_connections_end_with_them),
        LAW(when_it_is_freed_streams_end),
        LAW(it_is_as_alive_as_what_it_wraps),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
