#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "proxy/http1.h"
#include "proxy/http_body.h"
#include "proxy/http_forward.h"
#include "proxy/http_proxy.h"

enum { CREDENTIAL_MAX = 2 * ACCOUNT_TEXT_MAX + 1 };

enum state { HEAD, FORWARD, BODY, TUNNEL };

struct server {
    struct codec codec;
    const struct http_in_conf *const *conf; /* of use only while greeting */
    struct http1_head head;
    enum state state;
    int status; /* to say; 0: nothing */
    uint8_t *forward;
    size_t forward_len; /* the head as it is sent on; owned */
    struct http_body body;
};

static struct server *server_of(struct codec *c)
{
    return (struct server *)(void *)c;
}

/* --- pages --- */

static const struct page {
    int status;
    const char *reason, *fields, *text;
} pages[] = {
    {400, "Bad Request", "", "This is a proxy, and your request is not valid here."},
    {403, "Forbidden", "", "The proxy does not pass this on."},
    {407, "Proxy Authentication Required", "Proxy-Authenticate: Basic realm=\"proxy\"\r\n",
     "The proxy wants to know who you are."},
    {431, "Request Header Fields Too Large", "", "The head of your request is too large."},
    {501, "Not Implemented", "", "The proxy does not know this kind of body."},
    {502, "Bad Gateway", "", "The target could not be reached."},
    {503, "Service Unavailable", "", "There is no way to the target at this time."},
    {504, "Gateway Timeout", "", "The target did not answer in time."},
    {505, "HTTP Version Not Supported", "", "The proxy knows HTTP/1.0 and HTTP/1.1."},
};

static const struct page *page_of(int status)
{
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
        if (pages[i].status == status)
            return &pages[i];
    return &pages[0];
}

static int status_of(int code)
{
    switch (code) {
    case EACCES:
        return 403;
    case ETIMEDOUT:
        return 504;
    case ENOMEM:
    case EAGAIN:
        return 503;
    default:
        return 502;
    }
}

static int server_say(struct codec *c, struct buf *b, struct err *e)
{
    static const char established[] = "HTTP/1.1 200 Connection established\r\n\r\n";
    struct server *s = server_of(c);
    (void)e;
    if (s->status == 200) {
        buf_append(b, established, sizeof established - 1);
        return 0;
    }
    const struct page *p = page_of(s->status);
    b->len =
        (size_t)snprintf((char *)b->data, BUF_DATA,
                         "HTTP/1.1 %d %s\r\n%sConnection: close\r\nContent-Type: text/plain\r\n"
                         "Content-Length: %zu\r\n\r\n%s\n",
                         p->status, p->reason, p->fields, strlen(p->text) + 1, p->text);
    return 0;
}

static void say_status(struct server *s, int status)
{
    s->status = status;
    s->codec.signs |= CODEC_SAYS;
}

static enum step refuse(struct server *s, int status, struct err *e, const char *text)
{
    say_status(s, status);
    return step_fail(e, status == 407 ? EACCES : EPROTO, "http: %s", text);
}

/* --- who asks --- */

static const struct user *find_user(const struct accounts *accounts, const char *text, size_t len)
{
    char plain[CREDENTIAL_MAX];
    const char *end, *colon;
    size_t plain_len;
    const struct user *found = NULL;
    if (sodium_base642bin((uint8_t *)plain, sizeof plain, text, len, NULL, &plain_len, &end,
                          sodium_base64_VARIANT_ORIGINAL) == 0 &&
        end == text + len && (colon = memchr(plain, ':', plain_len))) {
        size_t name = (size_t)(colon - plain);
        found = accounts_find(accounts, plain, name, colon + 1, plain_len - name - 1);
    }
    sodium_memzero(plain, sizeof plain);
    return found;
}

/* False: he has not said, or not truly. Two answers are none. */
static bool check_user(const struct server *s, const uint8_t *data, const struct user **user)
{
    static const char scheme[] = "Basic ";
    enum { SCHEME = sizeof scheme - 1 };
    const struct accounts *accounts = &(*s->conf)->accounts;
    struct http1_span said;
    if (accounts->count == 0)
        return true;
    if (http1_field(&s->head, data, "proxy-authorization", &said) != 1)
        return false;
    const char *text = (const char *)data + said.at;
    if (said.len > SCHEME && strncasecmp(text, scheme, SCHEME) == 0)
        *user = find_user(accounts, text + SCHEME, said.len - SCHEME);
    return *user;
}

/* --- what for --- */

static enum step accept_connect(struct server *s, const uint8_t *data, struct meta *m,
                                struct err *e)
{
    if (!http_authority(data + s->head.target.at, s->head.target.len, 0, &m->target))
        return refuse(s, 400, e, "CONNECT wants \"host:port\"");
    s->state = TUNNEL;
    return STEP_DONE;
}

/* The head itself stays in the input: open() gives in its place what is sent on. */
static enum step accept_plain(struct server *s, const uint8_t *data, struct meta *m, struct err *e)
{
    struct http_target to;
    if (!http_target_read(data, &s->head, (*s->conf)->transparent, &to))
        return refuse(s, 400, e, "the request does not name an \"http://\" target");
    s->forward = malloc(http_forward_room(&s->head));
    if (!s->forward) {
        say_status(s, 503);
        return step_fail(e, ENOMEM, "out of memory");
    }
    s->forward_len = http_forward_write(s->forward, data, &s->head, &to);
    s->state = FORWARD;
    s->body = http_body_of_request(&s->head);
    s->codec.marks_end = s->body.state != HTTP_BODY_DONE;
    m->target = to.addr;
    m->head = (const char *)s->forward;
    m->head_len = s->forward_len;
    return STEP_DONE;
}

static enum step accept_head(struct server *s, struct cursor *in, struct meta *m, struct err *e)
{
    const uint8_t *data = in->p;
    const struct user *user = NULL;
    if (!check_user(s, data, &user))
        return refuse(s, 407, e, "no valid user and password");
    bool tunnel = http1_is(data, s->head.method, "CONNECT");
    enum step step = tunnel ? accept_connect(s, data, m, e) : accept_plain(s, data, m, e);
    if (step != STEP_DONE)
        return step;
    if (tunnel)
        cur_skip(in, s->head.len);
    m->net = NET_TCP;
    m->user = user;
    s->codec.signs |= CODEC_MUTE;
    return STEP_DONE;
}

static enum step server_accept(struct codec *c, struct cursor *in, struct meta *m, struct err *e)
{
    struct server *s = server_of(c);
    enum step step = http1_read(&s->head, in->p, cur_left(in), e);
    if (step == STEP_DONE)
        return accept_head(s, in, m, e);
    if (step == STEP_FAIL) {
        say_status(s, s->head.status);
        err_wrap(e, "http");
    }
    return step;
}

/* --- the answer --- */

static void server_answer(struct codec *c, const struct err *why)
{
    struct server *s = server_of(c);
    c->signs &= ~(unsigned)CODEC_MUTE;
    if (why) {
        say_status(s, status_of(why->code));
    } else if (s->state == TUNNEL) {
        say_status(s, 200);
        c->signs |= CODEC_PASSES;
    }
}

/* --- bytes --- */

static void open_head(struct server *s, struct opened *out)
{
    *out = (struct opened){.used = s->head.len, .data = s->forward, .len = s->forward_len};
    s->state = BODY;
}

/* One request a connection: another one behind it would go to this one's target, whatever it names, and is
 * dropped. Its client sees the end of the connection, and asks again on another. */
static enum step open_body(struct server *s, uint8_t *in, size_t n, struct opened *out,
                           struct err *e)
{
    size_t took;
    if (http_body_take(&s->body, in, n, &took, e) < 0)
        return STEP_FAIL;
    *out = (struct opened){.used = n, .data = in, .len = took};
    s->codec.marks_end = s->body.state != HTTP_BODY_DONE;
    return STEP_DONE;
}

static enum step server_open(struct codec *c, uint8_t *in, size_t n, struct opened *out,
                             struct err *e)
{
    struct server *s = server_of(c);
    if (s->state == BODY)
        return open_body(s, in, n, out, e);
    if (s->state == FORWARD)
        open_head(s, out);
    else
        *out = (struct opened){.used = n, .data = in, .len = n};
    return STEP_DONE;
}

static void server_free(struct codec *c)
{
    free(server_of(c)->forward);
    free(server_of(c));
}

static const struct codec_ops server_ops = {
    .accept = server_accept,
    .say = server_say,
    .answer = server_answer,
    .open = server_open,
    .free = server_free,
    .wire_max = HTTP1_HEAD_MAX,
    .accept_max = HTTP1_HEAD_MAX,
};

struct codec *http_accept_new(const struct http_in_conf *const *conf)
{
    struct server *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->codec.ops = &server_ops;
    s->conf = conf;
    return &s->codec;
}
