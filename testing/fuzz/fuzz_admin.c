/* Any bytes from a client who does not know the token, in pieces: no request that changes something reaches who
 * would do it, none is answered with 2xx, and no flow is lost. A byte of the input says whether the token comes
 * with it all the same: then errands do come, and go back or find their asker gone. */
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/api.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TOKEN "0123456789abcdef0123456789abcdef"

struct client {
    struct end end;
    bool left;
    uint8_t first[16];
    size_t got;
};

struct taker {
    struct errand_taker taker;
    struct loop *loop;
    bool knows; /* the token is in the input */
    unsigned taken;
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
        for (size_t i = 0; i < b->len && c->got + i < sizeof c->first; i++)
            c->first[c->got + i] = b->data[i];
        c->got += b->len;
        buf_free(&end_loop(e)->bufs, b);
    }
    if (end_failed(e) || (end_at_eof(e) && end_peer_left(e)))
        client_leave(c);
}

static const struct end_ops client_ops = {.wake = client_wake};

static bool take(struct errand_taker *t, struct errand *e)
{
    struct taker *to = container_of(t, struct taker, taker);
    demand(to->knows || e->verb == ERRAND_GET);
    demand(e->target.piece_count >= 2 && strcmp(e->target.pieces[0], "v1") == 0);
    e->status = 200;
    page_text(&e->page, "{}\n");
    to->taken++;
    loop_post(to->loop, &e->task);
    return true;
}

static void turn(struct loop *l)
{
    ev_run(l->ev, EVRUN_NOWAIT);
    while (loop_is_busy(l))
        ev_run(l->ev, EVRUN_NOWAIT);
}

static bool has(const uint8_t *data, size_t size, const char *text)
{
    return size >= strlen(text) && memmem(data, size, text, strlen(text));
}

static bool begins(const uint8_t *data, size_t size, const char *text)
{
    return size >= strlen(text) && memcmp(data, text, strlen(text)) == 0;
}

static void converse(struct loop *l, struct outbound *api, const struct taker *t,
                     const uint8_t *data, size_t size)
{
    const struct meta m = {.net = NET_TCP, .inbound_tag = api_listen_tag};
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
    bool changes = size && !begins(data, size, "GET ") && !begins(data, size, "HEAD ");
    if (changes && !t->knows && c.got > 9)
        demand(c.first[9] != '2');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stats stats;
    struct loop loop;
    struct err e;
    demand(sodium_init() >= 0 && stats_init(&stats, NULL) == 0);
    demand(loop_init(&loop, 0, STAT_FIXED, &e) == 0);
    struct counter *const counters[] = {loop.counters};
    struct taker taker = {.taker = {take}, .loop = &loop, .knows = has(data, size, TOKEN)};
    const struct api_conf conf = {.token = TOKEN};
    const struct api_view view = {
        .stats = &stats, .counters = counters, .loops = 1, .conf = &conf, .taker = &taker.taker};
    struct outbound *api = api_new(&loop, "api", &view);
    demand(api != NULL);
    converse(&loop, api, &taker, data, size);
    api->ops->free(api);
    turn(&loop);
    loop_fini(&loop);
    stats_fini(&stats);
    return 0;
}
