#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "conf/compile.h"
#include "transport/tls.h"

enum { TLS_1_2 = 0x0303, TLS_1_3 = 0x0304, VERSION_OLD = 1, VERSION_NONE = 0 };
enum { CERTS_MAX = 256, PEM_MAX = 1024 * 1024 };

static const double EXPIRES_SOON = 14; /* days */

struct tls_keys {
    const char *name, *suites;
    bool insecure, no_system, resumption, verify_client, known_names;
    int min, max;
    const struct node *alpn, *certificates, *chain_pins, *cert_pins;
};

struct cert_keys {
    const char *cert_file, *key_file;
    const struct node *usage, *cert, *key;
    bool once;
};

static const struct field_name usage_names[] = {
    {"encipherment", TLS_OURS}, {"verify", TLS_AUTHORITY}, {"issue", NAME_LATER}, {NULL, 0}};

static const struct field_name version_names[] = {
    {"1.2", TLS_1_2}, {"1.3", TLS_1_3}, {"1.0", VERSION_OLD}, {"1.1", VERSION_OLD}, {NULL, 0},
};

const struct field tls_fields[] = {
    FIELD_TEXT("serverName", struct tls_keys, name, ""),
    FIELD_BOOL("allowInsecure", struct tls_keys, insecure, false),
    FIELD_NODE("alpn", struct tls_keys, alpn, "texts"),
    FIELD_NODE("certificates", struct tls_keys, certificates, "objects"),
    FIELD_BOOL("disableSystemRoot", struct tls_keys, no_system, false),
    FIELD_BOOL("enableSessionResumption", struct tls_keys, resumption, false),
    FIELD_NODE("pinnedPeerCertificateChainSha256", struct tls_keys, chain_pins, "texts"),
    FIELD_NODE("pinnedPeerCertSha256", struct tls_keys, cert_pins, "texts"),
    FIELD_BOOL("verifyClientCertificate", struct tls_keys, verify_client, false),
    FIELD_NAME("minVersion", struct tls_keys, min, version_names, TLS_1_2),
    FIELD_NAME("maxVersion", struct tls_keys, max, version_names, VERSION_NONE),
    FIELD_TEXT("cipherSuites", struct tls_keys, suites, ""),
    FIELD_BOOL("rejectUnknownSni", struct tls_keys, known_names, false),
    FIELD_IGNORED("preferServerCipherSuites"),
    FIELD_LATER_WHAT("allowInsecureCiphers", "unsafe ciphers"),
    FIELD_LATER_WHAT("curvePreferences", "tls curvePreferences"),
    FIELD_LATER_WHAT("fingerprint", "tls fingerprint"),
    FIELD_LATER_WHAT("echConfigList", "tls ech"),
    FIELD_LATER_WHAT("echServerKeys", "tls ech"),
    FIELD_LATER_WHAT("echForceQuery", "tls ech"),
    FIELD_LATER_WHAT("echSockopt", "tls ech"),
    FIELD_LATER_UNLESS("masterKeyLog", "tls masterKeyLog", "none"),
    FIELD_LATER_WHAT("verifyPeerCertByName", "tls verifyPeerCertByName"),
    FIELD_LATER_WHAT("verifyPeerCertInNames", "tls verifyPeerCertInNames"),
    FIELD_END,
};

const struct field tls_certificate_fields[] = {
    FIELD_NODE("usage", struct cert_keys, usage, "encipherment|verify"),
    FIELD_TEXT("certificateFile", struct cert_keys, cert_file, ""),
    FIELD_TEXT("keyFile", struct cert_keys, key_file, ""),
    FIELD_NODE("certificate", struct cert_keys, cert, "lines"),
    FIELD_NODE("key", struct cert_keys, key, "lines"),
    FIELD_BOOL("oneTimeLoading", struct cert_keys, once, false),
    FIELD_IGNORED("ocspStapling"),
    FIELD_IGNORED("buildChain"),
    FIELD_END,
};

/* One object under construction. */
struct making {
    struct build *b;
    const struct node *at, *owner; /* at NULL: there are no tlsSettings */
    struct tls_settings set;
    struct tls_material *material[CERTS_MAX];
    size_t count, ours, authorities;
    bool failed; /* a certificate or pin could not be had, and was reported */
};

static const struct node *place(const struct making *m)
{
    return m->at ? m->at : m->owner;
}

/* --- certificates --- */

static bool lines_measure(struct build *b, const struct node *at, size_t *len)
{
    char got[64];
    if (at->type != NODE_ARRAY) {
        report_error(b->report, at, "want an array with the lines of PEM, got %s",
                     node_describe(at, got, sizeof got));
        return false;
    }
    for (const struct node *n = at->first; n; n = n->next) {
        if (n->type != NODE_TEXT) {
            report_wrong(b->report, n, "a line of PEM");
            return false;
        }
        *len += strlen(n->text) + 1;
    }
    if (*len > PEM_MAX)
        report_error(b->report, at, "is too large: at most 1 MiB");
    return *len <= PEM_MAX;
}

/* The lines of PEM that stand in the configuration, as one text. NULL: absent, or reported. */
static const char *lines_join(struct build *b, const struct node *at)
{
    size_t len = 0;
    if (!at || !lines_measure(b, at, &len))
        return NULL;
    char *text = arena_array(b->scratch, len + 1, 1), *to = text;
    for (const struct node *n = at->first; text && n; n = n->next) {
        size_t line = strlen(n->text);
        memcpy(to, n->text, line);
        to[line] = '\n';
        to += line + 1;
    }
    return text;
}

static const char *text_or_null(const char *text)
{
    return *text ? text : NULL;
}

static bool usage_read(struct build *b, const struct node *at, enum tls_usage *usage)
{
    int value = TLS_OURS;
    if (at)
        value = value_name(b->report, at, usage_names, "unknown usage of a certificate",
                           "certificates with usage");
    *usage = value == TLS_AUTHORITY ? TLS_AUTHORITY : TLS_OURS;
    return value == TLS_OURS || value == TLS_AUTHORITY;
}

static bool certificate_source(struct build *b, const struct node *at, const struct cert_keys *keys,
                               struct tls_source *s)
{
    *s = (struct tls_source){.once = keys->once,
                             .cert_file = text_or_null(keys->cert_file),
                             .key_file = text_or_null(keys->key_file)};
    if (!usage_read(b, keys->usage, &s->usage))
        return false;
    unsigned errors = b->report->errors;
    s->cert = lines_join(b, keys->cert);
    s->key = lines_join(b, keys->key);
    if (b->report->errors > errors)
        return false;
    if (!s->cert_file && !s->cert)
        report_error(b->report, node_member(at, "certificateFile"),
                     "both file and bytes are empty: want certificateFile, or certificate");
    else if (s->usage == TLS_OURS && !s->key_file && !s->key)
        report_error(b->report, node_member(at, "keyFile"),
                     "both file and bytes are empty: want keyFile, or key");
    return b->report->errors == errors;
}

static void warn_of(struct build *b, const struct node *at, const struct tls_material *m)
{
    double days = tls_material_days(m);
    if (days < 0)
        report_warn(b->report, at, "the certificate has expired: peers will refuse it");
    else if (days < EXPIRES_SOON)
        report_warn(b->report, at, "the certificate expires in %.0f days", days);
    if (tls_material_exposed(m))
        report_warn(b->report, at, "every user of this machine may read the key: chmod o-r");
}

static bool begins_with(const char *text, const char *prefix)
{
    return prefix && strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Errors of files begin with their path; others are of all together. */
static const struct node *blamed(const struct node *at, const struct tls_source *s,
                                 const struct err *e)
{
    if (begins_with(e->text, s->cert_file))
        return node_member(at, "certificateFile");
    return begins_with(e->text, s->key_file) ? node_member(at, "keyFile") : at;
}

static void certificate_read(struct making *m, const struct node *at)
{
    struct cert_keys keys;
    struct tls_source s;
    struct err e;
    struct tls_material *one = NULL;
    if (fields_read(m->b->report, at, tls_certificate_fields, &keys) &&
        certificate_source(m->b, at, &keys, &s)) {
        one = tls_material_load(&s, &e);
        if (!one)
            report_error(m->b->report, blamed(at, &s, &e), "%s", e.text);
    }
    if (!one) {
        m->failed = true;
        return;
    }
    m->material[m->count++] = one;
    m->ours += s.usage == TLS_OURS;
    m->authorities += s.usage == TLS_AUTHORITY;
    warn_of(m->b, at, one);
}

static void certificates_read(struct making *m, const struct node *at)
{
    struct node_list list = {0};
    value_objects(m->b->report, m->b->scratch, at, &list);
    if (list.count > CERTS_MAX)
        report_error(m->b->report, at, "too many certificates: at most %d", CERTS_MAX);
    for (size_t i = 0; i < list.count && i < CERTS_MAX; i++)
        certificate_read(m, list.items[i]);
}

/* --- pins --- */

typedef bool pin_reader(const char *text, uint8_t pin[TLS_PIN]);

static bool pin_base64(const char *text, uint8_t pin[TLS_PIN])
{
    size_t len = 0;
    return sodium_base642bin(pin, TLS_PIN, text, strlen(text), NULL, &len, NULL,
                             sodium_base64_VARIANT_ORIGINAL) == 0 &&
           len == TLS_PIN;
}

static bool pin_hex(const char *text, uint8_t pin[TLS_PIN])
{
    size_t len = 0;
    return sodium_hex2bin(pin, TLS_PIN, text, strlen(text), ":", &len, NULL) == 0 && len == TLS_PIN;
}

static const void *pins_read(struct build *b, const struct node *at, pin_reader *read,
                             const char *wish, size_t *count)
{
    struct text_list list;
    *count = 0;
    if (!value_texts(b->report, b->scratch, at, &list) || !list.count)
        return NULL;
    uint8_t(*pins)[TLS_PIN] = arena_array(b->scratch, list.count, TLS_PIN);
    for (size_t i = 0; pins && i < list.count; i++)
        if (read(list.items[i].text, pins[*count]))
            ++*count;
        else
            report_error(b->report, list.items[i].at, "want %s, got \"%.100s\"", wish,
                         list.items[i].text);
    return pins;
}

/* --- names --- */

static void alpn_add(struct making *m, const struct node *at, const char *name)
{
    struct tls_settings *s = &m->set;
    size_t len = strlen(name);
    if (!len || len > 255 || s->alpn_len + 1 + len > TLS_ALPN_MAX) {
        report_error(m->b->report, at, "want names of protocols, 255 bytes in all, such as \"h2\"");
        return;
    }
    s->alpn[s->alpn_len++] = (uint8_t)len;
    memcpy(s->alpn + s->alpn_len, name, len);
    s->alpn_len += len;
}

/* only: what the transport above speaks; NULL: anything; "": something without a name. */
static void alpn_read(struct making *m, const struct node *at, const char *only)
{
    struct text_list list;
    if (!value_texts(m->b->report, m->b->scratch, at, &list) || (only && !*only))
        return;
    for (size_t i = 0; i < list.count; i++)
        if (!only)
            alpn_add(m, list.items[i].at, list.items[i].text);
        else if (strcmp(list.items[i].text, only) != 0)
            report_warn(m->b->report, list.items[i].at, "this transport speaks %s only", only);
    if (only) {
        alpn_add(m, place(m), only);
    } else if (!list.count) {
        alpn_add(m, place(m), "h2");
        alpn_add(m, place(m), "http/1.1");
    }
}

static void name_read(struct making *m, const struct tls_keys *keys)
{
    struct addr a;
    struct err e;
    size_t len = strlen(keys->name);
    if (!len)
        return;
    if (len >= TLS_NAME_MAX || addr_parse_host(&a, keys->name, len, &e) < 0)
        report_error(m->b->report, node_get(m->at, "serverName"),
                     "want a host's name or address, got \"%.64s\"", keys->name);
    else
        memcpy(m->set.name, keys->name, len + 1);
}

/* --- versions and ciphers --- */

static void version_read(struct making *m, const char *key, int value, int *to)
{
    if (value == VERSION_OLD)
        report_error(m->b->report, node_get(m->at, key),
                     "want \"1.2\" or \"1.3\": older versions are not safe, and v2c has none");
    else
        *to = value;
}

static void versions_read(struct making *m, const struct tls_keys *keys)
{
    struct err e;
    version_read(m, "minVersion", keys->min, &m->set.min_version);
    version_read(m, "maxVersion", keys->max, &m->set.max_version);
    if (m->set.max_version && m->set.max_version < m->set.min_version)
        report_error(m->b->report, node_get(m->at, "maxVersion"), "is below minVersion");
    if (*keys->suites && tls_ciphers_parse(keys->suites, &m->set, &e) < 0)
        report_error(m->b->report, node_get(m->at, "cipherSuites"),
                     "%s; want names of OpenSSL with \":\" between, got \"%.64s\"", e.text,
                     keys->suites);
}

/* --- who is trusted --- */

static bool is_pinned(const struct making *m)
{
    return m->set.chain_pin_count || m->set.cert_pin_count;
}

/* As in V2Ray a pinned chain is a condition more, beside an authority and the name. It stands alone where nobody could
 * vouch for it: with allowInsecure, or with no authority at all. */
static void client_trust(struct making *m, const struct tls_keys *keys)
{
    bool known = m->authorities || !keys->no_system;
    m->set.system_roots = !keys->no_system;
    m->set.verifies = !keys->insecure && known;
    if (is_pinned(m) || m->failed)
        return;
    if (keys->insecure)
        report_warn_key(
            m->b->report, node_get(m->at, "allowInsecure"),
            "nobody checks who the server is: whoever is on the way can read and change "
            "everything. Pin it with pinnedPeerCertificateChainSha256, or give its "
            "certificate with usage verify");
    else if (!known)
        report_error(
            m->b->report, place(m),
            "nobody is trusted: disableSystemRoot wants a certificate with usage verify, or "
            "a pin");
}

static void server_trust(struct making *m, const struct tls_keys *keys)
{
    m->set.verifies = keys->verify_client;
    if (m->failed)
        return;
    if (!m->ours)
        report_error(m->b->report, place(m),
                     "a server wants a certificate: certificates with certificateFile and keyFile");
    if (keys->verify_client && !m->authorities)
        report_error(m->b->report, place(m),
                     "verifyClientCertificate wants to know whose certificates are good: one with "
                     "usage verify");
    if (!keys->verify_client && m->authorities)
        report_warn_key(m->b->report, node_get(m->at, "certificates"),
                        "usage verify has no effect on a server without verifyClientCertificate");
}

static void pins_build(struct making *m, const struct tls_keys *keys)
{
    struct tls_settings *s = &m->set;
    unsigned errors = m->b->report->errors;
    s->chain_pins = pins_read(m->b, keys->chain_pins, pin_base64,
                              "the SHA-256 of a chain as base64: v2c tls hash FILE prints it",
                              &s->chain_pin_count);
    s->cert_pins =
        pins_read(m->b, keys->cert_pins, pin_hex,
                  "the SHA-256 of a certificate as 64 hexadecimal digits", &s->cert_pin_count);
    m->failed |= m->b->report->errors > errors;
    if (s->server && is_pinned(m))
        report_warn(m->b->report, place(m), "pins have no effect on a server");
    if (s->server)
        s->chain_pin_count = s->cert_pin_count = 0;
}

static void settings_read(struct making *m, const struct tls_keys *keys, const char *only)
{
    m->set.tickets = keys->resumption;
    m->set.known_names = keys->known_names;
    name_read(m, keys);
    alpn_read(m, keys->alpn, only);
    versions_read(m, keys);
    certificates_read(m, keys->certificates);
    pins_build(m, keys);
    if (m->set.server)
        server_trust(m, keys);
    else
        client_trust(m, keys);
}

static struct tls_conf *conf_make(struct making *m, const struct tls_keys *keys, const char *only)
{
    struct err e;
    unsigned errors = m->b->report->errors;
    settings_read(m, keys, only);
    if (m->b->report->errors > errors)
        return NULL;
    struct tls_conf *conf = tls_conf_new(&m->set, m->material, m->count, &e);
    if (!conf)
        report_error(m->b->report, place(m), "%s", e.text);
    return conf;
}

struct tls_conf *tls_conf_build(struct build *b, const struct node *at, const struct node *owner,
                                bool server, const char *only)
{
    struct tls_keys keys;
    struct tls_conf *conf = NULL;
    struct making *m = calloc(1, sizeof *m);
    if (m) {
        m->b = b;
        m->at = at;
        m->owner = owner;
        m->set.server = server;
    }
    if (!m)
        b->scratch->failed = true;
    else if (fields_read(b->report, at, tls_fields, &keys))
        conf = conf_make(m, &keys, only);
    for (size_t i = 0; m && i < m->count; i++)
        tls_material_unref(m->material[i]);
    free(m);
    return conf;
}
