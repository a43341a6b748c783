#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "cluster/directory.h"
#include "testing/clock.h"
#include "testing/rig.h"

/* A registry or all peers: takes questions while it is there, and answers when the test says so. */
struct oracle {
    bool away;
    unsigned asked, forgotten;
    struct question *q; /* the last one */
};

static bool on_ask(void *with, struct question *q)
{
    struct oracle *o = with;
    if (o->away)
        return false;
    o->asked++;
    o->q = q;
    return true;
}

static void on_forget(void *with, struct question *q)
{
    struct oracle *o = with;
    assert_non_null(q);
    o->forgotten++;
}

struct bed {
    struct rig rig;
    struct oracle registry, peers;
    struct directory *d;
    unsigned told;
    struct question_of last;
    const struct addr *who; /* asks */
    bool asks_again;        /* from within told() */
    enum step again;
};

static void on_told(void *with, const struct question_of *of)
{
    struct bed *b = with;
    struct answer a;
    b->told++;
    b->last = *of;
    if (b->asks_again)
        b->again = directory_ask(b->d, of, NULL, loop_steady(), &a);
}

static void bed_open(struct bed *b)
{
    *b = (struct bed){0};
    clock_stop();
    rig_open(&b->rig);
    struct directory_source sources[] = {{on_ask, on_forget, &b->registry},
                                         {on_ask, on_forget, &b->peers}};
    b->d = directory_new(&b->rig.loop, sources, 2, on_told, b);
    assert_non_null(b->d);
}

static void bed_close(struct bed *b)
{
    directory_free(b->d);
    rig_close(&b->rig);
}

static struct question_of host_of(const char *name)
{
    struct question_of of = {.kind = ASK_HOST, .portal = 7};
    snprintf(of.host, sizeof of.host, "%s", name);
    return of;
}

static struct question_of tunnel_of(const char *name)
{
    struct question_of of = {.kind = ASK_TUNNEL, .portal = 7, .tunnel = {.by = TUNNEL_BY_ID}};
    snprintf(of.tunnel.text, sizeof of.tunnel.text, "%s", name);
    return of;
}

static struct answer held_by(const char *tunnel)
{
    struct answer a = {.known = true, .portal = 7, .holder = {.by = TUNNEL_BY_ID}};
    snprintf(a.holder.text, sizeof a.holder.text, "%s", tunnel);
    return a;
}

/* nodes: one letter each. */
static struct answer places_of(const char *nodes)
{
    struct answer a = {.known = true, .count = (unsigned)strlen(nodes)};
    for (unsigned i = 0; i < a.count; i++)
        a.at[i] = (struct tunnel_place){.node = {nodes[i]}, .epoch = 1, .links = 1};
    return a;
}

static const struct answer nobody;

/* Who has it: a host's tunnel or a tunnel's nodes. "-": nobody; "...": it is asked; "?": nobody can say. */
static const char *ask(struct bed *b, struct question_of of)
{
    static char text[64];
    struct answer a;
    enum step s = directory_ask(b->d, &of, b->who, loop_steady(), &a);
    if (s != STEP_DONE)
        return s == STEP_MORE ? "..." : "?";
    if (!a.known)
        return "-";
    if (of.kind == ASK_HOST)
        return strcpy(text, a.holder.text);
    for (unsigned i = 0; i < a.count; i++)
        text[i] = a.at[i].node[0];
    text[a.count] = '\0';
    return text;
}

static void say(struct oracle *o, const struct answer *a)
{
    struct question *q = o->q;
    assert_non_null(q);
    o->q = NULL;
    q->told(q, a);
}

static void say_host(struct oracle *o, const char *tunnel)
{
    struct answer a = held_by(tunnel);
    say(o, &a);
}

static void say_places(struct oracle *o, const char *nodes)
{
    struct answer a = places_of(nodes);
    say(o, &a);
}

/* --- */

static void one_question_is_asked_for_all_who_want_a_key(void **state)
{
    (void)state;
    struct bed b;
    bed_open(&b);
    assert_string_equal(ask(&b, host_of("a.example")), "...");
    assert_string_equal(ask(&b, host_of("a.example")), "...");
    assert_int_equal(b.registry.asked, 1);
    assert_string_equal(b.registry.q->of.host, "a.example");
    say_host(&b.registry, "one");
    assert_int_equal(b.told, 1);
    assert_string_equal(b.last.host, "a.example");
    assert_string_equal(ask(&b, host_of("a.example")), "one");
    assert_int_equal(b.registry.asked, 1);
    assert_int_equal(b.peers.asked, 0);
    bed_close(&b);
}

static const char *ask_nth(struct bed *b, int n)
{
    char name[16];
    snprintf(name, sizeof name, "t%d", n);
    return ask(b, tunnel_of(name));
}

/* 200 at once; what somebody has, or is being asked, costs nothing. */
static void who_asks_for_too_many_that_nobody_has_is_not_answered(void **state)
{
    (void)state;
    struct bed b;
    const struct addr who = rig_addr("192.0.2.1", 0), other = rig_addr("192.0.2.2", 0);
    unsigned asked = 0;
    bed_open(&b);
    b.who = &who;
    for (int i = 0; i < 400; i++) {
        if (strcmp(ask_nth(&b, i), "...") != 0)
            continue;
        assert_string_equal(ask_nth(&b, i), "...");
        asked++;
        if (i < 100)
            say_places(&b.registry, "x");
        else
            say(&b.registry, &nobody);
    }
    assert_int_equal(asked, 300);
    assert_int_equal(b.registry.asked, asked);
    assert_string_equal(ask(&b, tunnel_of("t1")), "x");
    b.who = &other;
    assert_string_equal(ask(&b, tunnel_of("t399")), "...");
    bed_close(&b);
}

/* What nobody had is still said while nobody can say it, and asked for anew. */
static void a_question_beside_an_old_answer_costs_one(void **state)
{
    (void)state;
    enum { GONE = 1000, OLD = 50, SPENT = 100, ALL = 200 };
    struct bed b;
    const struct addr who = rig_addr("192.0.2.1", 0);
    bed_open(&b);
    b.peers.away = true;
    for (int i = 0; i < OLD; i++) {
        ask_nth(&b, i);
        say(&b.registry, &nobody);
    }
    clock_forward(4);
    b.who = &who;
    for (int i = OLD; i < OLD + SPENT; i++) {
        ask_nth(&b, i);
        say(&b.registry, &nobody);
    }
    for (int i = 0; i < OLD; i++) {
        b.who = NULL;
        ask_nth(&b, GONE);
        say(&b.registry, NULL);
        b.who = &who;
        assert_string_equal(ask_nth(&b, i), "-");
        say_places(&b.registry, "x"); /* so it costs nothing */
    }
    for (int i = SPENT; i < ALL; i++)
        assert_string_equal(ask_nth(&b, GONE + i), "...");
    assert_string_equal(ask_nth(&b, GONE + ALL), "?");
    bed_close(&b);
}

static void hosts_and_tunnels_of_one_name_and_those_of_two_portals_are_different(void **state)
{
    (void)state;
    struct bed b;
    bed_open(&b);
    struct question_of other = host_of("a.example"), node = tunnel_of("a.example");
    other.portal = 8;
    node.tunnel.by = TUNNEL_BY_NODE;
    ask(&b, host_of("a.example"));
    say_host(&b.registry, "one");
    assert_string_equal(ask(&b, tunnel_of("a.example")), "...");
    say_places(&b.registry, "xy");
    assert_string_equal(ask(&b, other), "...");
    assert_string_equal(ask(&b, node), "...");
    assert_string_equal(ask(&b, tunnel_of("a.example")), "xy");
    assert_string_equal(ask(&b, host_of("a.example")), "one");
    bed_close(&b);
}

static void an_answer_is_fresh_then_used_while_it_is_asked_for_anew_then_waited_for(void **state)
{
    (void)state;
    static const struct {
        bool host;
        double fresh, stale;
    } cases[] = {{true, 30, 60}, {false, 5, 60}};
    for (size_t i = 0; i < 2; i++) {
        struct bed b;
        bed_open(&b);
        struct question_of of = cases[i].host ? host_of("x") : tunnel_of("x");
        struct answer first = cases[i].host ? held_by("a") : places_of("a");
        struct answer then = cases[i].host ? held_by("b") : places_of("b");
        ask(&b, of);
        say(&b.registry, &first);
        clock_forward(cases[i].fresh - 1);
        assert_string_equal(ask(&b, of), "a");
        assert_int_equal(b.registry.asked, 1);
        clock_forward(2);
        assert_string_equal(ask(&b, of), "a");
        assert_string_equal(ask(&b, of), "a");
        assert_int_equal(b.registry.asked, 2);
        say(&b.registry, &then);
        assert_string_equal(ask(&b, of), "b");
        clock_forward(cases[i].stale + 1);
        assert_string_equal(ask(&b, of), "...");
        bed_close(&b);
    }
}

static void nobody_is_remembered_for_three_seconds(void **state)
{
    (void)state;
    struct bed b;
    bed_open(&b);
    ask(&b, host_of("a.example"));
    say(&b.registry, &nobody);
    assert_string_equal(ask(&b, host_of("a.example")), "-");
    clock_forward(2.5);
    assert_string_equal(ask(&b, host_of("a.example")), "-");
    assert_int_equal(b.registry.asked, 1);
    clock_forward(1);
    assert_string_equal(ask(&b, host_of("a.example")), "...");
    bed_close(&b);
}

static void a_tunnel_without_a_link_is_asked_for_again_soon(void **state)
{
    (void)state;
    struct bed b;
    bed_open(&b);
    ask(&b, tunnel_of("t"));
    say_places(&b.registry, "");
    assert_string_equal(ask(&b, tunnel_of("t")), "");
    clock_forward(.3);
    assert_string_equal(ask(&b, tunnel_of("t")), "...");
    say_places(&b.registry, "");
    b.registry.away = b.peers.away = true;
    clock_forward(.3);
    assert_string_equal(ask(&b, tunnel_of("t")), ""); /* it may still come */
    clock_forward(60);
    assert_string_equal(ask(&b, tunnel_of("t")), "?");
    bed_close(&b);
}

static void peers_are_asked_when_the_registry_is_away_or_does_not_answer(void **state)
{
    (void)state;
    struct bed b;
    bed_open(&b);
    b.registry.away = true;
    assert_string_equal(ask(&b, host_of("a.example")), "...");
    assert_int_equal(b.peers.asked, 1);
    say_host(&b.peers, "one");
    assert_string_equal(ask(&b, host_of("a.example")), "one");
    b.registry.away = false;
    assert_string_equal(ask(&b, host_of("b.example")), "...");
    assert_int_equal(b.peers.asked, 1);
    say(&b.registry, NULL);
    assert_int_equal(b.told, 1); /* not yet for this one */
    assert_int_equal(b.peers.asked, 2);
    say_host(&b.peers, "two");
    assert_int_equal(b.told, 2);
    assert_string_equal(ask(&b, host_of("b.example")), "two");
    bed_close(&b);
}

static void what_nobody_can_say_fails_and_is_not_asked_again_by_who_hears_so(void **state)
{
    (void)state;
    struct bed b;
    bed_open(&b);
    b.registry.away = b.peers.away = true;
    assert_string_equal(ask(&b, host_of("a.example")), "?");
    b.registry.away = false;
    b.asks_again = true;
    assert_string_equal(ask(&b, host_of("a.example")), "...");
    say(&b.registry, NULL);
    assert_int_equal(b.told, 1);
    assert_int_equal(b.again, STEP_FAIL);
    assert_int_equal(b.registry.asked, 1);
    bed_close(&b);
}

static void while_nobody_can_say_old_answers_are_used_at_once_for_an_hour(void **state)
{
    (void)state;
    struct bed b;
    bed_open(&b);
    ask(&b, host_of("a.example"));
    say_host(&b.registry, "one");
    ask(&b, host_of("b.example"));
    say_host(&b.registry, "two");
    b.peers.away = true;
    clock_forward(300);
    assert_string_equal(ask(&b, host_of("a.example")), "..."); /* nobody knows yet that it hangs */
    say(&b.registry, NULL);
    assert_string_equal(ask(&b, host_of("a.example")), "one");
    assert_int_equal(b.registry.asked, 3); /* not again within a second */
    assert_string_equal(ask(&b, host_of("b.example")), "two");
    assert_int_equal(b.registry.asked, 4);
    say(&b.registry, NULL);
    b.registry.away = true;
    clock_forward(3000);
    assert_string_equal(ask(&b, host_of("a.example")), "one");
    clock_forward(600);
    assert_string_equal(ask(&b, host_of("a.example")), "?");
    bed_close(&b);
}

static void what_was_known_is_given_up_only_when_all_say_so(void **state)
{
    (void)state;
    struct bed b;
    bed_open(&b);
    ask(&b, host_of("a.example"));
    say_host(&b.registry, "one");
    for (int i = 0; i < 3; i++) {
        clock_forward(31);
        assert_string_equal(ask(&b, host_of("a.example")), "one");
        say(&b.registry, &nobody); /* as after a loss of data */
        assert_string_equal(ask(&b, host_of("a.example")), "one");
        if (i < 1)
            say_host(&b.peers, "one");
        else
            say(&b.peers, i == 1 ? NULL : &nobody);
        assert_string_equal(ask(&b, host_of("a.example")), i < 1 ? "one" : "-");
        if (i < 1)
            continue;
        struct answer a = held_by("one");
        struct question_of of = host_of("a.example");
        directory_learn(b.d, &of, &a, loop_steady());
    }
    bed_close(&b);
}

static void a_place_that_was_wrong_is_left_out_and_the_last_one_asked_for_anew(void **state)
{
    (void)state;
    struct bed b;
    bed_open(&b);
    struct question_of of = tunnel_of("t"), host = host_of("a.example");
    ask(&b, of);
    say_places(&b.registry, "ab");
    directory_wrong(b.d, &of, "a", 2); /* of another life */
    directory_wrong(b.d, &of, "c", 1);
    assert_string_equal(ask(&b, of), "ab");
    assert_int_equal(b.registry.asked, 1);
    directory_wrong(b.d, &of, "a", 1);
    assert_string_equal(ask(&b, of), "b");
    assert_int_equal(b.registry.asked, 2);
    directory_wrong(b.d, &of, "b", 1);
    assert_string_equal(ask(&b, of), "...");
    assert_int_equal(b.registry.asked, 2);
    say_places(&b.registry, "c");
    assert_string_equal(ask(&b, of), "c");
    ask(&b, host);
    say_host(&b.registry, "one");
    directory_wrong(b.d, &host, "", 0);
    assert_string_equal(ask(&b, host), "...");
    bed_close(&b);
}

static void what_is_learnt_answers_who_waits_and_later_answers_replace_it(void **state)
{
    (void)state;
    struct bed b;
    bed_open(&b);
    struct question_of of = tunnel_of("t");
    struct answer a = places_of("x");
    ask(&b, of);
    directory_learn(b.d, &of, &a, loop_steady());
    assert_int_equal(b.told, 1);
    assert_string_equal(ask(&b, of), "x");
    say_places(&b.registry, "y");
    assert_string_equal(ask(&b, of), "y");
    of = tunnel_of("other");
    directory_learn(b.d, &of, &a, loop_steady());
    assert_string_equal(ask(&b, of), "x");
    bed_close(&b);
}

static void places_beyond_the_bound_are_left_out(void **state)
{
    (void)state;
    struct bed b;
    bed_open(&b);
    struct answer a = places_of("abcdefgh");
    a.count = 200;
    ask(&b, tunnel_of("t"));
    say(&b.registry, &a);
    assert_string_equal(ask(&b, tunnel_of("t")), "abcdefgh");
    bed_close(&b);
}

static void those_not_asked_for_the_longest_give_way_and_unknown_ones_first(void **state)
{
    (void)state;
    struct bed b;
    bed_open(&b);
    struct answer one = held_by("one");
    struct question_of of = host_of("nobody.example");
    directory_learn(b.d, &of, &nobody, loop_steady());
    for (int i = 0; i < DIRECTORY_MAX - 1; i++) {
        snprintf(of.host, sizeof of.host, "h%d.example", i);
        directory_learn(b.d, &of, &one, loop_steady());
    }
    assert_string_equal(ask(&b, host_of("nobody.example")), "-");
    assert_string_equal(ask(&b, host_of("h0.example")), "one");
    assert_string_equal(ask(&b, host_of("new.example")), "...");
    assert_string_equal(ask(&b, host_of("newer.example")), "...");
    b.registry.away = b.peers.away = true;
    assert_string_equal(ask(&b, host_of("nobody.example")), "?");
    assert_string_equal(ask(&b, host_of("h0.example")), "one");
    assert_string_equal(ask(&b, host_of("h1.example")), "?");
    bed_close(&b);
}

static void questions_under_way_are_bounded_and_taken_back_at_the_end(void **state)
{
    (void)state;
    struct bed b;
    char name[64];
    bed_open(&b);
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "h%d.example", i);
        ask(&b, host_of(name));
    }
    assert_int_equal(b.registry.asked, 1024);
    b.registry.q = NULL;
    directory_free(b.d);
    struct directory_source source = {on_ask, on_forget, &b.registry};
    b.registry = (struct oracle){0};
    b.d = directory_new(&b.rig.loop, &source, 1, on_told, &b);
    ask(&b, host_of("a.example"));
    bed_close(&b);
    assert_int_equal(b.registry.forgotten, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_question_is_asked_for_all_who_want_a_key),
        cmocka_unit_test(who_asks_for_too_many_that_nobody_has_is_not_answered),
        cmocka_unit_test(a_question_beside_an_old_answer_costs_one),
        cmocka_unit_test(hosts_and_tunnels_of_one_name_and_those_of_two_portals_are_different),
        cmocka_unit_test(an_answer_is_fresh_then_used_while_it_is_asked_for_anew_then_waited_for),
        cmocka_unit_test(nobody_is_remembered_for_three_seconds),
        cmocka_unit_test(a_tunnel_without_a_link_is_asked_for_again_soon),
        cmocka_unit_test(peers_are_asked_when_the_registry_is_away_or_does_not_answer),
        cmocka_unit_test(what_nobody_can_say_fails_and_is_not_asked_again_by_who_hears_so),
        cmocka_unit_test(while_nobody_can_say_old_answers_are_used_at_once_for_an_hour),
        cmocka_unit_test(what_was_known_is_given_up_only_when_all_say_so),
        cmocka_unit_test(a_place_that_was_wrong_is_left_out_and_the_last_one_asked_for_anew),
        cmocka_unit_test(what_is_learnt_answers_who_waits_and_later_answers_replace_it),
        cmocka_unit_test(places_beyond_the_bound_are_left_out),
        cmocka_unit_test(those_not_asked_for_the_longest_give_way_and_unknown_ones_first),
        cmocka_unit_test(questions_under_way_are_bounded_and_taken_back_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
