#include "testing/web_rig.h"

#include <stdlib.h>
#include <string.h>

/* --- where a request goes --- */

static void a_request_goes_to_its_host_and_the_answer_comes_back(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, GET("a.example"));
    assert_int_equal(r->count, 1);
    assert_true(starts(r->origin[0], "GET / HTTP/1.1\r\n"));
    assert_non_null(strstr(r->origin[0]->text, "Host: a.example\r\n"));
    assert_non_null(strstr(r->origin[0]->text, "203.0.113.9"));
    assert_string_equal(r->target[0].name, "a.example");
    assert_int_equal(r->target[0].port, 80);
    say(r, r->origin[0], OK5 "hello");
    assert_true(starts(&r->visitor, "HTTP/1.1 200 OK\r\n"));
    assert_true(ends(&r->visitor, "\r\n\r\nhello"));
}

static void each_request_of_a_connection_is_routed_by_itself(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, GET("a.example"));
    say(r, r->origin[0], OK5 "hello");
    ask(r, GET("b.example:8080"));
    assert_int_equal(r->count, 2);
    assert_string_equal(r->target[1].name, "b.example");
    assert_int_equal(r->target[1].port, 8080);
    say(r, r->origin[1], OK5 "world");
    assert_true(ends(&r->visitor, "\r\n\r\nworld"));
}

static void an_address_is_dialled_and_the_host_stays(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, GET("server.example"));
    assert_int_equal(r->target[0].type, ADDR_IPV4);
    assert_int_equal(r->target[0].port, 8080);
    assert_non_null(strstr(r->origin[0]->text, "Host: server.example\r\n"));
}

static void who_has_no_route_hears_so_and_may_go_on(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, GET("nobody.example"));
    assert_true(starts(&r->visitor, "HTTP/1.1 404 Not Found\r\n"));
    assert_non_null(strstr(r->visitor.text, "X-Request-Id: "));
    forget(&r->visitor);
    ask(r, GET("a.example"));
    assert_int_equal(r->count, 1);
}

static void nobody_comes_to_a_private_tunnel(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, GET("secret.example"));
    assert_true(starts(&r->visitor, "HTTP/1.1 404 "));
    assert_int_equal(r->count, 0);
}

static void names_between_bridges_and_portals_are_no_sites(void **state)
{
    struct rig *r = *state;
    const char *names[] = {"a.example", "server.example"};
    const struct string_list reserved = {names, 2};
    r->dispatcher.reserved = &reserved;
    rig_visit(r);
    ask(r, GET("A.example."));
    assert_true(starts(&r->visitor, "HTTP/1.1 404 "));
    assert_int_equal(r->count, 0);
    ask(r, GET("server.example"));
    assert_int_equal(r->target[0].type, ADDR_IPV4);
    say(r, r->origin[0], OK5 "hello");
    ask(r, GET("b.example"));
    assert_int_equal(r->count, 2);
    r->dispatcher.reserved = NULL;
}

static void without_a_bridge_the_site_is_not_there_for_now(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, GET("gone.example"));
    assert_true(starts(&r->visitor, "HTTP/1.1 503 "));
    assert_false(r->visitor.left);
}

static void what_is_not_http_is_refused_and_ends(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *text, *answer;
    } wrong[] = {
        {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
        {"GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n", "HTTP/1.1 400 "},
        {"GET / HTTP/1.1\r\nHost: 0x7f.1\r\n\r\n", "HTTP/1.1 400 "},
        {"GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", "HTTP/1.1 400 "},
        {"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", "HTTP/1.1 405 "},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 505 "},
        {"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 501 "},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        rig_visit(r);
        ask(r, wrong[i].text);
        assert_true(starts(&r->visitor, wrong[i].answer));
        assert_true(r->visitor.eof);
        stop(r, &r->visitor);
        assert_true(r->visitor.left);
        assert_false(r->visitor.failed);
    }
    assert_int_equal(r->count, 0);
}

/* --- connections that are kept --- */

static void a_way_is_used_again(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    for (int i = 0; i < 5; i++) {
        ask(r, GET("a.example"));
        say(r, r->origin[0], OK5 "hello");
    }
    assert_int_equal(r->count, 1);
}

static void visitors_of_another_address_have_another_way(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, GET("a.example"));
    say(r, r->origin[0], OK5 "hello");
    stop(r, &r->visitor);
    rig_visit(r);
    r->visitor.end.flow->meta.source.ip[3] = 10;
    ask(r, GET("a.example"));
    assert_int_equal(r->count, 2);
}

static void requests_that_come_at_once_are_answered_in_order(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, GET("a.example") GET("b.example") GET("nobody.example"));
    assert_int_equal(r->count, 1);
    say(r, r->origin[0], OK5 "first");
    assert_int_equal(r->count, 2);
    say(r, r->origin[1], OK5 "other");
    char *first = strstr(r->visitor.text, "first"), *other = strstr(r->visitor.text, "other");
    assert_true(first && other && first < other);
    assert_non_null(strstr(other, "404"));
}

static void what_must_not_be_repeated_gets_a_new_way(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, GET("a.example"));
    say(r, r->origin[0], OK5 "hello");
    ask(r, POST("12345"));
    assert_int_equal(r->count, 2);
    assert_true(ends(r->origin[1], "\r\n\r\n12345"));
    say(r, r->origin[1], OK5 "world");
    assert_true(ends(&r->visitor, "world"));
}

static void a_way_that_says_more_than_its_answer_is_not_used_again(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, GET("a.example"));
    say(r, r->origin[0], OK5 "hello" OK5 "stale");
    assert_true(r->origin[0]->left);
    assert_true(ends(&r->visitor, "hello"));
    ask(r, GET("a.example"));
    assert_int_equal(r->count, 2);
}

static void a_way_that_was_closed_while_it_rested_is_not_used_again(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, GET("a.example"));
    say(r, r->origin[0], OK5 "hello");
    stop(r, r->origin[0]);
    assert_true(r->origin[0]->left);
    ask(r, GET("a.example"));
    assert_int_equal(r->count, 2);
}

static void who_says_close_is_answered_and_closed(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
    assert_null(strstr(r->origin[0]->text, "close"));
    say(r, r->origin[0], OK5 "hello");
    assert_non_null(strstr(r->visitor.text, "Connection: close\r\n"));
    assert_true(r->visitor.eof);
    assert_false(r->origin[0]->left); /* that is between the visitor and us */
}

static void a_way_whose_link_goes_does_not_rest(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, GET("a.example"));
    say(r, r->origin[0], OK5 "hello");
    flow_drain(r->origin[0]->end.flow);
    rig_turn(r);
    assert_true(r->origin[0]->left);
    ask(r, GET("a.example"));
    flow_drain(r->origin[1]->end.flow);
    rig_turn(r);
    say(r, r->origin[1], OK5 "hello"); /* this answer is still taken */
    assert_true(r->origin[1]->left);
    assert_null(strstr(r->visitor.text, "close"));
}

/* --- finders, and changes of the configuration --- */

static enum step slow_find(struct web_finder *f, const struct web_asked *asked,
                           struct lookup_wait *w, struct route_to *to, int *status)
{
    struct rig *r = container_of(f, struct rig, finder);
    if (!r->found) {
        list_append(&r->waiters, &w->item);
        return STEP_MORE;
    }
    *status = 421;
    *to = (struct route_to){.kind = ROUTE_OUTBOUND};
    return strcmp(asked->route.host, "a.example") == 0 ? STEP_DONE : STEP_FAIL;
}

static void rig_find(struct rig *r)
{
    struct list_item *i;
    r->found = true;
    while ((i = list_first(&r->waiters))) {
        struct lookup_wait *w = container_of(i, struct lookup_wait, item);
        list_remove(i);
        w->told(w);
    }
    rig_turn(r);
}

static void rig_slow(struct rig *r)
{
    web_free(r->web);
    r->finder.find = slow_find;
    r->web = web_new(&r->dispatcher, &r->conf, &r->finder);
    assert_non_null(r->web);
}

static void a_request_waits_until_its_way_is_found(void **state)
{
    struct rig *r = *state;
    rig_slow(r);
    rig_visit(r);
    ask(r, POST("12"));
    assert_int_equal(r->count, 0);
    ask(r, "345");
    rig_find(r);
    assert_int_equal(r->count, 1);
    assert_true(ends(r->origin[0], "\r\n\r\n12345"));
    say(r, r->origin[0], OK5 "hello");
    ask(r, GET("b.example"));
    assert_non_null(strstr(r->visitor.text, "HTTP/1.1 421 Misdirected Request\r\n"));
}

static void who_leaves_does_not_wait_any_more(void **state)
{
    struct rig *r = *state;
    rig_slow(r);
    rig_visit(r);
    ask(r, GET("a.example"));
    cut_off(r, &r->visitor);
    assert_null(list_first(&r->waiters));
}

static void who_waits_for_a_finder_that_goes_is_answered(void **state)
{
    struct rig *r = *state;
    rig_slow(r);
    rig_visit(r);
    ask(r, GET("a.example"));
    web_free(r->web);
    r->web = NULL;
    assert_null(list_first(&r->waiters));
    rig_turn(r);
    assert_true(starts(&r->visitor, "HTTP/1.1 503 "));
    assert_true(r->visitor.eof);
}

static void a_web_that_is_drained_says_so_in_its_answers(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, GET("a.example"));
    web_drain(r->web);
    say(r, r->origin[0], OK5 "hello");
    assert_non_null(strstr(r->visitor.text, "Connection: close\r\n"));
    assert_true(r->visitor.eof);
    assert_true(r->origin[0]->left);
}

static void who_is_idle_then_has_one_more_request(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, GET("a.example"));
    say(r, r->origin[0], OK5 "hello");
    web_drain(r->web);
    rig_turn(r);
    assert_true(r->origin[0]->left); /* it rested */
    assert_false(r->visitor.eof);
    ask(r, GET("a.example"));
    say(r, r->origin[1], OK5 "world");
    assert_true(ends(&r->visitor, "world"));
    assert_true(r->visitor.eof);
}

static void an_answer_outlives_its_web(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, GET("a.example"));
    web_free(r->web);
    r->web = NULL;
    say(r, r->origin[0], OK5 "hello");
    assert_true(ends(&r->visitor, "hello"));
    assert_true(r->visitor.eof);
}

static void outbounds_are_found_by_tag_after_a_change(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    r->outbounds[0] = &r->nowhere;
    r->outbounds[1] = &r->origins;
    ask(r, GET("a.example"));
    assert_int_equal(r->count, 1);
    r->dispatcher.count = 1; /* and it is gone */
    say(r, r->origin[0], "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    forget(&r->visitor);
    ask(r, GET("a.example"));
    assert_true(starts(&r->visitor, "HTTP/1.1 503 "));
}

#define T(f) cmocka_unit_test_setup_teardown(f, web_rig_open, web_rig_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_request_goes_to_its_host_and_the_answer_comes_back),
        T(each_request_of_a_connection_is_routed_by_itself),
        T(an_address_is_dialled_and_the_host_stays),
        T(who_has_no_route_hears_so_and_may_go_on),
        T(nobody_comes_to_a_private_tunnel),
        T(names_between_bridges_and_portals_are_no_sites),
        T(without_a_bridge_the_site_is_not_there_for_now),
        T(what_is_not_http_is_refused_and_ends),
        T(a_way_is_used_again),
        T(visitors_of_another_address_have_another_way),
        T(requests_that_come_at_once_are_answered_in_order),
        T(what_must_not_be_repeated_gets_a_new_way),
        T(a_way_that_says_more_than_its_answer_is_not_used_again),
        T(a_way_that_was_closed_while_it_rested_is_not_used_again),
        T(a_way_whose_link_goes_does_not_rest),
        T(who_says_close_is_answered_and_closed),
        T(a_request_waits_until_its_way_is_found),
        T(who_leaves_does_not_wait_any_more),
        T(who_waits_for_a_finder_that_goes_is_answered),
        T(a_web_that_is_drained_says_so_in_its_answers),
        T(who_is_idle_then_has_one_more_request),
        T(an_answer_outlives_its_web),
        T(outbounds_are_found_by_tag_after_a_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
