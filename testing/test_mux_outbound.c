#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdlib.h>

#include "reverse/mux_outbound.h"
#include "routing/dispatch.h"
#include "testing/mux_rig.h"

/* An authenticated client's carrier is dispatched like any flow; its streams come out at the fallback. */
struct test {
    struct rig rig;
    struct rules rules;
    struct dispatcher dispatcher;
    struct outbound fallback;
    struct far *targets[8];
    size_t target_count;
};

static const struct user user = {.email = "client@a", .traffic = {-1, -1}, .may_link = true};

static void take(struct outbound *out, struct flow *f)
{
    struct test *t = container_of(out, struct test, fallback);
    assert_true(t->target_count < 8);
    far_join(t->targets[t->target_count++] = far_new(&t->rig), f);
}

static const struct outbound_ops fallback_ops = {.open = take};

static int test_open(void **state)
{
    struct test *t = calloc(1, sizeof *t);
    if (!t)
        return -1;
    rig_init(&t->rig);
    t->fallback = (struct outbound){.ops = &fallback_ops, .loop = &t->rig.loop, .tag = "direct"};
    t->dispatcher =
        (struct dispatcher){.loop = &t->rig.loop, .rules = &t->rules, .fallback = &t->fallback};
    t->dispatcher.mux = mux_outbound_new(&t->rig.loop, &t->dispatcher);
    *state = t;
    return t->dispatcher.mux ? 0 : -1;
}

static int test_close(void **state)
{
    struct test *t = *state;
    t->dispatcher.mux->ops->free(t->dispatcher.mux);
    rig_turn(&t->rig);
    bool clean = rig_fini(&t->rig);
    free(t);
    return clean ? 0 : -1;
}

static struct far *client_comes(struct test *t, const char *host, const struct user *u)
{
    struct meta m = {.net = NET_TCP, .inbound_tag = "in", .user = u};
    m.target.type = ADDR_NAME;
    strncpy(m.target.name, host, ADDR_NAME_MAX);
    m.source = (struct addr){.type = ADDR_IPV4, .port = 5, .ip = {192, 0, 2, 1}};
    struct far *f = far_new(&t->rig);
    dispatch(&t->dispatcher, far_flow(&t->rig, f, &m));
    rig_turn(&t->rig);
    return f;
}

static void say_new(struct far *wire, uint16_t id, const char *host)
{
    struct mux_frame f = {
        .id = id, .status = MUX_NEW, .net = NET_TCP, .option = MUX_DATA, .data_len = 2};
    f.target = (struct addr){.type = ADDR_NAME, .port = 80};
    strncpy(f.target.name, host, ADDR_NAME_MAX);
    far_say_frame(wire, &f, "hi");
}

static void each_stream_is_dispatched_as_the_clients_own(void **state)
{
    struct test *t = *state;
    struct far *wire = client_comes(t, "v1.mux.cool", &user);
    say_new(wire, 1, "a.example");
    say_new(wire, 0, "b.example");
    rig_turn(&t->rig);
    assert_int_equal(t->target_count, 2);
    for (int i = 0; i < 2; i++) {
        const struct meta *m = &t->targets[i]->flow->meta;
        assert_ptr_equal(m->user, &user);
        assert_string_equal(m->inbound_tag, "in");
        assert_string_equal(m->target.name, i ? "b.example" : "a.example");
        assert_true(addr_equal(&m->source, &wire->flow->meta.source));
        assert_memory_equal(t->targets[i]->bytes, "hi", 2);
    }
}

static void nothing_is_said_before_the_client_is_answered(void **state)
{
    struct test *t = *state;
    struct far *wire = client_comes(t, "V1.Mux.Cool", &user);
    assert_int_equal(wire->len, 0);
    say_new(wire, 1, "a.example");
    rig_turn(&t->rig);
    assert_int_equal(wire->len, 0);
}

static void a_carrier_within_a_carrier_is_refused(void **state)
{
    struct test *t = *state;
    struct far *wire = client_comes(t, "v1.mux.cool", &user);
    struct mux_frame f;
    const uint8_t *data;
    say_new(wire, 1, "V1.MUX.cool");
    rig_turn(&t->rig);
    assert_true(far_next_frame(wire, &f, &data));
    assert_true(f.status == MUX_END && f.option == MUX_ERROR && f.id == 1);
    assert_int_equal(t->target_count, 0);
}

/* The next frame is a link message with this item. */
static struct link_item next_item(struct far *wire)
{
    struct mux_frame f;
    struct link_item i = {0};
    const uint8_t *data;
    assert_true(far_next_frame(wire, &f, &data));
    assert_int_equal(f.status, MUX_KEEPALIVE);
    struct cursor c = cur_of(data, f.data_len);
    assert_true(link_read_magic(&c) && link_read(&c, &i));
    return i;
}

static void a_client_that_says_hello_is_answered_with_one_and_has_its_windows(void **state)
{
    struct test *t = *state;
    struct far *wire = client_comes(t, "v1.mux.cool", &user);
    struct mux_frame f;
    const uint8_t *data;
    far_say_features(wire, LINK_FEATURES, 3);
    say_new(wire, 1, "a.example");
    say_new(wire, 2, "v1.mux.cool");
    rig_turn(&t->rig);
    assert_int_equal(t->target_count, 1);
    struct link_item hello = next_item(wire), refused = next_item(wire);
    assert_int_equal(hello.type, LINK_HELLO);
    assert_int_equal(refused.type, LINK_REFUSED);
    assert_int_equal(refused.refusal, REFUSED_RULES);
    far_say(t->targets[0], "hello", 5); /* more than the window */
    rig_turn(&t->rig);
    assert_true(far_next_frame(wire, &f, &data));
    assert_true(f.status == MUX_KEEP && f.id == 1 && f.data_len == 3);
    assert_int_equal(next_item(wire).type, LINK_BLOCKED);
    assert_false(far_next_frame(wire, &f, &data));
}

/* Rules by source would believe it. */
static void a_client_cannot_say_where_its_streams_come_from(void **state)
{
    struct test *t = *state;
    struct far *wire = client_comes(t, "v1.mux.cool", &user);
    far_say_features(wire, LINK_FEATURES, 1000);
    struct mux_frame f = {.id = 1, .status = MUX_NEW, .net = NET_TCP};
    f.target = (struct addr){.type = ADDR_IPV4, .port = 80, .ip = {192, 0, 2, 9}};
    f.source = (struct addr){.type = ADDR_IPV4, .port = 7, .ip = {10, 0, 0, 1}};
    far_say_frame(wire, &f, NULL);
    rig_turn(&t->rig);
    assert_int_equal(t->target_count, 1);
    assert_true(addr_equal(&t->targets[0]->flow->meta.source, &wire->flow->meta.source));
    assert_false(next_item(wire).hello.features & LINK_ORIGIN);
}

static void without_a_user_the_name_leads_nowhere(void **state)
{
    struct test *t = *state;
    client_comes(t, "v1.mux.cool", NULL);
    assert_int_equal(t->target_count, 0);
}

static void the_streams_of_a_lost_client_are_reset(void **state)
{
    struct test *t = *state;
    struct far *wire = client_comes(t, "v1.mux.cool", &user);
    say_new(wire, 1, "a.example");
    rig_turn(&t->rig);
    far_leave(wire, ECONNRESET);
    rig_turn(&t->rig);
    assert_true(t->targets[0]->failed);
}

#define LAW(f) cmocka_unit_test_setup_teardown(f, test_open, test_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAW(each_stream_is_dispatched_as_the_clients_own),
        LAW(nothing_is_said_before_the_client_is_answered),
        LAW(a_carrier_within_a_carrier_is_refused),
        LAW(a_client_that_says_hello_is_answered_with_one_and_has_its_windows),
        LAW(a_client_cannot_say_where_its_streams_come_from),
        LAW(without_a_user_the_name_leads_nowhere),
        LAW(the_streams_of_a_lost_client_are_reset),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
