#include "testing/toy.h"

#include <stdlib.h>

static const char NAME[] = "toy.example";

static struct toy *toy_of(struct codec *c)
{
    return (struct toy *)(void *)c;
}

static void toy_xor(uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        p[i] ^= TOY_KEY;
}

size_t toy_piece(uint8_t *wire, const void *bytes, size_t len)
{
    wire[0] = (uint8_t)(len >> 8);
    wire[1] = (uint8_t)len;
    if (len)
        memcpy(wire + 2, bytes, len);
    toy_xor(wire + 2, len);
    return len + 2;
}

static enum step toy_accept(struct codec *c, struct cursor *in, struct meta *m, struct err *e)
{
    struct cursor at = *in, name;
    uint8_t letter, len;
    if (!cur_u8(&at, &letter))
        return STEP_MORE;
    if (letter == TOY_ENDLESS)
        return STEP_MORE;
    if (letter != 'T') {
        c->drain = cur_left(in) < TOY_DRAIN ? TOY_DRAIN - cur_left(in) : 0;
        in->p = in->end;
        return step_fail(e, EPROTO, "not a toy");
    }
    if (!cur_u8(&at, &len) || !cur_sub(&at, len, &name))
        return STEP_MORE;
    m->net = toy_of(c)->net;
    m->target = (struct addr){.type = ADDR_NAME, .port = 80};
    memcpy(m->target.name, name.p, cur_left(&name));
    m->user = toy_of(c)->user;
    c->marks_end = toy_of(c)->marks;
    c->signs = CODEC_SAYS;
    *in = at;
    return STEP_DONE;
}

static int toy_say(struct codec *c, struct buf *b, struct err *e)
{
    (void)e;
    if (toy_of(c)->client) {
        const uint8_t head[2] = {'T', sizeof NAME - 1};
        buf_append(b, head, 2);
        buf_append(b, NAME, sizeof NAME - 1);
    } else {
        buf_append(b, "OK", 2);
    }
    return 0;
}

/* The server's greeting comes in front of the first piece. */
static enum step toy_open(struct codec *c, uint8_t *in, size_t n, struct opened *out, struct err *e)
{
    struct toy *t = toy_of(c);
    size_t skip = t->client && !t->greeted ? 2 : 0;
    *out = (struct opened){0};
    if (n < skip || (skip == 0 && n < 2))
        return STEP_MORE;
    if (skip && memcmp(in, "OK", 2) != 0)
        return step_fail(e, EPROTO, "not OK");
    if (skip) {
        t->greeted = true;
        out->used = 2;
        return STEP_DONE;
    }
    size_t len = (size_t)(in[0] << 8 | in[1]);
    if (len > TOY_PIECE_MAX)
        return step_fail(e, EPROTO, "a piece of %zu bytes", len);
    if (n < 2 + len)
        return STEP_MORE;
    toy_xor(in + 2, len);
    *out = (struct opened){.used = 2 + len, .data = in + 2, .len = len, .eof = t->marks && !len};
    c->opened++;
    return STEP_DONE;
}

static int toy_seal(struct codec *c, struct buf *b, struct err *e)
{
    if (b->len == 13) /* what this protocol cannot say */
        return err_set(e, EMSGSIZE, "13 bytes");
    size_t len = b->len;
    toy_xor(b->data, len);
    uint8_t *head = buf_push(b, 2);
    head[0] = (uint8_t)(len >> 8);
    head[1] = (uint8_t)len;
    c->sealed++;
    return 0;
}

static int toy_end(struct codec *c, struct buf *b, struct err *e)
{
    (void)e;
    if (toy_of(c)->marks)
        buf_append(b, "\0", 2);
    return 0;
}

static void toy_free(struct codec *c)
{
    ++*toy_of(c)->freed;
    free(c);
}

static const struct codec_ops server_ops = {.accept = toy_accept,
                                            .say = toy_say,
                                            .open = toy_open,
                                            .seal = toy_seal,
                                            .end = toy_end,
                                            .free = toy_free,
                                            .wire_max = TOY_PIECE_MAX + 2,
                                            .accept_max = 4096};

static const struct codec_ops client_ops = {.say = toy_say,
                                            .open = toy_open,
                                            .seal = toy_seal,
                                            .end = toy_end,
                                            .free = toy_free,
                                            .wire_max = TOY_PIECE_MAX + 2};

struct codec *toy_new(bool client, bool marks, unsigned *freed)
{
    struct toy *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->codec.ops = client ? &client_ops : &server_ops;
    t->codec.signs = client ? CODEC_SAYS : 0;
    t->codec.marks_end = client && marks;
    t->client = client;
    t->marks = marks;
    t->net = NET_TCP;
    t->freed = freed;
    return &t->codec;
}
