#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/vmess_auth.h"
#include "testing/vectors.h"

enum { NOW = 1700000000, CROWD = 100 };

static void make_users(struct vmess_user *users, size_t count)
{
    struct err e;
    memset(users, 0, count * sizeof *users);
    for (size_t i = 0; i < count; i++) {
        users[i].id[0] = (uint8_t)i;
        users[i].id[1] = 0xaa;
        assert_int_equal(vmess_user_init(&users[i], &e), 0);
    }
}

static void auth_id_is_that_of_the_vectors(void **state)
{
    (void)state;
    struct vectors *v = vectors_open("ids.txt");
    for (int i = 0; i < vectors_number(v, "auth_ids.count"); i++) {
        uint8_t key[16], rand4[4], wanted[AUTH_ID], out[AUTH_ID];
        vectors_bytes(v, key, sizeof key, "auth_ids.%d.aes_key", i);
        vectors_bytes(v, rand4, sizeof rand4, "auth_ids.%d.rand4", i);
        vectors_bytes(v, wanted, sizeof wanted, "auth_ids.%d.auth_id", i);
        long long stamp = vectors_number(v, "auth_ids.%d.timestamp", i);
        assert_int_equal(vmess_auth_seal(out, key, stamp, rand4), 0);
        assert_memory_equal(out, wanted, AUTH_ID);

        struct vmess_user u = {0};
        int64_t found_stamp = -1;
        memcpy(u.auth_key, key, sizeof key);
        struct vmess_table *t = vmess_table_new(&u, 1);
        assert_ptr_equal(vmess_table_find(t, out, stamp, &found_stamp), &u);
        assert_int_equal(found_stamp, stamp);
        vmess_table_free(t);
    }
    vectors_close(v);
}

static void table_accepts_120_seconds_either_way_and_no_more(void **state)
{
    (void)state;
    static const uint8_t rand4[4] = {1, 2, 3, 4};
    struct vmess_user u;
    uint8_t id[AUTH_ID];
    int64_t stamp;
    make_users(&u, 1);
    struct vmess_table *t = vmess_table_new(&u, 1);
    vmess_auth_seal(id, u.auth_key, NOW, rand4);
    assert_ptr_equal(vmess_table_find(t, id, NOW - 120, &stamp), &u);
    assert_ptr_equal(vmess_table_find(t, id, NOW + 120, &stamp), &u);
    assert_null(vmess_table_find(t, id, NOW - 121, &stamp));
    assert_null(vmess_table_find(t, id, NOW + 121, &stamp));
    vmess_auth_seal(id, u.auth_key, -1, rand4);
    assert_null(vmess_table_find(t, id, 0, &stamp));
    assert_null(vmess_table_find(t, id, -1, &stamp));
    vmess_auth_seal(id, u.auth_key, INT64_MAX, rand4);
    assert_null(vmess_table_find(t, id, NOW, &stamp));
    vmess_auth_seal(id, u.auth_key, INT64_MIN, rand4);
    assert_null(vmess_table_find(t, id, NOW, &stamp));
    vmess_table_free(t);
}

static void table_finds_each_of_few_and_of_many(void **state)
{
    (void)state;
    static const uint8_t rand4[4] = {9};
    static const size_t counts[] = {0, 1, 64, 65, CROWD};
    struct vmess_user users[CROWD];
    make_users(users, CROWD);
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        struct vmess_table *t = vmess_table_new(users, counts[c]);
        for (size_t i = 0; i < CROWD; i++) {
            uint8_t id[AUTH_ID];
            int64_t stamp;
            vmess_auth_seal(id, users[i].auth_key, NOW, rand4);
            const struct vmess_user *wanted = i < counts[c] ? &users[i] : NULL;
            assert_ptr_equal(vmess_table_find(t, id, NOW, &stamp), wanted);
            assert_ptr_equal(vmess_table_find(t, id, NOW, &stamp), wanted);
        }
        vmess_table_free(t);
    }
}

static void table_refuses_every_flipped_bit(void **state)
{
    (void)state;
    static const uint8_t rand4[4] = {7};
    struct vmess_user u;
    uint8_t id[AUTH_ID];
    int64_t stamp;
    make_users(&u, 1);
    struct vmess_table *t = vmess_table_new(&u, 1);
    vmess_auth_seal(id, u.auth_key, NOW, rand4);
    for (size_t bit = 0; bit < 8 * AUTH_ID; bit++) {
        id[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_null(vmess_table_find(t, id, NOW, &stamp));
        id[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    vmess_table_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(auth_id_is_that_of_the_vectors),
        cmocka_unit_test(table_accepts_120_seconds_either_way_and_no_more),
        cmocka_unit_test(table_finds_each_of_few_and_of_many),
        cmocka_unit_test(table_refuses_every_flipped_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
