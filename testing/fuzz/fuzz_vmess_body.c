/* The reader of bodies. Bytes: security, option, packets and direction, where to cut, then either a
 * wire that nobody sealed, or texts that are sealed, joined and must come back unchanged. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/vmess.h"
#include "proxy/vmess_body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WIRE = 64 * 1024 };

static struct vmess_params make_params(const uint8_t *choice)
{
    static const uint8_t securities[] = {VMESS_LEGACY, VMESS_GCM, VMESS_CHACHA, VMESS_NONE};
    struct vmess_params p = {
        .security = securities[choice[0] & 3],
        .option = choice[1] & 0x1f,
        .packets = choice[2] & 1,
        .iv = {choice[2]},
    };
    return p;
}

/* Seals texts of data, each of a length told by its first byte; answers how much wire there is. */
static size_t seal_all(const struct vmess_params *p, const uint8_t *data, size_t size,
                       uint8_t *wire)
{
    struct vmess_body *body = vmess_body_new(p, true);
    struct buf_pool pool = {0};
    struct buf *b = buf_new(&pool);
    struct err e;
    size_t len = 0;
    while (size && len < WIRE - BUF_BYTES) {
        size_t text = data[0] < size ? data[0] : size;
        b->data = b->mem + BUF_HEAD;
        b->len = 0;
        buf_append(b, data, text);
        int sealed = vmess_body_seal(body, b, &e);
        assert(sealed == 0);
        memcpy(wire + len, b->data, b->len);
        len += b->len;
        if (text == 0)
            text = 1;
        data += text;
        size -= text;
    }
    free(b);
    vmess_body_free(body);
    return len;
}

/* Opens the wire; at first only `cut` bytes of it are there. Answers the plain bytes, or -1. */
static long open_all(const struct vmess_params *p, const uint8_t *wire, size_t len, size_t cut,
                     uint8_t *plain)
{
    struct vmess_body *body = vmess_body_new(p, false);
    size_t at = 0, there = cut, got = 0;
    enum step s = STEP_DONE;
    bool eof = false;
    while (s != STEP_FAIL && at < len && !eof) {
        struct opened out = {0};
        struct err e = {0};
        uint8_t *exact = malloc(there - at + 1);
        memcpy(exact, wire + at, there - at);
        s = vmess_body_open(body, exact, there - at, &out, &e);
        if (s == STEP_DONE) {
            assert(out.used <= there - at && out.len <= out.used);
            if (out.len)
                memcpy(plain + got, out.data, out.len);
            got += out.len;
            at += out.used;
            eof = out.eof;
        }
        free(exact);
        if (s == STEP_MORE && there == len)
            break;
        if (s == STEP_MORE)
            there = len;
    }
    vmess_body_free(body);
    return s == STEP_FAIL ? -1 : (long)got;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4 || size > WIRE / 2)
        return 0;
    struct vmess_params p = make_params(data);
    uint8_t *wire = malloc(WIRE), *one = malloc(WIRE), *two = malloc(WIRE);
    bool sealed = data[2] & 0x80;
    size_t len = size - 4, cut = data[3];
    if (sealed)
        len = seal_all(&p, data + 4, size - 4, wire);
    else
        memcpy(wire, data + 4, len);
    long whole = open_all(&p, wire, len, len, one);
    long parts = open_all(&p, wire, len, cut < len ? cut : len, two);
    assert(whole == parts && (whole <= 0 || memcmp(one, two, (size_t)whole) == 0));
    assert(!sealed || whole >= 0);
    free(wire);
    free(one);
    free(two);
    return 0;
}
