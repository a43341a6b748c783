#include "testing/layers.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/ws.h"
#include "transport/ws_frame.h"
#include "transport/ws_shake.h"

static const struct ws_conf plain = {.to = {.path = "/ray"}};

#define REQUEST(path, more)                                                                        \
    "GET " path " HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n"                         \
    "Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n" more                        \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

#define AGREED                                                                                     \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"            \
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"

/* A server, a, whose peer the test is. */
static void serve(struct layers *l, const struct ws_conf *c)
{
    layers_open(l);
    layers_put(&l->a, ws_server_new(c));
    layers_go(&l->a);
}

static void shake(struct layers *l, const struct ws_conf *c)
{
    serve(l, c);
    rig_say(&l->rig, l->peer, REQUEST("/ray", ""));
    rig_hear(&l->rig, l->peer, AGREED "\r\n");
}

static void send_frame(struct layers *l, uint8_t first, const void *bytes, size_t len)
{
    static const uint8_t mask[4] = {1, 2, 3, 4};
    uint8_t frame[WS_HEAD_MAX + 4096];
    assert_true(len <= 4096);
    size_t head = ws_head_write(frame, WS_BINARY, len, mask);
    frame[0] = first;
    ws_mask(frame + head, bytes, len, mask, 0);
    rig_send(&l->rig, l->peer, frame, head + len);
}

static void say_frame(struct layers *l, uint8_t first, const char *text)
{
    send_frame(l, first, text, strlen(text));
}

static struct addr somewhere(void)
{
    struct addr a = {0};
    struct err e;
    assert_int_equal(addr_parse_host(&a, "example.com", 11, &e), 0);
    a.port = 8080;
    return a;
}

/* Two streams, one a client, over which bytes pass. */
static void talk(struct layers *l, const struct ws_conf *client, const struct ws_conf *server,
                 const struct addr *to)
{
    layers_open_both(l);
    layers_put(&l->a, ws_client_new(client, to, false));
    layers_put(&l->b, ws_server_new(server));
    layers_go(&l->a);
    layers_go(&l->b);
}

/* --- handshake --- */

static void the_key_is_answered_as_the_rfc_says(void **state)
{
    (void)state;
    char accept[WS_ACCEPT_TEXT];
    ws_accept_of("dGhlIHNhbXBsZSBub25jZQ==", accept);
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

static void a_server_answers_however_the_request_is_split(void **state)
{
    (void)state;
    static const char request[] = REQUEST("/ray?x=1", "");
    for (size_t cut = 1; cut < sizeof request - 1; cut += 3) {
        struct layers l;
        serve(&l, &plain);
        rig_send(&l.rig, l.peer, request, cut);
        rig_turn(&l.rig);
        rig_say(&l.rig, l.peer, request + cut);
        rig_hear(&l.rig, l.peer, AGREED "\r\n");
        layers_close(&l);
    }
}

static void assert_not_found(const struct ws_conf *c, const char *request)
{
    struct layers l;
    char head[1024], drop[1024];
    serve(&l, c);
    rig_say(&l.rig, l.peer, request);
    layers_hear_head(&l, head, sizeof head);
    assert_memory_equal(head, "HTTP/1.1 404 Not Found\r\n", 24);
    while (recv(l.peer, drop, sizeof drop, 0) > 0)
        ;
    rig_say(&l.rig, l.peer, "more"); /* not answered with a reset, as the page would be lost */
    rig_turn(&l.rig);
    assert_int_equal(recv(l.peer, drop, sizeof drop, 0), 0);
    shutdown(l.peer, SHUT_WR);
    side_expect_failure(&l, &l.a, "ws: a request that is not for us");
    layers_close(&l);
}

static void what_is_not_for_us_has_no_page_here(void **state)
{
    (void)state;
    struct ws_conf hosted = plain;
    hosted.to.host = "example.org";
    assert_not_found(&plain, REQUEST("/", ""));
    assert_not_found(&plain, REQUEST("/rayy", ""));
    assert_not_found(&plain, REQUEST("/RAY", ""));
    assert_not_found(&hosted, REQUEST("/ray", ""));
    assert_not_found(&plain, "GET /ray HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_not_found(&plain, REQUEST("/ray", "Host: example.com\r\n"));
    assert_not_found(&plain, REQUEST("/ray", "Content-Length: 5\r\n"));
    assert_not_found(&plain, REQUEST("/ray", "Content-Length: 0\r\nContent-Length: 5\r\n"));
    assert_not_found(&plain, REQUEST("/ray", "Transfer-Encoding: chunked\r\n"));
    assert_not_found(&plain, REQUEST("/ray", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"));
    assert_not_found(&plain, "nonsense\r\n\r\n");
    assert_not_found(&plain, "GET /ray HTTP/1.1\r\nHost : a\r\n\r\n");
    assert_not_found(&plain, "POST /ray HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             "Sec-WebSocket-Version: 13\r\n"
                             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    assert_not_found(&plain, "GET /ray HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n");
    assert_not_found(&plain, "GET /ray HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             "Sec-WebSocket-Version: 8\r\n"
                             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
}

static void a_head_without_end_is_refused(void **state)
{
    (void)state;
    static char head[9000] = "GET /ray HTTP/1.1\r\nX: ";
    struct layers l;
    memset(head + 22, 'x', sizeof head - 22);
    serve(&l, &plain);
    rig_send(&l.rig, l.peer, head, sizeof head);
    side_expect_failure(&l, &l.a, "ws: a head of more than 8192 bytes");
    layers_close(&l);
}

static void a_server_may_want_its_host_whatever_the_port(void **state)
{
    (void)state;
    struct ws_conf hosted = plain;
    struct layers l;
    hosted.to.host = "Example.com";
    shake(&l, &hosted);
    layers_close(&l);
}

static void a_client_asks_for_path_host_and_what_it_was_told(void **state)
{
    (void)state;
    const struct upgrade_field fields[] = {{"X-One", "1"}, {"X-Two", "2"}};
    struct ws_conf c = {.to = {.path = "/a?b=c", .fields = fields, .field_count = 2}};
    struct addr to = somewhere();
    char head[1024];
    for (int hosted = 0; hosted < 2; hosted++) {
        struct layers l;
        c.to.host = hosted ? "example.org" : NULL;
        layers_open(&l);
        layers_put(&l.a, ws_client_new(&c, &to, false));
        layers_go(&l.a);
        layers_hear_head(&l, head, sizeof head);
        assert_non_null(strstr(head, "GET /a?b=c HTTP/1.1\r\n"));
        assert_non_null(
            strstr(head, hosted ? "Host: example.org\r\n" : "Host: example.com:8080\r\n"));
        assert_non_null(strstr(head, "X-One: 1\r\nX-Two: 2\r\n"));
        layers_close(&l);
    }
}

static void assert_answer_fails(const char *answer, const char *why)
{
    struct layers l;
    struct addr to = somewhere();
    char head[1024];
    layers_open(&l);
    layers_put(&l.a, ws_client_new(&plain, &to, false));
    layers_go(&l.a);
    layers_hear_head(&l, head, sizeof head);
    rig_say(&l.rig, l.peer, answer);
    shutdown(l.peer, SHUT_WR);
    side_expect_failure(&l, &l.a, why);
    layers_close(&l);
}

static void a_client_believes_only_a_true_answer(void **state)
{
    (void)state;
    assert_answer_fails("HTTP/1.1 404 Not Found\r\n\r\n",
                        "ws: the server answers 404, want 101: are path and host right?");
    assert_answer_fails("HTTP/1.1 101 x\r\n\r\n", "ws: the server's answer is not an upgrade");
    assert_answer_fails(
        AGREED "\r\n",
        "ws: the server's Sec-WebSocket-Accept does not answer our key: is it httpupgrade?");
    assert_answer_fails("SSH-2.0-x\r\n\r\n", "ws: the first line is not HTTP/1");
    assert_answer_fails("HTTP/1.1 101", "ws: the connection ended in the handshake");
}

/* --- bytes --- */

static void bytes_pass_both_ways_and_ends_are_announced(void **state)
{
    (void)state;
    static uint8_t bytes[3 * 1000 * 1000];
    struct addr to = somewhere();
    struct layers l;
    rig_pattern(bytes, sizeof bytes, 0);
    talk(&l, &plain, &plain, &to);
    side_write(&l.a, bytes, sizeof bytes);
    side_write(&l.b, bytes + 7, sizeof bytes - 7);
    side_end(&l.a);
    side_expect(&l, &l.b, bytes, sizeof bytes);
    side_expect_end(&l, &l.b); /* and its own way is still open */
    side_expect(&l, &l.a, bytes + 7, sizeof bytes - 7);
    side_end(&l.b);
    side_expect_end(&l, &l.a);
    layers_close(&l);
}

static void bytes_pass_however_little_is_read_at_once(void **state)
{
    (void)state;
    static uint8_t bytes[200 * 1000];
    struct addr to = somewhere();
    rig_pattern(bytes, sizeof bytes, 0);
    for (size_t piece = 1; piece < 4000; piece = piece * 3 + 1) {
        struct layers l;
        size_t len = piece < 40 ? 4000 : sizeof bytes;
        talk(&l, &plain, &plain, &to);
        l.a.piece = l.b.piece = piece;
        side_write(&l.a, bytes, len);
        side_write(&l.b, bytes, len);
        side_expect(&l, &l.a, bytes, len);
        side_expect(&l, &l.b, bytes, len);
        layers_close(&l);
    }
}

static void parts_of_a_message_are_bytes_like_others(void **state)
{
    (void)state;
    struct layers l;
    shake(&l, &plain);
    say_frame(&l, WS_BINARY, "one ");
    say_frame(&l, 0x80 | WS_PING, "x");
    say_frame(&l, WS_CONTINUATION, "");
    say_frame(&l, 0x80 | WS_CONTINUATION, "two ");
    say_frame(&l, 0x80 | WS_TEXT, "three");
    side_expect(&l, &l.a, "one two three", 13);
    layers_close(&l);
}

static void a_cut_is_an_error(void **state)
{
    (void)state;
    struct layers l;
    shake(&l, &plain);
    say_frame(&l, 0x80 | WS_BINARY, "abc");
    shutdown(l.peer, SHUT_WR);
    side_expect_failure(&l, &l.a, "ws: the connection ended without Close");
    assert_memory_equal(l.a.got, "abc", 3);
    layers_close(&l);
}

static void a_close_is_answered_when_all_is_said(void **state)
{
    (void)state;
    struct layers l;
    shake(&l, &plain);
    say_frame(&l, 0x80 | WS_CLOSE, "\x03\xe8");
    side_expect_end(&l, &l.a);
    side_write(&l.a, "rest", 4);
    rig_expect(&l.rig, l.peer, "\x82\x04rest", 6);
    side_end(&l.a);
    rig_expect(&l.rig, l.peer, "\x88\x02\x03\xe8", 4);
    layers_close(&l);
}

static void a_close_that_came_with_bytes_is_heard_behind_them(void **state)
{
    (void)state;
    struct layers l;
    shake(&l, &plain);
    rig_send(&l.rig, l.peer, "\x82\x83\0\0\0\0abc\x88\x80\0\0\0\0", 15);
    side_expect(&l, &l.a, "abc", 3);
    side_expect_end(&l, &l.a);
    layers_close(&l);
}

static void a_close_that_tells_an_error_is_one(void **state)
{
    (void)state;
    struct layers l;
    shake(&l, &plain);
    say_frame(&l, 0x80 | WS_CLOSE, "\x03\xea");
    side_expect_failure(&l, &l.a, "ws: the peer closed it with code 1002");
    layers_close(&l);
}

static void pings_are_answered(void **state)
{
    (void)state;
    struct layers l;
    shake(&l, &plain);
    say_frame(&l, 0x80 | WS_PING, "hello");
    rig_expect(&l.rig, l.peer, "\x8a\x05hello", 7);
    say_frame(&l, 0x80 | WS_PONG, "unasked");
    say_frame(&l, 0x80 | WS_PING, "");
    rig_expect(&l.rig, l.peer, "\x8a\x00", 2);
    layers_close(&l);
}

static void a_ping_is_answered_between_frames(void **state)
{
    (void)state;
    static uint8_t bytes[3 * 1000 * 1000];
    struct layers l;
    struct ws_reader r = {0};
    size_t payload = 0;
    uint8_t mem[4096];
    rig_pattern(bytes, sizeof bytes, 0);
    shake(&l, &plain);
    side_write(&l.a, bytes, sizeof bytes); /* more than the socket takes */
    say_frame(&l, 0x80 | WS_PING, "hello");
    rig_turn(&l.rig);
    while (payload < sizeof bytes) {
        struct err e;
        ssize_t n;
        RIG_UNTIL(&l.rig, (n = recv(l.peer, mem, sizeof mem, 0)) > 0);
        n = ws_read(&r, mem, (size_t)n, &e);
        assert_true(n >= 0);
        rig_check_pattern(mem, (size_t)n, payload);
        payload += (size_t)n;
    }
    assert_int_equal(payload, sizeof bytes);
    layers_close(&l);
}

static void a_flood_of_pings_ends_the_stream(void **state)
{
    (void)state;
    struct layers l;
    shake(&l, &plain);
    for (int i = 0; i < 11; i++)
        say_frame(&l, 0x80 | WS_PONG, "");
    side_expect_failure(&l, &l.a, "ws: more than 10 control frames in a second");
    rig_expect(&l.rig, l.peer, "\x88\x02\x03\xea", 4);
    layers_close(&l);
}

static void assert_forbidden(const void *frame, size_t len, const char *why)
{
    struct layers l;
    shake(&l, &plain);
    rig_send(&l.rig, l.peer, frame, len);
    side_expect_failure(&l, &l.a, why);
    rig_expect(&l.rig, l.peer, "\x88\x02\x03\xea", 4);
    layers_close(&l);
}

#define FORBIDDEN(frame, why) assert_forbidden((frame), sizeof(frame) - 1, (why))

static void what_the_rfc_forbids_is_answered_with_close_1002(void **state)
{
    (void)state;
    FORBIDDEN("\x82\x01x", "ws: a frame that is not masked");
    FORBIDDEN("\xc2\x80\0\0\0\0", "ws: reserved bits in a frame");
    FORBIDDEN("\x83\x80\0\0\0\0", "ws: a frame of unknown kind 3");
    FORBIDDEN("\x8b\x80\0\0\0\0", "ws: a frame of unknown kind 11");
    FORBIDDEN("\x09\x80\0\0\0\0", "ws: a control frame that is too long, or a fragment");
    FORBIDDEN("\x89\xfe\0\x7e\0\0\0\0", "ws: a control frame that is too long, or a fragment");
    FORBIDDEN("\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0", "ws: a frame of 2^63 bytes or more");
    FORBIDDEN("\x80\x80\0\0\0\0", "ws: a message inside another, or a part of none");
    FORBIDDEN("\x02\x80\0\0\0\0\x82\x80\0\0\0\0",
              "ws: a message inside another, or a part of none");
}

static void a_server_may_not_mask(void **state)
{
    (void)state;
    struct ws_reader r = {0};
    struct err e;
    uint8_t frame[] = "\x82\x81\0\0\0\0x";
    assert_int_equal(ws_read(&r, frame, 7, &e), -1);
    assert_string_equal(e.text, "a masked frame from a server");
}

static void silence_is_broken_by_pings(void **state)
{
    (void)state;
    struct ws_conf beating = plain;
    struct layers l;
    beating.heartbeat = 0.02;
    shake(&l, &beating);
    rig_expect(&l.rig, l.peer, "\x89\x00\x89\x00", 4);
    layers_close(&l);
}

/* --- early data --- */

static void early(const struct ws_conf *client, const struct ws_conf *server, size_t len,
                  size_t with_request)
{
    static uint8_t bytes[100 * 1000];
    struct addr to = somewhere();
    struct layers l;
    char head[8192];
    rig_pattern(bytes, sizeof bytes, 0);
    layers_open(&l); /* what is on the wire */
    layers_put(&l.a, ws_client_new(client, &to, false));
    side_write(&l.a, bytes, len);
    layers_hear_head(&l, head, sizeof head);
    assert_in_range(strlen(head), with_request * 4 / 3, with_request * 4 / 3 + 300);
    rig_turn(&l.rig);
    assert_false(rig_readable(l.peer)); /* nothing more before the answer */
    layers_close(&l);

    talk(&l, client, server, &to);
    side_write(&l.a, bytes, len);
    side_write(&l.b, bytes, len);
    side_expect(&l, &l.b, bytes, len);
    side_expect(&l, &l.a, bytes, len);
    layers_close(&l);
}

/* Else it would never hear a server that speaks first, nor the end. */
static void who_has_nothing_to_say_asks_without_early_data(void **state)
{
    (void)state;
    struct ws_conf c = plain;
    struct addr to = somewhere();
    struct layers l;
    char head[8192];
    c.early_max = 2048;
    layers_open(&l);
    layers_put(&l.a, ws_client_new(&c, &to, false));
    l.a.stream.connecting = true;
    layers_go(&l.a);
    layers_hear_head(&l, head, sizeof head);
    assert_null(strstr(head, "Sec-WebSocket-Protocol"));
    assert_int_equal(stream_connected(&l.a.stream), EINPROGRESS);
    unsigned called = l.a.called;
    for (int i = 0; i < 10; i++)
        rig_turn(&l.rig);
    assert_int_equal(l.a.called, called);
    shutdown(l.peer, SHUT_WR);
    side_expect_failure(&l, &l.a, "ws: the connection ended in the handshake");
    assert_int_equal(stream_connected(&l.a.stream), ECONNRESET);
    layers_close(&l);

    talk(&l, &c, &plain, &to);
    side_write(&l.b, "banner", 6);
    side_expect(&l, &l.a, "banner", 6);
    side_write(&l.a, "answer", 6);
    side_expect(&l, &l.b, "answer", 6);
    assert_int_equal(stream_connected(&l.a.stream), 0);
    layers_close(&l);
}

static void the_first_bytes_may_go_with_the_request(void **state)
{
    (void)state;
    struct ws_conf path = plain, field = plain, xray = plain;
    path.early_max = 2048;
    field.early_max = 100, field.early_field = "X-Early";
    xray.early_max = 2560, xray.early_field = "Sec-WebSocket-Protocol";
    early(&path, &path, 10, 10);
    early(&path, &path, 100 * 1000, 2048);
    early(&field, &field, 1000, 100);
    early(&xray, &xray, 100 * 1000, 2048);
    early(&xray, &plain, 1000, 1000); /* a server needs no setting for Xray's */
}

static void a_path_with_more_behind_it_is_another_without_early_data(void **state)
{
    (void)state;
    struct ws_conf field = plain, path = plain;
    field.early_max = 100, field.early_field = "X-Early";
    path.early_max = 100;
    assert_not_found(&plain, REQUEST("/rayAAAA", ""));
    assert_not_found(&field, REQUEST("/rayAAAA", ""));
    assert_not_found(&path, REQUEST("/ray*", ""));
}

static void a_subprotocol_that_is_no_early_data_is_not_answered(void **state)
{
    (void)state;
    struct layers l;
    serve(&l, &plain);
    rig_say(&l.rig, l.peer, REQUEST("/ray", "Sec-WebSocket-Protocol: a, b\r\n"));
    rig_hear(&l.rig, l.peer, AGREED "\r\n");
    layers_close(&l);
    serve(&l, &plain);
    rig_say(&l.rig, l.peer, REQUEST("/ray", "Sec-WebSocket-Protocol: YWJj\r\n"));
    rig_hear(&l.rig, l.peer, AGREED "Sec-WebSocket-Protocol: YWJj\r\n\r\n");
    side_expect(&l, &l.a, "abc", 3);
    layers_close(&l);
}

/* --- who is behind --- */

static void told(struct layers *l, const struct ws_conf *c, const char *source)
{
    struct addr a = {0};
    char text[ADDR_TEXT_MAX];
    serve(l, c);
    rig_say(&l->rig, l->peer, REQUEST("/ray", "X-Forwarded-For: 192.0.2.1, 198.51.100.7\r\n"));
    rig_hear(&l->rig, l->peer, AGREED "\r\n");
    bool known = stream_source(&l->a.stream, &a);
    assert_string_equal(known ? addr_host_text(&a, text) : "", source);
    layers_close(l);
}

static void a_trusted_proxy_tells_the_visitor(void **state)
{
    (void)state;
    struct net_prefix nets[2];
    struct ws_conf c = plain;
    struct layers l;
    struct err e;
    assert_int_equal(net_prefix_parse(&nets[0], "127.0.0.0/8", &e), 0);
    assert_int_equal(net_prefix_parse(&nets[1], "198.51.100.0/24", &e), 0);
    told(&l, &c, "");
    c.to.trusted = (struct trusted){nets, 1};
    told(&l, &c, "198.51.100.7");
    c.to.trusted = (struct trusted){nets, 2};
    told(&l, &c, "192.0.2.1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_key_is_answered_as_the_rfc_says),
        cmocka_unit_test(a_server_answers_however_the_request_is_split),
        cmocka_unit_test(what_is_not_for_us_has_no_page_here),
        cmocka_unit_test(a_head_without_end_is_refused),
        cmocka_unit_test(a_server_may_want_its_host_whatever_the_port),
        cmocka_unit_test(a_client_asks_for_path_host_and_what_it_was_told),
        cmocka_unit_test(a_client_believes_only_a_true_answer),
        cmocka_unit_test(bytes_pass_both_ways_and_ends_are_announced),
        cmocka_unit_test(bytes_pass_however_little_is_read_at_once),
        cmocka_unit_test(parts_of_a_message_are_bytes_like_others),
        cmocka_unit_test(a_cut_is_an_error),
        cmocka_unit_test(a_close_is_answered_when_all_is_said),
        cmocka_unit_test(a_close_that_came_with_bytes_is_heard_behind_them),
        cmocka_unit_test(a_close_that_tells_an_error_is_one),
        cmocka_unit_test(pings_are_answered),
        cmocka_unit_test(a_ping_is_answered_between_frames),
        cmocka_unit_test(a_flood_of_pings_ends_the_stream),
        cmocka_unit_test(what_the_rfc_forbids_is_answered_with_close_1002),
        cmocka_unit_test(a_server_may_not_mask),
        cmocka_unit_test(silence_is_broken_by_pings),
        cmocka_unit_test(the_first_bytes_may_go_with_the_request),
        cmocka_unit_test(who_has_nothing_to_say_asks_without_early_data),
        cmocka_unit_test(a_path_with_more_behind_it_is_another_without_early_data),
        cmocka_unit_test(a_subprotocol_that_is_no_early_data_is_not_answered),
        cmocka_unit_test(a_trusted_proxy_tells_the_visitor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
