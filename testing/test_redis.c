#include "testing/redis_rig.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cluster/redis_reply.h"
#include "testing/clock.h"

enum { SERVERS = 3, TIMEOUT = 60 };

struct kept {
    struct rig rig;
    int listening[SERVERS], fd;
    struct redis_server servers[SERVERS];
    struct registry_conf conf;
    struct redis_owner owner;
    struct redis *redis;
    unsigned wells, losses;
    char run_id[REDIS_RUN_ID + 1];
    struct redis_got got[4];
};

static void on_well(void *owner, bool well, const char *run_id)
{
    struct kept *k = owner;
    k->wells += well;
    k->losses += !well;
    if (!well)
        redis_forget(k->redis, &k->got[3]);
    assert_int_equal(redis_is_well(k->redis), well);
    memcpy(k->run_id, run_id, strlen(run_id) + 1);
}

/* With so many servers of those that listen. */
static void kept_open(struct kept *k, size_t count)
{
    memset(k, 0, sizeof *k);
    rig_open(&k->rig);
    for (size_t i = 0; i < SERVERS; i++)
        k->listening[i] = rig_listen(&k->servers[i].at, 16);
    k->conf =
        (struct registry_conf){.servers = k->servers, .server_count = count, .timeout = TIMEOUT};
    k->owner = (struct redis_owner){on_well, k};
}

static void kept_dial(struct kept *k)
{
    k->redis = redis_new(&k->rig.loop, &k->conf, &k->owner);
    assert_non_null(k->redis);
    assert_false(redis_is_well(k->redis));
}

static void greeted(struct kept *k, size_t server, char run_id)
{
    unsigned wells = k->wells;
    if (k->fd)
        close(k->fd);
    k->fd = rig_accept(&k->rig, k->listening[server]);
    redis_greet(&k->rig, k->fd, run_id);
    RIG_UNTIL(&k->rig, k->wells > wells);
}

static void kept_up(struct kept *k, size_t count)
{
    kept_open(k, count);
    kept_dial(k);
    greeted(k, 0, 'a');
}

static void kept_close(struct kept *k)
{
    redis_free(k->redis);
    if (k->fd)
        close(k->fd);
    for (size_t i = 0; i < SERVERS; i++)
        close(k->listening[i]);
    rig_close(&k->rig);
}

static bool ask(struct kept *k, const char *verb, const char *key, struct redis_got *got)
{
    const char *const words[] = {verb, key};
    const size_t lens[] = {strlen(verb), strlen(key)};
    return redis_ask(k->redis, 2, words, lens, 0, redis_note, got);
}

static void lose(struct kept *k)
{
    unsigned losses = k->losses;
    rig_abort(k->fd);
    k->fd = 0;
    RIG_UNTIL(&k->rig, k->losses > losses);
}

static void it_is_well_once_it_has_greeted(void **state)
{
    (void)state;
    struct kept k;
    kept_open(&k, 1);
    kept_dial(&k);
    assert_false(ask(&k, "GET", "x", &k.got[0]));
    assert_true(strlen(redis_server_text(k.redis)) > 0); /* the one that is dialled */
    assert_string_equal(redis_trouble(k.redis), "it has not answered yet");
    greeted(&k, 0, 'a');
    assert_int_equal(k.run_id[0], 'a');
    assert_true(strlen(redis_server_text(k.redis)) > 0);
    assert_string_equal(redis_trouble(k.redis), "");
    assert_true(ask(&k, "GET", "x", &k.got[0]));
    assert_int_equal(redis_pending(k.redis), 1);
    redis_hear(&k.rig, k.fd, "GET x");
    rig_say(&k.rig, k.fd, "$1\r\n7\r\n");
    RIG_UNTIL(&k.rig, k.got[0].calls);
    assert_string_equal(k.got[0].text, "7");
    assert_true(redis_lag(k.redis) >= 0);
    kept_close(&k);
}

static void who_waits_hears_that_it_went_and_it_is_dialled_again(void **state)
{
    (void)state;
    struct kept k;
    kept_up(&k, 1);
    assert_true(ask(&k, "GET", "x", &k.got[0]));
    assert_true(ask(&k, "GET", "y", &k.got[1]));
    redis_hear(&k.rig, k.fd, "GET x");
    redis_forget(k.redis, &k.got[1]);
    lose(&k);
    RIG_UNTIL(&k.rig, k.got[0].calls);
    assert_int_equal(k.got[0].nones, 1);
    assert_int_equal(k.got[1].calls, 0);
    assert_false(ask(&k, "GET", "x", &k.got[2]));
    greeted(&k, 0, 'b');
    assert_int_equal(k.run_id[0], 'b');
    assert_int_equal(k.wells, 2);
    kept_close(&k);
}

/* In on_well(), when it is gone already. */
static void who_forgets_when_it_went_hears_nothing(void **state)
{
    (void)state;
    struct kept k;
    kept_up(&k, 1);
    assert_true(ask(&k, "GET", "x", &k.got[3]));
    assert_true(ask(&k, "GET", "x", &k.got[0]));
    lose(&k);
    RIG_UNTIL(&k.rig, k.got[0].calls);
    assert_int_equal(k.got[3].calls, 0);
    kept_close(&k);
}

static void a_full_queue_takes_no_more(void **state)
{
    (void)state;
    struct kept k;
    unsigned taken = 0;
    char *large = malloc(REDIS_QUEUE_BYTES + 1);
    kept_up(&k, 1);
    memset(large, 'x', REDIS_QUEUE_BYTES);
    large[REDIS_QUEUE_BYTES] = '\0';
    assert_false(ask(&k, "GET", large, &k.got[0]));
    while (ask(&k, "GET", "x", &k.got[0]))
        taken++;
    assert_int_equal(taken, REDIS_QUEUE);
    assert_int_equal(redis_pending(k.redis), REDIS_QUEUE);
    free(large);
    kept_close(&k);
}

static void the_next_server_is_tried_at_once(void **state)
{
    (void)state;
    struct kept k;
    kept_open(&k, 3);
    kept_dial(&k);
    k.fd = rig_accept(&k.rig, k.listening[0]);
    redis_hear(&k.rig, k.fd, "ROLE");
    rig_say(&k.rig, k.fd, "*1\r\n$5\r\nslave\r\n");
    close(k.fd);
    k.fd = rig_accept(&k.rig, k.listening[1]);
    rig_say(&k.rig, k.fd, "-LOADING Redis is loading the dataset in memory\r\n");
    greeted(&k, 2, 'c');
    assert_int_equal(k.losses, 0); /* it never was well */
    kept_close(&k);
}

static void a_wrong_password_is_told(void **state)
{
    (void)state;
    struct kept k;
    kept_open(&k, 1);
    k.conf.password = "secret";
    kept_dial(&k);
    k.fd = rig_accept(&k.rig, k.listening[0]);
    redis_hear(&k.rig, k.fd, "AUTH secret");
    rig_say(&k.rig, k.fd, "-WRONGPASS invalid username-password pair\r\n");
    close(k.fd);
    k.fd = rig_accept(&k.rig, k.listening[0]);
    assert_string_equal(redis_trouble(k.redis), "it refuses user and password (WRONGPASS)");
    kept_close(&k);
}

static void a_full_server_is_well_and_in_trouble(void **state)
{
    (void)state;
    struct kept k;
    kept_up(&k, 1);
    assert_true(ask(&k, "DEL", "x", &k.got[0]));
    redis_hear(&k.rig, k.fd, "DEL x");
    rig_say(&k.rig, k.fd, "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
    RIG_UNTIL(&k.rig, k.got[0].calls);
    assert_int_equal(k.got[0].type, REDIS_REPLY_ERROR);
    assert_true(redis_is_well(k.redis));
    assert_string_equal(redis_trouble(k.redis), "it is full: no write is taken (OOM, maxmemory)");
    clock_forward(11);
    assert_string_equal(redis_trouble(k.redis), "");
    kept_close(&k);
}

/* --- Sentinel --- */

static void say_place(struct kept *k, const struct addr *at)
{
    char text[64];
    snprintf(text, sizeof text, "*2\r\n$9\r\n127.0.0.1\r\n$5\r\n%05u\r\n", at->port);
    rig_say(&k->rig, k->fd, text);
}

static void sentinel_asked(struct kept *k, size_t sentinel)
{
    if (k->fd)
        close(k->fd);
    k->fd = rig_accept(&k->rig, k->listening[sentinel]);
    redis_greet_node(&k->rig, k->fd);
    redis_hear(&k->rig, k->fd, "SENTINEL get-master-addr-by-name mymaster");
}

static void a_sentinel_says_where_the_master_is(void **state)
{
    (void)state;
    struct kept k;
    kept_open(&k, 2); /* two Sentinels; the third is the master */
    k.conf.master = "mymaster";
    kept_dial(&k);
    sentinel_asked(&k, 0);
    rig_say(&k.rig, k.fd, "*-1\r\n");
    sentinel_asked(&k, 1);
    assert_string_equal(redis_trouble(k.redis), "this Sentinel knows no master of that name");
    say_place(&k, &k.servers[2].at);
    greeted(&k, 2, 'a');
    lose(&k);
    sentinel_asked(&k, 0); /* the master may be another one now */
    say_place(&k, &k.servers[1].at);
    greeted(&k, 1, 'b');
    assert_int_equal(k.run_id[0], 'b');
    kept_close(&k);
}

static void a_master_that_is_none_sends_to_the_next_sentinel(void **state)
{
    (void)state;
    struct kept k;
    kept_open(&k, 2);
    k.conf.master = "mymaster";
    k.conf.sentinel_password = "s";
    k.conf.password = "m";
    kept_dial(&k);
    k.fd = rig_accept(&k.rig, k.listening[0]);
    redis_hear(&k.rig, k.fd, "AUTH s");
    rig_say(&k.rig, k.fd, "+OK\r\n");
    redis_greet_node(&k.rig, k.fd);
    redis_hear(&k.rig, k.fd, "SENTINEL get-master-addr-by-name mymaster");
    say_place(&k, &k.servers[2].at);
    close(k.fd);
    k.fd = rig_accept(&k.rig, k.listening[2]);
    redis_hear(&k.rig, k.fd, "AUTH m");
    redis_hear(&k.rig, k.fd, "ROLE");
    rig_say(&k.rig, k.fd, "+OK\r\n*1\r\n$5\r\nslave\r\n");
    close(k.fd);
    k.fd = rig_accept(&k.rig, k.listening[1]);
    assert_string_equal(redis_trouble(k.redis), "it is a replica");
    kept_close(&k);
}

/* --- Redis Cluster --- */

static void say_moved(struct kept *k, int fd, const char *how, unsigned slot, size_t server)
{
    char text[64];
    snprintf(text, sizeof text, "-%s %u 127.0.0.1:%u\r\n", how, slot, k->servers[server].at.port);
    rig_say(&k->rig, fd, text);
}

static void a_moved_key_is_asked_for_where_it_is_from_then_on(void **state)
{
    (void)state;
    struct kept k;
    kept_up(&k, 1);
    assert_true(ask(&k, "GET", "foo", &k.got[0]));
    redis_hear(&k.rig, k.fd, "GET foo");
    say_moved(&k, k.fd, "MOVED", redis_slot("foo", 3), 1);
    int node = rig_accept(&k.rig, k.listening[1]);
    redis_greet_node(&k.rig, node);
    redis_hear(&k.rig, node, "GET foo");
    rig_say(&k.rig, node, "+1\r\n");
    RIG_UNTIL(&k.rig, k.got[0].calls);
    assert_string_equal(k.got[0].text, "1");
    assert_true(ask(&k, "GET", "{foo}x", &k.got[1]));
    redis_hear(&k.rig, node, "GET {foo}x");
    say_moved(&k, node, "MOVED", redis_slot("foo", 3), 0); /* and back to the first */
    redis_hear(&k.rig, k.fd, "GET {foo}x");
    rig_say(&k.rig, k.fd, "+2\r\n");
    RIG_UNTIL(&k.rig, k.got[1].calls);
    assert_string_equal(k.got[1].text, "2");
    assert_true(ask(&k, "GET", "foo", &k.got[2]));
    redis_hear(&k.rig, k.fd, "GET foo");
    close(node);
    kept_close(&k);
}

static void ask_is_for_once(void **state)
{
    (void)state;
    struct kept k;
    kept_up(&k, 1);
    assert_true(ask(&k, "GET", "foo", &k.got[0]));
    redis_hear(&k.rig, k.fd, "GET foo");
    say_moved(&k, k.fd, "ASK", redis_slot("foo", 3), 1);
    int node = rig_accept(&k.rig, k.listening[1]);
    redis_greet_node(&k.rig, node);
    redis_hear(&k.rig, node, "ASKING");
    redis_hear(&k.rig, node, "GET foo");
    rig_say(&k.rig, node, "+OK\r\n+1\r\n");
    RIG_UNTIL(&k.rig, k.got[0].calls);
    assert_string_equal(k.got[0].text, "1");
    assert_true(ask(&k, "GET", "foo", &k.got[1]));
    redis_hear(&k.rig, k.fd, "GET foo");
    close(node);
    kept_close(&k);
}

static void who_is_sent_in_a_ring_hears_so(void **state)
{
    (void)state;
    struct kept k;
    kept_up(&k, 1);
    assert_true(ask(&k, "GET", "foo", &k.got[0]));
    for (int i = 0; i < 6; i++) {
        redis_hear(&k.rig, k.fd, "GET foo");
        say_moved(&k, k.fd, "MOVED", 1, 0);
    }
    RIG_UNTIL(&k.rig, k.got[0].calls);
    assert_int_equal(k.got[0].type, REDIS_REPLY_ERROR);
    kept_close(&k);
}

static void a_lost_node_is_asked_for_again(void **state)
{
    (void)state;
    struct kept k;
    kept_up(&k, 1);
    assert_true(ask(&k, "GET", "foo", &k.got[0]));
    redis_hear(&k.rig, k.fd, "GET foo");
    say_moved(&k, k.fd, "MOVED", redis_slot("foo", 3), 1);
    int node = rig_accept(&k.rig, k.listening[1]);
    redis_greet_node(&k.rig, node);
    redis_hear(&k.rig, node, "GET foo");
    rig_abort(node);
    RIG_UNTIL(&k.rig, k.got[0].calls);
    assert_int_equal(k.got[0].nones, 1);
    assert_int_equal(k.losses, 0);
    assert_true(ask(&k, "GET", "foo", &k.got[1]));
    redis_hear(&k.rig, k.fd, "GET foo");
    kept_close(&k);
}

/* The first connection goes, and with it what waits at the nodes. */
static void all_nodes_go_with_the_first(void **state)
{
    (void)state;
    struct kept k;
    kept_up(&k, 1);
    assert_true(ask(&k, "GET", "foo", &k.got[0]));
    redis_hear(&k.rig, k.fd, "GET foo");
    say_moved(&k, k.fd, "MOVED", redis_slot("foo", 3), 1);
    int node = rig_accept(&k.rig, k.listening[1]);
    redis_greet_node(&k.rig, node);
    redis_hear(&k.rig, node, "GET foo");
    lose(&k);
    RIG_UNTIL(&k.rig, k.got[0].calls);
    assert_int_equal(k.got[0].nones, 1);
    rig_drain(&k.rig, node, NULL);
    close(node);
    greeted(&k, 0, 'b');
    assert_true(ask(&k, "GET", "foo", &k.got[1]));
    redis_hear(&k.rig, k.fd, "GET foo");
    kept_close(&k);
}

/* They are named without end, and none of them greets. */
static void nodes_are_bounded(void **state)
{
    (void)state;
    struct kept k;
    struct addr any = rig_addr("0.0.0.0", 0);
    int held = rig_hold_port(&any.port), silent = rig_listen_at(&any, 64);
    unsigned asked = 0;
    kept_up(&k, 1);
    while (!k.got[0].calls) {
        char moved[64];
        assert_true(ask(&k, "GET", "foo", &k.got[0]));
        redis_hear(&k.rig, k.fd, "GET foo");
        snprintf(moved, sizeof moved, "-ASK 1 127.0.1.%u:%u\r\n", ++asked, any.port);
        rig_say(&k.rig, k.fd, moved);
        RIG_UNTIL(&k.rig, k.got[0].calls || redis_pending(k.redis) == 3 * asked);
    }
    assert_int_equal(asked, 32); /* the first server, 31 others, and no more */
    assert_int_equal(k.got[0].type, REDIS_REPLY_ERROR);
    close(silent);
    close(held);
    kept_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_well_once_it_has_greeted),
        cmocka_unit_test(who_waits_hears_that_it_went_and_it_is_dialled_again),
        cmocka_unit_test(who_forgets_when_it_went_hears_nothing),
        cmocka_unit_test(a_full_queue_takes_no_more),
        cmocka_unit_test(the_next_server_is_tried_at_once),
        cmocka_unit_test(a_wrong_password_is_told),
        cmocka_unit_test(a_full_server_is_well_and_in_trouble),
        cmocka_unit_test(a_sentinel_says_where_the_master_is),
        cmocka_unit_test(a_master_that_is_none_sends_to_the_next_sentinel),
        cmocka_unit_test(a_moved_key_is_asked_for_where_it_is_from_then_on),
        cmocka_unit_test(ask_is_for_once),
        cmocka_unit_test(who_is_sent_in_a_ring_hears_so),
        cmocka_unit_test(a_lost_node_is_asked_for_again),
        cmocka_unit_test(all_nodes_go_with_the_first),
        cmocka_unit_test(nodes_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
