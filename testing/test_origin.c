#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <stdlib.h>

#include "reverse/origin.h"
#include "routing/dispatch.h"
#include "testing/clock.h"
#include "testing/mux_rig.h"

enum { ASKED_MAX = 100 };

struct test {
    struct rig rig;
    struct rules rules;
    struct dispatcher dispatcher;
    struct outbound out;
    struct origin origin;
    struct origin_conf conf;
    struct far *asked[ASKED_MAX]; /* the questions, which reached the server that the test is */
    size_t count;
    unsigned changes;
};

static void on_open(struct outbound *out, struct flow *f)
{
    struct test *t = container_of(out, struct test, out);
    assert_true(t->count < ASKED_MAX);
    far_join(t->asked[t->count++] = far_new(&t->rig), f);
}

static const struct outbound_ops out_ops = {.open = on_open};

static void on_changed(struct origin *o)
{
    container_of(o, struct test, origin)->changes++;
}

static int test_open(void **state)
{
    struct test *t = *state = calloc(1, sizeof *t);
    if (!t)
        return -1;
    rig_init(&t->rig);
    t->out = (struct outbound){.ops = &out_ops, .loop = &t->rig.loop, .tag = "out"};
    t->dispatcher =
        (struct dispatcher){.loop = &t->rig.loop, .rules = &t->rules, .fallback = &t->out};
    t->conf = (struct origin_conf){.address = {.type = ADDR_IPV4, .port = 80, .ip = {10, 0, 0, 1}},
                                   .request = "GET / HTTP/1.1\r\n\r\n",
                                   .interval = 5,
                                   .timeout = 3,
                                   .rise = 2,
                                   .fall = 3};
    t->origin = (struct origin){.loop = &t->rig.loop,
                                .dispatcher = &t->dispatcher,
                                .tag = "bridge",
                                .policy = &t->rig.policy,
                                .changed = on_changed};
    return 0;
}

static int test_close(void **state)
{
    struct test *t = *state;
    origin_stop(&t->origin);
    bool clean = rig_fini(&t->rig);
    free(t);
    return clean ? 0 : -1;
}

static void start(struct test *t)
{
    origin_start(&t->origin, &t->conf);
    rig_turn(&t->rig);
}

static void wait(struct test *t, double seconds)
{
    clock_forward(seconds);
    rig_turn(&t->rig);
}

/* Answers the last question in these words and waits for the next one; NULL: refuses. */
static void answer(struct test *t, const char *words)
{
    struct far *f = t->asked[t->count - 1];
    size_t before = t->count;
    if (words)
        far_say(f, words, strlen(words));
    else
        far_leave(f, ECONNREFUSED);
    rig_turn(&t->rig);
    wait(t, 5.01);
    assert_int_equal(t->count, before + 1);
}

static const char good[] = "HTTP/1.1 204 No Content\r\n\r\n", bad[] = "HTTP/1.1 503 Sorry\r\n\r\n";

static void it_asks_the_way_that_visitors_go(void **state)
{
    struct test *t = *state;
    start(t);
    assert_int_equal(t->count, 1);
    const struct meta *m = &t->asked[0]->flow->meta;
    assert_string_equal(m->inbound_tag, "bridge");
    assert_int_equal(m->target.port, 80);
    assert_int_equal(t->asked[0]->len, strlen(t->conf.request));
}

static void the_first_answer_decides(void **state)
{
    for (int well = 0; well < 2; well++) {
        struct test *t = *state;
        start(t);
        answer(t, well ? good : bad);
        assert_int_equal(t->origin.down, !well);
        assert_int_equal(t->changes, !well);
        assert_int_equal(test_close(state), 0);
        assert_int_equal(test_open(state), 0);
    }
}

static void later_ones_decide_when_enough_came_in_a_row(void **state)
{
    struct test *t = *state;
    start(t);
    answer(t, good);
    answer(t, bad), answer(t, bad), answer(t, good);
    answer(t, bad), answer(t, bad);
    assert_false(t->origin.down);
    answer(t, bad);
    assert_true(t->origin.down);
    answer(t, good), answer(t, bad), answer(t, good);
    assert_true(t->origin.down);
    answer(t, good);
    assert_false(t->origin.down);
    assert_int_equal(t->changes, 2);
}

static void an_answer_may_come_in_any_pieces(void **state)
{
    for (size_t cut = 1; cut < strlen(bad); cut++) {
        struct test *t = *state;
        start(t);
        far_say(t->asked[0], bad, cut);
        rig_turn(&t->rig);
        assert_int_equal(t->origin.down, cut >= ORIGIN_ANSWER);
        far_say(t->asked[0], bad + cut, strlen(bad) - cut);
        rig_turn(&t->rig);
        assert_true(t->origin.down);
        assert_int_equal(test_close(state), 0);
        assert_int_equal(test_open(state), 0);
    }
}

static void these_are_bad_answers(void **state)
{
    static const char *const words[] = {"HTTP/1.1 404 No\r\n", "HTTP/1.1 100 Go\r\n", bad,
                                        "SSH-2.0-OpenSSH_9.2\r\n", NULL};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        struct test *t = *state;
        start(t);
        answer(t, words[i]);
        assert_true(t->origin.down);
        assert_int_equal(test_close(state), 0);
        assert_int_equal(test_open(state), 0);
    }
}

static void silence_is_one_after_its_time(void **state)
{
    struct test *t = *state;
    start(t);
    wait(t, 2.9);
    assert_false(t->origin.down);
    wait(t, 0.2);
    assert_true(t->origin.down);
    rig_turn(&t->rig);
    assert_true(t->asked[0]->left);
}

static void an_end_without_an_answer_is_one(void **state)
{
    struct test *t = *state;
    start(t);
    far_say(t->asked[0], "HTTP", 4);
    far_leave(t->asked[0], 0);
    rig_turn(&t->rig);
    assert_true(t->origin.down);
}

static void a_question_longer_than_the_interval_is_asked_to_its_end(void **state)
{
    struct test *t = *state;
    t->conf.interval = 1;
    start(t);
    wait(t, 1.1), wait(t, 1.1);
    assert_int_equal(t->count, 1);
    wait(t, 1.1);
    assert_true(t->origin.down);
    wait(t, 1.1);
    assert_int_equal(t->count, 2);
}

static void without_a_request_a_connection_is_enough(void **state)
{
    struct test *t = *state;
    t->conf.request = NULL;
    start(t);
    assert_true(t->origin.asking);
    far_reached(t->asked[0]);
    rig_turn(&t->rig);
    assert_false(t->origin.asking || t->origin.down);
    assert_true(t->asked[0]->left && t->asked[0]->len == 0);
}

static void it_may_stop_in_the_middle_of_a_question_and_twice(void **state)
{
    struct test *t = *state;
    start(t);
    origin_stop(&t->origin);
    origin_stop(&t->origin);
    wait(t, 10);
    assert_int_equal(t->count, 1);
    assert_true(t->asked[0]->left && t->changes == 0);
}

#define LAW(f) cmocka_unit_test_setup_teardown(f, test_open, test_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAW(it_asks_the_way_that_visitors_go),
        LAW(the_first_answer_decides),
        LAW(later_ones_decide_when_enough_came_in_a_row),
        LAW(an_answer_may_come_in_any_pieces),
        LAW(these_are_bad_answers),
        LAW(silence_is_one_after_its_time),
        LAW(an_end_without_an_answer_is_one),
        LAW(a_question_longer_than_the_interval_is_asked_to_its_end),
        LAW(without_a_request_a_connection_is_enough),
        LAW(it_may_stop_in_the_middle_of_a_question_and_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
