#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/shake.h"
#include "testing/vectors.h"

static void shake_words_are_those_of_the_standard(void **state)
{
    (void)state;
    struct vectors *v = vectors_open("primitives.txt");
    for (int i = 0; i < vectors_number(v, "shake128.count"); i++) {
        struct shake s;
        uint8_t seed[16];
        size_t len = vectors_bytes(v, seed, sizeof seed, "shake128.%d.seed", i);
        shake_init(&s, seed, len);
        for (int at = 0; at < 4096; at++) {
            uint16_t word = shake_word(&s);
            if (at < vectors_number(v, "shake128.%d.first_words.count", i))
                assert_int_equal(word, vectors_number(v, "shake128.%d.first_words.%d", i, at));
            if (at == 4095)
                assert_int_equal(word, vectors_number(v, "shake128.%d.word_index_4095", i));
        }
    }
    vectors_close(v);
}

/* SHAKE128 of nothing, FIPS 202's example value. */
static void shake_of_nothing_is_known(void **state)
{
    (void)state;
    static const uint16_t wanted[] = {0x7f9c, 0x2ba4, 0xe88f, 0x827d,
                                      0x6160, 0x4550, 0x7605, 0x853e};
    struct shake s;
    shake_init(&s, (const uint8_t *)"", 0);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        assert_int_equal(shake_word(&s), wanted[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shake_words_are_those_of_the_standard),
        cmocka_unit_test(shake_of_nothing_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
