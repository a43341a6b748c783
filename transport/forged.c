#include "transport/forged.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/list.h"
#include "transport/stream.h"

enum { FIRST_PIECES = 33 }; /* of the first write, with the head */

/* A client says its head with its first bytes, and the server's comes before the first bytes from there. A server
 * wants the client's head before anything. */
struct forged {
    struct layer layer;
    const struct forged_conf *conf;
    struct handshake heads;
    bool client;
    bool said;  /* our head was made */
    bool heard; /* the peer's came */
};

static struct forged *of_layer(struct layer *l)
{
    return container_of(l, struct forged, layer);
}

/* --- heads --- */

static const char *choose(const struct forged_choice *c)
{
    return c->count > 1 ? c->texts[randombytes_uniform((uint32_t)c->count)] : c->texts[0];
}

static bool say_fields(struct handshake *h, const struct forged_head *f, bool dated)
{
    bool said = true;
    for (size_t i = 0; said && i < f->field_count; i++) {
        said = handshake_say(h, "%s: %s\r\n", f->fields[i].name, choose(&f->fields[i].values));
        dated |= strcasecmp(f->fields[i].name, "Date") == 0;
    }
    if (said && !dated)
        said = handshake_say_date(h);
    return said && handshake_say(h, "\r\n");
}

static bool say_head(struct forged *f)
{
    struct handshake *h = &f->heads;
    const struct forged_head *q = &f->conf->request, *r = &f->conf->response;
    f->said = true;
    if (f->client)
        return handshake_say(h, "%s %s HTTP/%s\r\n", q->method, choose(&q->target), q->version) &&
               say_fields(h, q, true);
    return handshake_say(h, "HTTP/%s %s %s\r\n", r->version, r->method, choose(&r->target)) &&
           say_fields(h, r, false);
}

/* --- the layer --- */

static enum step forged_shake(struct layer *l, struct err *e)
{
    struct forged *f = of_layer(l);
    if (f->client)
        return STEP_DONE;
    enum step s = f->heads.refuses ? STEP_FAIL : handshake_read(&f->heads, l, e);
    f->heard = s == STEP_DONE;
    if (f->heads.refuses || (s == STEP_FAIL && e->code == EPROTO))
        s = handshake_refuse(&f->heads, l, "what came does not begin with a head", e);
    if (s == STEP_FAIL)
        err_wrap(e, "http header");
    return s;
}

static ssize_t forged_fail(struct forged *f, struct err *why)
{
    err_wrap(why, "http header");
    layer_fail(&f->layer, why);
    errno = why->code;
    return STREAM_ERROR;
}

static ssize_t forged_readv(struct layer *l, struct iovec *iov, int count)
{
    struct forged *f = of_layer(l);
    struct err why;
    if (!f->heard) {
        enum step s = handshake_read(&f->heads, l, &why);
        if (s == STEP_MORE)
            return STREAM_AGAIN;
        if (s == STEP_FAIL && f->heads.ended && !f->heads.len)
            return 0; /* it had nothing to say */
        if (s == STEP_FAIL)
            return forged_fail(f, &why);
        f->heard = true;
    }
    return handshake_readv(&f->heads, l, iov, count);
}

/* Our head has gone, so that bytes may follow. */
static enum step send_head(struct forged *f, struct err *why)
{
    if (!f->said && !say_head(f))
        return step_fail(why, ENOMEM, "out of memory");
    return handshake_send(&f->heads, &f->layer, why);
}

/* The first bytes go in one piece with the head. */
static ssize_t write_first(struct forged *f, struct iovec *iov, int count)
{
    struct iovec both[FIRST_PIECES];
    struct err why;
    int n = count < FIRST_PIECES - 1 ? count : FIRST_PIECES - 1;
    if (!f->said && !say_head(f)) {
        err_set(&why, ENOMEM, "out of memory");
        return forged_fail(f, &why);
    }
    size_t left = f->heads.out_len - f->heads.out_sent;
    both[0] = (struct iovec){f->heads.out + f->heads.out_sent, left};
    memcpy(both + 1, iov, (size_t)n * sizeof *iov);
    ssize_t wrote = below_writev(&f->layer, both, n + 1);
    if (wrote < 0)
        return wrote;
    f->heads.out_sent += (size_t)wrote < left ? (size_t)wrote : left;
    if (!handshake_says(&f->heads))
        handshake_send(&f->heads, &f->layer, &why); /* gives the memory back */
    return (size_t)wrote > left ? (ssize_t)((size_t)wrote - left) : STREAM_AGAIN;
}

static ssize_t forged_writev(struct layer *l, struct iovec *iov, int count)
{
    struct forged *f = of_layer(l);
    if (!f->said || handshake_says(&f->heads))
        return write_first(f, iov, count);
    return below_writev(l, iov, count);
}

/* Also who says nothing has a head. */
static enum step forged_finish(struct layer *l)
{
    struct err why;
    return send_head(of_layer(l), &why);
}

static bool forged_waiting(const struct layer *l)
{
    const struct forged *f = container_of(l, struct forged, layer);
    return f->heard && handshake_waiting(&f->heads);
}

static void forged_free(struct layer *l, bool well)
{
    (void)well;
    handshake_fini(&of_layer(l)->heads);
    free(of_layer(l));
}

static const struct layer_ops forged_ops = {
    .shake = forged_shake,
    .readv = forged_readv,
    .writev = forged_writev,
    .finish = forged_finish,
    .waiting = forged_waiting,
    .free = forged_free,
};

static struct layer *forged_new(const struct forged_conf *c, bool client)
{
    struct forged *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->layer.ops = &forged_ops;
    f->conf = c;
    f->client = client;
    return &f->layer;
}

struct layer *forged_client_new(const struct forged_conf *c)
{
    return forged_new(c, true);
}

struct layer *forged_server_new(const struct forged_conf *c)
{
    return forged_new(c, false);
}
