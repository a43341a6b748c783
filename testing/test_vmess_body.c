#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/vmess.h"
#include "proxy/vmess_body.h"
#include "proxy/vmess_header.h"
#include "testing/vectors.h"

enum { CHUNK = 1024, STREAM = 4096, CHUNKS = 8 };

struct chunk {
    uint8_t plain[CHUNK], pad[64], wire[CHUNK];
    size_t plain_len, pad_len, wire_len;
};

struct sample { /* one case of body.txt */
    struct vmess_params params;
    struct chunk chunks[CHUNKS];
    size_t count;
    bool ends;
    uint8_t stream[STREAM]; /* the wire bytes of all chunks */
    size_t stream_len;
};

static struct buf *new_buf(void)
{
    struct buf_pool pool = {0};
    struct buf *b = buf_new(&pool);
    assert_non_null(b);
    return b;
}

static void read_params(struct vectors *v, int i, struct vmess_params *p)
{
    memset(p, 0, sizeof *p);
    p->security = (uint8_t)vectors_number(v, "cases.%d.security", i);
    vectors_bytes(v, &p->option, 1, "cases.%d.option", i);
    p->packets = vectors_number(v, "cases.%d.command", i) == VMESS_UDP;
    vectors_bytes(v, p->key, 16, "cases.%d.direction_key", i);
    vectors_bytes(v, p->iv, 16, "cases.%d.direction_iv", i);
    vectors_bytes(v, p->request_key, 16, "cases.%d.request_key", i);
    vectors_bytes(v, p->request_iv, 16, "cases.%d.request_iv", i);
}

static void read_sample(struct vectors *v, int i, struct sample *s)
{
    memset(s, 0, sizeof *s);
    read_params(v, i, &s->params);
    s->ends = strcmp(vectors_text(v, "cases.%d.terminal_chunk_sent", i), "True") == 0;
    s->count = (size_t)vectors_number(v, "cases.%d.chunks.count", i);
    assert_true(s->count <= CHUNKS);
    for (size_t c = 0; c < s->count; c++) {
        struct chunk *k = &s->chunks[c];
        k->plain_len = vectors_bytes(v, k->plain, CHUNK, "cases.%d.chunks.%zu.plain", i, c);
        k->pad_len = vectors_bytes(v, k->pad, 64, "cases.%d.chunks.%zu.padding", i, c);
        k->wire_len = vectors_bytes(v, k->wire, CHUNK, "cases.%d.chunks.%zu.wire", i, c);
        memcpy(s->stream + s->stream_len, k->wire, k->wire_len);
        s->stream_len += k->wire_len;
    }
    if (s->count == 0)
        s->stream_len = vectors_bytes(v, s->stream, STREAM, "cases.%d.stream", i);
}

/* Runs `law` over every case of body.txt that has chunks. */
static void for_each_sample(void (*law)(const struct sample *s))
{
    struct vectors *v = vectors_open("body.txt");
    struct sample *s = malloc(sizeof *s);
    assert_non_null(s);
    for (int i = 0; i < vectors_number(v, "cases.count"); i++) {
        read_sample(v, i, s);
        if (s->count)
            law(s);
    }
    free(s);
    vectors_close(v);
}

static void copy_pad(void *arg, uint8_t *to, size_t len)
{
    const struct chunk *k = arg;
    assert_int_equal(len, k->pad_len);
    memcpy(to, k->pad, len);
}

static void seals_the_vectors(const struct sample *s)
{
    struct vmess_body *body = vmess_body_new(&s->params, true);
    for (size_t c = 0; c < s->count; c++) {
        struct chunk k = s->chunks[c];
        struct err e = {0};
        struct buf *b = new_buf();
        vmess_body_pad_from(body, copy_pad, &k);
        buf_append(b, k.plain, k.plain_len);
        if (k.plain_len)
            assert_int_equal(vmess_body_seal(body, b, &e), 0);
        else
            assert_int_equal(vmess_body_end(body, b, &e), 0);
        assert_int_equal(b->len, k.wire_len);
        assert_memory_equal(b->data, k.wire, k.wire_len);
        free(b);
    }
    assert_int_equal(vmess_body_count(body), s->count);
    vmess_body_free(body);
}

static void body_seals_all_vectors(void **state)
{
    (void)state;
    for_each_sample(seals_the_vectors);
}

/* Feeds the stream so that at most `first` bytes are there at the beginning, then one more each time
 * that more is asked for. Every piece of memory is of exactly the size that is there. */
static void opens_in_pieces(const struct sample *s, size_t first)
{
    struct vmess_body *body = vmess_body_new(&s->params, false);
    size_t at = 0, there = first, chunk = 0;
    while (at < s->stream_len) {
        struct opened out = {0};
        struct err e = {0};
        uint8_t *exact = malloc(there - at + 1);
        memcpy(exact, s->stream + at, there - at);
        enum step step = vmess_body_open(body, exact, there - at, &out, &e);
        if (step == STEP_MORE) {
            assert_memory_equal(exact, s->stream + at, there - at);
            assert_true(there < s->stream_len);
            there++;
        } else {
            assert_int_equal(step, STEP_DONE);
            const struct chunk *k = &s->chunks[chunk++];
            assert_int_equal(out.used, k->wire_len);
            assert_int_equal(out.len, k->plain_len);
            assert_memory_equal(out.data, k->plain, k->plain_len);
            assert_int_equal(out.eof, s->ends && chunk == s->count);
            at += out.used;
        }
        free(exact);
    }
    assert_int_equal(chunk, s->count);
    vmess_body_free(body);
}

static void opens_at_any_split(const struct sample *s)
{
    for (size_t cut = 0; cut <= s->stream_len; cut += cut < 300 ? 1 : 37)
        opens_in_pieces(s, cut);
    opens_in_pieces(s, s->stream_len);
}

static void body_opens_all_vectors_at_any_split(void **state)
{
    (void)state;
    for_each_sample(opens_at_any_split);
}

static void raw_body_passes_all_vectors_at_any_split(void **state)
{
    (void)state;
    struct vectors *v = vectors_open("body.txt");
    struct sample *s = malloc(sizeof *s);
    int seen = 0;
    for (int i = 0; i < vectors_number(v, "cases.count"); i++) {
        uint8_t plain[STREAM], wire[STREAM];
        size_t len = 0;
        struct err e = {0};
        read_sample(v, i, s);
        if (s->count)
            continue;
        struct vmess_body *sealer = vmess_body_new(&s->params, true);
        for (int p = 0; p < vectors_number(v, "cases.%d.plaintexts.count", i); p++) {
            struct buf *b = new_buf();
            b->len = vectors_bytes(v, b->data, BUF_ROOM, "cases.%d.plaintexts.%d", i, p);
            memcpy(plain + len, b->data, b->len);
            assert_int_equal(vmess_body_seal(sealer, b, &e), 0);
            assert_memory_equal(b->data, s->stream + len, b->len);
            len += b->len;
            free(b);
        }
        assert_int_equal(len, s->stream_len);
        vmess_body_free(sealer);
        for (size_t cut = 0; cut <= len; cut++) {
            struct vmess_body *opener = vmess_body_new(&s->params, false);
            struct opened out = {0};
            memcpy(wire, s->stream, len);
            assert_int_equal(vmess_body_open(opener, wire, cut, &out, &e),
                             cut ? STEP_DONE : STEP_MORE);
            assert_int_equal(out.used, cut);
            assert_int_equal(vmess_body_open(opener, wire + cut, len - cut, &out, &e),
                             cut < len ? STEP_DONE : STEP_MORE);
            assert_memory_equal(wire, plain, len);
            vmess_body_free(opener);
        }
        seen++;
    }
    assert_int_equal(seen, 4);
    free(s);
    vectors_close(v);
}

/* Padding is protected by nothing, and so is the mask of a plain length; what is under a tag must
 * not change. A length that grows makes the reader wait, which is as good. */
static void refuses_flips(const struct sample *s)
{
    const struct chunk *k = &s->chunks[2];
    size_t before = s->chunks[0].wire_len + s->chunks[1].wire_len;
    if (s->params.security != VMESS_GCM && s->params.security != VMESS_CHACHA)
        return;
    for (size_t at = 0; at < k->wire_len; at++) {
        struct vmess_body *body = vmess_body_new(&s->params, false);
        struct opened out = {0};
        struct err e = {0};
        size_t len = before + k->wire_len, used = 0;
        uint8_t *exact = malloc(len);
        memcpy(exact, s->stream, len);
        exact[before + at] ^= 1;
        for (int c = 0; c < 2; c++, used += out.used)
            assert_int_equal(vmess_body_open(body, exact + used, len - used, &out, &e), STEP_DONE);
        enum step step = vmess_body_open(body, exact + used, len - used, &out, &e);
        if (at < k->wire_len - k->pad_len)
            assert_int_not_equal(step, STEP_DONE);
        else
            assert_int_equal(step, STEP_DONE);
        free(exact);
        vmess_body_free(body);
    }
}

static void body_refuses_every_flipped_byte_under_a_tag(void **state)
{
    (void)state;
    for_each_sample(refuses_flips);
}

static void checks_the_end(const struct sample *s)
{
    if (!s->ends || (s->params.security != VMESS_GCM && s->params.security != VMESS_CHACHA))
        return;
    struct vmess_body *body = vmess_body_new(&s->params, false);
    const struct chunk *last = &s->chunks[s->count - 1];
    uint8_t wire[STREAM];
    size_t used = 0;
    memcpy(wire, s->stream, s->stream_len);
    wire[s->stream_len - last->pad_len - 1] ^= 1;
    for (size_t c = 0; c < s->count; c++) {
        struct opened out = {0};
        struct err e = {0};
        enum step step = vmess_body_open(body, wire + used, s->stream_len - used, &out, &e);
        assert_int_equal(step, c + 1 < s->count ? STEP_DONE : STEP_FAIL);
        used += out.used;
    }
    vmess_body_free(body);
}

static void body_refuses_a_forged_end(void **state)
{
    (void)state;
    for_each_sample(checks_the_end);
}

static void body_refuses_a_size_below_its_padding(void **state)
{
    (void)state;
    struct vectors *v = vectors_open("negative.txt");
    for (int i = 0; i < vectors_number(v, "bodies.count"); i++) {
        struct vmess_params p = {0};
        uint8_t wire[256];
        struct opened out = {0};
        struct err e = {0};
        p.security = (uint8_t)vectors_number(v, "bodies.%d.security", i);
        vectors_bytes(v, &p.option, 1, "bodies.%d.option", i);
        vectors_bytes(v, p.key, 16, "bodies.%d.request_key", i);
        vectors_bytes(v, p.iv, 16, "bodies.%d.request_iv", i);
        size_t len = vectors_bytes(v, wire, sizeof wire, "bodies.%d.wire", i);
        struct vmess_body *body = vmess_body_new(&p, false);
        assert_int_equal(vmess_body_open(body, wire, 2, &out, &e), STEP_FAIL);
        assert_int_equal(e.code, EPROTO);
        vmess_body_free(body);
        body = vmess_body_new(&p, false);
        assert_int_equal(vmess_body_open(body, wire, len, &out, &e), STEP_FAIL);
        vmess_body_free(body);
    }
    vectors_close(v);
}

/* Whatever masked size field comes: never more than what is there is touched, never a crash. */
static void body_survives_every_size_field(void **state)
{
    (void)state;
    for (unsigned field = 0; field < 65536; field += 7) {
        struct vmess_params p = {.security = VMESS_GCM,
                                 .option = VMESS_CHUNKED | VMESS_MASKED | VMESS_PADDED};
        struct opened out = {0};
        struct err e = {0};
        struct vmess_body *body = vmess_body_new(&p, false);
        uint8_t *wire = calloc(1, 200);
        wire[0] = (uint8_t)(field >> 8);
        wire[1] = (uint8_t)field;
        assert_int_not_equal(vmess_body_open(body, wire, 200, &out, &e), STEP_DONE);
        free(wire);
        vmess_body_free(body);
    }
}

/* The byte that all samples of the wrapping stream carry: what the first of them holds. */
static uint8_t wrap_byte(struct vectors *v, const struct vmess_params *p)
{
    uint8_t wire[64];
    struct opened out = {0};
    struct err e = {0};
    struct vmess_body *body = vmess_body_new(p, false);
    size_t len = vectors_bytes(v, wire, sizeof wire, "counter_wrap.samples.0.wire");
    assert_int_equal(vmess_body_open(body, wire, len, &out, &e), STEP_DONE);
    assert_int_equal(out.len, 1);
    vmess_body_free(body);
    return *out.data;
}

static void body_counter_wraps_as_peers_do(void **state)
{
    (void)state;
    struct vectors *v = vectors_open("body.txt");
    struct vmess_params p = {.security = VMESS_GCM};
    vectors_bytes(v, &p.option, 1, "counter_wrap.option");
    vectors_bytes(v, p.key, 16, "counter_wrap.request_key");
    vectors_bytes(v, p.iv, 16, "counter_wrap.request_iv");
    uint8_t byte = wrap_byte(v, &p);
    struct vmess_body *sealer = vmess_body_new(&p, true), *opener = vmess_body_new(&p, false);
    long long sample = 0, samples = vectors_number(v, "counter_wrap.samples.count");
    struct buf *b = new_buf();
    for (long long n = 0; n < 65540; n++) {
        struct opened out = {0};
        struct err e = {0};
        uint8_t wanted[64];
        b->data = b->mem + BUF_HEAD;
        b->len = 0;
        buf_append(b, &byte, 1);
        assert_int_equal(vmess_body_seal(sealer, b, &e), 0);
        if (sample < samples &&
            n == vectors_number(v, "counter_wrap.samples.%lld.chunk_number", sample)) {
            size_t len =
                vectors_bytes(v, wanted, sizeof wanted, "counter_wrap.samples.%lld.wire", sample++);
            assert_int_equal(b->len, len);
            assert_memory_equal(b->data, wanted, len);
        }
        assert_int_equal(vmess_body_open(opener, b->data, b->len, &out, &e), STEP_DONE);
        assert_int_equal(out.len, 1);
        assert_int_equal(out.data[0], byte);
    }
    assert_int_equal(sample, samples);
    free(b);
    vmess_body_free(sealer);
    vmess_body_free(opener);
    vectors_close(v);
}

static void datagram_too_long_leaves_the_stream_intact(void **state)
{
    (void)state;
    struct vmess_params p = {.security = VMESS_GCM,
                             .option = VMESS_CHUNKED | VMESS_MASKED | VMESS_PADDED,
                             .packets = true};
    struct vmess_body *sealer = vmess_body_new(&p, true), *opener = vmess_body_new(&p, false);
    for (size_t len = VMESS_DATAGRAM_MAX - 2; len < VMESS_DATAGRAM_MAX + 3; len++) {
        struct opened out = {0};
        struct err e = {0};
        struct buf *b = new_buf();
        memset(b->data, 'd', len);
        b->len = len;
        if (len > VMESS_DATAGRAM_MAX) {
            assert_int_equal(vmess_body_seal(sealer, b, &e), -1);
            assert_int_equal(e.code, EMSGSIZE);
            assert_int_equal(b->len, len);
            b->len = 100;
        }
        assert_int_equal(vmess_body_seal(sealer, b, &e), 0);
        assert_true(b->len <= 2048);
        assert_int_equal(vmess_body_open(opener, b->data, b->len, &out, &e), STEP_DONE);
        assert_int_equal(out.len, len > VMESS_DATAGRAM_MAX ? 100 : len);
        free(b);
    }
    vmess_body_free(sealer);
    vmess_body_free(opener);
}

static void body_of_a_full_buf_opens_with_all_options(void **state)
{
    (void)state;
    static const uint8_t securities[] = {VMESS_LEGACY, VMESS_GCM, VMESS_CHACHA, VMESS_NONE};
    for (size_t i = 0; i < sizeof securities; i++)
        for (unsigned option = 0; option < 32; option++) {
            struct vmess_params p = {.security = securities[i], .option = (uint8_t)option};
            struct vmess_body *sealer = vmess_body_new(&p, true);
            struct vmess_body *opener = vmess_body_new(&p, false);
            for (int round = 0; round < 3; round++) {
                struct opened out = {0};
                struct err e = {0};
                struct buf *b = new_buf();
                memset(b->data, 'x', BUF_ROOM);
                b->len = BUF_ROOM;
                assert_int_equal(vmess_body_seal(sealer, b, &e), 0);
                assert_int_equal(vmess_body_open(opener, b->data, b->len, &out, &e), STEP_DONE);
                assert_int_equal(out.used, b->len);
                assert_int_equal(out.len, BUF_ROOM);
                for (size_t at = 0; at < BUF_ROOM; at++)
                    assert_int_equal(out.data[at], 'x');
                free(b);
            }
            vmess_body_free(sealer);
            vmess_body_free(opener);
        }
}

/* Two bodies with the same keys seal alike but for the padding, which is never the same. */
static void padding_is_fresh_in_every_body(void **state)
{
    (void)state;
    struct vmess_params p = {.security = VMESS_GCM,
                             .option = VMESS_CHUNKED | VMESS_MASKED | VMESS_PADDED};
    struct vmess_body *one = vmess_body_new(&p, true), *two = vmess_body_new(&p, true);
    size_t compared = 0, equal = 0;
    for (int n = 0; n < 200; n++) { /* several pools */
        struct err e = {0};
        struct buf *a = new_buf(), *b = new_buf();
        buf_append(a, "same", 4), buf_append(b, "same", 4);
        assert_int_equal(vmess_body_seal(one, a, &e), 0);
        assert_int_equal(vmess_body_seal(two, b, &e), 0);
        assert_int_equal(a->len, b->len);
        assert_memory_equal(a->data, b->data, 2 + 4 + 16);
        for (size_t at = 2 + 4 + 16; at < a->len; at++, compared++)
            equal += a->data[at] == b->data[at];
        free(a);
        free(b);
    }
    assert_true(compared > 4000 && equal < compared / 32); /* chance gives 1 in 256 */
    vmess_body_free(one);
    vmess_body_free(two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(body_seals_all_vectors),
        cmocka_unit_test(body_opens_all_vectors_at_any_split),
        cmocka_unit_test(raw_body_passes_all_vectors_at_any_split),
        cmocka_unit_test(body_refuses_every_flipped_byte_under_a_tag),
        cmocka_unit_test(body_refuses_a_forged_end),
        cmocka_unit_test(body_refuses_a_size_below_its_padding),
        cmocka_unit_test(body_survives_every_size_field),
        cmocka_unit_test(body_counter_wraps_as_peers_do),
        cmocka_unit_test(datagram_too_long_leaves_the_stream_intact),
        cmocka_unit_test(body_of_a_full_buf_opens_with_all_options),
        cmocka_unit_test(padding_is_fresh_in_every_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
