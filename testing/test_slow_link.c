#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <stdlib.h>

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

#define LAW(f) cmocka_unit_test_setup_teardown(f, test_open, test_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAW(who_sends_much_is_not_alone_on_a_slow_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
