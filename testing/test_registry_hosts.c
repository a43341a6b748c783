#include "testing/registry_rig.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static void world_of_two(struct world *w)
{
    world_open(w);
    node_start(w, &w->a, 11);
    node_start(w, &w->b, 12);
    world_settle(w);
}

static void leave(struct node *n, const char *name, struct tunnel_name t)
{
    struct hostname_pattern p = host(name);
    registry_leave(n->registry, PORTAL, &p, &t);
}

static void a_name_is_of_who_asks_first(void **state)
{
    (void)state;
    struct world w;
    struct wish x;
    world_of_two(&w);
    assert_string_equal(ask_host(&w, &w.b, "a.example"), "nobody");
    assert_string_equal(claim(&w, &w.a, "a.example", tunnel("acme", "one"), &x), "granted");
    assert_string_equal(ask_host(&w, &w.b, "a.example"), "acme/one");
    assert_string_equal(claim(&w, &w.b, "a.example", tunnel("other", "two"), &x), "taken");
    assert_string_equal(claim(&w, &w.a, "a.example", tunnel("other", "two"), &x), "taken");
    assert_string_equal(claim(&w, &w.b, "a.example", tunnel("acme", "one"), &x), "granted");
    assert_string_equal(ask_host(&w, &w.a, "x.a.example"), "nobody");
    assert_true(fake_redis_ttl(key_of("h")) > 86000);
    world_close(&w);
}

static void the_nearest_wildcard_answers(void **state)
{
    (void)state;
    struct world w;
    struct wish x;
    world_of_two(&w);
    assert_string_equal(claim(&w, &w.a, "*.example", tunnel(NULL, "all"), &x), "granted");
    assert_string_equal(claim(&w, &w.a, ".b.example", tunnel(NULL, "b"), &x), "granted");
    assert_string_equal(claim(&w, &w.b, "c.b.example", tunnel(NULL, "c"), &x), "granted");
    assert_string_equal(ask_host(&w, &w.b, "example"), "all");
    assert_string_equal(ask_host(&w, &w.b, "x.y.example"), "all");
    assert_string_equal(ask_host(&w, &w.b, "b.example"), "b");
    assert_string_equal(ask_host(&w, &w.b, "x.b.example"), "b");
    assert_string_equal(ask_host(&w, &w.b, "c.b.example"), "c");
    assert_string_equal(ask_host(&w, &w.b, "ample"), "nobody");
    assert_string_equal(
        claim(&w, &w.a, ".1.2.3.4.5.6.7.8.9.a.b.c.d.e.f.g.h", tunnel(NULL, "deep"), &x), "taken");
    assert_string_equal(
        claim(&w, &w.a, "*.1.2.3.4.5.6.7.8.9.a.b.c.d.e.f.g", tunnel(NULL, "deep"), &x), "granted");
    assert_string_equal(ask_host(&w, &w.b, "x.y.1.2.3.4.5.6.7.8.9.a.b.c.d.e.f.g"), "deep");
    world_close(&w);
}

static void a_name_stays_with_its_tunnel_when_nobody_wants_it(void **state)
{
    (void)state;
    struct world w;
    struct wish x;
    world_of_two(&w);
    claim(&w, &w.a, "a.example", tunnel("acme", "one"), &x);
    leave(&w.a, "a.example", tunnel("acme", "one"));
    pass(&w, 4000);
    assert_string_equal(claim(&w, &w.b, "a.example", tunnel("other", "two"), &x), "taken");
    assert_string_equal(claim(&w, &w.b, "a.example", tunnel("acme", "one"), &x), "granted");
    leave(&w.b, "a.example", tunnel("acme", "one"));
    for (int i = 0; i < 25; i++) {
        clock_forward(3600);
        pass(&w, 1);
    }
    assert_string_equal(claim(&w, &w.b, "a.example", tunnel("other", "two"), &x), "granted");
    world_close(&w);
}

static void a_tenant_may_take_over_from_a_tunnel_that_is_gone(void **state)
{
    (void)state;
    struct world w;
    struct wish x;
    struct tunnel_name one = tunnel("acme", "one"), two = tunnel("acme", "two");
    world_of_two(&w);
    claim(&w, &w.a, "a.example", one, &x);
    registry_has(w.a.registry, PORTAL, &one, 1);
    pass(&w, .1);
    assert_string_equal(claim(&w, &w.b, "a.example", two, &x), "taken");
    registry_has(w.a.registry, PORTAL, &one, 0);
    leave(&w.a, "a.example", one);
    pass(&w, 30);
    assert_string_equal(claim(&w, &w.b, "a.example", two, &x), "taken"); /* it may come back */
    pass(&w, 31);
    assert_string_equal(claim(&w, &w.b, "a.example", tunnel("x", "two"), &x), "taken");
    assert_string_equal(claim(&w, &w.b, "a.example", two, &x), "granted");
    assert_string_equal(ask_host(&w, &w.a, "a.example"), "acme/two");
    assert_string_equal(claim(&w, &w.a, "a.example", one, &x), "granted"); /* two has no link */
    pass(&w, 61);
    assert_int_equal(w.b.lost, 1);
    assert_string_equal(w.b.lost_host, "a.example");
    world_close(&w);
}

static void while_it_is_away_only_known_names_are_granted(void **state)
{
    (void)state;
    struct world w;
    struct wish x, y, z;
    world_of_two(&w);
    claim(&w, &w.a, "a.example", tunnel("acme", "one"), &x);
    claim(&w, &w.a, "b.example", tunnel("acme", "one"), &x);
    leave(&w.a, "b.example", tunnel("acme", "one"));
    fake_redis_away(true);
    pass(&w, 60);
    assert_string_equal(claim(&w, &w.a, "a.example", tunnel("acme", "one"), &x), "granted");
    assert_string_equal(claim(&w, &w.a, "b.example", tunnel("acme", "one"), &x), "granted");
    assert_string_equal(claim(&w, &w.a, "c.example", tunnel("acme", "one"), &x), "later");
    assert_string_equal(claim(&w, &w.b, "c.example", tunnel("other", "two"), &y), "later");
    assert_string_equal(claim(&w, &w.b, "d.example", tunnel("other", "two"), &z), "later");
    registry_claim_forget(&z.wait);
    leave(&w.b, "d.example", tunnel("other", "two"));
    fake_redis_away(false);
    pass(&w, 1);
    assert_int_equal(x.told + y.told, 2);
    assert_int_equal(x.granted + y.granted, 1);
    assert_int_equal(z.told, 0);
    assert_string_equal(ask_host(&w, &w.b, "d.example"), "nobody");
    world_close(&w);
}

static void nobody_gets_a_new_name_in_the_gap_after_a_loss(void **state)
{
    (void)state;
    struct world w;
    struct wish x, y, z;
    world_of_two(&w);
    claim(&w, &w.a, "a.example", tunnel("acme", "one"), &x);
    fake_redis_flush();
    assert_string_equal(claim(&w, &w.b, "a.example", tunnel("thief", "two"), &x), "later");
    assert_string_equal(claim(&w, &w.b, "b.example", tunnel("thief", "two"), &y), "later");
    pass(&w, 3);
    assert_string_equal(ask_host(&w, &w.b, "a.example"), "acme/one");
    assert_string_equal(wish_text(&x), "taken"); /* who had it is back */
    assert_int_equal(y.told, 0);
    node_start(&w, &w.c, 13); /* one that has seen nothing of it */
    assert_string_equal(claim(&w, &w.c, "b.example", tunnel("third", "three"), &z), "later");
    assert_string_equal(claim(&w, &w.c, "a.example", tunnel("acme", "one"), &x), "granted");
    assert_string_equal(claim(&w, &w.b, "a.example", tunnel("acme", "new"), &x), "later");
    pass(&w, 23);
    assert_int_equal(x.told + y.told + z.told, 0);
    pass(&w, 7);
    assert_int_equal(y.told + z.told, 2);
    assert_int_equal(y.granted + z.granted, 1);
    assert_int_equal(w.a.lost, 0);
    world_close(&w);
}

static void a_new_registry_gives_names_after_a_moment(void **state)
{
    (void)state;
    struct world w;
    struct wish x;
    world_open(&w);
    node_start(&w, &w.a, 11);
    assert_string_equal(claim(&w, &w.a, "a.example", tunnel(NULL, "one"), &x), "later");
    pass(&w, 2);
    assert_string_equal(wish_text(&x), "later"); /* others may have seen it with data */
    pass(&w, 2);
    assert_string_equal(wish_text(&x), "granted");
    world_close(&w);
}

static void a_loss_is_seen_by_who_claims(void **state)
{
    (void)state;
    struct world w;
    struct wish x;
    world_of_two(&w);
    claim(&w, &w.a, "a.example", tunnel("acme", "one"), &x);
    fake_redis_flush();
    claim(&w, &w.b, "a.example", tunnel("thief", "two"), &x); /* at once */
    assert_null(key_of("h"));                                 /* what it wrote it took back */
    pass(&w, 2);
    assert_string_equal(ask_host(&w, &w.b, "a.example"), "acme/one");
    pass(&w, 31);
    assert_string_equal(wish_text(&x), "taken");
    world_close(&w);
}

static void keep(char *to, size_t *len)
{
    const char *value = fake_redis_get(key_of("h"), NULL, len);
    assert_non_null(value);
    memcpy(to, value, *len);
}

static void an_entry_that_was_written_back_gives_nothing_back(void **state)
{
    (void)state;
    struct world w;
    struct wish x;
    char old[512];
    size_t len;
    world_of_two(&w);
    claim(&w, &w.a, "a.example", tunnel("acme", "one"), &x);
    keep(old, &len);
    leave(&w.a, "a.example", tunnel("acme", "one"));
    fake_redis_del(key_of("h"));
    pass(&w, 1);
    claim(&w, &w.b, "a.example", tunnel("other", "two"), &x);
    fake_redis_put(key_of("h"), NULL, old, len);
    assert_string_equal(ask_host(&w, &w.a, "a.example"), "acme/one");
    pass(&w, 61);
    assert_string_equal(ask_host(&w, &w.a, "a.example"), "other/two");
    assert_int_equal(w.b.lost, 0);
    world_close(&w);
}

static void a_name_that_a_later_one_has_is_lost(void **state)
{
    (void)state;
    struct world w;
    struct wish x;
    world_of_two(&w);
    claim(&w, &w.a, "a.example", tunnel("acme", "one"), &x);
    fake_redis_del(key_of("h"));
    pass(&w, .2);
    assert_string_equal(claim(&w, &w.b, "a.example", tunnel("other", "two"), &x), "granted");
    pass(&w, 61);
    assert_int_equal(w.a.lost, 1);
    assert_int_equal(w.b.lost, 0);
    assert_string_equal(claim(&w, &w.a, "a.example", tunnel("acme", "one"), &x), "taken");
    world_close(&w);
}

static void what_is_forged_is_nothing_and_is_replaced(void **state)
{
    (void)state;
    struct world w;
    struct wish x;
    char key[400];
    world_of_two(&w);
    claim(&w, &w.a, "a.example", tunnel("acme", "one"), &x);
    snprintf(key, sizeof key, "%s", key_of("h"));
    fake_redis_put(key, NULL, "acme|two|forged and long enough to be one", 40);
    assert_string_equal(ask_host(&w, &w.b, "a.example"), "nobody");
    pass(&w, 61);
    assert_string_equal(ask_host(&w, &w.b, "a.example"), "acme/one");
    fake_redis_del(key);
    fake_redis_put(key, "field", "x", 1);
    assert_string_equal(ask_host(&w, &w.b, "a.example"), "nobody");
    pass(&w, 61);
    assert_string_equal(ask_host(&w, &w.b, "a.example"), "acme/one");
    world_close(&w);
}

static void a_refusal_to_write_decides_nothing(void **state)
{
    (void)state;
    struct world w;
    struct wish x;
    world_of_two(&w);
    fake_redis_refuses(true);
    assert_string_equal(claim(&w, &w.a, "a.example", tunnel(NULL, "one"), &x), "later");
    pass(&w, 10);
    assert_string_equal(wish_text(&x), "later");
    assert_true(fake_redis_commands("SET") < 40);
    fake_redis_refuses(false);
    pass(&w, 2);
    assert_string_equal(wish_text(&x), "granted");
    fake_redis_silent(true);
    assert_string_equal(claim(&w, &w.a, "b.example", tunnel(NULL, "one"), &x), "later");
    pass(&w, 5);
    fake_redis_silent(false);
    pass(&w, 2);
    assert_string_equal(wish_text(&x), "granted");
    world_close(&w);
}

static void who_gives_up_before_the_answer_leaves_nothing_behind(void **state)
{
    (void)state;
    struct world w;
    struct wish x = {.told = 0};
    struct hostname_pattern p = host("a.example");
    struct tunnel_name one = tunnel("acme", "one"), two = tunnel("other", "two");
    world_of_two(&w);
    for (int turns = 0; turns < 6; turns++) {
        assert_int_equal(registry_claim(w.a.registry, PORTAL, &p, &one, &x.wait), ELSEWHERE_LATER);
        clock_forward(.006);
        for (int i = 0; i < turns; i++)
            ev_run(w.rig.loop.ev, EVRUN_NOWAIT);
        registry_claim_forget(&x.wait);
        leave(&w.a, "a.example", one);
        if (turns == 2) { /* another one wants it before all answers have come */
            assert_string_equal(claim(&w, &w.a, "a.example", two, &x), "granted");
            leave(&w.a, "a.example", two);
        }
        fake_redis_del(key_of("h") ? key_of("h") : "");
        pass(&w, 4000);
        assert_null(key_of("h"));
        x.told = 0;
    }
    world_close(&w);
}

static void who_waits_on_another_loop_is_told_there(void **state)
{
    (void)state;
    struct world w;
    struct loop second;
    struct err e;
    struct wish x;
    world_of_two(&w);
    assert_int_equal(loop_init(&second, 1, STAT_FIXED + 8, &e), 0);
    struct registry *first = w.a.registry;
    w.a.registry = registry_new(&second, &w.a.conf, w.a.shared, NULL);
    assert_non_null(w.a.registry);
    ev_run(second.ev, EVRUN_NOWAIT);
    assert_string_equal(claim(&w, &w.a, "a.example", tunnel(NULL, "one"), &x), "later");
    ev_run(second.ev, EVRUN_NOWAIT);
    assert_string_equal(wish_text(&x), "granted");
    has(&w.a, "t", 1); /* written by the first */
    pass(&w, .1);
    assert_string_equal(ask_tunnel(&w, &w.b, "t"), "a:1");
    registry_free(w.a.registry);
    w.a.registry = first;
    loop_finish(&second);
    loop_fini(&second);
    world_close(&w);
}

static double cpu_time(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void want_many(struct node *n, struct claim_wait *waits, unsigned count)
{
    struct tunnel_name one = tunnel("acme", "one");
    char name[32];
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof name, "h%u.example", i);
        struct hostname_pattern p = host(name);
        assert_int_equal(registry_claim(n->registry, PORTAL, &p, &one, &waits[i]), ELSEWHERE_LATER);
    }
}

static unsigned many_told;

static void on_one_of_many(struct claim_wait *w, bool granted)
{
    (void)w;
    many_told += granted;
}

/* Redis is away, and has lost its data when it is back. Each name is decided on by itself, however many wait. */
static void a_hundred_thousand_names_may_wait(void **state)
{
    (void)state;
    enum { MANY = 100 * 1000, BYTES = 1024 /* a name */ };
    static const double SECONDS = 30; /* of CPU; what grew with its square took minutes */
    struct world w;
    struct claim_wait *waits = calloc(MANY, sizeof *waits);
    double began = cpu_time();
    many_told = 0;
    for (unsigned i = 0; i < MANY; i++)
        waits[i].decided = on_one_of_many;
    world_of_two(&w);
    fake_redis_away(true);
    pass(&w, 1);
    size_t before = mallinfo2().uordblks;
    want_many(&w.a, waits, MANY);
    assert_true(mallinfo2().uordblks - before < (size_t)MANY * BYTES);
    registry_claim_forget(&waits[0]);
    fake_redis_flush();
    fake_redis_away(false);
    pass(&w, 29);
    assert_int_equal(many_told, 0);
    for (int i = 0; i < 10 && many_told < MANY - 1; i++)
        pass(&w, 50);
    assert_int_equal(many_told, MANY - 1);
    assert_true(cpu_time() - began < SECONDS);
    world_close(&w);
    free(waits);
}

/* Who asks may see the end of the fence before the holder does. */
static void what_waited_for_the_fence_is_never_nobodys(void **state)
{
    (void)state;
    struct world w;
    struct wish x;
    unsigned i = 0;
    world_open(&w);
    node_start(&w, &w.a, 11);
    pass(&w, .6);
    node_start(&w, &w.b, 12);
    pass(&w, .5);
    assert_string_equal(claim(&w, &w.b, "a.example", tunnel("acme", "one"), &x), "later");
    for (; strcmp(ask_host(&w, &w.a, "a.example"), "?") == 0 && i < 60; i++)
        pass(&w, .1);
    assert_string_equal(ask_host(&w, &w.a, "a.example"), "acme/one");
    assert_string_equal(wish_text(&x), "granted");
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_of_who_asks_first),
        cmocka_unit_test(the_nearest_wildcard_answers),
        cmocka_unit_test(a_name_stays_with_its_tunnel_when_nobody_wants_it),
        cmocka_unit_test(a_tenant_may_take_over_from_a_tunnel_that_is_gone),
        cmocka_unit_test(while_it_is_away_only_known_names_are_granted),
        cmocka_unit_test(nobody_gets_a_new_name_in_the_gap_after_a_loss),
        cmocka_unit_test(a_new_registry_gives_names_after_a_moment),
        cmocka_unit_test(a_loss_is_seen_by_who_claims),
        cmocka_unit_test(an_entry_that_was_written_back_gives_nothing_back),
        cmocka_unit_test(a_name_that_a_later_one_has_is_lost),
        cmocka_unit_test(what_is_forged_is_nothing_and_is_replaced),
        cmocka_unit_test(a_refusal_to_write_decides_nothing),
        cmocka_unit_test(who_gives_up_before_the_answer_leaves_nothing_behind),
        cmocka_unit_test(who_waits_on_another_loop_is_told_there),
        cmocka_unit_test(a_hundred_thousand_names_may_wait),
        cmocka_unit_test(what_waited_for_the_fence_is_never_nobodys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
