#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "core/cursor.h"

static const uint8_t WIRE[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

static void integers_are_big_endian(void **state)
{
    (void)state;
    struct cursor c = cur_of(WIRE, sizeof WIRE);
    uint8_t a = 0;
    uint16_t b = 0;
    uint32_t d = 0;
    assert_true(cur_u8(&c, &a) && cur_be16(&c, &b) && cur_be32(&c, &d));
    assert_int_equal(a, 1);
    assert_int_equal(b, 0x0203);
    assert_int_equal(d, 0x04050607);
    assert_int_equal(cur_left(&c), sizeof WIRE - 7);
}

static void the_highest_bits_survive(void **state)
{
    (void)state;
    static const uint8_t high[] = {0xff, 0xfe, 0xfd, 0xfc};
    struct cursor c = cur_of(high, sizeof high), d = c;
    uint16_t b = 0;
    uint32_t v = 0;
    assert_true(cur_be16(&c, &b) && cur_be32(&d, &v));
    assert_int_equal(b, 0xfffe);
    assert_true(v == 0xfffefdfcU);
}

/* Reads from memory of exactly `have` bytes, so that a sanitizer sees a byte too many. */
static void a_read_that_does_not_fit_moves_nothing(void **state)
{
    (void)state;
    for (size_t have = 0; have < 6; have++) {
        uint8_t *mem = malloc(have + !have), to[8] = {0}, a;
        uint16_t b;
        uint32_t d;
        memset(mem, 7, have);
        struct cursor c = cur_of(mem, have), sub, was = c;
        for (size_t want = have + 1; want <= 8; want++) {
            assert_false(cur_bytes(&c, to, want));
            assert_false(cur_skip(&c, want));
            assert_false(cur_sub(&c, want, &sub));
        }
        assert_false(cur_skip(&c, SIZE_MAX));
        assert_true(have >= 1 || !cur_u8(&c, &a));
        assert_true(have >= 2 || !cur_be16(&c, &b));
        assert_true(have >= 4 || !cur_be32(&c, &d));
        assert_ptr_equal(c.p, was.p);
        assert_true(cur_bytes(&c, to, have));
        assert_int_equal(cur_left(&c), 0);
        free(mem);
    }
}

static void a_sub_cursor_ends_where_it_was_told(void **state)
{
    (void)state;
    struct cursor c = cur_of(WIRE, sizeof WIRE), sub;
    uint8_t a;
    uint32_t d;
    assert_true(cur_skip(&c, 2) && cur_sub(&c, 3, &sub));
    assert_false(cur_be32(&sub, &d));
    assert_int_equal(cur_left(&sub), 3);
    assert_true(cur_u8(&sub, &a) && a == 3);
    assert_true(cur_u8(&c, &a) && a == 6);
}

static void a_writer_writes_what_a_cursor_reads(void **state)
{
    (void)state;
    uint8_t mem[10], to[3], a = 0;
    uint16_t b = 0;
    uint32_t d = 0;
    struct writer w = wr_of(mem, sizeof mem);
    wr_u8(&w, 0x81), wr_be16(&w, 0x8283), wr_be32(&w, 0x84858687U), wr_bytes(&w, "abc", 3);
    assert_false(w.overflow);
    assert_int_equal(wr_len(&w), sizeof mem);
    struct cursor c = cur_of(mem, wr_len(&w));
    assert_true(cur_u8(&c, &a) && cur_be16(&c, &b) && cur_be32(&c, &d) && cur_bytes(&c, to, 3));
    assert_true(a == 0x81 && b == 0x8283 && d == 0x84858687U);
    assert_memory_equal(to, "abc", 3);
}

static void what_does_not_fit_is_dropped_and_remembered(void **state)
{
    (void)state;
    for (size_t room = 0; room < 4; room++) {
        uint8_t *mem = malloc(room + !room);
        struct writer w = wr_of(mem, room);
        wr_be32(&w, 1);
        assert_true(w.overflow);
        assert_int_equal(wr_len(&w), 0);
        for (size_t i = 0; i < room; i++)
            wr_u8(&w, 9);
        assert_int_equal(wr_len(&w), room);
        assert_true(w.overflow);
        free(mem);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_big_endian),
        cmocka_unit_test(the_highest_bits_survive),
        cmocka_unit_test(a_read_that_does_not_fit_moves_nothing),
        cmocka_unit_test(a_sub_cursor_ends_where_it_was_told),
        cmocka_unit_test(a_writer_writes_what_a_cursor_reads),
        cmocka_unit_test(what_does_not_fit_is_dropped_and_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
