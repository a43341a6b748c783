#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>

#include "mux/window.h"

static const double SLOW = 1; /* seconds between updates that call for no larger window */

/* A stream: what came, what its reader took. */
struct stream {
    struct window w;
    uint64_t came, taken, credits;
    double now;
};

static struct stream stream_open(void)
{
    struct stream s = {.now = 1000};
    window_open(&s.w, s.now);
    return s;
}

static uint32_t stream_update(struct stream *s, struct budget *b)
{
    uint32_t credit = window_update(&s->w, s->taken, (size_t)(s->came - s->taken), s->now, b);
    s->credits += credit;
    return credit;
}

/* The sender uses all its credit and the reader takes all but `queued` of it. */
static uint32_t stream_round(struct stream *s, size_t queued, double seconds, struct budget *b)
{
    s->came = s->w.granted;
    s->taken = s->came - queued;
    s->now += seconds;
    return stream_update(s, b);
}

/* Its reader has taken several windows, at leisure. */
static struct stream stream_tried(struct budget *b)
{
    struct stream s = stream_open();
    for (int i = 0; i < 5; i++)
        stream_round(&s, 0, SLOW, b);
    assert_int_equal(s.w.size, WINDOW_FIRST);
    return s;
}

static struct stream stream_grown(uint32_t size, struct budget *b)
{
    struct stream s = stream_tried(b);
    for (int i = 0; s.w.size < size; i++) {
        assert_true(i < 100);
        s.w.wanted = true;
        stream_round(&s, 0, 0, b);
    }
    assert_int_equal(s.w.size, size);
    return s;
}

static void at_first_as_much_may_come_as_hello_says(void **state)
{
    (void)state;
    struct stream s = stream_open();
    assert_int_equal(s.w.granted, WINDOW_FIRST);
    assert_int_equal(s.w.size, WINDOW_FIRST);
    assert_int_equal(stream_update(&s, NULL), 0);
}

static void half_a_window_is_given_back_at_once_and_less_is_not(void **state)
{
    (void)state;
    struct stream s = stream_open();
    s.now += SLOW;
    s.came = s.taken = WINDOW_FIRST / 2 - 1;
    assert_int_equal(stream_update(&s, NULL), 0);
    s.came = s.taken = WINDOW_FIRST / 2;
    assert_int_equal(stream_update(&s, NULL), WINDOW_FIRST / 2);
    assert_int_equal(stream_update(&s, NULL), 0);
}

static void what_waits_for_the_reader_is_not_given_back(void **state)
{
    (void)state;
    struct stream s = stream_open();
    s.came = WINDOW_FIRST;
    s.now += SLOW;
    assert_int_equal(stream_update(&s, NULL), 0);
    s.taken = WINDOW_FIRST / 2;
    assert_int_equal(stream_update(&s, NULL), WINDOW_FIRST / 2);
    assert_int_equal(s.w.size, WINDOW_FIRST);
}

static void a_window_grows_when_its_sender_was_blocked(void **state)
{
    (void)state;
    struct stream s = stream_tried(NULL);
    s.w.wanted = true;
    assert_int_equal(stream_round(&s, 0, SLOW, NULL), 2 * WINDOW_FIRST);
    assert_int_equal(s.w.size, 2 * WINDOW_FIRST);
    assert_false(s.w.wanted); /* once for each time */
    stream_round(&s, 0, SLOW, NULL);
    assert_int_equal(s.w.size, 2 * WINDOW_FIRST);
}

static void a_window_grows_when_half_of_it_was_used_up_within_20_ms(void **state)
{
    (void)state;
    struct stream s = stream_tried(NULL);
    stream_round(&s, 0, 0.021, NULL);
    assert_int_equal(s.w.size, WINDOW_FIRST);
    stream_round(&s, 0, 0.019, NULL);
    assert_int_equal(s.w.size, 2 * WINDOW_FIRST);
}

/* The sockets behind a reader take that much before it can be seen that nobody reads. */
static void a_window_does_not_grow_before_its_reader_has_taken_two_of_them(void **state)
{
    (void)state;
    struct stream s = stream_open();
    for (uint32_t size = WINDOW_FIRST; size < WINDOW_MAX; size = s.w.size) {
        uint64_t before = s.taken;
        s.w.wanted = true;
        stream_round(&s, 0, 0, NULL);
        assert_true(s.taken > before);
        assert_int_equal(s.w.size, s.taken >= 2 * (uint64_t)size ? 2 * size : size);
    }
}

static void a_window_does_not_grow_for_a_reader_that_does_not_keep_up(void **state)
{
    (void)state;
    struct stream s = stream_tried(NULL);
    for (int i = 0; i < 20; i++) {
        s.w.wanted = true;
        stream_round(&s, WINDOW_FIRST / 4 + 1, 0, NULL);
        assert_int_equal(s.w.size, WINDOW_FIRST);
    }
    s.w.wanted = true;
    stream_round(&s, WINDOW_FIRST / 4, 0, NULL);
    assert_int_equal(s.w.size, 2 * WINDOW_FIRST);
}

static void no_window_is_larger_than_16_mib(void **state)
{
    (void)state;
    struct budget none = {0};
    struct budget *const budgets[] = {NULL, &none};
    for (int i = 0; i < 2; i++) {
        struct stream s = stream_grown(16 << 20, budgets[i]);
        for (int round = 0; round < 5; round++) {
            s.w.wanted = true;
            stream_round(&s, 0, 0, budgets[i]);
            assert_int_equal(s.w.size, 16 << 20);
        }
    }
}

static void to_save_messages_no_window_grows_beyond_4_mib(void **state)
{
    (void)state;
    struct stream s = stream_tried(NULL);
    for (int round = 0; round < 30; round++)
        stream_round(&s, 0, 0, NULL);
    assert_int_equal(s.w.size, 4 << 20);
}

static void a_reader_with_half_a_mib_to_read_does_not_keep_up(void **state)
{
    (void)state;
    struct stream s = stream_grown(4 << 20, NULL);
    s.w.wanted = true;
    stream_round(&s, (512 << 10) + 1, 0, NULL);
    assert_int_equal(s.w.size, 4 << 20);
    s.w.wanted = true;
    stream_round(&s, 512 << 10, 0, NULL);
    assert_int_equal(s.w.size, 8 << 20);
}

static void no_window_is_larger_than_an_eighth_of_the_budget(void **state)
{
    (void)state;
    for (size_t limit = 1 << 20; limit <= (size_t)1 << 28; limit += limit / 3) {
        struct budget b = {.limit = limit};
        struct stream s = stream_open();
        for (int round = 0; round < 30; round++) {
            s.w.wanted = true;
            stream_round(&s, 0, 0, &b);
        }
        assert_true(s.w.size <= limit / 8);
        assert_true(4 * (size_t)s.w.size > limit / 8 || s.w.size == WINDOW_MAX);
        assert_int_equal(b.promised, s.w.size - WINDOW_FIRST);
    }
}

/* 64 KiB is what everybody gets, whatever the budget. */
static void without_budget_windows_keep_their_first_size(void **state)
{
    (void)state;
    struct budget b = {.limit = 1000};
    struct stream s = stream_open();
    for (int round = 0; round < 10; round++)
        assert_int_equal(stream_round(&s, 0, 0, &b), WINDOW_FIRST);
    assert_int_equal(b.promised, 0);
}

static void windows_together_are_promised_no_more_than_half_of_the_budget(void **state)
{
    (void)state;
    enum { STREAMS = 100 };
    struct budget b = {.limit = 16 << 20};
    struct stream s[STREAMS];
    size_t grown = 0;
    for (int i = 0; i < STREAMS; i++)
        s[i] = stream_open();
    for (int round = 0; round < 10; round++)
        for (int i = 0; i < STREAMS; i++) {
            stream_round(&s[i], 0, 0, &b);
            assert_true(b.promised <= b.limit / 2);
        }
    for (int i = 0; i < STREAMS; i++)
        grown += s[i].w.size - WINDOW_FIRST;
    assert_int_equal(b.promised, grown);
    assert_true(grown > b.limit / 4);
    for (int i = 0; i < STREAMS; i++)
        window_close(&s[i].w, &b);
    assert_int_equal(b.promised, 0);
}

static void when_memory_is_scarce_windows_grow_no_more(void **state)
{
    (void)state;
    struct budget b = {.limit = 64 << 20, .used = 33 << 20};
    struct stream s = stream_tried(&b);
    s.w.wanted = true;
    stream_round(&s, 0, 0, &b);
    assert_int_equal(s.w.size, WINDOW_FIRST);
    b.used = 31 << 20;
    stream_round(&s, 0, 0, &b);
    assert_int_equal(s.w.size, 2 * WINDOW_FIRST);
}

static void when_memory_is_scarce_windows_of_slow_readers_shrink_to_the_first_size(void **state)
{
    (void)state;
    struct budget b = {.limit = 64 << 20};
    struct stream s = stream_grown(1 << 20, &b);
    b.used = 40 << 20;
    for (int round = 0; round < 100; round++) {
        s.came = s.w.granted;
        s.taken = s.came - s.w.size / 3;
        s.now += SLOW;
        uint32_t before = s.w.size, credit = stream_update(&s, &b);
        assert_true(s.w.size <= before && s.w.size >= WINDOW_FIRST);
        assert_int_equal(b.promised, s.w.size - WINDOW_FIRST);
        assert_true(credit == 0 || s.w.granted == s.taken + s.w.size);
    }
    assert_int_equal(s.w.size, WINDOW_FIRST);
    s.came = s.w.granted;
    s.taken = s.came - WINDOW_FIRST / 3;
    stream_update(&s, &b);
    assert_int_equal(s.w.size, WINDOW_FIRST);
}

static void a_reader_that_keeps_up_costs_nothing_and_keeps_its_window(void **state)
{
    (void)state;
    struct budget b = {.limit = 64 << 20};
    struct stream s = stream_grown(1 << 20, &b);
    b.used = 40 << 20;
    for (int round = 0; round < 10; round++)
        stream_round(&s, 0, SLOW, &b);
    assert_int_equal(s.w.size, 1 << 20);
}

/* --- whatever happens --- */

static void stream_step(struct stream *s, struct budget *b)
{
    uint64_t left = s->w.granted - s->came;
    switch (randombytes_uniform(8)) {
    case 0:
    case 1:
        s->came += left;
        break;
    case 2:
        s->came += left ? randombytes_uniform((uint32_t)left) : 0;
        break;
    case 3:
    case 4:
        s->taken = s->came;
        break;
    case 5:
        s->taken += s->came > s->taken ? randombytes_uniform((uint32_t)(s->came - s->taken)) : 0;
        break;
    case 6:
        s->w.wanted = true;
        break;
    case 7:
        b->used = randombytes_uniform(2) ? b->limit / 100 * randombytes_uniform(120) : 0;
    }
    s->now += randombytes_uniform(3) ? 0.001 : SLOW;
}

static void assert_laws(const struct stream *s, const struct window *before, uint32_t credit,
                        const struct budget *b)
{
    assert_int_equal(s->w.granted, WINDOW_FIRST + s->credits);
    assert_true(s->w.granted <= s->taken + s->w.size || credit == 0);
    assert_true(s->w.granted - s->came <= WINDOW_MAX);
    assert_true(s->w.size >= WINDOW_FIRST && s->w.size <= WINDOW_MAX);
    assert_true(s->w.size == WINDOW_FIRST || s->w.size <= b->limit / 8);
    assert_int_equal(b->promised, s->w.size - WINDOW_FIRST);
    if (s->w.size > before->size) {
        assert_int_equal(s->w.size, 2 * before->size);
        assert_true(s->came - s->taken <= before->size / 4);
        assert_true(before->wanted || s->now - before->updated < 0.02);
        assert_false(budget_above(b, 50));
    }
    if (s->w.size < before->size)
        assert_true(2 * s->w.size == before->size && budget_above(b, 50));
}

static void the_laws_hold_whatever_happens(void **state)
{
    (void)state;
    struct budget b = {.limit = 20 << 20};
    for (int streams = 0; streams < 50; streams++) {
        struct stream s = stream_open();
        for (int i = 0; i < 2000; i++) {
            struct window before = s.w;
            stream_step(&s, &b);
            before.wanted = s.w.wanted;
            assert_laws(&s, &before, stream_update(&s, &b), &b);
        }
        window_close(&s.w, &b);
        assert_int_equal(b.promised, 0);
    }
}

/* The receiver asks when something came, and when what waits has fallen to what window_awaits() says. */
static void a_sender_without_credit_gets_some_when_its_reader_has_read_enough(void **state)
{
    (void)state;
    struct budget b = {.limit = 20 << 20};
    for (int streams = 0; streams < 20; streams++) {
        struct stream s = stream_open();
        for (int i = 0; i < 1000; i++) {
            stream_step(&s, &b);
            stream_update(&s, &b);
            struct stream end = s;
            struct budget then = {.limit = b.limit, .used = b.used, .promised = b.promised};
            end.came = end.w.granted;
            for (size_t low; !stream_update(&end, &then); end.taken = end.came - low) {
                assert_true(window_awaits(&end.w, end.came, &low));
                assert_true(end.came - end.taken > low);
            }
        }
        window_close(&s.w, &b);
    }
}

static void what_window_awaits_says_is_when_a_grant_is_due(void **state)
{
    (void)state;
    struct budget b = {.limit = 20 << 20};
    struct stream s = stream_open();
    for (int i = 0; i < 20000; i++) {
        size_t low;
        stream_step(&s, &b);
        stream_update(&s, &b);
        struct window then = s.w;
        then.updated = 0, then.wanted = false; /* it neither grows nor shrinks */
        if (!window_awaits(&s.w, s.came, &low)) {
            assert_int_equal(window_update(&then, s.came, 0, s.now, NULL), 0);
            continue;
        }
        assert_int_equal(window_update(&then, s.came - low - 1, low + 1, s.now, NULL), 0);
        assert_true(window_update(&then, s.came - low, low, s.now, NULL) >= s.w.size / 2);
    }
    window_close(&s.w, &b);
}

/* --- the sender's side --- */

static void a_sender_may_send_what_was_granted(void **state)
{
    (void)state;
    struct credit c;
    credit_open(&c, 65536);
    assert_int_equal(credit_left(&c), 65536);
    c.sent = 65536;
    assert_int_equal(credit_left(&c), 0);
    credit_add(&c, 1000);
    assert_int_equal(credit_left(&c), 1000);
}

static void a_first_window_of_nothing_is_none(void **state)
{
    (void)state;
    struct credit c;
    credit_open(&c, 0);
    assert_int_equal(credit_left(&c), 0);
    credit_add(&c, 3);
    assert_int_equal(credit_left(&c), 3);
}

static void what_was_sent_before_hello_counts(void **state)
{
    (void)state;
    struct credit c;
    credit_open(&c, CREDIT_NO_LIMIT);
    c.sent = 100000;
    assert_true(credit_left(&c) > (uint64_t)1 << 62);
    credit_begin(&c, 65536);
    assert_int_equal(credit_left(&c), 0);
    credit_add(&c, 34464);
    assert_int_equal(credit_left(&c), 0);
    credit_add(&c, 1);
    assert_int_equal(credit_left(&c), 1);
}

static void new_credit_may_be_used_up_and_told_anew(void **state)
{
    (void)state;
    struct credit c;
    credit_open(&c, 1);
    c.said_blocked = true;
    credit_add(&c, 5);
    assert_false(c.said_blocked);
}

static void no_grant_makes_a_limit_smaller(void **state)
{
    (void)state;
    struct credit c;
    credit_open(&c, UINT32_MAX);
    for (int i = 0; i < 1000; i++) {
        uint64_t before = c.limit;
        if (i == 500)
            c.limit = before = UINT64_MAX - 12345;
        credit_add(&c, UINT32_MAX);
        assert_true(c.limit >= before);
    }
    credit_open(&c, CREDIT_NO_LIMIT);
    credit_add(&c, 7);
    assert_true(c.limit == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_first_as_much_may_come_as_hello_says),
        cmocka_unit_test(half_a_window_is_given_back_at_once_and_less_is_not),
        cmocka_unit_test(what_waits_for_the_reader_is_not_given_back),
        cmocka_unit_test(a_window_grows_when_its_sender_was_blocked),
        cmocka_unit_test(a_window_grows_when_half_of_it_was_used_up_within_20_ms),
        cmocka_unit_test(a_window_does_not_grow_before_its_reader_has_taken_two_of_them),
        cmocka_unit_test(a_window_does_not_grow_for_a_reader_that_does_not_keep_up),
        cmocka_unit_test(no_window_is_larger_than_16_mib),
        cmocka_unit_test(to_save_messages_no_window_grows_beyond_4_mib),
        cmocka_unit_test(a_reader_with_half_a_mib_to_read_does_not_keep_up),
        cmocka_unit_test(no_window_is_larger_than_an_eighth_of_the_budget),
        cmocka_unit_test(without_budget_windows_keep_their_first_size),
        cmocka_unit_test(windows_together_are_promised_no_more_than_half_of_the_budget),
        cmocka_unit_test(when_memory_is_scarce_windows_grow_no_more),
        cmocka_unit_test(when_memory_is_scarce_windows_of_slow_readers_shrink_to_the_first_size),
        cmocka_unit_test(a_reader_that_keeps_up_costs_nothing_and_keeps_its_window),
        cmocka_unit_test(the_laws_hold_whatever_happens),
        cmocka_unit_test(a_sender_without_credit_gets_some_when_its_reader_has_read_enough),
        cmocka_unit_test(what_window_awaits_says_is_when_a_grant_is_due),
        cmocka_unit_test(a_sender_may_send_what_was_granted),
        cmocka_unit_test(a_first_window_of_nothing_is_none),
        cmocka_unit_test(what_was_sent_before_hello_counts),
        cmocka_unit_test(new_credit_may_be_used_up_and_told_anew),
        cmocka_unit_test(no_grant_makes_a_limit_smaller),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
