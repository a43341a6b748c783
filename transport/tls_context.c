#include <dirent.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "transport/tls_inside.h"

enum { READ_AHEAD = 96 * 1024 }; /* bytes that one read from below may bring */

/* AES of 128 bits first, as Go does: it is as safe as anything needs, and the fastest where the processor has AES. */
static const char SUITES[] = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                             "TLS_CHACHA20_POLY1305_SHA256";
static const char CIPHERS[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                              "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
                              "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

/* --- which certificate --- */

/* All that have the client's name, one of each kind of key, in the order of the configuration; the first, if none. */
static int on_choose(SSL *ssl, void *arg)
{
    (void)arg;
    const struct tls_loaded *l = tls_of_ssl(ssl)->shaking->loaded;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    const struct tls_material *first = NULL;
    bool found = false;
    for (size_t i = 0; i < l->count; i++) {
        const struct tls_material *m = l->material[i];
        if (m->usage != TLS_OURS)
            continue;
        first = first ? first : m;
        if (name && tls_material_covers(m, name))
            found |= SSL_use_cert_and_key(ssl, m->leaf, m->key, m->chain, 0) == 1;
    }
    if (!found && first)
        found = SSL_use_cert_and_key(ssl, first->leaf, first->key, first->chain, 0) == 1;
    ERR_clear_error(); /* a second one of a kind is refused */
    return found;
}

static int on_name(SSL *ssl, int *alert, void *arg)
{
    (void)arg;
    const struct tls *t = tls_of_ssl(ssl);
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (!t->shaking)
        return SSL_TLSEXT_ERR_NOACK;
    for (size_t i = 0; name && i < t->shaking->loaded->count; i++)
        if (tls_material_covers(t->shaking->loaded->material[i], name))
            return SSL_TLSEXT_ERR_OK;
    if (!t->shared->set.known_names)
        return SSL_TLSEXT_ERR_NOACK;
    err_set(&t->shaking->why, EACCES, "tls: the client asks for a name of no certificate");
    *alert = SSL_AD_UNRECOGNIZED_NAME;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int use_ours(SSL_CTX *context, struct tls_material *const *material, size_t count,
                    struct err *e)
{
    for (size_t i = 0; i < count; i++) {
        const struct tls_material *m = material[i];
        if (m->usage == TLS_OURS &&
            SSL_CTX_use_cert_and_key(context, m->leaf, m->key, m->chain, 1) != 1)
            return err_set(e, EINVAL, "%s: %s", tls_material_name(m), tls_reason(true));
    }
    return 0;
}

/* Of several each connection chooses; here it is only seen that OpenSSL takes them all. */
static int try_ours(struct tls_material *const *material, size_t count, struct err *e)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    int result =
        context ? use_ours(context, material, count, e) : err_set(e, ENOMEM, "out of memory");
    SSL_CTX_free(context);
    return result;
}

static size_t count_ours(struct tls_material *const *material, size_t count)
{
    size_t ours = 0;
    for (size_t i = 0; i < count; i++)
        ours += material[i]->usage == TLS_OURS;
    return ours;
}

/* --- who may vouch --- */

static bool has_files(const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;
    bool found = false;
    while (dir && !found && (entry = readdir(dir)))
        found = entry->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return found;
}

/* The folder is looked into when somebody must be verified; the file would be read as a whole, for a megabyte. */
static void trust_system(SSL_CTX *context)
{
    const char *dir = getenv(X509_get_default_cert_dir_env());
    SSL_CTX_set_default_verify_dir(context);
    if (getenv(X509_get_default_cert_file_env()) ||
        !has_files(dir ? dir : X509_get_default_cert_dir()))
        SSL_CTX_set_default_verify_file(context);
    ERR_clear_error();
}

static int trust(SSL_CTX *context, const struct tls_settings *s, const struct tls_material *m,
                 struct err *e)
{
    X509_STORE *store = SSL_CTX_get_cert_store(context);
    for (int i = 0; i < sk_X509_num(m->chain); i++) {
        X509 *x = sk_X509_value(m->chain, i);
        if (!X509_STORE_add_cert(store, x) || (s->server && !SSL_CTX_add_client_CA(context, x)))
            return err_set(e, ENOMEM, "out of memory");
    }
    return 0;
}

static int use_authorities(SSL_CTX *context, const struct tls_settings *s,
                           struct tls_material *const *material, size_t count, struct err *e)
{
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(context);
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                               X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (s->system_roots)
        trust_system(context);
    for (size_t i = 0; i < count; i++)
        if (material[i]->usage == TLS_AUTHORITY && trust(context, s, material[i], e) < 0)
            return -1;
    return 0;
}

/* --- the rest --- */

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *len,
                   const unsigned char *offered, unsigned offered_len, void *arg)
{
    (void)arg;
    const struct tls *t = tls_of_ssl(ssl);
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, len, t->shared->set.alpn, (unsigned)t->shared->set.alpn_len,
                              offered, offered_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static void set_server(SSL_CTX *context, const struct tls_settings *s, size_t ours)
{
    SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_client_hello_cb(context, tls_on_hello, NULL);
    SSL_CTX_set_tlsext_servername_callback(context, on_name);
    if (ours > 1)
        SSL_CTX_set_cert_cb(context, on_choose, NULL);
    if (s->alpn_len)
        SSL_CTX_set_alpn_select_cb(context, on_alpn, NULL);
    if (s->verifies)
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
}

static int set_client(SSL_CTX *context, const struct tls_settings *s)
{
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL); /* tls_verify() says how */
    return s->alpn_len && SSL_CTX_set_alpn_protos(context, s->alpn, (unsigned)s->alpn_len) ? -1 : 0;
}

static int set_versions(SSL_CTX *context, const struct tls_settings *s)
{
    int min = s->min_version ? s->min_version : TLS1_2_VERSION;
    return SSL_CTX_set_min_proto_version(context, min) &&
                   SSL_CTX_set_max_proto_version(context, s->max_version) &&
                   SSL_CTX_set_ciphersuites(context, *s->suites ? s->suites : SUITES) &&
                   SSL_CTX_set_cipher_list(context, *s->ciphers ? s->ciphers : CIPHERS)
               ? 0
               : -1;
}

static void set_common(SSL_CTX *context, const struct tls_settings *s)
{
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    if (!s->tickets) {
        SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(context, 0);
    }
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, READ_AHEAD);
    SSL_CTX_set_cert_verify_callback(context, tls_verify, NULL);
}

static int context_fill(SSL_CTX *context, const struct tls_settings *s,
                        struct tls_material *const *material, size_t count, struct err *e)
{
    size_t ours = count_ours(material, count);
    set_common(context, s);
    if (set_versions(context, s) < 0)
        return err_set(e, EINVAL, "%s", tls_reason(s->server));
    if (s->server)
        set_server(context, s, ours);
    else if (set_client(context, s) < 0)
        return err_set(e, ENOMEM, "out of memory");
    bool chooses = s->server && ours > 1;
    if ((chooses ? try_ours(material, count, e) : use_ours(context, material, count, e)) < 0)
        return -1;
    return use_authorities(context, s, material, count, e);
}

SSL_CTX *tls_context_new(const struct tls_settings *s, struct tls_material *const *material,
                         size_t count, struct err *e)
{
    SSL_CTX *context = SSL_CTX_new(s->server ? TLS_server_method() : TLS_client_method());
    int result = context ? context_fill(context, s, material, count, e)
                         : err_set(e, ENOMEM, "out of memory");
    ERR_clear_error();
    if (result == 0)
        return context;
    SSL_CTX_free(context);
    return NULL;
}
