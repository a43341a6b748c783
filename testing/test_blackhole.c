#include "testing/rig.h"

#include "proxy/blackhole.h"

/* Sends one flow there; returns when its end has left. */
static void swallow(struct rig_end *in, bool http, enum net net)
{
    struct rig r;
    const struct blackhole_conf conf = {.http = http};
    rig_open(&r);
    struct outbound *b = blackhole_new(&r.loop, "hole", &conf);
    assert_non_null(b);
    *in = (struct rig_end){0};
    struct flow *f = rig_flow(&r, in, net);
    b->ops->open(b, f);
    assert_true(end_write(&in->end, "hello", 5));
    b->ops->free(b); /* the flow does not need it */
    rig_turn(&r);
    assert_true(in->left);
    rig_close(&r);
}

static void nothing_is_answered_and_the_end_is_orderly(void **state)
{
    (void)state;
    struct rig_end in;
    swallow(&in, false, NET_TCP);
    assert_int_equal(in.len, 0);
    assert_true(in.eof && !in.failed);
}

static void http_is_answered_with_a_403(void **state)
{
    (void)state;
    struct rig_end in;
    swallow(&in, true, NET_TCP);
    assert_true(in.eof && !in.failed);
    assert_true(in.len > 30);
    assert_memory_equal(in.got, "HTTP/1.1 403 Forbidden\r\n", 24);
    assert_memory_equal(in.got + in.len - 4, "\r\n\r\n", 4);
    rig_end_free(&in);
}

static void datagrams_are_never_answered(void **state)
{
    (void)state;
    struct rig_end in;
    swallow(&in, true, NET_UDP);
    assert_int_equal(in.count, 0);
    assert_false(in.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_answered_and_the_end_is_orderly),
        cmocka_unit_test(http_is_answered_with_a_403),
        cmocka_unit_test(datagrams_are_never_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
