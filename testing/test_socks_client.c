#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/socks.h"
#include "testing/codec_rig.h"

static const struct login login = {"alice", "open"};

struct dialogue {
    bool logs_in, associate;
    const char *hears;
    size_t len;
    const char *says;
    size_t says_len;
    bool agrees;
    int code;
    const char *got;
    size_t got_len;
};

#define HEARS(text) .hears = (text), .len = sizeof(text) - 1
#define SAYS(text) .says = (text), .says_len = sizeof(text) - 1
#define GOT(text) .got = (text), .got_len = sizeof(text) - 1
#define ASKS                                                                                       \
    "\5\1\0\3\xb"                                                                                  \
    "example.com\1\xbb"
#define LOGS_IN "\1\5alice\4open"

static const struct dialogue dialogues[] = {
    {HEARS("\5\0\5\0\0\1\0\0\0\0\0\0hello"), SAYS("\5\1\0" ASKS), .agrees = true, GOT("hello")},
    {HEARS("\5\0\5\0\0\3\0\0\0x"), SAYS("\5\1\0" ASKS), .agrees = true, GOT("x")},
    {HEARS("\5\0\5\0\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), SAYS("\5\1\0" ASKS), .agrees = true,
     GOT("")},
    {.logs_in = true,
     HEARS("\5\2\1\0\5\0\0\1\0\0\0\0\0\0"),
     SAYS("\5\2\0\2" LOGS_IN ASKS),
     .agrees = true,
     GOT("")},
    {.logs_in = true,
     HEARS("\5\0\5\0\0\1\0\0\0\0\0\0"),
     SAYS("\5\2\0\2" ASKS),
     .agrees = true,
     GOT("")},
    {.associate = true,
     HEARS("\5\0\5\0\0\1\xc0\0\2\7\4\xd2junk"),
     SAYS("\5\1\0\5\3\0\1\0\0\0\0\0\0"),
     .agrees = true,
     GOT("\4\xd2\1\xc0\0\2\7")},
    {HEARS("\5\xff"), SAYS("\5\1\0"), .code = EACCES},
    {HEARS("\5\2"), SAYS("\5\1\0"), .code = EACCES},
    {HEARS("\4\0"), SAYS("\5\1\0"), .code = EPROTO},
    {HEARS("HTTP/1.1 400"), SAYS("\5\1\0"), .code = EPROTO},
    {.logs_in = true, HEARS("\5\2\1\1"), SAYS("\5\2\0\2" LOGS_IN), .code = EACCES},
    {HEARS("\5\0\5\5"), SAYS("\5\1\0" ASKS), .code = ECONNREFUSED},
    {HEARS("\5\0\5\4"), SAYS("\5\1\0" ASKS), .code = EHOSTUNREACH},
    {HEARS("\5\0\5\x63"), SAYS("\5\1\0" ASKS), .code = ECONNABORTED},
    {HEARS("\5\0\4\0"), SAYS("\5\1\0" ASKS), .code = EPROTO},
    {HEARS("\5\0\5\0\0\2"), SAYS("\5\1\0" ASKS), .code = EAFNOSUPPORT},
};

static void check_dialogue(const struct dialogue *d, size_t cut)
{
    struct addr target = {.type = ADDR_NAME, .port = 443, .name = "example.com"};
    struct codec_rig *r =
        codec_rig_new(socks_request_new(d->logs_in ? &login : NULL, &target, d->associate));
    codec_rig_feed(r, d->hears, cut);
    codec_rig_feed(r, d->hears + cut, d->len - cut);
    assert_int_equal(r->step == STEP_FAIL ? r->why.code : 0, d->code);
    assert_int_equal(r->said_len, d->says_len);
    assert_memory_equal(r->said, d->says, d->says_len);
    assert_int_equal(!(r->codec->signs & CODEC_MUTE), d->agrees);
    assert_int_equal(r->codec->marks_end, !d->agrees || d->associate);
    assert_int_equal(r->got_len, d->got_len);
    if (d->got_len)
        assert_memory_equal(r->got, d->got, d->got_len);
    codec_rig_free(r);
}

static void dialogues_survive_any_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof dialogues / sizeof *dialogues; i++)
        for (size_t cut = 0; cut <= dialogues[i].len; cut++)
            check_dialogue(&dialogues[i], cut);
}

static void the_longest_login_fits(void **state)
{
    (void)state;
    char text[256];
    memset(text, 'x', 255);
    text[255] = 0;
    struct login longest = {text, text};
    struct addr target = {.type = ADDR_IPV4, .port = 1};
    struct codec_rig *r = codec_rig_new(socks_request_new(&longest, &target, false));
    codec_rig_feed(r, "\5\2", 2);
    assert_int_equal(r->said_len, 4 + 3 + 2 * 255);
    codec_rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dialogues_survive_any_split),
        cmocka_unit_test(the_longest_login_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
