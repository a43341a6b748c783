/* Both sides of an HTTP proxy. The first byte chooses: a server with or without accounts, transparent or not, or a
 * client; the second where the rest is cut in two. A cut changes nothing but how much is seen of what is not valid. */
#include "proxy/http1.h"
#include "proxy/http_proxy.h"
#include "testing/codec_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct user user = {.email = "u", .traffic = {-1, -1}};

static struct codec_rig *run(uint8_t kind, const struct http_in_conf *conf, const uint8_t *data,
                             size_t size, size_t cut)
{
    static const struct addr target = {.type = ADDR_NAME, .port = 80, .name = "a"};
    struct codec *codec = kind & 1 ? http_request_new(NULL, "", &target) : http_accept_new(&conf);
    struct codec_rig *r = codec_rig_new(codec);
    codec_rig_feed(r, data, cut);
    codec_rig_feed(r, data + cut, size - cut);
    if (r->codec->ops->accept && r->step == STEP_DONE)
        codec_rig_answer(r, kind >> 4);
    return r;
}

/* What is sent on is a request that says one thing, and nothing of ours. */
static void check_sent(const struct codec_rig *r)
{
    struct http1_head h = {0};
    struct http1_span value;
    struct err e;
    if (!r->meta.head)
        return;
    assert(http1_read(&h, r->got, r->got_len, &e) == STEP_DONE && h.len == r->meta.head_len);
    assert(h.minor == 0 || h.host.len > 0);
    assert(!h.keep_alive);
    assert(http1_field(&h, r->got, "proxy-authorization", &value) == 0);
    assert(http1_field(&h, r->got, "connection", &value) == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct account account;
    if (size < 2 || size > CODEC_HEARS / 4)
        return 0;
    account_init(&account, "u", 1, "p", 1, &user);
    struct http_in_conf conf = {.accounts = {&account, data[0] & 2 ? 1 : 0},
                                .transparent = data[0] & 4};
    uint8_t kind = data[0];
    size_t cut = data[1] * 7u;
    data += 2, size -= 2;
    struct codec_rig *whole = run(kind, &conf, data, size, 0);
    struct codec_rig *split = run(kind, &conf, data, size, cut < size ? cut : size);
    assert(whole->step == split->step && whole->said_len == split->said_len);
    assert(memcmp(whole->said, split->said, whole->said_len) == 0);
    if (whole->step != STEP_FAIL) {
        assert(whole->got_len == split->got_len);
        assert(memcmp(whole->got, split->got, split->got_len) == 0);
        check_sent(whole);
    }
    codec_rig_free(whole);
    codec_rig_free(split);
    return 0;
}
