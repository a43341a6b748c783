#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "transport/dns_message.h"

/* An answer in the making. */
struct answer {
    uint8_t bytes[70000];
    struct writer w;
    struct dns_question question;
};

static void answer_begin(struct answer *a, const char *name, unsigned family, uint16_t flags,
                         uint16_t answers, uint16_t authorities)
{
    struct err e;
    a->w = wr_of(a->bytes, sizeof a->bytes);
    assert_int_equal(dns_question_init(&a->question, name, family, false, &e), 0);
    wr_be16(&a->w, 7), wr_be16(&a->w, flags), wr_be16(&a->w, 1);
    wr_be16(&a->w, answers), wr_be16(&a->w, authorities), wr_be16(&a->w, 0);
    wr_bytes(&a->w, a->question.name.wire, a->question.name.len);
    wr_be16(&a->w, family == DNS_A ? 1 : 28), wr_be16(&a->w, 1);
}

static void put_name(struct answer *a, const char *name)
{
    struct dns_question q;
    struct err e;
    assert_int_equal(dns_question_init(&q, name, DNS_A, false, &e), 0);
    wr_bytes(&a->w, q.name.wire, q.name.len);
}

static void put_head(struct answer *a, const char *owner, uint16_t type, uint32_t ttl, uint16_t len)
{
    if (owner)
        put_name(a, owner);
    else
        wr_be16(&a->w, 0xc00c); /* the question's name */
    wr_be16(&a->w, type), wr_be16(&a->w, 1), wr_be32(&a->w, ttl), wr_be16(&a->w, len);
}

static void put_a(struct answer *a, const char *owner, uint32_t ttl, uint32_t ip)
{
    put_head(a, owner, 1, ttl, 4);
    wr_be32(&a->w, ip);
}

static void put_alias(struct answer *a, const char *owner, uint32_t ttl, const char *target)
{
    struct dns_question q;
    struct err e;
    assert_int_equal(dns_question_init(&q, target, DNS_A, false, &e), 0);
    put_head(a, owner, 5, ttl, q.name.len);
    wr_bytes(&a->w, q.name.wire, q.name.len);
}

static struct dns_records records;
static struct err why;

static enum dns_said read_answer(const struct answer *a)
{
    records.count = 0;
    records.ttl = UINT32_MAX;
    return dns_answer_read(cur_of(a->bytes, wr_len(&a->w)), &a->question, &records, &why);
}

static void a_question_is_what_rfc_1035_says(void **state)
{
    (void)state;
    static const uint8_t wanted[] = "\x12\x34\1\0\0\1\0\0\0\0\0\0\3www\7example\3com\0\0\1\0\1";
    static const struct addr nobody;
    uint8_t bytes[DNS_QUESTION_MAX];
    struct writer w = wr_of(bytes, sizeof bytes);
    struct dns_question q;
    assert_int_equal(dns_question_init(&q, "www.example.com", DNS_A, false, &why), 0);
    dns_question_write(&q, 0x1234, &nobody, &w);
    assert_int_equal(wr_len(&w), sizeof wanted - 1);
    assert_memory_equal(bytes, wanted, sizeof wanted - 1);
}

static void the_clients_network_is_told_when_wanted(void **state)
{
    (void)state;
    static const uint8_t wanted[] = "\0\0\x29\x04\xd0\0\0\0\0\0\x0b\0\x08\0\7\0\1\x18\0\xcb\0\x71";
    const struct addr client = {.type = ADDR_IPV4, .ip = {203, 0, 113, 9}};
    uint8_t bytes[DNS_QUESTION_MAX];
    struct writer w = wr_of(bytes, sizeof bytes);
    struct dns_question q;
    assert_int_equal(dns_question_init(&q, "a", DNS_AAAA, false, &why), 0);
    dns_question_write(&q, 0, &client, &w);
    assert_int_equal(bytes[11], 1);
    assert_memory_equal(bytes + wr_len(&w) - (sizeof wanted - 1), wanted, sizeof wanted - 1);
}

static void what_is_no_name_is_not_asked_for(void **state)
{
    (void)state;
    char label[66] = {0}, whole[300] = {0};
    struct dns_question q;
    memset(label, 'a', 64);
    for (size_t i = 0; i < 256; i++)
        whole[i] = i % 2 ? '.' : 'b';
    const char *const wrong[] = {"", ".", "a..b", ".a", label, whole};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(dns_question_init(&q, wrong[i], DNS_A, true, &why), -1);
    label[63] = whole[253] = '\0';
    assert_int_equal(dns_question_init(&q, label, DNS_A, true, &why), 0);
    assert_int_equal(dns_question_init(&q, whole, DNS_A, true, &why), 0);
}

static void letters_come_back_as_they_were_sent(void **state)
{
    (void)state;
    struct answer a;
    struct dns_question mixed;
    unsigned capitals = 0;
    answer_begin(&a, "abcdefghijklmnopqrstuvwxyz.example", DNS_A, 0x8180, 1, 0);
    put_a(&a, NULL, 60, 0x7f000001);
    do { /* one in 2^33 has none */
        assert_int_equal(
            dns_question_init(&mixed, "abcdefghijklmnopqrstuvwxyz.example", DNS_A, true, &why), 0);
        for (size_t i = 0; i < mixed.name.len; i++)
            capitals += isupper(mixed.name.wire[i]) != 0;
    } while (!capitals);
    a.question = mixed;
    assert_int_equal(read_answer(&a), DNS_RECASED);
    memcpy(a.bytes + 12, mixed.name.wire, mixed.name.len);
    assert_int_equal(read_answer(&a), DNS_SAID);
    assert_int_equal(records.count, 1);
}

static void addresses_are_read_with_the_smallest_ttl(void **state)
{
    (void)state;
    struct answer a;
    answer_begin(&a, "a.example", DNS_A, 0x8180, 3, 0);
    put_a(&a, NULL, 60, 0x01020304);
    put_a(&a, "A.Example", 30, 0x01020305);
    put_a(&a, "other.example", 1, 0x01020306); /* nobody asked */
    assert_int_equal(read_answer(&a), DNS_SAID);
    assert_int_equal(records.count, 2);
    assert_int_equal(records.ttl, 30);
    assert_int_equal(records.ips[1].ip[3], 5);
}

static void a_mapped_address_is_an_ipv4_address(void **state)
{
    (void)state;
    struct answer a;
    answer_begin(&a, "a.example", DNS_AAAA, 0x8180, 2, 0);
    put_head(&a, NULL, 28, 60, 16);
    wr_bytes(&a.w, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1", 16);
    put_head(&a, NULL, 28, 60, 16);
    wr_bytes(&a.w, "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16);
    assert_int_equal(read_answer(&a), DNS_SAID);
    assert_int_equal(records.count, 2);
    assert_int_equal(records.ips[0].type, ADDR_IPV4);
    assert_int_equal(records.ips[0].ip[0], 127);
    assert_int_equal(records.ips[1].type, ADDR_IPV6);
}

static void aliases_are_followed_in_any_order(void **state)
{
    (void)state;
    struct answer a;
    answer_begin(&a, "a.example", DNS_A, 0x8180, 3, 0);
    put_a(&a, "c.example", 60, 0x01020304);
    put_alias(&a, "b.example", 50, "c.example");
    put_alias(&a, "a.example", 40, "b.example");
    assert_int_equal(read_answer(&a), DNS_SAID);
    assert_int_equal(records.count, 1);
    assert_int_equal(records.ttl, 40);
}

static void aliases_are_bounded(void **state)
{
    (void)state;
    for (unsigned count = 7; count <= 10; count++) {
        struct answer a;
        char from[32] = "a.example", to[32];
        answer_begin(&a, from, DNS_A, 0x8180, (uint16_t)(count + 1), 0);
        for (unsigned i = 0; i < count; i++) {
            snprintf(to, sizeof to, "n%u.example", i);
            put_alias(&a, from, 60, to);
            memcpy(from, to, sizeof to);
        }
        put_a(&a, from, 60, 0x01020304);
        assert_int_equal(read_answer(&a), count <= DNS_CNAMES_MAX ? DNS_SAID : DNS_FAILED);
    }
}

static void aliases_that_go_round_are_an_error(void **state)
{
    (void)state;
    struct answer a;
    answer_begin(&a, "a.example", DNS_A, 0x8180, 2, 0);
    put_alias(&a, "a.example", 60, "b.example");
    put_alias(&a, "b.example", 60, "a.example");
    assert_int_equal(read_answer(&a), DNS_FAILED);
    assert_non_null(strstr(why.text, "go round"));
}

static void many_addresses_are_cut(void **state)
{
    (void)state;
    static struct answer a;
    answer_begin(&a, "a.example", DNS_A, 0x8180, 4000, 0);
    for (uint32_t i = 0; i < 4000; i++)
        put_a(&a, NULL, 60, i);
    assert_false(a.w.overflow);
    assert_int_equal(read_answer(&a), DNS_SAID);
    assert_int_equal(records.count, DNS_ADDRS_MAX);
}

static void that_there_is_nothing_holds_as_long_as_the_zone_says(void **state)
{
    (void)state;
    for (uint16_t flags = 0x8180; flags <= 0x8183; flags += 3) { /* no addresses; no such name */
        struct answer a;
        answer_begin(&a, "a.example", DNS_A, flags, 0, 1);
        put_head(&a, "example", 6, 900, 22);
        wr_u8(&a.w, 0), wr_u8(&a.w, 0);
        for (uint32_t i = 1; i <= 5; i++)
            wr_be32(&a.w, i * 10);
        assert_int_equal(read_answer(&a), flags == 0x8180 ? DNS_SAID : DNS_UNKNOWN);
        assert_int_equal(records.count, 0);
        assert_int_equal(records.ttl, 50);
    }
}

static void errors_of_the_server_are_no_answer(void **state)
{
    (void)state;
    static const struct {
        uint16_t flags;
        const char *text;
    } wrong[] = {
        {0x8182, "SERVFAIL"}, {0x8185, "REFUSED"}, {0x8189, "an error"}, {0x0100, "valid"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct answer a;
        answer_begin(&a, "a.example", DNS_A, wrong[i].flags, 0, 0);
        assert_int_equal(read_answer(&a), DNS_FAILED);
        assert_non_null(strstr(why.text, wrong[i].text));
    }
}

static void the_answer_to_another_question_is_none(void **state)
{
    (void)state;
    struct answer a;
    answer_begin(&a, "a.example", DNS_A, 0x8180, 1, 0);
    put_a(&a, NULL, 60, 1);
    a.question.family = DNS_AAAA;
    assert_int_equal(read_answer(&a), DNS_FAILED);
    a.question.family = DNS_A;
    assert_int_equal(read_answer(&a), DNS_SAID);
    a.question.name.wire[1] = 'b';
    assert_int_equal(read_answer(&a), DNS_FAILED);
}

/* What is missing behind the question only makes the answer poorer; nothing is read outside it. */
static void an_answer_may_be_cut_anywhere(void **state)
{
    (void)state;
    struct answer a;
    answer_begin(&a, "a.example", DNS_A, 0x8180, 3, 0);
    size_t question = wr_len(&a.w);
    put_alias(&a, NULL, 60, "b.example");
    put_a(&a, "b.example", 60, 1);
    put_a(&a, "b.example", 60, 2);
    for (size_t cut = 0; cut < wr_len(&a.w); cut++) {
        uint8_t *copy = malloc(cut ? cut : 1); /* so that a sanitizer sees its end */
        memcpy(copy, a.bytes, cut);
        records.count = 0;
        enum dns_said said = dns_answer_read(cur_of(copy, cut), &a.question, &records, &why);
        assert_int_equal(said, cut < question ? DNS_FAILED : DNS_SAID);
        assert_true(records.count < 2);
        free(copy);
    }
}

static void names_that_point_forward_or_in_a_ring_are_not_valid(void **state)
{
    (void)state;
    static const uint16_t places[] = {12, 14, 0x3fff};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        uint8_t bytes[64] = {0, 7, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0};
        struct answer a;
        answer_begin(&a, "a", DNS_A, 0x8180, 0, 0);
        bytes[12] = (uint8_t)(0xc0 | places[i] >> 8);
        bytes[13] = (uint8_t)places[i];
        assert_int_equal(dns_answer_read(cur_of(bytes, sizeof bytes), &a.question, &records, &why),
                         DNS_FAILED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_is_what_rfc_1035_says),
        cmocka_unit_test(the_clients_network_is_told_when_wanted),
        cmocka_unit_test(what_is_no_name_is_not_asked_for),
        cmocka_unit_test(letters_come_back_as_they_were_sent),
        cmocka_unit_test(addresses_are_read_with_the_smallest_ttl),
        cmocka_unit_test(a_mapped_address_is_an_ipv4_address),
        cmocka_unit_test(aliases_are_followed_in_any_order),
        cmocka_unit_test(aliases_are_bounded),
        cmocka_unit_test(aliases_that_go_round_are_an_error),
        cmocka_unit_test(many_addresses_are_cut),
        cmocka_unit_test(that_there_is_nothing_holds_as_long_as_the_zone_says),
        cmocka_unit_test(errors_of_the_server_are_no_answer),
        cmocka_unit_test(the_answer_to_another_question_is_none),
        cmocka_unit_test(an_answer_may_be_cut_anywhere),
        cmocka_unit_test(names_that_point_forward_or_in_a_ring_are_not_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
