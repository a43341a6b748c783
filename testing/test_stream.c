#include "testing/rig.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/stream.h"

struct wire {
    struct stream stream;
    unsigned readable, writable;
};

static void on_ready(struct stream *s, bool readable, bool writable)
{
    struct wire *w = container_of(s, struct wire, stream);
    w->readable += readable;
    w->writable += writable;
}

/* A stream and its peer's socket. */
static int wire_open(struct wire *w, struct rig *r)
{
    int fds[2];
    rig_open(r);
    rig_pair(fds);
    stream_prepare(fds[0]);
    *w = (struct wire){0};
    stream_open(&w->stream, &r->loop, fds[0], on_ready);
    return fds[1];
}

static void wire_close(struct wire *w, struct rig *r, int peer)
{
    stream_close(&w->stream);
    close(peer);
    rig_close(r);
}

static ssize_t wire_write(struct wire *w, const void *bytes, size_t len)
{
    char copy[64];
    struct iovec iov = {copy, len};
    memcpy(copy, bytes, len);
    return stream_writev(&w->stream, &iov, 1);
}

static ssize_t wire_read(struct wire *w, void *to, size_t len)
{
    struct iovec iov = {to, len};
    return stream_readv(&w->stream, &iov, 1);
}

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof value;
    assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

static void reading_tells_again_bytes_and_the_end(void **state)
{
    (void)state;
    struct rig r;
    struct wire w;
    char got[8];
    int peer = wire_open(&w, &r);
    assert_int_equal(wire_read(&w, got, sizeof got), STREAM_AGAIN);
    rig_say(&r, peer, "abc");
    assert_int_equal(wire_read(&w, got, sizeof got), 3);
    shutdown(peer, SHUT_WR);
    assert_int_equal(wire_read(&w, got, sizeof got), 0);
    wire_close(&w, &r, peer);
}

static void reading_tells_a_reset(void **state)
{
    (void)state;
    struct rig r;
    struct wire w;
    char got[8];
    int peer = wire_open(&w, &r);
    rig_abort(peer);
    assert_int_equal(wire_read(&w, got, sizeof got), STREAM_ERROR);
    assert_int_equal(errno, ECONNRESET);
    assert_int_equal(wire_write(&w, "a", 1), STREAM_ERROR); /* no SIGPIPE */
    assert_int_equal(errno, EPIPE);
    stream_close(&w.stream);
    rig_close(&r);
}

static void writing_stops_when_the_peer_does_not_read(void **state)
{
    (void)state;
    struct rig r;
    struct wire w;
    size_t len = 1 << 20, sent = 0, got;
    char *bytes = calloc(1, len);
    struct iovec iov = {bytes, len};
    ssize_t n;
    int peer = wire_open(&w, &r);
    while ((n = stream_writev(&w.stream, &iov, 1)) > 0)
        sent += (size_t)n;
    assert_int_equal(n, STREAM_AGAIN);
    stream_want(&w.stream, false, true);
    rig_turn(&r);
    assert_int_equal(w.writable, 0);
    stream_close(&w.stream); /* what was written is still delivered */
    assert_int_equal(rig_drain(&r, peer, &got), 0);
    assert_int_equal(got, sent);
    free(bytes);
    wire_close(&w, &r, peer);
}

static void only_what_is_wanted_is_told(void **state)
{
    (void)state;
    struct rig r;
    struct wire w;
    int peer = wire_open(&w, &r);
    rig_say(&r, peer, "abc");
    rig_turn(&r);
    assert_int_equal(w.readable + w.writable, 0);
    stream_want(&w.stream, true, false);
    stream_want(&w.stream, true, false);
    RIG_UNTIL(&r, w.readable > 0);
    assert_int_equal(w.writable, 0);
    stream_want(&w.stream, false, true);
    w.readable = 0;
    RIG_UNTIL(&r, w.writable > 0);
    assert_int_equal(w.readable, 0);
    wire_close(&w, &r, peer);
}

static void shut_ends_one_way_only(void **state)
{
    (void)state;
    struct rig r;
    struct wire w;
    char got[8];
    int peer = wire_open(&w, &r);
    assert_int_equal(wire_write(&w, "last", 4), 4);
    stream_shut(&w.stream);
    rig_hear(&r, peer, "last");
    assert_int_equal(rig_drain(&r, peer, NULL), 0);
    rig_say(&r, peer, "more");
    assert_int_equal(wire_read(&w, got, sizeof got), 4);
    wire_close(&w, &r, peer);
}

/* The orderly end is what must be asked for: a descriptor that just vanishes is a reset. */
static void only_close_ends_well(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        struct rig r;
        struct wire w;
        int peer = wire_open(&w, &r), fd = w.stream.fd;
        if (how == 0)
            stream_close(&w.stream);
        else if (how == 1)
            stream_reset(&w.stream);
        else
            close(fd);
        assert_int_equal(rig_drain(&r, peer, NULL), how ? ECONNRESET : 0);
        assert_int_equal(w.stream.fd, how == 2 ? fd : -1);
        w.stream.fd = -1;
        stream_reset(&w.stream); /* of a closed one: nothing */
        wire_close(&w, &r, peer);
    }
}

static void a_prepared_socket_finds_dead_peers_and_does_not_delay(void **state)
{
    (void)state;
    struct rig r;
    struct wire w;
    int peer = wire_open(&w, &r), fd = w.stream.fd;
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_in_range(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 1, 60);
    stream_prepare_carrier(&w.stream);
    assert_in_range(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 1000, 60000);
    wire_close(&w, &r, peer);
}

static void connecting_ends_with_success_or_an_errno(void **state)
{
    (void)state;
    struct addr at;
    struct sockaddr_storage ss;
    int listening = rig_listen(&at, 8);
    socklen_t len = addr_to_sockaddr(&at, &ss);
    for (int refused = 0; refused < 2; refused++) {
        struct rig r;
        struct wire w = {0};
        rig_open(&r);
        if (refused)
            close(listening);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        int result = connect(fd, (struct sockaddr *)&ss, len);
        stream_open(&w.stream, &r.loop, fd, on_ready);
        w.stream.connecting = true;
        if (result == 0 || errno == EINPROGRESS) {
            stream_want(&w.stream, false, true);
            RIG_UNTIL(&r, w.writable);
            assert_int_equal(stream_connected(&w.stream), refused ? ECONNREFUSED : 0);
            assert_int_equal(w.stream.connecting, refused);
        }
        stream_close(&w.stream);
        rig_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading_tells_again_bytes_and_the_end),
        cmocka_unit_test(reading_tells_a_reset),
        cmocka_unit_test(writing_stops_when_the_peer_does_not_read),
        cmocka_unit_test(only_what_is_wanted_is_told),
        cmocka_unit_test(shut_ends_one_way_only),
        cmocka_unit_test(only_close_ends_well),
        cmocka_unit_test(a_prepared_socket_finds_dead_peers_and_does_not_delay),
        cmocka_unit_test(connecting_ends_with_success_or_an_errno),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
