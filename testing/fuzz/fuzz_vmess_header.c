/* A server with one user reads a greeting. The first byte chooses: raw wire bytes, or a plain header
 * that is sealed with the user's key first, so that what lies behind the tags is reached too. The
 * second byte is where the wire is cut. A cut wire must be judged as a whole one. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/vmess.h"
#include "proxy/vmess_guard.h"
#include "proxy/vmess_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NOW = 1700000000 };

static int64_t fixed_now(void)
{
    return NOW;
}

static size_t make_wire(uint8_t *wire, const struct vmess_user *u, const uint8_t *data, size_t size,
                        bool sealed)
{
    static const uint8_t fresh[REQUEST_NONCE] = {1, 2, 3, 4, 5, 6, 7, 8};
    uint8_t auth_id[AUTH_ID];
    if (!sealed) {
        memcpy(wire, data, size);
        return size;
    }
    vmess_auth_seal(auth_id, u->auth_key, NOW, fresh);
    vmess_request_seal(wire, u->cmd_key, auth_id, fresh, data, size);
    return REQUEST_FRONT + size + 16;
}

/* Shows the first `cut` bytes, then all; memory is of exactly the size that is there. */
static enum step offer(const struct vmess_in_conf *conf, const uint8_t *wire, size_t len,
                       size_t cut, struct meta *m)
{
    struct vmess_guard *guard = vmess_guard_new();
    struct vmess_server *server = vmess_server_new(conf, guard, fixed_now);
    struct codec *c = vmess_accept_new(server);
    enum step s = STEP_MORE;
    for (int part = 0; part < 2 && s == STEP_MORE; part++) {
        size_t there = part ? len : cut;
        struct err e = {0};
        uint8_t *exact = malloc(there + 1);
        memcpy(exact, wire, there);
        struct cursor in = cur_of(exact, there);
        s = c->ops->accept(c, &in, m, &e);
        assert(s != STEP_MORE || cur_left(&in) == there);
        assert(s != STEP_FAIL || e.code);
        free(exact);
    }
    c->ops->free(c);
    vmess_server_free(server);
    vmess_guard_unref(guard);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t wire[REQUEST_WIRE_MAX];
    struct vmess_user u = {.id = {1}};
    struct vmess_in_conf conf = {.users = &u, .count = 1};
    struct meta whole = {0}, cut = {0};
    struct err e;
    if (size < 2 || size - 2 > REQUEST_MAX || vmess_user_init(&u, &e) < 0)
        return 0;
    size_t len = make_wire(wire, &u, data + 2, size - 2, data[0] & 1);
    enum step s = offer(&conf, wire, len, len, &whole);
    assert(offer(&conf, wire, len, data[1] < len ? data[1] : len, &cut) == s);
    if (s == STEP_DONE) {
        assert(whole.user == u.user && cut.user == u.user);
        assert(whole.net == cut.net && addr_equal(&whole.target, &cut.target));
        assert(whole.target.type != ADDR_NONE);
    }
    return 0;
}
