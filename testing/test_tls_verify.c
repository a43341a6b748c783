#include <openssl/evp.h>
#include <openssl/x509.h>
#include <sodium.h>
#include <stdlib.h>

#include "testing/tls_rig.h"

/* Who is let in: each test makes a client and a server, lets them shake hands, and looks what each of them says. */

struct world {
    struct cert ca, other_ca, server;
};

static int world_open(void **state)
{
    static struct world w;
    cert_make(&w.ca, &(struct cert_for){.authority = true});
    cert_make(&w.other_ca, &(struct cert_for){.authority = true});
    cert_make(&w.server,
              &(struct cert_for){.names = "DNS:a.example,IP:192.0.2.1", .issuer = &w.ca});
    *state = &w;
    return 0;
}

static int world_close(void **state)
{
    struct world *w = *state;
    cert_free(&w->ca);
    cert_free(&w->other_ca);
    cert_free(&w->server);
    return 0;
}

struct meeting {
    const char *to; /* NULL: a.example */
    struct tls_settings client, server;
    struct tls_source client_has[4], server_has[4];
    size_t client_count, server_count;
};

struct outcome {
    bool client, server; /* shook hands, and a byte passed each way */
    struct err client_why, server_why;
    struct certificate client_is; /* as the server was told */
};

static bool heard(const struct side *s)
{
    return side_shook(s) && s->got_len == 1;
}

static struct outcome meet(const struct meeting *m)
{
    struct talk t;
    struct outcome o;
    struct tls_settings server = m->server;
    server.server = true;
    struct tls_conf *client = conf_new(&m->client, m->client_has, m->client_count);
    struct tls_conf *served = conf_new(&server, m->server_has, m->server_count);
    talk_open(&t);
    talk_tls(&t, client, served, m->to ? m->to : "a.example");
    side_send(&t.client, "c", 1);
    side_send(&t.server, "s", 1);
    talk_run(&t);
    o.client = heard(&t.client);
    o.server = heard(&t.server);
    o.client_is = stream_certificate(&t.server.stream);
    side_why(&t.client, &o.client_why);
    side_why(&t.server, &o.server_why);
    talk_close(&t);
    tls_conf_free(client);
    tls_conf_free(served);
    return o;
}

static void assert_met(const struct meeting *m)
{
    struct outcome o = meet(m);
    if (!o.client || !o.server)
        fail_msg("client: %s; server: %s", o.client_why.text, o.server_why.text);
}

/* The client refuses, with this reason, and the server learns of it. */
static void assert_client_refuses(const struct meeting *m, const char *why)
{
    struct outcome o = meet(m);
    assert_false(o.client);
    assert_false(o.server);
    if (!strstr(o.client_why.text, why))
        fail_msg("want: %s, got: %s", why, o.client_why.text);
    assert_true(o.server_why.code);
}

static void assert_server_refuses(const struct meeting *m, const char *why, const char *other)
{
    struct outcome o = meet(m);
    assert_false(o.server);
    if (!strstr(o.server_why.text, why))
        fail_msg("want: %s, got: %s", why, o.server_why.text);
    if (!strstr(o.client_why.text, other))
        fail_msg("want: %s, got: %s", other, o.client_why.text);
}

/* A client that trusts one authority, and a server with a certificate. */
static struct meeting usual(const struct cert *trusted, const struct cert *server)
{
    return (struct meeting){.client.verifies = true,
                            .client_has = {authority(trusted)},
                            .client_count = 1,
                            .server_has = {ours(server)},
                            .server_count = 1};
}

/* --- names and chains --- */

static void a_good_certificate_with_the_right_name_is_taken(void **state)
{
    struct world *w = *state;
    struct meeting m = usual(&w->ca, &w->server);
    assert_met(&m);
    m.to = "A.Example.";
    assert_met(&m);
    m.to = "192.0.2.1";
    assert_met(&m);
    m.to = "b.example"; /* the conf's name counts */
    snprintf(m.client.name, sizeof m.client.name, "a.example");
    assert_met(&m);
}

static void another_name_is_refused(void **state)
{
    struct world *w = *state;
    struct meeting m = usual(&w->ca, &w->server);
    m.to = "b.example";
    assert_client_refuses(&m, "tls: the server's certificate is for a.example, want b.example");
    m.to = "192.0.2.2";
    assert_client_refuses(&m, "is for a.example, want 192.0.2.2");
    m.to = "xa.example";
    assert_client_refuses(&m, "want xa.example");
}

static void a_certificate_without_names_is_for_nobody(void **state)
{
    struct world *w = *state;
    struct cert c;
    cert_make(&c, &(struct cert_for){.issuer = &w->ca});
    struct meeting m = usual(&w->ca, &c);
    m.to = "test"; /* its subject's common name */
    assert_client_refuses(&m, "is for nobody, want test");
    cert_free(&c);
}

static void an_asterisk_stands_for_one_label(void **state)
{
    struct world *w = *state;
    struct cert c;
    cert_make(&c, &(struct cert_for){.names = "DNS:*.example.com", .issuer = &w->ca});
    struct meeting m = usual(&w->ca, &c);
    m.to = "x.example.com";
    assert_met(&m);
    m.to = "x.y.example.com";
    assert_client_refuses(&m, "is for *.example.com, want x.y.example.com");
    m.to = "example.com";
    assert_client_refuses(&m, "want example.com");
    cert_free(&c);
}

static void an_unknown_authority_is_refused(void **state)
{
    struct world *w = *state;
    struct meeting m = usual(&w->other_ca, &w->server);
    assert_client_refuses(&m, "of an unknown authority: give it");
    m.client_count = 0; /* nobody is trusted: that is no success */
    assert_client_refuses(&m, "of an unknown authority");
    m.client.system_roots = true;
    assert_client_refuses(&m, "of an unknown authority");
}

static void a_certificate_of_the_past_or_future_is_refused(void **state)
{
    struct world *w = *state;
    struct cert past, future;
    cert_make(&past, &(struct cert_for){"DNS:a.example", &w->ca, false, -20, -10});
    cert_make(&future, &(struct cert_for){"DNS:a.example", &w->ca, false, 10, 20});
    struct meeting m = usual(&w->ca, &past);
    assert_client_refuses(&m, "tls: the server's certificate has expired");
    m = usual(&w->ca, &future);
    assert_client_refuses(&m, "tls: the server's certificate is not valid yet");
    cert_free(&past);
    cert_free(&future);
}

static void its_own_certificate_is_authority_enough(void **state)
{
    struct world *w = *state;
    struct cert c;
    cert_make(&c, &(struct cert_for){.names = "DNS:a.example"});
    struct meeting m = usual(&c, &c);
    assert_met(&m);
    m = usual(&w->server, &w->server); /* also one that another one made */
    assert_met(&m);
    m.to = "b.example";
    assert_client_refuses(&m, "want b.example");
    cert_free(&c);
}

static void who_verifies_nobody_takes_anybody(void **state)
{
    struct world *w = *state;
    struct meeting m = usual(&w->other_ca, &w->server);
    m.client.verifies = false;
    m.to = "b.example";
    assert_met(&m);
}

static void a_conf_that_verifies_wants_a_name(void **state)
{
    struct world *w = *state;
    struct tls_source trusted = authority(&w->ca);
    struct tls_settings s = {.verifies = true};
    struct tls_conf *c = conf_new(&s, &trusted, 1);
    struct addr nowhere = {0};
    struct err e;
    assert_null(tls_dial(c, &nowhere, &e));
    assert_string_equal(e.text, "tls: serverName is missing, and there is no other name");
    tls_conf_free(c);
}

/* --- pins --- */

static void hash_cert(const struct cert *c, uint8_t hash[TLS_PIN])
{
    unsigned len = TLS_PIN;
    assert_true(X509_digest(c->x, EVP_sha256(), hash, &len));
}

/* The server shows its certificate and the authority's. */
static char *both_pems(const struct world *w)
{
    size_t room = strlen(w->server.pem) + strlen(w->ca.pem) + 1;
    char *pem = malloc(room);
    snprintf(pem, room, "%s%s", w->server.pem, w->ca.pem);
    return pem;
}

static void a_pinned_chain_is_a_condition_more(void **state)
{
    struct world *w = *state;
    uint8_t pins[2][TLS_PIN] = {{1}};
    struct meeting m = usual(&w->ca, &w->server);
    m.client.chain_pins = (const uint8_t(*)[TLS_PIN])pins;
    m.client.chain_pin_count = 2;
    assert_client_refuses(&m, "pinnedPeerCertificateChainSha256 would be ");
    hash_cert(&w->server, pins[1]);
    assert_met(&m);
    m.to = "b.example";
    assert_client_refuses(&m, "want b.example");
    m.client.verifies = false;
    assert_met(&m);
    pins[1][0] ^= 1;
    assert_client_refuses(&m, "not the pinned one");
}

static void a_chain_is_hashed_as_v2ray_does(void **state)
{
    struct world *w = *state;
    uint8_t both[2 * TLS_PIN], pins[1][TLS_PIN];
    char *pem = both_pems(w);
    struct meeting m = usual(&w->ca, &w->server);
    m.client.chain_pins = (const uint8_t(*)[TLS_PIN])pins;
    m.client.chain_pin_count = 1;
    m.client.verifies = false;
    m.server_has[0].cert = pem;
    hash_cert(&w->server, both);
    hash_cert(&w->ca, both + TLS_PIN);
    crypto_hash_sha256(pins[0], both, sizeof both);
    assert_met(&m);
    m.server_has[0].cert = w->server.pem; /* a chain that is shorter is another one */
    assert_client_refuses(&m, "not the pinned one");
    free(pem);
}

static void a_pinned_certificate_needs_no_authority(void **state)
{
    struct world *w = *state;
    uint8_t pins[1][TLS_PIN];
    struct meeting m = usual(&w->other_ca, &w->server);
    m.to = "b.example";
    m.client.cert_pins = (const uint8_t(*)[TLS_PIN])pins;
    m.client.cert_pin_count = 1;
    hash_cert(&w->server, pins[0]);
    assert_met(&m);
    pins[0][31] ^= 1;
    m.client.verifies = false;
    assert_client_refuses(&m, "not the pinned one: its SHA-256 is ");
}

static void a_pinned_authority_replaces_the_others(void **state)
{
    struct world *w = *state;
    uint8_t pins[1][TLS_PIN];
    char *pem = both_pems(w);
    struct meeting m = usual(&w->other_ca, &w->server);
    m.server_has[0].cert = pem;
    m.client.cert_pins = (const uint8_t(*)[TLS_PIN])pins;
    m.client.cert_pin_count = 1;
    hash_cert(&w->ca, pins[0]);
    assert_met(&m);
    m.to = "b.example";
    assert_client_refuses(&m, "want b.example");
    free(pem);
}

/* Who shows a pinned authority has not been vouched for by it. */
static void showing_a_pinned_authority_is_not_enough(void **state)
{
    struct world *w = *state;
    uint8_t pins[1][TLS_PIN];
    struct cert thief;
    cert_make(&thief, &(struct cert_for){.names = "DNS:a.example", .issuer = &w->other_ca});
    size_t room = strlen(thief.pem) + strlen(w->ca.pem) + 1;
    char *pem = malloc(room);
    snprintf(pem, room, "%s%s", thief.pem, w->ca.pem);
    struct meeting m = usual(&w->other_ca, &thief);
    m.server_has[0].cert = pem;
    m.client.cert_pins = (const uint8_t(*)[TLS_PIN])pins;
    m.client.cert_pin_count = 1;
    hash_cert(&w->ca, pins[0]);
    assert_client_refuses(&m, "unknown authority");
    free(pem);
    cert_free(&thief);
}

/* --- clients with certificates --- */

static void a_server_that_verifies_wants_a_certificate(void **state)
{
    struct world *w = *state;
    struct cert client, stranger, expired;
    cert_make(&client, &(struct cert_for){.issuer = &w->ca});
    cert_make(&stranger, &(struct cert_for){.issuer = &w->other_ca});
    cert_make(&expired, &(struct cert_for){NULL, &w->ca, false, -20, -10});
    for (int version = 0x0303; version <= 0x0304; version++) {
        struct meeting m = usual(&w->ca, &w->server);
        m.client.max_version = version;
        m.server.verifies = true;
        m.server_has[m.server_count++] = authority(&w->ca);
        assert_server_refuses(&m, "tls: the client has no certificate", "tls: the ");
        m.client_has[m.client_count++] = ours(&client);
        assert_met(&m);
        m.client_has[1] = ours(&stranger);
        assert_server_refuses(&m, "tls: the client's certificate is of an unknown authority",
                              "the other side does not know the authority of our certificate");
        m.client_has[1] = ours(&expired);
        assert_server_refuses(&m, "tls: the client's certificate has expired",
                              "the other side says that our certificate has expired");
    }
    cert_free(&client);
    cert_free(&stranger);
    cert_free(&expired);
}

static struct certificate met_as(const struct meeting *m, const struct cert *client)
{
    struct meeting with = *m;
    with.client_has[with.client_count++] = ours(client);
    struct outcome o = meet(&with);
    assert_true(o.server);
    return o.client_is;
}

static void a_server_that_verifies_knows_whose_certificate_it_was(void **state)
{
    struct world *w = *state;
    uint8_t hash[TLS_PIN];
    struct cert named, nameless;
    cert_make(&named, &(struct cert_for){.names = "IP:192.0.2.1,DNS:Bridge-7.example,DNS:b.example",
                                         .issuer = &w->ca});
    cert_make(&nameless, &(struct cert_for){.issuer = &w->ca});
    struct meeting m = usual(&w->ca, &w->server);
    assert_false(met_as(&m, &named).shown);
    m.server.verifies = true;
    m.server_has[m.server_count++] = authority(&w->ca);
    struct certificate c = met_as(&m, &named);
    assert_true(c.shown);
    assert_string_equal(c.name, "bridge-7.example");
    hash_cert(&named, hash);
    assert_memory_equal(c.hash, hash, sizeof hash);
    assert_string_equal(met_as(&m, &nameless).name, "test");
    cert_free(&named);
    cert_free(&nameless);
}

static void a_name_of_other_bytes_is_none(void **state)
{
    struct world *w = *state;
    static const char *const names[] = {
        "DNS:a234567890123456789012345678901234567890123456789012345678."
        "example",
        "DNS:a\tb.example"};
    struct meeting m = usual(&w->ca, &w->server);
    m.server.verifies = true;
    m.server_has[m.server_count++] = authority(&w->ca);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct cert odd;
        cert_make(&odd, &(struct cert_for){.names = names[i], .issuer = &w->ca});
        struct certificate c = met_as(&m, &odd);
        assert_true(c.shown);
        assert_string_equal(c.name, "");
        cert_free(&odd);
    }
}

/* --- several certificates --- */

static void a_server_shows_what_the_client_asks_for(void **state)
{
    struct world *w = *state;
    struct cert b, wild;
    cert_make(&b, &(struct cert_for){.names = "DNS:b.example", .issuer = &w->ca});
    cert_make(&wild, &(struct cert_for){.names = "DNS:*.c.example", .issuer = &w->ca});
    struct meeting m = usual(&w->ca, &w->server);
    m.server_has[m.server_count++] = ours(&b);
    m.server_has[m.server_count++] = ours(&wild);
    assert_met(&m);
    m.to = "b.example";
    assert_met(&m);
    m.to = "x.c.example";
    assert_met(&m);
    m.to = "192.0.2.1"; /* asks for no name: the first */
    assert_met(&m);
    m.to = "d.example";
    assert_client_refuses(&m, "is for a.example, want d.example");
    m.server.known_names = true;
    assert_server_refuses(&m, "tls: the client asks for a name of no certificate",
                          "tls: the server has no certificate for this serverName");
    m.to = "b.example";
    assert_met(&m);
    cert_free(&b);
    cert_free(&wild);
}

static void a_host_is_covered_by_the_certificate_that_is_shown(void **state)
{
    struct world *w = *state;
    struct cert b, wild;
    cert_make(&b, &(struct cert_for){.names = "DNS:b.example,DNS:b.test,IP:2001:db8::1",
                                     .issuer = &w->ca});
    cert_make(&wild, &(struct cert_for){.names = "DNS:*.c.example", .issuer = &w->ca});
    struct tls_source has[] = {ours(&w->server), ours(&b), ours(&wild)};
    struct tls_settings set = {.server = true};
    struct tls_conf *c = conf_new(&set, has, 3);
    static const char *const covered[] = {"a.example", "192.0.2.1",     "b.example",
                                          "b.test",    "[2001:db8::1]", "x.c.example"};
    static const char *const others[] = {"c.example", "x.y.c.example", "d.example",
                                         "192.0.2.2", "[::1]",         "["};
    for (size_t i = 0; i < 6; i++) {
        assert_true(tls_covers(c, covered[i]));
        assert_false(tls_covers(c, others[i]));
    }
    assert_true(tls_shows(c, "b.example", "b.test"));
    assert_false(tls_shows(c, "b.example", "a.example"));
    assert_true(tls_shows(c, "x.c.example", "y.c.example"));
    assert_true(tls_shows(c, "", "a.example")); /* the first, as for a name that none has */
    assert_true(tls_shows(c, "d.example", "192.0.2.1"));
    assert_false(tls_shows(c, "", "b.example"));
    assert_false(tls_shows(c, "d.example", "d.example"));
    tls_conf_free(c);
    cert_free(&b);
    cert_free(&wild);
}

/* --- versions, ciphers, alpn --- */

static void both_versions_meet_and_others_do_not(void **state)
{
    struct world *w = *state;
    struct meeting m = usual(&w->ca, &w->server);
    m.client.max_version = 0x0303;
    assert_met(&m);
    m.server.max_version = 0x0303;
    assert_met(&m);
    m.client.max_version = 0;
    m.client.min_version = 0x0304;
    assert_server_refuses(&m, "versions of TLS", "versions of TLS");
}

static void ciphers_are_known_by_all_their_names(void **state)
{
    struct world *w = *state;
    struct err e;
    struct meeting m = usual(&w->ca, &w->server);
    assert_int_equal(
        tls_ciphers_parse("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384,"
                          "tls_chacha20_poly1305_sha256",
                          &m.client, &e),
        0);
    assert_string_equal(m.client.ciphers,
                        "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384");
    assert_string_equal(m.client.suites, "TLS_CHACHA20_POLY1305_SHA256");
    assert_met(&m);
    m.client.max_version = 0x0303;
    assert_met(&m);
    assert_int_equal(tls_ciphers_parse("TLS_ECDHE_RSA_WITH_RC4_128_SHA", &m.client, &e), -1);
    assert_string_equal(e.text, "unknown or unsafe cipher suite: TLS_ECDHE_RSA_WITH_RC4_128_SHA");
    assert_int_equal(tls_ciphers_parse("NULL-SHA256", &m.client, &e), -1);
    assert_int_equal(tls_ciphers_parse("HIGH", &m.client, &e), -1);
}

static void no_common_cipher_is_said(void **state)
{
    struct world *w = *state;
    struct err e;
    struct meeting m = usual(&w->ca, &w->server);
    m.client.max_version = 0x0303;
    tls_ciphers_parse("ECDHE-ECDSA-AES256-GCM-SHA384", &m.client, &e);
    tls_ciphers_parse("ECDHE-ECDSA-AES128-GCM-SHA256", &m.server, &e);
    assert_server_refuses(&m, "tls: no cipher suite that both sides have",
                          "tls: the other side finds nothing that both sides have");
}

static void set_alpn(struct tls_settings *s, const char *wire)
{
    s->alpn_len = strlen(wire);
    memcpy(s->alpn, wire, s->alpn_len);
}

static void alpn_that_both_have_is_taken_and_none_is_refused(void **state)
{
    struct world *w = *state;
    struct meeting m = usual(&w->ca, &w->server);
    set_alpn(&m.server, "\x02h2\x08http/1.1");
    assert_met(&m); /* the client offers none */
    set_alpn(&m.client, "\x08http/1.1");
    assert_met(&m);
    set_alpn(&m.client, "\x02h3");
    assert_server_refuses(&m, "tls: no alpn that both sides have",
                          "tls: no alpn that both sides have");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_certificate_with_the_right_name_is_taken),
        cmocka_unit_test(another_name_is_refused),
        cmocka_unit_test(a_certificate_without_names_is_for_nobody),
        cmocka_unit_test(an_asterisk_stands_for_one_label),
        cmocka_unit_test(an_unknown_authority_is_refused),
        cmocka_unit_test(a_certificate_of_the_past_or_future_is_refused),
        cmocka_unit_test(its_own_certificate_is_authority_enough),
        cmocka_unit_test(who_verifies_nobody_takes_anybody),
        cmocka_unit_test(a_conf_that_verifies_wants_a_name),
        cmocka_unit_test(a_pinned_chain_is_a_condition_more),
        cmocka_unit_test(a_chain_is_hashed_as_v2ray_does),
        cmocka_unit_test(a_pinned_certificate_needs_no_authority),
        cmocka_unit_test(a_pinned_authority_replaces_the_others),
        cmocka_unit_test(showing_a_pinned_authority_is_not_enough),
        cmocka_unit_test(a_server_that_verifies_wants_a_certificate),
        cmocka_unit_test(a_server_that_verifies_knows_whose_certificate_it_was),
        cmocka_unit_test(a_name_of_other_bytes_is_none),
        cmocka_unit_test(a_server_shows_what_the_client_asks_for),
        cmocka_unit_test(a_host_is_covered_by_the_certificate_that_is_shown),
        cmocka_unit_test(both_versions_meet_and_others_do_not),
        cmocka_unit_test(ciphers_are_known_by_all_their_names),
        cmocka_unit_test(no_common_cipher_is_said),
        cmocka_unit_test(alpn_that_both_have_is_taken_and_none_is_refused),
    };
    return cmocka_run_group_tests(tests, world_open, world_close);
}
