#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/announce.h"
#include "testing/codec_rig.h"

static const struct addr source = {.type = ADDR_IPV4, .port = 1234, .ip = {192, 0, 2, 1}};
static const struct addr name = {.type = ADDR_NAME, .port = 80, .name = "example.com"};
static const struct addr peer = {.type = ADDR_IPV4, .port = 80, .ip = {198, 51, 100, 2}};
static const struct addr none;

/* Nothing is said before the connection is there: only then is it known which of a name's addresses it has. */
static void assert_announces(const struct addr *from, const struct addr *to, const char *want)
{
    struct codec_rig *r = codec_rig_new(announce_new(1, from, &name));
    codec_rig_feed(r, "", 0);
    assert_int_equal(r->said_len, 0);
    assert_int_equal(r->codec->signs, CODEC_MUTE);
    r->codec->ops->connected(r->codec, to);
    assert_int_equal(r->codec->signs, CODEC_SAYS | CODEC_PASSES);
    codec_rig_feed(r, "hello", 5);
    assert_int_equal(r->said_len, strlen(want));
    assert_memory_equal(r->said, want, strlen(want));
    assert_memory_equal(r->got, "hello", 5);
    codec_rig_free(r);
}

static void the_client_is_announced_once_connected(void **state)
{
    (void)state;
    assert_announces(&source, &peer, "PROXY TCP4 192.0.2.1 198.51.100.2 1234 80\r\n");
    assert_announces(&none, &peer, "PROXY UNKNOWN\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_client_is_announced_once_connected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
