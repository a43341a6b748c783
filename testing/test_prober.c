#include <stdlib.h>
#include <string.h>

#include "proxy/prober.h"
#include "testing/clock.h"
#include "testing/rig.h"

enum { OUTS = 3, TRIES = 4 };

/* Three outbounds of which the test plays the far ends; the first knows whether it is alive. */
struct test {
    struct rig rig;
    struct rig_outbound outs[OUTS];
    struct rig_end ends[OUTS][TRIES];
    struct outbound *all[OUTS];
    struct outbound_ops knowing;
    struct observed items[OUTS];
    struct prober_conf conf;
    struct prober *prober;
};

static const char request[] = "GET / HTTP/1.1\r\nHost: probe.example\r\n\r\n";
static bool knows_alive;

static bool alive(const struct outbound *out)
{
    (void)out;
    return knows_alive;
}

static void refuse(struct outbound *out, struct flow *f)
{
    struct err why;
    (void)out;
    err_set(&why, ECONNREFUSED, "nobody listens");
    flow_refuse(f, &why);
}

static void test_begin(struct test *t, bool concurrent)
{
    memset(t, 0, sizeof *t);
    rig_open(&t->rig);
    knows_alive = true;
    for (size_t i = 0; i < OUTS; i++) {
        rig_outbound_init(&t->outs[i], &t->rig, t->ends[i], TRIES);
        t->all[i] = &t->outs[i].out;
        t->items[i] = (struct observed){.outbound = i, .health = health_new()};
        assert_non_null(t->items[i].health);
    }
    t->knowing = *t->outs[0].out.ops;
    t->knowing.alive = alive;
    t->outs[0].out.ops = &t->knowing;
    t->conf = (struct prober_conf){.request = request,
                                   .interval = 10,
                                   .concurrent = concurrent,
                                   .items = t->items,
                                   .count = OUTS};
    t->conf.target = (struct addr){.type = ADDR_NAME, .port = 80, .name = "probe.example"};
    t->prober = prober_new(&t->rig.loop, &t->conf, t->all, &t->rig.policy);
    assert_non_null(t->prober);
    prober_start(t->prober);
    rig_turn(&t->rig);
}

static void test_end(struct test *t)
{
    prober_free(t->prober);
    rig_turn(&t->rig);
    for (size_t i = 0; i < OUTS; i++) {
        health_unref(t->items[i].health);
        for (size_t n = 0; n < TRIES; n++)
            rig_end_free(&t->ends[i][n]);
    }
    rig_close(&t->rig);
}

static struct rig_end *last(struct test *t, size_t out)
{
    assert_true(t->outs[out].count > 0);
    return &t->ends[out][t->outs[out].count - 1];
}

static void say(struct test *t, size_t out, const char *text)
{
    assert_true(end_write(&last(t, out)->end, text, strlen(text)));
    rig_turn(&t->rig);
}

static struct health_report report(struct test *t, size_t out)
{
    struct health_report r;
    health_read(t->items[out].health, &r);
    return r;
}

/* --- one probe --- */

static void it_asks_for_the_page_through_the_outbound(void **state)
{
    (void)state;
    struct test t;
    test_begin(&t, true);
    const struct flow *f = last(&t, 1)->end.flow;
    assert_string_equal(f->meta.target.name, "probe.example");
    assert_int_equal(f->meta.target.port, 80);
    assert_string_equal(f->meta.outbound_tag, "out");
    assert_false(f->meta.by_rule);
    assert_int_equal(last(&t, 1)->len, sizeof request - 1);
    assert_memory_equal(last(&t, 1)->got, request, sizeof request - 1);
    test_end(&t);
}

static void any_http_answer_is_one_however_it_is_split(void **state)
{
    (void)state;
    static const char *const answers[] = {"HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.0 404 ",
                                          "HTTP/1.1 503 "};
    for (size_t n = 0; n < sizeof answers / sizeof *answers; n++)
        for (size_t cut = 1; cut < 12; cut++) {
            struct test t;
            char first[12];
            test_begin(&t, true);
            memcpy(first, answers[n], cut);
            first[cut] = '\0';
            clock_forward(0.25);
            say(&t, 1, first);
            assert_false(report(&t, 1).known);
            say(&t, 1, answers[n] + cut);
            struct health_report r = report(&t, 1);
            assert_true(r.alive && r.delay >= 0.25 && r.delay < 1);
            assert_true(last(&t, 1)->left && !last(&t, 1)->failed);
            test_end(&t);
        }
}

static void what_is_not_http_is_no_answer(void **state)
{
    (void)state;
    static const char *const answers[] = {"SSH-2.0-OpenSSH", "HTTP/2.0 200", "HTTP/1.1 999",
                                          "HTTP/1.1-200"};
    for (size_t n = 0; n < sizeof answers / sizeof *answers; n++) {
        struct test t;
        test_begin(&t, true);
        say(&t, 1, answers[n]);
        assert_string_equal(report(&t, 1).error, "what answered is not HTTP");
        test_end(&t);
    }
}

static void an_end_without_an_answer_is_a_failure(void **state)
{
    (void)state;
    struct test t;
    test_begin(&t, true);
    say(&t, 1, "HTTP/1.1");
    end_eof(&last(&t, 1)->end);
    rig_turn(&t.rig);
    assert_string_equal(report(&t, 1).error, "the connection ended without an answer");
    assert_true(health_delay(t.items[1].health) == HEALTH_DEAD);
    test_end(&t);
}

static void a_flow_that_fails_tells_why(void **state)
{
    (void)state;
    struct test t;
    struct err why;
    test_begin(&t, true);
    err_set(&why, ECONNRESET, "the server went away");
    rig_leave(last(&t, 1), &why);
    rig_turn(&t.rig);
    assert_string_equal(report(&t, 1).error, "the server went away");
    test_end(&t);
}

static void an_outbound_that_refuses_at_once_is_dead(void **state)
{
    (void)state;
    struct test t;
    const struct outbound_ops refusing = {.open = refuse};
    test_begin(&t, true);
    t.outs[2].out.ops = &refusing;
    say(&t, 0, "HTTP/1.1 200");
    say(&t, 1, "HTTP/1.1 200");
    say(&t, 2, "HTTP/1.1 200");
    clock_forward(10);
    rig_turn(&t.rig);
    assert_string_equal(report(&t, 2).error, "nobody listens");
    test_end(&t);
}

static void silence_is_a_failure_after_five_seconds(void **state)
{
    (void)state;
    struct test t;
    test_begin(&t, true);
    clock_forward(4);
    rig_turn(&t.rig);
    assert_false(report(&t, 1).known);
    clock_forward(2);
    rig_turn(&t.rig);
    assert_string_equal(report(&t, 1).error, "no answer within 5 s");
    assert_true(last(&t, 1)->left);
    test_end(&t);
}

/* --- rounds --- */

static void one_after_the_other_unless_told_otherwise(void **state)
{
    (void)state;
    struct test t;
    test_begin(&t, false);
    assert_true(t.outs[0].count == 1 && t.outs[1].count == 0);
    say(&t, 0, "HTTP/1.1 204");
    assert_true(t.outs[1].count == 1 && t.outs[2].count == 0);
    clock_forward(6);
    rig_turn(&t.rig);
    assert_int_equal(t.outs[2].count, 1);
    test_end(&t);

    test_begin(&t, true);
    assert_true(t.outs[0].count == 1 && t.outs[1].count == 1 && t.outs[2].count == 1);
    test_end(&t);
}

static void a_round_begins_with_each_interval_and_not_before_the_last_one_has_ended(void **state)
{
    (void)state;
    struct test t;
    test_begin(&t, true);
    for (size_t i = 0; i < OUTS; i++)
        say(&t, i, "HTTP/1.1 204");
    clock_forward(9);
    rig_turn(&t.rig);
    assert_int_equal(t.outs[1].count, 1);
    clock_forward(2);
    rig_turn(&t.rig);
    assert_int_equal(t.outs[1].count, 2);
    test_end(&t);

    test_begin(&t, false);
    for (int i = 0; i < 2; i++) { /* each takes 5 s and the third is still under way */
        clock_forward(5.5);
        rig_turn(&t.rig);
    }
    assert_true(t.outs[0].count == 1 && t.outs[2].count == 1);
    test_end(&t);
}

/* It would wait for a bridge, and be dead until the next round once there is one. */
static void a_portal_without_a_bridge_is_not_asked(void **state)
{
    (void)state;
    struct test t;
    test_begin(&t, true);
    for (size_t i = 0; i < OUTS; i++)
        say(&t, i, "HTTP/1.1 204");
    knows_alive = false;
    clock_forward(10);
    rig_turn(&t.rig);
    assert_int_equal(t.outs[0].count, 1);
    assert_int_equal(t.outs[1].count, 2);
    assert_true(report(&t, 0).alive);
    test_end(&t);
}

static void probes_end_with_their_prober(void **state)
{
    (void)state;
    struct test t;
    test_begin(&t, true);
    prober_free(t.prober);
    t.prober = NULL;
    rig_turn(&t.rig);
    for (size_t i = 0; i < OUTS; i++) {
        assert_true(last(&t, i)->left);
        assert_false(report(&t, i).known);
    }
    test_end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_asks_for_the_page_through_the_outbound),
        cmocka_unit_test(any_http_answer_is_one_however_it_is_split),
        cmocka_unit_test(what_is_not_http_is_no_answer),
        cmocka_unit_test(an_end_without_an_answer_is_a_failure),
        cmocka_unit_test(a_flow_that_fails_tells_why),
        cmocka_unit_test(an_outbound_that_refuses_at_once_is_dead),
        cmocka_unit_test(silence_is_a_failure_after_five_seconds),
        cmocka_unit_test(one_after_the_other_unless_told_otherwise),
        cmocka_unit_test(a_round_begins_with_each_interval_and_not_before_the_last_one_has_ended),
        cmocka_unit_test(a_portal_without_a_bridge_is_not_asked),
        cmocka_unit_test(probes_end_with_their_prober),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
