#include "testing/rig.h"

#include <sys/socket.h>
#include <unistd.h>

#include "conf/plan.h"
#include "testing/conf_rig.h"
#include "transport/listen.h"

#define ID "27848739-7e62-4138-9fd3-098a63964b6b"

/* A configuration and the one that follows it. */
struct pair {
    struct generation *from, *to;
    struct plan plan;
    struct portals portals;
};

static struct generation *generation_of(const char *text, const struct config *before)
{
    char *said = NULL, path[] = "/tmp/v2c-plan-XXXXXX";
    const char *name = path;
    size_t len;
    int fd = mkstemp(path);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    FILE *out = open_memstream(&said, &len);
    struct config *c =
        config_load(&(struct config_source){.files = &name, .file_count = 1}, before, out);
    fclose(out);
    unlink(path);
    close(fd);
    if (!c)
        fail_msg("%s", said);
    free(said);
    struct generation *g = generation_new(c);
    assert_non_null(g);
    return g;
}

static int pair_open(struct pair *p, const char *from, const char *to, unsigned loops)
{
    struct err e;
    memset(p, 0, sizeof *p);
    struct plan first = {0};
    p->from = generation_of(from, NULL);
    p->to = generation_of(to, p->from->config);
    if (plan_init(&first, NULL, p->from, loops, &p->portals, &e) < 0)
        fail_msg("%s", e.text);
    plan_fini(&first); /* its sockets are closed again */
    return plan_init(&p->plan, p->from, p->to, loops, &p->portals, &e);
}

static void pair_close(struct pair *p)
{
    plan_fini(&p->plan);
    generation_unref(p->to);
    generation_unref(p->from);
    portals_fini(&p->portals);
}

static uint16_t free_port(void)
{
    struct addr at;
    close(rig_listen(&at, 1));
    return at.port;
}

/* %u: a port. */
static const char BOTH[] =
    "{\"inbounds\":[{\"tag\":\"a\",\"listen\":\"127.0.0.1\",\"port\":%u,\"protocol\":\"vmess\","
    "\"settings\":{\"clients\":[{\"id\":\"" ID "\",\"email\":\"x@y\"}]}}],"
    "\"outbounds\":[{\"tag\":\"out\",\"protocol\":\"freedom\"},{\"protocol\":\"blackhole\"}],"
    "\"reverse\":{\"bridges\":[{\"tag\":\"b\",\"domain\":\"d.e\"}],"
    "\"portals\":[{\"tag\":\"p\",\"domain\":\"f.g\"}]}}";

static void what_says_the_same_is_kept(void **state)
{
    (void)state;
    static const char AGAIN[] =
        "{ // the same in other words\n"
        "\"Reverse\":{\"portals\":[{\"domain\":\"f.g\",\"TAG\":\"p\"}],"
        "\"bridges\":[{\"_comment\":\"x\",\"domain\":\"d.e\",\"tag\":\"b\"}]},"
        "\"outbounds\":[{\"tag\":\"out\",\"protocol\":\"freedom\",\"settings\":null},"
        "{\"protocol\":\"blackhole\"}],"
        "\"inbounds\":[{\"settings\":{\"clients\":[{\"email\":\"x@y\",\"id\":\"" ID "\"}]},"
        "\"port\":%u,\"protocol\":\"vmess\",\"listen\":\"127.0.0.1\",\"tag\":\"a\"}]}";
    char from[1000], to[1000];
    struct pair p;
    uint16_t port = free_port();
    snprintf(from, sizeof from, BOTH, port);
    snprintf(to, sizeof to, AGAIN, port);
    assert_int_equal(pair_open(&p, from, to, 1), 0);
    assert_int_equal(p.plan.inbounds[0], 0);
    assert_int_equal(p.plan.outbounds[0], 0);
    assert_int_equal(p.plan.outbounds[1], 1);
    assert_int_equal(p.plan.outbounds[2], 2);
    assert_int_equal(p.plan.bridges[0], 0);
    assert_int_equal(p.plan.kept, 5);
    assert_int_equal(p.plan.begun + p.plan.ended, 0);
    assert_null(p.plan.doors[0].tcp);
    assert_ptr_equal(p.to->portals[2], p.from->portals[2]);
    pair_close(&p);
}

static void what_flows_point_to_is_the_same_in_both(void **state)
{
    (void)state;
    char text[1000];
    struct pair p;
    snprintf(text, sizeof text, BOTH, free_port());
    assert_int_equal(pair_open(&p, text, text, 1), 0);
    const struct config *a = p.from->config, *b = p.to->config;
    assert_ptr_equal(a->inbounds[0].tag, b->inbounds[0].tag);
    assert_ptr_equal(a->inbounds[0].policy, b->inbounds[0].policy);
    assert_ptr_equal(a->inbounds[0].traffic, b->inbounds[0].traffic);
    assert_ptr_equal(a->inbounds[0].vmess.users[0].user, b->inbounds[0].vmess.users[0].user);
    assert_ptr_equal(a->outbounds[0].send_through, b->outbounds[0].send_through);
    assert_ptr_equal(a->outbounds[2].portal, b->outbounds[2].portal);
    assert_ptr_equal(a->bridges, b->bridges);
    pair_close(&p);
}

/* One change each, and what it ends. */
static void every_setting_makes_a_difference(void **state)
{
    (void)state;
    static const struct {
        const char *old, *new;
    } changes[] = {
        {"\"x@y\"", "\"x@z\""},
        {"\"out\"", "\"two\""},
        {"\"d.e\"", "\"d.f\""},
        {"\"f.g\"", "\"f.h\""},
        {"blackhole\"", "blackhole\",\"tag\":\"h\""},
        {"127.0.0.1\"", "127.0.0.2\""},
    };
    char from[1000], to[1000];
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct pair p;
        snprintf(from, sizeof from, BOTH, free_port());
        const char *at = strstr(from, changes[i].old);
        assert_non_null(at);
        snprintf(to, sizeof to, "%.*s%s%s", (int)(at - from), from, changes[i].new,
                 at + strlen(changes[i].old));
        assert_int_equal(pair_open(&p, from, to, 1), 0);
        assert_int_equal(p.plan.kept, 4);
        assert_int_equal(p.plan.begun, 1);
        assert_int_equal(p.plan.ended, 1);
        pair_close(&p);
    }
}

static void untagged_equals_are_matched_one_to_one(void **state)
{
    (void)state;
    struct pair p;
    static const char one[] = "{\"outbounds\":[{\"protocol\":\"freedom\"}]}",
                      two[] = "{\"outbounds\":[{\"protocol\":\"freedom\"},"
                              "{\"protocol\":\"freedom\"}]}";
    assert_int_equal(pair_open(&p, one, two, 1), 0);
    assert_int_equal(p.plan.outbounds[0], 0);
    assert_int_equal(p.plan.outbounds[1], PLAN_NEW);
    pair_close(&p);
    assert_int_equal(pair_open(&p, two, one, 1), 0);
    assert_int_equal(p.plan.outbounds[0], 0);
    assert_int_equal(p.plan.ended, 1);
    pair_close(&p);
}

#define DOOR(tag, ports, net)                                                                      \
    "{\"inbounds\":[{\"tag\":\"" tag "\",\"listen\":\"127.0.0.1\",\"port\":\"" ports "\","         \
    "\"protocol\":\"dokodemo-door\",\"settings\":{\"address\":\"127.0.0.1\",\"port\":1,"           \
    "\"network\":\"" net "\"}}],\"outbounds\":[{\"protocol\":\"freedom\"}]}"

/* Two free ports, one after the other. */
static uint16_t free_ports(void)
{
    for (;;) {
        uint16_t port = free_port();
        struct addr next = rig_addr("127.0.0.1", (uint16_t)(port + 1));
        struct err e;
        int fd;
        if (port == UINT16_MAX || listen_open(&next, SOCK_STREAM, &fd, 1, &e) < 0)
            continue;
        close(fd);
        return port;
    }
}

static void common_ports_are_inherited_and_others_opened(void **state)
{
    (void)state;
    struct pair p;
    char from[600], to[600];
    uint16_t port = free_ports();
    snprintf(from, sizeof from, DOOR("a", "%u", "tcp"), port);
    snprintf(to, sizeof to, DOOR("b", "%u-%u", "tcp,udp"), port, port + 1);
    assert_int_equal(pair_open(&p, from, to, 3), 0);
    const struct doors *d = &p.plan.doors[0];
    assert_int_equal(d->ports, 2);
    assert_int_equal(d->tcp[0].heir_of, 0);
    assert_int_equal(d->tcp[0].heir_port, 0);
    assert_null(d->tcp[0].fds);
    assert_int_equal(d->tcp[1].heir_of, DOOR_NEW);
    assert_int_equal(d->udp[0].heir_of, DOOR_NEW);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(rig_addr_of(d->tcp[1].fds[i]).port, port + 1);
        assert_int_equal(rig_addr_of(d->udp[0].fds[i]).port, port);
    }
    pair_close(&p);
}

/* Whatever changes, a replay stays one. */
static void what_was_seen_is_known_after_a_change(void **state)
{
    (void)state;
    char from[1000], to[1000];
    struct pair p;
    uint16_t port = free_port();
    snprintf(from, sizeof from, BOTH, port);
    snprintf(to, sizeof to, BOTH, port);
    memcpy(strstr(to, "x@y"), "x@z", 3);
    assert_int_equal(pair_open(&p, from, from, 1), 0); /* kept */
    assert_ptr_equal(p.to->guard, p.from->guard);
    pair_close(&p);
    assert_int_equal(pair_open(&p, from, to, 1), 0); /* changed */
    assert_int_equal(p.plan.inbounds[0], PLAN_NEW);
    assert_ptr_equal(p.to->guard, p.from->guard);
    pair_close(&p);
    snprintf(to, sizeof to, BOTH, free_port());
    assert_int_equal(pair_open(&p, from, to, 1), 0); /* another port */
    assert_ptr_equal(p.to->guard, p.from->guard);
    pair_close(&p);
}

static void a_range_is_opened_whole_or_not_at_all(void **state)
{
    (void)state;
    struct portals portals = {0};
    struct plan plan;
    struct err e;
    char text[600];
    uint16_t port = free_ports();
    struct addr second = rig_addr("127.0.0.1", (uint16_t)(port + 1));
    int taken;
    assert_int_equal(listen_open(&second, SOCK_STREAM, &taken, 1, &e), 0);
    snprintf(text, sizeof text, DOOR("a", "%u-%u", "tcp,udp"), port, port + 1);
    struct generation *g = generation_of(text, NULL);
    int next = rig_next_fd();
    assert_int_equal(plan_init(&plan, NULL, g, 4, &portals, &e), -1);
    assert_int_equal(e.code, EADDRINUSE);
    assert_non_null(strstr(e.text, "inbound /inbounds/0 \"a\": listen on 127.0.0.1:"));
    assert_int_equal(rig_next_fd(), next);
    close(taken);
    generation_unref(g);
    portals_fini(&portals);
}

static void a_generation_goes_with_its_last_share(void **state)
{
    (void)state;
    struct generation *g = generation_of(DOOR("a", "1", "tcp"), NULL);
    assert_ptr_equal(generation_ref(g), g);
    generation_unref(g);
    assert_string_equal(g->config->inbounds[0].tag, "a"); /* a sanitizer would object */
    generation_unref(g);
    generation_unref(NULL);
}

/* Who is overridden and what was observed goes on under the same tag. */
static void balancers_and_health_are_passed_on_by_tag(void **state)
{
    (void)state;
#define WATCHED(first, balancer)                                                                   \
    "{\"outbounds\":[" first "{\"tag\":\"x-1\",\"protocol\":\"freedom\"}],"                        \
    "\"observatory\":{\"subjectSelector\":[\"x\"],\"probeURL\":\"http://a.example/\"},"            \
    "\"routing\":{\"balancers\":[{\"tag\":\"" balancer "\",\"selector\":[\"x\"]}]}}"
    struct pair p;
    assert_int_equal(pair_open(&p, WATCHED("", "b"),
                               WATCHED("{\"tag\":\"x-0\",\"protocol\":\"blackhole\"},", "b"), 1),
                     0);
    const struct config *from = p.from->config, *to = p.to->config;
    assert_ptr_equal(to->balancers.items[0].state, from->balancers.items[0].state);
    assert_int_equal(to->observatory.count, 2);
    assert_ptr_equal(to->observatory.items[1].health, from->observatory.items[0].health);
    assert_ptr_not_equal(to->observatory.items[0].health, from->observatory.items[0].health);
    pair_close(&p);
    assert_int_equal(pair_open(&p, WATCHED("", "b"), WATCHED("", "c"), 1), 0);
    assert_ptr_not_equal(p.to->config->balancers.items[0].state,
                         p.from->config->balancers.items[0].state);
    pair_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(balancers_and_health_are_passed_on_by_tag),
        cmocka_unit_test(what_says_the_same_is_kept),
        cmocka_unit_test(what_flows_point_to_is_the_same_in_both),
        cmocka_unit_test(every_setting_makes_a_difference),
        cmocka_unit_test(untagged_equals_are_matched_one_to_one),
        cmocka_unit_test(common_ports_are_inherited_and_others_opened),
        cmocka_unit_test(what_was_seen_is_known_after_a_change),
        cmocka_unit_test(a_range_is_opened_whole_or_not_at_all),
        cmocka_unit_test(a_generation_goes_with_its_last_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
