/* The client's side: one header out, one short header back, then the bodies. Nothing is waited for:
 * data follows the request header at once. */
#include <sodium.h>
#include <stdlib.h>
#if defined __aarch64__
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include "proxy/vmess.h"
#include "proxy/vmess_auth.h"
#include "proxy/vmess_session.h"

enum { PLAIN_MAX = 38 + 3 + 1 + 255 + REQUEST_PAD_MAX + 4 };

struct vmess_client {
    struct vmess_session session;
    const struct vmess_user *user;
    int64_t now;
    uint16_t header_len; /* of the response; 0 until known */
    bool answered;       /* the response header was read */
};

/* Whether AES-GCM is fast here, and does not leak its key through the cache. */
static bool cpu_has_aes(void)
{
#if defined __x86_64__ || defined __i386__
    return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
#elif defined __aarch64__
    unsigned long wanted = HWCAP_AES | HWCAP_PMULL;
    return (getauxval(AT_HWCAP) & wanted) == wanted;
#else
    return false;
#endif
}

static uint8_t choose_security(enum vmess_security wish)
{
    if (wish == VMESS_GCM || wish == VMESS_CHACHA || wish == VMESS_NONE)
        return (uint8_t)wish;
    return cpu_has_aes() ? VMESS_GCM : VMESS_CHACHA;
}

static uint8_t choose_command(enum net net, const struct addr *target)
{
    if (net == NET_UDP)
        return VMESS_UDP;
    bool mux = target->type == ADDR_NAME && strcmp(target->name, "v1.mux.cool") == 0;
    return mux ? VMESS_MUX : VMESS_TCP;
}

static int client_say(struct codec *c, struct buf *b, struct err *e)
{
    struct vmess_client *v = (struct vmess_client *)(void *)c;
    uint8_t plain[PLAIN_MAX], auth_id[AUTH_ID];
    struct {
        uint8_t rand4[4], nonce[REQUEST_NONCE], pad[REQUEST_PAD_MAX];
    } fresh;
    struct writer w = wr_of(plain, sizeof plain);
    randombytes_buf(&fresh, sizeof fresh);
    vmess_request_write(&w, &v->session.request, fresh.pad,
                        randombytes_uniform(REQUEST_PAD_MAX + 1));
    size_t len = wr_len(&w);
    bool ok = !w.overflow &&
              vmess_auth_seal(auth_id, v->user->auth_key, v->now, fresh.rand4) == 0 &&
              vmess_request_seal(b->data, v->user->cmd_key, auth_id, fresh.nonce, plain, len) == 0;
    sodium_memzero(plain, sizeof plain);
    if (!ok)
        return err_set(e, ENOMEM, "the request header cannot be made");
    b->len = REQUEST_FRONT + len + 16;
    return 0;
}

/* The command in it, if any, is not obeyed; only its length must be right. */
static int check_answer(const struct vmess_client *v, const uint8_t *plain, struct err *e)
{
    if (sodium_memcmp(plain, &v->session.request.proof, 1) != 0)
        return err_set(e, EBADMSG, "the response is not to this request");
    if (plain[2] != 0 && RESPONSE_LEN + plain[3] > v->header_len)
        return err_set(e, EPROTO, "response command of %u bytes is cut short", plain[3]);
    return 0;
}

static enum step read_answer(struct vmess_client *v, uint8_t *in, size_t n, struct opened *out,
                             struct err *e)
{
    const struct vmess_session *s = &v->session;
    uint8_t plain[RESPONSE_MAX + 16];
    if (n < RESPONSE_FRONT)
        return STEP_MORE;
    if (!v->header_len) {
        uint16_t len;
        if (!vmess_response_open_length(in, s->response_key, s->response_iv, &len))
            return step_fail(e, EBADMSG, "the response header's length does not open");
        if (len < RESPONSE_LEN || len > RESPONSE_MAX)
            return step_fail(e, EPROTO, "response header length %u not in %d..%d", len,
                             RESPONSE_LEN, RESPONSE_MAX);
        v->header_len = len;
    }
    size_t whole = (size_t)RESPONSE_FRONT + v->header_len + 16;
    if (n < whole)
        return STEP_MORE;
    if (!vmess_response_open(plain, in, s->response_key, s->response_iv, v->header_len))
        return step_fail(e, EBADMSG, "the response header does not open");
    if (check_answer(v, plain, e) < 0)
        return STEP_FAIL;
    v->answered = true;
    *out = (struct opened){.used = whole, .data = in + whole};
    return STEP_DONE;
}

static enum step client_open(struct codec *c, uint8_t *in, size_t n, struct opened *out,
                             struct err *e)
{
    struct vmess_client *v = (struct vmess_client *)(void *)c;
    if (!v->answered)
        return read_answer(v, in, n, out, e);
    enum step s = vmess_session_open(&v->session, false, in, n, out, e);
    /* A server whose target said nothing sends its header alone and no end mark. */
    c->marks_end = c->opened > 0 && (v->session.request.option & VMESS_CHUNKED);
    return s;
}

static int client_seal(struct codec *c, struct buf *b, struct err *e)
{
    return vmess_session_seal((struct vmess_session *)(void *)c, false, b, e);
}

static int client_end(struct codec *c, struct buf *b, struct err *e)
{
    return vmess_session_end((struct vmess_session *)(void *)c, false, b, e);
}

static void client_free(struct codec *c)
{
    struct vmess_client *v = (struct vmess_client *)(void *)c;
    vmess_session_wipe(&v->session, sizeof *v);
    free(v);
}

static const struct codec_ops client_ops = {
    .say = client_say,
    .open = client_open,
    .seal = client_seal,
    .end = client_end,
    .free = client_free,
    .wire_max = VMESS_WIRE_MAX,
};

struct codec *vmess_request_new(const struct vmess_user *u, enum net net, const struct addr *target,
                                int64_t now)
{
    struct vmess_client *v = calloc(1, sizeof *v);
    if (!v)
        return NULL;
    struct vmess_request *r = &v->session.request;
    v->session.codec.ops = &client_ops;
    v->session.codec.signs = CODEC_SAYS;
    v->user = u;
    v->now = now;
    r->security = choose_security(u->security);
    r->option = VMESS_CHUNKED | VMESS_MASKED | (r->security == VMESS_NONE ? 0 : VMESS_PADDED);
    r->command = choose_command(net, target);
    r->target = *target;
    randombytes_buf(r->iv, sizeof r->iv);
    randombytes_buf(r->key, sizeof r->key);
    randombytes_buf(&r->proof, 1);
    vmess_session_start(&v->session);
    return &v->session.codec;
}
