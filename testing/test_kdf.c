#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/kdf.h"
#include "testing/vectors.h"

enum { PART_MAX = 256 };

static void kdf_gives_the_shared_vectors(void **state)
{
    (void)state;
    struct vectors *v = vectors_open("kdf.txt");
    for (int i = 0; i < vectors_number(v, "cases.count"); i++) {
        uint8_t secret[PART_MAX], parts[KDF_DEPTH][PART_MAX], wanted[KDF_LEN], out[KDF_LEN];
        struct kdf_part path[KDF_DEPTH];
        size_t depth = (size_t)vectors_number(v, "cases.%d.path.count", i);
        size_t len = vectors_bytes(v, secret, sizeof secret, "cases.%d.key", i);
        assert_true(depth <= KDF_DEPTH);
        for (size_t p = 0; p < depth; p++) {
            path[p].data = parts[p];
            path[p].len = vectors_bytes(v, parts[p], PART_MAX, "cases.%d.path.%zu", i, p);
        }
        kdf(out, sizeof out, secret, len, path, depth);
        assert_int_equal(vectors_bytes(v, wanted, sizeof wanted, "cases.%d.kdf", i), KDF_LEN);
        assert_memory_equal(out, wanted, KDF_LEN);
        kdf(out, 12, secret, len, path, depth);
        assert_memory_equal(out, wanted, 12);
    }
    vectors_close(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(kdf_gives_the_shared_vectors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
