#include "testing/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/request.h"
#include "testing/toy.h"

/* A flow whose second end is a request. */
struct trip {
    struct names names;
    struct outbound out;
    struct rig_end in;
    struct traffic traffic;
    unsigned freed;
};

static struct rig *rig_of(struct trip *t)
{
    return &t->names.rig;
}

static void trip_open(struct trip *t)
{
    memset(t, 0, sizeof *t);
    names_open(&t->names);
    t->out = (struct outbound){.loop = &t->names.rig.loop, .tag = "out"};
    t->traffic = (struct traffic){STAT_FIXED, STAT_FIXED + 1};
}

static void trip_start(struct trip *t, const struct addr *to, struct codec *codec)
{
    const struct request_to how = {
        .addr = to, .family = DIAL_IPV4, .traffic = &t->traffic, .carrier = codec != NULL};
    struct flow *f = rig_flow(rig_of(t), &t->in, NET_TCP);
    assert_true(end_write(&t->in.end, "early", 5));
    request_open(&t->out, f, &how, codec);
}

static void trip_close(struct trip *t)
{
    if (!t->in.left)
        rig_leave(&t->in, NULL);
    rig_turn(rig_of(t));
    loop_drop_stragglers(&rig_of(t)->loop);
    rig_end_free(&t->in);
    names_close(&t->names);
}

static void bytes_put_before_the_connection_are_sent(void **state)
{
    (void)state;
    struct trip t;
    struct addr at;
    trip_open(&t);
    int listening = rig_listen(&at, 8);
    trip_start(&t, &at, NULL);
    int peer = rig_accept(rig_of(&t), listening);
    rig_hear(rig_of(&t), peer, "early");
    rig_say(rig_of(&t), peer, "answer");
    close(peer);
    RIG_UNTIL(rig_of(&t), t.in.eof);
    assert_int_equal(t.in.len, 6);
    assert_int_equal(rig_stat(rig_of(&t), STAT_FIXED), 5);
    assert_int_equal(rig_stat(rig_of(&t), STAT_FIXED + 1), 6);
    close(listening);
    trip_close(&t);
}

static void a_refused_connection_fails_the_flow_and_says_where(void **state)
{
    (void)state;
    struct trip t;
    struct addr at;
    char text[ADDR_TEXT_MAX];
    trip_open(&t);
    close(rig_listen(&at, 1));
    trip_start(&t, &at, toy_new(true, true, &t.freed));
    RIG_UNTIL(rig_of(&t), t.in.left);
    assert_true(t.in.failed);
    assert_non_null(strstr(t.in.why, "Connection refused"));
    assert_non_null(strstr(t.in.why, addr_text(&at, text)));
    assert_int_equal(t.freed, 1);
    trip_close(&t);
}

/* Four addresses, one of which listens, whichever it is. */
static void the_next_address_of_a_name_is_tried(void **state)
{
    (void)state;
    for (uint8_t good = 1; good <= 4; good++) {
        struct trip t;
        struct addr to = rig_addr("four.example", 0), at = rig_addr("127.0.0.1", 0);
        trip_open(&t);
        int held = rig_hold_port(&to.port), peer = -1;
        at.ip[3] = good;
        at.port = to.port;
        int listening = rig_listen_at(&at, 8);
        trip_start(&t, &to, toy_new(true, true, &t.freed));
        RIG_UNTIL(rig_of(&t), (names_answer(&t.names, 4),
                               (peer = accept4(listening, NULL, NULL, SOCK_NONBLOCK)) >= 0));
        uint8_t wire[16];
        rig_hear(rig_of(&t), peer, "T\13toy.example");
        rig_expect(rig_of(&t), peer, wire, toy_piece(wire, "early", 5));
        rig_say(rig_of(&t), peer, "OK");
        rig_send(rig_of(&t), peer, wire, toy_piece(wire, "answer", 6));
        RIG_UNTIL(rig_of(&t), t.in.len == 6);
        assert_false(t.in.left);
        close(peer);
        close(listening);
        close(held);
        trip_close(&t);
        assert_int_equal(t.freed, 1);
    }
}

static void when_no_address_answers_the_flow_fails(void **state)
{
    (void)state;
    struct trip t;
    struct addr to = rig_addr("four.example", 0);
    trip_open(&t);
    int held = rig_hold_port(&to.port); /* and nobody listens */
    trip_start(&t, &to, NULL);
    RIG_UNTIL(rig_of(&t), (names_answer(&t.names, 4), t.in.left));
    assert_true(t.in.failed);
    assert_non_null(strstr(t.in.why, "refused"));
    trip_close(&t);
    close(held);
}

static void a_name_that_is_not_found_fails_the_flow(void **state)
{
    (void)state;
    struct trip t;
    struct addr to = rig_addr("none.example", 80);
    trip_open(&t);
    trip_start(&t, &to, toy_new(true, true, &t.freed));
    RIG_UNTIL(rig_of(&t), (names_answer(&t.names, 0), t.in.left));
    assert_true(t.in.failed);
    assert_int_equal(t.freed, 1);
    trip_close(&t);
}

static void a_flow_may_end_while_the_name_is_looked_up(void **state)
{
    (void)state;
    for (int aborted = 0; aborted < 2; aborted++) {
        struct trip t;
        struct addr to = rig_addr("slow.example", 80);
        struct err why;
        trip_open(&t);
        trip_start(&t, &to, toy_new(true, true, &t.freed));
        rig_turn(rig_of(&t));
        err_set(&why, ECANCELED, "stops");
        if (aborted) {
            flows_abort(&rig_of(&t)->loop, &why);
            loop_settle(&rig_of(&t)->loop);
        } else {
            rig_leave(&t.in, &why);
            rig_turn(rig_of(&t));
        }
        assert_int_equal(t.freed, 1);
        assert_null(list_first(&rig_of(&t)->loop.flows));
        trip_close(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_put_before_the_connection_are_sent),
        cmocka_unit_test(a_refused_connection_fails_the_flow_and_says_where),
        cmocka_unit_test(the_next_address_of_a_name_is_tried),
        cmocka_unit_test(when_no_address_answers_the_flow_fails),
        cmocka_unit_test(a_name_that_is_not_found_fails_the_flow),
        cmocka_unit_test(a_flow_may_end_while_the_name_is_looked_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
