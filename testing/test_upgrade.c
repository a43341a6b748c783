#include "testing/layers.h"

#include <string.h>
#include <sys/socket.h>

#include "transport/upgrade.h"

static const struct upgrade_conf plain = {.path = "/up"};

#define REQUEST(path, host)                                                                        \
    "GET " path " HTTP/1.1\r\nHost: " host "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
#define AGREED                                                                                     \
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"

static struct addr address(const char *host, uint16_t port)
{
    struct addr a = {0};
    struct err e;
    assert_int_equal(addr_parse_host(&a, host, strlen(host), &e), 0);
    a.port = port;
    return a;
}

static void serve(struct layers *l, const struct upgrade_conf *c)
{
    layers_open(l);
    layers_put(&l->a, upgrade_server_new(c));
    layers_go(&l->a);
}

static void bytes_pass_unchanged_behind_the_heads(void **state)
{
    (void)state;
    static uint8_t bytes[1000 * 1000];
    struct addr to = address("192.0.2.1", 80);
    struct layers l;
    rig_pattern(bytes, sizeof bytes, 0);
    layers_open_both(&l);
    layers_put(&l.a, upgrade_client_new(&plain, &to, false));
    layers_put(&l.b, upgrade_server_new(&plain));
    layers_go(&l.a);
    layers_go(&l.b);
    side_write(&l.a, bytes, sizeof bytes);
    side_write(&l.b, bytes, sizeof bytes);
    side_end(&l.a);
    side_expect(&l, &l.b, bytes, sizeof bytes);
    side_expect_end(&l, &l.b);
    side_expect(&l, &l.a, bytes, sizeof bytes);
    layers_close(&l);
}

static void what_comes_with_a_head_is_not_lost_however_it_is_split(void **state)
{
    (void)state;
    static const char request[] = REQUEST("/up", "a") "hello";
    for (size_t cut = 1; cut < sizeof request - 1; cut++) {
        struct layers l;
        serve(&l, &plain);
        l.a.piece = 2;
        rig_send(&l.rig, l.peer, request, cut);
        rig_turn(&l.rig);
        rig_say(&l.rig, l.peer, request + cut);
        rig_hear(&l.rig, l.peer, AGREED);
        side_expect(&l, &l.a, "hello", 5);
        layers_close(&l);
    }
}

static void what_comes_with_the_answer_is_not_lost(void **state)
{
    (void)state;
    struct addr to = address("192.0.2.1", 80);
    char head[1024];
    struct layers l;
    layers_open(&l);
    layers_put(&l.a, upgrade_client_new(&plain, &to, false));
    layers_go(&l.a);
    layers_hear_head(&l, head, sizeof head);
    assert_string_equal(head, REQUEST("/up", "192.0.2.1"));
    rig_say(&l.rig, l.peer, AGREED "hello");
    side_expect(&l, &l.a, "hello", 5);
    layers_close(&l);
}

static void assert_host(const char *host, uint16_t port, bool tls, const char *line)
{
    struct addr to = address(host, port);
    char head[1024];
    struct layers l;
    layers_open(&l);
    layers_put(&l.a, upgrade_client_new(&plain, &to, tls));
    layers_go(&l.a);
    layers_hear_head(&l, head, sizeof head);
    assert_non_null(strstr(head, line));
    layers_close(&l);
}

static void the_host_names_a_port_that_is_not_the_usual(void **state)
{
    (void)state;
    assert_host("example.com", 80, false, "\r\nHost: example.com\r\n");
    assert_host("example.com", 80, true, "\r\nHost: example.com:80\r\n");
    assert_host("example.com", 443, true, "\r\nHost: example.com\r\n");
    assert_host("::1", 443, true, "\r\nHost: [::1]\r\n");
    assert_host("::1", 444, true, "\r\nHost: [::1]:444\r\n");
}

static void assert_not_found(const struct upgrade_conf *c, const char *request)
{
    struct layers l;
    char head[1024];
    serve(&l, c);
    rig_say(&l.rig, l.peer, request);
    layers_hear_head(&l, head, sizeof head);
    assert_memory_equal(head, "HTTP/1.1 404 Not Found\r\n", 24);
    shutdown(l.peer, SHUT_WR);
    side_expect_failure(&l, &l.a, "httpupgrade: a request that is not for us");
    layers_close(&l);
}

static void what_is_not_for_us_has_no_page_here(void **state)
{
    (void)state;
    const struct upgrade_conf hosted = {.path = "/up", .host = "example.com"};
    assert_not_found(&plain, REQUEST("/", "a"));
    assert_not_found(&plain, REQUEST("/up/", "a"));
    assert_not_found(&plain, "GET /up HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_not_found(&plain, "GET /up HTTP/1.1\nHost: a\r\n\r\n");
    assert_not_found(&plain, REQUEST("/up", "a\r\nHost: b"));
    assert_not_found(&plain, REQUEST("/up", "a\r\nTransfer-Encoding: chunked"));
    assert_not_found(&plain, REQUEST("/up", "a\r\nContent-Length: 5"));
    assert_not_found(&hosted, REQUEST("/up", "example.com.evil"));
    assert_not_found(&hosted, REQUEST("/up", "example.com:80x"));
}

static void an_answer_that_is_no_upgrade_is_an_error(void **state)
{
    (void)state;
    struct addr to = address("192.0.2.1", 80);
    char head[1024];
    struct layers l;
    layers_open(&l);
    layers_put(&l.a, upgrade_client_new(&plain, &to, false));
    layers_go(&l.a);
    layers_hear_head(&l, head, sizeof head);
    rig_say(&l.rig, l.peer, "HTTP/1.1 502 Bad Gateway\r\n\r\n");
    side_expect_failure(
        &l, &l.a,
        "httpupgrade: the server answers 502, want 101: what is behind it does not answer");
    layers_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_pass_unchanged_behind_the_heads),
        cmocka_unit_test(what_comes_with_a_head_is_not_lost_however_it_is_split),
        cmocka_unit_test(what_comes_with_the_answer_is_not_lost),
        cmocka_unit_test(the_host_names_a_port_that_is_not_the_usual),
        cmocka_unit_test(what_is_not_for_us_has_no_page_here),
        cmocka_unit_test(an_answer_that_is_no_upgrade_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
