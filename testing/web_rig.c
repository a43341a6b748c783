#include "testing/web_rig.h"

#include <stdlib.h>
#include <string.h>

static void peer_leave(struct peer *p, const struct err *why)
{
    p->left = true;
    p->failed = end_failed(&p->end);
    end_leave(&p->end, why);
}

static void peer_wake(struct end *e)
{
    struct peer *p = container_of(e, struct peer, end);
    struct buf *b;
    while (!p->stalls && (b = end_take(e))) {
        assert_true(p->len + b->len < PEER_TEXT);
        memcpy(p->text + p->len, b->data, b->len);
        p->len += b->len;
        buf_free(&end_loop(e)->bufs, b);
    }
    p->text[p->len] = '\0';
    p->eof = end_at_eof(e);
    if (end_failed(e) || (end_at_eof(e) && (end_peer_left(e) || end_sent_eof(e))))
        peer_leave(p, NULL);
}

static const struct end_ops peer_ops = {.wake = peer_wake};

static void open_origin(struct outbound *out, struct flow *f)
{
    struct rig *r = container_of(out, struct rig, origins);
    struct peer *p = r->count < RIG_ORIGINS ? calloc(1, sizeof *p) : NULL;
    struct err why;
    if (!p) {
        err_set(&why, ECONNREFUSED, "no more origins");
        flow_refuse(f, &why);
        return;
    }
    r->target[r->count] = f->meta.target;
    r->origin[r->count++] = p;
    flow_join(f, &p->end, &peer_ops);
    end_opened(&p->end);
}

static void open_nowhere(struct outbound *out, struct flow *f)
{
    struct err why;
    (void)out;
    err_set(&why, EHOSTUNREACH, "no bridge is connected");
    flow_refuse(f, &why);
}

static const struct outbound_ops origin_ops = {.open = open_origin},
                                 nowhere_ops = {.open = open_nowhere};

static void add_route(struct rig *r, const char *host, const char *path, struct route_to to)
{
    struct err e;
    struct hostname_pattern pattern;
    struct route one = {.path = {path, strlen(path)}, .to = to};
    assert_int_equal(hostname_read_pattern(&pattern, host, strlen(host), &e), 0);
    one.host = &pattern;
    assert_int_equal(routes_add(r->routes, &one, &e), 0);
}

static void add_routes(struct rig *r)
{
    struct route_to here = {.kind = ROUTE_OUTBOUND}, gone = {.kind = ROUTE_OUTBOUND, .outbound = 1};
    struct route_to server = {.kind = ROUTE_ADDRESS,
                              .address = {.type = ADDR_IPV4, .port = 8080, .ip = {192, 168, 1, 1}}};
    struct route_to secret = here;
    secret.is_private = true;
    add_route(r, "a.example", "", here);
    add_route(r, "b.example", "", here);
    add_route(r, "gone.example", "", gone);
    add_route(r, "secret.example", "", secret);
    add_route(r, "server.example", "", server);
}

int web_rig_open(void **state)
{
    static const char *const tags[] = {"origins", "nowhere"};
    struct rig *r = calloc(1, sizeof *r);
    struct err e;
    if (!r || loop_init(&r->loop, 0, 100, &e) < 0 || !(r->routes = routes_new()))
        return -1;
    r->policy = POLICY_DEFAULT;
    r->origins = (struct outbound){.ops = &origin_ops, .loop = &r->loop, .tag = tags[0]};
    r->nowhere = (struct outbound){.ops = &nowhere_ops, .loop = &r->loop, .tag = tags[1]};
    r->outbounds[0] = &r->origins;
    r->outbounds[1] = &r->nowhere;
    r->dispatcher = (struct dispatcher){.loop = &r->loop, .outbounds = r->outbounds, .count = 2};
    add_routes(r);
    r->conf = (struct web_conf){.routes = r->routes, .tags = tags, .tag_count = 2};
    r->web = web_new(&r->dispatcher, &r->conf, NULL);
    *state = r;
    return r->web ? 0 : -1;
}

/* Loops until nothing is queued: with `busy` running, each pass returns at once. */
void rig_turn(struct rig *r)
{
    for (int i = 0; i < 1000 && (i < 2 || loop_is_busy(&r->loop)); i++)
        ev_run(r->loop.ev, EVRUN_NOWAIT);
    assert_false(loop_is_busy(&r->loop));
}

/* Every flow must be gone: that is checked after each test. */
int web_rig_close(void **state)
{
    struct rig *r = *state;
    struct err why;
    err_set(&why, ECANCELED, "the test is over");
    if (r->visitor.end.flow && !r->visitor.left)
        peer_leave(&r->visitor, &why);
    rig_turn(r);
    if (r->web)
        web_free(r->web);
    rig_turn(r);
    bool gone = !list_first(&r->loop.flows);
    for (size_t i = 0; i < r->count; i++) {
        gone &= r->origin[i]->left;
        free(r->origin[i]);
    }
    routes_unref(r->routes);
    loop_fini(&r->loop);
    free(r);
    return gone ? 0 : -1;
}

void rig_visit(struct rig *r)
{
    struct meta m = {.net = NET_TCP, .inbound_tag = "door", .outbound_tag = ""};
    struct err e;
    assert_int_equal(addr_parse_host(&m.source, "203.0.113.9", 11, &e), 0);
    memset(&r->visitor, 0, offsetof(struct peer, text) + 1);
    struct flow *f = flow_new(&r->loop, &r->visitor.end, &peer_ops, &m, &r->policy);
    assert_non_null(f);
    web_serve(r->web, f, NULL);
    rig_turn(r);
}

void say(struct rig *r, struct peer *p, const char *text)
{
    assert_false(p->left);
    assert_true(end_write(&p->end, text, strlen(text)));
    rig_turn(r);
}

void ask(struct rig *r, const char *text)
{
    say(r, &r->visitor, text);
}

void forget(struct peer *p)
{
    p->len = 0;
    p->text[0] = '\0';
}

void stop(struct rig *r, struct peer *p)
{
    if (!p->left)
        end_eof(&p->end);
    rig_turn(r);
}

void cut_off(struct rig *r, struct peer *p)
{
    struct err why;
    err_set(&why, ECONNRESET, "reset");
    peer_leave(p, &why);
    rig_turn(r);
}

bool starts(const struct peer *p, const char *text)
{
    return strncmp(p->text, text, strlen(text)) == 0;
}

bool ends(const struct peer *p, const char *text)
{
    size_t len = strlen(text);
    return p->len >= len && memcmp(p->text + p->len - len, text, len) == 0;
}
