#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/vmess.h"
#include "proxy/vmess_guard.h"
#include "proxy/vmess_header.h"
#include "testing/vectors.h"

enum { WIRE = 1024, DRAIN_LEAST = 54, DRAIN_MOST = 54 + 3265 + 64 };

static int64_t clock_now;

static int64_t test_now(void)
{
    return clock_now;
}

struct rig { /* one server with one user */
    struct user who;
    struct vmess_user user;
    struct vmess_in_conf conf;
    struct vmess_guard *guard;
    struct vmess_server *server;
};

static void rig_open(struct rig *r, const char *uuid, int64_t now)
{
    struct err e;
    memset(r, 0, sizeof *r);
    clock_now = now;
    assert_int_equal(vmess_parse_id(r->user.id, uuid, &e), 0);
    assert_int_equal(vmess_user_init(&r->user, &e), 0);
    r->user.user = &r->who;
    r->conf = (struct vmess_in_conf){.users = &r->user, .count = 1};
    r->guard = vmess_guard_new();
    r->server = vmess_server_new(&r->conf, r->guard, test_now);
    assert_non_null(r->server);
}

static void rig_close(struct rig *r)
{
    vmess_server_free(r->server);
    vmess_guard_unref(r->guard);
}

struct verdict {
    enum step step;
    size_t drain, left; /* left: what accept did not take */
    bool replay;
    struct meta meta;
    struct err err;
};

/* A fresh connection to which all bytes come at once. */
static struct verdict offer(struct rig *r, const uint8_t *wire, size_t len)
{
    struct verdict v = {0};
    struct codec *c = vmess_accept_new(r->server);
    struct cursor in = cur_of(wire, len);
    v.step = c->ops->accept(c, &in, &v.meta, &v.err);
    v.drain = c->drain;
    v.left = cur_left(&in);
    v.replay = vmess_was_replay(c);
    c->ops->free(c);
    return v;
}

/* A header of this user with the given request; answers its length. */
static size_t make_header(const struct rig *r, const struct vmess_request *request, uint8_t fresh,
                          uint8_t out[WIRE])
{
    uint8_t plain[WIRE], auth_id[AUTH_ID], rand4[4] = {fresh}, nonce[REQUEST_NONCE] = {fresh};
    struct writer w = wr_of(plain, sizeof plain);
    vmess_request_write(&w, request, (const uint8_t *)"", 0);
    assert_int_equal(vmess_auth_seal(auth_id, r->user.auth_key, clock_now, rand4), 0);
    assert_int_equal(vmess_request_seal(out, r->user.cmd_key, auth_id, nonce, plain, wr_len(&w)),
                     0);
    return REQUEST_FRONT + wr_len(&w) + 16;
}

static struct vmess_request some_request(uint8_t number)
{
    return (struct vmess_request){.key = {number},
                                  .iv = {1},
                                  .option = 0x0d,
                                  .security = VMESS_GCM,
                                  .command = VMESS_TCP,
                                  .target = {.type = ADDR_IPV4, .port = 80, .ip = {127, 0, 0, 1}}};
}

static void check_meta(struct vectors *v, int i, const struct rig *r, const struct meta *m)
{
    long long command = vectors_number(v, "cases.%d.fields.command", i);
    assert_ptr_equal(m->user, &r->who);
    assert_int_equal(m->net, command == VMESS_UDP ? NET_UDP : NET_TCP);
    if (command == VMESS_MUX) {
        assert_int_equal(m->target.type, ADDR_NAME);
        assert_string_equal(m->target.name, "v1.mux.cool");
        assert_int_equal(m->target.port, 0);
    } else {
        assert_int_equal(m->target.port, vectors_number(v, "cases.%d.fields.port", i));
        assert_int_equal(m->target.type, vectors_number(v, "cases.%d.fields.address_type", i));
    }
}

static void accept_takes_all_vectors_at_any_split(void **state)
{
    (void)state;
    struct vectors *v = vectors_open("request_header.txt");
    for (int i = 0; i < vectors_number(v, "cases.count"); i++) {
        uint8_t wire[WIRE + 1];
        size_t len = vectors_bytes(v, wire, WIRE, "cases.%d.wire", i);
        for (size_t cut = 0; cut < len; cut++) {
            struct rig r;
            struct meta m = {0};
            struct err e = {0};
            rig_open(&r, vectors_text(v, "cases.%d.uuid", i),
                     vectors_number(v, "cases.%d.timestamp", i));
            struct codec *c = vmess_accept_new(r.server);
            struct cursor in = cur_of(wire, cut);
            assert_int_equal(c->ops->accept(c, &in, &m, &e), STEP_MORE);
            assert_int_equal(cur_left(&in), cut);
            in = cur_of(wire, len + 1); /* and one byte of the body */
            assert_int_equal(c->ops->accept(c, &in, &m, &e), STEP_DONE);
            assert_int_equal(cur_left(&in), 1);
            check_meta(v, i, &r, &m);
            c->ops->free(c);
            rig_close(&r);
        }
    }
    vectors_close(v);
}

/* The first five negative vectors do not prove the user; the others do, and are refused at once. */
static void accept_judges_the_negative_vectors(void **state)
{
    (void)state;
    struct vectors *v = vectors_open("negative.txt");
    for (int i = 0; i < vectors_number(v, "headers.count"); i++) {
        struct rig r;
        uint8_t wire[WIRE];
        size_t len = vectors_bytes(v, wire, WIRE, "headers.%d.wire", i);
        bool good = strcmp(vectors_text(v, "headers.%d.expect", i), "accept") == 0;
        rig_open(&r, vectors_text(v, "uuid"), vectors_number(v, "timestamp"));
        struct verdict seen = offer(&r, wire, len);
        assert_int_equal(seen.step, good ? STEP_DONE : STEP_FAIL);
        assert_false(seen.replay);
        if (!good)
            assert_true(seen.drain + len >= DRAIN_LEAST && seen.drain + len <= DRAIN_MOST);
        else
            assert_int_equal(seen.drain, 0);
        rig_close(&r);
    }
    vectors_close(v);
}

static void drain_total_is_the_servers_whatever_failed_and_when(void **state)
{
    (void)state;
    struct rig r;
    struct vmess_request request = some_request(1);
    uint8_t good[WIRE], bad[WIRE];
    size_t least = SIZE_MAX, most = 0;
    rig_open(&r, "27848739-7e62-4138-9fd3-098a63964b6b", 1700000000);
    size_t len = make_header(&r, &request, 1, good);
    for (int i = 0; i < 300; i++) {
        size_t given = i % 3 == 0 ? 16 : len;
        memcpy(bad, good, len);
        bad[i % 3 == 0 ? 0 : i % 3 == 1 ? 20 : len - 1] ^= 1;
        struct verdict v = offer(&r, bad, given);
        assert_int_equal(v.step, STEP_FAIL);
        assert_int_equal(v.left, 0);
        if (v.drain == 0)
            continue; /* the total is less than what came */
        least = v.drain + given < least ? v.drain + given : least;
        most = v.drain + given > most ? v.drain + given : most;
    }
    assert_true(most - least <= 64 || least == SIZE_MAX);
    rig_close(&r);
}

static void accept_refuses_every_flipped_byte(void **state)
{
    (void)state;
    struct rig r;
    struct vmess_request request = some_request(1);
    uint8_t wire[WIRE];
    rig_open(&r, "27848739-7e62-4138-9fd3-098a63964b6b", 1700000000);
    size_t len = make_header(&r, &request, 1, wire);
    for (size_t at = 0; at < len; at++) {
        wire[at] ^= 0x40;
        assert_int_equal(offer(&r, wire, len).step, STEP_FAIL);
        wire[at] ^= 0x40;
    }
    assert_int_equal(offer(&r, wire, len).step, STEP_DONE);
    rig_close(&r);
}

static void accept_takes_120_seconds_and_not_121(void **state)
{
    (void)state;
    static const int64_t offsets[] = {-120, 120, -121, 121};
    for (int i = 0; i < 4; i++) {
        struct rig r;
        struct vmess_request request = some_request(1);
        uint8_t wire[WIRE];
        rig_open(&r, "27848739-7e62-4138-9fd3-098a63964b6b", 1700000000);
        size_t len = make_header(&r, &request, 1, wire);
        clock_now += offsets[i];
        assert_int_equal(offer(&r, wire, len).step, i < 2 ? STEP_DONE : STEP_FAIL);
        rig_close(&r);
    }
}

static void replay_is_refused_as_long_as_its_time_is_valid(void **state)
{
    (void)state;
    struct rig r;
    struct vmess_request request = some_request(1);
    uint8_t wire[WIRE];
    rig_open(&r, "27848739-7e62-4138-9fd3-098a63964b6b", 1700000000);
    size_t len = make_header(&r, &request, 1, wire);
    clock_now -= 120;
    assert_int_equal(offer(&r, wire, len).step, STEP_DONE);
    for (int second = 0; second <= 240; second += 5, clock_now += 5) {
        struct verdict v = offer(&r, wire, len);
        assert_int_equal(v.step, STEP_FAIL);
        assert_true(v.replay);
        assert_true(offer(&r, wire, 16).replay); /* known from the auth id alone */
    }
    rig_close(&r);
}

static void no_greeting_is_as_long_as_a_drain(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        struct vmess_guard *g = vmess_guard_new();
        assert_in_range(vmess_guard_drain(g), 512, 3265);
        vmess_guard_unref(g);
    }
}

/* Two loops, or an inbound before and after a reload. */
static void servers_with_one_guard_know_what_either_saw(void **state)
{
    (void)state;
    struct rig r;
    struct vmess_request request = some_request(1);
    uint8_t wire[WIRE], junk[4096] = {0};
    rig_open(&r, "27848739-7e62-4138-9fd3-098a63964b6b", 1700000000);
    size_t len = make_header(&r, &request, 1, wire);
    size_t drain = offer(&r, junk, 100).drain;
    assert_int_equal(offer(&r, wire, len).step, STEP_DONE);
    struct vmess_server *first = r.server;
    r.server = vmess_server_new(&r.conf, r.guard, test_now);
    assert_true(offer(&r, wire, len).replay);
    size_t same = offer(&r, junk, 100).drain;
    assert_in_range(same + 64, drain, drain + 128); /* but for the jitter */
    vmess_server_free(first);
    assert_true(offer(&r, wire, len).replay);
    rig_close(&r);
}

/* The same settings at another place: another generation's. */
static void an_unfinished_greeting_survives_the_settings_move(void **state)
{
    (void)state;
    struct rig r;
    struct vmess_request request = some_request(1);
    uint8_t wire[WIRE];
    rig_open(&r, "27848739-7e62-4138-9fd3-098a63964b6b", 1700000000);
    size_t len = make_header(&r, &request, 1, wire);
    for (size_t cut = 0; cut < len; cut++) {
        struct vmess_user *moved = malloc(sizeof *moved);
        *moved = r.user;
        struct vmess_in_conf conf = {.users = moved, .count = 1};
        struct codec *c = vmess_accept_new(r.server);
        struct cursor in = cur_of(wire, cut);
        struct meta m = {0};
        struct err e;
        len = make_header(&r, &request, (uint8_t)cut, wire);
        request.key[0]++; /* neither auth id nor session come again */
        assert_int_equal(c->ops->accept(c, &in, &m, &e), STEP_MORE);
        vmess_server_adopt(r.server, &conf);
        memset(&r.user, 0, sizeof r.user);
        in = cur_of(wire, len);
        assert_int_equal(c->ops->accept(c, &in, &m, &e), STEP_DONE);
        assert_ptr_equal(m.user, &r.who);
        c->ops->free(c);
        r.user = *moved;
        vmess_server_adopt(r.server, &r.conf);
        free(moved);
    }
    rig_close(&r);
}

static void auth_id_is_remembered_only_after_its_header_opened(void **state)
{
    (void)state;
    struct rig r;
    struct vmess_request request = some_request(1);
    uint8_t wire[WIRE];
    rig_open(&r, "27848739-7e62-4138-9fd3-098a63964b6b", 1700000000);
    size_t len = make_header(&r, &request, 1, wire);
    wire[len - 1] ^= 1;
    assert_int_equal(offer(&r, wire, len).step, STEP_FAIL);
    wire[len - 1] ^= 1;
    assert_int_equal(offer(&r, wire, len).step, STEP_DONE);
    assert_true(offer(&r, wire, len).replay);
    rig_close(&r);
}

static void session_keys_are_taken_once_in_three_minutes(void **state)
{
    (void)state;
    struct rig r;
    struct vmess_request request = some_request(1);
    uint8_t wire[WIRE];
    rig_open(&r, "27848739-7e62-4138-9fd3-098a63964b6b", 1700000000);
    size_t len = make_header(&r, &request, 1, wire);
    assert_int_equal(offer(&r, wire, len).step, STEP_DONE);
    clock_now += 179;
    len = make_header(&r, &request, 2, wire);
    struct verdict v = offer(&r, wire, len);
    assert_int_equal(v.step, STEP_FAIL);
    assert_true(v.drain + len >= DRAIN_LEAST || v.drain == 0);
    clock_now += 60;
    len = make_header(&r, &request, 3, wire);
    assert_int_equal(offer(&r, wire, len).step, STEP_DONE);
    rig_close(&r);
}

static void accept_refuses_insecure_bodies_when_told(void **state)
{
    (void)state;
    static const uint8_t securities[] = {0, VMESS_LEGACY, VMESS_NONE, VMESS_GCM, VMESS_CHACHA};
    struct rig r;
    rig_open(&r, "27848739-7e62-4138-9fd3-098a63964b6b", 1700000000);
    for (uint8_t i = 0; i < sizeof securities; i++) {
        uint8_t wire[WIRE];
        for (uint8_t strict = 0; strict < 2; strict++) {
            struct vmess_request request = some_request((uint8_t)(2 * i + strict + 1));
            request.security = securities[i];
            r.conf.refuse_insecure = strict;
            size_t len = make_header(&r, &request, (uint8_t)(2 * i + strict), wire);
            struct verdict v = offer(&r, wire, len);
            assert_int_equal(v.step, strict && i < 3 ? STEP_FAIL : STEP_DONE);
            assert_true(v.step == STEP_FAIL || v.drain == 0);
        }
    }
    rig_close(&r);
}

/* The recorded links: the bridge's bytes are one greeting and then one mux frame a chunk. */
static void server_reads_the_recorded_bridges(void **state)
{
    (void)state;
    struct vectors *v = vectors_open("reverse.txt");
    for (int i = 0; i < vectors_number(v, "cases.count"); i++) {
        struct rig r;
        struct meta m = {0};
        struct err e = {0};
        uint8_t wire[4096], frame[1024];
        size_t len = vectors_bytes(v, wire, sizeof wire, "cases.%d.bridge_to_portal", i);
        rig_open(&r, vectors_text(v, "cases.%d.header.uuid", i),
                 vectors_number(v, "cases.%d.header.timestamp", i));
        struct codec *c = vmess_accept_new(r.server);
        struct cursor in = cur_of(wire, len);
        assert_int_equal(c->ops->accept(c, &in, &m, &e), STEP_DONE);
        assert_string_equal(m.target.name, "reverse.test.example");
        size_t used = len - cur_left(&in);
        for (int f = 0; f < vectors_number(v, "cases.%d.bridge_frames.count", i); f++) {
            struct opened out = {0};
            size_t n = vectors_bytes(v, frame, sizeof frame, "cases.%d.bridge_frames.%d", i, f);
            assert_int_equal(c->ops->open(c, wire + used, len - used, &out, &e), STEP_DONE);
            assert_int_equal(out.len, n);
            assert_memory_equal(out.data, frame, n);
            used += out.used;
        }
        struct opened out = {0};
        assert_int_equal(c->ops->open(c, wire + used, len - used, &out, &e), STEP_DONE);
        assert_true(out.eof);
        assert_int_equal(used + out.used, len);
        struct buf_pool pool = {0};
        struct buf *b = buf_new(&pool);
        assert_int_equal(c->ops->say(c, b, &e), 0);
        size_t n = vectors_bytes(v, frame, sizeof frame, "cases.%d.response_header_wire", i);
        assert_int_equal(b->len, n);
        assert_memory_equal(b->data, frame, n);
        free(b);
        c->ops->free(c);
        rig_close(&r);
    }
    vectors_close(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accept_takes_all_vectors_at_any_split),
        cmocka_unit_test(accept_judges_the_negative_vectors),
        cmocka_unit_test(no_greeting_is_as_long_as_a_drain),
        cmocka_unit_test(drain_total_is_the_servers_whatever_failed_and_when),
        cmocka_unit_test(accept_refuses_every_flipped_byte),
        cmocka_unit_test(accept_takes_120_seconds_and_not_121),
        cmocka_unit_test(replay_is_refused_as_long_as_its_time_is_valid),
        cmocka_unit_test(servers_with_one_guard_know_what_either_saw),
        cmocka_unit_test(an_unfinished_greeting_survives_the_settings_move),
        cmocka_unit_test(auth_id_is_remembered_only_after_its_header_opened),
        cmocka_unit_test(session_keys_are_taken_once_in_three_minutes),
        cmocka_unit_test(accept_refuses_insecure_bodies_when_told),
        cmocka_unit_test(server_reads_the_recorded_bridges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
