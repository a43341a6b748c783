#include "testing/certs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

enum { DAY = 24 * 60 * 60 };

static void extend(X509 *x, int what, const char *value)
{
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, what, value);
    assert_non_null(ext);
    assert_true(X509_add_ext(x, ext, -1));
    X509_EXTENSION_free(ext);
}

static char *text_of(BIO *bio)
{
    char *from, *text;
    long len = BIO_get_mem_data(bio, &from);
    text = malloc((size_t)len + 1);
    assert_non_null(text);
    memcpy(text, from, (size_t)len);
    text[len] = '\0';
    BIO_free(bio);
    return text;
}

static void put_times(X509 *x, const struct cert_for *f)
{
    int from = f->from, to = f->to;
    if (!from && !to)
        from = -1, to = 90;
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), (long)from * DAY));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), (long)to * DAY));
}

static void put_name(X509 *x, const struct cert_for *f)
{
    X509_NAME *name = X509_get_subject_name(x);
    const char *common = f->authority ? "test authority" : "test";
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)common, -1, -1, 0);
    const X509 *issuer = f->issuer ? f->issuer->x : x;
    X509_set_issuer_name(x, X509_get_subject_name(issuer));
    if (f->names)
        extend(x, NID_subject_alt_name, f->names);
    if (f->authority)
        extend(x, NID_basic_constraints, "critical,CA:TRUE");
}

void cert_make(struct cert *c, const struct cert_for *f)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    BIO *pem = BIO_new(BIO_s_mem()), *key_pem = BIO_new(BIO_s_mem());
    assert_true(key && x && pem && key_pem);
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), (uint64_t)(uintptr_t)x);
    X509_set_pubkey(x, key);
    put_times(x, f);
    put_name(x, f);
    assert_true(X509_sign(x, f->issuer ? f->issuer->key_of_x : key, EVP_sha256()));
    assert_true(PEM_write_bio_X509(pem, x));
    assert_true(PEM_write_bio_PrivateKey(key_pem, key, NULL, NULL, 0, NULL, NULL));
    *c = (struct cert){x, key, text_of(pem), text_of(key_pem)};
}

void cert_free(struct cert *c)
{
    X509_free(c->x);
    EVP_PKEY_free(c->key_of_x);
    free(c->pem);
    free(c->key);
}

void cert_write(const char *path, const char *text)
{
    char fresh[4096];
    snprintf(fresh, sizeof fresh, "%s.new", path);
    FILE *f = fopen(fresh, "we");
    assert_non_null(f);
    assert_int_equal(fchmod(fileno(f), 0600), 0);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename(fresh, path), 0);
}
