#include "testing/web_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- when a way ends --- */

static void a_request_whose_old_way_died_is_sent_again(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, GET("a.example"));
    say(r, r->origin[0], OK5 "hello");
    ask(r, GET("a.example"));
    cut_off(r, r->origin[0]);
    assert_int_equal(r->count, 2);
    assert_true(starts(r->origin[1], "GET / HTTP/1.1\r\n"));
    say(r, r->origin[1], OK5 "again");
    assert_true(ends(&r->visitor, "again"));
}

static void three_ways_are_tried_for_one_request(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, GET("a.example"));
    for (size_t i = 0; i < WEB_TRIES; i++)
        cut_off(r, r->origin[i]);
    assert_int_equal(r->count, WEB_TRIES);
    assert_true(starts(&r->visitor, "HTTP/1.1 502 "));
}

static void what_must_not_be_repeated_is_not(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, POST("12345"));
    cut_off(r, r->origin[0]);
    assert_int_equal(r->count, 1);
    assert_true(starts(&r->visitor, "HTTP/1.1 502 "));
}

static void a_body_is_repeated_with_its_head(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, "PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 6\r\n\r\n");
    ask(r, "123");
    cut_off(r, r->origin[0]);
    ask(r, "456");
    assert_true(ends(r->origin[1], "\r\n\r\n123456"));
    say(r, r->origin[1], OK5 "hello");
    assert_true(ends(&r->visitor, "hello"));
}

static void an_answer_that_began_is_not_asked_for_again(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, GET("a.example"));
    say(r, r->origin[0], "HTTP/1.1 20");
    cut_off(r, r->origin[0]);
    assert_int_equal(r->count, 1);
    assert_true(starts(&r->visitor, "HTTP/1.1 502 "));
}

static void an_answer_that_is_cut_does_not_look_whole(void **state)
{
    struct rig *r = *state;
    static const char *const cut[] = {
        OK5 "he",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\n\r\nhello",
    };
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++) {
        rig_visit(r);
        ask(r, GET("a.example"));
        say(r, r->origin[i], cut[i]);
        cut_off(r, r->origin[i]);
        assert_true(r->visitor.left);
        assert_true(r->visitor.failed);
    }
}

static void an_origin_that_ends_too_early_counts_as_cut(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, GET("a.example"));
    say(r, r->origin[0], OK5 "he");
    stop(r, r->origin[0]);
    assert_true(r->visitor.left);
    assert_true(r->visitor.failed);
}

static void the_end_of_a_connection_may_end_an_answer(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, GET("a.example"));
    say(r, r->origin[0], "HTTP/1.0 200 OK\r\n\r\nhello");
    assert_non_null(strstr(r->visitor.text, "Connection: close\r\n"));
    assert_false(r->visitor.eof);
    stop(r, r->origin[0]);
    assert_true(r->visitor.eof);
    assert_true(ends(&r->visitor, "\r\n\r\nhello"));
    stop(r, &r->visitor);
    assert_false(r->visitor.failed);
}

static void an_answer_that_is_not_http_is_none(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, GET("a.example"));
    say(r, r->origin[0], "SSH-2.0-OpenSSH\r\n");
    assert_true(starts(&r->visitor, "HTTP/1.1 502 "));
    assert_true(r->origin[0]->left);
    assert_true(r->origin[0]->failed);
}

static void a_visitor_who_leaves_takes_his_request_along(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, GET("a.example"));
    cut_off(r, &r->visitor);
    assert_true(r->origin[0]->left);
    assert_true(r->origin[0]->failed);
}

static void a_request_that_is_cut_does_not_look_whole(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, POST("12"));
    stop(r, &r->visitor);
    assert_true(r->origin[0]->failed);
}

static void who_ends_his_side_is_still_answered(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, GET("a.example"));
    stop(r, &r->visitor);
    say(r, r->origin[0], OK5 "hello");
    assert_true(ends(&r->visitor, "hello"));
    assert_false(r->visitor.failed);
}

/* --- bodies --- */

static void bodies_of_every_kind_pass_unchanged(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"
           "3;x=y\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n" GET("a.example"));
    assert_true(ends(r->origin[0], "\r\n\r\n3;x=y\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"));
    say(r, r->origin[0],
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    assert_true(ends(&r->visitor, "\r\n\r\n5\r\nhello\r\n0\r\n\r\n"));
    assert_int_equal(r->count, 1); /* its way rested, and took the next request */
    assert_non_null(strstr(r->origin[0]->text, "GET / "));
}

static void a_body_is_none_for_head_204_and_304(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, "HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    say(r, r->origin[0], OK5);
    ask(r, GET("a.example"));
    say(r, r->origin[0], "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n");
    ask(r, GET("a.example"));
    say(r, r->origin[0], "HTTP/1.1 204 No Content\r\n\r\n");
    ask(r, GET("a.example"));
    say(r, r->origin[0], OK5 "hello");
    assert_int_equal(r->count, 1);
    assert_true(ends(&r->visitor, "hello"));
}

static void interim_answers_pass(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r,
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    say(r, r->origin[0], "HTTP/1.1 100 Continue\r\n\r\n");
    assert_string_equal(r->visitor.text, "HTTP/1.1 100 Continue\r\n\r\n");
    ask(r, "12345");
    assert_true(ends(r->origin[0], "12345"));
    say(r, r->origin[0], OK5 "hello");
    assert_true(ends(&r->visitor, "hello"));
    assert_null(strstr(r->visitor.text, "close"));
}

static void an_answer_before_the_request_is_whole_is_the_last_one(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, POST("12"));
    say(r, r->origin[0], OK5 "hello");
    assert_non_null(strstr(r->visitor.text, "Connection: close\r\n"));
    assert_true(r->visitor.eof);
    assert_true(r->origin[0]->failed);
}

static void who_does_not_read_holds_the_origin_back(void **state)
{
    struct rig *r = *state;
    static char block[8192];
    memset(block, 'x', sizeof block - 1);
    rig_visit(r);
    r->visitor.stalls = true;
    ask(r, GET("a.example"));
    say(r, r->origin[0], "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
    size_t said = 0;
    while (end_room(&r->origin[0]->end) && said < 64u << 20) {
        say(r, r->origin[0], block);
        said += sizeof block - 1;
    }
    assert_true(said >= 2 * r->policy.buffer_size - 2 * sizeof block);
    assert_true(said <= 2 * r->policy.buffer_size + 4 * BUF_DATA);
}

/* --- other protocols --- */

#define UPGRADE                                                                                    \
    "GET /chat HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

static void who_changes_the_protocol_has_a_tunnel(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, UPGRADE "early");
    assert_non_null(strstr(r->origin[0]->text, "Upgrade: websocket\r\n"));
    assert_null(strstr(r->origin[0]->text, "early"));
    say(r, r->origin[0],
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nraw");
    assert_true(starts(&r->visitor, "HTTP/1.1 101 "));
    assert_non_null(strstr(r->visitor.text, "Upgrade: websocket\r\n"));
    assert_true(ends(&r->visitor, "\r\n\r\nraw"));
    assert_true(ends(r->origin[0], "\r\n\r\nearly"));
    ask(r, "ping");
    assert_true(ends(r->origin[0], "earlyping"));
    stop(r, &r->visitor);
    assert_true(r->origin[0]->eof);
    assert_false(r->origin[0]->left);
    say(r, r->origin[0], "pong");
    stop(r, r->origin[0]);
    assert_true(ends(&r->visitor, "rawpong"));
    assert_true(r->visitor.left && !r->visitor.failed);
    assert_true(r->origin[0]->left && !r->origin[0]->failed);
}

static void what_a_visitor_said_before_he_left_arrives(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, UPGRADE);
    say(r, r->origin[0],
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_true(end_write(&r->visitor.end, "bye", 3));
    r->visitor.left = true;
    end_leave(&r->visitor.end, NULL);
    rig_turn(r);
    assert_true(ends(r->origin[0], "\r\n\r\nbye"));
    stop(r, r->origin[0]);
    assert_false(r->origin[0]->failed);
}

static void a_tunnel_that_breaks_breaks_on_both_sides(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, UPGRADE);
    say(r, r->origin[0],
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    cut_off(r, r->origin[0]);
    assert_true(r->visitor.failed);
}

static void nobody_changes_the_protocol_who_was_not_asked(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, GET("a.example"));
    say(r, r->origin[0],
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_true(starts(&r->visitor, "HTTP/1.1 502 "));
    assert_true(r->origin[0]->failed);
}

static void http2_is_not_asked_for(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade, HTTP2-Settings\r\n"
           "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n");
    assert_null(strstr(r->origin[0]->text, "h2c"));
    assert_null(strstr(r->origin[0]->text, "Settings"));
}

/* The origins' own gateway is this one. */
static void open_again(struct outbound *out, struct flow *f)
{
    web_serve(container_of(out, struct rig, origins)->web, f, NULL);
}

static void routes_that_go_round_in_a_circle_end(void **state)
{
    struct rig *r = *state;
    static const struct outbound_ops again = {.open = open_again};
    r->origins.ops = &again;
    rig_visit(r);
    ask(r, GET("a.example"));
    assert_non_null(strstr(r->visitor.text, "HTTP/1.1 502 "));
}

/* --- whatever the split --- */

static void the_answer_is_the_same_however_bytes_come(void **state)
{
    struct rig *r = *state;
    static const char request[] =
        "PUT /x HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc";
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    rig_visit(r);
    for (const char *p = request; *p; p++) {
        char one[] = {*p, '\0'};
        ask(r, one);
    }
    assert_true(ends(r->origin[0], "\r\n\r\nabc"));
    for (const char *p = answer; *p; p++) {
        char one[] = {*p, '\0'};
        say(r, r->origin[0], one);
    }
    assert_true(ends(&r->visitor, "\r\n\r\n5\r\nhello\r\n0\r\n\r\n"));
    assert_null(strstr(r->visitor.text, "close"));
}

static void a_head_may_lie_in_many_bufs(void **state)
{
    struct rig *r = *state;
    static char text[30000];
    size_t len = (size_t)sprintf(text, "GET / HTTP/1.1\r\nHost: a.example\r\n");
    for (int i = 0; i < 4; i++) {
        len += (size_t)sprintf(text + len, "X-Field-%d: ", i);
        memset(text + len, 'x', 7000);
        len += 7000;
        len += (size_t)sprintf(text + len, "\r\n");
    }
    sprintf(text + len, "\r\n");
    rig_visit(r);
    ask(r, text);
    assert_int_equal(r->count, 1);
    assert_true(r->origin[0]->len > len);
    say(r, r->origin[0], OK5 "hello");
    assert_true(ends(&r->visitor, "hello"));
}

#define T(f) cmocka_unit_test_setup_teardown(f, web_rig_open, web_rig_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_request_whose_old_way_died_is_sent_again),
        T(three_ways_are_tried_for_one_request),
        T(what_must_not_be_repeated_is_not),
        T(a_body_is_repeated_with_its_head),
        T(an_answer_that_began_is_not_asked_for_again),
        T(an_answer_that_is_cut_does_not_look_whole),
        T(an_origin_that_ends_too_early_counts_as_cut),
        T(the_end_of_a_connection_may_end_an_answer),
        T(an_answer_that_is_not_http_is_none),
        T(a_visitor_who_leaves_takes_his_request_along),
        T(a_request_that_is_cut_does_not_look_whole),
        T(who_ends_his_side_is_still_answered),
        T(bodies_of_every_kind_pass_unchanged),
        T(a_body_is_none_for_head_204_and_304),
        T(interim_answers_pass),
        T(an_answer_before_the_request_is_whole_is_the_last_one),
        T(who_does_not_read_holds_the_origin_back),
        T(who_changes_the_protocol_has_a_tunnel),
        T(what_a_visitor_said_before_he_left_arrives),
        T(a_tunnel_that_breaks_breaks_on_both_sides),
        T(nobody_changes_the_protocol_who_was_not_asked),
        T(http2_is_not_asked_for),
        T(routes_that_go_round_in_a_circle_end),
        T(the_answer_is_the_same_however_bytes_come),
        T(a_head_may_lie_in_many_bufs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
