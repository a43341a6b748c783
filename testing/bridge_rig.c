#include "testing/bridge_rig.h"

#include "testing/clock.h"

static void demand(bool fact)
{
    if (!fact)
        __builtin_trap();
}

static void take(struct bridge_rig *t, int number, struct flow *f)
{
    const struct addr *to = &f->meta.target;
    if (t->refuses) {
        flow_refuse(f, &(struct err){.code = ECONNREFUSED, .text = "nobody there"});
        return;
    }
    struct far *far = far_new(&t->rig);
    far_join(far, f);
    if (to->type == ADDR_NAME && strcmp(to->name, t->conf.domain) == 0) {
        demand(t->link_count < LINKS_SEEN_MAX && f->meta.net == NET_TCP && to->port == 0);
        demand(strcmp(f->meta.inbound_tag, t->conf.tag) == 0);
        t->at[t->link_count] = number;
        t->links[t->link_count++] = far;
    } else {
        demand(t->target_count < TARGETS_MAX);
        t->targets[t->target_count++] = far;
    }
}

static void take_first(struct outbound *out, struct flow *f)
{
    take(container_of(out, struct bridge_rig, outs[0]), 0, f);
}

static void take_second(struct outbound *out, struct flow *f)
{
    take(container_of(out, struct bridge_rig, outs[1]), 1, f);
}

static void take_third(struct outbound *out, struct flow *f)
{
    take(container_of(out, struct bridge_rig, outs[2]), 2, f);
}

static const struct outbound_ops out_ops[OUTS] = {
    {.open = take_first}, {.open = take_second}, {.open = take_third}};

void bridge_rig_init(struct bridge_rig *t, unsigned share)
{
    static const char *const tags[OUTS] = {"out", "second", "third"};
    *t = (struct bridge_rig){.conf = {.tag = "bridge",
                                      .domain = "Bridge.Test",
                                      .traffic = {-1, -1},
                                      .connections = share,
                                      .weight = LINK_WEIGHT_USUAL,
                                      .carriers_slot = BRIDGE_CARRIERS}};
    rig_init(&t->rig);
    for (int i = 0; i < OUTS; i++) {
        t->outs[i] = (struct outbound){.ops = &out_ops[i], .loop = &t->rig.loop, .tag = tags[i]};
        t->numbered[i] = &t->outs[i];
    }
    t->dispatcher = (struct dispatcher){.loop = &t->rig.loop,
                                        .rules = &t->rules,
                                        .outbounds = t->numbered,
                                        .fallback = t->numbered[0]};
    if (share)
        bridge_rig_start(t, share);
}

void bridge_rig_start(struct bridge_rig *t, unsigned share)
{
    t->bridge = bridge_new(&t->rig.loop, &t->dispatcher, &t->conf, &t->rig.policy, share, 77);
    demand(t->bridge != NULL);
}

void bridge_rig_stop(struct bridge_rig *t)
{
    t->bridge->ops->free(t->bridge);
    t->bridge = NULL;
    rig_turn(&t->rig);
}

bool bridge_rig_fini(struct bridge_rig *t)
{
    if (t->bridge)
        bridge_rig_stop(t);
    bool gauge = rig_stat(&t->rig, BRIDGE_CARRIERS) == 0;
    return rig_fini(&t->rig) && gauge;
}

void bridge_wait(struct bridge_rig *t, double seconds)
{
    clock_forward(seconds);
    rig_turn(&t->rig);
}

void bridge_live(struct bridge_rig *t, double seconds)
{
    static const double STEP = 0.05;
    for (double left = seconds; left > 0; left -= STEP) {
        clock_forward(left < STEP ? left : STEP);
        for (size_t i = 0; i < t->link_count; i++)
            if (t->answered[i] && !t->links[i]->refuses)
                far_say_frame(t->links[i], &(struct mux_frame){.status = MUX_KEEPALIVE}, NULL);
        rig_turn(&t->rig);
    }
}

static struct far *link_dialled(struct bridge_rig *t, size_t i)
{
    for (int k = 0; k < 200 && t->link_count <= i; k++)
        bridge_wait(t, 0.1);
    demand(t->link_count > i);
    t->answered[i] = true;
    return t->links[i];
}

struct far *link_up(struct bridge_rig *t, size_t i)
{
    struct far *wire = link_dialled(t, i);
    far_say_frame(wire, &(struct mux_frame){.status = MUX_KEEPALIVE}, NULL);
    rig_turn(&t->rig);
    return wire;
}

struct far *link_v2c(struct bridge_rig *t, size_t i, uint8_t shard, uint8_t shards)
{
    struct far *wire = link_dialled(t, i);
    far_say_item(wire, &(struct link_item){.type = LINK_HELLO,
                                           .hello = {.version = LINK_VERSION,
                                                     .datagram_max = BUF_DATA,
                                                     .features = LINK_FEATURES,
                                                     .window = 64 * 1024,
                                                     .streams = 8192,
                                                     .shard = shard,
                                                     .shards = shards}});
    rig_turn(&t->rig);
    return wire;
}

unsigned links_open(const struct bridge_rig *t)
{
    unsigned n = 0;
    for (size_t i = 0; i < t->link_count; i++)
        n += !t->links[i]->left;
    return n;
}

void say_new(struct far *wire, uint16_t id, enum net net, const char *host, uint16_t port,
             bool drain)
{
    static const uint8_t message[] = {0x08, 0x01};
    struct mux_frame f = {.id = id, .status = MUX_NEW, .net = (uint8_t)net};
    struct err e;
    demand(addr_parse_host(&f.target, host, strlen(host), &e) == 0);
    f.target.port = port;
    f.option = drain ? MUX_DATA : 0;
    f.data_len = drain ? sizeof message : 0;
    far_say_frame(wire, &f, message);
}

void say_streams(struct bridge_rig *t, struct far *wire, uint16_t first, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        say_new(wire, (uint16_t)(first + i), NET_TCP, "10.1.2.3", 80, false);
    rig_turn(&t->rig);
}
