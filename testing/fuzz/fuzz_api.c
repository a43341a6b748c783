/* Any bytes from a client, in pieces, on a real loop: the api outbound neither loses a flow nor leaves
 * one hanging once the client is gone, and each answer starts as one. */
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/api.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct client {
    struct end end;
    bool left;
    size_t got;
};

static void demand(int fact)
{
    if (!fact)
        __builtin_trap();
}

static void client_leave(struct client *c)
{
    c->left = true;
    end_leave(&c->end, NULL);
}

static void client_wake(struct end *e)
{
    struct client *c = container_of(e, struct client, end);
    struct buf *b;
    while ((b = end_take(e)) != NULL) {
        demand(c->got || (b->len > 9 && memcmp(b->data, "HTTP/1.1 ", 9) == 0));
        c->got += b->len;
        buf_free(&end_loop(e)->bufs, b);
    }
    if (end_failed(e) || (end_at_eof(e) && end_peer_left(e)))
        client_leave(c);
}

static const struct end_ops client_ops = {.wake = client_wake};

static void turn(struct loop *l)
{
    while (loop_is_busy(l))
        ev_run(l->ev, EVRUN_NOWAIT);
}

static void converse(struct loop *l, struct outbound *api, const uint8_t *data, size_t size)
{
    const struct meta m = {.net = NET_TCP, .inbound_tag = "home"};
    const struct policy p = {.conn_idle = 300, .buffer_size = 2048};
    struct client c = {0};
    struct flow *f = flow_new(l, &c.end, &client_ops, &m, &p);
    demand(f != NULL);
    api->ops->open(api, f);
    size_t step = size > 1 ? data[size - 1] % 64 * 64 + 1 : 1;
    for (size_t at = 0; at < size && !c.left; at += step) {
        demand(end_write(&c.end, data + at, size - at < step ? size - at : step));
        turn(l);
    }
    if (!c.left)
        end_eof(&c.end);
    turn(l);
    demand(c.left && stat_sum(&l->counters, 1, STAT_flows_live) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stats stats;
    struct loop loop;
    struct err e;
    demand(sodium_init() >= 0 && stats_init(&stats, NULL) == 0);
    demand(loop_init(&loop, 0, STAT_FIXED, &e) == 0);
    struct counter *const counters[] = {loop.counters};
    const struct api_watch watch = {
        .kind = "bridge", .tag = "home", .carriers_slot = STAT_accepts, .visitors_slot = -1};
    const struct api_view view = {
        .stats = &stats, .counters = counters, .loops = 1, .watches = &watch, .watch_count = 1};
    struct outbound *api = api_new(&loop, "api", &view);
    demand(api != NULL);
    converse(&loop, api, data, size);
    api->ops->free(api);
    loop_fini(&loop);
    stats_fini(&stats);
    return 0;
}
