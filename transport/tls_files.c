#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/file_stamp.h"
#include "transport/tls_inside.h"

enum { FILE_BYTES = 1024 * 1024, CERTS = 1024 };

static const double DAY = 24 * 60 * 60;

/* --- bytes --- */

struct text {
    char *bytes; /* with a NUL behind them; owned */
    size_t len;
};

static void text_free(struct text *t)
{
    if (t->bytes)
        OPENSSL_cleanse(t->bytes, t->len);
    free(t->bytes);
}

static int text_fill(struct text *t, int fd, struct err *e)
{
    ssize_t n = 0;
    t->bytes = malloc(FILE_BYTES + 1);
    if (!t->bytes)
        return err_set(e, ENOMEM, "out of memory");
    while (t->len < FILE_BYTES && (n = read(fd, t->bytes + t->len, FILE_BYTES - t->len)) > 0)
        t->len += (size_t)n;
    if (n < 0)
        return err_sys(e, "cannot be read");
    t->bytes[t->len] = '\0';
    return t->len < FILE_BYTES ? 0 : err_set(e, EFBIG, "is too large: at most 1 MiB");
}

/* O_NONBLOCK: a FIFO must not hold us up. */
static int text_read(struct text *t, const char *path, struct stat *st, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), result = -1;
    if (fd < 0)
        return err_sys(e, "cannot be read");
    if (fstat(fd, st) < 0)
        err_sys(e, "cannot be read");
    else if (!S_ISREG(st->st_mode))
        err_set(e, EINVAL, "is no regular file");
    else
        result = text_fill(t, fd, e);
    close(fd);
    return result;
}

/* --- PEM --- */

/* OpenSSL would ask at the terminal. */
static int no_passphrase(char *to, int room, int writing, void *asked)
{
    (void)to, (void)room, (void)writing;
    *(bool *)asked = true;
    return -1;
}

static BIO *text_bio(const struct text *t)
{
    return BIO_new_mem_buf(t->bytes, (int)t->len);
}

/* All certificates of the text, in its order. */
static STACK_OF(X509) * certs_read(const struct text *t, struct err *e)
{
    STACK_OF(X509) *certs = sk_X509_new_null();
    BIO *bio = text_bio(t);
    X509 *x = NULL;
    while (certs && bio && sk_X509_num(certs) < CERTS &&
           (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
        if (!sk_X509_push(certs, x))
            X509_free(x);
    unsigned long last = ERR_peek_last_error();
    bool whole = ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    BIO_free(bio);
    if (certs && whole && sk_X509_num(certs) > 0)
        return certs;
    err_set(e, EINVAL,
            certs && whole ? "holds no certificate (-----BEGIN CERTIFICATE-----)"
                           : "holds a certificate that is broken");
    sk_X509_pop_free(certs, X509_free);
    return NULL;
}

/* Some tools write another kind of key in front of it than it is; Go, and so V2Ray, looks at what it is. */
static EVP_PKEY *key_by_content(const struct text *t)
{
    BIO *bio = text_bio(t);
    EVP_PKEY *key = NULL;
    char *name, *header;
    unsigned char *data;
    long len;
    while (bio && !key && PEM_read_bio(bio, &name, &header, &data, &len)) {
        const unsigned char *at = data;
        if (strstr(name, "PRIVATE KEY"))
            key = d2i_AutoPrivateKey(NULL, &at, len);
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_clear_free(data, (size_t)len);
    }
    BIO_free(bio);
    return key;
}

static EVP_PKEY *key_read(const struct text *t, struct err *e)
{
    bool asked = false;
    BIO *bio = text_bio(t);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &asked) : NULL;
    if (!key && !asked)
        key = key_by_content(t);
    bool none = !strstr(t->bytes, "PRIVATE KEY-----");
    ERR_clear_error();
    BIO_free(bio);
    if (asked)
        err_set(e, EINVAL,
                "is encrypted, and nobody is there to say the passphrase: write it without one "
                "(openssl pkey -in KEY -out NEW)");
    else if (none)
        err_set(e, EINVAL, "holds no private key (-----BEGIN PRIVATE KEY-----)");
    else if (!key)
        err_set(e, EINVAL, "holds a private key that is broken");
    return key;
}

/* --- one certificate, or authorities --- */

struct tls_material *tls_material_ref(struct tls_material *m)
{
    atomic_fetch_add_explicit(&m->shares, 1, memory_order_relaxed);
    return m;
}

void tls_material_unref(struct tls_material *m)
{
    if (!m || atomic_fetch_sub_explicit(&m->shares, 1, memory_order_acq_rel) > 1)
        return;
    X509_free(m->leaf);
    sk_X509_pop_free(m->chain, X509_free);
    EVP_PKEY_free(m->key);
    free(m->cert_file);
    free(m->key_file);
    free(m);
}

/* The text of a file, or what stands in the configuration. */
static int text_get(struct text *t, const char *path, const char *inside, struct stat *st,
                    struct err *e)
{
    if (path)
        return text_read(t, path, st, e) < 0 ? err_wrap(e, "%s", path) : 0;
    t->bytes = strdup(inside);
    if (!t->bytes)
        return err_set(e, ENOMEM, "out of memory");
    t->len = strlen(t->bytes);
    return 0;
}

static int certs_load(struct tls_material *m, const struct tls_source *s, struct err *e)
{
    struct text t = {0};
    struct stat st = {0};
    if (text_get(&t, s->cert_file, s->cert, &st, e) == 0) {
        m->chain = certs_read(&t, e);
        if (!m->chain)
            err_wrap(e, "%s", s->cert_file ? s->cert_file : "certificate");
    }
    text_free(&t);
    m->stamp = s->cert_file ? stamp_of(&st) : 0;
    if (m->chain && m->usage == TLS_OURS)
        m->leaf = sk_X509_shift(m->chain);
    return m->chain ? 0 : -1;
}

static int key_load(struct tls_material *m, const struct tls_source *s, struct err *e)
{
    struct text t = {0};
    struct stat st = {0};
    if (text_get(&t, s->key_file, s->key, &st, e) == 0) {
        m->key = key_read(&t, e);
        if (!m->key)
            err_wrap(e, "%s", s->key_file ? s->key_file : "key");
    }
    text_free(&t);
    if (s->key_file)
        m->stamp = stamp_mix(m->stamp, stamp_of(&st));
    m->exposed = s->key_file && st.st_mode & S_IROTH;
    return m->key ? 0 : -1;
}

/* What stands in the configuration is not kept as text: when files are read again it comes from before. */
static int certs_share(struct tls_material *m, const struct tls_material *before, struct err *e)
{
    m->chain = X509_chain_up_ref(before->chain);
    if (!m->chain)
        return err_set(e, ENOMEM, "out of memory");
    m->leaf = before->leaf;
    if (m->leaf)
        X509_up_ref(m->leaf);
    return 0;
}

static int key_share(struct tls_material *m, const struct tls_material *before)
{
    m->key = before->key;
    EVP_PKEY_up_ref(m->key);
    return 0;
}

static int material_fill(struct tls_material *m, const struct tls_source *s,
                         const struct tls_material *before, struct err *e)
{
    m->cert_file = s->cert_file ? strdup(s->cert_file) : NULL;
    m->key_file = s->key_file ? strdup(s->key_file) : NULL;
    if (!m->cert_file != !s->cert_file || !m->key_file != !s->key_file)
        return err_set(e, ENOMEM, "out of memory");
    bool again = before && !s->cert_file;
    if ((again ? certs_share(m, before, e) : certs_load(m, s, e)) < 0)
        return -1;
    if (s->usage != TLS_OURS)
        return 0;
    again = before && !s->key_file;
    if ((again ? key_share(m, before) : key_load(m, s, e)) < 0)
        return -1;
    bool fits = X509_check_private_key(m->leaf, m->key) == 1;
    ERR_clear_error();
    return fits ? 0 : err_set(e, EINVAL, "this key is not the certificate's");
}

static struct tls_material *material_new(const struct tls_source *s,
                                         const struct tls_material *before, struct err *e)
{
    struct tls_material *m = calloc(1, sizeof *m);
    if (!m) {
        err_set(e, ENOMEM, "out of memory");
        return NULL;
    }
    m->shares = 1;
    m->usage = s->usage;
    m->once = s->once;
    if (material_fill(m, s, before, e) == 0)
        return m;
    tls_material_unref(m);
    return NULL;
}

struct tls_material *tls_material_load(const struct tls_source *s, struct err *e)
{
    return material_new(s, NULL, e);
}

struct tls_material *tls_material_again(const struct tls_material *m, struct err *e)
{
    struct tls_source s = {.usage = m->usage, .once = m->once};
    s.cert_file = m->cert_file;
    s.key_file = m->key_file;
    return material_new(&s, m, e);
}

/* --- what it says --- */

static double days_left(const X509 *x)
{
    int days = 0, seconds = 0;
    if (!ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(x)))
        return -1;
    return days + seconds / DAY;
}

/* Of ours all must hold; of authorities some may be of the past. */
double tls_material_days(const struct tls_material *m)
{
    double days = m->leaf ? days_left(m->leaf) : -DAY;
    for (int i = 0; i < sk_X509_num(m->chain); i++) {
        double left = days_left(sk_X509_value(m->chain, i));
        if (m->leaf ? left < days : left > days)
            days = left;
    }
    return days;
}

bool tls_material_exposed(const struct tls_material *m)
{
    return m->exposed;
}

const char *tls_material_name(const struct tls_material *m)
{
    return m->cert_file ? m->cert_file : "the certificate in the configuration";
}

/* In brackets, as hosts are written. */
static bool covers_ipv6(const struct tls_material *m, const char *host)
{
    char bare[64];
    size_t len = strlen(host);
    if (len < 2 || len >= sizeof bare)
        return false;
    snprintf(bare, sizeof bare, "%.*s", (int)len - 2, host + 1);
    return X509_check_ip_asc(m->leaf, bare, 0) == 1;
}

bool tls_material_covers(const struct tls_material *m, const char *host)
{
    if (!m->leaf)
        return false;
    if (*host == '[')
        return covers_ipv6(m, host);
    return X509_check_host(m->leaf, host, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1 ||
           X509_check_ip_asc(m->leaf, host, 0) == 1;
}

/* --- changed files --- */

uint64_t tls_material_stamp(const struct tls_material *m)
{
    if (m->once)
        return m->stamp;
    uint64_t stamp = m->cert_file ? stamp_at(m->cert_file) : 0;
    return m->key_file ? stamp_mix(stamp, stamp_at(m->key_file)) : stamp;
}

int tls_chain_pin_of_file(const char *path, uint8_t pin[TLS_PIN], struct err *e)
{
    struct tls_source s = {.usage = TLS_AUTHORITY, .cert_file = path};
    struct tls_material *m = tls_material_load(&s, e);
    if (!m)
        return -1;
    tls_pin_chain(m->chain, pin);
    tls_material_unref(m);
    return 0;
}
