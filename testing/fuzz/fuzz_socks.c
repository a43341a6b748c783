/* Both sides of SOCKS. The first byte chooses: a server with or without accounts, a client with or without a login, who
 * associates or not, a datagram's head; the second where the rest is cut in two. A cut changes nothing. */
#include "proxy/socks.h"
#include "proxy/socks_wire.h"
#include "testing/codec_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct user user = {.email = "u", .traffic = {-1, -1}};
static const struct login login = {"u", "p"};

static struct codec_rig *make(uint8_t kind, const struct socks_in_conf *const *conf)
{
    static const struct addr target = {.type = ADDR_NAME, .port = 80, .name = "a"};
    if (kind & 1)
        return codec_rig_new(socks_request_new(kind & 2 ? &login : NULL, &target, kind & 4));
    return codec_rig_new(socks_accept_new(conf));
}

static struct codec_rig *run(uint8_t kind, const struct socks_in_conf *conf, const uint8_t *data,
                             size_t size, size_t cut)
{
    struct codec_rig *r = make(kind, &conf);
    codec_rig_feed(r, data, cut);
    codec_rig_feed(r, data + cut, size - cut);
    if (r->codec->ops->accept && r->step == STEP_DONE)
        codec_rig_answer(r, kind >> 4);
    return r;
}

static void try_datagram(const uint8_t *data, size_t size)
{
    struct cursor c = cur_of(data, size);
    struct addr a = {0}, again = {0};
    struct err e;
    uint8_t head[SOCKS_UDP_HEAD_MAX];
    if (socks_udp_read(&c, &a, &e) != STEP_DONE)
        return;
    size_t len = socks_udp_write(head, &a);
    c = cur_of(head, len);
    assert(socks_udp_read(&c, &again, &e) == STEP_DONE && addr_equal(&a, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct account account;
    if (size < 2 || size > CODEC_HEARS / 2)
        return 0;
    account_init(&account, "u", 1, "p", 1, &user);
    struct socks_in_conf conf = {
        .password = data[0] & 2, .accounts = {&account, 1}, .udp = data[0] & 4};
    uint8_t kind = data[0];
    size_t cut = data[1] % (size - 1);
    data += 2, size -= 2;
    struct codec_rig *whole = run(kind, &conf, data, size, 0);
    struct codec_rig *split = run(kind, &conf, data, size, cut < size ? cut : size);
    assert(whole->step == split->step && whole->said_len == split->said_len);
    assert(memcmp(whole->said, split->said, whole->said_len) == 0);
    assert(whole->step == STEP_FAIL || whole->got_len == split->got_len);
    assert(memcmp(whole->got, split->got, split->got_len) == 0);
    assert(whole->meta.user == split->meta.user);
    codec_rig_free(whole);
    codec_rig_free(split);
    try_datagram(data, size);
    return 0;
}
