#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/dns_asked.h"

/* What dig asks: id 0x1234, recursion desired, a.Test A IN, and EDNS. */
static const uint8_t question[] = {0x12, 0x34, 0x01, 0x20, 0,    1,   0,   0, 0, 0, 0, 1,
                                   1,    'a',  4,    'T',  'e',  's', 't', 0, 0, 1, 0, 1,
                                   0,    0,    41,   4,    0xd0, 0,   0,   0, 0, 0, 0};
enum { TYPE_AT = 20, CLASS_AT = 22, NAME_AT = 12 };

static bool reads(const uint8_t *bytes, size_t len, struct dns_asked *q)
{
    return dns_asked_read(cur_of(bytes, len), q);
}

static void a_question_for_an_address_is_read(void **state)
{
    (void)state;
    struct dns_asked q;
    assert_true(reads(question, sizeof question, &q));
    assert_int_equal(q.id, 0x1234);
    assert_string_equal(q.name, "a.Test");
    assert_int_equal(q.type, DNS_ASKED_A);
    assert_int_equal(q.question_len, 12);
    assert_memory_equal(q.question, question + NAME_AT, 12);
}

static void what_is_cut_is_no_question(void **state)
{
    (void)state;
    struct dns_asked q;
    for (size_t len = 0; len < NAME_AT + 12; len++)
        assert_false(reads(question, len, &q));
    assert_true(reads(question, NAME_AT + 12, &q));
}

static void everything_else_goes_on(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint8_t byte;
    } changes[] = {
        {2, 0x81},          /* an answer */
        {2, 0x21},          /* another opcode */
        {5, 2},             /* two questions */
        {7, 1},             /* with an answer */
        {TYPE_AT + 1, 15},  /* MX */
        {CLASS_AT + 1, 3},  /* CHAOS */
        {NAME_AT, 0xc0},    /* a pointer */
        {NAME_AT + 1, '.'}, /* a dot in a label */
        {NAME_AT + 1, 0},
        {NAME_AT, 64},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct dns_asked q;
        uint8_t other[sizeof question];
        memcpy(other, question, sizeof other);
        other[changes[i].at] = changes[i].byte;
        assert_false(reads(other, sizeof other, &q));
    }
}

static void the_root_is_no_host(void **state)
{
    (void)state;
    static const uint8_t root[] = {0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1};
    struct dns_asked q;
    assert_false(reads(root, sizeof root, &q));
}

/* 254 bytes with their dots are no name that DNS has; 253 are. */
static void a_name_has_at_most_253_bytes(void **state)
{
    (void)state;
    for (uint8_t last = 61; last <= 63; last++) {
        uint8_t bytes[512] = {0, 0, 1, 0, 0, 1};
        struct writer w = wr_of(bytes, sizeof bytes);
        struct dns_asked q;
        w.p += DNS_HEADER;
        for (int label = 0; label < 4; label++) {
            uint8_t len = label < 3 ? 63 : last;
            wr_u8(&w, len);
            for (uint8_t i = 0; i < len; i++)
                wr_u8(&w, 'x');
        }
        wr_u8(&w, 0);
        wr_be16(&w, 1);
        wr_be16(&w, 1);
        bool read = reads(bytes, wr_len(&w), &q);
        if (last == 61)
            assert_int_equal(strlen(q.name), 253);
        assert_true(read || last > 61);
    }
}

static void answers_repeat_the_question(void **state)
{
    (void)state;
    static const uint8_t want[] = {0x12, 0x34, 0x81, 0x80, 0, 1, 0,   1, 0, 0,    0,  0, 1, 'a', 4,
                                   'T',  'e',  's',  't',  0, 0, 1,   0, 1, 0xc0, 12, 0, 1, 0,   1,
                                   0,    0,    2,    0x58, 0, 4, 192, 0, 2, 7};
    uint8_t got[DNS_ASKED_ANSWER];
    struct dns_asked q;
    struct addr ips[2] = {{.type = ADDR_IPV6}, {.type = ADDR_IPV4, .ip = {192, 0, 2, 7}}};
    assert_true(reads(question, sizeof question, &q));
    assert_int_equal(dns_asked_answer(&q, ips, 2, false, got), sizeof want);
    assert_memory_equal(got, want, sizeof want);
}

static void a_failure_is_said(void **state)
{
    (void)state;
    uint8_t got[DNS_ASKED_ANSWER];
    struct dns_asked q;
    assert_true(reads(question, sizeof question, &q));
    assert_int_equal(dns_asked_answer(&q, NULL, 0, true, got), NAME_AT + 12);
    assert_int_equal(got[3], 0x82);
    assert_int_equal(dns_asked_answer(&q, NULL, 0, false, got), NAME_AT + 12);
    assert_int_equal(got[3], 0x80);
}

static void the_longest_answer_fits(void **state)
{
    (void)state;
    uint8_t got[DNS_ASKED_ANSWER];
    struct dns_asked q = {.type = DNS_ASKED_AAAA, .question_len = DNS_ASKED_QUESTION};
    struct addr ips[16];
    for (size_t i = 0; i < 16; i++)
        ips[i] = (struct addr){.type = ADDR_IPV6};
    size_t len = dns_asked_answer(&q, ips, 16, false, got);
    assert_int_equal(len, DNS_HEADER + DNS_ASKED_QUESTION + 16 * 28);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_for_an_address_is_read),
        cmocka_unit_test(what_is_cut_is_no_question),
        cmocka_unit_test(everything_else_goes_on),
        cmocka_unit_test(the_root_is_no_host),
        cmocka_unit_test(a_name_has_at_most_253_bytes),
        cmocka_unit_test(answers_repeat_the_question),
        cmocka_unit_test(a_failure_is_said),
        cmocka_unit_test(the_longest_answer_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
