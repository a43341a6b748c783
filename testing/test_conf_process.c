#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf/memory.h"
#include "testing/conf_rig.h"

#define MIB ((size_t)1024 * 1024)

static void the_process_has_defaults(void **state)
{
    (void)state;
    struct run r;
    struct config *c = run_good(&r, "{\"workers\":0,\"memory\":null}");
    assert_in_range(c->workers, 1, 64);
    assert_int_equal(c->memory, memory_default());
    assert_true(c->drain == 20);
    run_free(&r);
}

static void the_process_s_keys_are_read(void **state)
{
    (void)state;
    struct run r;
    struct config *c = run_good(&r, "{\"workers\":4,\"memory\":1048576,\"drain\":0}");
    assert_int_equal(c->workers, 4);
    assert_int_equal(c->memory, 1048576 * MIB);
    assert_true(c->drain == 0);
    run_free(&r);
}

static void the_process_s_keys_have_ranges(void **state)
{
    (void)state;
    assert_refused("{\"workers\":65}",
                   "/workers: error: want a whole number 0..64, got the number 65");
    assert_refused("{\"workers\":-1}", "/workers: error: want a whole number 0..64");
    assert_refused("{\"workers\":\"4\"}", "/workers: error: want a whole number 0..64, got text");
    assert_refused("{\"workers\":1.5}", "/workers: error: want a whole number 0..64");
    assert_refused("{\"memory\":0}", "/memory: error: want a whole number 1..1048576");
    assert_refused("{\"memory\":\"64m\"}", "/memory: error: want a whole number 1..1048576");
    assert_refused("{\"drain\":3601}", "/drain: error: want a whole number 0..3600");
    assert_refused("{\"drain\":true}", "/drain: error: want a whole number 0..3600");
}

/* --- the links of a bridge --- */

#define OUTS                                                                                       \
    "\"outbounds\":[{\"tag\":\"out\",\"protocol\":\"freedom\"},"                                   \
    "{\"tag\":\"hole\",\"protocol\":\"blackhole\"},{\"tag\":\"two\",\"protocol\":\"freedom\"}],"   \
    "\"api\":{\"tag\":\"api\"},"
#define BRIDGE(more)                                                                               \
    "{" OUTS "\"reverse\":{\"bridges\":[{\"tag\":\"b\",\"domain\":\"d.e\"" more "}],"              \
    "\"portals\":[{\"tag\":\"p\",\"domain\":\"f.g\"}]}}"

static void a_bridge_keeps_two_links_and_lets_rules_find_the_portal(void **state)
{
    (void)state;
    struct run r;
    struct config *c = run_good(&r, BRIDGE(""));
    assert_int_equal(c->bridges[0].connections, 2);
    assert_int_equal(c->bridges[0].portal_count, 0);
    run_free(&r);
}

static void a_bridge_may_name_its_portals(void **state)
{
    (void)state;
    struct run r;
    struct config *c = run_good(&r, BRIDGE(",\"connections\":64,\"portals\":[\"two\",\"out\"]"));
    assert_int_equal(c->bridges[0].connections, 64);
    assert_int_equal(c->bridges[0].portal_count, 2);
    assert_string_equal(c->outbounds[c->bridges[0].portals[0]].tag, "two");
    assert_string_equal(c->outbounds[c->bridges[0].portals[1]].tag, "out");
    run_free(&r);
}

static void a_link_needs_an_outbound_that_leads_out(void **state)
{
    (void)state;
    assert_refused(BRIDGE(",\"portals\":[\"out\",\"x\"]"),
                   "/reverse/bridges/0/portals/1: error: no outbound has the tag \"x\"");
    assert_refused(BRIDGE(",\"portals\":[\"p\"]"), "no portal is reached through \"p\"");
    assert_refused(BRIDGE(",\"portals\":[\"api\"]"), "no portal is reached through \"api\"");
    assert_refused(BRIDGE(",\"portals\":\"hole\""),
                   "/reverse/bridges/0/portals: error: no portal is reached through \"hole\"");
    assert_refused(BRIDGE(",\"portals\":[\"out\",\"out\"]"), "\"out\" stands here twice");
    assert_refused(BRIDGE(",\"portals\":[]"), "want at least one tag");
    assert_refused(BRIDGE(",\"portals\":[1]"), "/reverse/bridges/0/portals/0: error: want text");
    assert_refused(BRIDGE(",\"connections\":0"), "/reverse/bridges/0/connections: error: want");
    assert_refused(BRIDGE(",\"connections\":65"), "/reverse/bridges/0/connections: error: want");
}

/* --- memory of control groups --- */

static void put_file(const char *dir, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* A tree of groups: the root, /a, /a/b, and version 1's memory/v. */
static size_t limit_of(const char *own, const char *root, const char *a, const char *b,
                       const char *v1)
{
    static const char *const dirs[] = {"a", "a/b", "memory", "memory/v"};
    char dir[] = "/tmp/v2c-groups-XXXXXX", path[256];
    assert_non_null(mkdtemp(dir));
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, dirs[i]);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    put_file(dir, "own", own);
    put_file(dir, "memory.max", root);
    put_file(dir, "a/memory.max", a);
    put_file(dir, "a/b/memory.max", b);
    put_file(dir, "memory/v/memory.limit_in_bytes", v1);
    snprintf(path, sizeof path, "%s/own", dir);
    size_t limit = memory_limit(path, dir);
    static const char *const files[] = {"own", "memory.max", "a/memory.max", "a/b/memory.max",
                                        "memory/v/memory.limit_in_bytes"};
    for (size_t i = 0; i < 5; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        unlink(path);
    }
    for (size_t i = 4; i-- > 0;) {
        snprintf(path, sizeof path, "%s/%s", dir, dirs[i]);
        rmdir(path);
    }
    rmdir(dir);
    return limit;
}

static void the_lowest_limit_of_a_group_and_its_parents_counts(void **state)
{
    (void)state;
    assert_int_equal(limit_of("0::/a/b\n", "max\n", "max\n", "max\n", "7\n"), 0);
    assert_int_equal(limit_of("0::/a/b\n", "max\n", "max\n", "4096\n", "7\n"), 4096);
    assert_int_equal(limit_of("0::/a/b\n", "max\n", "1024\n", "4096\n", "7\n"), 1024);
    assert_int_equal(limit_of("0::/a/b\n", "512\n", "1024\n", "4096\n", "7\n"), 512);
    assert_int_equal(limit_of("0::/a\n", "max\n", "max\n", "4096\n", "7\n"), 0);
    assert_int_equal(limit_of("0::/\n", "8192\n", "1\n", "1\n", "7\n"), 8192);
    assert_int_equal(limit_of("0::/../gone\n", "8192\n", "1\n", "1\n", "7\n"), 8192);
}

static void version_one_s_limit_counts_too(void **state)
{
    (void)state;
    assert_int_equal(limit_of("5:cpu,memory:/v\n", "max\n", "max\n", "max\n", "65536\n"), 65536);
    assert_int_equal(limit_of("3:cpu:/v\n0::/a\n", "max\n", "99\n", "max\n", "7\n"), 99);
    assert_int_equal(limit_of("5:memory:/v\n", "max\n", "max\n", "max\n", "9223372036854771712\n"),
                     0);
    assert_int_equal(limit_of("nonsense", "1\n", "1\n", "1\n", "1\n"), 0);
}

static void a_limit_that_cannot_be_read_is_none(void **state)
{
    (void)state;
    assert_int_equal(memory_limit("/nonexistent", "/nonexistent"), 0);
    assert_int_equal(memory_limit("/proc/self/cgroup", "/nonexistent"), 0);
    assert_true(memory_default() > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_process_has_defaults),
        cmocka_unit_test(the_process_s_keys_are_read),
        cmocka_unit_test(the_process_s_keys_have_ranges),
        cmocka_unit_test(a_bridge_keeps_two_links_and_lets_rules_find_the_portal),
        cmocka_unit_test(a_bridge_may_name_its_portals),
        cmocka_unit_test(a_link_needs_an_outbound_that_leads_out),
        cmocka_unit_test(the_lowest_limit_of_a_group_and_its_parents_counts),
        cmocka_unit_test(version_one_s_limit_counts_too),
        cmocka_unit_test(a_limit_that_cannot_be_read_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
