#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdlib.h>

#include "reverse/way.h"
#include "testing/bridge_rig.h"

/* A cluster of which the test plays all portals, and who deals the links out to them. */
struct test {
    struct bridge_rig rig;
    uint16_t portals;
    uint8_t wanted;
    uint32_t spread;           /* milliseconds */
    char at[LINKS_SEEN_MAX];   /* the portal that has the link; 0: not yet */
    bool goes[LINKS_SEEN_MAX]; /* the bridge said that it does */
    const char *deals; /* the portals that links come to, in turn; the last one again and again */
};

static int test_open(void **state)
{
    struct test *t = calloc(1, sizeof *t);
    if (!t)
        return -1;
    bridge_rig_init(&t->rig, 0);
    t->portals = 3;
    t->wanted = 2;
    *state = t;
    return 0;
}

static int test_close(void **state)
{
    struct test *t = *state;
    bool clean = bridge_rig_fini(&t->rig);
    free(t);
    return clean ? 0 : -1;
}

static void say_node(struct test *t, size_t i)
{
    char name[] = {t->at[i], 0};
    struct link_node n = {.state = LINK_NODE_UP,
                          .portals = t->portals,
                          .wanted = t->wanted,
                          .spread = t->spread,
                          .name = {.p = name, .len = 1},
                          .zone = {.p = "", .len = 0}};
    far_say_item(t->rig.links[i], &(struct link_item){.type = LINK_NODE, .node = n});
    rig_turn(&t->rig.rig);
}

static void portal_takes(struct test *t, size_t i)
{
    t->at[i] = *t->deals;
    t->deals += t->deals[1] != '\0';
    link_v2c(&t->rig, i, 1, 1);
    say_node(t, i);
}

/* A portal ends a link whose bridge said that it goes. */
static void portal_hears(struct test *t, size_t i)
{
    struct mux_frame f;
    const uint8_t *data;
    while (far_next_frame(t->rig.links[i], &f, &data))
        if (f.status == MUX_KEEPALIVE && f.data_len == 12 && data[4] == LINK_GOAWAY)
            t->goes[i] = true;
    if (t->goes[i] && !t->rig.links[i]->left)
        far_leave(t->rig.links[i], 0);
}

static void cluster_lives(struct test *t, double seconds)
{
    for (double left = seconds; left > 0; left -= 0.1) {
        for (size_t i = 0; i < t->rig.link_count; i++)
            if (!t->at[i])
                portal_takes(t, i);
            else if (!t->rig.links[i]->left)
                portal_hears(t, i);
        bridge_live(&t->rig, 0.1);
    }
}

static void begins(struct test *t, unsigned share, const char *deals, double seconds)
{
    t->deals = deals;
    bridge_rig_start(&t->rig, share);
    cluster_lives(t, seconds);
}

/* Where it has links, in the order in which they were dialled. */
static const char *places(const struct test *t)
{
    static char at[LINKS_SEEN_MAX];
    size_t n = 0;
    for (size_t i = 0; i < t->rig.link_count; i++)
        if (!t->rig.links[i]->left && t->at[i] && !t->goes[i])
            at[n++] = t->at[i];
    at[n] = '\0';
    return at;
}

static void a_bridge_has_links_to_as_many_portals_as_it_should(void **state)
{
    struct test *t = *state;
    begins(t, 1, "abcabcabc", 5);
    assert_string_equal(places(t), "ab");
    assert_int_equal(t->rig.link_count, 2);
    cluster_lives(t, 300); /* and keeps them */
    assert_string_equal(places(t), "ab");
    assert_int_equal(t->rig.link_count, 2);
}

static void links_that_come_to_the_same_portal_go_at_once_and_others_are_dialled(void **state)
{
    struct test *t = *state;
    begins(t, 1, "aaaab", 5);
    assert_string_equal(places(t), "ab");
    assert_int_equal(t->rig.link_count, 5);
    for (int i = 1; i < 4; i++)
        assert_true(t->goes[i]);
}

static void it_keeps_as_many_links_as_are_configured(void **state)
{
    struct test *t = *state;
    t->wanted = 3;
    begins(t, 4, "aabbaacaaaa", 10);
    assert_int_equal(strlen(places(t)), 4);
    assert_non_null(strchr(places(t), 'b'));
    assert_non_null(strchr(places(t), 'c'));
    cluster_lives(t, 300);
    assert_int_equal(strlen(places(t)), 4);
    assert_non_null(strchr(places(t), 'c'));
}

static void no_more_portals_are_looked_for_than_there_are(void **state)
{
    struct test *t = *state;
    t->portals = 1;
    begins(t, 1, "abc", 60);
    assert_string_equal(places(t), "a");
    assert_int_equal(t->rig.link_count, 1);
}

static void a_search_in_vain_becomes_slow(void **state)
{
    struct test *t = *state;
    begins(t, 1, "a", 4.9); /* before the first pause can be over */
    assert_int_equal(t->rig.link_count, 1 + 12);
    assert_int_equal(strlen(places(t)), 1);
    cluster_lives(t, 110);
    assert_in_range(t->rig.link_count, 16, 18);
    cluster_lives(t, 3600);
    assert_in_range(t->rig.link_count, 21, 27);
    assert_int_equal(strlen(places(t)), 1);
}

/* Whoever deals links out may not know yet that a portal is gone. */
static void links_that_do_not_come_up_are_no_tries(void **state)
{
    struct test *t = *state;
    begins(t, 1, "a", 0.2);
    for (int i = 0; i < 30; i++) {
        size_t count = t->rig.link_count;
        while (t->rig.link_count == count)
            bridge_live(&t->rig, 0.05);
        t->at[count] = '-';
        far_leave(t->rig.links[count], ECONNREFUSED);
    }
    t->deals = "b";
    cluster_lives(t, 10);
    assert_string_equal(places(t), "ab");
}

static void a_slow_search_finds_what_came(void **state)
{
    struct test *t = *state;
    begins(t, 1, "a", 10);
    t->deals = "b";
    cluster_lives(t, 70);
    assert_int_equal(strlen(places(t)), 2);
}

static void a_portal_that_joins_is_looked_for_at_once(void **state)
{
    struct test *t = *state;
    t->wanted = 3;
    t->portals = 2;
    begins(t, 1, "abab", 10);
    assert_string_equal(places(t), "ab");
    t->portals = 3;
    t->deals = "abc";
    say_node(t, 0);
    cluster_lives(t, 3);
    assert_int_equal(strlen(places(t)), 3);
    assert_non_null(strchr(places(t), 'c'));
}

static void the_links_of_a_portal_that_went_come_to_another(void **state)
{
    struct test *t = *state;
    begins(t, 1, "abbbbc", 3);
    assert_string_equal(places(t), "ab");
    far_leave(t->rig.links[0], ECONNRESET);
    cluster_lives(t, 5);
    assert_string_equal(places(t), "bc");
}

static void only_one_loop_of_a_bridge_looks_for_portals(void **state)
{
    struct test *t = *state;
    t->rig.rig.loop.index = 1;
    begins(t, 1, "aaaab", 60);
    assert_string_equal(places(t), "a");
    assert_int_equal(t->rig.link_count, 1);
}

static void portals_that_are_dialled_by_name_count_together(void **state)
{
    static const size_t portals[] = {2, 1};
    struct test *t = *state;
    t->rig.conf.portals = portals;
    t->rig.conf.portal_count = 2;
    begins(t, 1, "ab", 60);
    assert_string_equal(places(t), "ab");
    assert_int_equal(t->rig.link_count, 2);
}

/* --- moving --- */

static void says_move(struct test *t, size_t i)
{
    far_say_item(t->rig.links[i],
                 &(struct link_item){.type = LINK_GOAWAY, .going = {GOING_MOVES, 0}});
    rig_turn(&t->rig.rig);
}

static void a_link_that_should_move_goes_when_another_has_come_elsewhere(void **state)
{
    struct test *t = *state;
    t->wanted = 1;
    begins(t, 1, "ab", 3);
    says_move(t, 0);
    assert_false(t->goes[0]);
    cluster_lives(t, 1);
    assert_string_equal(places(t), "b");
    assert_int_equal(t->rig.link_count, 2);
}

static void a_link_that_should_move_stays_when_the_other_came_to_the_same_portal(void **state)
{
    struct test *t = *state;
    t->wanted = 1;
    begins(t, 1, "aab", 3);
    for (int i = 0; i < 10; i++)
        says_move(t, 0);
    cluster_lives(t, 40);
    assert_string_equal(places(t), "a");
    assert_int_equal(t->rig.link_count, 2);
    assert_true(!t->goes[0] && t->goes[1]);
}

static void who_should_move_still_has_links_to_all_portals(void **state)
{
    struct test *t = *state;
    begins(t, 1, "abbc", 3);
    assert_string_equal(places(t), "ab");
    says_move(t, 0);
    cluster_lives(t, 5);
    assert_string_equal(places(t), "bc");
}

/* --- coming back --- */

static double comes_back_after(struct test *t)
{
    size_t before = t->rig.link_count;
    double waited = 0;
    for (; waited < 100 && t->rig.link_count == before; waited += 0.05)
        bridge_live(&t->rig, 0.05);
    return waited;
}

static void who_lost_one_of_its_links_comes_back_at_any_time_within_the_spread(void **state)
{
    double least = 100, most = 0;
    for (int i = 0; i < 40; i++) {
        struct test *t = *state;
        t->spread = 10000;
        begins(t, 1, "ab", 2);
        far_leave(t->rig.links[0], ECONNRESET);
        double waited = comes_back_after(t);
        least = waited < least ? waited : least;
        most = waited > most ? waited : most;
        assert_int_equal(test_close(state), 0);
        assert_int_equal(test_open(state), 0);
    }
    assert_true(least < 3 && most > 7 && most < 10.3);
}

static void who_lost_its_only_link_comes_back_soon(void **state)
{
    for (int i = 0; i < 40; i++) {
        struct test *t = *state;
        t->spread = 10000;
        begins(t, 1, "ab", 2);
        far_leave(t->rig.links[0], ECONNRESET);
        rig_turn(&t->rig.rig);
        far_leave(t->rig.links[1], ECONNRESET);
        assert_true(comes_back_after(t) < 0.5);
        assert_int_equal(test_close(state), 0);
        assert_int_equal(test_open(state), 0);
    }
}

#define LAW(f) cmocka_unit_test_setup_teardown(f, test_open, test_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAW(a_bridge_has_links_to_as_many_portals_as_it_should),
        LAW(links_that_come_to_the_same_portal_go_at_once_and_others_are_dialled),
        LAW(it_keeps_as_many_links_as_are_configured),
        LAW(no_more_portals_are_looked_for_than_there_are),
        LAW(a_search_in_vain_becomes_slow),
        LAW(links_that_do_not_come_up_are_no_tries),
        LAW(a_slow_search_finds_what_came),
        LAW(a_portal_that_joins_is_looked_for_at_once),
        LAW(the_links_of_a_portal_that_went_come_to_another),
        LAW(only_one_loop_of_a_bridge_looks_for_portals),
        LAW(portals_that_are_dialled_by_name_count_together),
        LAW(a_link_that_should_move_goes_when_another_has_come_elsewhere),
        LAW(a_link_that_should_move_stays_when_the_other_came_to_the_same_portal),
        LAW(who_should_move_still_has_links_to_all_portals),
        LAW(who_lost_one_of_its_links_comes_back_at_any_time_within_the_spread),
        LAW(who_lost_its_only_link_comes_back_soon),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
