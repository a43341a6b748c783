/* The laws of core/list.h: order, removal anywhere, zeroed memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/list.h"

struct thing {
    int value;
    struct list_item item;
};

static int value_of(const struct list_item *i)
{
    return container_of(i, struct thing, item)->value;
}

static void assert_order(const struct list *l, const int *values, int count)
{
    const struct list_item *i = list_first(l);
    for (int k = 0; k < count; k++, i = list_next(l, i)) {
        assert_non_null(i);
        assert_int_equal(value_of(i), values[k]);
    }
    assert_null(i);
}

static void zeroed_memory_is_an_empty_list_and_an_unlisted_item(void **state)
{
    (void)state;
    struct list l = {0};
    struct thing t = {0};
    assert_null(list_first(&l));
    assert_false(list_holds(&t.item));
    list_remove(&t.item);
    assert_false(list_holds(&t.item));
}

static void pushed_items_lie_in_front_and_appended_ones_behind(void **state)
{
    (void)state;
    struct list l = {0};
    struct thing t[4] = {{.value = 0}, {.value = 1}, {.value = 2}, {.value = 3}};
    list_append(&l, &t[1].item);
    list_append(&l, &t[2].item);
    list_push(&l, &t[0].item);
    list_append(&l, &t[3].item);
    assert_order(&l, (int[]){0, 1, 2, 3}, 4);
}

static void any_item_can_leave_and_come_back(void **state)
{
    (void)state;
    for (int out = 0; out < 3; out++) {
        struct list l = {0};
        struct thing t[3] = {{.value = 0}, {.value = 1}, {.value = 2}};
        for (int i = 0; i < 3; i++)
            list_append(&l, &t[i].item);
        list_remove(&t[out].item);
        assert_false(list_holds(&t[out].item));
        assert_order(&l, (int[]){out == 0, out == 2 ? 1 : 2}, 2);
        list_append(&l, &t[out].item);
        assert_order(&l, (int[]){out == 0, out == 2 ? 1 : 2, out}, 3);
    }
}

static void a_list_that_lost_its_last_item_is_empty(void **state)
{
    (void)state;
    struct list l = {0};
    struct thing t = {0};
    list_push(&l, &t.item);
    assert_true(list_holds(&t.item));
    list_remove(&t.item);
    assert_null(list_first(&l));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zeroed_memory_is_an_empty_list_and_an_unlisted_item),
        cmocka_unit_test(pushed_items_lie_in_front_and_appended_ones_behind),
        cmocka_unit_test(any_item_can_leave_and_come_back),
        cmocka_unit_test(a_list_that_lost_its_last_item_is_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
