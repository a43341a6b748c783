#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "reverse/tunnels.h"

enum { MANY = 50000 };

struct thing {
    struct tunnel_item item;
    struct tunnel_name name;
};

static void thing_add(struct tunnels *t, struct thing *x, enum tunnel_by by, const char *tenant,
                      int n)
{
    x->name = (struct tunnel_name){.tenant = tenant, .by = (uint8_t)by};
    snprintf(x->name.text, sizeof x->name.text, "t%d", n);
    x->item.name = &x->name;
    assert_true(tunnels_add(t, &x->item));
}

static void what_was_added_is_found_until_it_is_removed(void **state)
{
    (void)state;
    struct tunnels t;
    struct thing *all = calloc(MANY, sizeof *all);
    tunnels_init(&t);
    assert_null(tunnels_find(&t, &(struct tunnel_name){.by = TUNNEL_BY_ID, .text = "t1"}));
    for (int i = 0; i < MANY; i++)
        thing_add(&t, &all[i], TUNNEL_BY_ID, NULL, i);
    for (int i = 0; i < MANY; i += 2)
        tunnels_remove(&t, &all[i].item);
    assert_int_equal(t.count, MANY / 2);
    for (int i = 0; i < MANY; i++)
        assert_ptr_equal(tunnels_find(&t, &all[i].name), i % 2 ? &all[i].item : NULL);
    tunnels_fini(&t);
    free(all);
}

static void a_name_of_another_kind_or_tenant_is_another_name(void **state)
{
    (void)state;
    static const char *const tenants[] = {NULL, "a", "b"};
    struct tunnels t;
    struct thing all[3][4];
    tunnels_init(&t);
    for (int n = 0; n < 3; n++)
        for (int by = TUNNEL_BY_ID; by <= TUNNEL_PRIVATE; by++)
            thing_add(&t, &all[n][by - 1], (enum tunnel_by)by, tenants[n], 1);
    for (int n = 0; n < 3; n++)
        for (int by = TUNNEL_BY_ID; by <= TUNNEL_PRIVATE; by++) {
            char copy[] = "a";
            struct tunnel_name name = all[n][by - 1].name;
            if (n == 1)
                name.tenant = copy; /* the same text in another place */
            assert_ptr_equal(tunnels_find(&t, &name), &all[n][by - 1].item);
        }
    tunnels_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_added_is_found_until_it_is_removed),
        cmocka_unit_test(a_name_of_another_kind_or_tenant_is_another_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
