#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/api.h"

/* --- a client: the flow's other end, on a real loop --- */

struct client {
    struct end end;
    bool reading, left;
    bool failed;        /* how the flow ended for it */
    char text[4 << 20]; /* what it was sent */
    size_t len;
};

struct rig {
    struct loop loop;
    struct stats stats;
    struct counter *counters[1];
    struct api_watch watch;
    struct api_view view;
    struct outbound *api;
    struct policy policy;
    struct client client;
    struct api_conf conf;
    struct errand_taker taker;
    struct errand *taken; /* the last one */
    bool refuses;
};

enum { SLOTS = 20000 };

#define TOKEN "0123456789abcdef0123456789abcdef"

static bool rig_take(struct errand_taker *t, struct errand *e)
{
    struct rig *r = container_of(t, struct rig, taker);
    if (!r->refuses)
        r->taken = e;
    return !r->refuses;
}

static void client_leave(struct client *c)
{
    c->left = true;
    c->failed = end_failed(&c->end);
    end_leave(&c->end, NULL);
}

static void client_wake(struct end *e)
{
    struct client *c = container_of(e, struct client, end);
    struct buf *b;
    while (c->reading && (b = end_take(e)) != NULL) {
        assert_true(c->len + b->len < sizeof c->text);
        memcpy(c->text + c->len, b->data, b->len);
        c->len += b->len;
        buf_free(&end_loop(e)->bufs, b);
    }
    c->text[c->len] = '\0';
    if (end_failed(e) || (end_at_eof(e) && end_peer_left(e)))
        client_leave(c);
}

static const struct end_ops client_ops = {.wake = client_wake};

static int rig_open(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    struct err e;
    if (!r || stats_init(&r->stats, NULL) < 0 || loop_init(&r->loop, 0, SLOTS, &e) < 0)
        return -1;
    r->counters[0] = r->loop.counters;
    r->conf = (struct api_conf){.token = TOKEN};
    r->taker.take = rig_take;
    r->view = (struct api_view){.stats = &r->stats,
                                .counters = r->counters,
                                .loops = 1,
                                .conf = &r->conf,
                                .taker = &r->taker};
    r->policy = POLICY_DEFAULT;
    r->api = api_new(&r->loop, "api", &r->view);
    *state = r;
    return r->api ? 0 : -1;
}

/* Loops until nothing is queued: with `busy` running, each pass returns at once. */
static void rig_turn(struct rig *r)
{
    for (int i = 0; i < 1000 && (i < 2 || loop_is_busy(&r->loop)); i++)
        ev_run(r->loop.ev, EVRUN_NOWAIT);
    assert_false(loop_is_busy(&r->loop));
}

static void rig_flow(struct rig *r, enum net net)
{
    const struct meta m = {.net = net, .inbound_tag = "home"};
    memset(&r->client, 0, sizeof r->client);
    r->client.reading = true;
    ev_now_update(r->loop.ev); /* what the test did before may have taken longer than a flow may */
    struct flow *f = flow_new(&r->loop, &r->client.end, &client_ops, &m, &r->policy);
    assert_non_null(f);
    r->api->ops->open(r->api, f);
    rig_turn(r);
}

static int64_t rig_flows(const struct rig *r)
{
    return stat_sum(r->counters, 1, STAT_flows_live);
}

/* Every flow must be gone: that is checked after each test. */
static int rig_close(void **state)
{
    struct rig *r = *state;
    if (r->client.end.flow && !r->client.left)
        client_leave(&r->client);
    rig_turn(r);
    bool gone = rig_flows(r) == 0;
    if (r->api)
        r->api->ops->free(r->api);
    stats_fini(&r->stats);
    loop_fini(&r->loop);
    free(r);
    return gone ? 0 : -1;
}

static void rig_put(struct rig *r, const void *bytes, size_t len)
{
    assert_true(end_write(&r->client.end, bytes, len));
    rig_turn(r);
}

static void rig_say(struct rig *r, const char *text)
{
    rig_put(r, text, strlen(text));
}

static void rig_eof(struct rig *r)
{
    end_eof(&r->client.end);
    rig_turn(r);
}

/* Cuts one whole answer off the front: its status, head and body. */
struct answer {
    int status;
    size_t length, len;
    char head[2048], *body;
};

static struct answer answer_at(const char *text, bool with_body)
{
    struct answer a = {0};
    const char *end = strstr(text, "\r\n\r\n"), *length = strstr(text, "\r\nContent-Length: ");
    assert_non_null(end);
    assert_non_null(length);
    assert_true((size_t)(end - text) < sizeof a.head - 2);
    memcpy(a.head, text, (size_t)(end - text) + 2);
    assert_int_equal(sscanf(text, "HTTP/1.1 %d ", &a.status), 1);
    a.length = strtoul(length + 18, NULL, 10);
    a.body = (char *)end + 4;
    a.len = (size_t)(a.body - text) + (with_body ? a.length : 0);
    return a;
}

static struct answer rig_answer(struct rig *r)
{
    struct answer a = answer_at(r->client.text, true);
    assert_int_equal(a.len, r->client.len);
    return a;
}

static struct answer rig_ask(struct rig *r, const char *request)
{
    rig_flow(r, NET_TCP);
    rig_say(r, request);
    return rig_answer(r);
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("no \"%s\" in:\n%s", part, text);
}

#define HOST "Host: a\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"

/* --- answers --- */

static void api_answers_each_path(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *request, *type, *part;
        int status;
    } cases[] = {
        {GET("/"), "text/html; charset=utf-8", "<title>v2c</title>", 200},
        {GET("/?x=1"), "text/html; charset=utf-8", "</html>", 200},
        {GET("http://a"), "text/plain; charset=utf-8", "404 Not Found\n", 404},
        {GET("http://a/"), "text/html; charset=utf-8", "</html>", 200},
        {GET("/stats"), "text/plain; charset=utf-8", "flows_live: 1\n", 200},
        {GET("/metrics"), "text/plain; version=0.0.4; charset=utf-8", "v2c_flows_live 1\n", 200},
        {GET("/ready"), "text/plain; charset=utf-8", "ready\n", 200},
        {GET("http://a/live?"), "text/plain; charset=utf-8", "live\n", 200},
        {GET("/live/"), "text/plain; charset=utf-8", "404 Not Found\n", 404},
        {GET("*"), "text/plain; charset=utf-8", "404 Not Found\n", 404},
    };
    r->view.taker = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char type[100];
        struct answer a = rig_ask(r, cases[i].request);
        assert_int_equal(a.status, cases[i].status);
        snprintf(type, sizeof type, "\r\nContent-Type: %s\r\n", cases[i].type);
        assert_has(a.head, type);
        assert_has(a.body, cases[i].part);
        assert_false(r->client.left);
        client_leave(&r->client);
        rig_turn(r);
    }
}

static void api_protects_its_pages(void **state)
{
    struct rig *r = *state;
    struct answer a = rig_ask(r, GET("/"));
    assert_has(a.head,
               "\r\nContent-Security-Policy: default-src 'none'; style-src 'unsafe-inline'");
    assert_has(a.head, "\r\nX-Content-Type-Options: nosniff\r\n");
    assert_has(a.head, "\r\nCache-Control: no-store\r\n");
    assert_has(a.head, "\r\nDate: ");
}

static void api_ready_is_503_without_a_carrier(void **state)
{
    struct rig *r = *state;
    r->watch = (struct api_watch){.kind = "bridge",
                                  .tag = "home",
                                  .carriers_slot = stats_slot(&r->stats, "carriers"),
                                  .visitors_slot = -1};
    r->view.watches = &r->watch;
    r->view.watch_count = 1;
    struct answer a = rig_ask(r, GET("/ready"));
    assert_int_equal(a.status, 503);
    assert_string_equal(a.body, "bridge home has no carrier\n");
    stat_add(r->loop.counters, r->watch.carriers_slot, 1);
    r->client.len = 0;
    rig_say(r, GET("/ready"));
    assert_int_equal(rig_answer(r).status, 200);
    r->client.len = 0;
    rig_say(r, GET("/"));
    assert_has(rig_answer(r).body, "served through the tunnel");
}

static void api_head_has_the_length_but_not_the_body(void **state)
{
    struct rig *r = *state;
    size_t length = rig_ask(r, GET("/live")).length;
    r->client.len = 0;
    rig_say(r, "HEAD /live HTTP/1.1\r\n" HOST "\r\n");
    struct answer a = answer_at(r->client.text, false);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.length, length);
    assert_int_equal(a.len, r->client.len);
    assert_false(r->client.left);
}

static void api_refuses_other_methods_and_stays(void **state)
{
    struct rig *r = *state;
    struct answer a = rig_ask(r, "DELETE / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n");
    assert_int_equal(a.status, 405);
    assert_has(a.head, "\r\nAllow: GET, HEAD\r\n");
    r->client.len = 0;
    rig_say(r, "get / HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(rig_answer(r).status, 405);
    assert_false(r->client.left);
}

/* --- connections --- */

static void api_keeps_or_closes_as_the_client_wants(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *request, *field;
        bool close;
    } cases[] = {
        {GET("/live"), NULL, false},
        {"GET /live HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", "\r\nConnection: close\r\n",
         true},
        {"GET /live HTTP/1.0\r\n\r\n", "\r\nConnection: close\r\n", true},
        {"GET /live HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "\r\nConnection: keep-alive\r\n",
         false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct answer a = rig_ask(r, cases[i].request);
        assert_int_equal(a.status, 200);
        if (cases[i].field)
            assert_has(a.head, cases[i].field);
        else
            assert_null(strstr(a.head, "\r\nConnection:"));
        assert_int_equal(r->client.left, cases[i].close);
        assert_false(r->client.failed);
        if (!r->client.left)
            client_leave(&r->client);
        rig_turn(r);
    }
}

static void api_answers_the_same_however_the_request_is_cut(void **state)
{
    struct rig *r = *state;
    static const char request[] = "GET /live HTTP/1.1\r\n" HOST "\r\n" GET("/ready");
    for (size_t cut = 0; cut < strlen(request); cut++) {
        rig_flow(r, NET_TCP);
        rig_put(r, request, cut);
        rig_put(r, request + cut, strlen(request) - cut);
        struct answer a = answer_at(r->client.text, true);
        assert_memory_equal(a.body, "live\n", 5);
        struct answer b = answer_at(r->client.text + a.len, true);
        assert_string_equal(b.body, "ready\n");
        assert_int_equal(a.len + b.len, r->client.len);
        client_leave(&r->client);
        rig_turn(r);
    }
}

static void api_answers_pipelined_requests_in_order(void **state)
{
    struct rig *r = *state;
    static char requests[64 * 1024];
    size_t len = 0, at = 0;
    for (int i = 0; i < 1000; i++)
        len += (size_t)snprintf(requests + len, sizeof requests - len,
                                "GET /%s HTTP/1.1\r\n" HOST "\r\n", i % 3 ? "live" : "ready");
    rig_flow(r, NET_TCP);
    rig_put(r, requests, len);
    for (int i = 0; i < 1000; i++) {
        struct answer a = answer_at(r->client.text + at, true);
        assert_memory_equal(a.body, i % 3 ? "live\n" : "ready\n", a.length);
        at += a.len;
    }
    assert_int_equal(at, r->client.len);
}

static void api_answers_after_the_client_has_ended_its_side(void **state)
{
    struct rig *r = *state;
    rig_flow(r, NET_TCP);
    assert_true(end_write(&r->client.end, GET("/live"), strlen(GET("/live"))));
    rig_eof(r);
    assert_int_equal(rig_answer(r).status, 200);
    assert_true(r->client.left);
    assert_false(r->client.failed);
}

static void api_leaves_when_the_client_ends_within_a_head(void **state)
{
    struct rig *r = *state;
    rig_flow(r, NET_TCP);
    rig_say(r, "GET / HT");
    rig_eof(r);
    assert_true(r->client.left);
    assert_int_equal(r->client.len, 0);
}

/* --- refusals --- */

static void api_refuses_what_is_not_http_or_too_much_and_closes(void **state)
{
    struct rig *r = *state;
    static char large[40 * 1024];
    memset(large, 'x', sizeof large - 1);
    memcpy(large, "GET / HTTP/1.1\r\nX: ", 19);
    static const struct {
        const char *request;
        int status;
    } cases[] = {
        {"\x16\x03\x01\x02\r\n", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\n\n", 400},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 65537\r\n\r\nhello", 413},
        {"GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", 411},
        {"GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n", 501},
        {large, 431},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct answer a = rig_ask(r, cases[i].request);
        assert_int_equal(a.status, cases[i].status);
        assert_has(a.head, "\r\nConnection: close\r\n");
        /* What the client still sends is dropped, so that no reset overtakes the answer. */
        assert_false(r->client.left);
        rig_say(r, GET("/live"));
        assert_int_equal(rig_answer(r).status, cases[i].status);
        rig_eof(r);
        assert_true(r->client.left);
        assert_false(r->client.failed);
    }
}

static void api_swallows_only_so_much_of_a_refused_body(void **state)
{
    struct rig *r = *state;
    static char body[64 * 1024];
    rig_ask(r, "POST / HTTP/1.1\r\n" HOST "Content-Length: 99999999\r\n\r\n");
    size_t sent = 0;
    for (; !r->client.left && sent < 3 << 20; sent += sizeof body)
        rig_put(r, body, sizeof body);
    assert_in_range(sent, 1 << 20, 2 << 20);
    assert_true(r->client.left);
}

static void api_refuses_datagrams(void **state)
{
    struct rig *r = *state;
    rig_flow(r, NET_UDP);
    assert_true(r->client.left);
    assert_true(r->client.failed);
}

/* --- back-pressure --- */

static void api_waits_for_a_slow_reader_and_loses_nothing(void **state)
{
    struct rig *r = *state;
    char name[300];
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "inbound>>>%0200d>>>traffic>>>uplink", i);
        assert_true(stats_slot(&r->stats, name) > 0);
    }
    r->policy.buffer_size = 16 * 1024;
    r->view.taker = NULL;
    rig_flow(r, NET_TCP);
    r->client.reading = false;
    rig_say(r, GET("/stats") GET("/live"));
    size_t waiting = end_waiting(&r->client.end);
    assert_in_range(waiting, 1, 17 * 1024);
    static char more[64 * 1024]; /* nor does it take what the client sends meanwhile */
    memset(more, 'x', sizeof more);
    rig_put(r, more, sizeof more);
    assert_int_equal(end_waiting(&r->client.end), waiting);
    r->client.reading = true;
    end_wake(&r->client.end);
    rig_turn(r);
    struct answer a = answer_at(r->client.text, true);
    assert_true(a.length > 600 * 1024);
    struct answer b = answer_at(r->client.text + a.len, true);
    assert_memory_equal(b.body, "live\n", 5);
    struct answer c = answer_at(r->client.text + a.len + b.len, true);
    assert_int_equal(c.status, 431);
    assert_int_equal(a.len + b.len + c.len, r->client.len);
}

static void api_ends_with_a_client_that_leaves_midway(void **state)
{
    struct rig *r = *state;
    r->policy.buffer_size = 1;
    rig_flow(r, NET_TCP);
    r->client.reading = false;
    rig_say(r, GET("/"));
    assert_int_equal(rig_flows(r), 1);
    client_leave(&r->client);
    rig_turn(r);
    assert_int_equal(rig_flows(r), 0);
}

static void api_flows_outlive_the_outbound(void **state)
{
    struct rig *r = *state;
    rig_flow(r, NET_TCP);
    r->api->ops->free(r->api);
    r->api = NULL;
    rig_say(r, GET("/live"));
    assert_int_equal(rig_answer(r).status, 200);
}

#define API_TEST(test) cmocka_unit_test_setup_teardown(test, rig_open, rig_close)

/* --- errands --- */

#define CHANGE(path, body)                                                                         \
    "POST " path " HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " TOKEN                    \
    "\r\nContent-Type: application/json\r\nContent-Length: " body

static void rig_answer_errand(struct rig *r, int status, const char *text)
{
    struct errand *e = r->taken;
    r->taken = NULL;
    e->status = status;
    page_text(&e->page, text);
    loop_post(&r->loop, &e->task);
    rig_turn(r);
}

static void api_sends_an_errand_and_answers_when_it_comes_back(void **state)
{
    struct rig *r = *state;
    static const char request[] = CHANGE("/v1/a%20b/c?d=e", "2\r\n\r\n{}") GET("/live");
    for (size_t cut = 0; cut < strlen(request); cut++) {
        rig_flow(r, NET_TCP);
        rig_put(r, request, cut);
        rig_put(r, request + cut, strlen(request) - cut);
        assert_int_equal(r->client.len, 0); /* what is pipelined waits */
        assert_non_null(r->taken);
        assert_int_equal(r->taken->verb, ERRAND_POST);
        assert_int_equal(r->taken->target.piece_count, 3);
        assert_string_equal(r->taken->target.pieces[1], "a b");
        assert_string_equal(api_option(&r->taken->target, "d"), "e");
        assert_int_equal(r->taken->body_len, 2);
        assert_memory_equal(r->taken->body, "{}", 2);
        rig_answer_errand(r, 409, "{\"error\": \"no\"}");
        struct answer a = answer_at(r->client.text, true);
        assert_int_equal(a.status, 409);
        assert_memory_equal(a.body, "{\"error\": \"no\"}", a.length);
        assert_memory_equal(answer_at(r->client.text + a.len, true).body, "live\n", 5);
        client_leave(&r->client);
        rig_turn(r);
    }
}

static void the_stats_are_an_errand_that_comes_back_as_text(void **state)
{
    struct rig *r = *state;
    rig_flow(r, NET_TCP);
    rig_say(r, GET("/stats?x") GET("/live"));
    assert_non_null(r->taken);
    assert_int_equal(r->taken->verb, ERRAND_GET);
    assert_int_equal(r->taken->target.piece_count, 1);
    assert_string_equal(r->taken->target.pieces[0], "stats");
    r->taken->type = api_text_type;
    rig_answer_errand(r, 200, "flows_live: 1\n");
    struct answer a = answer_at(r->client.text, true);
    assert_has(a.head, "\r\nContent-Type: text/plain; charset=utf-8\r\n");
    assert_memory_equal(a.body, "flows_live: 1\n", a.length);
    assert_memory_equal(answer_at(r->client.text + a.len, true).body, "live\n", 5);
    rig_say(r, "POST /stats HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n");
    assert_null(r->taken); /* reading is all that may be done */
}

static void an_errand_whose_asker_has_left_is_freed(void **state)
{
    struct rig *r = *state;
    rig_flow(r, NET_TCP);
    rig_say(r, CHANGE("/v1/x", "2\r\n\r\n{}"));
    assert_non_null(r->taken);
    client_leave(&r->client);
    rig_turn(r);
    assert_int_equal(rig_flows(r), 0);
    rig_answer_errand(r, 200, "{}");
}

static void nobody_who_takes_errands_is_503(void **state)
{
    struct rig *r = *state;
    r->refuses = true;
    assert_int_equal(rig_ask(r, GET("/v1/status")).status, 421);
    client_leave(&r->client);
    rig_turn(r);
    assert_int_equal(rig_ask(r, CHANGE("/v1/x", "2\r\n\r\n{}")).status, 503);
}

static void api_lets_nobody_change_anything_without_the_token(void **state)
{
    struct rig *r = *state;
    static const char *const requests[] = {
        "POST /v1/x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n",
        "DELETE /v1/x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "GET /v1/flows HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        struct answer a = rig_ask(r, requests[i]);
        assert_int_equal(a.status, 401);
        assert_has(a.head, "\r\nWWW-Authenticate: Bearer\r\n");
        assert_has(a.body, "{\"error\": ");
        assert_null(r->taken);
        client_leave(&r->client);
        rig_turn(r);
    }
}

/* --- bounds --- */

static void the_quietest_connection_goes_for_the_seventeenth(void **state)
{
    struct rig *r = *state;
    static struct client others[16];
    const struct meta m = {.net = NET_TCP, .inbound_tag = "home"};
    for (int i = 0; i < 16; i++) {
        others[i].reading = true;
        struct flow *f = flow_new(&r->loop, &others[i].end, &client_ops, &m, &r->policy);
        r->api->ops->open(r->api, f);
    }
    rig_turn(r);
    assert_true(end_write(&others[0].end, GET("/live"), strlen(GET("/live"))));
    rig_turn(r);
    assert_int_equal(rig_ask(r, GET("/live")).status, 200);
    assert_false(others[0].left); /* it has asked; the next one never did */
    assert_true(others[1].left);
    for (int i = 0; i < 16; i++)
        if (!others[i].left)
            client_leave(&others[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        API_TEST(api_answers_each_path),
        API_TEST(api_protects_its_pages),
        API_TEST(api_ready_is_503_without_a_carrier),
        API_TEST(api_head_has_the_length_but_not_the_body),
        API_TEST(api_refuses_other_methods_and_stays),
        API_TEST(api_keeps_or_closes_as_the_client_wants),
        API_TEST(api_answers_the_same_however_the_request_is_cut),
        API_TEST(api_answers_pipelined_requests_in_order),
        API_TEST(api_answers_after_the_client_has_ended_its_side),
        API_TEST(api_leaves_when_the_client_ends_within_a_head),
        API_TEST(api_refuses_what_is_not_http_or_too_much_and_closes),
        API_TEST(api_swallows_only_so_much_of_a_refused_body),
        API_TEST(api_refuses_datagrams),
        API_TEST(api_waits_for_a_slow_reader_and_loses_nothing),
        API_TEST(api_ends_with_a_client_that_leaves_midway),
        API_TEST(api_flows_outlive_the_outbound),
        API_TEST(api_sends_an_errand_and_answers_when_it_comes_back),
        API_TEST(the_stats_are_an_errand_that_comes_back_as_text),
        API_TEST(an_errand_whose_asker_has_left_is_freed),
        API_TEST(nobody_who_takes_errands_is_503),
        API_TEST(api_lets_nobody_change_anything_without_the_token),
        API_TEST(the_quietest_connection_goes_for_the_seventeenth),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
