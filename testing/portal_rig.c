#include "testing/portal_rig.h"

#include <stdlib.h>

#include "testing/clock.h"

const struct user portal_user = {.email = "bridge@a", .traffic = {-1, -1}, .may_link = true};
static const char *listed[] = {"someone@a", "bridge@a"};

static void demand(bool fact)
{
    if (!fact)
        __builtin_trap();
}

void portal_rig_init(struct portal_rig *t, struct portal_shards *shards, unsigned index)
{
    *t = (struct portal_rig){.conf = {.tag = "portal",
                                      .domain = "Bridge.Test",
                                      .users = listed,
                                      .user_count = 2,
                                      .traffic = {-1, -1},
                                      .carriers_slot = PORTAL_CARRIERS,
                                      .visitors_slot = PORTAL_VISITORS}};
    rig_init(&t->rig);
    t->rig.loop.index = index;
    demand(shards != NULL);
    t->portal = portal_new(&t->rig.loop, &t->conf, shards);
    demand(t->portal != NULL);
}

void portal_rig_stop(struct portal_rig *t)
{
    t->portal->ops->free(t->portal);
    t->portal = NULL;
    rig_turn(&t->rig);
}

bool portal_rig_fini(struct portal_rig *t)
{
    if (t->portal)
        portal_rig_stop(t);
    bool gauges =
        rig_stat(&t->rig, PORTAL_CARRIERS) == 0 && rig_stat(&t->rig, PORTAL_VISITORS) == 0;
    return rig_fini(&t->rig) && gauges;
}

struct far *portal_asked(struct portal_rig *t, const char *host, struct meta m)
{
    struct far *f = far_new(&t->rig);
    struct err e;
    m.inbound_tag = "door";
    demand(addr_parse_host(&m.target, host, strlen(host), &e) == 0);
    struct flow *flow = far_flow(&t->rig, f, &m);
    flow->meta.by_rule = m.by_rule;
    t->portal->ops->open(t->portal, flow);
    return f;
}

static struct far *bridge_asks(struct portal_rig *t)
{
    struct far *f = portal_asked(
        t, "bridge.test", (struct meta){.net = NET_TCP, .user = &portal_user, .by_rule = true});
    demand(t->bridge_count < BRIDGES_MAX);
    return t->bridges[t->bridge_count++] = f;
}

struct far *bridge_comes(struct portal_rig *t)
{
    struct far *f = bridge_asks(t);
    rig_turn(&t->rig);
    demand(!f->failed);
    return f;
}

static struct far *bridge_says_hello(struct portal_rig *t, uint16_t streams, uint64_t instance)
{
    struct far *f = bridge_asks(t);
    far_say_item(f, &(struct link_item){.type = LINK_HELLO,
                                        .hello = {.version = LINK_VERSION,
                                                  .datagram_max = BUF_DATA,
                                                  .features = LINK_FEATURES,
                                                  .window = 64 * 1024,
                                                  .streams = streams,
                                                  .instance = instance}});
    rig_turn(&t->rig);
    return f;
}

struct far *bridge_of_streams(struct portal_rig *t, uint16_t streams)
{
    return bridge_says_hello(t, streams, 0);
}

struct far *bridge_link(struct portal_rig *t, uint64_t instance)
{
    return bridge_says_hello(t, 8192, instance);
}

struct far *bridge_v2c(struct portal_rig *t)
{
    return bridge_of_streams(t, 8192);
}

struct far *visitor_comes(struct portal_rig *t)
{
    struct far *f = portal_asked(t, "10.1.2.3", (struct meta){.net = NET_TCP});
    rig_turn(&t->rig);
    return f;
}

struct far *visitor_says(struct portal_rig *t, const char *text)
{
    struct far *f = visitor_comes(t);
    far_say(f, text, strlen(text));
    rig_turn(&t->rig);
    return f;
}

void portal_wait(struct portal_rig *t, double seconds)
{
    static const double STEP = 0.02;
    for (double left = seconds; left > 0; left -= STEP) {
        clock_forward(left < STEP ? left : STEP);
        for (size_t i = 0; i < t->bridge_count; i++)
            if (!t->bridges[i]->refuses)
                far_say_frame(t->bridges[i], &(struct mux_frame){.status = MUX_KEEPALIVE}, NULL);
        rig_turn(&t->rig);
    }
}

/* --- what a portal says --- */

static void hear_items(struct said *s, struct cursor message)
{
    if (!link_read_magic(&message))
        return;
    while (link_read(&message, &s->items[s->item_count]))
        demand(++s->item_count < sizeof s->items / sizeof *s->items);
}

static void hear_frame(struct said *s, const struct mux_frame *f, const uint8_t *data)
{
    if (f->status == MUX_KEEPALIVE) {
        hear_items(s, cur_of(data, f->data_len));
        return;
    }
    if (f->status == MUX_NEW) {
        demand(s->new_count < sizeof s->news / sizeof *s->news);
        s->news[s->new_count++] = f->id;
    }
    if (f->status == MUX_END) {
        demand(s->end_count < sizeof s->ends / sizeof *s->ends);
        s->ends[s->end_count].id = f->id;
        s->ends[s->end_count++].error = f->option & MUX_ERROR;
    }
    demand(f->data_len < sizeof s->data - s->len);
    memcpy(s->data + s->len, data, f->data_len);
    s->len += f->data_len;
}

struct said *hear(struct portal_rig *t, struct far *wire)
{
    static struct said s;
    struct mux_frame f;
    const uint8_t *data;
    rig_turn(&t->rig);
    s = (struct said){0};
    while (far_next_frame(wire, &f, &data))
        if (f.id != 1 && (f.id != 65535 || f.status != MUX_KEEP))
            hear_frame(&s, &f, data);
    return &s;
}

unsigned heard_items(const struct said *s, enum link_type type)
{
    unsigned n = 0;
    for (unsigned i = 0; i < s->item_count; i++)
        n += s->items[i].type == type;
    return n;
}

uint16_t newest(struct portal_rig *t, struct far *wire)
{
    const struct said *s = hear(t, wire);
    demand(s->new_count > 0);
    return s->news[s->new_count - 1];
}

/* --- what a bridge says --- */

void say_opened(struct far *wire, uint16_t id)
{
    far_say_item(wire, &(struct link_item){.type = LINK_OPENED, .stream = id});
}

void say_refused(struct far *wire, uint16_t id, enum link_refusal why)
{
    far_say_item(wire,
                 &(struct link_item){.type = LINK_REFUSED, .stream = id, .refusal = (uint8_t)why});
}

void say_data(struct far *wire, uint16_t id, const char *text)
{
    far_say_frame(
        wire,
        &(struct mux_frame){
            .id = id, .status = MUX_KEEP, .option = MUX_DATA, .data_len = (uint16_t)strlen(text)},
        text);
}

void say_end(struct far *wire, uint16_t id, bool error)
{
    far_say_frame(wire,
                  &(struct mux_frame){.id = id, .status = MUX_END, .option = error ? MUX_ERROR : 0},
                  NULL);
}
