/* The server's side: who is it, is it new, what does he want; then the bodies.
 * Everything that can go wrong before a header has proved itself takes the same way out: all bytes
 * are swallowed up to a total that is this server's, so that a prober cannot tell the reasons apart. */
#include <sodium.h>
#include <stdlib.h>

#include "proxy/vmess.h"
#include "proxy/vmess_auth.h"
#include "proxy/vmess_guard.h"
#include "proxy/vmess_session.h"

enum {
    DRAIN_FRONT = 16 + 38, /* as peers reckon: auth id and the smallest header */
    DRAIN_JITTER = 65,     /* beside the guard's: a fresh number below this for each connection */
    SESSION_KEPT = 180,    /* seconds in which user, key and IV may not come again */
};

struct vmess_server {
    const struct vmess_in_conf *conf;
    struct vmess_table *table;
    struct vmess_guard *guard;
    int64_t (*now)(void);
};

struct vmess_accept {
    struct vmess_session session;
    struct vmess_server *server;
    struct vmess_user user; /* a copy, for the list may change meanwhile; once ... */
    bool known;             /* ... the auth id is */
    int64_t stamp;          /* the time in it */
    uint16_t header_len;    /* 0 until known */
    bool replay;
};

struct vmess_server *vmess_server_new(const struct vmess_in_conf *conf, struct vmess_guard *guard,
                                      int64_t (*now)(void))
{
    struct vmess_server *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->conf = conf;
    s->now = now;
    s->guard = vmess_guard_ref(guard);
    s->table = vmess_table_new(conf->users, conf->count);
    if (!s->table) {
        vmess_server_free(s);
        return NULL;
    }
    return s;
}

void vmess_server_free(struct vmess_server *s)
{
    if (!s)
        return;
    vmess_table_free(s->table);
    vmess_guard_unref(s->guard);
    free(s);
}

void vmess_server_adopt(struct vmess_server *s, const struct vmess_in_conf *conf)
{
    vmess_table_adopt(s->table, s->conf->users, conf->users);
    s->conf = conf;
}

void vmess_server_follow(struct vmess_server *s, const struct vmess_in_conf *conf,
                         struct vmess_table *table, ptrdiff_t removed)
{
    vmess_table_follow(table, s->table, s->conf->users, conf->users, removed);
    s->table = table;
    s->conf = conf;
}

static int refuse_replay(struct vmess_accept *a, struct err *e)
{
    a->replay = true;
    return err_set(e, EACCES, "replayed auth id");
}

/* Finds the user. The replay set is asked here too, so that a replay ends where junk does. */
static int find_user(struct vmess_accept *a, const uint8_t *id, struct err *e)
{
    struct vmess_server *s = a->server;
    int64_t now = s->now();
    const struct vmess_user *user = vmess_table_find(s->table, id, now, &a->stamp);
    if (!user)
        return err_set(e, EACCES, "unknown user, or clocks differ by more than %d s", AUTH_WINDOW);
    if (vmess_guard_has(s->guard, GUARD_AUTH_ID, id, now))
        return refuse_replay(a, e);
    a->user = *user;
    a->known = true;
    return 0;
}

static int find_length(struct vmess_accept *a, const uint8_t *front, struct err *e)
{
    uint16_t len;
    if (!vmess_request_open_length(front, a->user.cmd_key, &len))
        return err_set(e, EACCES, "header length does not open");
    if (len < REQUEST_MIN || len > REQUEST_MAX)
        return err_set(e, EACCES, "header length %u not in %d..%d", len, REQUEST_MIN, REQUEST_MAX);
    a->header_len = len;
    return 0;
}

/* Only an auth id whose header opened is remembered: junk cannot fill the set. */
static int open_header(struct vmess_accept *a, const uint8_t *wire, uint8_t *plain, struct err *e)
{
    struct vmess_server *s = a->server;
    int64_t now = s->now();
    if (!vmess_request_open(plain, wire, a->user.cmd_key, a->header_len))
        return err_set(e, EACCES, "header does not open");
    switch (vmess_guard_add(s->guard, GUARD_AUTH_ID, wire, a->stamp + AUTH_WINDOW, now)) {
    case GUARD_SEEN: /* by a connection that began later and was faster */
        return refuse_replay(a, e);
    case GUARD_NO_MEMORY:
        return err_set(e, ENOMEM, "out of memory");
    default:
        return 0;
    }
}

/* Reads up to the end of the sealed header; what fails here fails as if nobody was known. */
static enum step read_header(struct vmess_accept *a, struct cursor *in, uint8_t *plain,
                             struct err *e)
{
    if (cur_left(in) < AUTH_ID)
        return STEP_MORE;
    if (!a->known && find_user(a, in->p, e) < 0)
        return STEP_FAIL;
    if (cur_left(in) < REQUEST_FRONT)
        return STEP_MORE;
    if (!a->header_len && find_length(a, in->p, e) < 0)
        return STEP_FAIL;
    size_t whole = (size_t)REQUEST_FRONT + a->header_len + 16;
    if (cur_left(in) < whole)
        return STEP_MORE;
    if (open_header(a, in->p, plain, e) < 0)
        return STEP_FAIL;
    cur_skip(in, whole);
    return STEP_DONE;
}

/* The same keys again would mean the same cipher stream again. */
static int check_session(struct vmess_accept *a, struct err *e)
{
    struct vmess_server *s = a->server;
    const struct vmess_request *r = &a->session.request;
    uint8_t triple[48], digest[SEEN_KEY];
    int64_t now = s->now();
    memcpy(triple, a->user.id, 16);
    memcpy(triple + 16, r->key, 16);
    memcpy(triple + 32, r->iv, 16);
    crypto_generichash(digest, sizeof digest, triple, sizeof triple, vmess_guard_hash_key(s->guard),
                       GUARD_HASH_KEY);
    sodium_memzero(triple, sizeof triple);
    switch (vmess_guard_add(s->guard, GUARD_SESSION, digest, now + SESSION_KEPT, now)) {
    case GUARD_SEEN:
        a->replay = true;
        return err_set(e, EACCES, "session keys were used before");
    case GUARD_NO_MEMORY:
        return err_set(e, ENOMEM, "out of memory");
    default:
        return 0;
    }
}

static int check_request(struct vmess_accept *a, const uint8_t *plain, struct err *e)
{
    struct vmess_request *r = &a->session.request;
    if (vmess_request_read(r, plain, a->header_len, e) < 0)
        return -1;
    if (a->server->conf->refuse_insecure &&
        (r->security == VMESS_NONE || r->security == VMESS_LEGACY))
        return err_set(e, EACCES, "security without encryption is refused here");
    return check_session(a, e);
}

static void tell_meta(const struct vmess_accept *a, struct meta *m)
{
    const struct vmess_request *r = &a->session.request;
    m->net = r->command == VMESS_UDP ? NET_UDP : NET_TCP;
    m->target = r->target;
    if (r->command == VMESS_MUX)
        m->target = (struct addr){.type = ADDR_NAME, .name = "v1.mux.cool"};
    m->user = a->user.user;
}

/* Whatever is wrong with a header, the connection ends alike: who probes, even with a good id, learns
 * nothing. */
static enum step fail_hidden(struct vmess_accept *a, struct cursor *in)
{
    size_t total =
        DRAIN_FRONT + vmess_guard_drain(a->server->guard) + randombytes_uniform(DRAIN_JITTER);
    size_t given = cur_left(in);
    a->session.codec.drain = given < total ? total - given : 0;
    in->p = in->end;
    return STEP_FAIL;
}

static enum step server_accept(struct codec *c, struct cursor *in, struct meta *m, struct err *e)
{
    struct vmess_accept *a = (struct vmess_accept *)(void *)c;
    uint8_t plain[REQUEST_MAX + 16];
    struct cursor at = *in;
    enum step s = read_header(a, &at, plain, e);
    if (s == STEP_FAIL)
        return fail_hidden(a, in);
    if (s == STEP_MORE)
        return STEP_MORE;
    int refused = check_request(a, plain, e);
    sodium_memzero(plain, sizeof plain);
    if (refused)
        return fail_hidden(a, in);
    c->marks_end = a->session.request.option & VMESS_CHUNKED;
    c->signs = CODEC_SAYS;
    vmess_session_start(&a->session);
    tell_meta(a, m);
    *in = at;
    return STEP_DONE;
}

static int server_say(struct codec *c, struct buf *b, struct err *e)
{
    struct vmess_session *s = (struct vmess_session *)(void *)c;
    uint8_t plain[RESPONSE_LEN] = {s->request.proof}; /* no options, no command */
    if (vmess_response_seal(b->data, s->response_key, s->response_iv, plain, sizeof plain) < 0)
        return err_set(e, ENOMEM, "sealing failed");
    b->len = RESPONSE_WIRE;
    return 0;
}

static enum step server_open(struct codec *c, uint8_t *in, size_t n, struct opened *out,
                             struct err *e)
{
    return vmess_session_open((struct vmess_session *)(void *)c, true, in, n, out, e);
}

static int server_seal(struct codec *c, struct buf *b, struct err *e)
{
    return vmess_session_seal((struct vmess_session *)(void *)c, true, b, e);
}

static int server_end(struct codec *c, struct buf *b, struct err *e)
{
    return vmess_session_end((struct vmess_session *)(void *)c, true, b, e);
}

static void server_codec_free(struct codec *c)
{
    struct vmess_accept *a = (struct vmess_accept *)(void *)c;
    vmess_session_wipe(&a->session, sizeof *a);
    free(a);
}

static const struct codec_ops server_ops = {
    .accept = server_accept,
    .say = server_say,
    .open = server_open,
    .seal = server_seal,
    .end = server_end,
    .free = server_codec_free,
    .wire_max = VMESS_WIRE_MAX,
    .accept_max = 4096,
};

struct codec *vmess_accept_new(struct vmess_server *s)
{
    struct vmess_accept *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    struct codec *c = &a->session.codec;
    c->ops = &server_ops;
    a->server = s;
    return c;
}

bool vmess_was_replay(const struct codec *c)
{
    return ((const struct vmess_accept *)(const void *)c)->replay;
}
