#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/web.h"

/* --- somebody at an end of a flow, on a real loop: the visitor, an origin --- */

enum { TEXT = 1 << 20, ORIGINS = 8 };

struct peer {
    struct end end;
    bool stalls, left, failed, eof; /* failed: how the flow ended for it */
    char text[TEXT];                /* what it was sent */
    size_t len;
};

static void peer_leave(struct peer *p, const struct err *why)
{
    p->left = true;
    p->failed = end_failed(&p->end);
    end_leave(&p->end, why);
}

/* Ends when both sides have ended, as connections do. */
static void peer_wake(struct end *e)
{
    struct peer *p = container_of(e, struct peer, end);
    struct buf *b;
    while (!p->stalls && (b = end_take(e))) {
        assert_true(p->len + b->len < TEXT);
        memcpy(p->text + p->len, b->data, b->len);
        p->len += b->len;
        buf_free(&end_loop(e)->bufs, b);
    }
    p->text[p->len] = '\0';
    p->eof = end_at_eof(e);
    if (end_failed(e) || (end_at_eof(e) && (end_peer_left(e) || end_sent_eof(e))))
        peer_leave(p, NULL);
}

static const struct end_ops peer_ops = {.wake = peer_wake};

struct rig {
    struct loop loop;
    struct policy policy;
    struct dispatcher dispatcher;
    struct outbound origins, nowhere;
    struct outbound *outbounds[2];
    struct routes *routes;
    struct web_conf conf;
    struct web_finder finder;
    struct list waiters;
    bool found;
    struct web *web;
    struct peer visitor;
    struct peer *origin[ORIGINS]; /* by the order in which they were opened */
    struct addr target[ORIGINS];
    size_t count;
};

static void open_origin(struct outbound *out, struct flow *f)
{
    struct rig *r = container_of(out, struct rig, origins);
    struct peer *p = calloc(1, sizeof *p);
    assert_non_null(p);
    assert_true(r->count < ORIGINS);
    r->target[r->count] = f->meta.target;
    r->origin[r->count++] = p;
    flow_join(f, &p->end, &peer_ops);
    end_opened(&p->end);
}

static void open_nowhere(struct outbound *out, struct flow *f)
{
    struct err why;
    (void)out;
    err_set(&why, EHOSTUNREACH, "no bridge is connected");
    flow_refuse(f, &why);
}

static const struct outbound_ops origin_ops = {.open = open_origin},
                                 nowhere_ops = {.open = open_nowhere};

static void add_route(struct rig *r, const char *host, const char *path, struct route_to to)
{
    struct err e;
    struct hostname_pattern pattern;
    struct route one = {.path = {path, strlen(path)}, .to = to};
    assert_int_equal(hostname_read_pattern(&pattern, host, strlen(host), &e), 0);
    one.host = &pattern;
    assert_int_equal(routes_add(r->routes, &one, &e), 0);
}

static void add_routes(struct rig *r)
{
    struct route_to here = {.kind = ROUTE_OUTBOUND}, gone = {.kind = ROUTE_OUTBOUND, .outbound = 1};
    struct route_to server = {.kind = ROUTE_ADDRESS,
                              .address = {.type = ADDR_IPV4, .port = 8080, .ip = {192, 168, 1, 1}}};
    struct route_to secret = here;
    secret.is_private = true;
    add_route(r, "a.example", "", here);
    add_route(r, "b.example", "", here);
    add_route(r, "gone.example", "", gone);
    add_route(r, "secret.example", "", secret);
    add_route(r, "server.example", "", server);
}

static int rig_open(void **state)
{
    static const char *const tags[] = {"origins", "nowhere"};
    struct rig *r = calloc(1, sizeof *r);
    struct err e;
    if (!r || loop_init(&r->loop, 0, 100, &e) < 0 || !(r->routes = routes_new()))
        return -1;
    r->policy = POLICY_DEFAULT;
    r->origins = (struct outbound){.ops = &origin_ops, .loop = &r->loop, .tag = tags[0]};
    r->nowhere = (struct outbound){.ops = &nowhere_ops, .loop = &r->loop, .tag = tags[1]};
    r->outbounds[0] = &r->origins;
    r->outbounds[1] = &r->nowhere;
    r->dispatcher = (struct dispatcher){.loop = &r->loop, .outbounds = r->outbounds, .count = 2};
    add_routes(r);
    r->conf = (struct web_conf){.routes = r->routes, .tags = tags, .tag_count = 2};
    r->web = web_new(&r->dispatcher, &r->conf, NULL);
    *state = r;
    return r->web ? 0 : -1;
}

/* Loops until nothing is queued: with `busy` running, each pass returns at once. */
static void rig_turn(struct rig *r)
{
    for (int i = 0; i < 1000 && (i < 2 || loop_is_busy(&r->loop)); i++)
        ev_run(r->loop.ev, EVRUN_NOWAIT);
    assert_false(loop_is_busy(&r->loop));
}

/* Every flow must be gone: that is checked after each test. */
static int rig_close(void **state)
{
    struct rig *r = *state;
    struct err why;
    err_set(&why, ECANCELED, "the test is over");
    if (r->visitor.end.flow && !r->visitor.left)
        peer_leave(&r->visitor, &why);
    rig_turn(r);
    if (r->web)
        web_free(r->web);
    rig_turn(r);
    bool gone = !list_first(&r->loop.flows);
    for (size_t i = 0; i < r->count; i++) {
        gone &= r->origin[i]->left;
        free(r->origin[i]);
    }
    routes_unref(r->routes);
    loop_fini(&r->loop);
    free(r);
    return gone ? 0 : -1;
}

static void rig_visit(struct rig *r)
{
    struct meta m = {.net = NET_TCP, .inbound_tag = "door", .outbound_tag = ""};
    struct err e;
    assert_int_equal(addr_parse_host(&m.source, "203.0.113.9", 11, &e), 0);
    memset(&r->visitor, 0, sizeof r->visitor);
    struct flow *f = flow_new(&r->loop, &r->visitor.end, &peer_ops, &m, &r->policy);
    assert_non_null(f);
    web_serve(r->web, f, NULL);
    rig_turn(r);
}

static void say(struct rig *r, struct peer *p, const char *text)
{
    assert_false(p->left);
    assert_true(end_write(&p->end, text, strlen(text)));
    rig_turn(r);
}

static void ask(struct rig *r, const char *text)
{
    say(r, &r->visitor, text);
}

static void forget(struct peer *p)
{
    p->len = 0;
    p->text[0] = '\0';
}

static void cut_off(struct rig *r, struct peer *p)
{
    struct err why;
    err_set(&why, ECONNRESET, "reset");
    peer_leave(p, &why);
    rig_turn(r);
}

static bool starts(const struct peer *p, const char *text)
{
    return strncmp(p->text, text, strlen(text)) == 0;
}

static bool ends(const struct peer *p, const char *text)
{
    size_t len = strlen(text);
    return p->len >= len && memcmp(p->text + p->len - len, text, len) == 0;
}

#define GET(host) "GET / HTTP/1.1\r\nHost: " host "\r\n\r\n"
#define POST(body) "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\n" body
#define OK5 "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"

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
        end_eof(&r->visitor.end);
        rig_turn(r);
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
    end_eof(&r->visitor.end);
    rig_turn(r);
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
    end_eof(&r->origin[0]->end);
    rig_turn(r);
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
        OK5 "hel",
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
    say(r, r->origin[0], OK5 "hel");
    end_eof(&r->origin[0]->end);
    rig_turn(r);
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
    end_eof(&r->origin[0]->end);
    rig_turn(r);
    assert_true(r->visitor.eof);
    assert_true(ends(&r->visitor, "\r\n\r\nhello"));
    end_eof(&r->visitor.end);
    rig_turn(r);
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
    end_eof(&r->visitor.end);
    rig_turn(r);
    assert_true(r->origin[0]->failed);
}

static void who_ends_his_side_is_still_answered(void **state)
{
    struct rig *r = *state;
    rig_visit(r);
    ask(r, GET("a.example"));
    end_eof(&r->visitor.end);
    rig_turn(r);
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
    end_eof(&r->visitor.end);
    rig_turn(r);
    assert_true(r->origin[0]->eof);
    assert_false(r->origin[0]->left);
    say(r, r->origin[0], "pong");
    end_eof(&r->origin[0]->end);
    rig_turn(r);
    assert_true(ends(&r->visitor, "rawpong"));
    assert_true(r->visitor.left && !r->visitor.failed);
    assert_true(r->origin[0]->left && !r->origin[0]->failed);
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

#define T(f) cmocka_unit_test_setup_teardown(f, rig_open, rig_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_request_goes_to_its_host_and_the_answer_comes_back),
        T(each_request_of_a_connection_is_routed_by_itself),
        T(an_address_is_dialled_and_the_host_stays),
        T(who_has_no_route_hears_so_and_may_go_on),
        T(nobody_comes_to_a_private_tunnel),
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
        T(a_tunnel_that_breaks_breaks_on_both_sides),
        T(nobody_changes_the_protocol_who_was_not_asked),
        T(http2_is_not_asked_for),
        T(routes_that_go_round_in_a_circle_end),
        T(a_request_waits_until_its_way_is_found),
        T(who_leaves_does_not_wait_any_more),
        T(a_web_that_is_drained_says_so_in_its_answers),
        T(who_is_idle_then_has_one_more_request),
        T(an_answer_outlives_its_web),
        T(outbounds_are_found_by_tag_after_a_change),
        T(the_answer_is_the_same_however_bytes_come),
        T(a_head_may_lie_in_many_bufs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
