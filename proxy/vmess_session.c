#include "proxy/vmess_session.h"

#include <sodium.h>

void vmess_session_start(struct vmess_session *s)
{
    vmess_response_key(s->response_key, s->request.key);
    vmess_response_key(s->response_iv, s->request.iv);
}

void vmess_session_wipe(struct vmess_session *s, size_t size)
{
    vmess_body_free(s->request_body);
    vmess_body_free(s->response_body);
    sodium_memzero(s, size);
}

static struct vmess_body *body_new(const struct vmess_session *s, bool request, bool seal)
{
    const struct vmess_request *r = &s->request;
    struct vmess_params p = {
        .security = r->security,
        .option = r->option,
        .packets = r->command == VMESS_UDP,
    };
    memcpy(p.key, request ? r->key : s->response_key, sizeof p.key);
    memcpy(p.iv, request ? r->iv : s->response_iv, sizeof p.iv);
    memcpy(p.request_key, r->key, sizeof p.request_key);
    memcpy(p.request_iv, r->iv, sizeof p.request_iv);
    struct vmess_body *b = vmess_body_new(&p, seal);
    sodium_memzero(&p, sizeof p);
    return b;
}

/* The server opens the request and seals the response; the client the other way round. */
static struct vmess_body *body_of(struct vmess_session *s, bool server, bool seal, struct err *e)
{
    bool request = server != seal;
    struct vmess_body **b = request ? &s->request_body : &s->response_body;
    if (!*b)
        *b = body_new(s, request, seal);
    if (!*b)
        err_set(e, ENOMEM, "out of memory");
    return *b;
}

enum step vmess_session_open(struct vmess_session *s, bool server, uint8_t *in, size_t n,
                             struct opened *out, struct err *e)
{
    if (n == 0)
        return STEP_MORE;
    struct vmess_body *b = body_of(s, server, false, e);
    if (!b)
        return STEP_FAIL;
    enum step step = vmess_body_open(b, in, n, out, e);
    s->codec.opened = vmess_body_count(b);
    return step;
}

int vmess_session_seal(struct vmess_session *s, bool server, struct buf *buf, struct err *e)
{
    struct vmess_body *b = body_of(s, server, true, e);
    if (!b || vmess_body_seal(b, buf, e) < 0)
        return -1;
    s->codec.sealed = vmess_body_count(b);
    return 0;
}

int vmess_session_end(struct vmess_session *s, bool server, struct buf *buf, struct err *e)
{
    if (!(s->request.option & VMESS_CHUNKED))
        return 0;
    struct vmess_body *b = body_of(s, server, true, e);
    if (!b || vmess_body_end(b, buf, e) < 0)
        return -1;
    s->codec.sealed = vmess_body_count(b);
    return 0;
}
