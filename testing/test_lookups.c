#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "routing/lookups.h"

static const struct lookups_conf conf = {
    .url = "http://one", .ttl = 60, .negative_ttl = 10, .max = 100};

/* Who asks: counts, and remembers the last host. */
struct oracle {
    struct lookups_asker asker;
    unsigned asked, used, freed;
    bool same;
    char host[64];
};

static bool on_ask(struct lookups_asker *a, const char *host)
{
    struct oracle *o = container_of(a, struct oracle, asker);
    o->asked++;
    snprintf(o->host, sizeof o->host, "%s", host);
    return true;
}

static void on_use(struct lookups_asker *a, const struct lookups_conf *c, bool same)
{
    struct oracle *o = container_of(a, struct oracle, asker);
    assert_non_null(c);
    o->used++;
    o->same = same;
}

static void on_free(struct lookups_asker *a)
{
    container_of(a, struct oracle, asker)->freed++;
}

static struct oracle oracle_of(void)
{
    return (struct oracle){.asker = {.ask = on_ask, .use = on_use, .free = on_free}};
}

struct waiter {
    struct lookup_wait wait;
    unsigned told;
};

static void on_told(struct lookup_wait *w)
{
    container_of(w, struct waiter, wait)->told++;
}

static struct waiter waiter_of(void)
{
    return (struct waiter){.wait = {.told = on_told}};
}

static void answer(struct lookups *l, const char *host, const char *id, double now)
{
    struct lookup_answer a = {.found = *id};
    snprintf(a.tunnel.text, sizeof a.tunnel.text, "%s", id);
    lookups_told(l, host, &a, now);
}

/* The tunnel; "-": none; "?": nobody can say; "...": waits. */
static const char *find(struct lookups *l, const char *host, double now, struct waiter *w)
{
    static struct lookup_answer a;
    switch (lookups_find(l, host, now, &a, &w->wait)) {
    case LOOKUP_FOUND:
        return a.tunnel.text;
    case LOOKUP_NOTHING:
        return "-";
    case LOOKUP_AWAY:
        return "?";
    case LOOKUP_WAITS:
        return "...";
    }
    return NULL;
}

static void all_who_want_a_host_wait_for_one_question(void **state)
{
    (void)state;
    struct oracle o = oracle_of();
    struct lookups *l = lookups_new(&conf, &o.asker);
    struct waiter a = waiter_of(), b = waiter_of(), c = waiter_of();
    assert_string_equal(find(l, "a.example", 0, &a), "...");
    assert_string_equal(find(l, "a.example", 0, &b), "...");
    assert_string_equal(find(l, "a.example", 0, &c), "...");
    assert_int_equal(o.asked, 1);
    assert_string_equal(o.host, "a.example");
    lookup_forget(&c.wait);
    answer(l, "a.example", "one", 1);
    assert_int_equal(a.told, 1);
    assert_int_equal(b.told, 1);
    assert_int_equal(c.told, 0);
    assert_string_equal(find(l, "a.example", 1, &a), "one");
    assert_int_equal(o.asked, 1);
    lookups_free(l);
    assert_int_equal(o.freed, 1);
}

static void an_answer_holds_its_time_and_is_used_as_long_again_meanwhile(void **state)
{
    (void)state;
    static const struct {
        const char *id, *shown;
        double ttl;
    } cases[] = {{"one", "one", 60}, {"", "-", 10}};
    for (size_t i = 0; i < 2; i++) {
        struct oracle o = oracle_of();
        struct lookups *l = lookups_new(&conf, &o.asker);
        struct waiter w = waiter_of();
        find(l, "a.example", 0, &w);
        answer(l, "a.example", cases[i].id, 0);
        assert_string_equal(find(l, "a.example", cases[i].ttl - 1, &w), cases[i].shown);
        assert_int_equal(o.asked, 1);
        assert_string_equal(find(l, "a.example", cases[i].ttl, &w), cases[i].shown);
        assert_int_equal(o.asked, 2);
        assert_string_equal(find(l, "a.example", 2 * cases[i].ttl - 1, &w), cases[i].shown);
        assert_int_equal(o.asked, 2);
        assert_string_equal(find(l, "a.example", 2 * cases[i].ttl, &w), "...");
        assert_int_equal(o.asked, 2);
        answer(l, "a.example", "new", 2 * cases[i].ttl);
        assert_string_equal(find(l, "a.example", 2 * cases[i].ttl, &w), "new");
        lookups_free(l);
    }
}

static void while_the_service_is_away_old_answers_go_on(void **state)
{
    (void)state;
    struct oracle o = oracle_of();
    struct lookups *l = lookups_new(&conf, &o.asker);
    struct waiter w = waiter_of();
    find(l, "a.example", 0, &w);
    answer(l, "a.example", "one", 0);
    assert_string_equal(find(l, "a.example", 1000, &w), "...");
    lookups_told(l, "a.example", NULL, 1005);
    assert_int_equal(w.told, 2);
    assert_string_equal(find(l, "a.example", 1005, &w), "one");
    assert_string_equal(find(l, "b.example", 1005.5, &w), "?");
    assert_int_equal(o.asked, 2);
    assert_string_equal(find(l, "a.example", 1006, &w), "one"); /* and asks */
    assert_string_equal(find(l, "b.example", 1006.5, &w), "?");
    assert_int_equal(o.asked, 3);
    assert_string_equal(find(l, "b.example", 1007, &w), "...");
    assert_int_equal(o.asked, 4);
    lookups_told(l, "b.example", NULL, 1007);
    assert_string_equal(find(l, "b.example", 1007, &w), "?");
    assert_int_equal(lookups_count(l), 1); /* who never had an answer takes no room */
    answer(l, "a.example", "two", 1010);
    assert_string_equal(find(l, "a.example", 1010, &w), "two");
    assert_string_equal(find(l, "b.example", 1010, &w), "...");
    lookups_free(l);
}

static void what_strangers_ask_for_is_bounded(void **state)
{
    (void)state;
    struct oracle o = oracle_of();
    struct lookups *l = lookups_new(&conf, &o.asker);
    struct waiter w[LOOKUPS_ASKED_MAX], more = waiter_of();
    char host[32];
    for (unsigned i = 0; i < LOOKUPS_ASKED_MAX; i++) {
        w[i] = waiter_of();
        snprintf(host, sizeof host, "h%u.example", i);
        assert_string_equal(find(l, host, 0, &w[i]), "...");
    }
    assert_string_equal(find(l, "more.example", 0, &more), "?");
    answer(l, "h0.example", "kept", 0);
    assert_string_equal(find(l, "more.example", 0, &more), "...");
    answer(l, "more.example", "", 0);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(host, sizeof host, "x%u.example", i);
        assert_string_equal(find(l, host, 1, &more), "...");
        answer(l, host, "", 1);
        assert_true(lookups_count(l) <= conf.max);
    }
    assert_string_equal(find(l, "h0.example", 1, &more), "kept");
    assert_string_equal(find(l, "x999.example", 1, &more), "-");
    assert_string_equal(find(l, "x0.example", 1, &more), "...");
    assert_string_equal(find(l, "h63.example", 1, &more), "...");
    lookups_free(l);
}

static void the_host_not_asked_for_the_longest_gives_way(void **state)
{
    (void)state;
    struct oracle o = oracle_of();
    struct lookups *l = lookups_new(&conf, &o.asker);
    struct waiter w = waiter_of();
    char host[32];
    for (unsigned i = 0; i < conf.max; i++) {
        snprintf(host, sizeof host, "h%u.example", i);
        find(l, host, 0, &w);
        answer(l, host, "t", 0);
    }
    assert_string_equal(find(l, "h0.example", 1, &w), "t");
    find(l, "new.example", 1, &w);
    answer(l, "new.example", "t", 1);
    assert_string_equal(find(l, "h0.example", 1, &w), "t");
    assert_string_equal(find(l, "h2.example", 1, &w), "t");
    assert_string_equal(find(l, "h1.example", 1, &w), "...");
    lookups_free(l);
}

static void another_service_is_asked_anew(void **state)
{
    (void)state;
    struct lookups_conf again = conf, other = conf;
    struct oracle o = oracle_of();
    struct lookups *l = lookups_new(&conf, &o.asker);
    struct waiter w = waiter_of();
    other.url = "http://two";
    find(l, "a.example", 0, &w);
    answer(l, "a.example", "one", 0);
    lookups_adopt(l, &again);
    assert_true(o.same);
    assert_string_equal(find(l, "a.example", 0, &w), "one");
    assert_string_equal(find(l, "b.example", 0, &w), "...");
    assert_int_equal(o.asked, 2);
    lookups_adopt(l, &other);
    assert_false(o.same);
    assert_int_equal(o.used, 3);
    assert_int_equal(o.asked, 3);
    assert_string_equal(o.host, "b.example");
    answer(l, "b.example", "two", 1);
    assert_int_equal(w.told, 2);
    assert_string_equal(find(l, "a.example", 1, &w), "...");
    lookups_free(l);
}

static void an_answer_nobody_asked_for_is_none(void **state)
{
    (void)state;
    struct oracle o = oracle_of();
    struct lookups *l = lookups_new(&conf, &o.asker);
    struct waiter w = waiter_of();
    answer(l, "a.example", "one", 0);
    assert_int_equal(lookups_count(l), 0);
    assert_string_equal(find(l, "a.example", 0, &w), "...");
    answer(l, "a.example", "one", 0);
    answer(l, "a.example", "two", 0);
    assert_string_equal(find(l, "a.example", 0, &w), "one");
    lookups_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_who_want_a_host_wait_for_one_question),
        cmocka_unit_test(an_answer_holds_its_time_and_is_used_as_long_again_meanwhile),
        cmocka_unit_test(while_the_service_is_away_old_answers_go_on),
        cmocka_unit_test(what_strangers_ask_for_is_bounded),
        cmocka_unit_test(the_host_not_asked_for_the_longest_gives_way),
        cmocka_unit_test(another_service_is_asked_anew),
        cmocka_unit_test(an_answer_nobody_asked_for_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
