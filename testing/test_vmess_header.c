#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/vmess_header.h"
#include "testing/vectors.h"

enum { WIRE = 1024 };

struct sample { /* one case of request_header.txt */
    struct vmess_request request;
    uint8_t cmd_key[16], auth_id[AUTH_ID], nonce[REQUEST_NONCE];
    uint8_t pad[16], plain[WIRE], wire[WIRE];
    size_t pad_len, plain_len, wire_len;
};

static void read_target(struct vectors *v, int i, struct addr *a)
{
    uint8_t raw[256];
    if (!vectors_text(v, "cases.%d.fields.address_type", i)[0])
        return;
    size_t len = vectors_bytes(v, raw, sizeof raw, "cases.%d.fields.address", i);
    a->type = (uint8_t)vectors_number(v, "cases.%d.fields.address_type", i);
    a->port = (uint16_t)vectors_number(v, "cases.%d.fields.port", i);
    memcpy(a->ip, raw, len);
}

static void read_sample(struct vectors *v, int i, struct sample *s)
{
    uint8_t byte;
    memset(s, 0, sizeof *s);
    struct vmess_request *r = &s->request;
    vectors_bytes(v, s->cmd_key, 16, "cases.%d.cmd_key", i);
    vectors_bytes(v, s->auth_id, AUTH_ID, "cases.%d.auth_id", i);
    vectors_bytes(v, s->nonce, REQUEST_NONCE, "cases.%d.connection_nonce", i);
    vectors_bytes(v, r->iv, 16, "cases.%d.fields.iv", i);
    vectors_bytes(v, r->key, 16, "cases.%d.fields.key", i);
    vectors_bytes(v, &r->proof, 1, "cases.%d.fields.response_auth", i);
    vectors_bytes(v, &byte, 1, "cases.%d.fields.option", i);
    r->option = byte;
    r->security = (uint8_t)vectors_number(v, "cases.%d.fields.security", i);
    r->command = (uint8_t)vectors_number(v, "cases.%d.fields.command", i);
    read_target(v, i, &r->target);
    s->pad_len = vectors_bytes(v, s->pad, sizeof s->pad, "cases.%d.fields.padding", i);
    s->plain_len = vectors_bytes(v, s->plain, WIRE, "cases.%d.plain", i);
    s->wire_len = vectors_bytes(v, s->wire, WIRE, "cases.%d.wire", i);
}

static void fnv1a_gives_the_vectors(void **state)
{
    (void)state;
    struct vectors *v = vectors_open("primitives.txt");
    for (int i = 0; i < vectors_number(v, "fnv1a.count"); i++) {
        uint8_t data[512], sum[4];
        size_t len = vectors_bytes(v, data, sizeof data, "fnv1a.%d.data", i);
        vectors_bytes(v, sum, sizeof sum, "fnv1a.%d.fnv1a32", i);
        uint32_t wanted = (uint32_t)sum[0] << 24 | (uint32_t)sum[1] << 16 | sum[2] << 8 | sum[3];
        assert_int_equal(vmess_fnv1a(data, len), wanted);
    }
    vectors_close(v);
}

static void request_is_written_as_in_the_vectors(void **state)
{
    (void)state;
    struct vectors *v = vectors_open("request_header.txt");
    for (int i = 0; i < vectors_number(v, "cases.count"); i++) {
        struct sample s;
        uint8_t plain[WIRE], wire[WIRE];
        struct writer w = wr_of(plain, sizeof plain);
        read_sample(v, i, &s);
        vmess_request_write(&w, &s.request, s.pad, s.pad_len);
        assert_false(w.overflow);
        assert_int_equal(wr_len(&w), s.plain_len);
        assert_memory_equal(plain, s.plain, s.plain_len);
        assert_int_equal(
            vmess_request_seal(wire, s.cmd_key, s.auth_id, s.nonce, plain, s.plain_len), 0);
        assert_int_equal(REQUEST_FRONT + s.plain_len + 16, s.wire_len);
        assert_memory_equal(wire, s.wire, s.wire_len);
    }
    vectors_close(v);
}

static void request_is_read_as_in_the_vectors(void **state)
{
    (void)state;
    struct vectors *v = vectors_open("request_header.txt");
    for (int i = 0; i < vectors_number(v, "cases.count"); i++) {
        struct sample s;
        struct vmess_request r;
        struct err e = {0};
        uint8_t plain[WIRE];
        uint16_t len = 0;
        read_sample(v, i, &s);
        assert_true(vmess_request_open_length(s.wire, s.cmd_key, &len));
        assert_int_equal(len, s.plain_len);
        assert_true(vmess_request_open(plain, s.wire, s.cmd_key, len));
        assert_memory_equal(plain, s.plain, len);
        assert_int_equal(vmess_request_read(&r, plain, len, &e), 0);
        assert_memory_equal(r.iv, s.request.iv, 16);
        assert_memory_equal(r.key, s.request.key, 16);
        assert_int_equal(r.proof, s.request.proof);
        assert_int_equal(r.option, s.request.option);
        assert_int_equal(r.security, s.request.security);
        assert_int_equal(r.command, s.request.command);
        if (r.command != VMESS_MUX)
            assert_true(addr_equal(&r.target, &s.request.target));
    }
    vectors_close(v);
}

static void request_cut_anywhere_is_refused(void **state)
{
    (void)state;
    struct vectors *v = vectors_open("request_header.txt");
    for (int i = 0; i < vectors_number(v, "cases.count"); i++) {
        struct sample s;
        struct vmess_request r;
        struct err e = {0};
        read_sample(v, i, &s);
        for (size_t len = 0; len < s.plain_len; len++)
            assert_int_equal(vmess_request_read(&r, s.plain, len, &e), -1);
    }
    vectors_close(v);
}

static void request_with_any_byte_flipped_does_not_open(void **state)
{
    (void)state;
    struct vectors *v = vectors_open("request_header.txt");
    struct sample s;
    read_sample(v, 0, &s);
    for (size_t at = 0; at < s.wire_len; at++) {
        uint8_t plain[WIRE];
        uint16_t len;
        s.wire[at] ^= 0x10;
        bool opens = vmess_request_open_length(s.wire, s.cmd_key, &len) &&
                     vmess_request_open(plain, s.wire, s.cmd_key, len);
        assert_false(opens);
        s.wire[at] ^= 0x10;
    }
    vectors_close(v);
}

static void response_is_sealed_and_opened_as_in_the_vectors(void **state)
{
    (void)state;
    struct vectors *v = vectors_open("response_header.txt");
    for (int i = 0; i < vectors_number(v, "cases.count"); i++) {
        uint8_t in[16], key[16], iv[16], wanted[WIRE], plain[WIRE], wire[WIRE], opened[WIRE];
        uint16_t len = 0;
        vectors_bytes(v, in, 16, "cases.%d.request_key", i);
        vmess_response_key(key, in);
        vectors_bytes(v, in, 16, "cases.%d.request_iv", i);
        vmess_response_key(iv, in);
        vectors_bytes(v, in, 16, "cases.%d.response_key", i);
        assert_memory_equal(in, key, 16);
        vectors_bytes(v, in, 16, "cases.%d.response_iv", i);
        assert_memory_equal(in, iv, 16);
        size_t plain_len = vectors_bytes(v, plain, WIRE, "cases.%d.plain", i);
        size_t wire_len = vectors_bytes(v, wanted, WIRE, "cases.%d.wire", i);
        assert_int_equal(vmess_response_seal(wire, key, iv, plain, plain_len), 0);
        assert_memory_equal(wire, wanted, wire_len);
        assert_true(vmess_response_open_length(wire, key, iv, &len));
        assert_int_equal(len, plain_len);
        assert_true(vmess_response_open(opened, wire, key, iv, len));
        assert_memory_equal(opened, plain, plain_len);
    }
    vectors_close(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fnv1a_gives_the_vectors),
        cmocka_unit_test(request_is_written_as_in_the_vectors),
        cmocka_unit_test(request_is_read_as_in_the_vectors),
        cmocka_unit_test(request_cut_anywhere_is_refused),
        cmocka_unit_test(request_with_any_byte_flipped_does_not_open),
        cmocka_unit_test(response_is_sealed_and_opened_as_in_the_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
