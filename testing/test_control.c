#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "reverse/control.h"
#include "testing/vectors.h"

/* From memory of exactly that size. */
static bool reads(const uint8_t *message, size_t len, enum control_state *s)
{
    uint8_t *exact = test_malloc(len ? len : 1);
    if (len)
        memcpy(exact, message, len);
    bool whole = control_read(cur_of(exact, len), s);
    test_free(exact);
    return whole;
}

static void messages_are_those_of_the_vectors(void **state)
{
    (void)state;
    struct vectors *v = vectors_open("control.txt");
    for (int i = 0; i < vectors_number(v, "good.count"); i++) {
        uint8_t filler[CONTROL_MAX], wanted[CONTROL_MAX], message[CONTROL_MAX];
        size_t len = vectors_bytes(v, filler, sizeof filler, "good.%d.random", i);
        size_t wanted_len = vectors_bytes(v, wanted, sizeof wanted, "good.%d.wire", i);
        enum control_state s = (enum control_state)vectors_number(v, "good.%d.state", i), again;
        struct writer w = wr_of(message, sizeof message);
        control_write(&w, s, filler, len);
        assert_int_equal(wr_len(&w), wanted_len);
        assert_memory_equal(message, wanted, wanted_len);
        assert_true(reads(message, wanted_len, &again));
        assert_int_equal(again, s);
    }
    vectors_close(v);
}

/* A state that only later versions know says nothing to us: the link stays in use. */
static void unknown_fields_and_states_are_passed_over(void **state)
{
    (void)state;
    struct vectors *v = vectors_open("control.txt");
    for (int i = 0; i < vectors_number(v, "decode_only.count"); i++) {
        uint8_t message[CONTROL_MAX];
        enum control_state s;
        size_t len = vectors_bytes(v, message, sizeof message, "decode_only.%d.wire", i);
        bool drain = vectors_number(v, "decode_only.%d.state", i) == CONTROL_DRAIN;
        assert_true(reads(message, len, &s));
        assert_int_equal(s, drain ? CONTROL_DRAIN : CONTROL_ACTIVE);
    }
    vectors_close(v);
}

static void a_damaged_message_is_none(void **state)
{
    (void)state;
    struct vectors *v = vectors_open("control.txt");
    enum control_state s;
    for (int i = 0; i < vectors_number(v, "bad.count"); i++) {
        uint8_t message[CONTROL_MAX];
        size_t len = vectors_bytes(v, message, sizeof message, "bad.%d.wire", i);
        assert_false(reads(message, len, &s));
    }
    vectors_close(v);
}

static void numbers_without_end_and_lengths_without_bound_are_refused(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        uint8_t wire[16];
    } bad[] = {
        {11, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}},
        {12, {0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}},
        {12, {0x9a, 0x06, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}},
        {1, {0x00}},             /* field 0 */
        {2, {0x0b, 0x0c}},       /* a group */
        {4, {0x0d, 0, 0, 0}},    /* 3 of 4 bytes */
        {5, {0x09, 0, 0, 0, 0}}, /* 4 of 8 bytes */
    };
    enum control_state s;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(reads(bad[i].wire, bad[i].len, &s));
}

static void fixed_size_fields_are_skipped(void **state)
{
    (void)state;
    static const uint8_t wire[] = {0x0d, 1, 2, 3, 4, 0x11, 1, 2, 3, 4, 5, 6, 7, 8, 0x08, 1};
    enum control_state s;
    assert_true(reads(wire, sizeof wire, &s));
    assert_int_equal(s, CONTROL_DRAIN);
}

static void every_name_that_is_tried_is_known(void **state)
{
    (void)state;
    size_t n = 0;
    for (; control_name(n); n++)
        assert_true(control_is_name(control_name(n)));
    assert_int_equal(n, 4);
    assert_string_equal(control_name(0), "reverse.internal.v2fly.org");
    assert_string_equal(control_name(1), "reverse.internal.v2ray.com");
    assert_false(control_is_name(""));
    assert_false(control_is_name("reverse.internal"));
    assert_false(control_is_name("xreverse"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_those_of_the_vectors),
        cmocka_unit_test(unknown_fields_and_states_are_passed_over),
        cmocka_unit_test(a_damaged_message_is_none),
        cmocka_unit_test(numbers_without_end_and_lengths_without_bound_are_refused),
        cmocka_unit_test(fixed_size_fields_are_skipped),
        cmocka_unit_test(every_name_that_is_tried_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
