#include "testing/layers.h"

#include <string.h>
#include <sys/socket.h>

#include "transport/forged.h"

#define ONE(text)                                                                                  \
    {                                                                                              \
        .texts = (const char *const[]){(text)}, .count = 1                                         \
    }

static const struct forged_field fields[] = {{"Host", ONE("example.com")}};
static const struct forged_conf conf = {
    .request = {.method = "GET",
                .target = ONE("/a"),
                .version = "1.1",
                .fields = fields,
                .field_count = 1},
    .response = {.method = "200", .target = ONE("OK"), .version = "1.1"},
};

#define REQUEST "GET /a HTTP/1.1\r\nHost: example.com\r\n\r\n"

static void serve(struct layers *l)
{
    layers_open(l);
    layers_put(&l->a, forged_server_new(&conf));
    layers_go(&l->a);
}

static void a_client_says_its_head_with_its_first_bytes(void **state)
{
    (void)state;
    struct layers l;
    layers_open(&l);
    layers_put(&l.a, forged_client_new(&conf));
    layers_go(&l.a);
    rig_turn(&l.rig);
    assert_false(rig_readable(l.peer));
    side_write(&l.a, "hello", 5);
    rig_hear(&l.rig, l.peer, REQUEST "hello");
    side_write(&l.a, "again", 5);
    rig_hear(&l.rig, l.peer, "again");
    rig_say(&l.rig, l.peer, "HTTP/1.0 500 whatever\r\n\r\nanswer");
    side_expect(&l, &l.a, "answer", 6);
    layers_close(&l);
}

static void a_server_answers_with_a_head_before_its_first_bytes(void **state)
{
    (void)state;
    struct layers l;
    char head[1024];
    serve(&l);
    rig_say(&l.rig, l.peer, "BREW /pot HTTP/9\r\n\r\nhello"); /* whatever ends with a blank line */
    side_expect(&l, &l.a, "hello", 5);
    assert_false(rig_readable(l.peer));
    side_write(&l.a, "answer", 6);
    layers_hear_head(&l, head, sizeof head);
    assert_memory_equal(head, "HTTP/1.1 200 OK\r\nDate: ", 23);
    rig_hear(&l.rig, l.peer, "answer");
    layers_close(&l);
}

static void the_head_may_be_split_anywhere(void **state)
{
    (void)state;
    static const char request[] = REQUEST "hello";
    for (size_t cut = 1; cut < sizeof request - 1; cut++) {
        struct layers l;
        serve(&l);
        rig_send(&l.rig, l.peer, request, cut);
        rig_turn(&l.rig);
        rig_say(&l.rig, l.peer, request + cut);
        side_expect(&l, &l.a, "hello", 5);
        layers_close(&l);
    }
}

static void bytes_pass_both_ways_to_their_ends(void **state)
{
    (void)state;
    static uint8_t bytes[1000 * 1000];
    struct layers l;
    rig_pattern(bytes, sizeof bytes, 0);
    layers_open_both(&l);
    layers_put(&l.a, forged_client_new(&conf));
    layers_put(&l.b, forged_server_new(&conf));
    layers_go(&l.a);
    layers_go(&l.b);
    side_write(&l.a, bytes, sizeof bytes);
    side_write(&l.b, bytes, sizeof bytes);
    side_end(&l.a);
    side_end(&l.b);
    side_expect(&l, &l.a, bytes, sizeof bytes);
    side_expect(&l, &l.b, bytes, sizeof bytes);
    side_expect_end(&l, &l.a);
    side_expect_end(&l, &l.b);
    layers_close(&l);
}

static void who_says_nothing_has_a_head_all_the_same(void **state)
{
    (void)state;
    struct layers l;
    char head[1024];
    serve(&l);
    rig_say(&l.rig, l.peer, REQUEST);
    RIG_UNTIL(&l.rig, l.a.called);
    side_end(&l.a);
    layers_hear_head(&l, head, sizeof head);
    assert_memory_equal(head, "HTTP/1.1 200 OK\r\n", 17);
    layers_close(&l);
}

static void a_reset_before_the_answer_is_no_end(void **state)
{
    (void)state;
    struct layers l;
    layers_open(&l);
    layers_put(&l.a, forged_client_new(&conf));
    side_write(&l.a, "hello", 5);
    rig_hear(&l.rig, l.peer, REQUEST "hello");
    rig_abort(l.peer);
    l.peer = -1;
    side_expect_failure(&l, &l.a, "http header: read: Connection reset by peer");
    layers_close(&l);
}

static void what_has_no_blank_line_gets_an_error_page(void **state)
{
    (void)state;
    static char noise[9000];
    struct layers l;
    char head[1024];
    memset(noise, 'x', sizeof noise);
    serve(&l);
    rig_send(&l.rig, l.peer, noise, sizeof noise);
    layers_hear_head(&l, head, sizeof head);
    assert_memory_equal(head, "HTTP/1.1 404 Not Found\r\n", 24);
    shutdown(l.peer, SHUT_WR);
    side_expect_failure(&l, &l.a, "http header: what came does not begin with a head");
    layers_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_says_its_head_with_its_first_bytes),
        cmocka_unit_test(a_server_answers_with_a_head_before_its_first_bytes),
        cmocka_unit_test(the_head_may_be_split_anywhere),
        cmocka_unit_test(bytes_pass_both_ways_to_their_ends),
        cmocka_unit_test(who_says_nothing_has_a_head_all_the_same),
        cmocka_unit_test(a_reset_before_the_answer_is_no_end),
        cmocka_unit_test(what_has_no_blank_line_gets_an_error_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
