#include <openssl/pem.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "testing/clock.h"
#include "testing/tls_rig.h"

struct world {
    char dir[32], cert[64], key[64], log[64];
    struct cert ca, first, second;
};

static int world_open(void **state)
{
    static struct world w;
    struct err e;
    snprintf(w.dir, sizeof w.dir, "/tmp/v2c-tls-XXXXXX");
    assert_non_null(mkdtemp(w.dir));
    snprintf(w.cert, sizeof w.cert, "%s/cert.pem", w.dir);
    snprintf(w.key, sizeof w.key, "%s/key.pem", w.dir);
    snprintf(w.log, sizeof w.log, "%s/log", w.dir);
    assert_int_equal(log_open(&(struct log_conf){LOG_WARNING, w.log, "none"}, &e), 0);
    cert_make(&w.ca, &(struct cert_for){.authority = true});
    cert_make(&w.first, &(struct cert_for){.names = "DNS:first.example", .issuer = &w.ca});
    cert_make(&w.second, &(struct cert_for){.names = "DNS:second.example", .issuer = &w.ca});
    *state = &w;
    return 0;
}

static int world_close(void **state)
{
    struct world *w = *state;
    log_close();
    unlink(w->cert);
    unlink(w->key);
    unlink(w->log);
    rmdir(w->dir);
    cert_free(&w->ca);
    cert_free(&w->first);
    cert_free(&w->second);
    return 0;
}

static int log_empty(void **state)
{
    return truncate(((struct world *)*state)->log, 0);
}

static unsigned logged(const struct world *w, const char *what)
{
    char line[1024];
    unsigned count = 0;
    FILE *f = fopen(w->log, "re");
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        count += strstr(line, what) != NULL;
    fclose(f);
    return count;
}

static void put(struct world *w, const struct cert *cert, const struct cert *key)
{
    cert_write(w->cert, cert->pem);
    cert_write(w->key, key->key);
}

static struct tls_source in_files(const struct world *w)
{
    return (struct tls_source){.usage = TLS_OURS, .cert_file = w->cert, .key_file = w->key};
}

/* Whether a client that wants this name is content with the server, some time later. */
static bool serves(const struct world *w, const struct tls_conf *server, const char *name)
{
    struct talk t;
    struct tls_settings s = {.verifies = true};
    struct tls_source trusted = authority(&w->ca);
    struct tls_conf *client = conf_new(&s, &trusted, 1);
    clock_forward(5);
    talk_open(&t);
    talk_tls(&t, client, server, name);
    talk_run(&t);
    bool shook = side_shook(&t.client) && side_shook(&t.server);
    talk_close(&t);
    tls_conf_free(client);
    return shook;
}

static struct tls_conf *server_new(const struct tls_source *s)
{
    return conf_new(&(struct tls_settings){.server = true}, s, 1);
}

static void changed_files_are_taken(void **state)
{
    struct world *w = *state;
    struct tls_source s = in_files(w);
    put(w, &w->first, &w->first);
    struct tls_conf *c = server_new(&s);
    assert_true(serves(w, c, "first.example"));
    put(w, &w->second, &w->second);
    assert_true(serves(w, c, "second.example"));
    assert_false(serves(w, c, "first.example"));
    assert_int_equal(logged(w, "changed files were read"), 1);
    tls_conf_free(c);
}

static void nobody_looks_when_told_not_to(void **state)
{
    struct world *w = *state;
    struct tls_source s = in_files(w);
    s.once = true;
    put(w, &w->first, &w->first);
    struct tls_conf *c = server_new(&s);
    put(w, &w->second, &w->second);
    assert_true(serves(w, c, "first.example"));
    tls_conf_free(c);
}

static void bad_files_leave_the_old_ones_and_are_said_once(void **state)
{
    struct world *w = *state;
    struct tls_source s = in_files(w);
    put(w, &w->first, &w->first);
    struct tls_conf *c = server_new(&s);
    put(w, &w->second, &w->first);
    for (int i = 0; i < 5; i++)
        assert_true(serves(w, c, "first.example"));
    assert_int_equal(logged(w, "are no good"), 1);
    unlink(w->key);
    for (int i = 0; i < 5; i++)
        assert_true(serves(w, c, "first.example"));
    assert_int_equal(logged(w, "are no good"), 2);
    put(w, &w->second, &w->second);
    assert_true(serves(w, c, "second.example"));
    tls_conf_free(c);
}

/* Certificate and key are two files: in between they do not fit, which is no mistake. */
static void a_moment_between_two_files_is_not_said(void **state)
{
    struct world *w = *state;
    struct tls_source s = in_files(w);
    put(w, &w->first, &w->first);
    struct tls_conf *c = server_new(&s);
    cert_write(w->cert, w->second.pem);
    assert_true(serves(w, c, "first.example"));
    cert_write(w->key, w->second.key);
    assert_true(serves(w, c, "second.example"));
    assert_int_equal(logged(w, "are no good"), 0);
    tls_conf_free(c);
}

static void what_stands_in_the_configuration_stays(void **state)
{
    struct world *w = *state;
    struct tls_source s = {.usage = TLS_OURS, .cert_file = w->cert, .key = w->first.key};
    put(w, &w->first, &w->first);
    struct tls_conf *c = server_new(&s);
    cert_write(w->cert, w->first.pem); /* another file, the same certificate */
    assert_true(serves(w, c, "first.example"));
    assert_int_equal(logged(w, "changed files were read"), 1);
    tls_conf_free(c);
}

static void an_end_that_is_near_is_said_daily(void **state)
{
    struct world *w = *state;
    struct cert soon;
    cert_make(&soon, &(struct cert_for){"DNS:first.example", &w->ca, false, -1, 5});
    struct tls_source s = ours(&soon);
    struct tls_conf *c = server_new(&s);
    serves(w, c, "first.example");
    serves(w, c, "first.example");
    assert_int_equal(logged(w, "expires in 5 days"), 1);
    clock_forward(24 * 60 * 60);
    serves(w, c, "first.example");
    assert_int_equal(logged(w, "expires in"), 2);
    tls_conf_free(c);
    cert_free(&soon);
}

/* --- what is refused at once --- */

static void assert_no_material(const struct tls_source *s, const char *why)
{
    struct err e;
    struct tls_material *m = tls_material_load(s, &e);
    assert_null(m);
    if (!strstr(e.text, why))
        fail_msg("want: %s, got: %s", why, e.text);
}

static char *encrypted_key(const struct cert *c)
{
    char *from, *text;
    BIO *bio = BIO_new(BIO_s_mem());
    assert_true(PEM_write_bio_PKCS8PrivateKey(bio, c->key_of_x, EVP_aes_128_cbc(), "secret", 6,
                                              NULL, NULL));
    long len = BIO_get_mem_data(bio, &from);
    text = strndup(from, (size_t)len);
    BIO_free(bio);
    return text;
}

static void what_is_no_certificate_or_key_says_so(void **state)
{
    struct world *w = *state;
    struct tls_source s = ours(&w->first);
    s.cert = "hello";
    assert_no_material(&s, "certificate: holds no certificate");
    s.cert = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_no_material(&s, "certificate: holds a certificate that is broken");
    s = ours(&w->first);
    s.key = w->first.pem;
    assert_no_material(&s, "key: holds no private key");
    s.key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert_no_material(&s, "key: holds a private key that is broken");
    s.key = w->second.key;
    assert_no_material(&s, "this key is not the certificate's");
    s.cert_file = "/nowhere/cert.pem";
    assert_no_material(&s, "/nowhere/cert.pem: cannot be read: No such file or directory");
    s.cert_file = w->dir;
    assert_no_material(&s, "is no regular file");
}

/* As old tools write them, and Go takes them. */
static void a_key_is_what_it_is_whatever_it_is_called(void **state)
{
    struct world *w = *state;
    struct tls_source s = ours(&w->first);
    struct err e;
    char key[4096];
    const char *body = strchr(s.key, '\n'), *end = strstr(s.key, "-----END");
    snprintf(key, sizeof key, "-----BEGIN RSA PRIVATE KEY-----%.*s-----END RSA PRIVATE KEY-----\n",
             (int)(end - body), body);
    s.key = key;
    struct tls_material *m = tls_material_load(&s, &e);
    assert_non_null(m);
    tls_material_unref(m);
}

static void nobody_is_asked_for_a_passphrase(void **state)
{
    struct world *w = *state;
    struct tls_source s = ours(&w->first);
    char *key = encrypted_key(&w->first);
    s.key = key;
    assert_no_material(&s, "key: is encrypted, and nobody is there to say the passphrase");
    free(key);
}

static void a_large_file_is_refused(void **state)
{
    struct world *w = *state;
    struct tls_source s = in_files(w);
    put(w, &w->first, &w->first);
    assert_int_equal(truncate(w->cert, 2 * 1024 * 1024), 0);
    assert_no_material(&s, "is too large");
}

static void who_may_read_the_key_is_seen(void **state)
{
    struct world *w = *state;
    struct tls_source s = in_files(w);
    struct err e;
    put(w, &w->first, &w->first);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(chmod(w->key, i ? 0644 : 0640), 0);
        struct tls_material *m = tls_material_load(&s, &e);
        assert_non_null(m);
        assert_int_equal(tls_material_exposed(m), i);
        assert_in_range(tls_material_days(m), 89, 90);
        tls_material_unref(m);
    }
}

static void the_pin_of_a_file_is_its_chains(void **state)
{
    struct world *w = *state;
    struct err e;
    uint8_t pin[TLS_PIN], hash[TLS_PIN];
    unsigned len = TLS_PIN;
    put(w, &w->first, &w->first);
    assert_int_equal(tls_chain_pin_of_file(w->cert, pin, &e), 0);
    assert_true(X509_digest(w->first.x, EVP_sha256(), hash, &len));
    assert_memory_equal(pin, hash, TLS_PIN);
    assert_int_equal(tls_chain_pin_of_file("/nowhere", pin, &e), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(changed_files_are_taken, log_empty),
        cmocka_unit_test_setup(nobody_looks_when_told_not_to, log_empty),
        cmocka_unit_test_setup(bad_files_leave_the_old_ones_and_are_said_once, log_empty),
        cmocka_unit_test_setup(a_moment_between_two_files_is_not_said, log_empty),
        cmocka_unit_test_setup(what_stands_in_the_configuration_stays, log_empty),
        cmocka_unit_test_setup(an_end_that_is_near_is_said_daily, log_empty),
        cmocka_unit_test(what_is_no_certificate_or_key_says_so),
        cmocka_unit_test(a_key_is_what_it_is_whatever_it_is_called),
        cmocka_unit_test(nobody_is_asked_for_a_passphrase),
        cmocka_unit_test(a_large_file_is_refused),
        cmocka_unit_test(who_may_read_the_key_is_seen),
        cmocka_unit_test(the_pin_of_a_file_is_its_chains),
    };
    return cmocka_run_group_tests(tests, world_open, world_close);
}
