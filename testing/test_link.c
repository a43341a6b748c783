#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "mux/frame.h"
#include "mux/link.h"
#include "testing/vectors.h"

/* From memory of exactly that size. */
static bool reads(const uint8_t *message, size_t len, struct link_hello *h)
{
    uint8_t *exact = test_malloc(len ? len : 1);
    if (len)
        memcpy(exact, message, len);
    bool hello = link_hello_read(cur_of(exact, len), h);
    test_free(exact);
    return hello;
}

static void what_we_write_is_the_first_vector(void **state)
{
    (void)state;
    struct vectors *v = vectors_open("link.txt");
    uint8_t wanted[LINK_MAX], message[LINK_MAX];
    size_t len = vectors_bytes(v, wanted, sizeof wanted, "good.0.message");
    struct writer w = wr_of(message, sizeof message);
    link_hello_write(&w, &(struct link_hello){.version = LINK_VERSION, .datagram_max = 16384});
    assert_int_equal(wr_len(&w), len);
    assert_memory_equal(message, wanted, len);
    vectors_close(v);
}

static void hello_is_found_among_unknown_items_and_longer_values(void **state)
{
    (void)state;
    struct vectors *v = vectors_open("link.txt");
    for (int i = 0; i < vectors_number(v, "good.count"); i++) {
        uint8_t message[LINK_MAX];
        struct link_hello h;
        size_t len = vectors_bytes(v, message, sizeof message, "good.%d.message", i);
        assert_true(reads(message, len, &h));
        assert_int_equal(h.version, vectors_number(v, "good.%d.version", i));
        assert_int_equal(h.datagram_max, vectors_number(v, "good.%d.datagram_max", i));
    }
    vectors_close(v);
}

static void the_frame_around_a_message_is_a_keepalive_of_session_0(void **state)
{
    (void)state;
    struct vectors *v = vectors_open("link.txt");
    for (int i = 0; i < vectors_number(v, "good.count"); i++) {
        uint8_t wire[LINK_MAX], message[LINK_MAX];
        struct mux_frame f;
        struct err e;
        size_t len = vectors_bytes(v, wire, sizeof wire, "good.%d.frame", i);
        size_t inner = vectors_bytes(v, message, sizeof message, "good.%d.message", i);
        struct cursor c = cur_of(wire, len);
        assert_int_equal(mux_frame_read(&c, &f, &e), STEP_DONE);
        assert_int_equal(f.status, MUX_KEEPALIVE);
        assert_int_equal(f.id, 0);
        assert_int_equal(f.data_len, inner);
        assert_int_equal(cur_left(&c), inner);
        assert_memory_equal(c.p, message, inner);
    }
    vectors_close(v);
}

static void what_is_not_ours_is_no_hello(void **state)
{
    (void)state;
    struct vectors *v = vectors_open("link.txt");
    for (int i = 0; i < vectors_number(v, "bad.count"); i++) {
        uint8_t message[LINK_MAX];
        struct link_hello h;
        size_t len = vectors_bytes(v, message, sizeof message, "bad.%d.message", i);
        assert_false(reads(message, len, &h));
    }
    vectors_close(v);
}

static void a_hello_cut_anywhere_is_none(void **state)
{
    (void)state;
    uint8_t message[LINK_MAX];
    struct link_hello h;
    struct writer w = wr_of(message, sizeof message);
    link_hello_write(&w, &(struct link_hello){.version = LINK_VERSION, .datagram_max = 4096});
    for (size_t cut = 0; cut < wr_len(&w); cut++)
        assert_false(reads(message, cut, &h));
    assert_true(reads(message, wr_len(&w), &h));
}

static void any_bytes_behind_the_magic_are_harmless(void **state)
{
    (void)state;
    uint8_t message[LINK_MAX] = {'v', '2', 'c', '1'};
    struct link_hello h;
    for (int i = 0; i < 5000; i++) {
        size_t len = randombytes_uniform(sizeof message - 4);
        randombytes_buf(message + 4, len);
        if (reads(message, 4 + len, &h))
            assert_true(h.version >= LINK_VERSION);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_we_write_is_the_first_vector),
        cmocka_unit_test(hello_is_found_among_unknown_items_and_longer_values),
        cmocka_unit_test(the_frame_around_a_message_is_a_keepalive_of_session_0),
        cmocka_unit_test(what_is_not_ours_is_no_hello),
        cmocka_unit_test(a_hello_cut_anywhere_is_none),
        cmocka_unit_test(any_bytes_behind_the_magic_are_harmless),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
