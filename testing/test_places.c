#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cluster/inside.h"
#include "testing/names.h"

static struct names names;
static struct cluster_shared *shared;
static struct cluster *cluster;
static struct addr peers[2];
static const struct cluster_conf conf = {
    .name = "test", .node = "self", .zone = "", .peers = peers, .peer_count = 2};

static int begin(void **state)
{
    (void)state;
    names_open(&names);
    for (int i = 0; i < 2; i++) {
        struct err e;
        const char *text = i ? "portals.test" : "127.0.0.9";
        assert_int_equal(addr_parse_host(&peers[i], text, strlen(text), &e), 0);
        peers[i].port = 1;
    }
    shared = cluster_shared_new(&conf, 1);
    cluster = shared ? cluster_new(&names.rig.loop, &conf, shared) : NULL;
    return cluster ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    cluster_free(cluster);
    cluster_shared_free(shared);
    names_close(&names);
    return 0;
}

static size_t places_of(size_t place)
{
    size_t n = 0;
    while (places_at(cluster, place, n))
        n++;
    return n;
}

static void answer(size_t count)
{
    for (int i = 0; i < 200 && places_of(1) != count; i++) {
        rig_turn(&names.rig);
        names_answer(&names, count);
    }
}

static void an_address_is_one_place_from_the_start(void **state)
{
    (void)state;
    assert_int_equal(places_of(0), 1);
    assert_int_equal(places_at(cluster, 0, 0)->port, 1);
    assert_int_equal(cluster->peer_count, 1);
}

static void a_name_is_as_many_places_as_it_has_addresses(void **state)
{
    (void)state;
    assert_int_equal(places_of(1), 0);
    answer(3);
    assert_int_equal(places_of(1), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(places_at(cluster, 1, i)->type, ADDR_IPV4);
        assert_int_equal(places_at(cluster, 1, i)->port, 1);
    }
    assert_int_equal(cluster->peer_count, 4);
}

static void a_question_that_is_under_way_ends_with_the_cluster(void **state)
{
    (void)state;
    rig_turn(&names.rig); /* and nobody answers */
    assert_int_equal(places_of(1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_address_is_one_place_from_the_start, begin, end),
        cmocka_unit_test_setup_teardown(a_name_is_as_many_places_as_it_has_addresses, begin, end),
        cmocka_unit_test_setup_teardown(a_question_that_is_under_way_ends_with_the_cluster, begin,
                                        end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
