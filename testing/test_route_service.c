#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/route_service.h"
#include "testing/clock.h"
#include "testing/rig.h"

enum { TRIES = 80 };

/* A guide with a service, whose far ends the test plays. */
struct test {
    struct rig rig;
    struct rig_outbound out;
    struct rig_end ends[TRIES];
    struct resolve_way way;
    struct route_service_conf service;
    struct lookups_conf conf;
    struct lookups *lookups;
    struct lookup_wait wait;
    struct lookup_answer answer;
    unsigned told;
};

static void on_open(void *owner, struct flow *f, bool direct)
{
    struct test *t = owner;
    assert_true(direct);
    t->out.out.ops->open(&t->out.out, f);
}

static void on_told(struct lookup_wait *w)
{
    container_of(w, struct test, wait)->told++;
}

static void test_begin(struct test *t)
{
    memset(t, 0, sizeof *t);
    rig_open(&t->rig);
    rig_outbound_init(&t->out, &t->rig, t->ends, TRIES);
    t->way = (struct resolve_way){.open = on_open, .owner = t};
    t->service = (struct route_service_conf){.path = "/find?host=", .timeout = 5};
    t->service.at = (struct addr){.type = ADDR_NAME, .port = 9000, .name = "plugin.example"};
    t->conf = (struct lookups_conf){
        .url = "http://one", .ttl = 60, .negative_ttl = 10, .max = 1000, .service = &t->service};
    t->wait.told = on_told;
    struct lookups_asker *asker = route_service_new(&t->rig.loop, &t->way);
    assert_non_null(asker);
    t->lookups = lookups_new(&t->conf, asker);
    assert_non_null(t->lookups);
}

static void test_end(struct test *t)
{
    lookups_free(t->lookups);
    rig_turn(&t->rig);
    for (size_t i = 0; i < TRIES; i++)
        rig_end_free(&t->ends[i]);
    rig_close(&t->rig);
}

static enum lookup_state find(struct test *t, const char *host)
{
    enum lookup_state s = lookups_find(t->lookups, host, loop_steady(), &t->answer, &t->wait);
    rig_turn(&t->rig);
    return s;
}

static struct rig_end *last(struct test *t)
{
    assert_true(t->out.count > 0);
    return &t->ends[t->out.count - 1];
}

static void say(struct test *t, const char *text)
{
    assert_true(end_write(&last(t)->end, text, strlen(text)));
    rig_turn(&t->rig);
}

static void reply(struct test *t, const char *status, const char *body)
{
    char text[512];
    snprintf(text, sizeof text, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n%s", status,
             strlen(body), body);
    say(t, text);
}

static void it_asks_for_the_host_and_tells_the_tunnel(void **state)
{
    (void)state;
    static const char wanted[] = "GET /find?host=a.example HTTP/1.1\r\n"
                                 "Host: plugin.example:9000\r\n"
                                 "Accept: application/json\r\n\r\n";
    struct test t;
    test_begin(&t);
    assert_int_equal(find(&t, "a.example"), LOOKUP_WAITS);
    assert_int_equal(last(&t)->len, sizeof wanted - 1);
    assert_memory_equal(last(&t)->got, wanted, sizeof wanted - 1);
    assert_string_equal(last(&t)->end.flow->meta.target.name, "plugin.example");
    reply(&t, "200 OK", "{\"tunnel\": \"$Web-1\", \"more\": [1]}");
    assert_int_equal(t.told, 1);
    assert_int_equal(find(&t, "a.example"), LOOKUP_FOUND);
    assert_string_equal(t.answer.tunnel.text, "web-1");
    assert_int_equal(t.answer.tunnel.by, TUNNEL_BY_ID);
    assert_true(t.answer.is_private);
    test_end(&t);
}

static void one_connection_serves_one_host_after_the_other(void **state)
{
    (void)state;
    struct test t;
    test_begin(&t);
    find(&t, "a.example");
    reply(&t, "404 Not Found", "");
    assert_int_equal(find(&t, "a.example"), LOOKUP_NOTHING);
    find(&t, "[2001:db8::1]");
    assert_int_equal(t.out.count, 1);
    assert_non_null(memmem(last(&t)->got, last(&t)->len, "?host=%5B2001:db8::1%5D ", 24));
    reply(&t, "200 OK", "{\"node\": \"n1\"}");
    assert_int_equal(find(&t, "[2001:db8::1]"), LOOKUP_FOUND);
    assert_int_equal(t.answer.tunnel.by, TUNNEL_BY_NODE);
    test_end(&t);
}

static void whatever_else_it_says_is_no_answer(void **state)
{
    (void)state;
    static const struct {
        const char *status, *body;
    } cases[] = {
        {"500 Oops", ""},
        {"204 No Content", ""},
        {"302 Found", ""},
        {"200 OK", ""},
        {"200 OK", "{}"},
        {"200 OK", "{\"tunnel\": 1}"},
        {"200 OK", "{\"tunnel\": \"\"}"},
        {"200 OK", "{\"tunnel\": \"a b\"}"},
        {"200 OK", "{\"tunnel\": \"a\", \"node\": \"b\"}"},
        {"200 OK", "{\"tunnel\": \"a\"} x"},
        {"200 OK", "[\"a\"]"},
        {"200 OK", "{\"node\": \"$a\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct test t;
        test_begin(&t);
        assert_int_equal(find(&t, "a.example"), LOOKUP_WAITS);
        reply(&t, cases[i].status, cases[i].body);
        assert_int_equal(t.told, 1);
        if (find(&t, "a.example") != LOOKUP_AWAY)
            fail_msg("case %zu was taken for an answer", i);
        test_end(&t);
    }
}

static void a_service_that_hangs_is_given_up_in_time(void **state)
{
    (void)state;
    struct test t;
    char host[32];
    test_begin(&t);
    for (unsigned i = 0; i < LOOKUPS_ASKED_MAX; i++) {
        snprintf(host, sizeof host, "h%u.example", i);
        lookup_forget(&t.wait);
        assert_int_equal(find(&t, host), LOOKUP_WAITS);
    }
    assert_int_equal(t.out.count, LOOKUPS_ASKED_MAX); /* none stands behind another one */
    assert_int_equal(find(&t, "more.example"), LOOKUP_AWAY);
    clock_forward(4.9);
    rig_turn(&t.rig);
    assert_int_equal(t.told, 0);
    clock_forward(0.2);
    rig_turn(&t.rig);
    rig_turn(&t.rig);
    assert_int_equal(t.told, 1);
    assert_int_equal(lookups_count(t.lookups), 0);
    assert_int_equal(find(&t, "a.example"), LOOKUP_AWAY);
    clock_forward(1.1);
    rig_turn(&t.rig);
    assert_int_equal(find(&t, "a.example"), LOOKUP_WAITS);
    test_end(&t);
}

static void a_service_that_refuses_is_no_answer(void **state)
{
    (void)state;
    struct test t;
    struct err why;
    test_begin(&t);
    find(&t, "a.example");
    err_set(&why, ECONNREFUSED, "nobody listens");
    rig_leave(last(&t), &why);
    rig_turn(&t.rig);
    rig_turn(&t.rig);
    assert_int_equal(t.told, 1);
    assert_int_equal(find(&t, "a.example"), LOOKUP_AWAY);
    test_end(&t);
}

static void another_service_gets_the_open_questions(void **state)
{
    (void)state;
    struct test t;
    test_begin(&t);
    struct lookups_conf other = t.conf, none = t.conf;
    other.url = "http://two";
    none.url = "";
    find(&t, "a.example");
    lookups_adopt(t.lookups, &other);
    rig_turn(&t.rig);
    assert_int_equal(t.out.count, 2);
    assert_int_equal(t.told, 0);
    reply(&t, "200 OK", "{\"cluster\": \"c\"}");
    assert_int_equal(t.told, 1);
    assert_int_equal(find(&t, "a.example"), LOOKUP_FOUND);
    find(&t, "b.example");
    lookups_adopt(t.lookups, &none);
    rig_turn(&t.rig);
    assert_int_equal(t.told, 2);
    test_end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_asks_for_the_host_and_tells_the_tunnel),
        cmocka_unit_test(one_connection_serves_one_host_after_the_other),
        cmocka_unit_test(whatever_else_it_says_is_no_answer),
        cmocka_unit_test(a_service_that_hangs_is_given_up_in_time),
        cmocka_unit_test(a_service_that_refuses_is_no_answer),
        cmocka_unit_test(another_service_gets_the_open_questions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
