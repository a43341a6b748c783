#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "cluster/redis_reply.h"

static redisReply text(int type, const char *s)
{
    return (redisReply){.type = type, .str = (char *)s, .len = strlen(s)};
}

static void a_slot_is_that_of_the_tag(void **state)
{
    (void)state;
    /* "123456789" is the check value of CRC-16/XMODEM; the others are what CLUSTER KEYSLOT says. */
    static const struct {
        const char *key;
        uint16_t slot;
    } cases[] = {
        {"123456789", 0x31c3 % REDIS_SLOTS},
        {"", 0},
        {"foo", 12182},
        {"{foo}bar", 12182},
        {"x{foo}", 12182},
        {"{}foo", 9500},
        {"{foo", 13308},
        {"{foo}{bar}", 12182},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(redis_slot(cases[i].key, strlen(cases[i].key)), cases[i].slot);
}

static void what_moved_says_where(void **state)
{
    (void)state;
    static const struct {
        const char *text, *at;
        unsigned slot;
        bool once;
    } cases[] = {
        {"MOVED 3999 127.0.0.1:6381", "127.0.0.1:6381", 3999, false},
        {"ASK 0 [::1]:1", "[::1]:1", 0, true},
        {"MOVED 16383 2001:db8::1:6381", "[2001:db8::1]:6381", 16383, false},
        {"MOVED 1 redis-0.redis:6379", "redis-0.redis:6379", 1, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        redisReply r = text(REDIS_REPLY_ERROR, cases[i].text);
        struct redis_moved m;
        char at[ADDR_TEXT_MAX];
        assert_true(redis_moved_read(&r, &m));
        assert_string_equal(addr_text(&m.at, at), cases[i].at);
        assert_int_equal(m.slot, cases[i].slot);
        assert_int_equal(m.once, cases[i].once);
    }
}

static void without_a_host_it_moved_within_the_same(void **state)
{
    (void)state;
    static const char *const texts[] = {"MOVED 7 :6381", "MOVED 7 ?:6381"};
    for (size_t i = 0; i < 2; i++) {
        redisReply r = text(REDIS_REPLY_ERROR, texts[i]);
        struct redis_moved m;
        assert_true(redis_moved_read(&r, &m));
        assert_int_equal(m.at.type, ADDR_NONE);
        assert_int_equal(m.at.port, 6381);
    }
}

static void what_is_no_place_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "MOVED",
        "MOVED ",
        "MOVED 1",
        "MOVED 1 ",
        "MOVED 1 host",
        "MOVED 1 host:",
        "MOVED 16384 h:1",
        "MOVED -1 h:1",
        "MOVED 1 h:0",
        "MOVED 1 h:65536",
        "MOVED 1 h:1x",
        "MOVED 1 h:000001",
        "MOVED 1 a b:1",
        "MOVED 1 h\xc3\xa9:1",
        "MOVED 1 \x01:1",
        "MOVED  h:1",
        "MOVED 123456 h:1",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        redisReply r = text(REDIS_REPLY_ERROR, texts[i]);
        struct redis_moved m;
        if (redis_moved_read(&r, &m))
            fail_msg("taken: %s", texts[i]);
    }
}

static void refusals_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint8_t kind;
    } cases[] = {
        {"MOVED 1 h:1", REFUSAL_MOVED},
        {"OOM command not allowed when used memory > 'maxmemory'.", REFUSAL_STATE},
        {"MISCONF Redis is configured to save RDB snapshots", REFUSAL_STATE},
        {"NOPERM this user has no permissions", REFUSAL_STATE},
        {"NOAUTH Authentication required.", REFUSAL_ENDS},
        {"WRONGPASS invalid username-password pair or user is disabled.", REFUSAL_ENDS},
        {"LOADING Redis is loading the dataset in memory", REFUSAL_ENDS},
        {"READONLY You can't write against a read only replica.", REFUSAL_ENDS},
        {"WRONGTYPE Operation against a key", REFUSAL_PLAIN},
        {"OOMPH", REFUSAL_PLAIN},
        {"", REFUSAL_PLAIN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        redisReply r = text(REDIS_REPLY_ERROR, cases[i].text);
        assert_int_equal(redis_refusal_of(&r)->kind, cases[i].kind);
    }
}

static void only_a_replica_is_no_master(void **state)
{
    (void)state;
    redisReply master = text(REDIS_REPLY_STRING, "master"),
               slave = text(REDIS_REPLY_STRING, "slave");
    redisReply *m = &master, *s = &slave;
    redisReply says_master = {.type = REDIS_REPLY_ARRAY, .elements = 1, .element = &m};
    redisReply says_slave = {.type = REDIS_REPLY_ARRAY, .elements = 1, .element = &s};
    redisReply refuses = text(REDIS_REPLY_ERROR, "NOPERM");
    redisReply empty = {.type = REDIS_REPLY_ARRAY};
    assert_true(redis_is_master(&says_master));
    assert_false(redis_is_master(&says_slave));
    assert_true(redis_is_master(&refuses));
    assert_true(redis_is_master(&empty));
}

static void a_run_id_is_found_in_what_info_says(void **state)
{
    (void)state;
    char id[REDIS_RUN_ID + 1];
    redisReply r = text(REDIS_REPLY_STRING,
                        "# Server\r\nredis_version:7.0.15\r\n"
                        "run_id:0123456789abcdef0123456789abcdef01234567\r\ntcp_port:1\r\n");
    redis_run_id_read(&r, id);
    assert_string_equal(id, "0123456789abcdef0123456789abcdef01234567");
    r = text(REDIS_REPLY_STRING, "run_id:0123456789abcdef0123456789abcdef0123456789");
    redis_run_id_read(&r, id);
    assert_int_equal(strlen(id), REDIS_RUN_ID);
    r = text(REDIS_REPLY_STRING, "run_id:");
    redis_run_id_read(&r, id);
    assert_string_equal(id, "");
    r = text(REDIS_REPLY_ERROR, "run_id:00");
    redis_run_id_read(&r, id);
    assert_string_equal(id, "");
}

static void a_sentinel_names_host_and_port(void **state)
{
    (void)state;
    redisReply host = text(REDIS_REPLY_STRING, "10.0.0.7"), port = text(REDIS_REPLY_STRING, "6380");
    redisReply *pair[] = {&host, &port};
    redisReply r = {.type = REDIS_REPLY_ARRAY, .elements = 2, .element = pair};
    struct addr at;
    char said[ADDR_TEXT_MAX];
    assert_true(redis_master_read(&r, &at));
    assert_string_equal(addr_text(&at, said), "10.0.0.7:6380");
    port = text(REDIS_REPLY_STRING, "0");
    assert_false(redis_master_read(&r, &at));
    assert_int_equal(at.type, ADDR_NONE);
    port = (redisReply){.type = REDIS_REPLY_NIL};
    assert_false(redis_master_read(&r, &at));
    r = (redisReply){.type = REDIS_REPLY_NIL};
    assert_false(redis_master_read(&r, &at));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slot_is_that_of_the_tag),
        cmocka_unit_test(what_moved_says_where),
        cmocka_unit_test(without_a_host_it_moved_within_the_same),
        cmocka_unit_test(what_is_no_place_is_refused),
        cmocka_unit_test(refusals_are_told_apart),
        cmocka_unit_test(only_a_replica_is_no_master),
        cmocka_unit_test(a_run_id_is_found_in_what_info_says),
        cmocka_unit_test(a_sentinel_names_host_and_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
