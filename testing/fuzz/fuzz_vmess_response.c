/* A client reads the server's answer and what follows it. The first byte chooses: raw wire bytes, or a
 * plain header that is sealed as the server would; the second is how long that header is. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/vmess.h"
#include "proxy/vmess_session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WIRE = 16 * 1024 };

static struct codec *make_client(const struct vmess_user *u)
{
    struct addr target = {.type = ADDR_IPV4, .port = 80, .ip = {127, 0, 0, 1}};
    struct codec *c = vmess_request_new(u, NET_TCP, &target, 1700000000);
    struct vmess_session *s = (struct vmess_session *)(void *)c;
    memset(s->request.key, 1, sizeof s->request.key); /* nothing random: crashes must come again */
    memset(s->request.iv, 2, sizeof s->request.iv);
    s->request.proof = 3;
    vmess_session_start(s);
    return c;
}

static size_t make_wire(struct codec *c, uint8_t *wire, const uint8_t *data, size_t size)
{
    const struct vmess_session *s = (struct vmess_session *)(void *)c;
    size_t plain = data[1];
    data += 2, size -= 2;
    if (plain > size)
        plain = size;
    vmess_response_seal(wire, s->response_key, s->response_iv, data, plain);
    size_t len = RESPONSE_FRONT + plain + 16;
    memcpy(wire + len, data + plain, size - plain);
    return len + size - plain;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vmess_user u = {.id = {1}, .security = VMESS_GCM};
    struct err e = {0};
    if (size < 2 || size > WIRE / 2 || vmess_user_init(&u, &e) < 0)
        return 0;
    struct codec *c = make_client(&u);
    uint8_t *wire = malloc(WIRE);
    size_t len = size;
    if (data[0] & 1)
        len = make_wire(c, wire, data, size);
    else
        memcpy(wire, data, size);
    enum step s = STEP_DONE;
    for (size_t at = 0; s == STEP_DONE && at < len;) {
        struct opened out = {0};
        uint8_t *exact = malloc(len - at);
        memcpy(exact, wire + at, len - at);
        s = c->ops->open(c, exact, len - at, &out, &e);
        assert(s != STEP_DONE || (out.used && out.used <= len - at && out.len <= out.used));
        at += out.used;
        free(exact);
    }
    free(wire);
    c->ops->free(c);
    return 0;
}
