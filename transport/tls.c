#include "transport/tls.h"

#include <openssl/err.h>
#include <sodium.h>
#include <stdlib.h>

#include "transport/tls_inside.h"

enum {
    RECORD = 16 * 1024,   /* bytes of one record */
    BATCH = 96 * 1024,    /* bytes that are encrypted before they are written together */
    OUT_MAX = 512 * 1024, /* bytes below which OpenSSL may answer a peer that does not read */
    LAST_READS = 64,      /* reads of what came before a connection broke */
    WRITE_BUFS = 32,      /* bufs of one write */
    SHAKES = 500,         /* handshakes of strangers a second, on one loop */
    SHAKES_AT_ONCE = 100, /* ... after a rest */
};

static const double WAIT_MAX = 4; /* seconds that a stranger may wait for his handshake */

static struct tls *tls_of(struct layer *l)
{
    return container_of(l, struct tls, layer);
}

static struct buf_pool *tls_pool(const struct tls *t)
{
    return &t->layer.stream->loop->bufs;
}

/* --- what OpenSSL reads from and writes to --- */

/* Short is taken for "that was all", once there is something: so a read costs one system call. */
static int bio_read(BIO *bio, char *to, size_t len, size_t *got)
{
    struct tls *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t n = t->quiet ? STREAM_AGAIN : below_read(&t->layer, to, len);
    *got = n > 0 ? (size_t)n : 0;
    if (n > 0) {
        t->quiet = (size_t)n < len;
        return 1;
    }
    if (n == STREAM_AGAIN)
        BIO_set_retry_read(bio);
    else if (n == 0)
        t->cut = true;
    else
        t->error = errno;
    return 0;
}

/* Everything is taken, and leaves together. */
static int bio_write(BIO *bio, const char *from, size_t len, size_t *put)
{
    struct tls *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    *put = 0;
    if (t->out.bytes + len > OUT_MAX || !bufq_append(&t->out, tls_pool(t), from, len)) {
        t->error = ENOMEM;
        return 0;
    }
    *put = len;
    return 1;
}

static long bio_ctrl(BIO *bio, int what, long number, void *with)
{
    (void)number, (void)with;
    const struct tls *t = BIO_get_data(bio);
    if (what == BIO_CTRL_EOF)
        return t->cut;
    return what == BIO_CTRL_FLUSH;
}

BIO_METHOD *tls_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "v2c stream");
    if (!m)
        return NULL;
    BIO_meth_set_read_ex(m, bio_read);
    BIO_meth_set_write_ex(m, bio_write);
    BIO_meth_set_ctrl(m, bio_ctrl);
    return m;
}

/* --- records to what lies below --- */

static void gone(struct tls *t, size_t n)
{
    while (n) {
        struct buf *b = bufq_take(&t->out);
        if (b->len > n) {
            buf_pull(b, n);
            bufq_unget(&t->out, b);
            return;
        }
        n -= b->len;
        buf_free(tls_pool(t), b);
    }
}

/* DONE: all has gone. FAIL: errno. */
static enum step tls_flush(struct tls *t)
{
    while (t->out.head) {
        struct iovec iov[WRITE_BUFS];
        int count = 0;
        for (struct buf *b = t->out.head; b && count < WRITE_BUFS; b = b->next)
            iov[count++] = (struct iovec){b->data, b->len};
        ssize_t n = below_writev(&t->layer, iov, count);
        if (n == STREAM_ERROR)
            return STEP_FAIL;
        if (n == STREAM_AGAIN)
            return STEP_MORE;
        gone(t, (size_t)n);
    }
    return STEP_DONE;
}

/* --- how it fails --- */

static void tell(struct tls *t, struct err *e)
{
    const char *reason = tls_reason(t->shared->set.server);
    if (t->shaking && t->shaking->why.code)
        *e = t->shaking->why;
    else if (t->error)
        err_set(e, t->error, "tls: %s", strerror(t->error));
    else if (t->cut && t->shaking)
        err_set(e, ECONNRESET, "tls: the other side ended the connection in the handshake");
    else if (t->cut)
        err_set(e, ECONNRESET, "tls: cut off: its end was not announced");
    else
        err_set(e, EPROTO, "tls: %s", reason);
}

/* A fatal error. The peer gets the alert, if it takes one. */
static void tls_break(struct tls *t, struct err *e)
{
    tell(t, e);
    t->error = e->code;
    t->broken = true;
    tls_flush(t);
}

static ssize_t tls_broke(struct tls *t)
{
    struct err why;
    if (!t->broken) {
        tls_break(t, &why);
        layer_fail(&t->layer, &why);
    }
    errno = t->error;
    return STREAM_ERROR;
}

/* --- the handshake --- */

static void on_turn(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)events;
    struct tls *t = w->data;
    t->shaking->admitted = true;
    layer_event(&t->layer, true, false);
}

/* When this one is let in; each takes a place in line behind those before. */
static double take_turn(struct loop *l, double now)
{
    double rested = now - (double)SHAKES_AT_ONCE / SHAKES;
    double at = l->next_shake > rested ? l->next_shake : rested;
    if (at - now > WAIT_MAX)
        return -1;
    l->next_shake = at + 1.0 / SHAKES;
    return at > now ? at - now : 0;
}

static bool wait_for_turn(struct tls *t)
{
    struct tls_shaking *k = t->shaking;
    struct loop *l = t->layer.stream->loop;
    double wait = take_turn(l, loop_steady());
    if (wait < 0) {
        err_set(&k->why, EBUSY, "tls: too many handshakes at once");
        return false;
    }
    k->admitted = wait == 0;
    k->waits = !k->admitted;
    if (k->admitted)
        return true;
    stat_add(l->counters, STAT_tls_delayed, 1);
    ev_timer_set(&k->turn, wait, 0);
    ev_timer_start(l->ev, &k->turn);
    return true;
}

/* A ticket is good only for the name for which it was given: so none is of use at another tenant's. */
static bool bind_tickets(SSL *ssl)
{
    const unsigned char *name = (const unsigned char *)"";
    size_t len = 0;
    uint8_t id[crypto_hash_sha256_BYTES];
    if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &name, &len))
        len = 0;
    crypto_hash_sha256(id, name, len);
    return SSL_set_session_id_context(ssl, id, sizeof id);
}

/* A ClientHello has come; what follows costs a signature. */
int tls_on_hello(SSL *ssl, int *alert, void *arg)
{
    (void)arg;
    struct tls *t = tls_of_ssl(ssl);
    struct tls_shaking *k = t->shaking;
    if (!k) {
        *alert = SSL_AD_NO_RENEGOTIATION;
        return SSL_CLIENT_HELLO_ERROR;
    }
    if (!bind_tickets(ssl) || (!k->admitted && !k->waits && !wait_for_turn(t))) {
        *alert = SSL_AD_INTERNAL_ERROR;
        return SSL_CLIENT_HELLO_ERROR;
    }
    return k->admitted ? SSL_CLIENT_HELLO_SUCCESS : SSL_CLIENT_HELLO_RETRY;
}

static void shaking_free(struct tls *t)
{
    if (!t->shaking)
        return;
    if (t->layer.stream)
        ev_timer_stop(t->layer.stream->loop->ev, &t->shaking->turn);
    tls_loaded_unref(t->shaking->loaded);
    free(t->shaking);
    t->shaking = NULL;
}

static enum step shake_failed(struct tls *t, struct err *e)
{
    stat_add(t->layer.stream->loop->counters, STAT_tls_failed, 1);
    tls_break(t, e);
    return STEP_FAIL;
}

/* Nobody checks who this server is. */
static bool is_insecure(const struct tls_settings *s)
{
    return !s->server && !s->verifies && !s->chain_pin_count && !s->cert_pin_count;
}

static enum step shake_done(struct tls *t)
{
    stat_add(t->layer.stream->loop->counters, STAT_tls_handshakes, 1);
    stat_add(t->layer.stream->loop->counters, STAT_tls_insecure, is_insecure(&t->shared->set));
    log_debug(0, "tls: %s %s", SSL_get_version(t->ssl), SSL_get_cipher_name(t->ssl));
    if (t->shared->set.server && t->shared->set.verifies)
        tls_tell_peer(t);
    shaking_free(t);
    return STEP_DONE;
}

static enum step tls_shake(struct layer *l, struct err *e)
{
    struct tls *t = tls_of(l);
    ERR_clear_error();
    t->quiet = false;
    int result = SSL_do_handshake(t->ssl), said = SSL_get_error(t->ssl, result);
    bool waits = said == SSL_ERROR_WANT_READ || said == SSL_ERROR_WANT_CLIENT_HELLO_CB;
    if (result != 1 && !waits)
        return shake_failed(t, e);
    enum step written = tls_flush(t);
    if (written == STEP_FAIL) {
        t->error = errno;
        return shake_failed(t, e);
    }
    if (result == 1 && written == STEP_DONE)
        return shake_done(t);
    l->wants_read = said == SSL_ERROR_WANT_READ;
    l->wants_write = written == STEP_MORE;
    return STEP_MORE;
}

/* --- reading --- */

/* Fills one part after the other, until there is no more, or no room. Answers what SSL_get_error() says then. */
static int fill(struct tls *t, const struct iovec *iov, int count, size_t *all)
{
    size_t at = 0, got;
    for (int i = 0; i < count;) {
        if (!SSL_read_ex(t->ssl, (char *)iov[i].iov_base + at, iov[i].iov_len - at, &got))
            return SSL_get_error(t->ssl, 0);
        *all += got;
        at += got;
        if (at == iov[i].iov_len)
            i++, at = 0;
    }
    return SSL_ERROR_NONE;
}

/* What follows bytes, be it the end or an error, is said the next time. */
static ssize_t tls_readv(struct layer *l, struct iovec *iov, int count)
{
    struct tls *t = tls_of(l);
    size_t all = 0;
    if (t->broken)
        return tls_broke(t);
    ERR_clear_error();
    t->quiet = false;
    int said = fill(t, iov, count, &all);
    t->more = said != SSL_ERROR_WANT_READ;
    if (t->more && said != SSL_ERROR_NONE && said != SSL_ERROR_ZERO_RETURN)
        tls_broke(t);
    if (t->out.head && !t->broken)
        tls_flush(t); /* answers of OpenSSL's own; if they do not go, the next write sees why */
    if (all)
        return (ssize_t)all;
    if (t->broken)
        return tls_broke(t);
    return t->more ? 0 : STREAM_AGAIN;
}

static bool tls_waiting(const struct layer *l)
{
    const struct tls *t = container_of(l, const struct tls, layer);
    bool ended = t->broken || SSL_get_shutdown(t->ssl) & SSL_RECEIVED_SHUTDOWN;
    return t->more && (ended || SSL_has_pending(t->ssl));
}

/* --- writing --- */

struct part { /* of what the caller gave */
    const uint8_t *bytes;
    size_t len;
};

static size_t iov_bytes(const struct iovec *iov, int count)
{
    size_t bytes = 0;
    for (int i = 0; i < count; i++)
        bytes += iov[i].iov_len;
    return bytes;
}

/* The next record: where it lies, if it lies in one piece, else gathered in `to`. */
static struct part gather(const struct iovec *iov, int count, size_t from, uint8_t to[RECORD])
{
    struct part p = {to, 0};
    int i = 0;
    while (from >= iov[i].iov_len)
        from -= iov[i++].iov_len;
    if (iov[i].iov_len - from >= RECORD || i + 1 == count) {
        size_t left = iov[i].iov_len - from;
        return (struct part){(uint8_t *)iov[i].iov_base + from, left < RECORD ? left : RECORD};
    }
    for (; i < count && p.len < RECORD; i++, from = 0) {
        size_t left = iov[i].iov_len - from, len = left < RECORD - p.len ? left : RECORD - p.len;
        memcpy(to + p.len, (uint8_t *)iov[i].iov_base + from, len);
        p.len += len;
    }
    return p;
}

static int encrypt(struct tls *t, const struct iovec *iov, int count, size_t from, size_t to)
{
    uint8_t joined[RECORD];
    while (from < to && t->owed < BATCH) {
        size_t put;
        struct part p = gather(iov, count, from, joined);
        if (!SSL_write_ex(t->ssl, p.bytes, p.len, &put))
            return -1;
        from += put;
        t->owed += put;
    }
    return 0;
}

/* Who refuses us sends an alert and closes; a write may learn of the second before anybody has read the first. */
static ssize_t tls_below_broke(struct tls *t)
{
    int error = errno;
    uint8_t dropped[1024];
    size_t got;
    struct err why;
    t->quiet = false;
    for (int i = 0; i < LAST_READS && SSL_read_ex(t->ssl, dropped, sizeof dropped, &got); i++)
        ;
    t->broken = true;
    t->error = error;
    if (ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_SSL && !t->cut) {
        err_set(&why, error, "tls: %s", tls_reason(t->shared->set.server));
        layer_fail(&t->layer, &why);
    }
    errno = error;
    return STREAM_ERROR;
}

/* What was encrypted the last time and did not go is the beginning of what is offered now. */
static ssize_t tls_writev(struct layer *l, struct iovec *iov, int count)
{
    struct tls *t = tls_of(l);
    size_t all = iov_bytes(iov, count), done = 0;
    if (t->broken)
        return tls_broke(t);
    ERR_clear_error();
    for (;;) {
        enum step s = tls_flush(t);
        if (s == STEP_FAIL)
            return tls_below_broke(t);
        if (s == STEP_MORE)
            return done ? (ssize_t)done : STREAM_AGAIN;
        done += t->owed;
        t->owed = 0;
        if (done >= all)
            return (ssize_t)all;
        if (encrypt(t, iov, count, done, all) < 0)
            return tls_broke(t);
    }
}

/* --- the end --- */

static enum step tls_finish(struct layer *l)
{
    struct tls *t = tls_of(l);
    if (t->broken)
        return STEP_DONE;
    ERR_clear_error();
    if (!t->finished)
        SSL_shutdown(t->ssl); /* says it to the peer, and does not wait for what it answers */
    t->finished = true;
    return tls_flush(t) == STEP_MORE ? STEP_MORE : STEP_DONE;
}

static void tls_free(struct layer *l, bool well)
{
    (void)well;
    struct tls *t = tls_of(l);
    shaking_free(t);
    SSL_free(t->ssl);
    if (t->layer.stream)
        bufq_free(&t->out, tls_pool(t));
    free(t);
}

static const struct layer_ops tls_ops = {
    .shake = tls_shake,
    .readv = tls_readv,
    .writev = tls_writev,
    .finish = tls_finish,
    .waiting = tls_waiting,
    .free = tls_free,
};

/* --- the beginning --- */

static int ssl_new(struct tls *t)
{
    BIO *bio = BIO_new(t->shared->method);
    t->ssl = SSL_new(t->shaking->loaded->context);
    if (!bio || !t->ssl) {
        BIO_free(bio);
        return -1;
    }
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    SSL_set_bio(t->ssl, bio, bio);
    SSL_set_app_data(t->ssl, t);
    return 0;
}

static struct tls *tls_new(const struct tls_conf *c, struct err *e)
{
    struct tls *t = calloc(1, sizeof *t);
    struct tls_shaking *k = calloc(1, sizeof *k);
    if (!t || !k) {
        free(t);
        free(k);
        err_set(e, ENOMEM, "out of memory");
        return NULL;
    }
    t->layer.ops = &tls_ops;
    t->shared = c->shared;
    t->shaking = k;
    k->loaded = tls_shared_now(c->shared);
    ev_timer_init(&k->turn, on_turn, 0, 0);
    k->turn.data = t;
    if (ssl_new(t) == 0)
        return t;
    err_set(e, ENOMEM, "tls: out of memory");
    tls_free(&t->layer, false);
    return NULL;
}

struct layer *tls_accept(const struct tls_conf *c, struct err *e)
{
    struct tls *t = tls_new(c, e);
    if (!t)
        return NULL;
    SSL_set_accept_state(t->ssl);
    return &t->layer;
}

/* Names are sent; addresses are only compared, RFC 6066. */
static int expect(struct tls *t, const struct addr *a, struct err *e)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(t->ssl);
    char name[ADDR_NAME_MAX + 1];
    if (addr_is_ip(a))
        return X509_VERIFY_PARAM_set1_ip(param, a->ip, addr_ip_len(a)) ? 0 : -1;
    if (a->type != ADDR_NAME)
        return t->shared->set.verifies
                   ? err_set(e, EINVAL, "tls: serverName is missing, and there is no other name")
                   : 0;
    snprintf(name, sizeof name, "%s", a->name);
    addr_normalise_name(name);
    return X509_VERIFY_PARAM_set1_host(param, name, 0) && SSL_set_tlsext_host_name(t->ssl, name)
               ? 0
               : err_set(e, EINVAL, "tls: no name for a server");
}

static int peer_of(const struct tls_settings *s, const struct addr *to, struct addr *peer,
                   struct err *e)
{
    *peer = *to;
    return *s->name ? addr_parse_host(peer, s->name, strlen(s->name), e) : 0;
}

static void warn_insecure(struct tls_shared *s, const struct addr *to)
{
    char text[ADDR_TEXT_MAX];
    pthread_mutex_lock(&s->lock);
    bool told = s->told_insecure;
    s->told_insecure = true;
    pthread_mutex_unlock(&s->lock);
    if (!told)
        log_warn(
            "tls: nobody checks who %s is, for allowInsecure says so: whoever is on the way can "
            "read and change everything",
            addr_text(to, text));
}

struct layer *tls_dial(const struct tls_conf *c, const struct addr *to, struct err *e)
{
    struct tls *t = tls_new(c, e);
    if (!t)
        return NULL;
    SSL_set_connect_state(t->ssl);
    if (is_insecure(&c->shared->set))
        warn_insecure(c->shared, to);
    if (peer_of(&c->shared->set, to, &t->shaking->to, e) == 0 && expect(t, &t->shaking->to, e) == 0)
        return &t->layer;
    tls_free(&t->layer, false);
    return NULL;
}
