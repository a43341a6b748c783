#include "testing/rig.h"

#include <sys/socket.h>
#include <unistd.h>

#include "proxy/freedom.h"

struct exit_rig {
    struct rig rig;
    struct freedom_conf conf;
    struct addr from;
    struct traffic traffic;
    struct outbound *freedom;
    struct rig_end in;
};

static void exit_open(struct exit_rig *x)
{
    memset(x, 0, sizeof *x);
    rig_open(&x->rig);
    x->traffic = (struct traffic){STAT_FIXED, STAT_FIXED + 1};
    x->freedom = freedom_new(&x->rig.loop, "out", &x->conf, &x->from, &x->traffic);
    assert_non_null(x->freedom);
}

static void exit_send(struct exit_rig *x, enum net net, const struct addr *to)
{
    const struct meta m = {.net = net, .target = *to, .inbound_tag = "in"};
    struct flow *f = flow_new(&x->rig.loop, &x->in.end, &rig_end_ops, &m, &x->rig.policy);
    assert_non_null(f);
    x->freedom->ops->open(x->freedom, f);
    assert_true(end_write(&x->in.end, "hello", 5));
}

/* The open flows live on without the outbound. */
static void exit_close(struct exit_rig *x)
{
    x->freedom->ops->free(x->freedom);
    if (!x->in.left)
        rig_leave(&x->in, NULL);
    rig_turn(&x->rig);
    loop_drop_stragglers(&x->rig.loop);
    rig_end_free(&x->in);
    rig_close(&x->rig);
}

/* redirect: nothing, a port, a host, both; and the target as it must then be. */
static void streams_go_to_the_target_or_where_they_are_redirected(void **state)
{
    (void)state;
    for (int redirect = 0; redirect < 4; redirect++) {
        struct exit_rig x;
        struct addr at, to;
        exit_open(&x);
        int listening = rig_listen(&at, 8);
        to = at;
        if (redirect & 1) {
            x.conf.redirect.port = at.port;
            to.port = 1;
        }
        if (redirect & 2) {
            uint16_t port = x.conf.redirect.port;
            x.conf.redirect = at;
            x.conf.redirect.port = port;
            to.ip[3] = 77;
        }
        exit_send(&x, NET_TCP, &to);
        int peer = rig_accept(&x.rig, listening);
        rig_hear(&x.rig, peer, "hello");
        rig_say(&x.rig, peer, "answer");
        RIG_UNTIL(&x.rig, x.in.len == 6);
        close(peer);
        close(listening);
        exit_close(&x);
    }
}

static void datagrams_go_to_the_target(void **state)
{
    (void)state;
    struct exit_rig x;
    struct addr at;
    char got[16];
    exit_open(&x);
    int server = rig_udp(&at);
    exit_send(&x, NET_UDP, &at);
    RIG_UNTIL(&x.rig, rig_readable(server));
    assert_int_equal(recv(server, got, sizeof got, 0), 5);
    assert_int_equal(rig_stat(&x.rig, STAT_FIXED), 5);
    close(server);
    exit_close(&x);
}

static void a_refused_connection_fails_the_flow(void **state)
{
    (void)state;
    struct exit_rig x;
    struct addr at;
    exit_open(&x);
    close(rig_listen(&at, 1));
    exit_send(&x, NET_TCP, &at);
    RIG_UNTIL(&x.rig, x.in.left);
    assert_true(x.in.failed);
    exit_close(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_go_to_the_target_or_where_they_are_redirected),
        cmocka_unit_test(datagrams_go_to_the_target),
        cmocka_unit_test(a_refused_connection_fails_the_flow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
