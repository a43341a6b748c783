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

static struct inbound *door_new(struct door *d, const char *target, unsigned networks)
{
    const struct dokodemo_conf conf = {.target = rig_addr(target, 8080), .networks = networks};
    struct inbound *in =
        dokodemo_new(&d->rig.loop, &d->dispatcher, "door", &conf, 1, &d->rig.policy, &d->traffic);
    assert_non_null(in);
    return in;
}

static int open_one(const struct addr *at, int socktype)
{
    struct err e;
    int fd;
    assert_int_equal(listen_open(at, socktype, &fd, 1, &e), 0);
    return fd;
}

static void door_open(struct door *d, unsigned networks)
{
    struct addr at = rig_addr("127.0.0.1", 0);
    memset(d, 0, sizeof *d);
    rig_open(&d->rig);
    rig_outbound_init(&d->out, &d->rig, d->ends, 4);
    d->traffic = (struct traffic){STAT_FIXED, STAT_FIXED + 1};
    d->dispatcher =
        (struct dispatcher){.loop = &d->rig.loop, .rules = &d->rules, .fallback = &d->out.out};
    int fd = open_one(&at, networks & NET_TCP ? SOCK_STREAM : SOCK_DGRAM);
    d->at = rig_addr_of(fd);
    d->in = door_new(d, "web.example", networks);
    if (networks & NET_TCP)
        accept_listen(accept_of(d->in), 0, fd);
    else
        dokodemo_listen_udp(d->in, 0, fd);
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

/* The same port, another target: who was there stays where he is, who comes now goes elsewhere. */
static void sources_stay_when_another_takes_the_port_over(void **state)
{
    (void)state;
    struct door d;
    struct addr here;
    struct sockaddr_storage ss;
    door_open(&d, NET_UDP);
    socklen_t len = addr_to_sockaddr(&d.at, &ss);
    int old = rig_udp(&here), fresh = rig_udp(&here);
    assert_int_equal(sendto(old, "a", 1, 0, (struct sockaddr *)&ss, len), 1);
    RIG_UNTIL(&d.rig, d.out.count == 1 && d.ends[0].len == 1);
    struct inbound *heir = door_new(&d, "other.example", NET_UDP);
    dokodemo_inherit_udp(heir, 0, d.in, 0);
    d.in->ops->drain(d.in);
    d.in->ops->free(d.in);
    d.in = heir;
    assert_int_equal(sendto(old, "b", 1, 0, (struct sockaddr *)&ss, len), 1);
    assert_int_equal(sendto(fresh, "c", 1, 0, (struct sockaddr *)&ss, len), 1);
    RIG_UNTIL(&d.rig, d.out.count == 2 && d.ends[0].len == 2 && d.ends[1].len == 1);
    assert_string_equal(d.ends[0].end.flow->meta.target.name, "web.example");
    assert_string_equal(d.ends[1].end.flow->meta.target.name, "other.example");
    assert_true(end_write(&d.ends[0].end, "x", 1));
    rig_hear(&d.rig, old, "x");
    close(old);
    close(fresh);
    door_close(&d);
}

static void draining_refuses_new_sources_only(void **state)
{
    (void)state;
    struct door d;
    struct addr here;
    struct sockaddr_storage ss;
    door_open(&d, NET_UDP);
    socklen_t len = addr_to_sockaddr(&d.at, &ss);
    int old = rig_udp(&here), fresh = rig_udp(&here);
    assert_int_equal(sendto(old, "a", 1, 0, (struct sockaddr *)&ss, len), 1);
    RIG_UNTIL(&d.rig, d.out.count == 1);
    d.in->ops->drain(d.in);
    assert_int_equal(sendto(fresh, "c", 1, 0, (struct sockaddr *)&ss, len), 1);
    assert_int_equal(sendto(old, "b", 1, 0, (struct sockaddr *)&ss, len), 1);
    RIG_UNTIL(&d.rig, d.ends[0].len == 2);
    assert_int_equal(d.out.count, 1);
    close(old);
    close(fresh);
    door_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_goes_to_the_target_and_outlives_the_inbound),
        cmocka_unit_test(datagrams_go_to_the_target_and_outlive_the_inbound),
        cmocka_unit_test(sources_stay_when_another_takes_the_port_over),
        cmocka_unit_test(draining_refuses_new_sources_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
