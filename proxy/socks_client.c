#include <sodium.h>
#include <stdlib.h>

#include "proxy/socks.h"
#include "proxy/socks_wire.h"

enum state { METHOD, PASSWORD, REPLY, AGREED };

struct client {
    struct codec codec;
    enum state state; /* which of the server's messages comes next */
    bool associate, logs_in;
    uint8_t name_len, pass_len;
    char name[ACCOUNT_TEXT_MAX], pass[ACCOUNT_TEXT_MAX]; /* the configuration may go meanwhile */
    struct addr target;
    uint8_t relay[SOCKS_ADDR_MAX]; /* what open() gives of it */
};

static struct client *client_of(struct codec *c)
{
    return (struct client *)(void *)c;
}

/* --- what we say --- */

static void say_methods(const struct client *k, struct writer *w)
{
    wr_u8(w, SOCKS5);
    wr_u8(w, k->logs_in ? 2 : 1);
    wr_u8(w, SOCKS_METHOD_NONE);
    if (k->logs_in)
        wr_u8(w, SOCKS_METHOD_PASSWORD);
}

static void say_password(const struct client *k, struct writer *w)
{
    wr_u8(w, SOCKS_PASSWORD_VERSION);
    wr_u8(w, k->name_len);
    wr_bytes(w, k->name, k->name_len);
    wr_u8(w, k->pass_len);
    wr_bytes(w, k->pass, k->pass_len);
}

/* From where the datagrams will come is not known yet. */
static void say_request(const struct client *k, struct writer *w)
{
    static const struct addr none = {0};
    wr_u8(w, SOCKS5);
    wr_u8(w, k->associate ? SOCKS_ASSOCIATE : SOCKS_CONNECT);
    wr_u8(w, 0);
    socks_addr_write(w, k->associate ? &none : &k->target);
}

static int client_say(struct codec *c, struct buf *b, struct err *e)
{
    struct client *k = client_of(c);
    struct writer w = wr_of(b->data, BUF_DATA);
    (void)e;
    if (k->state == METHOD)
        say_methods(k, &w);
    else if (k->state == PASSWORD)
        say_password(k, &w);
    else
        say_request(k, &w);
    b->len = wr_len(&w);
    return 0;
}

/* --- what the server says --- */

static enum step go_on(struct client *k, enum state to)
{
    k->state = to;
    k->codec.signs |= CODEC_SAYS;
    return STEP_DONE;
}

static enum step read_method(struct client *k, struct cursor *in, struct err *e)
{
    uint8_t version, method;
    if (!cur_u8(in, &version))
        return STEP_MORE;
    if (version != SOCKS5)
        return step_fail(e, EPROTO, "this is no SOCKS 5 server");
    if (!cur_u8(in, &method))
        return STEP_MORE;
    if (method == SOCKS_METHOD_NONE)
        return go_on(k, REPLY);
    if (method == SOCKS_METHOD_PASSWORD && k->logs_in)
        return go_on(k, PASSWORD);
    return step_fail(e, EACCES, "the socks server wants another way to log in%s",
                     k->logs_in ? "" : "; set users");
}

static enum step read_verdict(struct client *k, struct cursor *in, struct err *e)
{
    uint8_t version, status;
    if (!cur_u8(in, &version) || !cur_u8(in, &status))
        return STEP_MORE;
    if (status)
        return step_fail(e, EACCES, "the socks server refuses our user or password");
    return go_on(k, REPLY);
}

static void agree(struct client *k, const struct addr *bound, struct opened *out)
{
    struct writer w = wr_of(k->relay, sizeof k->relay);
    k->state = AGREED;
    if (k->associate) {
        k->codec.signs &= ~(unsigned)CODEC_MUTE;
        addr_write_wire(&w, bound);
        out->data = k->relay;
        out->len = wr_len(&w);
        return;
    }
    k->codec.marks_end = false;
    k->codec.signs = CODEC_PASSES;
}

static enum step read_reply(struct client *k, struct cursor *in, struct opened *out, struct err *e)
{
    struct addr bound;
    uint8_t version, reply, reserved;
    if (!cur_u8(in, &version) || !cur_u8(in, &reply))
        return STEP_MORE;
    if (version != SOCKS5)
        return step_fail(e, EPROTO, "version %u in the socks server's reply", version);
    if (reply != SOCKS_OK)
        return socks_reply_error(reply, e) < 0 ? STEP_FAIL : STEP_DONE;
    if (!cur_u8(in, &reserved))
        return STEP_MORE;
    enum step s = k->associate ? socks_addr_read(in, &bound, e) : socks_addr_skip(in, e);
    if (s == STEP_DONE)
        agree(k, &bound, out);
    return s;
}

static enum step read_next(struct client *k, struct cursor *in, struct opened *out, struct err *e)
{
    if (k->state == METHOD)
        return read_method(k, in, e);
    if (k->state == PASSWORD)
        return read_verdict(k, in, e);
    return read_reply(k, in, out, e);
}

static enum step client_open(struct codec *c, uint8_t *in, size_t n, struct opened *out,
                             struct err *e)
{
    struct client *k = client_of(c);
    struct cursor at = cur_of(in, n);
    *out = (struct opened){0};
    if (k->state == AGREED) {
        *out = (struct opened){.used = n, .data = in, .len = k->associate ? 0 : n};
        return STEP_DONE;
    }
    enum step s = read_next(k, &at, out, e);
    out->used = n - cur_left(&at);
    return s;
}

/* --- the codec --- */

static void client_free(struct codec *c)
{
    sodium_memzero(client_of(c), sizeof(struct client));
    free(client_of(c));
}

static const struct codec_ops client_ops = {
    .say = client_say,
    .open = client_open,
    .free = client_free,
    .wire_max = 512,
};

static void log_in_as(struct client *k, const struct login *login)
{
    k->logs_in = true;
    k->name_len = (uint8_t)strlen(login->name);
    k->pass_len = (uint8_t)strlen(login->pass);
    memcpy(k->name, login->name, k->name_len);
    memcpy(k->pass, login->pass, k->pass_len);
}

struct codec *socks_request_new(const struct login *login, const struct addr *target,
                                bool associate)
{
    struct client *k = calloc(1, sizeof *k);
    if (!k)
        return NULL;
    k->codec =
        (struct codec){.ops = &client_ops, .signs = CODEC_SAYS | CODEC_MUTE, .marks_end = true};
    k->associate = associate;
    k->target = *target;
    if (login)
        log_in_as(k, login);
    return &k->codec;
}
