#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "conf/keep.h"

static void equal_bytes_are_kept_once(void **state)
{
    (void)state;
    struct keep *k = keep_new();
    char one[] = "tag", other[] = "tag";
    const char *kept = keep_text(k, one);
    assert_string_equal(kept, "tag");
    assert_ptr_not_equal(kept, one);
    assert_ptr_equal(keep_text(k, other), kept);
    assert_ptr_not_equal(keep_text(k, "tags"), kept);
    assert_ptr_not_equal(keep_bytes(k, "tag", 3), kept); /* without its end it is another */
    assert_ptr_equal(keep_bytes(k, "tag", 3), keep_bytes(k, "tag", 3));
    assert_non_null(keep_bytes(k, "", 0));
    assert_false(keep_failed(k));
    keep_unref(k);
}

static void what_is_kept_stays_where_it_is(void **state)
{
    (void)state;
    enum { MANY = 5000 };
    static const void *kept[MANY];
    struct keep *k = keep_new();
    for (int i = 0; i < MANY; i++)
        kept[i] = keep_bytes(k, &i, sizeof i);
    for (int i = 0; i < MANY; i++) {
        assert_ptr_equal(keep_bytes(k, &i, sizeof i), kept[i]);
        assert_memory_equal(kept[i], &i, sizeof i);
    }
    keep_unref(k);
}

static void it_stays_until_the_last_has_let_go(void **state)
{
    (void)state;
    struct keep *k = keep_new();
    const char *kept = keep_text(k, "tag");
    struct keep *same = keep_ref(k);
    keep_unref(k);
    assert_string_equal(kept, "tag");
    assert_ptr_equal(keep_text(same, "tag"), kept);
    keep_unref(same);
    keep_unref(NULL);
}

static void count_drop(void *object)
{
    ++*(unsigned *)object;
}

static void objects_go_with_the_last_share(void **state)
{
    (void)state;
    unsigned dropped[2] = {0};
    struct keep *k = keep_new();
    assert_non_null(k);
    assert_null(keep_object(k, "a"));
    assert_true(keep_add_object(k, "a", &dropped[0], count_drop));
    assert_true(keep_add_object(k, "b", &dropped[1], count_drop));
    assert_ptr_equal(keep_object(k, "a"), &dropped[0]);
    assert_ptr_equal(keep_object(k, "b"), &dropped[1]);
    keep_ref(k);
    keep_unref(k);
    assert_int_equal(dropped[0] + dropped[1], 0);
    keep_unref(k);
    assert_int_equal(dropped[0], 1);
    assert_int_equal(dropped[1], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_bytes_are_kept_once),
        cmocka_unit_test(what_is_kept_stays_where_it_is),
        cmocka_unit_test(it_stays_until_the_last_has_let_go),
        cmocka_unit_test(objects_go_with_the_last_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
