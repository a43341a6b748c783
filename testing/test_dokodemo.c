#include "testing/rig.h"

#include <sys/socket.h>
#include <unistd.h>

#include "proxy/dokodemo.h"
#include "routing/dispatch.h"

struct door {
    struct rig rig;
    struct rules rules;
    struct dispatcher dispatcher;
    struct rig_outbound out;
    struct rig_end ends[4];
    struct traffic traffic;
    struct inbound *in;
    struct addr at;
};

static struct inbound *door_new(struct door *d, unsigned networks, const struct addr *at,
                                struct err *e)
{
    const struct dokodemo_conf conf = {.target = rig_addr("web.example", 8080),
                                       .networks = networks};
    const struct listen_at where = {.addr = at, .first_port = at->port, .last_port = at->port};
    return dokodemo_new(&d->rig.loop, &d->dispatcher, "door", &conf, &where, &d->rig.policy,
                        &d->traffic, e);
}

static void door_open(struct door *d, unsigned networks)
{
    struct addr at = rig_addr("127.0.0.1", 0);
    struct err e;
    memset(d, 0, sizeof *d);
    rig_open(&d->rig);
    rig_outbound_init(&d->out, &d->rig, d->ends, 4);
    d->traffic = (struct traffic){STAT_FIXED, STAT_FIXED + 1};
    d->dispatcher =
        (struct dispatcher){.loop = &d->rig.loop, .rules = &d->rules, .fallback = &d->out.out};
    int fd = rig_next_fd();
    d->in = door_new(d, networks, &at, &e);
    assert_non_null(d->in);
    d->at = rig_addr_of(fd);
}

static void door_close(struct door *d)
{
    struct err why;
    if (d->in)
        d->in->ops->free(d->in);
    err_set(&why, ECANCELED, "stops");
    flows_abort(&d->rig.loop, &why);
    loop_settle(&d->rig.loop);
    for (size_t i = 0; i < d->out.count; i++)
        rig_end_free(&d->ends[i]);
    rig_close(&d->rig);
}

static void check_meta(const struct door *d, const struct addr *from)
{
    const struct meta *m = &d->ends[0].end.flow->meta;
    const struct addr target = rig_addr("web.example", 8080);
    assert_true(addr_equal(&m->target, &target));
    assert_true(addr_equal(&m->source, from));
    assert_string_equal(m->inbound_tag, "door");
    assert_null(m->user);
}

static void a_stream_goes_to_the_target_and_outlives_the_inbound(void **state)
{
    (void)state;
    struct door d;
    door_open(&d, NET_TCP);
    int fd = rig_connect(&d.at);
    RIG_UNTIL(&d.rig, d.out.count == 1); /* before it has said anything */
    struct addr here = rig_addr_of(fd);
    check_meta(&d, &here);
    d.in->ops->free(d.in);
    d.in = NULL;
    rig_say(&d.rig, fd, "hello");
    RIG_UNTIL(&d.rig, d.ends[0].len == 5);
    assert_true(end_write(&d.ends[0].end, "answer", 6));
    rig_hear(&d.rig, fd, "answer");
    assert_int_equal(rig_stat(&d.rig, STAT_FIXED), 5);
    assert_int_equal(rig_stat(&d.rig, STAT_FIXED + 1), 6);
    close(fd);
    door_close(&d);
}

static void datagrams_go_to_the_target_and_outlive_the_inbound(void **state)
{
    (void)state;
    struct door d;
    struct sockaddr_storage ss;
    struct addr here;
    door_open(&d, NET_UDP);
    socklen_t len = addr_to_sockaddr(&d.at, &ss);
    int fd = rig_udp(&here);
    assert_int_equal(connect(fd, (struct sockaddr *)&ss, len), 0);
    assert_int_equal(send(fd, "hello", 5, 0), 5);
    RIG_UNTIL(&d.rig, d.out.count == 1 && d.ends[0].len == 5);
    check_meta(&d, &here);
    d.in->ops->free(d.in);
    d.in = NULL;
    assert_true(end_write(&d.ends[0].end, "answer", 6));
    rig_hear(&d.rig, fd, "answer");
    close(fd);
    door_close(&d);
}

static void a_port_that_is_taken_fails_and_leaves_nothing_open(void **state)
{
    (void)state;
    for (unsigned net = NET_TCP; net <= NET_UDP; net++) {
        struct door d;
        struct err e;
        door_open(&d, net);
        int next = rig_next_fd();
        assert_null(door_new(&d, NET_TCP | NET_UDP, &d.at, &e));
        assert_int_equal(e.code, EADDRINUSE);
        assert_int_equal(rig_next_fd(), next);
        door_close(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_goes_to_the_target_and_outlives_the_inbound),
        cmocka_unit_test(datagrams_go_to_the_target_and_outlive_the_inbound),
        cmocka_unit_test(a_port_that_is_taken_fails_and_leaves_nothing_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
