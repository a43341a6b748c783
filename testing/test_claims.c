#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "routing/claims.h"

static const char tenant_a[] = "a", tenant_b[] = "b";

static struct tunnel_name tunnel(const char *tenant, const char *id)
{
    struct tunnel_name t = {.tenant = tenant, .by = TUNNEL_BY_ID};
    snprintf(t.text, sizeof t.text, "%s", id);
    return t;
}

static struct hostname_pattern pattern(const char *text)
{
    struct hostname_pattern p;
    struct err e;
    assert_int_equal(hostname_read_pattern(&p, text, strlen(text), &e), 0);
    return p;
}

static enum claim_answer take(struct claims *c, const char *host, struct tunnel_name t, double now)
{
    struct hostname_pattern p = pattern(host);
    return claims_take(c, &p, &t, false, now);
}

static void leave(struct claims *c, const char *host, struct tunnel_name t, double now)
{
    struct hostname_pattern p = pattern(host);
    claims_leave(c, &p, &t, now);
}

/* "" when nobody holds it. */
static const char *holder(struct claims *c, const char *host, double now)
{
    static struct tunnel_name t;
    bool is_private;
    return claims_find(c, host, now, &t, &is_private) ? t.text : "";
}

static void who_comes_first_holds_the_name(void **state)
{
    (void)state;
    struct claims *c = claims_new(10);
    assert_string_equal(holder(c, "a.example", 0), "");
    assert_int_equal(take(c, "a.example", tunnel(tenant_a, "one"), 0), CLAIM_GRANTED);
    assert_int_equal(take(c, "A.example.", tunnel(tenant_a, "two"), 0), CLAIM_TAKEN);
    assert_int_equal(take(c, "a.example", tunnel(tenant_b, "one"), 0), CLAIM_TAKEN);
    assert_string_equal(holder(c, "a.example", 0), "one");
    assert_string_equal(holder(c, "b.a.example", 0), "");
    claims_free(c);
}

static void a_name_is_held_while_any_carrier_does_and_a_while_longer(void **state)
{
    (void)state;
    struct claims *c = claims_new(10);
    struct tunnel_name one = tunnel(tenant_a, "one"), two = tunnel(tenant_a, "two");
    assert_int_equal(take(c, "a.example", one, 0), CLAIM_GRANTED);
    assert_int_equal(take(c, "a.example", one, 0), CLAIM_GRANTED);
    leave(c, "a.example", one, 100);
    assert_int_equal(take(c, "a.example", two, 1000), CLAIM_TAKEN);
    leave(c, "a.example", two, 1000); /* was never granted */
    leave(c, "a.example", one, 1000);
    assert_int_equal(take(c, "a.example", two, 1000 + CLAIM_LINGER - 0.1), CLAIM_TAKEN);
    assert_string_equal(holder(c, "a.example", 1000 + CLAIM_LINGER - 0.1), "one");
    assert_string_equal(holder(c, "a.example", 1000 + CLAIM_LINGER), "");
    assert_int_equal(take(c, "a.example", two, 1000 + CLAIM_LINGER), CLAIM_GRANTED);
    assert_string_equal(holder(c, "a.example", 5000), "two");
    claims_free(c);
}

static void who_comes_back_in_time_has_it_still(void **state)
{
    (void)state;
    struct claims *c = claims_new(10);
    struct tunnel_name one = tunnel(NULL, "one");
    take(c, "a.example", one, 0);
    leave(c, "a.example", one, 10);
    assert_int_equal(take(c, "a.example", one, 10 + CLAIM_LINGER - 1), CLAIM_GRANTED);
    assert_string_equal(holder(c, "a.example", 10000), "one");
    claims_free(c);
}

static void the_longest_wildcard_holds_what_nobody_holds_itself(void **state)
{
    (void)state;
    struct claims *c = claims_new(10);
    take(c, "*.example", tunnel(NULL, "wide"), 0);
    take(c, ".a.example", tunnel(NULL, "narrow"), 0);
    take(c, "x.a.example", tunnel(NULL, "exact"), 0);
    assert_string_equal(holder(c, "example", 0), "wide");
    assert_string_equal(holder(c, "b.example", 0), "wide");
    assert_string_equal(holder(c, "a.example", 0), "narrow");
    assert_string_equal(holder(c, "y.a.example", 0), "narrow");
    assert_string_equal(holder(c, "x.a.example", 0), "exact");
    assert_string_equal(holder(c, "z.x.a.example", 0), "narrow");
    assert_string_equal(holder(c, "xexample", 0), "");
    leave(c, ".a.example", tunnel(NULL, "narrow"), 0);
    assert_string_equal(holder(c, "y.a.example", CLAIM_LINGER), "wide");
    claims_free(c);
}

static void the_last_carrier_says_whether_it_is_private(void **state)
{
    (void)state;
    struct claims *c = claims_new(10);
    struct hostname_pattern p = pattern("a.example");
    struct tunnel_name t = tunnel(NULL, "one"), found;
    bool is_private = false;
    claims_take(c, &p, &t, true, 0);
    assert_true(claims_find(c, "a.example", 0, &found, &is_private));
    assert_true(is_private);
    claims_take(c, &p, &t, false, 0);
    assert_true(claims_find(c, "a.example", 0, &found, &is_private));
    assert_false(is_private);
    claims_free(c);
}

static void there_are_no_more_names_than_allowed(void **state)
{
    (void)state;
    struct claims *c = claims_new(1000);
    struct tunnel_name t = tunnel(NULL, "one");
    char host[32];
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(host, sizeof host, "h%u.example", i);
        assert_int_equal(take(c, host, t, 0), CLAIM_GRANTED);
    }
    assert_int_equal(take(c, "more.example", t, 0), CLAIM_FULL);
    assert_int_equal(take(c, "h7.example", t, 0), CLAIM_GRANTED);
    leave(c, "h8.example", t, 1);
    assert_int_equal(take(c, "more.example", t, CLAIM_LINGER), CLAIM_FULL);
    assert_int_equal(take(c, "more.example", t, CLAIM_LINGER + 1), CLAIM_GRANTED);
    assert_int_equal(claims_count(c), 1000);
    assert_string_equal(holder(c, "h8.example", CLAIM_LINGER + 1), "");
    assert_string_equal(holder(c, "h999.example", CLAIM_LINGER + 1), "one");
    claims_free(c);
}

/* --- where others have a say --- */

static enum claim_answer ask(struct claims *c, const char *host, struct tunnel_name t, double now)
{
    struct hostname_pattern p = pattern(host);
    return claims_ask(c, &p, &t, false, now);
}

static void decide(struct claims *c, const char *host, struct tunnel_name t, bool granted)
{
    struct hostname_pattern p = pattern(host);
    claims_decide(c, &p, &t, granted);
}

/* "one 2": two carriers hold it; "one 2?": ... ask for it. */
static const char *look(struct claims *c, const char *host, double now)
{
    static char text[64];
    struct hostname_pattern p = pattern(host);
    struct tunnel_name t;
    unsigned carriers;
    bool asked;
    if (!claims_look(c, &p, now, &t, &carriers, &asked))
        return "";
    snprintf(text, sizeof text, "%.30s %u%s", t.text, carriers, asked ? "?" : "");
    return text;
}

static void what_is_asked_for_nobody_finds_and_nobody_else_gets(void **state)
{
    (void)state;
    struct claims *c = claims_new(10);
    struct tunnel_name one = tunnel(NULL, "one"), two = tunnel(NULL, "two");
    assert_int_equal(ask(c, "a.example", one, 0), CLAIM_ASKED);
    assert_int_equal(ask(c, "a.example", one, 0), CLAIM_ASKED);
    assert_string_equal(holder(c, "a.example", 0), "");
    assert_string_equal(look(c, "a.example", 0), "one 2?");
    assert_int_equal(ask(c, "a.example", two, 0), CLAIM_TAKEN);
    decide(c, "a.example", two, true); /* not its own */
    assert_string_equal(look(c, "a.example", 0), "one 2?");
    decide(c, "a.example", one, true);
    assert_string_equal(holder(c, "a.example", 0), "one");
    assert_string_equal(look(c, "a.example", 0), "one 2");
    assert_int_equal(ask(c, "a.example", one, 0), CLAIM_GRANTED);
    assert_string_equal(look(c, ".a.example", 0), "");
    claims_free(c);
}

static void what_was_refused_lingers_not(void **state)
{
    (void)state;
    struct claims *c = claims_new(10);
    struct tunnel_name one = tunnel(NULL, "one"), two = tunnel(NULL, "two");
    ask(c, "a.example", one, 0);
    leave(c, "a.example", one, 0); /* gave up before it was decided */
    assert_string_equal(look(c, "a.example", 0), "");
    decide(c, "a.example", one, true); /* too late */
    assert_string_equal(holder(c, "a.example", 0), "");
    assert_int_equal(ask(c, "a.example", two, 0), CLAIM_ASKED);
    decide(c, "a.example", two, true);
    decide(c, "a.example", two, false); /* it was lost */
    assert_string_equal(holder(c, "a.example", 0), "");
    assert_int_equal(ask(c, "a.example", one, 0), CLAIM_TAKEN); /* its carriers hear it next */
    leave(c, "a.example", two, 0);
    assert_int_equal(ask(c, "a.example", one, 0), CLAIM_ASKED);
    claims_free(c);
}

static void who_comes_back_in_time_is_found_while_it_asks(void **state)
{
    (void)state;
    struct claims *c = claims_new(10);
    struct tunnel_name one = tunnel(NULL, "one");
    struct hostname_pattern p = pattern("a.example");
    ask(c, "a.example", one, 0);
    decide(c, "a.example", one, true);
    assert_true(claims_leave(c, &p, &one, 10));
    assert_int_equal(ask(c, "a.example", one, 20), CLAIM_ASKED);
    assert_string_equal(holder(c, "a.example", 20), "one");
    assert_int_equal(ask(c, "a.example", one, 20), CLAIM_GRANTED);
    assert_false(claims_leave(c, &p, &one, 30));
    assert_true(claims_leave(c, &p, &one, 30));
    assert_int_equal(ask(c, "a.example", one, 30 + CLAIM_LINGER), CLAIM_ASKED);
    assert_string_equal(holder(c, "a.example", 30 + CLAIM_LINGER), "");
    claims_free(c);
}

static bool contest(struct claims *c, const char *host, struct tunnel_name asks, double now)
{
    struct hostname_pattern p = pattern(host);
    struct tunnel_name holder;
    return claims_contest(c, &p, &asks, now, &holder);
}

static bool confirm(struct claims *c, const char *host, struct tunnel_name t)
{
    struct hostname_pattern p = pattern(host);
    return claims_confirm(c, &p, &t);
}

static void of_two_who_ask_in_two_places_one_gets_it(void **state)
{
    (void)state;
    struct tunnel_name first = tunnel(NULL, "a"), second = tunnel(NULL, "b");
    /* Whoever hears of the other when. */
    for (int i = 0; i < 2; i++) {
        struct claims *here = claims_new(10), *there = claims_new(10);
        struct tunnel_name mine = i ? second : first, other = i ? first : second;
        ask(here, "a.example", mine, 0);
        assert_false(contest(there, "a.example", mine, 0)); /* it was asked too early */
        ask(there, "a.example", other, 0);
        bool yields = contest(here, "a.example", other, 0);
        assert_int_equal(yields, i == 0);
        assert_int_equal(confirm(here, "a.example", mine), yields);
        if (!yields) {
            assert_true(confirm(there, "a.example", other));
            assert_true(contest(there, "a.example", mine, 0)); /* asked again, it hears no */
        }
        assert_int_equal(*holder(here, "a.example", 0) == 'a', yields);
        claims_free(here), claims_free(there);
    }
}

static void what_is_granted_no_other_can_have_and_its_own_tunnel_contests_nothing(void **state)
{
    (void)state;
    struct claims *c = claims_new(10);
    struct tunnel_name a = tunnel(NULL, "a"), b = tunnel(NULL, "b");
    assert_false(contest(c, "a.example", a, 0));
    take(c, "a.example", b, 0);
    assert_true(contest(c, "a.example", a, 0));
    assert_false(contest(c, "a.example", b, 0));
    leave(c, "a.example", b, 0);
    assert_true(contest(c, "a.example", a, CLAIM_LINGER - 1));
    assert_false(contest(c, "a.example", a, CLAIM_LINGER));
    claims_free(c);
}

/* --- threads --- */

enum { THREADS = 4, ROUNDS = 500, HOSTS = 16 };

struct taker {
    pthread_t thread;
    struct claims *claims;
    unsigned number;
    bool well;
};

/* What it was granted is its own until it leaves. */
static void *take_and_leave(void *arg)
{
    struct taker *me = arg;
    char id[16], host[32];
    snprintf(id, sizeof id, "t%u", me->number);
    struct tunnel_name mine = tunnel(NULL, id), found;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct hostname_pattern p;
        struct err e;
        bool is_private;
        snprintf(host, sizeof host, "h%u.example", (i * 7 + me->number) % HOSTS);
        me->well &= hostname_read_pattern(&p, host, strlen(host), &e) == 0;
        if (claims_take(me->claims, &p, &mine, false, i) != CLAIM_GRANTED)
            continue;
        me->well &=
            claims_find(me->claims, host, i, &found, &is_private) && strcmp(found.text, id) == 0;
        claims_leave(me->claims, &p, &mine, i);
    }
    return NULL;
}

static void carriers_on_all_loops_take_and_leave(void **state)
{
    (void)state;
    struct claims *c = claims_new(HOSTS);
    struct taker takers[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        takers[i] = (struct taker){.claims = c, .number = i, .well = true};
        assert_int_equal(pthread_create(&takers[i].thread, NULL, take_and_leave, &takers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(takers[i].thread, NULL);
        assert_true(takers[i].well);
    }
    assert_true(claims_count(c) <= HOSTS);
    claims_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_comes_first_holds_the_name),
        cmocka_unit_test(a_name_is_held_while_any_carrier_does_and_a_while_longer),
        cmocka_unit_test(who_comes_back_in_time_has_it_still),
        cmocka_unit_test(the_longest_wildcard_holds_what_nobody_holds_itself),
        cmocka_unit_test(the_last_carrier_says_whether_it_is_private),
        cmocka_unit_test(what_is_asked_for_nobody_finds_and_nobody_else_gets),
        cmocka_unit_test(what_was_refused_lingers_not),
        cmocka_unit_test(who_comes_back_in_time_is_found_while_it_asks),
        cmocka_unit_test(of_two_who_ask_in_two_places_one_gets_it),
        cmocka_unit_test(what_is_granted_no_other_can_have_and_its_own_tunnel_contests_nothing),
        cmocka_unit_test(there_are_no_more_names_than_allowed),
        cmocka_unit_test(carriers_on_all_loops_take_and_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
