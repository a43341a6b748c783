#include "testing/rig.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_tick(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)w, (void)events;
}

void rig_open(struct rig *r)
{
    struct err e;
    memset(r, 0, sizeof *r);
    assert_int_equal(loop_init(&r->loop, 0, STAT_FIXED + 8, &e), 0);
    r->policy = POLICY_DEFAULT;
    ev_timer_init(&r->tick, on_tick, 0.005, 0.005);
    ev_timer_start(r->loop.ev, &r->tick);
}

void rig_close(struct rig *r)
{
    rig_turn(r);
    assert_null(list_first(&r->loop.flows));
    assert_int_equal(rig_stat(r, STAT_flows_live), 0);
    ev_timer_stop(r->loop.ev, &r->tick);
    loop_drop_stragglers(&r->loop);
    loop_fini(&r->loop);
}

int64_t rig_stat(struct rig *r, int slot)
{
    return r->loop.counters[slot].value;
}

void rig_turn(struct rig *r)
{
    for (int i = 0; i < 1000 && (i < 3 || loop_is_busy(&r->loop)); i++)
        ev_run(r->loop.ev, EVRUN_NOWAIT);
    assert_false(loop_is_busy(&r->loop));
}

void rig_step(struct rig *r)
{
    ev_run(r->loop.ev, EVRUN_ONCE);
}

/* --- an end --- */

static void rig_end_keep(struct rig_end *e, const struct buf *b)
{
    if (e->len + b->len > e->room) {
        e->room = 2 * (e->len + b->len);
        e->got = realloc(e->got, e->room);
        assert_non_null(e->got);
    }
    if (b->len)
        memcpy(e->got + e->len, b->data, b->len);
    e->len += b->len;
    if (e->count < sizeof e->sizes / sizeof *e->sizes)
        e->sizes[e->count] = b->len;
    e->count++;
}

void rig_take(struct rig_end *e)
{
    struct buf *b;
    while ((b = end_take(&e->end))) {
        rig_end_keep(e, b);
        buf_free(&end_loop(&e->end)->bufs, b);
    }
    e->eof = end_at_eof(&e->end);
}

static void rig_end_wake(struct end *end)
{
    struct rig_end *e = container_of(end, struct rig_end, end);
    e->wakes++;
    if (e->idle)
        return;
    rig_take(e);
    if (!e->stays && (end_failed(end) || end_peer_left(end)))
        rig_leave(e, NULL);
}

static void rig_end_drain(struct end *e)
{
    container_of(e, struct rig_end, end)->drains++;
}

const struct end_ops rig_end_ops = {.wake = rig_end_wake, .drain = rig_end_drain};

struct flow *rig_flow(struct rig *r, struct rig_end *e, enum net net)
{
    const struct meta m = {.net = net, .inbound_tag = "in"};
    *e = (struct rig_end){.idle = e->idle, .stays = e->stays};
    ev_now_update(r->loop.ev); /* what the test did before may have taken longer than a flow may */
    struct flow *f = flow_new(&r->loop, &e->end, &rig_end_ops, &m, &r->policy);
    assert_non_null(f);
    return f;
}

void rig_join(struct flow *f, struct rig_end *e)
{
    *e = (struct rig_end){.idle = e->idle, .stays = e->stays};
    flow_join(f, &e->end, &rig_end_ops);
}

void rig_leave(struct rig_end *e, const struct err *why)
{
    const struct flow *f = e->end.flow;
    e->failed = end_failed(&e->end);
    if (f->why)
        snprintf(e->why, sizeof e->why, "%s", f->why);
    e->left = true;
    end_leave(&e->end, why);
}

void rig_end_free(struct rig_end *e)
{
    free(e->got);
    e->got = NULL;
}

static void rig_outbound_open(struct outbound *out, struct flow *f)
{
    struct rig_outbound *o = container_of(out, struct rig_outbound, out);
    assert_true(o->count < o->room);
    rig_join(f, &o->ends[o->count++]);
}

static const struct outbound_ops rig_outbound_ops = {.open = rig_outbound_open};

void rig_outbound_init(struct rig_outbound *o, struct rig *r, struct rig_end *ends, size_t room)
{
    *o = (struct rig_outbound){.out = {.ops = &rig_outbound_ops, .loop = &r->loop, .tag = "out"},
                               .ends = ends,
                               .room = room};
}

/* --- sockets --- */

struct addr rig_addr(const char *host, uint16_t port)
{
    struct addr a = {.port = port};
    struct err e;
    assert_int_equal(addr_parse_host(&a, host, strlen(host), &e), 0);
    return a;
}

struct addr rig_addr_of(int fd)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    struct addr a;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
    addr_from_sockaddr(&a, (struct sockaddr *)&ss);
    return a;
}

static int rig_bound(int type, struct addr *at)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof sin), 0);
    *at = rig_addr_of(fd);
    return fd;
}

int rig_listen(struct addr *at, int backlog)
{
    int fd = rig_bound(SOCK_STREAM, at);
    assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

/* With SO_REUSEADDR on both, who listens may share a port with who does not. */
static int reusable_at(const struct addr *at)
{
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(at, &ss);
    int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&ss, len), 0);
    return fd;
}

int rig_hold_port(uint16_t *port)
{
    struct addr any = rig_addr("0.0.0.0", 0);
    int fd = reusable_at(&any);
    *port = rig_addr_of(fd).port;
    return fd;
}

int rig_listen_at(const struct addr *at, int backlog)
{
    int fd = reusable_at(at);
    assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

int rig_udp(struct addr *at)
{
    return rig_bound(SOCK_DGRAM, at);
}

int rig_connect(const struct addr *to)
{
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(to, &ss);
    int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&ss, len), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

int rig_accept(struct rig *r, int fd)
{
    int got = -1;
    RIG_UNTIL(r, (got = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0);
    return got;
}

void rig_pair(int fds[2])
{
    struct addr at;
    int listening = rig_listen(&at, 1);
    fds[0] = rig_connect(&at);
    fds[1] = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fds[1] >= 0);
    close(listening);
}

int rig_next_fd(void)
{
    int fd = dup(STDERR_FILENO);
    assert_true(fd >= 0);
    close(fd);
    return fd;
}

void rig_send(struct rig *r, int fd, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    while (len) {
        ssize_t n = -1;
        RIG_UNTIL(r, (n = send(fd, p, len, MSG_NOSIGNAL)) >= 0 || errno != EAGAIN);
        assert_true(n > 0);
        p += n;
        len -= (size_t)n;
    }
}

void rig_say(struct rig *r, int fd, const char *text)
{
    rig_send(r, fd, text, strlen(text));
}

void rig_expect(struct rig *r, int fd, const void *bytes, size_t len)
{
    uint8_t *got = malloc(len);
    assert_non_null(got);
    for (size_t have = 0; have < len;) {
        ssize_t n = -1;
        RIG_UNTIL(r, (n = recv(fd, got + have, len - have, 0)) >= 0 || errno != EAGAIN);
        if (n <= 0)
            fail_msg("%zu of %zu bytes came, then %s", have, len, n ? strerror(errno) : "the end");
        have += (size_t)n;
    }
    assert_memory_equal(got, bytes, len);
    free(got);
}

void rig_hear(struct rig *r, int fd, const char *text)
{
    rig_expect(r, fd, text, strlen(text));
}

int rig_drain(struct rig *r, int fd, size_t *len)
{
    uint8_t got[64 * 1024];
    size_t total = 0;
    for (;;) {
        ssize_t n = -1;
        RIG_UNTIL(r, (n = recv(fd, got, sizeof got, 0)) >= 0 || errno != EAGAIN);
        int error = n < 0 ? errno : 0;
        total += n > 0 ? (size_t)n : 0;
        if (len)
            *len = total;
        if (n <= 0)
            return error;
    }
}

bool rig_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

void rig_abort(int fd)
{
    struct linger linger = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(fd);
}

static uint8_t pattern_at(size_t position)
{
    return (uint8_t)(position * 31 + (position >> 8) * 7);
}

void rig_pattern(uint8_t *to, size_t len, size_t position)
{
    for (size_t i = 0; i < len; i++)
        to[i] = pattern_at(position + i);
}

void rig_check_pattern(const uint8_t *from, size_t len, size_t position)
{
    for (size_t i = 0; i < len; i++)
        if (from[i] != pattern_at(position + i))
            fail_msg("byte %zu is wrong", position + i);
}
