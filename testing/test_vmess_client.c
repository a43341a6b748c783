#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/vmess.h"
#include "proxy/vmess_guard.h"
#include "proxy/vmess_session.h"
#include "testing/vectors.h"

enum { NOW = 1700000000, WIRE = 4096 };

static int64_t test_now(void)
{
    return NOW;
}

struct pair { /* a client and a server that know each other */
    struct user who;
    struct vmess_user user;
    struct vmess_in_conf conf;
    struct vmess_guard *guard;
    struct vmess_server *server;
    struct codec *client, *accept;
    struct meta meta;
    uint8_t hello[WIRE]; /* what the client says first */
    size_t hello_len;
};

static struct buf *new_buf(const void *data, size_t len)
{
    struct buf_pool pool = {0};
    struct buf *b = buf_new(&pool);
    assert_non_null(b);
    buf_append(b, data, len);
    return b;
}

static void pair_open(struct pair *p, enum vmess_security security, enum net net,
                      const struct addr *target)
{
    struct err e = {0};
    memset(p, 0, sizeof *p);
    p->user.id[3] = 0x77;
    p->user.security = security;
    assert_int_equal(vmess_user_init(&p->user, &e), 0);
    p->user.user = &p->who;
    p->conf = (struct vmess_in_conf){.users = &p->user, .count = 1};
    p->guard = vmess_guard_new();
    p->server = vmess_server_new(&p->conf, p->guard, test_now);
    p->client = vmess_request_new(&p->user, net, target, NOW);
    p->accept = vmess_accept_new(p->server);
    struct buf *b = new_buf("", 0);
    assert_int_equal(p->client->ops->say(p->client, b, &e), 0);
    memcpy(p->hello, b->data, b->len);
    p->hello_len = b->len;
    free(b);
    struct cursor in = cur_of(p->hello, p->hello_len);
    assert_int_equal(p->accept->ops->accept(p->accept, &in, &p->meta, &e), STEP_DONE);
    assert_int_equal(cur_left(&in), 0);
}

static void pair_close(struct pair *p)
{
    p->client->ops->free(p->client);
    p->accept->ops->free(p->accept);
    vmess_server_free(p->server);
    vmess_guard_unref(p->guard);
}

static struct addr named(const char *name, uint16_t port)
{
    struct addr a = {.type = ADDR_NAME, .port = port};
    memcpy(a.name, name, strlen(name) + 1);
    return a;
}

/* One piece from one codec to the other, cut at every place. */
static void send_one(struct codec *from, struct codec *to, const char *text)
{
    struct err e = {0};
    struct opened out = {0};
    struct buf *b = new_buf(text, strlen(text));
    if (*text)
        assert_int_equal(from->ops->seal(from, b, &e), 0);
    else
        assert_int_equal(from->ops->end(from, b, &e), 0);
    for (size_t cut = 0; cut < b->len; cut++)
        assert_int_equal(to->ops->open(to, b->data, cut, &out, &e), STEP_MORE);
    assert_int_equal(to->ops->open(to, b->data, b->len, &out, &e), STEP_DONE);
    assert_int_equal(out.used, b->len);
    assert_int_equal(out.len, strlen(text));
    assert_memory_equal(out.data, text, out.len);
    assert_int_equal(out.eof, *text == '\0');
    free(b);
}

static void answer(struct pair *p)
{
    struct err e = {0};
    struct opened out = {0};
    struct buf *b = new_buf("", 0);
    assert_int_equal(p->accept->ops->say(p->accept, b, &e), 0);
    assert_int_equal(b->len, RESPONSE_WIRE);
    for (size_t cut = 0; cut < b->len; cut++)
        assert_int_equal(p->client->ops->open(p->client, b->data, cut, &out, &e), STEP_MORE);
    assert_int_equal(p->client->ops->open(p->client, b->data, b->len, &out, &e), STEP_DONE);
    assert_int_equal(out.used, b->len);
    assert_int_equal(out.len, 0);
    assert_false(out.eof);
    free(b);
}

static void client_and_server_understand_each_other(void **state)
{
    (void)state;
    static const enum vmess_security all[] = {VMESS_AUTO, VMESS_GCM, VMESS_CHACHA, VMESS_NONE};
    static const enum net nets[] = {NET_TCP, NET_UDP};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (size_t n = 0; n < 2; n++) {
            struct pair p;
            struct addr target = named("target.example", 443);
            pair_open(&p, all[i], nets[n], &target);
            assert_int_equal(p.meta.net, nets[n]);
            assert_true(addr_equal(&p.meta.target, &target));
            assert_ptr_equal(p.meta.user, &p.who);
            assert_true(p.accept->marks_end);
            send_one(p.client, p.accept, "before the answer");
            answer(&p);
            assert_false(p.client->marks_end);
            for (int round = 0; round < 5; round++) {
                send_one(p.client, p.accept, "up");
                send_one(p.accept, p.client, "and down");
            }
            assert_true(p.client->marks_end);
            assert_int_equal(p.client->sealed, 6);
            assert_int_equal(p.client->opened, 5);
            assert_int_equal(p.accept->sealed, 5);
            assert_int_equal(p.accept->opened, 6);
            send_one(p.client, p.accept, "");
            send_one(p.accept, p.client, "");
            pair_close(&p);
        }
}

static void client_offers_what_every_peer_reads(void **state)
{
    (void)state;
    static const struct {
        enum vmess_security wish;
        uint8_t security, option;
    } cases[] = {{VMESS_GCM, 3, 0x0d}, {VMESS_CHACHA, 4, 0x0d}, {VMESS_NONE, 5, 0x05}};
    struct addr target = named("target.example", 443), mux = named("v1.mux.cool", 9527);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pair p;
        pair_open(&p, cases[i].wish, NET_TCP, &target);
        const struct vmess_session *s = (const void *)p.client;
        assert_int_equal(s->request.security, cases[i].security);
        assert_int_equal(s->request.option, cases[i].option);
        assert_int_equal(s->request.command, VMESS_TCP);
        pair_close(&p);
    }
    struct pair p;
    pair_open(&p, VMESS_AUTO, NET_TCP, &mux);
    assert_int_equal(((const struct vmess_session *)(const void *)p.client)->request.command,
                     VMESS_MUX);
    assert_string_equal(p.meta.target.name, "v1.mux.cool");
    assert_int_equal(p.meta.target.port, 0);
    pair_close(&p);
}

static void client_greetings_never_repeat(void **state)
{
    (void)state;
    struct addr target = named("target.example", 443);
    struct pair a, b;
    pair_open(&a, VMESS_GCM, NET_TCP, &target);
    pair_open(&b, VMESS_GCM, NET_TCP, &target);
    assert_memory_not_equal(a.hello, b.hello, AUTH_ID);
    const struct vmess_session *s = (const void *)a.client, *t = (const void *)b.client;
    assert_memory_not_equal(s->request.key, t->request.key, 16);
    assert_memory_not_equal(s->request.iv, t->request.iv, 16);
    pair_close(&a);
    pair_close(&b);
}

static void client_refuses_every_flipped_byte_of_the_answer(void **state)
{
    (void)state;
    for (size_t at = 0; at < RESPONSE_WIRE; at++) {
        struct pair p;
        struct addr target = named("target.example", 443);
        struct opened out = {0};
        struct err e = {0};
        struct buf *b = new_buf("", 0);
        pair_open(&p, VMESS_GCM, NET_TCP, &target);
        p.accept->ops->say(p.accept, b, &e);
        b->data[at] ^= 1;
        assert_int_equal(p.client->ops->open(p.client, b->data, b->len, &out, &e), STEP_FAIL);
        free(b);
        pair_close(&p);
    }
}

/* Any plain response: V, option, command, command length, and what follows. */
static enum step offer_answer(struct pair *p, const uint8_t *plain, size_t len)
{
    uint8_t wire[RESPONSE_FRONT + 2048 + 16];
    struct vmess_session *s = (void *)p->client;
    struct opened out = {0};
    struct err e = {0};
    vmess_response_seal(wire, s->response_key, s->response_iv, plain, len);
    enum step step = p->client->ops->open(p->client, wire, RESPONSE_FRONT + len + 16, &out, &e);
    if (step == STEP_DONE)
        assert_int_equal(out.used, RESPONSE_FRONT + len + 16);
    return step;
}

static void client_checks_the_answer_and_obeys_no_command(void **state)
{
    (void)state;
    static const struct {
        uint8_t wrong_proof, command, command_len;
        size_t len;
        enum step wanted;
    } cases[] = {
        {0, 0, 0, 4, STEP_DONE},   {0, 0, 200, 4, STEP_DONE},   {0, 1, 27, 31, STEP_DONE},
        {0, 9, 0, 4, STEP_DONE},   {0, 1, 255, 512, STEP_DONE}, {1, 0, 0, 4, STEP_FAIL},
        {0, 1, 28, 31, STEP_FAIL}, {0, 0, 0, 3, STEP_FAIL},     {0, 0, 0, 0, STEP_FAIL},
        {0, 0, 0, 513, STEP_FAIL}, {0, 0, 0, 2048, STEP_FAIL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pair p;
        struct addr target = named("target.example", 443);
        uint8_t plain[2048] = {0};
        pair_open(&p, VMESS_GCM, NET_TCP, &target);
        const struct vmess_session *s = (const void *)p.client;
        plain[0] = s->request.proof ^ cases[i].wrong_proof;
        plain[2] = cases[i].command;
        plain[3] = cases[i].command_len;
        assert_int_equal(offer_answer(&p, plain, cases[i].len), cases[i].wanted);
        pair_close(&p);
    }
}

/* The recorded links: the portal's bytes are one answer and then one mux frame a chunk. */
static void client_reads_the_recorded_portals(void **state)
{
    (void)state;
    struct vectors *v = vectors_open("reverse.txt");
    for (int i = 0; i < vectors_number(v, "cases.count"); i++) {
        struct vmess_user u = {0};
        struct addr target = named("reverse.test.example", 0);
        struct err e = {0};
        uint8_t wire[WIRE], plain[REQUEST_MAX + 16], frame[1024];
        uint16_t header_len;
        vmess_parse_id(u.id, vectors_text(v, "cases.%d.header.uuid", i), &e);
        vmess_user_init(&u, &e);
        struct codec *c = vmess_request_new(&u, NET_TCP, &target, NOW);
        struct vmess_session *s = (void *)c;
        vectors_bytes(v, wire, sizeof wire, "cases.%d.header.wire", i);
        assert_true(vmess_request_open_length(wire, u.cmd_key, &header_len));
        assert_true(vmess_request_open(plain, wire, u.cmd_key, header_len));
        assert_int_equal(vmess_request_read(&s->request, plain, header_len, &e), 0);
        vmess_session_start(s);

        size_t used = 0, len = vectors_bytes(v, wire, sizeof wire, "cases.%d.portal_to_bridge", i);
        struct opened out = {0};
        assert_int_equal(c->ops->open(c, wire, len, &out, &e), STEP_DONE);
        assert_int_equal(out.used, RESPONSE_WIRE);
        used = out.used;
        for (int f = 0; f < vectors_number(v, "cases.%d.portal_frames.count", i); f++) {
            size_t n = vectors_bytes(v, frame, sizeof frame, "cases.%d.portal_frames.%d", i, f);
            assert_int_equal(c->ops->open(c, wire + used, len - used, &out, &e), STEP_DONE);
            assert_int_equal(out.len, n);
            assert_memory_equal(out.data, frame, n);
            used += out.used;
        }
        assert_int_equal(c->ops->open(c, wire + used, len - used, &out, &e), STEP_DONE);
        assert_true(out.eof);
        assert_int_equal(used + out.used, len);
        c->ops->free(c);
    }
    vectors_close(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(client_and_server_understand_each_other),
        cmocka_unit_test(client_offers_what_every_peer_reads),
        cmocka_unit_test(client_greetings_never_repeat),
        cmocka_unit_test(client_refuses_every_flipped_byte_of_the_answer),
        cmocka_unit_test(client_checks_the_answer_and_obeys_no_command),
        cmocka_unit_test(client_reads_the_recorded_portals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
