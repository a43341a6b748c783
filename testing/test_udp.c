#include "testing/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/listen.h"
#include "transport/udp.h"

enum { SOURCES = 5000, MOST = 4096 };

struct hub {
    struct rig rig;
    struct udp_listener *listener;
    struct addr at;
    struct traffic traffic;
    struct rig_end *ends; /* the outbound's, in the order of arrival */
    struct addr *from;
    size_t count;
    bool refuses;
};

static bool on_arrived(void *owner, struct end *end, const struct addr *from)
{
    struct hub *h = owner;
    const struct meta m = {.net = NET_UDP, .source = *from, .inbound_tag = "in"};
    if (h->refuses)
        return false;
    struct flow *f = flow_new(&h->rig.loop, end, &udp_peer_ops, &m, &h->rig.policy);
    assert_non_null(f);
    assert_true(h->count < SOURCES);
    h->from[h->count] = *from;
    rig_join(f, &h->ends[h->count++]);
    return true;
}

static void hub_open_at(struct hub *h, struct addr at)
{
    struct err e;
    memset(h, 0, sizeof *h);
    rig_open(&h->rig);
    h->traffic = (struct traffic){STAT_FIXED, STAT_FIXED + 1};
    h->ends = calloc(SOURCES, sizeof *h->ends);
    h->from = calloc(SOURCES, sizeof *h->from);
    int fd;
    assert_int_equal(listen_open(&at, SOCK_DGRAM, &fd, 1, &e), 0);
    h->listener = udp_listener_new(&h->rig.loop, UDP_SOURCES);
    assert_non_null(h->listener);
    udp_listener_own(h->listener, &h->traffic, on_arrived, h);
    udp_listener_start(h->listener, fd);
    h->at = rig_addr_of(fd);
}

static void hub_open(struct hub *h)
{
    hub_open_at(h, rig_addr("127.0.0.1", 0));
}

static void hub_close(struct hub *h)
{
    if (h->listener)
        udp_listener_free(h->listener);
    for (size_t i = 0; i < h->count; i++) {
        if (!h->ends[i].left)
            rig_leave(&h->ends[i], NULL);
        rig_end_free(&h->ends[i]);
    }
    rig_close(&h->rig);
    free(h->ends);
    free(h->from);
}

/* A client's socket that talks to `to` only. */
static int client_to(const struct addr *to)
{
    struct sockaddr_storage ss;
    socklen_t len = addr_to_sockaddr(to, &ss);
    int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&ss, len), 0);
    return fd;
}

static void expect_datagram(struct rig *r, int fd, const char *text)
{
    char got[64];
    ssize_t n = -1;
    RIG_UNTIL(r, (n = recv(fd, got, sizeof got, 0)) >= 0);
    assert_int_equal(n, strlen(text));
    assert_memory_equal(got, text, (size_t)n);
}

static void send_text(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
}

/* --- the listener --- */

static void each_source_has_a_flow_and_gets_its_own_replies(void **state)
{
    (void)state;
    enum { CLIENTS = 10 };
    struct hub h;
    int fds[CLIENTS];
    char text[32];
    hub_open(&h);
    for (int i = 0; i < CLIENTS; i++) {
        struct addr here;
        fds[i] = client_to(&h.at);
        snprintf(text, sizeof text, "from %d", i);
        send_text(fds[i], text);
        RIG_UNTIL(&h.rig, h.count == (size_t)i + 1);
        here = rig_addr_of(fds[i]);
        assert_true(addr_equal(&here, &h.from[i]));
    }
    for (int i = CLIENTS - 1; i >= 0; i--) {
        send_text(fds[i], "again");
        RIG_UNTIL(&h.rig, h.ends[i].count == 2);
        snprintf(text, sizeof text, "to %d", i);
        assert_true(end_write(&h.ends[i].end, text, strlen(text)));
    }
    assert_int_equal(h.count, CLIENTS);
    for (int i = 0; i < CLIENTS; i++) {
        snprintf(text, sizeof text, "to %d", i);
        expect_datagram(&h.rig, fds[i], text);
        assert_int_equal(h.ends[i].sizes[0], 6);
        assert_int_equal(h.ends[i].sizes[1], 5);
        close(fds[i]);
    }
    assert_int_equal(rig_stat(&h.rig, STAT_FIXED), CLIENTS * 11);
    assert_int_equal(rig_stat(&h.rig, STAT_FIXED + 1), CLIENTS * 4);
    hub_close(&h);
}

static void a_listener_on_every_address_answers_both_families(void **state)
{
    (void)state;
    static const char *const hosts[] = {"127.0.0.1", "::1"};
    struct hub h;
    hub_open_at(&h, (struct addr){.type = ADDR_NONE});
    for (size_t i = 0; i < 2 && (i == 0 || h.at.type == ADDR_IPV6); i++) {
        struct addr to = rig_addr(hosts[i], h.at.port);
        int fd = client_to(&to);
        send_text(fd, "hello");
        RIG_UNTIL(&h.rig, h.count == i + 1);
        assert_int_equal(h.from[i].type, to.type);
        assert_true(end_write(&h.ends[i].end, "answer", 6));
        expect_datagram(&h.rig, fd, "answer");
        close(fd);
    }
    hub_close(&h);
}

static void empty_datagrams_are_datagrams(void **state)
{
    (void)state;
    struct hub h;
    hub_open(&h);
    int fd = client_to(&h.at);
    assert_int_equal(send(fd, "", 0, 0), 0);
    send_text(fd, "x");
    RIG_UNTIL(&h.rig, h.count == 1 && h.ends[0].count == 2);
    assert_int_equal(h.ends[0].sizes[0], 0);
    assert_int_equal(h.ends[0].sizes[1], 1);
    end_put(&h.ends[0].end, buf_new(&h.rig.loop.bufs));
    expect_datagram(&h.rig, fd, "");
    close(fd);
    hub_close(&h);
}

static void a_datagram_longer_than_a_buf_is_dropped_and_counted(void **state)
{
    (void)state;
    static const size_t sizes[] = {16 * 1024, 16 * 1024 + 1, 60000};
    struct hub h;
    uint8_t *bytes = calloc(1, 60000);
    hub_open(&h);
    int fd = client_to(&h.at);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(send(fd, bytes, sizes[i], 0), sizes[i]);
    send_text(fd, "last");
    RIG_UNTIL(&h.rig, h.count == 1 && h.ends[0].count == 2);
    assert_int_equal(h.ends[0].sizes[0], sizes[0]);
    assert_int_equal(h.ends[0].sizes[1], 4);
    assert_int_equal(rig_stat(&h.rig, STAT_datagrams_dropped), 2);
    close(fd);
    free(bytes);
    hub_close(&h);
}

static void what_a_full_flow_has_no_room_for_is_dropped_and_counted(void **state)
{
    (void)state;
    struct hub h;
    hub_open(&h);
    h.ends[0].idle = true;
    int fd = client_to(&h.at);
    for (int i = 0; i < 100; i++) {
        send_text(fd, "x");
        RIG_UNTIL(&h.rig, rig_stat(&h.rig, STAT_FIXED) == i + 1);
    }
    rig_take(&h.ends[0]);
    assert_int_equal(h.ends[0].count, 64);
    assert_int_equal(rig_stat(&h.rig, STAT_datagrams_dropped), 36);
    close(fd);
    hub_close(&h);
}

static void a_refused_source_is_forgotten(void **state)
{
    (void)state;
    struct hub h;
    hub_open(&h);
    h.refuses = true;
    int fd = client_to(&h.at);
    send_text(fd, "x");
    RIG_UNTIL(&h.rig, rig_stat(&h.rig, STAT_datagrams_dropped) == 1);
    h.refuses = false;
    send_text(fd, "y");
    RIG_UNTIL(&h.rig, h.count == 1 && h.ends[0].count == 1);
    close(fd);
    hub_close(&h);
}

static void a_source_whose_flow_ended_may_come_again(void **state)
{
    (void)state;
    struct hub h;
    struct err why;
    hub_open(&h);
    int fd = client_to(&h.at);
    for (size_t i = 0; i < 4; i++) {
        send_text(fd, "x");
        RIG_UNTIL(&h.rig, h.count == i + 1 && h.ends[i].count == 1);
        assert_true(end_write(&h.ends[i].end, "bye", 3));
        err_set(&why, EPIPE, "gone");
        rig_leave(&h.ends[i], i % 2 ? &why : NULL);
        rig_turn(&h.rig);
        assert_null(list_first(&h.rig.loop.flows));
        if (i % 2 == 0)
            expect_datagram(&h.rig, fd, "bye"); /* who leaves well has said all */
    }
    close(fd);
    hub_close(&h);
}

/* The n-th source, an address of its own on loopback, sends a datagram. */
static void source_sends(struct hub *h, size_t n)
{
    struct addr from = rig_addr("127.1.0.0", h->at.port);
    struct sockaddr_storage ss, to;
    socklen_t len = addr_to_sockaddr(&h->at, &to);
    int64_t before = rig_stat(&h->rig, STAT_FIXED);
    from.ip[2] = (uint8_t)(n / 250);
    from.ip[3] = (uint8_t)(1 + n % 250);
    socklen_t from_len = addr_to_sockaddr(&from, &ss);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&ss, from_len), 0);
    assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, len), 1);
    RIG_UNTIL(&h->rig, rig_stat(&h->rig, STAT_FIXED) == before + 1);
    close(fd);
}

static void answer(struct hub *h, size_t n)
{
    assert_true(end_write(&h->ends[n].end, "y", 1));
    rig_turn(&h->rig);
}

/* As many sources as a listener remembers: forged ones cannot keep others out, nor push those out that were answered. */
static void when_sources_are_too_many_the_oldest_without_an_answer_makes_room(void **state)
{
    (void)state;
    struct hub h;
    hub_open(&h);
    for (size_t n = 0; n < MOST; n++)
        source_sends(&h, n);
    answer(&h, 0);
    source_sends(&h, 1); /* it is heard of again */
    assert_int_equal(rig_stat(&h.rig, STAT_sources_evicted), 0);
    source_sends(&h, MOST);
    source_sends(&h, MOST + 1);
    rig_turn(&h.rig);
    assert_false(h.ends[0].left || h.ends[1].left);
    assert_true(h.ends[2].left && h.ends[2].failed && h.ends[3].left);
    assert_string_equal(h.ends[2].why, "other sources need the room");
    assert_false(h.ends[4].left);
    assert_int_equal(h.count, MOST + 2);
    assert_int_equal(rig_stat(&h.rig, STAT_sources_evicted), 2);
    assert_int_equal(rig_stat(&h.rig, STAT_datagrams_dropped), 0);
    source_sends(&h, 2); /* and who was forgotten may come again */
    assert_int_equal(h.count, MOST + 3);
    hub_close(&h);
}

static void when_all_were_answered_the_one_not_heard_of_for_longest_makes_room(void **state)
{
    (void)state;
    struct hub h;
    hub_open(&h);
    for (size_t n = 0; n < MOST; n++) {
        source_sends(&h, n);
        answer(&h, n);
    }
    answer(&h, 0);
    source_sends(&h, 1);
    source_sends(&h, MOST);
    rig_turn(&h.rig);
    assert_false(h.ends[0].left || h.ends[1].left);
    assert_true(h.ends[2].left);
    assert_false(h.ends[3].left);
    hub_close(&h);
}

static void flows_outlive_their_listener(void **state)
{
    (void)state;
    struct hub h;
    hub_open(&h);
    int fd = client_to(&h.at), other = client_to(&h.at);
    send_text(fd, "x");
    RIG_UNTIL(&h.rig, h.count == 1);
    udp_listener_free(h.listener);
    h.listener = NULL;
    send_text(other, "nobody takes me");
    send_text(fd, "more");
    RIG_UNTIL(&h.rig, h.ends[0].count == 2);
    assert_true(end_write(&h.ends[0].end, "answer", 6));
    expect_datagram(&h.rig, fd, "answer");
    assert_int_equal(h.count, 1);
    close(fd);
    close(other);
    hub_close(&h);
}

/* --- the request --- */

struct ask {
    struct rig rig;
    struct rig_end in;
    struct addr at;
    int server;
    struct traffic traffic;
};

static void ask_open(struct ask *a, const char *through)
{
    struct addr from = rig_addr(through, 0);
    memset(a, 0, sizeof *a);
    rig_open(&a->rig);
    a->server = rig_udp(&a->at);
    a->traffic = (struct traffic){STAT_FIXED, STAT_FIXED + 1};
    const struct udp_to to = {.addr = &a->at, .from = &from, .traffic = &a->traffic};
    struct flow *f = rig_flow(&a->rig, &a->in, NET_UDP);
    assert_true(end_write(&a->in.end, "early", 5)); /* before there is a socket */
    udp_request_open(&a->rig.loop, f, &to);
}

static void ask_close(struct ask *a)
{
    if (!a->in.left)
        rig_leave(&a->in, NULL);
    rig_end_free(&a->in);
    close(a->server);
    rig_close(&a->rig);
}

static void a_request_sends_and_hears_datagrams(void **state)
{
    (void)state;
    struct ask a;
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    struct addr from;
    char got[16];
    ask_open(&a, "127.0.0.8");
    RIG_UNTIL(&a.rig, rig_readable(a.server));
    assert_int_equal(recvfrom(a.server, got, sizeof got, 0, (struct sockaddr *)&ss, &len), 5);
    addr_from_sockaddr(&from, (struct sockaddr *)&ss);
    assert_int_equal(from.ip[3], 8); /* sendThrough */
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(sendto(a.server, "abc", i, 0, (struct sockaddr *)&ss, len), i);
    RIG_UNTIL(&a.rig, a.in.count == 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(a.in.sizes[i], i);
    assert_int_equal(rig_stat(&a.rig, STAT_FIXED), 5);
    assert_int_equal(rig_stat(&a.rig, STAT_FIXED + 1), 3);
    ask_close(&a);
}

static void a_refused_datagram_fails_the_request(void **state)
{
    (void)state;
    struct ask a;
    ask_open(&a, "127.0.0.1");
    close(a.server);
    a.server = dup(STDERR_FILENO);
    rig_turn(&a.rig);
    if (!a.in.left)
        assert_true(end_write(&a.in.end, "more", 4));
    RIG_UNTIL(&a.rig, a.in.left);
    assert_true(a.in.failed);
    assert_non_null(strstr(a.in.why, "refused"));
    ask_close(&a);
}

static void a_source_that_is_not_ours_fails_the_request(void **state)
{
    (void)state;
    struct ask a;
    ask_open(&a, "192.0.2.1");
    RIG_UNTIL(&a.rig, a.in.left);
    assert_true(a.in.failed);
    ask_close(&a);
}

static void an_aborted_request_goes(void **state)
{
    (void)state;
    struct ask a;
    struct err why;
    ask_open(&a, "127.0.0.1");
    err_set(&why, ECANCELED, "stops");
    flows_abort(&a.rig.loop, &why);
    loop_settle(&a.rig.loop);
    assert_true(a.in.left && a.in.failed);
    ask_close(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_source_has_a_flow_and_gets_its_own_replies),
        cmocka_unit_test(a_listener_on_every_address_answers_both_families),
        cmocka_unit_test(empty_datagrams_are_datagrams),
        cmocka_unit_test(a_datagram_longer_than_a_buf_is_dropped_and_counted),
        cmocka_unit_test(what_a_full_flow_has_no_room_for_is_dropped_and_counted),
        cmocka_unit_test(a_refused_source_is_forgotten),
        cmocka_unit_test(a_source_whose_flow_ended_may_come_again),
        cmocka_unit_test(when_sources_are_too_many_the_oldest_without_an_answer_makes_room),
        cmocka_unit_test(when_all_were_answered_the_one_not_heard_of_for_longest_makes_room),
        cmocka_unit_test(flows_outlive_their_listener),
        cmocka_unit_test(a_request_sends_and_hears_datagrams),
        cmocka_unit_test(a_refused_datagram_fails_the_request),
        cmocka_unit_test(a_source_that_is_not_ours_fails_the_request),
        cmocka_unit_test(an_aborted_request_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
