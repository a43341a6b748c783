#include "testing/rig.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "testing/names.h"
#include "transport/dial.h"
#include "transport/resolve.h"

/* --- looking up --- */

struct asked {
    unsigned calls;
    struct resolve_answer answer;
};

static void on_answer(void *owner, const struct resolve_answer *a)
{
    struct asked *q = owner;
    q->calls++;
    q->answer = *a;
}

static void localhost_is_looked_up_in_the_hosts_file(void **state)
{
    (void)state;
    struct names s;
    struct asked q = {0};
    names_open(&s);
    assert_non_null(resolve_start(&s.rig.loop, "localhost", DIAL_IPV4, on_answer, &q));
    assert_int_equal(q.calls, 0); /* later, from the loop */
    RIG_UNTIL(&s.rig, q.calls);
    assert_true(q.answer.count >= 1);
    for (size_t i = 0; i < q.answer.count; i++) {
        assert_int_equal(q.answer.addrs[i].type, ADDR_IPV4);
        assert_int_equal(q.answer.addrs[i].ip[0], 127);
    }
    assert_false(rig_readable(s.fd)); /* nobody was asked */
    names_close(&s);
}

static void answers_are_bounded(void **state)
{
    (void)state;
    static const size_t counts[] = {1, 3, RESOLVE_MAX, RESOLVE_MAX + 1, 30}; /* as 512 bytes hold */
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct names s;
        struct asked q = {0};
        names_open(&s);
        assert_non_null(resolve_start(&s.rig.loop, "many.example", DIAL_AS_IS, on_answer, &q));
        RIG_UNTIL(&s.rig, (names_answer(&s, counts[i]), q.calls));
        assert_int_equal(q.calls, 1);
        assert_int_equal(q.answer.count, counts[i] < RESOLVE_MAX ? counts[i] : RESOLVE_MAX);
        names_close(&s);
    }
}

static void a_name_without_addresses_fails(void **state)
{
    (void)state;
    struct names s;
    struct asked q = {0};
    names_open(&s);
    assert_non_null(resolve_start(&s.rig.loop, "none.example", DIAL_AS_IS, on_answer, &q));
    RIG_UNTIL(&s.rig, (names_answer(&s, 0), q.calls));
    assert_int_equal(q.answer.count, 0);
    assert_int_equal(q.answer.why.code, EHOSTUNREACH);
    names_close(&s);
}

static void a_silent_name_server_is_an_error_in_the_end(void **state)
{
    (void)state;
    struct names s;
    struct asked q = {0};
    names_open(&s);
    assert_non_null(resolve_start(&s.rig.loop, "a.example", DIAL_IPV4, on_answer, &q));
    RIG_UNTIL(&s.rig, q.calls);
    assert_int_equal(q.calls, 1);
    assert_int_equal(q.answer.count, 0);
    assert_non_null(strstr(q.answer.why.text, "Timeout"));
    names_close(&s);
}

static void a_closed_name_server_is_an_error(void **state)
{
    (void)state;
    struct names s;
    struct asked q = {0};
    names_open(&s);
    shutdown(s.fd, SHUT_RDWR);
    close(s.fd);
    s.fd = dup(STDERR_FILENO);
    assert_non_null(resolve_start(&s.rig.loop, "a.example", DIAL_IPV4, on_answer, &q));
    RIG_UNTIL(&s.rig, q.calls);
    assert_int_equal(q.answer.count, 0);
    names_close(&s);
}

static void garbage_from_the_name_server_is_not_an_answer(void **state)
{
    (void)state;
    struct names s;
    struct asked q = {0};
    uint8_t query[512];
    struct sockaddr_storage from;
    socklen_t len = sizeof from;
    names_open(&s);
    assert_non_null(resolve_start(&s.rig.loop, "a.example", DIAL_IPV4, on_answer, &q));
    RIG_UNTIL(&s.rig, rig_readable(s.fd));
    ssize_t n = recvfrom(s.fd, query, sizeof query, MSG_PEEK, (struct sockaddr *)&from, &len);
    for (ssize_t cut = 0; cut < n; cut++) /* also cut off questions that claim to be answers */
        sendto(s.fd, query, (size_t)cut, 0, (struct sockaddr *)&from, len);
    RIG_UNTIL(&s.rig, (names_answer(&s, 2), q.calls));
    assert_true(q.answer.count == 2 || q.answer.count == 0);
    names_close(&s);
}

static void a_cancelled_query_tells_nobody(void **state)
{
    (void)state;
    struct names s;
    struct asked q = {0}, other = {0};
    names_open(&s);
    resolve_cancel(resolve_start(&s.rig.loop, "a.example", DIAL_IPV4, on_answer, &q));
    resolve_cancel(resolve_start(&s.rig.loop, "localhost", DIAL_IPV4, on_answer, &q));
    resolve_start(&s.rig.loop, "b.example", DIAL_IPV4, on_answer, &other);
    RIG_UNTIL(&s.rig, (names_answer(&s, 1), other.calls));
    assert_int_equal(q.calls, 0);
    names_close(&s);
}

static void a_loop_that_ends_tells_nobody(void **state)
{
    (void)state;
    struct names s;
    struct asked q = {0};
    names_open(&s);
    for (int i = 0; i < 20; i++)
        assert_non_null(resolve_start(&s.rig.loop, "a.example", DIAL_AS_IS, on_answer, &q));
    rig_turn(&s.rig);
    names_close(&s);
    assert_int_equal(q.calls, 0);
}

/* --- dialling --- */

struct dialled {
    struct dial dial;
    unsigned calls;
    int fd;
    struct err why;
};

static void on_dialled(void *owner, int fd, const struct err *why)
{
    struct dialled *d = owner;
    d->calls++;
    d->fd = fd;
    if (fd < 0)
        d->why = *why;
}

static void dialled_init(struct dialled *d, struct rig *r, int type)
{
    *d = (struct dialled){.dial = {.loop = &r->loop, .socktype = type, .done = on_dialled},
                          .fd = -1};
    d->dial.owner = d;
}

static void an_ip_address_is_dialled_at_once(void **state)
{
    (void)state;
    struct rig r;
    struct addr at;
    struct dialled d;
    rig_open(&r);
    int listening = rig_listen(&at, 8);
    dialled_init(&d, &r, SOCK_STREAM);
    dial_start(&d.dial, &at, DIAL_AS_IS);
    assert_int_equal(d.calls, 1);
    assert_true(d.fd >= 0);
    close(rig_accept(&r, listening));
    close(d.fd);
    dial_stop(&d.dial);
    close(listening);
    rig_close(&r);
}

static void a_name_is_dialled_at_its_port(void **state)
{
    (void)state;
    struct names s;
    struct addr at, to;
    struct dialled d;
    names_open(&s);
    int listening = rig_listen(&at, 8);
    to = rig_addr("localhost", at.port);
    dialled_init(&d, &s.rig, SOCK_STREAM);
    dial_start(&d.dial, &to, DIAL_IPV4);
    RIG_UNTIL(&s.rig, d.calls);
    assert_true(d.fd >= 0);
    close(rig_accept(&s.rig, listening));
    close(d.fd);
    dial_stop(&d.dial);
    close(listening);
    names_close(&s);
}

/* At 127.0.0.1 and .2, with one port, which fds[2] holds. */
static void listen_at_both(struct addr at[2], int fds[3])
{
    at[0] = rig_addr("127.0.0.1", 0);
    at[1] = rig_addr("127.0.0.2", 0);
    fds[2] = rig_hold_port(&at[0].port);
    at[1].port = at[0].port;
    for (int i = 0; i < 2; i++)
        fds[i] = rig_listen_at(&at[i], 0);
}

/* Fills the queue of a listening socket: who comes then has no answer. */
static void stuff(const struct addr *at, int fds[3])
{
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(at, &ss);
    for (int i = 0; i < 3; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(fds[i], (struct sockaddr *)&ss, len);
    }
}

static uint8_t peer_of(int fd)
{
    struct sockaddr_storage ss;
    struct addr peer;
    socklen_t len = sizeof ss;
    assert_int_equal(getpeername(fd, (struct sockaddr *)&ss, &len), 0);
    addr_from_sockaddr(&peer, (struct sockaddr *)&ss);
    return peer.ip[3];
}

/* Of two addresses one never answers, whichever it is. */
static void a_silent_address_costs_a_quarter_of_a_second(void **state)
{
    (void)state;
    for (uint8_t silent = 1; silent <= 2; silent++) {
        struct names s;
        struct dialled d;
        struct addr at[2], to;
        int fds[3], listening[3];
        names_open(&s);
        listen_at_both(at, listening);
        stuff(&at[silent - 1], fds);
        to = rig_addr("two.example", at[0].port);
        dialled_init(&d, &s.rig, SOCK_STREAM);
        ev_tstamp before = ev_time();
        dial_start(&d.dial, &to, DIAL_IPV4);
        RIG_UNTIL(&s.rig, (names_answer(&s, 2), d.calls));
        assert_true(d.fd >= 0);
        assert_int_equal(peer_of(d.fd), 3 - silent);
        assert_int_equal(d.dial.tried.ip[3], 3 - silent);
        assert_true(ev_time() - before < 5);
        for (int i = 0; i < 3; i++)
            close(fds[i]);
        close(d.fd);
        for (int i = 0; i < 3; i++)
            close(listening[i]);
        dial_stop(&d.dial);
        names_close(&s);
    }
}

static void when_all_addresses_refuse_the_last_reason_is_told(void **state)
{
    (void)state;
    struct names s;
    struct dialled d;
    struct addr to = rig_addr("four.example", 0);
    names_open(&s);
    int held = rig_hold_port(&to.port); /* and nobody listens */
    dialled_init(&d, &s.rig, SOCK_STREAM);
    dial_start(&d.dial, &to, DIAL_IPV4);
    RIG_UNTIL(&s.rig, (names_answer(&s, 4), d.calls));
    assert_int_equal(d.calls, 1);
    assert_int_equal(d.fd, -1);
    assert_int_equal(d.why.code, ECONNREFUSED);
    assert_non_null(strstr(d.why.text, "connect 127.0.0."));
    dial_stop(&d.dial);
    names_close(&s);
    close(held);
}

static void a_race_can_be_stopped(void **state)
{
    (void)state;
    struct names s;
    struct dialled d;
    struct addr at[2], to;
    int fds[2][3], listening[3];
    names_open(&s);
    listen_at_both(at, listening);
    stuff(&at[0], fds[0]);
    stuff(&at[1], fds[1]);
    to = rig_addr("two.example", at[0].port);
    dialled_init(&d, &s.rig, SOCK_STREAM);
    dial_start(&d.dial, &to, DIAL_IPV4);
    RIG_UNTIL(&s.rig, (names_answer(&s, 2), d.dial.race));
    dial_stop(&d.dial);
    rig_turn(&s.rig);
    assert_int_equal(d.calls, 0);
    for (int i = 0; i < 6; i++)
        close(fds[i / 3][i % 3]);
    for (int i = 0; i < 3; i++)
        close(listening[i]);
    names_close(&s);
}

/* Datagrams do not race: their socket is there at once, and tells where. */
static void datagrams_go_to_the_first_address(void **state)
{
    (void)state;
    struct names s;
    struct dialled d;
    struct addr to = rig_addr("four.example", 9);
    names_open(&s);
    dialled_init(&d, &s.rig, SOCK_DGRAM);
    dial_start(&d.dial, &to, DIAL_IPV4);
    RIG_UNTIL(&s.rig, (names_answer(&s, 4), d.calls));
    assert_int_equal(d.calls, 1);
    assert_in_range(peer_of(d.fd), 1, 4);
    close(d.fd);
    dial_stop(&d.dial);
    names_close(&s);
}

static void a_name_that_is_not_found_fails(void **state)
{
    (void)state;
    struct names s;
    struct addr to = rig_addr("none.example", 80);
    struct dialled d;
    names_open(&s);
    dialled_init(&d, &s.rig, SOCK_STREAM);
    dial_start(&d.dial, &to, DIAL_AS_IS);
    RIG_UNTIL(&s.rig, (names_answer(&s, 0), d.calls));
    assert_int_equal(d.fd, -1);
    assert_int_equal(d.why.code, EHOSTUNREACH);
    dial_stop(&d.dial);
    names_close(&s);
}

static void a_stopped_dial_calls_nobody(void **state)
{
    (void)state;
    struct names s;
    struct addr to = rig_addr("localhost", 80);
    struct dialled d;
    names_open(&s);
    dialled_init(&d, &s.rig, SOCK_STREAM);
    dial_start(&d.dial, &to, DIAL_AS_IS);
    dial_stop(&d.dial);
    dial_stop(&d.dial);
    rig_turn(&s.rig);
    assert_int_equal(d.calls, 0);
    names_close(&s);
}

static void the_socket_is_bound_to_the_configured_source(void **state)
{
    (void)state;
    struct rig r;
    struct addr at, from = rig_addr("127.0.0.7", 9);
    struct dialled d;
    rig_open(&r);
    int listening = rig_listen(&at, 8);
    dialled_init(&d, &r, SOCK_STREAM);
    d.dial.from = &from;
    dial_start(&d.dial, &at, DIAL_AS_IS);
    assert_true(d.fd >= 0);
    struct addr here = rig_addr_of(d.fd);
    assert_memory_equal(here.ip, from.ip, 4);
    assert_int_not_equal(here.port, 9);
    close(d.fd);
    from = rig_addr("192.0.2.1", 0);
    dial_start(&d.dial, &at, DIAL_AS_IS);
    assert_int_equal(d.fd, -1);
    assert_int_equal(d.why.code, EADDRNOTAVAIL);
    assert_non_null(strstr(d.why.text, "192.0.2.1"));
    close(listening);
    dial_stop(&d.dial);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(localhost_is_looked_up_in_the_hosts_file),
        cmocka_unit_test(answers_are_bounded),
        cmocka_unit_test(a_name_without_addresses_fails),
        cmocka_unit_test(a_silent_name_server_is_an_error_in_the_end),
        cmocka_unit_test(a_closed_name_server_is_an_error),
        cmocka_unit_test(garbage_from_the_name_server_is_not_an_answer),
        cmocka_unit_test(a_cancelled_query_tells_nobody),
        cmocka_unit_test(a_loop_that_ends_tells_nobody),
        cmocka_unit_test(an_ip_address_is_dialled_at_once),
        cmocka_unit_test(a_name_is_dialled_at_its_port),
        cmocka_unit_test(a_silent_address_costs_a_quarter_of_a_second),
        cmocka_unit_test(when_all_addresses_refuse_the_last_reason_is_told),
        cmocka_unit_test(a_race_can_be_stopped),
        cmocka_unit_test(datagrams_go_to_the_first_address),
        cmocka_unit_test(a_name_that_is_not_found_fails),
        cmocka_unit_test(a_stopped_dial_calls_nobody),
        cmocka_unit_test(the_socket_is_bound_to_the_configured_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
