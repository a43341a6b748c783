#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/log.h"
#include "reverse/way.h"
#include "testing/bridge_rig.h"

static const char *const hosts[] = {"a.example", "b.example"};

struct test {
    struct bridge_rig bridge;
    char path[32]; /* of the log */
    char log[4096];
};

static int test_open(void **state)
{
    struct test *t = *state = calloc(1, sizeof *t);
    struct err e;
    if (!t)
        return -1;
    bridge_rig_init(&t->bridge, 0);
    strcpy(t->path, "/tmp/v2c-names-XXXXXX");
    int fd = mkstemp(t->path);
    struct log_conf log = {.level = LOG_INFO, .error = t->path, .access = "none"};
    return fd < 0 || close(fd) < 0 || log_open(&log, &e) < 0 ? -1 : 0;
}

static int test_close(void **state)
{
    struct test *t = *state;
    bool clean = bridge_rig_fini(&t->bridge);
    log_close();
    unlink(t->path);
    free(t);
    return clean ? 0 : -1;
}

/* How often the log has this. */
static unsigned logged(struct test *t, const char *text)
{
    FILE *f = fopen(t->path, "r");
    unsigned n = 0;
    assert_non_null(f);
    t->log[fread(t->log, 1, sizeof t->log - 1, f)] = '\0';
    fclose(f);
    for (const char *at = t->log; (at = strstr(at, text)); at++)
        n++;
    return n;
}

/* The items that a link has said, but PINGs, a line each. */
static void said(struct far *wire, char text[1000])
{
    struct mux_frame f;
    const uint8_t *data;
    size_t len = 0;
    text[0] = '\0';
    while (far_next_frame(wire, &f, &data)) {
        struct cursor c = cur_of(data, f.data_len);
        struct link_item i;
        if (!link_read_magic(&c))
            continue;
        while (link_read(&c, &i)) {
            const struct link_names *n = &i.names;
            if (i.type == LINK_HELLO)
                len += (size_t)snprintf(text + len, 1000 - len, "hello\n");
            else if (i.type == LINK_NAMES)
                len += (size_t)snprintf(text + len, 1000 - len, "%u %.*s/%.*s/%.*s\n", n->weight,
                                        n->node.len, n->node.p, n->cluster.len, n->cluster.p,
                                        n->tenant.len, n->tenant.p);
            else if (i.type == LINK_HOST)
                len += (size_t)snprintf(text + len, 1000 - len, "host %.*s\n", i.host.name.len,
                                        i.host.name.p);
            else if (i.type == LINK_WEIGHT)
                len += (size_t)snprintf(text + len, 1000 - len, "weight %u\n", i.weight);
        }
    }
}

static void assert_said(struct far *wire, const char *wanted)
{
    char text[1000];
    said(wire, text);
    assert_string_equal(text, wanted);
}

static struct link_text text_of(const char *text)
{
    return (struct link_text){text, (uint8_t)strlen(text)};
}

static void say_answer(struct test *t, struct far *wire, const char *host, int answer)
{
    far_say_item(wire,
                 &(struct link_item){.type = LINK_HOST_ANSWER,
                                     .host = {.answer = (uint8_t)answer, .name = text_of(host)}});
    rig_turn(&t->bridge.rig);
}

static void start(struct test *t, unsigned share)
{
    t->bridge.conf.hosts = hosts;
    t->bridge.conf.host_count = 2;
    bridge_rig_start(&t->bridge, share);
}

/* --- what it says --- */

static void a_plain_bridge_says_no_more_than_hello(void **state)
{
    struct test *t = *state;
    bridge_rig_start(&t->bridge, 1);
    assert_said(link_v2c(&t->bridge, 0, 1, 1), "hello\n");
    assert_int_equal(logged(t, "names"), 0);
}

static void a_named_one_says_its_names_on_every_link_before_any_answer(void **state)
{
    struct test *t = *state;
    t->bridge.conf.node = "n-1";
    t->bridge.conf.cluster = "west";
    t->bridge.conf.weight = 7;
    start(t, 2);
    for (size_t i = 0; i < 2; i++) {
        for (int k = 0; k < 10 && t->bridge.link_count <= i; k++)
            bridge_wait(&t->bridge, 0.1);
        assert_true(t->bridge.link_count > i);
        rig_turn(&t->bridge.rig);
        assert_said(t->bridge.links[i], "hello\n7 n-1/west/\nhost a.example\nhost b.example\n");
    }
}

/* --- what it hears --- */

static void a_granted_name_is_logged_once_not_by_each_link(void **state)
{
    struct test *t = *state;
    start(t, 2);
    for (size_t i = 0; i < 2; i++) {
        struct far *wire = link_v2c(&t->bridge, i, 1, 1);
        say_answer(t, wire, "a.example", HOST_GRANTED);
        say_answer(t, wire, "a.example", HOST_GRANTED);
        say_answer(t, wire, "c.example", HOST_GRANTED); /* which it never asked for */
    }
    assert_int_equal(logged(t, "bridge bridge: reachable at http://a.example\n"), 1);
    assert_int_equal(logged(t, "example"), 1);
}

static void a_refused_name_is_logged_with_its_reason_and_so_is_every_change(void **state)
{
    struct test *t = *state;
    start(t, 1);
    struct far *wire = link_v2c(&t->bridge, 0, 1, 1);
    say_answer(t, wire, "a.example", HOST_TAKEN);
    say_answer(t, wire, "b.example", HOST_NOT_ALLOWED);
    say_answer(t, wire, "a.example", HOST_GRANTED);
    assert_int_equal(logged(t, "not reachable at a.example: another tunnel has that name"), 1);
    assert_int_equal(logged(t, "not reachable at b.example: the portal does not allow"), 1);
    assert_int_equal(logged(t, "reachable at http://a.example"), 1);
}

static void of_any_name_the_answer_says_which(void **state)
{
    static const char *const any[] = {"a.example", "", ".c.example"};
    struct test *t = *state;
    t->bridge.conf.hosts = any;
    t->bridge.conf.host_count = 3;
    bridge_rig_start(&t->bridge, 1);
    struct far *wire = link_v2c(&t->bridge, 0, 1, 1);
    assert_said(wire, "hello\nhost a.example\nhost \nhost .c.example\n");
    say_answer(t, wire, "0123.t.example", HOST_GRANTED);
    say_answer(t, wire, "4567.t.example", HOST_GRANTED);
    say_answer(t, wire, ".c.example", HOST_GRANTED);
    assert_int_equal(logged(t, "reachable at http://0123.t.example\n"), 1);
    assert_int_equal(logged(t, "reachable at http://*.c.example\n"), 1);
    assert_int_equal(logged(t, "reachable"), 2);
}

static void a_hostile_portal_does_not_fill_the_log(void **state)
{
    struct test *t = *state;
    start(t, 1);
    struct far *wire = link_v2c(&t->bridge, 0, 1, 1);
    for (int i = 0; i < 200; i++) {
        say_answer(t, wire, "a.example", 2 + i % 100);
        far_say_item(wire, &(struct link_item){.type = LINK_WHY, .why = text_of("because")});
    }
    rig_turn(&t->bridge.rig);
    assert_true(logged(t, "not reachable") <= 4); /* the second may have changed */
    assert_int_equal(logged(t, "bridge bridge: the portal refuses it: because\n"), 1);
}

static void a_refused_link_is_dialled_again_when_the_portal_says(void **state)
{
    struct test *t = *state;
    bridge_rig_start(&t->bridge, 1);
    struct far *wire = link_v2c(&t->bridge, 0, 1, 1);
    far_say_item(wire, &(struct link_item){.type = LINK_WHY, .why = text_of("no such tunnel")});
    far_say_item(wire, &(struct link_item){.type = LINK_GOAWAY, .going = {GOING_REFUSED, 10000}});
    assert_int_equal(rig_stat(&t->bridge.rig, BRIDGE_CARRIERS), 1);
    rig_turn(&t->bridge.rig);
    assert_int_equal(rig_stat(&t->bridge.rig, BRIDGE_CARRIERS), 0);
    far_leave(wire, 0);
    bridge_wait(&t->bridge, 9);
    assert_int_equal(t->bridge.link_count, 1);
    bridge_wait(&t->bridge, 1.1);
    assert_int_equal(t->bridge.link_count, 2);
    assert_int_equal(logged(t, "the portal refuses it: no such tunnel"), 1);
    assert_int_equal(logged(t, "no portal"), 0);
}

static void that_a_portal_knows_nothing_of_names_is_said_once(void **state)
{
    struct test *t = *state;
    start(t, 2);
    for (size_t i = 0; i < 2; i++) {
        link_up(&t->bridge, i);
        far_say_features(t->bridge.links[i], LINK_FEATURES & ~LINK_NAMED, 65536);
        rig_turn(&t->bridge.rig);
    }
    assert_int_equal(logged(t, "knows nothing of names"), 1);
}

/* --- its server --- */

static const struct origin_conf health = {
    .address = {.type = ADDR_IPV4, .port = 80, .ip = {10, 0, 0, 1}},
    .interval = 5,
    .timeout = 3,
    .rise = 2,
    .fall = 3};

/* The question that is open. */
static struct far *asked(struct test *t)
{
    assert_true(t->bridge.target_count > 0);
    return t->bridge.targets[t->bridge.target_count - 1];
}

static void portals_hear_when_its_server_is_down_and_when_it_is_up(void **state)
{
    struct test *t = *state;
    t->bridge.conf.health = &health;
    t->bridge.conf.weight = 9;
    bridge_rig_start(&t->bridge, 1);
    struct far *wire = link_v2c(&t->bridge, 0, 1, 1);
    assert_said(wire, "hello\n9 //\n");
    far_leave(asked(t), ECONNREFUSED);
    rig_turn(&t->bridge.rig);
    assert_said(wire, "weight 0\n");
    for (int i = 0; i < 2; i++) {
        bridge_live(&t->bridge, 5.1);
        far_reached(asked(t));
        rig_turn(&t->bridge.rig);
    }
    assert_said(wire, "weight 9\n");
}

static void a_link_that_comes_while_it_is_down_says_so_at_once(void **state)
{
    struct test *t = *state;
    t->bridge.conf.health = &health;
    bridge_rig_start(&t->bridge, 1);
    struct far *wire = link_v2c(&t->bridge, 0, 1, 1);
    far_leave(asked(t), ECONNREFUSED);
    rig_turn(&t->bridge.rig);
    assert_said(wire, "hello\nweight 0\n");
    far_leave(wire, 0);
    assert_said(link_v2c(&t->bridge, 1, 1, 1), "hello\n0 //\n");
}

#define LAW(f) cmocka_unit_test_setup_teardown(f, test_open, test_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAW(a_plain_bridge_says_no_more_than_hello),
        LAW(a_named_one_says_its_names_on_every_link_before_any_answer),
        LAW(a_granted_name_is_logged_once_not_by_each_link),
        LAW(a_refused_name_is_logged_with_its_reason_and_so_is_every_change),
        LAW(of_any_name_the_answer_says_which),
        LAW(a_hostile_portal_does_not_fill_the_log),
        LAW(a_refused_link_is_dialled_again_when_the_portal_says),
        LAW(that_a_portal_knows_nothing_of_names_is_said_once),
        LAW(portals_hear_when_its_server_is_down_and_when_it_is_up),
        LAW(a_link_that_comes_while_it_is_down_says_so_at_once),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
