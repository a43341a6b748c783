#include <stdlib.h>

#include "proxy/socks.h"
#include "proxy/socks_wire.h"

enum {
    SAY_MAX = 32, /* method, password's answer and reply, if a client asks all at once */
    USERID_MAX = 255,
};

enum state { METHOD, PASSWORD, REQUEST, GREETED };

struct server {
    struct codec codec;
    const struct socks_in_conf *const *conf; /* of use only while greeting */
    enum state state;
    const struct user *user;
    bool old; /* SOCKS 4 */
    bool associates;
    uint8_t words[SAY_MAX]; /* to say */
    struct writer say;
};

static struct server *server_of(struct codec *c)
{
    return (struct server *)(void *)c;
}

static void say(struct server *s, const void *bytes, size_t len)
{
    wr_bytes(&s->say, bytes, len);
    s->codec.signs |= CODEC_SAYS;
}

static void say_reply(struct server *s, enum socks_reply reply)
{
    static const struct addr none = {0};
    if (s->old)
        wr_bytes(&s->say, (uint8_t[8]){0, reply == SOCKS_OK ? SOCKS4_GRANTED : SOCKS4_REFUSED}, 8);
    else
        socks_reply_write(&s->say, reply, &none);
    s->codec.signs |= CODEC_SAYS;
}

static enum step refuse(struct server *s, enum socks_reply reply, struct err *e, int code,
                        const char *text)
{
    say_reply(s, reply);
    return step_fail(e, code, "%s", text);
}

static enum step refuse_target(struct server *s, struct err *e)
{
    say_reply(s, e->code == EAFNOSUPPORT ? SOCKS_NO_ADDRESS_TYPE : SOCKS_FAILED);
    err_wrap(e, "socks");
    return STEP_FAIL;
}

/* --- SOCKS 4: one message. A name follows when the address is 0.0.0.x --- */

/* Bytes up to a NUL, which is skipped. */
static enum step read_text(struct cursor *in, struct cursor *text, struct err *e)
{
    size_t most = cur_left(in) <= USERID_MAX ? cur_left(in) : USERID_MAX + 1;
    const uint8_t *nul = memchr(in->p, 0, most);
    if (nul) {
        cur_sub(in, (size_t)(nul - in->p), text);
        cur_skip(in, 1);
        return STEP_DONE;
    }
    return most <= USERID_MAX ? STEP_MORE : step_fail(e, EPROTO, "a text of more than 255 bytes");
}

static enum step read_name4(struct cursor *in, struct addr *a, struct err *e)
{
    struct cursor text;
    uint8_t wire[1 + USERID_MAX];
    enum step s = read_text(in, &text, e);
    if (s != STEP_DONE)
        return s;
    wire[0] = (uint8_t)cur_left(&text);
    memcpy(wire + 1, text.p, cur_left(&text));
    text = cur_of(wire, 1 + cur_left(&text));
    return addr_read_host(&text, ADDR_NAME, a, e);
}

static enum step read_target4(struct cursor *in, struct addr *a, uint16_t port, struct err *e)
{
    static const uint8_t zeros[3];
    struct cursor name;
    enum step s = addr_read_host(in, ADDR_IPV4, a, e);
    bool named = s == STEP_DONE && memcmp(a->ip, zeros, 3) == 0 && a->ip[3];
    if (s == STEP_DONE)
        s = read_text(in, &name, e); /* the user's id, which proves nothing */
    if (s == STEP_DONE && named)
        s = read_name4(in, a, e);
    a->port = port;
    return s;
}

static enum step read_request4(struct server *s, struct cursor *in, struct meta *m, struct err *e)
{
    struct cursor c = *in;
    uint8_t version, command;
    uint16_t port;
    s->old = true;
    if ((*s->conf)->password)
        return refuse(s, SOCKS_NOT_ALLOWED, e, EACCES, "socks: SOCKS 4 has no passwords");
    if (!cur_u8(&c, &version) || !cur_u8(&c, &command) || !cur_be16(&c, &port))
        return STEP_MORE;
    if (command != SOCKS_CONNECT)
        return refuse(s, SOCKS_NO_COMMAND, e, EOPNOTSUPP, "socks: not a command of ours");
    enum step step = read_target4(&c, &m->target, port, e);
    if (step == STEP_FAIL)
        return refuse_target(s, e);
    if (step == STEP_DONE)
        *in = c;
    return step;
}

/* --- SOCKS 5: method, password if need be, request --- */

static enum step read_methods(struct server *s, struct cursor *in, struct err *e)
{
    struct cursor c = *in, methods;
    uint8_t version, count, offered;
    uint8_t wanted = (*s->conf)->password ? SOCKS_METHOD_PASSWORD : SOCKS_METHOD_NONE;
    bool found = false;
    if (!cur_u8(&c, &version) || !cur_u8(&c, &count) || !cur_sub(&c, count, &methods))
        return STEP_MORE;
    *in = c;
    while (cur_u8(&methods, &offered))
        found |= offered == wanted;
    say(s, (uint8_t[]){SOCKS5, found ? wanted : SOCKS_METHOD_REFUSED}, 2);
    if (!found)
        return step_fail(e, EACCES, "socks: the client offers no %s",
                         wanted ? "password" : "way without a password");
    s->state = wanted == SOCKS_METHOD_PASSWORD ? PASSWORD : REQUEST;
    return STEP_DONE;
}

static enum step read_password(struct server *s, struct cursor *in, struct err *e)
{
    struct cursor c = *in, name, pass;
    uint8_t version, len;
    if (!cur_u8(&c, &version))
        return STEP_MORE;
    if (version != SOCKS_PASSWORD_VERSION)
        return step_fail(e, EPROTO, "socks: version %u of the password's message", version);
    if (!cur_u8(&c, &len) || !cur_sub(&c, len, &name) || !cur_u8(&c, &len) ||
        !cur_sub(&c, len, &pass))
        return STEP_MORE;
    *in = c;
    s->user =
        accounts_find(&(*s->conf)->accounts, name.p, cur_left(&name), pass.p, cur_left(&pass));
    say(s, (uint8_t[]){SOCKS_PASSWORD_VERSION, s->user ? 0 : 1}, 2);
    if (!s->user)
        return step_fail(e, EACCES, "socks: wrong user or password");
    s->state = REQUEST;
    return STEP_DONE;
}

static enum step check_command(struct server *s, uint8_t command, struct err *e)
{
    s->associates = command == SOCKS_ASSOCIATE;
    if (command == SOCKS_CONNECT || (s->associates && (*s->conf)->udp))
        return STEP_DONE;
    return refuse(s, SOCKS_NO_COMMAND, e, EOPNOTSUPP,
                  s->associates ? "socks: UDP is off here" : "socks: not a command of ours");
}

static enum step read_request(struct server *s, struct cursor *in, struct meta *m, struct err *e)
{
    struct cursor c = *in;
    uint8_t version, command, reserved;
    if (!cur_u8(&c, &version))
        return STEP_MORE;
    if (version != SOCKS5)
        return step_fail(e, EPROTO, "socks: version %u of the request", version);
    if (!cur_u8(&c, &command) || !cur_u8(&c, &reserved))
        return STEP_MORE;
    if (check_command(s, command, e) == STEP_FAIL)
        return STEP_FAIL;
    enum step step = socks_addr_read(&c, &m->target, e);
    if (step == STEP_FAIL)
        return refuse_target(s, e);
    if (step == STEP_DONE)
        *in = c;
    return step;
}

/* --- the codec --- */

static enum step accept_first(struct server *s, struct cursor *in, struct meta *m, struct err *e)
{
    if (!cur_left(in))
        return STEP_MORE;
    if (*in->p == SOCKS5)
        return read_methods(s, in, e);
    if (*in->p != SOCKS4)
        return step_fail(e, EPROTO, "socks: version %u, want 4 or 5", *in->p);
    enum step step = read_request4(s, in, m, e);
    s->state = step == STEP_DONE ? GREETED : s->state;
    return step;
}

static enum step accept_next(struct server *s, struct cursor *in, struct meta *m, struct err *e)
{
    if (s->state == METHOD)
        return accept_first(s, in, m, e);
    if (s->state == PASSWORD)
        return read_password(s, in, e);
    enum step step = read_request(s, in, m, e);
    s->state = step == STEP_DONE ? GREETED : s->state;
    return step;
}

static enum step server_accept(struct codec *c, struct cursor *in, struct meta *m, struct err *e)
{
    struct server *s = server_of(c);
    enum step step = STEP_DONE;
    while (step == STEP_DONE && s->state != GREETED)
        step = accept_next(s, in, m, e);
    if (step == STEP_DONE) {
        m->net = NET_TCP;
        m->user = s->user;
        c->signs |= CODEC_MUTE;
    }
    return step;
}

static int server_say(struct codec *c, struct buf *b, struct err *e)
{
    struct server *s = server_of(c);
    (void)e;
    buf_append(b, s->words, wr_len(&s->say));
    s->say = wr_of(s->words, sizeof s->words);
    return 0;
}

/* Whoever has asked for datagrams hears from their relay where to send them. */
static void server_answer(struct codec *c, const struct err *why)
{
    struct server *s = server_of(c);
    c->signs &= ~(unsigned)CODEC_MUTE;
    if (why)
        say_reply(s, socks_reply_of(why->code));
    else if (!s->associates) {
        say_reply(s, SOCKS_OK);
        c->signs |= CODEC_PASSES;
    }
}

static enum step server_open(struct codec *c, uint8_t *in, size_t n, struct opened *out,
                             struct err *e)
{
    (void)e;
    *out = (struct opened){.used = n, .data = in, .len = server_of(c)->associates ? 0 : n};
    return STEP_DONE;
}

static void server_free(struct codec *c)
{
    free(server_of(c));
}

static const struct codec_ops server_ops = {
    .accept = server_accept,
    .say = server_say,
    .answer = server_answer,
    .open = server_open,
    .free = server_free,
    .wire_max = 0,
    .accept_max = 1024,
};

struct codec *socks_accept_new(const struct socks_in_conf *const *conf)
{
    struct server *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->codec.ops = &server_ops;
    s->conf = conf;
    s->say = wr_of(s->words, sizeof s->words);
    return &s->codec;
}

bool socks_associates(const struct codec *c)
{
    return ((const struct server *)(const void *)c)->associates;
}
