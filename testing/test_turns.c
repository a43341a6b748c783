#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "reverse/turns.h"

static const uint8_t key[crypto_shorthash_KEYBYTES] = "a key for a test";

struct has {
    uint64_t bridge;
    uint8_t class, share;
};

static void say(struct turns *t, unsigned loop, const struct has *all, size_t count)
{
    static unsigned places[TURNS_LOOPS][8]; /* as links remember them, whatever came between */
    turns_begin(t, loop);
    for (size_t i = 0; i < count; i++)
        turns_have(t, loop, all[i].bridge, all[i].class, all[i].share, &places[loop][i]);
    turns_end(t);
}

static uint64_t next_of(struct turns *t)
{
    struct turn next;
    assert_true(turns_next(t, &next));
    return next.bridge;
}

static void turns_are_smooth_whichever_loop_asks(void **state)
{
    (void)state;
    struct turns t;
    turns_init(&t);
    struct turn none;
    assert_false(turns_next(&t, &none));
    say(&t, 0, (struct has[]){{'a', 1, 5}, {'b', 1, 1}}, 2);
    say(&t, 3, (struct has[]){{'a', 1, 5}, {'c', 1, 1}}, 2);
    for (int round = 0; round < 3; round++) {
        char got[8] = "";
        for (int i = 0; i < 7; i++)
            got[i] = (char)next_of(&t);
        assert_string_equal(got, "aabacaa");
    }
    turns_fini(&t);
}

static void only_the_best_class_takes_part(void **state)
{
    (void)state;
    struct turns t;
    struct turn next;
    turns_init(&t);
    say(&t, 0, (struct has[]){{'a', 2, 1}, {'b', 3, 9}}, 2);
    say(&t, 1, (struct has[]){{'a', 4, 1}, {'b', 2, 9}}, 2);
    say(&t, 2, (struct has[]){{'b', 2, 9}}, 1);
    unsigned b = 0;
    for (int i = 0; i < 10; i++) {
        assert_true(turns_next(&t, &next));
        assert_int_equal(next.class, 2);
        assert_int_equal(next.loops, next.bridge == 'a' ? 1 : 1 << 1 | 1 << 2);
        b += next.bridge == 'b';
    }
    assert_int_equal(b, 9);
    say(&t, 1, (struct has[]){{'c', 0, 1}}, 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(next_of(&t), 'c');
    turns_fini(&t);
}

static void who_is_gone_everywhere_is_forgotten(void **state)
{
    (void)state;
    struct turns t;
    turns_init(&t);
    say(&t, 0, (struct has[]){{'a', 1, 1}, {'b', 1, 1}, {'c', 1, 1}}, 3);
    say(&t, 1, (struct has[]){{'b', 1, 1}}, 1);
    say(&t, 0, NULL, 0);
    assert_int_equal(t.count, 1);
    assert_int_equal(next_of(&t), 'b');
    say(&t, 1, NULL, 0);
    assert_int_equal(t.count, 0);
    turns_fini(&t);
}

static void who_comes_back_is_not_owed_what_he_missed(void **state)
{
    (void)state;
    struct turns t;
    turns_init(&t);
    say(&t, 0, (struct has[]){{'a', 1, 1}, {'b', 1, 1}}, 2);
    next_of(&t);
    say(&t, 0, (struct has[]){{'a', 1, 1}, {'b', 3, 1}}, 2);
    for (int i = 0; i < 100; i++)
        assert_int_equal(next_of(&t), 'a');
    say(&t, 0, (struct has[]){{'a', 1, 1}, {'b', 1, 1}}, 2);
    unsigned b = 0;
    for (int i = 0; i < 10; i++)
        b += next_of(&t) == 'b';
    assert_int_equal(b, 5);
    turns_fini(&t);
}

static uint64_t of(struct turns *t, uint8_t number)
{
    struct addr a = {.type = ADDR_IPV4, .ip = {10, 0, 0, number}};
    struct turn next;
    assert_true(turns_by_source(t, &a, key, &next));
    return next.bridge;
}

static void an_address_moves_only_when_its_bridge_goes(void **state)
{
    (void)state;
    struct turns t;
    uint64_t before[200];
    unsigned count[4] = {0};
    turns_init(&t);
    say(&t, 0, (struct has[]){{1, 1, 1}, {2, 1, 1}, {3, 1, 1}}, 3);
    for (int i = 0; i < 200; i++)
        count[before[i] = of(&t, (uint8_t)i)]++;
    for (int i = 1; i < 4; i++)
        assert_true(count[i] > 40);
    say(&t, 1, (struct has[]){{3, 1, 1}, {1, 1, 1}}, 2); /* other loops change nothing */
    for (int i = 0; i < 200; i++)
        assert_int_equal(of(&t, (uint8_t)i), before[i]);
    say(&t, 0, NULL, 0);
    for (int i = 0; i < 200; i++)
        if (before[i] != 2)
            assert_int_equal(of(&t, (uint8_t)i), before[i]);
    turns_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turns_are_smooth_whichever_loop_asks),
        cmocka_unit_test(only_the_best_class_takes_part),
        cmocka_unit_test(who_is_gone_everywhere_is_forgotten),
        cmocka_unit_test(who_comes_back_is_not_owed_what_he_missed),
        cmocka_unit_test(an_address_moves_only_when_its_bridge_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
