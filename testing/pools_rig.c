#include "testing/pools_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "testing/clock.h"

const struct user alice = {.email = "alice", .traffic = {-1, -1}, .may_link = true},
                  bob = {.email = "bob", .traffic = {-1, -1}, .may_link = true},
                  guest = {.email = "guest", .traffic = {-1, -1}};

const struct portal_claim alices_claim = {.user = "alice",
                                          .tunnels = PATTERNS("web", "shop", "$ssh"),
                                          .hosts = PATTERNS(".alice.example"),
                                          .nodes = PATTERNS("*"),
                                          .clusters = PATTERNS("west")},
                          bobs_claim = {.user = "bob",
                                        .tenant = "b",
                                        .tunnels = PATTERNS("*"),
                                        .hosts = PATTERNS("*"),
                                        .nodes = PATTERNS("*"),
                                        .clusters = PATTERNS("*")};
static const struct portal_claim guests = {.user = "guest", .visits = PATTERNS("ssh")},
                                 *const claims[] = {&alices_claim, &bobs_claim, &guests};

static void portal_begin(struct test *t, int loop)
{
    struct portal_rig *r = &t->at[loop];
    portal_rig_init(r, t->shards, (unsigned)loop);
    portal_rig_stop(r);
    r->conf.domain = "*.Tunnel.Test";
    r->conf.users = NULL;
    r->conf.user_count = 0;
    r->conf.max_tunnels = 1000;
    r->conf.claims = claims;
    r->conf.claim_count = 3;
    r->conf.has_private = true;
    r->portal = portal_new(&r->rig.loop, &r->conf, t->shards);
    assert_non_null(r->portal);
}

int pools_open(void **state)
{
    struct test *t = calloc(1, sizeof *t);
    if (!t)
        return -1;
    t->shards = portal_shards_new(2);
    portal_begin(t, 0);
    portal_begin(t, 1);
    *state = t;
    return 0;
}

void turn(struct test *t)
{
    for (int i = 0; i < 8; i++)
        rig_turn(&t->at[i % 2].rig);
}

int pools_close(void **state)
{
    struct test *t = *state;
    for (int i = 0; i < 2; i++)
        portal_rig_stop(&t->at[i]);
    for (int i = 0; i < 2; i++)
        for (struct far *f = t->at[i].rig.fars; f; f = f->next)
            if (!f->left)
                far_leave(f, ECANCELED);
    turn(t);
    bool none = t->shards->tunnels.count == 0 && t->shards->carriers == 0;
    bool clean[] = {portal_rig_fini(&t->at[0]), portal_rig_fini(&t->at[1])};
    portal_shards_free(t->shards);
    free(t);
    return clean[0] && clean[1] && none ? 0 : -1;
}

struct portal *portal_at(struct test *t, int loop)
{
    return container_of(t->at[loop].portal, struct portal, out);
}

void wait_for(struct test *t, double seconds)
{
    static const double STEP = 0.5;
    for (; seconds > 0; seconds -= STEP) {
        clock_forward(STEP);
        for (int i = 0; i < 2; i++)
            for (size_t n = 0; n < t->at[i].bridge_count; n++)
                if (!t->at[i].bridges[n]->left && !t->at[i].bridges[n]->refuses)
                    far_say_frame(t->at[i].bridges[n], &(struct mux_frame){.status = MUX_KEEPALIVE},
                                  NULL);
        turn(t);
    }
}

struct far *bridge_to(struct test *t, int loop, const struct user *u, const char *domain,
                      uint64_t instance)
{
    struct portal_rig *r = &t->at[loop];
    struct far *f =
        portal_asked(r, domain, (struct meta){.net = NET_TCP, .user = u, .by_rule = true});
    assert_true(r->bridge_count < BRIDGES_MAX);
    r->bridges[r->bridge_count++] = f;
    if (!f->failed)
        far_say_item(f, &(struct link_item){.type = LINK_HELLO,
                                            .hello = {.version = LINK_VERSION,
                                                      .datagram_max = BUF_DATA,
                                                      .features = LINK_FEATURES,
                                                      .window = 64 * 1024,
                                                      .streams = 8192,
                                                      .instance = instance}});
    turn(t);
    return f;
}

struct far *bridge(struct test *t, const struct user *u, const char *id)
{
    static uint64_t instance;
    char domain[128];
    snprintf(domain, sizeof domain, "%s.tunnel.test", id);
    return bridge_to(t, 0, u, domain, ++instance);
}

struct link_text text(const char *s)
{
    return (struct link_text){.p = s, .len = (uint8_t)strlen(s)};
}

void say_names(struct test *t, struct far *f, const char *node, const char *cluster,
               const char *tenant, uint8_t weight)
{
    far_say_item(f, &(struct link_item){.type = LINK_NAMES,
                                        .names = {.weight = weight,
                                                  .node = text(node),
                                                  .cluster = text(cluster),
                                                  .tenant = text(tenant)}});
    turn(t);
}

struct far *visitor_from(struct test *t, int loop, enum tunnel_by by, const char *tenant,
                         const char *name, const char *source)
{
    struct meta m = {.net = NET_TCP, .tunnel = {.tenant = tenant, .by = (uint8_t)by}};
    struct err e;
    strcpy(m.tunnel.text, name);
    if (source)
        assert_int_equal(addr_parse_host(&m.source, source, strlen(source), &e), 0);
    struct far *f = portal_asked(&t->at[loop], "site.example", m);
    turn(t);
    return f;
}

struct far *visitor(struct test *t, enum tunnel_by by, const char *tenant, const char *name)
{
    return visitor_from(t, 0, by, tenant, name, NULL);
}

struct far *visit(struct test *t, const char *id)
{
    return visitor(t, TUNNEL_BY_ID, NULL, id);
}

unsigned streams(struct test *t, struct far *wire)
{
    turn(t);
    return hear(&t->at[0], wire)->new_count;
}

void assert_told(struct test *t, struct far *wire, const char *why)
{
    struct said *s = hear(&t->at[0], wire);
    const struct link_item *told = NULL, *going = NULL;
    for (unsigned i = 0; i < s->item_count; i++) {
        told = s->items[i].type == LINK_WHY ? &s->items[i] : told;
        going = s->items[i].type == LINK_GOAWAY ? &s->items[i] : going;
    }
    assert_non_null(told);
    assert_non_null(going);
    assert_int_equal(told->why.len, strlen(why));
    assert_memory_equal(told->why.p, why, told->why.len);
    assert_int_equal(going->going.reason, GOING_REFUSED);
    assert_int_equal(going->going.wait, 10000);
    assert_int_equal(s->new_count, 0);
    wait_for(t, 3);
    assert_true(wire->left && !wire->failed);
}

struct far *names(struct test *t, const struct user *u, const char *host, uint16_t port)
{
    struct far *f = far_new(&t->at[0].rig);
    struct meta m = {.net = NET_TCP, .user = u, .inbound_tag = "door"};
    struct err e;
    assert_int_equal(addr_parse_host(&m.target, host, strlen(host), &e), 0);
    m.target.port = port;
    t->at[0].portal->ops->open(t->at[0].portal, far_flow(&t->at[0].rig, f, &m));
    turn(t);
    return f;
}

struct link_item host_answer(struct test *t, struct far *wire, const char *name)
{
    far_say_item(wire, &(struct link_item){.type = LINK_HOST, .host = {.name = text(name)}});
    turn(t);
    struct said *s = hear(&t->at[0], wire);
    for (unsigned i = 0; i < s->item_count; i++)
        if (s->items[i].type == LINK_HOST_ANSWER)
            return s->items[i];
    return (struct link_item){0};
}
