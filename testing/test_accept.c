#include "testing/rig.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/accept.h"
#include "routing/dispatch.h"
#include "testing/toy.h"

enum { ENDS = 64, GREETINGS = 1024 };

/* An inbound of toys; what it accepts goes to ends of the test. */
struct porch {
    struct rig rig;
    struct rules rules;
    struct dispatcher dispatcher;
    struct rig_outbound out;
    struct rig_end ends[ENDS];
    struct accept_inbound accept;
    struct policy policy, user_policy;
    struct user user;
    struct traffic traffic;
    struct addr at;
    unsigned made, freed, failures;
};

static struct codec *new_codec(struct accept_inbound *a)
{
    struct porch *p = container_of(a, struct porch, accept);
    struct codec *c = toy_new(false, true, &p->freed);
    assert_non_null(c);
    ((struct toy *)(void *)c)->user = &p->user;
    p->made++;
    return c;
}

static void on_failed(struct accept_inbound *a, const struct codec *c)
{
    (void)c;
    container_of(a, struct porch, accept)->failures++;
}

static void porch_open(struct porch *p)
{
    struct err e;
    struct addr at = rig_addr("127.0.0.1", 0);
    memset(p, 0, sizeof *p);
    rig_open(&p->rig);
    rig_outbound_init(&p->out, &p->rig, p->ends, ENDS);
    p->policy = p->user_policy = POLICY_DEFAULT;
    p->user_policy.buffer_size = 12345;
    p->traffic = (struct traffic){-1, -1};
    p->user = (struct user){.email = "a@b", .policy = &p->user_policy, .traffic = {-1, -1}};
    p->dispatcher = (struct dispatcher){
        .loop = &p->rig.loop, .rules = &p->rules, .fallback = &p->out.out, .mux = &p->out.out};
    p->accept = (struct accept_inbound){
        .in = {.loop = &p->rig.loop, .dispatcher = &p->dispatcher, .tag = "porch"},
        .policy = &p->policy,
        .traffic = &p->traffic,
        .new_codec = new_codec,
        .greeting_failed = on_failed};
    int fd;
    assert_int_equal(accept_init(&p->accept, 1), 0);
    assert_int_equal(listen_open(&at, SOCK_STREAM, &fd, 1, &e), 0);
    accept_listen(&p->accept, 0, fd);
    p->at = rig_addr_of(p->accept.listeners[0].fd);
}

static void porch_close(struct porch *p)
{
    struct err why;
    accept_stop(&p->accept);
    err_set(&why, ECANCELED, "stops");
    flows_abort(&p->rig.loop, &why);
    loop_settle(&p->rig.loop);
    loop_drop_stragglers(&p->rig.loop);
    for (size_t i = 0; i < p->out.count; i++)
        rig_end_free(&p->ends[i]);
    assert_int_equal(p->freed, p->made);
    assert_null(list_first(&p->accept.greeting));
    assert_int_equal(p->accept.greeting_count, 0);
    rig_close(&p->rig);
}

static int porch_connect(struct porch *p)
{
    int fd = rig_connect(&p->at);
    unsigned before = p->made;
    RIG_UNTIL(&p->rig, p->made > before);
    return fd;
}

static void a_greeting_survives_any_split(void **state)
{
    (void)state;
    uint8_t wire[64] = "T\4name", answer[8];
    size_t len = 6 + toy_piece(wire + 6, "first", 5);
    struct porch p;
    porch_open(&p);
    for (size_t cut = 0; cut <= len; cut++) {
        int fd = porch_connect(&p);
        rig_send(&p.rig, fd, wire, cut);
        RIG_UNTIL(&p.rig, cut < 6 || p.out.count == cut + 1);
        rig_turn(&p.rig);
        assert_int_equal(p.accept.greeting_count, cut < 6);
        rig_send(&p.rig, fd, wire + cut, len - cut);
        RIG_UNTIL(&p.rig, p.out.count == cut + 1 && p.ends[cut].len == 5);
        const struct flow *f = p.ends[cut].end.flow;
        struct addr here = rig_addr_of(fd);
        assert_string_equal(f->meta.target.name, "name");
        assert_string_equal(f->meta.inbound_tag, "porch");
        assert_true(addr_equal(&f->meta.source, &here));
        assert_ptr_equal(f->meta.user, &p.user);
        assert_ptr_equal(f->policy, &p.user_policy);
        assert_memory_equal(p.ends[cut].got, "first", 5);
        assert_true(end_write(&p.ends[cut].end, "re", 2));
        rig_expect(&p.rig, fd, "OK", 2);
        rig_expect(&p.rig, fd, answer, toy_piece(answer, "re", 2));
        close(fd);
    }
    assert_int_equal(p.accept.greeting_count, 0);
    porch_close(&p);
}

static void who_does_not_greet_in_time_is_closed(void **state)
{
    (void)state;
    struct porch p;
    porch_open(&p);
    p.policy.handshake = 0.05;
    int silent = porch_connect(&p), slow = porch_connect(&p), greeted = porch_connect(&p);
    rig_say(&p.rig, slow, "T");
    rig_say(&p.rig, greeted, "T\4name");
    assert_int_equal(rig_drain(&p.rig, silent, NULL), 0);
    assert_int_equal(rig_drain(&p.rig, slow, NULL), 0);
    RIG_UNTIL(&p.rig, p.accept.greeting_count == 0);
    assert_int_equal(p.out.count, 1);
    assert_false(p.ends[0].left); /* the deadline was the greeting's */
    close(silent);
    close(slow);
    close(greeted);
    porch_close(&p);
}

/* A prober learns nothing from how many bytes it takes until the end. */
static void a_failed_greeting_swallows_exactly_its_drain(void **state)
{
    (void)state;
    static const size_t firsts[] = {1, 2, 500, TOY_DRAIN - 1, TOY_DRAIN};
    for (size_t i = 0; i < sizeof firsts / sizeof *firsts; i++) {
        struct porch p;
        char bytes[TOY_DRAIN];
        memset(bytes, 'X', sizeof bytes);
        porch_open(&p);
        int fd = porch_connect(&p);
        rig_send(&p.rig, fd, bytes, firsts[i]);
        RIG_UNTIL(&p.rig, p.failures == 1);
        if (firsts[i] < TOY_DRAIN) {
            for (size_t sent = firsts[i]; sent < TOY_DRAIN - 1; sent++)
                rig_send(&p.rig, fd, bytes, 1);
            rig_turn(&p.rig);
            assert_false(rig_readable(fd)); /* no end yet */
            assert_int_equal(p.freed, 0);
            rig_send(&p.rig, fd, bytes, 1);
        }
        assert_int_equal(rig_drain(&p.rig, fd, NULL), 0);
        assert_int_equal(rig_stat(&p.rig, STAT_handshakes_failed), 1);
        assert_int_equal(p.failures, 1);
        assert_int_equal(p.out.count, 0);
        close(fd);
        porch_close(&p);
    }
}

static void swallowing_ends_by_time_too(void **state)
{
    (void)state;
    struct porch p;
    porch_open(&p);
    p.policy.handshake = 0.05;
    int fd = porch_connect(&p);
    rig_say(&p.rig, fd, "X");
    assert_int_equal(rig_drain(&p.rig, fd, NULL), 0);
    close(fd);
    porch_close(&p);
}

static void who_ends_before_the_greeting_is_forgotten(void **state)
{
    (void)state;
    static const char *const said[] = {"", "T", "X"};
    for (size_t i = 0; i < 3; i++)
        for (int reset = 0; reset < 2; reset++) {
            struct porch p;
            porch_open(&p);
            int fd = porch_connect(&p);
            rig_say(&p.rig, fd, said[i]);
            rig_turn(&p.rig);
            if (reset)
                rig_abort(fd);
            else
                close(fd);
            RIG_UNTIL(&p.rig, p.freed == 1);
            assert_int_equal(p.accept.greeting_count, 0);
            porch_close(&p);
        }
}

static void an_endless_greeting_is_cut_off(void **state)
{
    (void)state;
    struct porch p;
    char bytes[1000];
    size_t sent = 0;
    porch_open(&p);
    memset(bytes, TOY_ENDLESS, sizeof bytes);
    int fd = porch_connect(&p);
    while (!p.freed) {
        ssize_t n = send(fd, bytes, sizeof bytes, MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        rig_turn(&p.rig);
        assert_true(sent <= 1 << 20);
    }
    assert_true(sent > 4096);
    close(fd);
    porch_close(&p);
}

/* Strangers are bounded: the oldest goes first, whoever greets is safe. */
static void a_flood_of_strangers_is_bounded(void **state)
{
    (void)state;
    enum { MORE = 20 };
    struct rlimit before, limit;
    struct porch p;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit = before;
    limit.rlim_cur = limit.rlim_max;
    if (limit.rlim_max < 3 * GREETINGS || setrlimit(RLIMIT_NOFILE, &limit) < 0)
        skip();
    int *fds = calloc(GREETINGS + MORE, sizeof *fds);
    porch_open(&p);
    int friend = porch_connect(&p);
    rig_say(&p.rig, friend, "T\4name");
    RIG_UNTIL(&p.rig, p.out.count == 1);
    for (int i = 0; i < GREETINGS + MORE; i++) {
        fds[i] = porch_connect(&p);
        assert_true(p.accept.greeting_count <= GREETINGS);
    }
    assert_int_equal(p.accept.greeting_count, GREETINGS);
    for (int i = 0; i < MORE; i++)
        assert_int_equal(rig_drain(&p.rig, fds[i], NULL), ECONNRESET);
    assert_false(rig_readable(fds[MORE]));
    rig_say(&p.rig, fds[GREETINGS + MORE - 1], "T\4name");
    RIG_UNTIL(&p.rig, p.out.count == 2);
    assert_false(p.ends[0].left);
    for (int i = 0; i < GREETINGS + MORE; i++)
        close(fds[i]);
    close(friend);
    free(fds);
    porch_close(&p);
    setrlimit(RLIMIT_NOFILE, &before);
}

static void stopping_drops_strangers_and_keeps_flows(void **state)
{
    (void)state;
    struct porch p;
    porch_open(&p);
    int silent = porch_connect(&p), wrong = porch_connect(&p), greeted = porch_connect(&p);
    rig_say(&p.rig, wrong, "X");
    rig_say(&p.rig, greeted, "T\4name");
    RIG_UNTIL(&p.rig, p.out.count == 1 && p.failures == 1);
    accept_stop(&p.accept);
    assert_null(list_first(&p.accept.greeting));
    assert_int_equal(rig_drain(&p.rig, silent, NULL), ECONNRESET);
    assert_int_equal(rig_drain(&p.rig, wrong, NULL), ECONNRESET);
    uint8_t wire[8];
    rig_send(&p.rig, greeted, wire, toy_piece(wire, "alive", 5));
    RIG_UNTIL(&p.rig, p.ends[0].len == 5);
    close(silent);
    close(wrong);
    close(greeted);
    porch_close(&p);
}

static void a_flow_without_an_outbound_is_a_reset(void **state)
{
    (void)state;
    struct porch p;
    porch_open(&p);
    p.dispatcher.fallback = NULL;
    int fd = porch_connect(&p);
    rig_say(&p.rig, fd, "T\4name");
    assert_int_equal(rig_drain(&p.rig, fd, NULL), ECONNRESET);
    close(fd);
    porch_close(&p);
}

static void draining_lets_strangers_greet(void **state)
{
    (void)state;
    struct porch p;
    porch_open(&p);
    int fd = porch_connect(&p);
    accept_drain(&p.accept);
    assert_int_equal(p.accept.listeners[0].fd, -1);
    assert_true(accept_busy(&p.accept.in));
    rig_say(&p.rig, fd, "T\4name");
    RIG_UNTIL(&p.rig, p.out.count == 1);
    assert_false(accept_busy(&p.accept.in));
    close(fd);
    porch_close(&p);
}

static void another_inbound_takes_the_socket_over(void **state)
{
    (void)state;
    struct porch p;
    porch_open(&p);
    struct accept_inbound heir = {.in = p.accept.in,
                                  .policy = &p.policy,
                                  .traffic = &p.traffic,
                                  .target = rig_addr("web.example", 80)};
    assert_int_equal(accept_init(&heir, 1), 0);
    int old = rig_connect(&p.at);
    RIG_UNTIL(&p.rig, p.accept.greeting_count == 1);
    accept_listen(&heir, 0, accept_release(&p.accept, 0));
    int fresh = rig_connect(&p.at);
    RIG_UNTIL(&p.rig, p.out.count == 1); /* without a greeting */
    rig_say(&p.rig, old, "T\4name");
    RIG_UNTIL(&p.rig, p.out.count == 2);
    accept_stop(&heir);
    close(old);
    close(fresh);
    porch_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_greeting_survives_any_split),
        cmocka_unit_test(who_does_not_greet_in_time_is_closed),
        cmocka_unit_test(a_failed_greeting_swallows_exactly_its_drain),
        cmocka_unit_test(swallowing_ends_by_time_too),
        cmocka_unit_test(who_ends_before_the_greeting_is_forgotten),
        cmocka_unit_test(an_endless_greeting_is_cut_off),
        cmocka_unit_test(a_flood_of_strangers_is_bounded),
        cmocka_unit_test(stopping_drops_strangers_and_keeps_flows),
        cmocka_unit_test(a_flow_without_an_outbound_is_a_reset),
        cmocka_unit_test(draining_lets_strangers_greet),
        cmocka_unit_test(another_inbound_takes_the_socket_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
