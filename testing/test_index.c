#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <sodium.h>

#include "routing/index.h"
#include "testing/rules_rig.h"

/* A run of numbers that is the same each time. */
static struct numbers numbers_of(uint8_t *room, size_t len, uint32_t seed)
{
    uint8_t key[randombytes_SEEDBYTES] = {0};
    memcpy(key, &seed, sizeof seed);
    randombytes_buf_deterministic(room, len, key);
    return (struct numbers){room, room + len};
}

static void it_answers_as_the_rules_in_turn(void **state)
{
    (void)state;
    enum { ROUNDS = 300, RULES = 64, QUERIES = 100, ROOM = 1 << 14 };
    static uint8_t room[ROOM];
    size_t matched = 0;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct numbers n = numbers_of(room, ROOM, round);
        struct rule items[RULES];
        struct rules rs = {items, 1 + number_below(&n, RULES), 0, NULL};
        for (size_t i = 0; i < rs.count; i++)
            rig_rule(&n, &items[i]);
        struct rule_index *ix = rule_index_new(items, rs.count);
        assert_non_null(ix);
        for (int i = 0; i < QUERIES; i++) {
            struct rig_query a;
            rig_ask(&n, &a);
            const struct rule *want = rig_first(&rs, &a.q), *got = rule_index_match(ix, &a.q);
            if (want != got)
                fail_msg("round %u: rule %td, want %td", round, got ? got - items : -1,
                         want ? want - items : -1);
            matched += want && want > items;
            for (unsigned unknown = 0; unknown < 1 << FACT_COUNT; unknown++)
                assert_int_equal(rule_index_lack(ix, &a.q, unknown),
                                 rules_lack(&rs, &a.q, unknown));
        }
        rule_index_free(ix);
        for (size_t i = 0; i < rs.count; i++)
            rule_fini(&items[i]);
    }
    assert_true(matched > 100); /* else nothing was compared */
}

static void many_rules_are_sealed_with_an_index(void **state)
{
    (void)state;
    enum { MANY = 10000 };
    struct rules rs = {calloc(MANY, sizeof(struct rule)), MANY, 0, NULL};
    struct meta m = {.net = NET_TCP, .inbound_tag = "", .outbound_tag = ""};
    struct query q = {.meta = &m};
    struct err e;
    char text[64];
    for (int i = 0; i < MANY; i++) {
        snprintf(text, sizeof text, "domain:host-%d.example", i / 2);
        rs.items[i].domains = domain_set_new();
        assert_int_equal(domain_set_add(rs.items[i].domains, text, &e), 0);
        rs.items[i].networks = i % 2 ? NET_TCP : NET_UDP;
    }
    assert_true(rules_seal(&rs));
    assert_non_null(rs.index);
    for (int i = 0; i < MANY / 2 + 5; i++) {
        snprintf(text, sizeof text, "www.host-%d.example", i);
        q.name = text;
        m.net = NET_TCP;
        assert_ptr_equal(rules_match(&rs, &q), i < MANY / 2 ? &rs.items[2 * i + 1] : NULL);
        m.net = NET_UDP;
        assert_ptr_equal(rules_match(&rs, &q), i < MANY / 2 ? &rs.items[2 * i] : NULL);
    }
    rules_fini(&rs);
}

/* A name whose every tail lies in the index fills all lists there are. */
static void more_lists_than_there_is_room_for_lose_nothing(void **state)
{
    (void)state;
    enum { MANY = 250 };
    struct rules rs = {calloc(MANY, sizeof(struct rule)), MANY, 0, NULL};
    struct meta m = {.net = NET_TCP, .inbound_tag = "", .outbound_tag = ""};
    char name[ADDR_NAME_MAX + 1], text[8];
    struct query q = {.meta = &m, .name = name};
    struct err e;
    for (int i = 0; i < ADDR_NAME_MAX; i++)
        name[i] = (char)(i % 3 == 0 ? 'a' + i / 3 % 26 : i % 3 == 1 ? 'a' + i / 78 : 'z');
    name[ADDR_NAME_MAX] = '\0';
    for (int i = 0; i < MANY; i++) {
        snprintf(text, sizeof text, "%.3s", name + i);
        rs.items[i].domains = domain_set_new();
        assert_int_equal(domain_set_add(rs.items[i].domains, text, &e), 0);
        rs.items[i].networks = i == MANY - 1 ? NET_TCP : NET_UDP;
    }
    assert_true(rules_seal(&rs));
    assert_ptr_equal(rules_match(&rs, &q), &rs.items[MANY - 1]);
    rules_fini(&rs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_answers_as_the_rules_in_turn),
        cmocka_unit_test(many_rules_are_sealed_with_an_index),
        cmocka_unit_test(more_lists_than_there_is_room_for_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
