#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <stdlib.h>

#include "mux/link.h"
#include "testing/clock.h"
#include "testing/mux_rig.h"

/* A link of 100 kbit/s from the client to the server; the other direction is free. */
enum {
    RATE = 12500,            /* bytes a second */
    KERNEL = 256 * 1024,     /* what a socket holds of a link that is slow */
    KERNEL_LOW = 128 * 1024, /* it takes more once no more than this waits */
    PIECE = 16 * 1024,
};

static const double STEP = 0.1; /* seconds */

struct test {
    struct rig rig;
    struct peer client, server;
    struct far *near, *away; /* the wires */
    struct far *visitor;
    struct bufq kernel;
    double may; /* bytes that the link may pass on now */
};

static int test_open(void **state)
{
    struct test *t = calloc(1, sizeof *t);
    if (!t)
        return -1;
    rig_init(&t->rig);
    peer_init(&t->rig, &t->client, true);
    peer_init(&t->rig, &t->server, false);
    t->near = peer_wire(&t->rig, &t->client);
    t->away = peer_wire(&t->rig, &t->server);
    t->near->refuses = true; /* the test takes for it */
    mux_start(&t->client.mux);
    mux_start(&t->server.mux);
    *state = t;
    return 0;
}

static int test_close(void **state)
{
    struct test *t = *state;
    struct peer *peers[] = {&t->client, &t->server};
    for (int i = 0; i < 2; i++)
        if (!peers[i]->closed)
            mux_close(&peers[i]->mux, NULL);
    bufq_free(&t->kernel, &t->rig.loop.bufs);
    bool clean = rig_fini(&t->rig);
    free(t);
    return clean ? 0 : -1;
}

static void send_slowly(struct test *t)
{
    struct buf *b;
    if (t->kernel.bytes <= KERNEL_LOW)
        while (t->kernel.bytes < KERNEL && (b = end_take(&t->near->end)))
            bufq_put(&t->kernel, b);
    for (t->may += RATE * STEP; t->may > 0 && (b = bufq_take(&t->kernel));) {
        t->may -= (double)b->len;
        far_say(t->away, b->data, b->len);
        buf_free(&t->rig.loop.bufs, b);
    }
    if (!t->kernel.head && t->may > 0)
        t->may = 0;
}

static void pass(struct test *t, double seconds)
{
    for (double left = seconds; left > 0 && !t->client.closed && !t->server.closed; left -= STEP) {
        clock_forward(STEP);
        rig_turn(&t->rig);
        send_slowly(t);
        rig_turn(&t->rig);
        far_say(t->near, t->away->bytes + t->away->read, t->away->len - t->away->read);
        t->away->read = t->away->len;
        rig_turn(&t->rig);
    }
}

/* Its source always has more. */
static void upload(struct test *t, double seconds)
{
    static const uint8_t bytes[PIECE];
    for (double left = seconds; left > 0 && !t->visitor->left; left -= 1) {
        while (end_room(&t->visitor->end))
            far_say(t->visitor, bytes, sizeof bytes);
        pass(t, 1);
    }
}

static void who_sends_much_is_not_alone_on_a_slow_link(void **state)
{
    struct test *t = *state;
    pass(t, 2);
    t->visitor = peer_visitor(&t->client, NET_TCP);
    upload(t, 600);
    assert_false(t->client.closed || t->server.closed || t->visitor->left);
    assert_int_equal(t->client.silences + t->server.silences, 0);
    assert_true(t->server.opened[0]->len > 500 * RATE);
}

/* --- a link that is long --- */

enum { PINGS = 16 };

/* A peer that the test plays, from whom everything takes its time. */
struct distant {
    struct rig rig;
    struct peer peer;
    struct far *wire;
    struct {
        double due;
        uint64_t token;
    } pings[PINGS];
    size_t asked, answered;
    double now;
};

static int distant_open(void **state)
{
    struct distant *t = calloc(1, sizeof *t);
    if (!t)
        return -1;
    rig_init(&t->rig);
    peer_init(&t->rig, &t->peer, true);
    t->wire = peer_wire(&t->rig, &t->peer);
    mux_start(&t->peer.mux);
    far_say_features(t->wire, LINK_FEATURES, 65536);
    rig_turn(&t->rig);
    *state = t;
    return 0;
}

static int distant_close(void **state)
{
    struct distant *t = *state;
    if (!t->peer.closed)
        mux_close(&t->peer.mux, NULL);
    bool clean = rig_fini(&t->rig);
    free(t);
    return clean ? 0 : -1;
}

static void distant_hears(struct distant *t, double round_trip)
{
    struct mux_frame f;
    const uint8_t *data;
    while (far_next_frame(t->wire, &f, &data)) {
        struct cursor c = cur_of(data, f.data_len);
        struct link_item i;
        while (f.status == MUX_KEEPALIVE && link_read_magic(&c) && link_read(&c, &i)) {
            if (i.type != LINK_PING)
                continue;
            t->pings[t->asked % PINGS].due = t->now + round_trip;
            t->pings[t->asked++ % PINGS].token = i.token;
        }
    }
}

static void distant_wait(struct distant *t, double seconds, double round_trip)
{
    for (double end = t->now + seconds; t->now < end; t->now += STEP) {
        clock_forward(STEP);
        rig_turn(&t->rig);
        distant_hears(t, round_trip);
        for (; t->answered < t->asked && t->pings[t->answered % PINGS].due <= t->now;
             t->answered++) {
            far_say_item(t->wire,
                         &(struct link_item){.type = LINK_PONG,
                                             .token = t->pings[t->answered % PINGS].token});
            rig_turn(&t->rig);
        }
    }
}

static void a_long_way_is_no_silence(void **state)
{
    struct distant *t = *state;
    for (int i = 0; i < 5; i++) {
        peer_visitor(&t->peer, NET_TCP);
        distant_wait(t, 20, 3);
        assert_int_equal(t->peer.silences, 2); /* it is learned once */
        assert_false(t->peer.mux.silent);
    }
    assert_true(t->asked < 30);
}

/* What was late because the peer stood still says nothing of the way. */
static void who_stood_still_once_is_found_silent_as_soon_the_next_time(void **state)
{
    struct distant *t = *state;
    peer_visitor(&t->peer, NET_TCP);
    distant_wait(t, 4, 9);
    assert_true(t->peer.mux.silent);
    distant_wait(t, 20, 0);
    assert_false(t->peer.mux.silent);
    peer_visitor(&t->peer, NET_TCP);
    distant_wait(t, 2.8, 1000);
    assert_true(t->peer.mux.silent);
}

#define LAW(f) cmocka_unit_test_setup_teardown(f, test_open, test_close)
#define DISTANT_LAW(f) cmocka_unit_test_setup_teardown(f, distant_open, distant_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAW(who_sends_much_is_not_alone_on_a_slow_link),
        DISTANT_LAW(a_long_way_is_no_silence),
        DISTANT_LAW(who_stood_still_once_is_found_silent_as_soon_the_next_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
