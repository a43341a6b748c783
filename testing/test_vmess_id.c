#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/vmess.h"
#include "testing/vectors.h"

static void id_and_its_key_are_those_of_the_vectors(void **state)
{
    (void)state;
    struct vectors *v = vectors_open("ids.txt");
    for (int i = 0; i < vectors_number(v, "users.count"); i++) {
        struct vmess_user u = {0};
        struct err e = {0};
        uint8_t wanted[16];
        assert_int_equal(vmess_parse_id(u.id, vectors_text(v, "users.%d.uuid", i), &e), 0);
        vectors_bytes(v, wanted, sizeof wanted, "users.%d.uuid_bytes", i);
        assert_memory_equal(u.id, wanted, 16);
        assert_int_equal(vmess_user_init(&u, &e), 0);
        vectors_bytes(v, wanted, sizeof wanted, "users.%d.cmd_key", i);
        assert_memory_equal(u.cmd_key, wanted, 16);
    }
    vectors_close(v);
}

static void id_reads_every_spelling_of_one_uuid(void **state)
{
    (void)state;
    static const char *const same[] = {
        "27848739-7e62-4138-9fd3-098a63964b6b", "278487397e6241389fd3098a63964b6b",
        "27848739-7E62-4138-9FD3-098A63964B6B", "278487397e62-41389fd3-098a63964b6b"};
    uint8_t first[16], id[16];
    struct err e = {0};
    assert_int_equal(vmess_parse_id(first, same[0], &e), 0);
    for (size_t i = 1; i < sizeof same / sizeof *same; i++) {
        assert_int_equal(vmess_parse_id(id, same[i], &e), 0);
        assert_memory_equal(id, first, 16);
    }
}

static void id_refuses_what_is_no_uuid(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "27848739-7e62-4138-9fd3-098a63964b6b0",
        "27848739-7e62-4138-9fd3-098a63964b6b ",
        "27848739-7e62-4138-9fd3-098a63964b6",
        "27848739-7e62-4138-9fd3-098a63964b6g",
        "2784873-97e62-4138-9fd3-098a63964b6b",
        "27848739--7e62-4138-9fd3-098a63964b6",
        "1234567890123456789012345678901",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        uint8_t id[16];
        struct err e = {0};
        assert_int_equal(vmess_parse_id(id, wrong[i], &e), -1);
        assert_int_equal(e.code, EINVAL);
    }
}

/* The value is the one that Xray's documentation gives for this text. */
static void id_of_a_short_text_is_the_mapped_uuid(void **state)
{
    (void)state;
    static const uint8_t wanted[16] = {0xfe, 0xb5, 0x44, 0x31, 0x30, 0x1b, 0x52, 0xbb,
                                       0xa6, 0xdd, 0xe1, 0xe9, 0x3e, 0x81, 0xbb, 0x9e};
    uint8_t id[16];
    struct err e = {0};
    assert_int_equal(vmess_parse_id(id, "example", &e), 0);
    assert_memory_equal(id, wanted, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(id_and_its_key_are_those_of_the_vectors),
        cmocka_unit_test(id_reads_every_spelling_of_one_uuid),
        cmocka_unit_test(id_refuses_what_is_no_uuid),
        cmocka_unit_test(id_of_a_short_text_is_the_mapped_uuid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
