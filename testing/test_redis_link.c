#include "testing/redis_rig.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cluster/redis_link.h"
#include "testing/clock.h"

enum { TIMEOUT = 60 }; /* seconds; the clock is moved, nobody waits for it */

struct served {
    struct rig rig;
    int listening, fd;
    struct redis_link_conf conf;
    struct redis_link *link;
    unsigned ups, downs, left;
    char run_id[REDIS_RUN_ID + 1];
    struct err why;
    struct redis_got got[4];
};

static void on_up(void *owner, struct redis_link *k, const char *run_id)
{
    struct served *s = owner;
    assert_ptr_equal(k, s->link);
    s->ups++;
    memcpy(s->run_id, run_id, strlen(run_id) + 1);
}

static void on_down(void *owner, struct redis_link *k, const struct err *why, struct list *left)
{
    struct served *s = owner;
    assert_ptr_equal(k, s->link);
    s->downs++;
    s->link = NULL;
    s->why = *why;
    for (struct list_item *i = list_first(left); i; i = list_next(left, i))
        s->left++;
    redis_commands_free(left);
}

static bool on_refused(void *owner, struct redis_link *k, struct redis_command *c,
                       const redisReply *r)
{
    (void)owner, (void)k, (void)c, (void)r;
    return false;
}

static const struct redis_link_ops ops = {on_up, on_down, on_refused};

static void served_open(struct served *s)
{
    memset(s, 0, sizeof *s);
    rig_open(&s->rig);
    s->conf.timeout = TIMEOUT;
    s->conf.is_master = true;
    s->listening = rig_listen(&s->conf.at, 8);
}

static void served_dial(struct served *s)
{
    s->link = redis_link_new(&s->rig.loop, &s->conf, &ops, s);
    assert_non_null(s->link);
    s->fd = rig_accept(&s->rig, s->listening);
}

static void served_up(struct served *s)
{
    served_open(s);
    served_dial(s);
    redis_greet(&s->rig, s->fd, 'a');
    RIG_UNTIL(&s->rig, s->ups);
}

static void served_close(struct served *s)
{
    if (s->link)
        redis_link_free(s->link);
    if (s->fd)
        close(s->fd);
    close(s->listening);
    rig_close(&s->rig);
}

static void ask(struct served *s, const char *word, struct redis_got *got)
{
    size_t len = strlen(word);
    struct redis_command *c = redis_command_new(1, &word, &len);
    assert_non_null(c);
    c->timeout = TIMEOUT;
    c->told = redis_note;
    c->owner = got;
    redis_link_send(s->link, c);
}

static void forward(struct served *s, double seconds)
{
    clock_forward(seconds);
    rig_turn(&s->rig);
}

static void it_greets_with_all_that_is_configured(void **state)
{
    (void)state;
    struct served s;
    served_open(&s);
    s.conf.user = "v2c";
    s.conf.password = "secret";
    s.conf.database = 3;
    served_dial(&s);
    redis_hear(&s.rig, s.fd, "AUTH v2c secret");
    redis_hear(&s.rig, s.fd, "SELECT 3");
    rig_say(&s.rig, s.fd, "+OK\r\n+OK\r\n");
    redis_greet(&s.rig, s.fd, 'b');
    RIG_UNTIL(&s.rig, s.ups);
    assert_int_equal(strlen(s.run_id), REDIS_RUN_ID);
    assert_int_equal(s.run_id[0], 'b');
    served_close(&s);
}

static void a_user_is_left_out_if_there_is_none(void **state)
{
    (void)state;
    struct served s;
    served_open(&s);
    s.conf.password = "secret";
    s.conf.is_master = false;
    served_dial(&s);
    redis_hear(&s.rig, s.fd, "AUTH secret");
    redis_hear(&s.rig, s.fd, "PING");
    served_close(&s);
}

static void who_may_not_ask_for_the_role_goes_on(void **state)
{
    (void)state;
    struct served s;
    served_open(&s);
    served_dial(&s);
    redis_hear(&s.rig, s.fd, "ROLE");
    redis_hear(&s.rig, s.fd, "INFO server");
    redis_hear(&s.rig, s.fd, "PING");
    rig_say(&s.rig, s.fd,
            "-NOPERM this user has no permissions to run the 'role' command\r\n"
            "-NOPERM this user has no permissions to run the 'info' command\r\n"
            "+PONG\r\n");
    RIG_UNTIL(&s.rig, s.ups || s.downs);
    assert_int_equal(s.ups, 1);
    assert_string_equal(s.run_id, "");
    served_close(&s);
}

static void each_refusal_of_the_greeting_has_its_reason(void **state)
{
    (void)state;
    static const struct {
        const char *reply, *why;
    } cases[] = {
        {"-NOAUTH Authentication required.\r\n", "it wants a password (NOAUTH)"},
        {"-WRONGPASS invalid username-password pair or user is disabled.\r\n",
         "it refuses user and password (WRONGPASS)"},
        {"-ERR invalid password\r\n", "it refuses the password (invalid password)"},
        {"-ERR AUTH <password> called without any password configured for the default user.\r\n",
         "it has no password, and we sent one (AUTH)"},
        {"-ERR unknown command `AUTH`, with args beginning with: `secret`\r\n",
         "it refuses the password"},
        {"+OK\r\n-ERR DB index is out of range\r\n", "it has no such database (SELECT)"},
        {"+OK\r\n-ERR SELECT is not allowed in cluster mode\r\n",
         "it has no such database (SELECT)"},
        {"+OK\r\n+OK\r\n*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:1\r\n$9\r\nconnected\r\n:0\r\n",
         "it is a replica"},
        {"-LOADING Redis is loading the dataset in memory\r\n",
         "it is still loading its data (LOADING)"},
        {"HTTP/1.1 400 Bad Request\r\n", "an answer that is not Redis'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct served s;
        served_open(&s);
        s.conf.password = "secret";
        s.conf.database = 3;
        served_dial(&s);
        redis_hear(&s.rig, s.fd, "AUTH secret");
        rig_say(&s.rig, s.fd, cases[i].reply);
        RIG_UNTIL(&s.rig, s.downs);
        assert_string_equal(s.why.text, cases[i].why);
        assert_int_equal(s.ups, 0);
        served_close(&s);
    }
}

static void answers_find_who_asked_however_they_are_split(void **state)
{
    (void)state;
    struct served s;
    served_up(&s);
    static const char replies[] = "+one\r\n$-1\r\n-ERR three\r\n";
    ask(&s, "A", &s.got[0]);
    ask(&s, "B", &s.got[1]);
    ask(&s, "C", &s.got[2]);
    redis_hear(&s.rig, s.fd, "A");
    redis_hear(&s.rig, s.fd, "B");
    redis_hear(&s.rig, s.fd, "C");
    assert_int_equal(redis_link_pending(s.link), 3);
    for (size_t i = 0; i < sizeof replies - 1; i++) {
        rig_send(&s.rig, s.fd, replies + i, 1);
        rig_turn(&s.rig);
    }
    RIG_UNTIL(&s.rig, s.got[2].calls);
    assert_string_equal(s.got[0].text, "one");
    assert_int_equal(s.got[1].type, REDIS_REPLY_NIL);
    assert_string_equal(s.got[2].text, "ERR three");
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(s.got[i].calls, 1);
    assert_int_equal(redis_link_pending(s.link), 0);
    assert_int_equal(redis_link_bytes(s.link), 0);
    served_close(&s);
}

static void a_late_answer_is_nobodys(void **state)
{
    (void)state;
    struct served s;
    served_up(&s);
    ask(&s, "A", &s.got[0]);
    redis_hear(&s.rig, s.fd, "A");
    forward(&s, TIMEOUT + 1);
    RIG_UNTIL(&s.rig, s.got[0].calls);
    assert_int_equal(s.got[0].nones, 1);
    ask(&s, "B", &s.got[1]);
    redis_hear(&s.rig, s.fd, "B");
    rig_say(&s.rig, s.fd, "+late\r\n+two\r\n");
    RIG_UNTIL(&s.rig, s.got[1].calls);
    assert_string_equal(s.got[1].text, "two");
    assert_int_equal(s.got[0].calls, 1);
    assert_int_equal(s.downs, 0);
    served_close(&s);
}

static void a_silent_server_is_given_up(void **state)
{
    (void)state;
    struct served s;
    served_up(&s);
    ask(&s, "A", &s.got[0]);
    redis_hear(&s.rig, s.fd, "A");
    forward(&s, 2 * TIMEOUT);
    RIG_UNTIL(&s.rig, s.got[0].calls);
    assert_int_equal(s.downs, 0);
    forward(&s, 2 * TIMEOUT);
    RIG_UNTIL(&s.rig, s.downs);
    assert_int_equal(s.why.code, ETIMEDOUT);
    assert_int_equal(s.left, 1); /* it was told before, and is not told again */
    assert_int_equal(s.got[0].calls, 1);
    served_close(&s);
}

/* Bytes that make no answer are no sign of life. */
static void a_server_whose_answer_never_ends_is_given_up(void **state)
{
    (void)state;
    struct served s;
    served_up(&s);
    ask(&s, "A", &s.got[0]);
    redis_hear(&s.rig, s.fd, "A");
    rig_say(&s.rig, s.fd, "$100000\r\n");
    for (int i = 0; i < 10 && !s.downs; i++) {
        rig_say(&s.rig, s.fd, "x");
        forward(&s, TIMEOUT / 2.);
    }
    RIG_UNTIL(&s.rig, s.downs);
    assert_int_equal(s.why.code, ETIMEDOUT);
    served_close(&s);
}

/* It was this process that slept: the answer has been there all the time. */
static void what_came_meanwhile_is_not_late(void **state)
{
    (void)state;
    struct served s;
    served_up(&s);
    ask(&s, "A", &s.got[0]);
    redis_hear(&s.rig, s.fd, "A");
    assert_int_equal(send(s.fd, "+A\r\n", 4, 0), 4);
    forward(&s, 10 * TIMEOUT);
    RIG_UNTIL(&s.rig, s.got[0].calls);
    assert_string_equal(s.got[0].text, "A");
    assert_int_equal(s.downs, 0);
    served_close(&s);
}

static void one_that_rests_is_pinged(void **state)
{
    (void)state;
    struct served s;
    served_up(&s);
    forward(&s, TIMEOUT + 1);
    redis_hear(&s.rig, s.fd, "PING");
    rig_say(&s.rig, s.fd, "+PONG\r\n");
    RIG_UNTIL(&s.rig, !redis_link_pending(s.link));
    served_close(&s);
}

static void who_does_not_greet_is_left(void **state)
{
    (void)state;
    struct served s;
    served_open(&s);
    served_dial(&s);
    forward(&s, TIMEOUT + 1);
    RIG_UNTIL(&s.rig, s.downs);
    assert_int_equal(s.why.code, ETIMEDOUT);
    served_close(&s);
}

static void what_was_not_sent_in_time_is_not_sent(void **state)
{
    (void)state;
    enum { COMMANDS = 600, BYTES = 40 * 1000 };
    struct served s;
    size_t came = 0;
    char *word = malloc(BYTES + 1);
    served_up(&s);
    memset(word, 'x', BYTES);
    word[BYTES] = '\0';
    for (int i = 0; i < COMMANDS; i++)
        ask(&s, word, &s.got[0]);
    rig_turn(&s.rig);
    forward(&s, TIMEOUT + 1);
    RIG_UNTIL(&s.rig, s.got[0].calls == COMMANDS);
    assert_int_equal(s.got[0].nones, COMMANDS);
    assert_true(redis_link_pending(s.link) < COMMANDS);
    unsigned sent = redis_link_pending(s.link);
    while (came < (size_t)sent * BYTES) {
        ssize_t n = -1;
        RIG_UNTIL(&s.rig, (n = recv(s.fd, word, BYTES, 0)) >= 0 || errno != EAGAIN);
        assert_true(n > 0);
        came += (size_t)n;
    }
    assert_true(came < (size_t)(sent + 1) * BYTES);
    free(word);
    served_close(&s);
}

static void the_forgotten_are_not_told(void **state)
{
    (void)state;
    struct served s;
    served_up(&s);
    ask(&s, "A", &s.got[0]);
    ask(&s, "B", &s.got[1]);
    redis_link_forget(s.link, &s.got[0]);
    rig_turn(&s.rig);
    redis_link_forget(s.link, &s.got[0]);
    rig_say(&s.rig, s.fd, "+A\r\n+B\r\n");
    RIG_UNTIL(&s.rig, s.got[1].calls);
    assert_string_equal(s.got[1].text, "B");
    assert_int_equal(s.got[0].calls, 0);
    served_close(&s);
}

static void an_answer_to_nothing_ends_it(void **state)
{
    (void)state;
    struct served s;
    served_up(&s);
    rig_say(&s.rig, s.fd, "+OK\r\n");
    RIG_UNTIL(&s.rig, s.downs);
    assert_int_equal(s.why.code, EPROTO);
    served_close(&s);
}

static void what_is_open_is_given_back_at_the_end(void **state)
{
    (void)state;
    struct served s;
    served_up(&s);
    ask(&s, "A", &s.got[0]);
    ask(&s, "B", &s.got[1]);
    redis_hear(&s.rig, s.fd, "A");
    redis_hear(&s.rig, s.fd, "B");
    rig_say(&s.rig, s.fd, "+A\r\n");
    RIG_UNTIL(&s.rig, s.got[0].calls);
    rig_abort(s.fd);
    s.fd = 0;
    RIG_UNTIL(&s.rig, s.downs);
    assert_int_equal(s.left, 1);
    assert_int_equal(s.got[1].calls, 0);
    served_close(&s);
}

static void what_was_asked_last_goes_out_when_it_is_freed(void **state)
{
    (void)state;
    struct served s;
    served_up(&s);
    ask(&s, "A", &s.got[0]);
    redis_link_free(s.link);
    s.link = NULL;
    redis_hear(&s.rig, s.fd, "A");
    assert_int_equal(s.got[0].calls, 0);
    served_close(&s);
}

static void a_master_that_became_a_replica_is_left(void **state)
{
    (void)state;
    struct served s;
    served_up(&s);
    ask(&s, "A", &s.got[0]);
    redis_hear(&s.rig, s.fd, "A");
    rig_say(&s.rig, s.fd, "-READONLY You can't write against a read only replica.\r\n");
    RIG_UNTIL(&s.rig, s.downs);
    assert_int_equal(s.got[0].calls, 1);
    assert_int_equal(s.got[0].type, REDIS_REPLY_ERROR);
    assert_string_equal(s.why.text, "it is a replica (READONLY)");
    served_close(&s);
}

static void nobody_there_is_told_later(void **state)
{
    (void)state;
    struct served s;
    served_open(&s);
    struct err e;
    assert_int_equal(addr_parse_unix(&s.conf.at, "/nowhere/redis.sock", &e), 0);
    s.link = redis_link_new(&s.rig.loop, &s.conf, &ops, &s);
    assert_int_equal(s.downs, 0);
    RIG_UNTIL(&s.rig, s.downs);
    assert_int_equal(s.why.code, ENOENT);
    served_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_greets_with_all_that_is_configured),
        cmocka_unit_test(a_user_is_left_out_if_there_is_none),
        cmocka_unit_test(who_may_not_ask_for_the_role_goes_on),
        cmocka_unit_test(each_refusal_of_the_greeting_has_its_reason),
        cmocka_unit_test(answers_find_who_asked_however_they_are_split),
        cmocka_unit_test(a_late_answer_is_nobodys),
        cmocka_unit_test(a_silent_server_is_given_up),
        cmocka_unit_test(a_server_whose_answer_never_ends_is_given_up),
        cmocka_unit_test(what_came_meanwhile_is_not_late),
        cmocka_unit_test(one_that_rests_is_pinged),
        cmocka_unit_test(who_does_not_greet_is_left),
        cmocka_unit_test(what_was_not_sent_in_time_is_not_sent),
        cmocka_unit_test(the_forgotten_are_not_told),
        cmocka_unit_test(an_answer_to_nothing_ends_it),
        cmocka_unit_test(what_is_open_is_given_back_at_the_end),
        cmocka_unit_test(what_was_asked_last_goes_out_when_it_is_freed),
        cmocka_unit_test(a_master_that_became_a_replica_is_left),
        cmocka_unit_test(nobody_there_is_told_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
