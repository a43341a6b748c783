#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <sodium.h>

#include "transport/tls_inside.h"

enum { PIN_TEXT = 48, NAME_TEXT = 80 };

/* --- hashes --- */

static void hash_of(const X509 *x, uint8_t hash[TLS_PIN])
{
    unsigned len = TLS_PIN;
    if (!X509_digest(x, EVP_sha256(), hash, &len))
        memset(hash, 0, TLS_PIN);
}

/* The hash of the first; then, for each that follows, of what there is and its hash. */
void tls_pin_chain(const STACK_OF(X509) * certs, uint8_t pin[TLS_PIN])
{
    uint8_t both[2 * TLS_PIN];
    memset(pin, 0, TLS_PIN);
    for (int i = 0; i < sk_X509_num(certs); i++) {
        if (i == 0) {
            hash_of(sk_X509_value(certs, i), pin);
            continue;
        }
        memcpy(both, pin, TLS_PIN);
        hash_of(sk_X509_value(certs, i), both + TLS_PIN);
        crypto_hash_sha256(pin, both, sizeof both);
    }
}

static bool is_one_of(const uint8_t hash[TLS_PIN], const uint8_t (*pins)[TLS_PIN], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (sodium_memcmp(hash, pins[i], TLS_PIN) == 0)
            return true;
    return false;
}

/* --- words --- */

/* Whom a certificate is for: its first name, else its subject. */
static const char *name_in(X509 *x, char out[NAME_TEXT])
{
    char name[NAME_TEXT] = "nobody";
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
        if (n->type != GEN_DNS)
            continue;
        snprintf(name, sizeof name, "%.*s", ASN1_STRING_length(n->d.dNSName),
                 (const char *)ASN1_STRING_get0_data(n->d.dNSName));
        break;
    }
    GENERAL_NAMES_free(names);
    return log_escape(name, strlen(name), out, NAME_TEXT);
}

static void tell_name(struct tls_shaking *k, X509 *leaf)
{
    char is[NAME_TEXT], want[ADDR_TEXT_MAX];
    err_set(&k->why, EACCES, "tls: the server's certificate is for %s, want %.100s",
            name_in(leaf, is), addr_host_text(&k->to, want));
}

static void tell_unknown(struct tls_shaking *k, bool server)
{
    if (server)
        err_set(&k->why, EACCES,
                "tls: the client's certificate is of an unknown authority: one of the certificates "
                "with "
                "usage verify must vouch for it");
    else
        err_set(
            &k->why, EACCES,
            "tls: the server's certificate is of an unknown authority: give it, or the certificate "
            "itself, as a certificate with usage verify, or pin it");
}

/* What X509_verify_cert() says, for who must do something about it. */
static void tell(struct tls *t, X509_STORE_CTX *store)
{
    bool server = t->shared->set.server;
    const char *whose = server ? "client" : "server";
    int error = X509_STORE_CTX_get_error(store);
    switch (error) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        tell_name(t->shaking, X509_STORE_CTX_get0_cert(store));
        break;
    case X509_V_ERR_CERT_HAS_EXPIRED:
        err_set(&t->shaking->why, EACCES, "tls: the %s's certificate has expired", whose);
        break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        err_set(&t->shaking->why, EACCES,
                "tls: the %s's certificate is not valid yet: is a clock wrong?", whose);
        break;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE: /* one of the same name, such as the one from before */
        X509_STORE_CTX_set_error(store, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
        tell_unknown(t->shaking, server);
        break;
    default:
        err_set(&t->shaking->why, EACCES, "tls: the %s's certificate: %s", whose,
                X509_verify_cert_error_string(error));
    }
}

/* --- who a client is --- */

/* Lower case. A name with other bytes than a name has, a NUL above all, is none. */
static void name_copy(const ASN1_STRING *s, char to[CERTIFICATE_NAME_MAX + 1])
{
    const unsigned char *text = ASN1_STRING_get0_data(s);
    int len = ASN1_STRING_length(s);
    if (len > CERTIFICATE_NAME_MAX)
        return;
    for (int i = 0; i < len; i++)
        if (text[i] < 0x20 || text[i] > 0x7e)
            return;
    for (int i = 0; i < len; i++)
        to[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + ('a' - 'A') : text[i]);
    to[len] = '\0';
}

static bool first_dns_name(X509 *x, char to[CERTIFICATE_NAME_MAX + 1])
{
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    bool found = false;
    for (int i = 0; !found && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
        found = n->type == GEN_DNS;
        if (found)
            name_copy(n->d.dNSName, to);
    }
    GENERAL_NAMES_free(names);
    return found;
}

static void common_name(const X509 *x, char to[CERTIFICATE_NAME_MAX + 1])
{
    const X509_NAME *subject = X509_get_subject_name(x);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at >= 0)
        name_copy(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), to);
}

void tls_tell_peer(struct tls *t)
{
    struct certificate c = {.shown = true};
    X509 *x = SSL_get0_peer_certificate(t->ssl);
    if (!x)
        return;
    hash_of(x, c.hash);
    if (!first_dns_name(x, c.name))
        common_name(x, c.name);
    layer_tell_certificate(&t->layer, &c);
}

/* --- decisions --- */

/* The hash is public; whoever knows the server can pin it. */
static int refuse_pin(struct tls *t, X509_STORE_CTX *store, const uint8_t hash[TLS_PIN],
                      const char *what)
{
    char text[PIN_TEXT];
    sodium_bin2base64(text, sizeof text, hash, TLS_PIN, sodium_base64_VARIANT_ORIGINAL);
    err_set(&t->shaking->why, EACCES, "tls: the server's certificate is not the pinned one: %s %s",
            what, text);
    X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_UNTRUSTED);
    return 0;
}

static int accept_as_is(X509_STORE_CTX *store)
{
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

static int check_chain(struct tls *t, X509_STORE_CTX *store)
{
    int result = X509_verify_cert(store);
    if (result == 1)
        return 1;
    if (X509_STORE_CTX_get_error(store) == X509_V_OK)
        X509_STORE_CTX_set_error(store, X509_V_ERR_UNSPECIFIED);
    tell(t, store);
    ERR_clear_error();
    return 0;
}

/* One pinned authority of those that the peer showed is then the only one there is. */
static int check_pinned(struct tls *t, X509_STORE_CTX *store, STACK_OF(X509) * shown)
{
    const struct tls_settings *s = &t->shared->set;
    uint8_t hash[TLS_PIN];
    int result = 0;
    STACK_OF(X509) *trusted = sk_X509_new_null();
    for (int i = 1; trusted && i < sk_X509_num(shown); i++) {
        hash_of(sk_X509_value(shown, i), hash);
        if (is_one_of(hash, s->cert_pins, s->cert_pin_count))
            sk_X509_push(trusted, sk_X509_value(shown, i));
    }
    if (trusted && sk_X509_num(trusted) > 0) {
        X509_STORE_CTX_set0_trusted_stack(store, trusted);
        result = check_chain(t, store);
    } else {
        hash_of(sk_X509_value(shown, 0), hash);
        refuse_pin(t, store, hash, "its SHA-256 is");
    }
    sk_X509_free(trusted);
    return result;
}

/* OpenSSL has a chain of the peer's, and has seen that it holds the first one's key or will do so. */
int tls_verify(X509_STORE_CTX *store, void *arg)
{
    (void)arg;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls *t = tls_of_ssl(ssl);
    const struct tls_settings *s = &t->shared->set;
    STACK_OF(X509) *shown = X509_STORE_CTX_get0_untrusted(store);
    uint8_t hash[TLS_PIN];
    tls_pin_chain(shown, hash);
    if (s->chain_pin_count && !is_one_of(hash, s->chain_pins, s->chain_pin_count))
        return refuse_pin(t, store, hash, "pinnedPeerCertificateChainSha256 would be");
    hash_of(X509_STORE_CTX_get0_cert(store), hash);
    if (s->cert_pin_count)
        return is_one_of(hash, s->cert_pins, s->cert_pin_count) ? accept_as_is(store)
                                                                : check_pinned(t, store, shown);
    return s->verifies ? check_chain(t, store) : accept_as_is(store);
}
