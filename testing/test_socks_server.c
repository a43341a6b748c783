#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/socks.h"
#include "testing/codec_rig.h"

static const struct user alice = {.email = "alice", .traffic = {-1, -1}};
static struct account accounts[2];
static struct socks_in_conf open_conf = {.udp = true}, closed_conf;

struct dialogue {
    const struct socks_in_conf *conf;
    const char *says;
    size_t len;
    const char *hears;
    size_t hears_len;
    enum step step;
    const char *host; /* of the target; NULL: none */
    uint16_t port;
    bool user;
};

#define SAYS(text) .says = (text), .len = sizeof(text) - 1
#define HEARS(text) .hears = (text), .hears_len = sizeof(text) - 1

#define METHODS "\5\2\0\2"
#define PASSWORD "\5\1\2\1\5alice\4open"

static const struct dialogue dialogues[] = {
    {&open_conf,
     SAYS("\5\1\0\5\1\0\3\xb"
          "example.com\0\x50"),
     HEARS("\5\0"), STEP_DONE, "example.com", 80, false},
    {&open_conf, SAYS(METHODS "\5\1\0\1\xc0\0\2\1\1\xbb"), HEARS("\5\0"), STEP_DONE, "192.0.2.1",
     443, false},
    {&open_conf, SAYS(METHODS "\5\1\0\4\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1\0\1"), HEARS("\5\0"),
     STEP_DONE, "2001:db8::1", 1, false},
    {&open_conf,
     SAYS(METHODS "\5\1\0\3\x9"
                  "127.0.0.1\0\1"),
     HEARS("\5\0"), STEP_DONE, "127.0.0.1", 1, false},
    {&open_conf, SAYS(METHODS "\5\3\0\1\0\0\0\0\0\0"), HEARS("\5\0"), STEP_DONE, "0.0.0.0", 0,
     false},
    {&open_conf, SAYS("\4\1\0\x50\xc0\0\2\1me\0"), HEARS(""), STEP_DONE, "192.0.2.1", 80, false},
    {&open_conf, SAYS("\4\1\0\x50\0\0\0\1\0example.com\0"), HEARS(""), STEP_DONE, "example.com", 80,
     false},
    {&closed_conf, SAYS(PASSWORD "\5\1\0\1\1\2\3\4\0\1"), HEARS("\5\2\1\0"), STEP_DONE, "1.2.3.4",
     1, true},

    {&open_conf, SAYS("GET / HTTP/1.1\r\n"), HEARS(""), STEP_FAIL, NULL, 0, false},
    {&open_conf, SAYS("\5\1\2"), HEARS("\5\xff"), STEP_FAIL, NULL, 0, false},
    {&open_conf, SAYS(METHODS "\5\2\0\1\1\2\3\4\0\1"), HEARS("\5\0\5\7\0\1\0\0\0\0\0\0"), STEP_FAIL,
     NULL, 0, false},
    {&open_conf, SAYS(METHODS "\5\1\0\2\1\2\3\4\0\1"), HEARS("\5\0\5\10\0\1\0\0\0\0\0\0"),
     STEP_FAIL, NULL, 0, false},
    {&open_conf, SAYS(METHODS "\5\1\0\3\3a b\0\1"), HEARS("\5\0\5\1\0\1\0\0\0\0\0\0"), STEP_FAIL,
     NULL, 0, false},
    {&open_conf, SAYS(METHODS "\5\1\0\3\0\0\1"), HEARS("\5\0\5\1\0\1\0\0\0\0\0\0"), STEP_FAIL, NULL,
     0, false},
    {&open_conf, SAYS(METHODS "\6\1\0\1\1\2\3\4\0\1"), HEARS("\5\0"), STEP_FAIL, NULL, 0, false},
    {&open_conf, SAYS("\4\2\0\x50\xc0\0\2\1\0"), HEARS("\0\x5b\0\0\0\0\0\0"), STEP_FAIL, NULL, 0,
     false},
    {&closed_conf, SAYS("\5\1\0"), HEARS("\5\xff"), STEP_FAIL, NULL, 0, false},
    {&closed_conf, SAYS("\5\1\2\1\5alice\4shut"), HEARS("\5\2\1\1"), STEP_FAIL, NULL, 0, false},
    {&closed_conf, SAYS("\5\1\2\1\4alic\5eopen"), HEARS("\5\2\1\1"), STEP_FAIL, NULL, 0, false},
    {&closed_conf, SAYS("\5\1\2\1\0\0"), HEARS("\5\2\1\1"), STEP_FAIL, NULL, 0, false},
    {&closed_conf, SAYS("\5\1\2\2\5alice\4open"), HEARS("\5\2"), STEP_FAIL, NULL, 0, false},
    {&closed_conf, SAYS("\4\1\0\x50\xc0\0\2\1\0"), HEARS("\0\x5b\0\0\0\0\0\0"), STEP_FAIL, NULL, 0,
     false},
    {&closed_conf, SAYS(PASSWORD "\5\3\0\1\0\0\0\0\0\0"), HEARS("\5\2\1\0\5\7\0\1\0\0\0\0\0\0"),
     STEP_FAIL, NULL, 0, false},
};

static int set_up(void **state)
{
    (void)state;
    account_init(&accounts[0], "bob", 3, "", 0, NULL);
    account_init(&accounts[1], "alice", 5, "open", 4, &alice);
    closed_conf = (struct socks_in_conf){.password = true, .accounts = {accounts, 2}};
    return 0;
}

static void check_dialogue(const struct dialogue *d, size_t cut)
{
    char host[ADDR_TEXT_MAX];
    const struct socks_in_conf *conf = d->conf;
    struct codec_rig *r = codec_rig_new(socks_accept_new(&conf));
    codec_rig_feed(r, d->says, cut);
    assert_true(cut == d->len || r->step != STEP_DONE);
    codec_rig_feed(r, d->says + cut, d->len - cut);
    assert_int_equal(r->step, d->step);
    assert_int_equal(r->said_len, d->hears_len);
    assert_memory_equal(r->said, d->hears, d->hears_len);
    if (d->host) {
        assert_string_equal(addr_host_text(&r->meta.target, host), d->host);
        assert_int_equal(r->meta.target.port, d->port);
        assert_ptr_equal(r->meta.user, d->user ? &alice : NULL);
        assert_true(r->codec->signs == CODEC_MUTE);
    }
    codec_rig_free(r);
}

static void dialogues_survive_any_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof dialogues / sizeof *dialogues; i++)
        for (size_t cut = 0; cut <= dialogues[i].len; cut++)
            check_dialogue(&dialogues[i], cut);
}

static struct codec_rig *greeted(const struct socks_in_conf *const *conf, const char *says,
                                 size_t len)
{
    struct codec_rig *r = codec_rig_new(socks_accept_new(conf));
    codec_rig_feed(r, says, len);
    assert_int_equal(r->step, STEP_DONE);
    r->said_len = 0;
    return r;
}

static void the_answer_says_why(void **state)
{
    (void)state;
    static const struct {
        int code;
        uint8_t reply;
    } cases[] = {{0, 0},         {ECONNREFUSED, 5}, {EHOSTUNREACH, 4}, {ENETUNREACH, 3},
                 {ETIMEDOUT, 6}, {EACCES, 2},       {EPROTO, 1}};
    static const char five[] = METHODS "\5\1\0\1\1\2\3\4\0\1", four[] = "\4\1\0\1\1\2\3\4\0";
    const struct socks_in_conf *conf = &open_conf;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct codec_rig *r = greeted(&conf, five, sizeof five - 1);
        codec_rig_answer(r, cases[i].code);
        assert_int_equal(r->said_len, 10);
        assert_int_equal(r->said[1], cases[i].reply);
        assert_int_equal(r->codec->signs, cases[i].code ? 0 : CODEC_PASSES);
        codec_rig_free(r);
        r = greeted(&conf, four, sizeof four - 1);
        codec_rig_answer(r, cases[i].code);
        assert_int_equal(r->said_len, 8);
        assert_int_equal(r->said[1], cases[i].code ? 91 : 90);
        codec_rig_free(r);
    }
}

static void bytes_pass_before_and_after_the_answer(void **state)
{
    (void)state;
    static const char says[] = METHODS "\5\1\0\1\1\2\3\4\0\1hello";
    const struct socks_in_conf *conf = &open_conf;
    struct codec_rig *r = greeted(&conf, says, sizeof says - 1);
    assert_memory_equal(r->got, "hello", 5);
    codec_rig_answer(r, 0);
    codec_rig_feed(r, " world", 6);
    assert_memory_equal(r->got, "hello world", 11);
    codec_rig_free(r);
}

static void what_comes_on_the_connection_of_an_association_means_nothing(void **state)
{
    (void)state;
    static const char says[] = METHODS "\5\3\0\1\0\0\0\0\0\0junk";
    const struct socks_in_conf *conf = &open_conf;
    struct codec_rig *r = greeted(&conf, says, sizeof says - 1);
    assert_true(socks_associates(r->codec));
    codec_rig_answer(r, 0);
    codec_rig_feed(r, "junk", 4);
    assert_int_equal(r->got_len, 0);
    assert_int_equal(r->said_len, 0);
    assert_int_equal(r->codec->signs, 0);
    codec_rig_free(r);
}

static void a_text_without_an_end_is_refused(void **state)
{
    (void)state;
    char says[600] = {4, 1, 0, 80, 1, 2, 3, 4};
    const struct socks_in_conf *conf = &open_conf;
    memset(says + 8, 'x', sizeof says - 8);
    for (size_t len = 8; len <= sizeof says; len++) {
        struct codec_rig *r = codec_rig_new(socks_accept_new(&conf));
        codec_rig_feed(r, says, len);
        assert_int_equal(r->step, len > 8 + 255 ? STEP_FAIL : STEP_MORE);
        codec_rig_free(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dialogues_survive_any_split),
        cmocka_unit_test(the_answer_says_why),
        cmocka_unit_test(bytes_pass_before_and_after_the_answer),
        cmocka_unit_test(what_comes_on_the_connection_of_an_association_means_nothing),
        cmocka_unit_test(a_text_without_an_end_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
