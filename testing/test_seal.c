#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "cluster/seal.h"

static const uint8_t cluster_key[SEAL_KEY] = {1, 2, 3};

struct sealed {
    uint8_t key;
    const char *cluster, *purpose, *first, *second;
};

static void seal(const struct sealed *s, uint8_t out[SEAL_LEN])
{
    struct seal key;
    uint8_t bytes[SEAL_KEY];
    memcpy(bytes, cluster_key, sizeof bytes);
    bytes[0] = s->key;
    const struct seal_part parts[] = {{s->first, strlen(s->first)}, {s->second, strlen(s->second)}};
    seal_init(&key, bytes, s->cluster);
    seal_make(&key, s->purpose, parts, 2, out);
    assert_true(seal_fits(&key, s->purpose, parts, 2, out));
    seal_fini(&key);
}

static void a_seal_holds_for_one_thing_only(void **state)
{
    (void)state;
    static const struct sealed all[] = {
        {1, "prod", "lease", "ab", "c"}, {2, "prod", "lease", "ab", "c"},
        {1, "test", "lease", "ab", "c"}, {1, "prod", "links", "ab", "c"},
        {1, "prod", "lease", "a", "bc"}, {1, "prod", "lease", "", "abc"},
        {1, "prod", "lease", "abc", ""}, {1, "prodlease", "", "ab", "c"},
        {1, "prod", "leasea", "b", "c"},
    };
    uint8_t seals[sizeof all / sizeof *all][SEAL_LEN];
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        seal(&all[i], seals[i]);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(seals[i], seals[k], SEAL_LEN);
    }
}

static void a_seal_is_the_same_each_time(void **state)
{
    (void)state;
    static const struct sealed s = {1, "prod", "lease", "ab", "c"};
    uint8_t one[SEAL_LEN], two[SEAL_LEN];
    seal(&s, one);
    seal(&s, two);
    assert_memory_equal(one, two, SEAL_LEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seal_holds_for_one_thing_only),
        cmocka_unit_test(a_seal_is_the_same_each_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
