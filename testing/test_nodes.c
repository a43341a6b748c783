#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "cluster/nodes.h"
#include "cluster/tenants.h"

static const double LEASE = 10;

static struct node_view life(const char *name, uint64_t epoch)
{
    struct node_view v = {.epoch = epoch, .state = NODE_UP};
    snprintf(v.name, sizeof v.name, "%s", name);
    return v;
}

static void lease(struct nodes *n, const char *name, uint64_t epoch, double now)
{
    struct node_view v = life(name, epoch);
    nodes_leased(n, &v, now, LEASE);
}

static void link_says(struct nodes *n, const char *name, uint64_t epoch, enum nodes_link what,
                      double now)
{
    struct node_view v = life(name, epoch);
    nodes_linked(n, &v, what, now);
}

static void a_life_is_alive_while_a_link_says_so(void **state)
{
    (void)state;
    struct nodes *n = nodes_new("self");
    link_says(n, "b", 7, NODE_LINK_UP, 0);
    link_says(n, "b", 7, NODE_LINK_UP, 1); /* of another loop */
    assert_true(nodes_alive(n, "b", 7, 1000));
    assert_false(nodes_alive(n, "b", 8, 1));
    link_says(n, "b", 7, NODE_LINK_WENT, 2);
    assert_true(nodes_alive(n, "b", 7, 2));
    link_says(n, "b", 7, NODE_LINK_WENT, 3);
    assert_false(nodes_alive(n, "b", 7, 3));
    nodes_free(n);
}

static void a_lease_holds_for_its_time(void **state)
{
    (void)state;
    struct nodes *n = nodes_new("self");
    nodes_registry(n, true, 0);
    lease(n, "b", 7, 0);
    assert_true(nodes_alive(n, "b", 7, LEASE - 1));
    lease(n, "b", 7, LEASE - 1);
    assert_true(nodes_alive(n, "b", 7, LEASE + 1));
    assert_false(nodes_alive(n, "b", 7, 2 * LEASE));
    nodes_free(n);
}

static void without_the_registry_who_was_alive_stays_so(void **state)
{
    (void)state;
    struct nodes *n = nodes_new("self");
    nodes_registry(n, true, 0);
    lease(n, "dead", 1, 0);
    lease(n, "b", 7, 5);
    nodes_registry(n, false, 11);
    assert_true(nodes_alive(n, "b", 7, 1000));
    assert_false(nodes_alive(n, "dead", 1, 1000));
    nodes_registry(n, true, 2000); /* it gets the time of a lease to renew it */
    assert_true(nodes_alive(n, "b", 7, 2000 + LEASE - 1));
    nodes_registry(n, false, 2005); /* and is not yet found dead */
    assert_true(nodes_alive(n, "b", 7, 3000));
    nodes_registry(n, true, 3000);
    assert_false(nodes_alive(n, "b", 7, 3000 + LEASE));
    assert_false(nodes_alive(n, "dead", 1, 3001));
    nodes_free(n);
}

static bool is_sought(struct nodes *n, double now)
{
    struct node_view v;
    return nodes_list(n, &v, 1, now) && v.sought;
}

/* It may begin anew where it was, and not know of anybody. */
static void who_died_is_sought_for_a_while_unless_the_registry_says_who_is_there(void **state)
{
    (void)state;
    struct nodes *n = nodes_new("self");
    link_says(n, "b", 7, NODE_LINK_UP, 0);
    assert_true(is_sought(n, 1));
    link_says(n, "b", 7, NODE_LINK_WENT, 2);
    assert_false(nodes_alive(n, "b", 7, 3));
    assert_true(is_sought(n, 3));
    nodes_registry(n, true, 4);
    assert_false(is_sought(n, 5));
    nodes_registry(n, false, 6);
    assert_true(is_sought(n, 7));
    assert_false(is_sought(n, 400));
    nodes_free(n);
}

static void a_new_life_ends_the_lease_of_the_former_one(void **state)
{
    (void)state;
    struct nodes *n = nodes_new("self");
    struct node_view list[4];
    nodes_registry(n, true, 0);
    lease(n, "b", 7, 0);
    lease(n, "b", 8, 1);
    assert_false(nodes_alive(n, "b", 7, 1));
    assert_true(nodes_alive(n, "b", 8, 1));
    assert_int_equal(nodes_list(n, list, 4, 1), 1);
    assert_int_equal(list[0].epoch, 8);
    assert_true(list[0].leased && list[0].alive && !list[0].linked);
    nodes_free(n);
}

static void a_name_counts_once_and_not_while_it_drains(void **state)
{
    (void)state;
    struct nodes *n = nodes_new("self");
    nodes_registry(n, true, 0);
    assert_int_equal(nodes_count(n, 0), 1);
    link_says(n, "b", 7, NODE_LINK_UP, 0);
    lease(n, "b", 8, 0);
    assert_int_equal(nodes_count(n, 0), 2);
    struct node_view c = life("c", 1);
    nodes_linked(n, &c, NODE_LINK_UP, 0);
    assert_int_equal(nodes_count(n, 0), 3);
    c.state = NODE_DRAINS;
    nodes_linked(n, &c, NODE_LINK_SAYS, 1);
    assert_int_equal(nodes_count(n, 1), 2);
    nodes_free(n);
}

static void this_node_is_none_of_the_others(void **state)
{
    (void)state;
    struct nodes *n = nodes_new("self");
    struct node_view list[4];
    nodes_registry(n, true, 0);
    lease(n, "self", 7, 0);
    link_says(n, "self", 8, NODE_LINK_UP, 0);
    assert_int_equal(nodes_list(n, list, 4, 0), 0);
    nodes_free(n);
}

static void those_dead_for_longest_give_way(void **state)
{
    (void)state;
    struct nodes *n = nodes_new("self");
    static struct node_view list[NODES_MAX];
    char name[16];
    for (unsigned i = 0; i < NODES_MAX; i++) {
        snprintf(name, sizeof name, "n%u", i);
        link_says(n, name, 1, NODE_LINK_UP, i);
    }
    link_says(n, "late", 1, NODE_LINK_UP, 300);
    assert_false(nodes_alive(n, "late", 1, 300)); /* all others are alive */
    link_says(n, "n5", 1, NODE_LINK_WENT, 300);
    link_says(n, "n3", 1, NODE_LINK_WENT, 301);
    link_says(n, "late", 1, NODE_LINK_UP, 302);
    assert_true(nodes_alive(n, "late", 1, 302));
    assert_true(nodes_alive(n, "n4", 1, 302));
    assert_int_equal(nodes_list(n, list, NODES_MAX, 302), NODES_MAX);
    for (unsigned i = 0; i < NODES_MAX; i++)
        assert_string_not_equal(list[i].name, "n5");
    assert_int_equal(nodes_list(n, list, NODES_MAX, 302 + 301),
                     NODES_MAX - 1); /* n3 is forgotten */
    nodes_free(n);
}

static void a_tenant_is_kept_once(void **state)
{
    (void)state;
    struct tenants *t = tenants_new();
    const char *one, *again, *other;
    char long_name[65];
    memset(long_name, 'x', sizeof long_name);
    assert_true(tenants_keep(t, "acme-x", 4, &one));
    assert_string_equal(one, "acme");
    assert_true(tenants_keep(t, "acme", 4, &again));
    assert_ptr_equal(one, again);
    assert_true(tenants_keep(t, "acme-x", 6, &other));
    assert_ptr_not_equal(one, other);
    assert_true(tenants_keep(t, "", 0, &other));
    assert_null(other);
    assert_false(tenants_keep(t, long_name, 64, &other));
    assert_true(tenants_keep(t, long_name, 63, &other));
    tenants_free(t);
}

static void tenants_are_bounded(void **state)
{
    (void)state;
    struct tenants *t = tenants_new();
    const char *kept;
    char name[16];
    for (unsigned i = 0; i < TENANTS_MAX; i++) {
        snprintf(name, sizeof name, "t%u", i);
        assert_true(tenants_keep(t, name, strlen(name), &kept));
    }
    assert_false(tenants_keep(t, "more", 4, &kept));
    assert_true(tenants_keep(t, "t0", 2, &kept));
    tenants_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_life_is_alive_while_a_link_says_so),
        cmocka_unit_test(a_lease_holds_for_its_time),
        cmocka_unit_test(without_the_registry_who_was_alive_stays_so),
        cmocka_unit_test(who_died_is_sought_for_a_while_unless_the_registry_says_who_is_there),
        cmocka_unit_test(a_new_life_ends_the_lease_of_the_former_one),
        cmocka_unit_test(a_name_counts_once_and_not_while_it_drains),
        cmocka_unit_test(this_node_is_none_of_the_others),
        cmocka_unit_test(those_dead_for_longest_give_way),
        cmocka_unit_test(a_tenant_is_kept_once),
        cmocka_unit_test(tenants_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
