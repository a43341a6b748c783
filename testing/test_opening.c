#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdlib.h>

#include "mux/session.h"
#include "testing/clock.h"
#include "testing/mux_rig.h"

enum { LINKS = 2, AMOUNT = 100 * 1000, KEPT = 16 * 1024, PATIENT = 8 * 1024 };

/* Two links of a client, or one of a server; the test speaks for the peer. */
struct test {
    struct rig rig;
    struct peer links[LINKS], server;
    struct far *wires[LINKS], *client;
    uint8_t bytes[AMOUNT];
};

static int test_open(void **state)
{
    struct test *t = calloc(1, sizeof *t);
    if (!t)
        return -1;
    rig_init(&t->rig);
    randombytes_buf(t->bytes, sizeof t->bytes);
    for (int i = 0; i < LINKS; i++) {
        peer_init(&t->rig, &t->links[i], true);
        t->links[i].elsewhere = &t->links[!i];
    }
    peer_init(&t->rig, &t->server, false);
    *state = t;
    return 0;
}

static int test_close(void **state)
{
    struct test *t = *state;
    struct peer *peers[] = {&t->links[0], &t->links[1], &t->server};
    for (int i = 0; i < 3; i++)
        if (peers[i]->mux.end.flow && !peers[i]->closed)
            peers[i]->elsewhere = NULL, mux_close(&peers[i]->mux, NULL);
    bool gauge = rig_stat(&t->rig, RIG_VISITORS) == 0;
    bool clean = rig_fini(&t->rig);
    free(t);
    return gauge && clean ? 0 : -1;
}

/* The next frame but HELLO; MUX_KEEPALIVE with *item set, when it is a link message. */
static bool next(struct far *wire, struct mux_frame *f, const uint8_t **data,
                 struct link_item *item)
{
    while (far_next_frame(wire, f, data)) {
        struct cursor c = cur_of(*data, f->data_len);
        *item = (struct link_item){0};
        if (f->status == MUX_KEEPALIVE && link_read_magic(&c))
            link_read(&c, item);
        if (item->type != LINK_HELLO)
            return true;
    }
    return false;
}

static void assert_silence(struct far *wire)
{
    struct mux_frame f;
    struct link_item item;
    const uint8_t *data;
    if (next(wire, &f, &data, &item))
        fail_msg("frame of status %u, item %u", f.status, item.type);
}

/* --- the client: the peer answers, or does not --- */

static void links_open(struct test *t, uint16_t features)
{
    for (int i = 0; i < LINKS; i++) {
        t->wires[i] = peer_wire(&t->rig, &t->links[i]);
        mux_start(&t->links[i].mux);
        far_say_features(t->wires[i], features, 1 << 20);
    }
    rig_turn(&t->rig);
}

static struct far *visitor_says(struct test *t, size_t len)
{
    struct far *visitor = peer_visitor(&t->links[0], NET_TCP);
    far_say(visitor, t->bytes, len);
    rig_turn(&t->rig);
    return visitor;
}

static void answer(struct test *t, int link, uint8_t type, uint16_t id, uint8_t refusal)
{
    far_say_item(t->wires[link],
                 &(struct link_item){.type = type, .stream = id, .refusal = refusal});
    rig_turn(&t->rig);
}

static void say(struct test *t, int link, uint16_t id, uint8_t status, uint8_t option,
                const char *data)
{
    struct mux_frame f = {.id = id, .status = status, .option = option};
    f.data_len = (uint16_t)strlen(data);
    f.option |= f.data_len ? MUX_DATA : 0;
    far_say_frame(t->wires[link], &f, data);
    rig_turn(&t->rig);
}

static void expect_new(struct test *t, int link, uint16_t id)
{
    struct mux_frame f;
    struct link_item item;
    const uint8_t *data;
    assert_true(next(t->wires[link], &f, &data, &item));
    assert_int_equal(f.status, MUX_NEW);
    assert_int_equal(f.id, id);
}

/* Keep frames with just these bytes. */
static void expect_bytes(struct test *t, int link, uint16_t id, size_t from, size_t to)
{
    struct mux_frame f;
    struct link_item item;
    const uint8_t *data;
    for (; from < to; from += f.data_len) {
        assert_true(next(t->wires[link], &f, &data, &item));
        assert_int_equal(f.status, MUX_KEEP);
        assert_int_equal(f.id, id);
        assert_true(f.data_len <= to - from);
        assert_memory_equal(data, t->bytes + from, f.data_len);
    }
}

static void expect(struct test *t, int link, uint16_t id, uint8_t status, uint8_t option)
{
    struct mux_frame f;
    struct link_item item;
    const uint8_t *data;
    assert_true(next(t->wires[link], &f, &data, &item));
    assert_int_equal(f.status, status);
    assert_int_equal(f.id, id);
    assert_int_equal(f.option, option);
}

static void before_the_answer_no_more_is_sent_than_is_kept(void **state)
{
    struct test *t = *state;
    links_open(t, LINK_FEATURES);
    struct far *visitor = visitor_says(t, AMOUNT);
    expect_new(t, 0, 1);
    expect_bytes(t, 0, 1, 0, KEPT);
    assert_silence(t->wires[0]);
    assert_false(end_is_opened(&visitor->end));
    answer(t, 0, LINK_OPENED, 1, 0);
    expect_bytes(t, 0, 1, KEPT, AMOUNT);
    assert_silence(t->wires[0]);
    assert_true(end_is_opened(&visitor->end));
    assert_int_equal(t->links[0].answered, 1);
    assert_int_equal(rig_stat(&t->rig, RIG_UP), AMOUNT);
}

static void data_is_an_answer(void **state)
{
    struct test *t = *state;
    links_open(t, LINK_FEATURES);
    struct far *visitor = visitor_says(t, AMOUNT);
    expect_new(t, 0, 1);
    expect_bytes(t, 0, 1, 0, KEPT);
    say(t, 0, 1, MUX_KEEP, 0, "hello");
    expect_bytes(t, 0, 1, KEPT, AMOUNT);
    assert_true(end_is_opened(&visitor->end));
    assert_int_equal(visitor->len, 5);
    assert_int_equal(t->links[0].answered, 1);
    answer(t, 0, LINK_OPENED, 1, 0);
    assert_int_equal(t->links[0].answered, 1);
}

static void the_end_of_the_answer_is_an_answer(void **state)
{
    struct test *t = *state;
    links_open(t, LINK_FEATURES);
    struct far *visitor = visitor_says(t, AMOUNT);
    expect_new(t, 0, 1);
    expect_bytes(t, 0, 1, 0, KEPT);
    say(t, 0, 1, MUX_KEEP, MUX_EOF, "");
    expect_bytes(t, 0, 1, KEPT, AMOUNT);
    assert_true(visitor->eof && end_is_opened(&visitor->end));
    far_leave(t->wires[0], ECONNRESET);
    rig_turn(&t->rig);
    assert_int_equal(t->links[0].unopened, 0);
    assert_true(visitor->failed);
}

static void a_stream_whose_link_ends_before_the_answer_is_opened_anew_with_its_bytes(void **state)
{
    for (int how = 0; how < 3; how++)
        for (size_t len = 0; len <= AMOUNT; len = len * 7 + 1) {
            struct test *t = *state;
            links_open(t, LINK_FEATURES);
            struct far *visitor = visitor_says(t, len);
            size_t kept = len < KEPT ? len : KEPT;
            expect_new(t, 0, 1);
            expect_bytes(t, 0, 1, 0, kept);
            if (how == 0)
                far_leave(t->wires[0], ECONNRESET);
            else if (how == 1)
                mux_close(&t->links[0].mux, NULL);
            else
                far_leave(t->wires[0], 0);
            rig_turn(&t->rig);
            assert_int_equal(t->links[0].unopened, 1);
            assert_int_equal(t->links[0].returned, 0);
            assert_int_equal(visitor->flow->tries, 1);
            expect_new(t, 1, 1);
            expect_bytes(t, 1, 1, 0, kept);
            assert_silence(t->wires[1]);
            answer(t, 1, LINK_OPENED, 1, 0);
            expect_bytes(t, 1, 1, kept, len);
            assert_silence(t->wires[1]);
            assert_int_equal(rig_stat(&t->rig, RIG_UP), len);
            assert_int_equal(rig_stat(&t->rig, RIG_VISITORS), 1);
            assert_int_equal(test_close(state), 0);
            assert_int_equal(test_open(state), 0);
        }
}

static void what_a_visitor_says_later_comes_behind_what_was_kept(void **state)
{
    struct test *t = *state;
    links_open(t, LINK_FEATURES);
    struct far *visitor = visitor_says(t, 1000);
    far_say(visitor, t->bytes + 1000, 500);
    rig_turn(&t->rig);
    answer(t, 0, LINK_REFUSED, 1, REFUSED_GOING);
    far_say(visitor, t->bytes + 1500, 700);
    end_eof(&visitor->end);
    rig_turn(&t->rig);
    answer(t, 1, LINK_REFUSED, 1, REFUSED_GOING);
    expect_new(t, 0, 1);
    expect_bytes(t, 0, 1, 0, 1500);
    expect_new(t, 0, 2);
    expect_bytes(t, 0, 2, 0, 2200);
    expect(t, 0, 2, MUX_KEEP, MUX_EOF);
    expect_new(t, 1, 1);
    expect_bytes(t, 1, 1, 0, 2200);
    expect(t, 1, 1, MUX_KEEP, MUX_EOF);
    assert_int_equal(visitor->flow->tries, 2);
    say(t, 0, 2, MUX_KEEP, MUX_EOF, "answer");
    assert_true(visitor->left && !visitor->failed);
    assert_int_equal(visitor->len, 6);
}

static void a_stream_that_found_no_room_tries_another_link_three_times_in_all(void **state)
{
    static const uint8_t reasons[] = {REFUSED_NO_ROOM, REFUSED_GOING, REFUSED_NOT_HERE};
    for (int i = 0; i < 3; i++) {
        struct test *t = *state;
        links_open(t, LINK_FEATURES);
        struct far *visitor = visitor_says(t, 10);
        answer(t, 0, LINK_REFUSED, 1, reasons[i]);
        answer(t, 1, LINK_REFUSED, 1, reasons[i]);
        assert_false(visitor->left);
        assert_int_equal(visitor->flow->tries, 2);
        answer(t, 0, LINK_REFUSED, 2, reasons[i]);
        assert_true(visitor->failed);
        assert_int_equal(t->links[0].unopened + t->links[1].unopened, 3);
        assert_int_equal(t->links[0].returned, reasons[i]);
        assert_int_equal(t->links[0].refused, 0);
        assert_int_equal(test_close(state), 0);
        assert_int_equal(test_open(state), 0);
    }
}

static void a_stream_that_was_refused_for_good_fails_and_the_reason_is_told(void **state)
{
    static const uint8_t reasons[] = {REFUSED_TARGET, REFUSED_RULES, 0, 77};
    for (int i = 0; i < 4; i++) {
        struct test *t = *state;
        links_open(t, LINK_FEATURES);
        struct far *visitor = visitor_says(t, 10);
        answer(t, 0, LINK_REFUSED, 1, reasons[i]);
        assert_true(visitor->failed && !visitor->was_opened);
        assert_int_equal(t->links[0].unopened, 0);
        assert_int_equal(t->links[0].refused, 1);
        assert_int_equal(strstr(visitor->why, "rules") != NULL, reasons[i] == REFUSED_RULES);
        expect_new(t, 0, 1);
        expect_bytes(t, 0, 1, 0, 10);
        assert_silence(t->wires[0]); /* the peer knows that it is over */
        assert_int_equal(test_close(state), 0);
        assert_int_equal(test_open(state), 0);
    }
}

static void a_stream_that_was_opened_is_not_opened_anew(void **state)
{
    struct test *t = *state;
    links_open(t, LINK_FEATURES);
    struct far *a = visitor_says(t, 10), *b = visitor_says(t, 10), *c = visitor_says(t, 10);
    answer(t, 0, LINK_OPENED, 1, 0);
    answer(t, 0, LINK_OPENED, 2, 0);
    answer(t, 0, LINK_REFUSED, 2, REFUSED_NO_ROOM);
    assert_true(b->failed);
    far_leave(t->wires[0], ECONNRESET);
    rig_turn(&t->rig);
    assert_true(a->failed && !c->left);
    assert_int_equal(t->links[0].unopened, 1);
}

static void who_gave_up_is_not_opened_anew(void **state)
{
    struct test *t = *state;
    links_open(t, LINK_FEATURES);
    struct far *visitor = visitor_says(t, 10);
    far_leave(visitor, ECONNRESET);
    far_leave(t->wires[0], ECONNRESET);
    rig_turn(&t->rig);
    assert_int_equal(t->links[1].mux.sessions, 0);
    assert_silence(t->wires[1]);
}

static void a_silent_link_gives_back_what_it_has_not_answered(void **state)
{
    struct test *t = *state;
    links_open(t, LINK_FEATURES);
    struct far *a = visitor_says(t, 10), *b = visitor_says(t, 20), *c = visitor_says(t, 30);
    answer(t, 0, LINK_OPENED, 2, 0);
    for (uint16_t id = 1, len = 10; id <= 3; id++, len = (uint16_t)(len + 10))
        expect_new(t, 0, id), expect_bytes(t, 0, id, 0, len);
    while (mux_give_back(&t->links[0].mux, NULL, NULL))
        ;
    rig_turn(&t->rig);
    expect(t, 0, 1, MUX_END, MUX_ERROR);
    expect(t, 0, 3, MUX_END, MUX_ERROR);
    assert_silence(t->wires[0]);
    expect_new(t, 1, 1), expect_new(t, 1, 2);
    expect_bytes(t, 1, 1, 0, 10), expect_bytes(t, 1, 2, 0, 30);
    say(t, 0, 1, MUX_KEEP, 0, "late"); /* it crossed our End */
    answer(t, 0, LINK_OPENED, 3, 0);
    assert_int_equal(a->len, 0);
    assert_false(a->left || b->left || c->left);
    assert_silence(t->wires[0]);
}

static void given_back_to_the_same_link_a_stream_is_opened_there_once(void **state)
{
    struct test *t = *state;
    links_open(t, LINK_FEATURES);
    t->links[0].elsewhere = &t->links[0];
    struct far *visitor = visitor_says(t, 10);
    assert_true(mux_give_back(&t->links[0].mux, NULL, NULL));
    rig_turn(&t->rig);
    assert_int_equal(visitor->flow->tries, 1);
    assert_int_equal(t->links[0].mux.sessions, 1);
}

static void towards_peers_that_give_no_answers_all_is_sent_at_once(void **state)
{
    static const int features[] = {0, LINK_FEATURES & ~LINK_ANSWERS, -1};
    for (int i = 0; i < 3; i++) {
        struct test *t = *state;
        if (features[i] >= 0)
            links_open(t, (uint16_t)features[i]);
        else
            t->wires[0] = peer_wire(&t->rig, &t->links[0]);
        struct far *visitor = visitor_says(t, AMOUNT);
        expect_new(t, 0, 1);
        expect_bytes(t, 0, 1, 0, AMOUNT);
        assert_true(end_is_opened(&visitor->end));
        far_leave(t->wires[0], ECONNRESET);
        rig_turn(&t->rig);
        assert_true(visitor->failed);
        assert_int_equal(t->links[0].unopened, 0);
        assert_int_equal(test_close(state), 0);
        assert_int_equal(test_open(state), 0);
    }
}

static void datagrams_wait_for_no_answer(void **state)
{
    struct test *t = *state;
    links_open(t, LINK_FEATURES);
    struct far *visitor = peer_visitor(&t->links[0], NET_UDP);
    for (int i = 0; i < 40; i++)
        far_put_packet(visitor, t->bytes, 1000);
    rig_turn(&t->rig);
    expect_new(t, 0, 1);
    for (int i = 0; i < 40; i++)
        expect_bytes(t, 0, 1, 0, 1000);
    far_leave(t->wires[0], ECONNRESET);
    rig_turn(&t->rig);
    assert_true(visitor->failed);
}

/* --- the server: says OPENED or REFUSED, once --- */

static void server_open(struct test *t, int features)
{
    t->client = peer_wire(&t->rig, &t->server);
    t->server.slow = true;
    mux_start(&t->server.mux);
    if (features >= 0)
        far_say_features(t->client, (uint16_t)features, 1 << 20);
    rig_turn(&t->rig);
}

static void client_says_new(struct test *t, uint16_t id, enum net net, size_t len)
{
    struct mux_frame f = {.id = id, .status = MUX_NEW, .net = (uint8_t)net};
    f.target = (struct addr){.type = ADDR_IPV4, .port = 80, .ip = {10, 9, 8, 7}};
    f.data_len = (uint16_t)len;
    f.option = len ? MUX_DATA : 0;
    far_say_frame(t->client, &f, t->bytes);
    rig_turn(&t->rig);
}

static void client_says(struct test *t, uint16_t id, size_t len)
{
    far_say_frame(t->client,
                  &(struct mux_frame){
                      .id = id, .status = MUX_KEEP, .option = MUX_DATA, .data_len = (uint16_t)len},
                  t->bytes);
    rig_turn(&t->rig);
}

static void expect_item(struct test *t, uint8_t type, uint16_t id, uint8_t refusal)
{
    struct mux_frame f;
    struct link_item item;
    const uint8_t *data;
    assert_true(next(t->client, &f, &data, &item));
    assert_int_equal(item.type, type);
    assert_int_equal(item.stream, id);
    if (type == LINK_REFUSED)
        assert_int_equal(item.refusal, refusal);
}

static void expect_frame(struct test *t, uint16_t id, uint8_t status, uint8_t option)
{
    struct mux_frame f;
    struct link_item item;
    const uint8_t *data;
    assert_true(next(t->client, &f, &data, &item));
    assert_int_equal(f.status, status);
    assert_int_equal(f.id, id);
    assert_int_equal(f.option, option);
}

static void wait_for(struct test *t, double seconds)
{
    clock_forward(seconds);
    rig_turn(&t->rig);
    rig_turn(&t->rig);
}

static void opened_is_said_when_the_target_was_reached_and_10_ms_later(void **state)
{
    struct test *t = *state;
    server_open(t, LINK_FEATURES);
    client_says_new(t, 1, NET_TCP, 100);
    wait_for(t, 0.4);
    assert_silence(t->client);
    far_reached(t->server.opened[0]);
    rig_turn(&t->rig);
    assert_silence(t->client);
    wait_for(t, 0.011);
    expect_item(t, LINK_OPENED, 1, 0);
    wait_for(t, 0.4);
    assert_silence(t->client);
}

static void data_of_the_target_takes_the_place_of_opened(void **state)
{
    struct test *t = *state;
    server_open(t, LINK_FEATURES);
    for (uint16_t id = 1; id <= 2; id++) {
        client_says_new(t, id, NET_TCP, 100);
        far_reached(t->server.opened[id - 1]);
        if (id == 1)
            rig_turn(&t->rig);
        far_say(t->server.opened[id - 1], "data", 4);
        rig_turn(&t->rig);
        expect_frame(t, id, MUX_KEEP, MUX_DATA);
        wait_for(t, 0.9);
        assert_silence(t->client);
    }
}

static void a_client_that_has_sent_8_kib_hears_opened_at_once(void **state)
{
    struct test *t = *state;
    server_open(t, LINK_FEATURES);
    client_says_new(t, 1, NET_TCP, PATIENT);
    far_reached(t->server.opened[0]);
    rig_turn(&t->rig);
    expect_item(t, LINK_OPENED, 1, 0);
    client_says_new(t, 2, NET_TCP, PATIENT - 1);
    far_reached(t->server.opened[1]);
    rig_turn(&t->rig);
    assert_silence(t->client);
    client_says(t, 2, 1);
    expect_item(t, LINK_OPENED, 2, 0);
}

static void several_are_answered_at_once_and_each_in_time(void **state)
{
    struct test *t = *state;
    server_open(t, LINK_FEATURES);
    for (uint16_t id = 1; id <= 3; id++)
        client_says_new(t, id, NET_TCP, 0);
    for (int i = 0; i < 3; i++) {
        far_reached(t->server.opened[i]);
        wait_for(t, 0.002);
    }
    wait_for(t, 0.011);
    for (uint16_t id = 1; id <= 3; id++)
        expect_item(t, LINK_OPENED, id, 0);
    assert_silence(t->client);
}

static void a_target_that_ends_at_once_was_opened(void **state)
{
    struct test *t = *state;
    server_open(t, LINK_FEATURES);
    client_says_new(t, 1, NET_TCP, 0);
    far_reached(t->server.opened[0]);
    end_eof(&t->server.opened[0]->end);
    rig_turn(&t->rig);
    expect_frame(t, 1, MUX_KEEP, MUX_EOF);
    wait_for(t, 0.011);
    struct mux_frame f;
    struct link_item item;
    const uint8_t *data;
    if (next(t->client, &f, &data, &item)) /* it may be said, and need not be */
        assert_int_equal(item.type, LINK_OPENED);
    assert_silence(t->client);
}

static void a_target_that_was_not_reached_is_refused_and_the_reason_is_told(void **state)
{
    static const struct {
        int code;
        uint8_t refusal;
    } cases[] = {{ECONNREFUSED, REFUSED_TARGET},   {ETIMEDOUT, REFUSED_TARGET},
                 {EHOSTUNREACH, REFUSED_TARGET},   {ECONNRESET, REFUSED_TARGET},
                 {EACCES, REFUSED_RULES},          {ENOMEM, REFUSED_NO_ROOM},
                 {EMFILE, REFUSED_NO_ROOM},        {ENFILE, REFUSED_NO_ROOM},
                 {EADDRNOTAVAIL, REFUSED_NO_ROOM}, {ENOLINK, REFUSED_NOT_HERE}};
    struct test *t = *state;
    server_open(t, LINK_FEATURES);
    for (uint16_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        client_says_new(t, (uint16_t)(i + 1), NET_TCP, 10);
        far_leave(t->server.opened[i], cases[i].code);
        rig_turn(&t->rig);
        expect_item(t, LINK_REFUSED, (uint16_t)(i + 1), cases[i].refusal);
        wait_for(t, 0.1);
        assert_silence(t->client); /* no End, no OPENED */
    }
    assert_int_equal(t->server.mux.sessions, 0);
}

static void a_target_that_fails_later_ends_with_the_error_flag(void **state)
{
    struct test *t = *state;
    server_open(t, LINK_FEATURES);
    client_says_new(t, 1, NET_TCP, 10);
    far_reached(t->server.opened[0]);
    wait_for(t, 0.011);
    expect_item(t, LINK_OPENED, 1, 0);
    far_leave(t->server.opened[0], ECONNRESET);
    rig_turn(&t->rig);
    expect_frame(t, 1, MUX_END, MUX_ERROR);
    assert_silence(t->client);
}

/* It was reached: opening it elsewhere would say its bytes twice. */
static void a_target_that_fails_while_the_answer_waits_was_opened(void **state)
{
    struct test *t = *state;
    server_open(t, LINK_FEATURES);
    client_says_new(t, 1, NET_TCP, 10);
    far_reached(t->server.opened[0]);
    rig_turn(&t->rig);
    far_leave(t->server.opened[0], ENOMEM);
    rig_turn(&t->rig);
    expect_frame(t, 1, MUX_END, MUX_ERROR);
    wait_for(t, 0.1);
    assert_silence(t->client);
}

static void a_new_that_the_owner_refuses_is_refused_for_his_reason(void **state)
{
    struct test *t = *state;
    server_open(t, LINK_FEATURES);
    for (uint16_t id = 1; id <= 4; id++) {
        t->server.refuses = id;
        client_says_new(t, id, NET_TCP, 10);
        expect_item(t, LINK_REFUSED, id, (uint8_t)id);
        assert_silence(t->client);
    }
}

static void who_gives_no_answers_gets_none(void **state)
{
    static const int features[] = {0, LINK_FEATURES & ~LINK_ANSWERS, -1};
    for (int i = 0; i < 3; i++) {
        struct test *t = *state;
        server_open(t, features[i]);
        client_says_new(t, 1, NET_TCP, 10);
        client_says_new(t, 2, NET_TCP, 10);
        far_reached(t->server.opened[0]);
        wait_for(t, 0.1);
        assert_silence(t->client);
        far_leave(t->server.opened[1], ECONNREFUSED);
        t->server.refuses = REFUSED_RULES;
        rig_turn(&t->rig);
        expect_frame(t, 2, MUX_END, MUX_ERROR);
        client_says_new(t, 3, NET_TCP, 10);
        expect_frame(t, 3, MUX_END, MUX_ERROR);
        assert_silence(t->client);
        assert_int_equal(test_close(state), 0);
        assert_int_equal(test_open(state), 0);
    }
}

static void datagram_streams_are_not_answered(void **state)
{
    struct test *t = *state;
    server_open(t, LINK_FEATURES);
    client_says_new(t, 1, NET_UDP, 10);
    far_reached(t->server.opened[0]);
    wait_for(t, 0.1);
    assert_silence(t->client);
    far_leave(t->server.opened[0], ECONNREFUSED);
    rig_turn(&t->rig);
    expect_frame(t, 1, MUX_END, MUX_ERROR);
}

#define LAW(f) cmocka_unit_test_setup_teardown(f, test_open, test_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAW(before_the_answer_no_more_is_sent_than_is_kept),
        LAW(data_is_an_answer),
        LAW(the_end_of_the_answer_is_an_answer),
        LAW(a_stream_whose_link_ends_before_the_answer_is_opened_anew_with_its_bytes),
        LAW(what_a_visitor_says_later_comes_behind_what_was_kept),
        LAW(a_stream_that_found_no_room_tries_another_link_three_times_in_all),
        LAW(a_stream_that_was_refused_for_good_fails_and_the_reason_is_told),
        LAW(a_stream_that_was_opened_is_not_opened_anew),
        LAW(who_gave_up_is_not_opened_anew),
        LAW(a_silent_link_gives_back_what_it_has_not_answered),
        LAW(given_back_to_the_same_link_a_stream_is_opened_there_once),
        LAW(towards_peers_that_give_no_answers_all_is_sent_at_once),
        LAW(datagrams_wait_for_no_answer),
        LAW(opened_is_said_when_the_target_was_reached_and_10_ms_later),
        LAW(data_of_the_target_takes_the_place_of_opened),
        LAW(a_client_that_has_sent_8_kib_hears_opened_at_once),
        LAW(several_are_answered_at_once_and_each_in_time),
        LAW(a_target_that_ends_at_once_was_opened),
        LAW(a_target_that_was_not_reached_is_refused_and_the_reason_is_told),
        LAW(a_target_that_fails_later_ends_with_the_error_flag),
        LAW(a_target_that_fails_while_the_answer_waits_was_opened),
        LAW(a_new_that_the_owner_refuses_is_refused_for_his_reason),
        LAW(who_gives_no_answers_gets_none),
        LAW(datagram_streams_are_not_answered),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
