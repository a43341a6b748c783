#include "testing/rig.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/listen.h"

enum { MOST = 300 };

struct door {
    struct rig rig;
    struct listener ln;
    struct addr at;
    int fds[MOST];
    struct addr from[MOST];
    size_t count;
    bool refuses;
};

static void on_accepted(struct listener *ln, int fd, const struct addr *from)
{
    struct door *d = ln->owner;
    assert_true(d->count < MOST);
    if (d->refuses) {
        listen_refuse(fd);
        return;
    }
    d->from[d->count] = *from;
    d->fds[d->count++] = fd;
}

/* What the kernel says of a redirection: only one that may change its tables can make a real one. */
static struct {
    int level; /* at which it answers; 0: at none */
    struct addr to;
} redirection;

int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
    struct sockaddr_storage ss;
    if (name != 80 || (level != IPPROTO_IP && level != IPPROTO_IPV6))
        return __real_getsockopt(fd, level, name, value, len);
    if (level != redirection.level) {
        errno = ENOENT;
        return -1;
    }
    *len = addr_to_sockaddr(&redirection.to, &ss);
    memcpy(value, &ss, *len);
    return 0;
}

static int open_one(const struct addr *at, int socktype)
{
    struct err e;
    int fd;
    assert_int_equal(listen_open(at, socktype, &fd, 1, &e), 0);
    return fd;
}

static void door_open_at(struct door *d, const struct addr *at)
{
    memset(d, 0, sizeof *d);
    rig_open(&d->rig);
    listen_start(&d->ln, &d->rig.loop, open_one(at, SOCK_STREAM), on_accepted, d);
    d->at = rig_addr_of(d->ln.fd);
}

static void door_open(struct door *d)
{
    struct addr at = rig_addr("127.0.0.1", 0);
    door_open_at(d, &at);
}

static void door_drop(struct door *d)
{
    while (d->count)
        close(d->fds[--d->count]);
}

static void door_close(struct door *d)
{
    door_drop(d);
    listen_stop(&d->ln);
    rig_close(&d->rig);
}

static void set_limit(rlim_t files)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = files;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static rlim_t get_limit(void)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    return limit.rlim_cur;
}

static void accepted_sockets_do_not_block_and_tell_from_where(void **state)
{
    (void)state;
    struct door d;
    door_open(&d);
    int client = rig_connect(&d.at);
    RIG_UNTIL(&d.rig, d.count == 1);
    assert_true(fcntl(d.fds[0], F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(d.fds[0], F_GETFD) & FD_CLOEXEC);
    struct addr here = rig_addr_of(client);
    assert_true(addr_equal(&d.from[0], &here));
    assert_int_equal(rig_stat(&d.rig, STAT_accepts), 1);
    close(d.fds[0]); /* born armed: without an orderly end it is a reset */
    d.count = 0;
    assert_int_equal(rig_drain(&d.rig, client, NULL), ECONNRESET);
    close(client);
    door_close(&d);
}

static void many_at_once_are_all_accepted(void **state)
{
    (void)state;
    struct door d;
    int clients[200];
    door_open(&d);
    for (int i = 0; i < 200; i++)
        clients[i] = rig_connect(&d.at);
    rig_turn(&d.rig);
    RIG_UNTIL(&d.rig, d.count == 200);
    for (int i = 0; i < 200; i++)
        close(clients[i]);
    door_close(&d);
}

static void who_went_while_many_waited_is_not_accepted(void **state)
{
    (void)state;
    struct door d;
    int clients[60];
    door_open(&d);
    for (int i = 0; i < 60; i++)
        clients[i] = rig_connect(&d.at);
    for (int i = 20; i < 50; i++)
        rig_abort(clients[i]);
    rig_turn(&d.rig);
    RIG_UNTIL(&d.rig, rig_stat(&d.rig, STAT_accepts) == 60);
    assert_int_equal(d.count, 30);
    for (int i = 0; i < 60; i++)
        if (i < 20 || i >= 50)
            close(clients[i]);
    door_close(&d);
}

static void on_other_socket(struct ev_loop *ev, ev_io *w, int events)
{
    (void)events;
    struct door *d = w->data;
    ev_io_stop(ev, w);
    assert_int_equal(d->count, 0);
}

/* A link that has ended is thus known before a visitor is put on it. */
static void what_other_sockets_have_is_read_before_somebody_is_accepted(void **state)
{
    (void)state;
    struct door d;
    ev_io other;
    int ends[2];
    char byte;
    assert_int_equal(pipe(ends), 0);
    for (int order = 0; order < 2; order++) {
        door_open(&d);
        ev_io_init(&other, on_other_socket, ends[0], EV_READ);
        other.data = &d;
        ev_io_start(d.rig.loop.ev, &other);
        rig_turn(&d.rig);
        if (order == 0)
            assert_int_equal(write(ends[1], "x", 1), 1);
        int client = rig_connect(&d.at);
        if (order == 1)
            assert_int_equal(write(ends[1], "x", 1), 1);
        RIG_UNTIL(&d.rig, d.count == 1);
        assert_false(ev_is_active(&other));
        assert_int_equal(read(ends[0], &byte, 1), 1);
        close(client);
        door_close(&d);
    }
    close(ends[0]);
    close(ends[1]);
}

static void every_address_means_both_families(void **state)
{
    (void)state;
    static const char *const hosts[] = {"127.0.0.1", "127.0.0.9", "::1"};
    struct addr any = {.type = ADDR_NONE};
    struct door d;
    door_open_at(&d, &any);
    if (d.at.type != ADDR_IPV6) { /* a host without IPv6 */
        door_close(&d);
        skip();
    }
    for (size_t i = 0; i < 3; i++) {
        struct addr to = rig_addr(hosts[i], d.at.port);
        int client = rig_connect(&to);
        RIG_UNTIL(&d.rig, d.count == i + 1);
        assert_int_equal(d.from[i].type, to.type); /* not a mapped one */
        close(client);
    }
    door_close(&d);
}

/* Neither by one nor by several, of whatever type: this is how a second process fails. */
static void assert_taken(const struct addr *at, int socktype)
{
    struct err e;
    int fds[3], next = rig_next_fd();
    for (unsigned count = 1; count <= 3; count += 2) {
        assert_int_equal(listen_open(at, socktype, fds, count, &e), -1);
        assert_int_equal(e.code, EADDRINUSE);
        assert_non_null(strstr(e.text, "listen on "));
        for (unsigned i = 0; i < count; i++)
            assert_int_equal(fds[i], -1);
        assert_int_equal(rig_next_fd(), next); /* nothing is left open */
    }
}

static void a_port_is_taken_once(void **state)
{
    (void)state;
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM};
    for (size_t t = 0; t < 2; t++)
        for (unsigned count = 1; count <= 4; count++) {
            struct addr at = rig_addr("127.0.0.1", 0);
            struct err e;
            int fds[4];
            assert_int_equal(listen_open(&at, types[t], fds, count, &e), 0);
            at = rig_addr_of(fds[0]);
            assert_taken(&at, types[t]);
            assert_taken(&(struct addr){.type = ADDR_NONE, .port = at.port}, types[t]);
            listen_close(fds, count);
            assert_int_equal(listen_open(&at, types[t], fds, count, &e), 0);
            listen_close(fds, count);
        }
}

/* After a restart the port still has connections of the last run. */
static void a_port_with_old_connections_is_taken_again(void **state)
{
    (void)state;
    for (unsigned count = 1; count <= 3; count += 2) {
        struct door d;
        struct err e;
        int fds[3];
        door_open(&d);
        int client = rig_connect(&d.at);
        RIG_UNTIL(&d.rig, d.count == 1);
        shutdown(d.fds[0], SHUT_WR);
        struct addr at = d.at;
        close(client);
        listen_stop(&d.ln);
        assert_int_equal(listen_open(&at, SOCK_STREAM, fds, count, &e), 0);
        listen_close(fds, count);
        door_drop(&d);
        rig_close(&d.rig);
    }
}

enum { LOOPS = 4, CLIENTS = 64 };

static void workers_share_a_port(void **state)
{
    (void)state;
    struct rig r;
    struct addr at = rig_addr("127.0.0.1", 0);
    struct listener ln[LOOPS];
    struct door d[LOOPS];
    struct err e;
    int fds[LOOPS], clients[CLIENTS];
    size_t used = 0, count = 0;
    rig_open(&r);
    memset(d, 0, sizeof d);
    assert_int_equal(listen_open(&at, SOCK_STREAM, fds, LOOPS, &e), 0);
    at = rig_addr_of(fds[0]);
    for (size_t i = 0; i < LOOPS; i++)
        listen_start(&ln[i], &r.loop, fds[i], on_accepted, &d[i]);
    for (size_t i = 0; i < CLIENTS; i++)
        clients[i] = rig_connect(&at);
    RIG_UNTIL(&r, d[0].count + d[1].count + d[2].count + d[3].count == CLIENTS);
    for (size_t i = 0; i < LOOPS; i++) {
        used += d[i].count > 0;
        while (d[i].count)
            close(d[i].fds[--d[i].count]);
        listen_stop(&ln[i]);
    }
    assert_in_range(used, 2, LOOPS);
    while (count < CLIENTS)
        close(clients[count++]);
    rig_close(&r);
}

/* One source's datagrams all come to the same socket. */
static void workers_share_a_datagram_port(void **state)
{
    (void)state;
    struct addr at = rig_addr("127.0.0.1", 0), from;
    struct err e;
    int fds[LOOPS];
    size_t used[LOOPS] = {0}, sockets = 0;
    assert_int_equal(listen_open(&at, SOCK_DGRAM, fds, LOOPS, &e), 0);
    at = rig_addr_of(fds[0]);
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(&at, &ss);
    for (size_t i = 0; i < CLIENTS; i++) {
        int client = rig_udp(&from);
        size_t got = 0;
        char byte;
        for (int n = 0; n < 3; n++)
            assert_int_equal(sendto(client, "x", 1, 0, (struct sockaddr *)&ss, len), 1);
        for (size_t k = 0; k < LOOPS; k++) {
            size_t here = 0;
            while (recv(fds[k], &byte, 1, MSG_DONTWAIT) == 1)
                here++;
            assert_true(here == 0 || here == 3);
            used[k] += here;
            got += here;
        }
        assert_int_equal(got, 3);
        close(client);
    }
    for (size_t i = 0; i < LOOPS; i++)
        sockets += used[i] > 0;
    assert_in_range(sockets, 2, LOOPS);
    listen_close(fds, LOOPS);
}

static void an_address_that_is_not_ours_is_refused(void **state)
{
    (void)state;
    struct addr at = rig_addr("192.0.2.1", 0);
    struct err e;
    int fd;
    assert_int_equal(listen_open(&at, SOCK_STREAM, &fd, 1, &e), -1);
    assert_int_equal(e.code, EADDRNOTAVAIL);
}

static void who_waits_goes_with_the_socket(void **state)
{
    (void)state;
    struct door d, heir;
    struct listener next;
    door_open(&d);
    memset(&heir, 0, sizeof heir);
    int client = rig_connect(&d.at);
    listen_start(&next, &d.rig.loop, listen_release(&d.ln), on_accepted, &heir);
    RIG_UNTIL(&d.rig, heir.count == 1);
    assert_int_equal(d.count, 0);
    close(heir.fds[0]);
    close(client);
    listen_stop(&next);
    rig_close(&d.rig);
}

static void draining_accepts_who_waits_and_then_refuses(void **state)
{
    (void)state;
    struct door d;
    struct sockaddr_storage ss;
    door_open(&d);
    int clients[8];
    for (size_t i = 0; i < 8; i++)
        clients[i] = rig_connect(&d.at);
    listen_drain(&d.ln);
    assert_int_equal(d.count, 8);
    socklen_t len = addr_to_sockaddr(&d.at, &ss);
    int late = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(late, (struct sockaddr *)&ss, len), -1);
    close(late);
    for (size_t i = 0; i < 8; i++)
        close(clients[i]);
    door_drop(&d);
    rig_close(&d.rig);
}

static void refusing_is_a_reset(void **state)
{
    (void)state;
    struct door d;
    door_open(&d);
    d.refuses = true;
    int client = rig_connect(&d.at);
    assert_int_equal(rig_drain(&d.rig, client, NULL), ECONNRESET);
    close(client);
    door_close(&d);
}

/* No descriptor is left: the connection waits, the loop does not spin, and later it is accepted. */
static void without_descriptors_accepting_pauses_and_resumes(void **state)
{
    (void)state;
    struct door d;
    door_open(&d);
    rlim_t before = get_limit();
    int client = rig_connect(&d.at);
    set_limit((rlim_t)client + 1);
    RIG_UNTIL(&d.rig, rig_stat(&d.rig, STAT_accepts_paused) == 3);
    ev_timer_stop(d.rig.loop.ev, &d.rig.tick);
    unsigned turns = 0;
    for (ev_tstamp end = ev_time() + 0.35; ev_time() < end; turns++)
        rig_step(&d.rig);
    assert_in_range(turns, 3, 20); /* a pause and an attempt each, not a thousand */
    assert_in_range(rig_stat(&d.rig, STAT_accepts_paused), 4, 8);
    assert_int_equal(d.count, 0);
    set_limit(before);
    RIG_UNTIL(&d.rig, d.count == 1);
    close(client);
    door_close(&d);
}

/* Visitors leave the last descriptors to others: who would take them is refused. */
static void visitors_leave_a_reserve(void **state)
{
    (void)state;
    enum { LIMIT = 200 };
    struct door d;
    int clients[LIMIT], count = 0, client;
    rlim_t before = get_limit();
    set_limit(LIMIT);
    door_open(&d);
    assert_in_range(d.ln.fd_max, LIMIT / 2, LIMIT - 10);
    do {
        client = rig_connect(&d.at);
        clients[count++] = client;
        RIG_UNTIL(&d.rig, d.count == (size_t)count || rig_stat(&d.rig, STAT_accepts_paused));
    } while (!rig_stat(&d.rig, STAT_accepts_paused));
    assert_int_equal(rig_drain(&d.rig, client, NULL), ECONNRESET);
    for (size_t i = 0; i < d.count; i++)
        assert_true(d.fds[i] < d.ln.fd_max);
    while (count)
        close(clients[--count]);
    size_t accepted = d.count;
    door_drop(&d);
    assert_true(accepted > 20);
    client = rig_connect(&d.at);
    RIG_UNTIL(&d.rig, d.count == 1);
    close(client);
    door_close(&d);
    set_limit(before);
}

static void a_stopped_listener_refuses(void **state)
{
    (void)state;
    struct door d;
    struct sockaddr_storage ss;
    door_open(&d);
    socklen_t len = addr_to_sockaddr(&d.at, &ss);
    listen_stop(&d.ln);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&ss, len), -1);
    assert_int_equal(errno, ECONNREFUSED);
    close(fd);
    rig_close(&d.rig);
}

static void where_a_redirected_connection_was_going_is_known(void **state)
{
    (void)state;
    struct rig r;
    struct addr at, to = {0};
    char text[ADDR_TEXT_MAX];
    rig_open(&r);
    int listens = rig_listen(&at, 4), client = rig_connect(&at), fd = rig_accept(&r, listens);
    redirection.level = 0;
    assert_false(listen_redirected(fd, &to));
    assert_int_equal(to.type, ADDR_NONE);
    redirection.to = rig_addr("192.0.2.7", 443);
    redirection.level = IPPROTO_IP;
    assert_true(listen_redirected(fd, &to));
    assert_string_equal(addr_text(&to, text), "192.0.2.7:443");
    redirection.to = rig_addr("2001:db8::7", 80);
    redirection.level = IPPROTO_IPV6;
    assert_true(listen_redirected(fd, &to));
    assert_string_equal(addr_text(&to, text), "[2001:db8::7]:80");
    redirection.to = at; /* it came here by itself */
    redirection.level = IPPROTO_IP;
    assert_false(listen_redirected(fd, &to));
    redirection.level = 0;
    close(listens);
    close(client);
    close(fd);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted_sockets_do_not_block_and_tell_from_where),
        cmocka_unit_test(many_at_once_are_all_accepted),
        cmocka_unit_test(who_went_while_many_waited_is_not_accepted),
        cmocka_unit_test(what_other_sockets_have_is_read_before_somebody_is_accepted),
        cmocka_unit_test(every_address_means_both_families),
        cmocka_unit_test(a_port_is_taken_once),
        cmocka_unit_test(a_port_with_old_connections_is_taken_again),
        cmocka_unit_test(workers_share_a_port),
        cmocka_unit_test(workers_share_a_datagram_port),
        cmocka_unit_test(who_waits_goes_with_the_socket),
        cmocka_unit_test(draining_accepts_who_waits_and_then_refuses),
        cmocka_unit_test(an_address_that_is_not_ours_is_refused),
        cmocka_unit_test(refusing_is_a_reset),
        cmocka_unit_test(without_descriptors_accepting_pauses_and_resumes),
        cmocka_unit_test(visitors_leave_a_reserve),
        cmocka_unit_test(a_stopped_listener_refuses),
        cmocka_unit_test(where_a_redirected_connection_was_going_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
