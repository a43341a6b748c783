#include <string.h>
#include <strings.h>

#include "conf/compile.h"
#include "transport/carriage.h"
#include "transport/tls.h"

struct dns_keys {
    const struct node *servers, *hosts, *client;
    const char *tag;
    int families;
    bool no_cache, no_fallback, no_fallback_if_match;
};

struct server_keys {
    const struct node *address, *domains, *expected, *expected_too, *client;
    int64_t port, timeout;
    int families;
    bool skips_fallback;
};

/* What servers have unless they say otherwise. */
struct dns_usual {
    const char *tag;
    struct addr client;
};

enum { SERVER_TIMEOUT = 2000, SYSTEM_TIMEOUT = 8000, TIMEOUT_MAX = 60000, DNS_PORT = 53 };

static const struct field_name family_names[] = {
    {"UseIP", DNS_BOTH},    {"UseIPv4", DNS_A},
    {"UseIPv6", DNS_AAAA},  {"use_ip", DNS_BOTH},
    {"use_ip4", DNS_A},     {"use_ip6", DNS_AAAA},
    {"use_ipv4", DNS_A},    {"use_ipv6", DNS_AAAA},
    {"use_ip_v4", DNS_A},   {"use_ip_v6", DNS_AAAA},
    {"use-ip", DNS_BOTH},   {"use-ipv4", DNS_A},
    {"use-ipv6", DNS_AAAA}, {"UseSystem", NAME_LATER},
    {"UseSys", NAME_LATER}, {NULL, 0},
};

const struct field dns_fields[] = {
    FIELD_NODE("servers", struct dns_keys, servers, "localhost"),
    FIELD_NODE("hosts", struct dns_keys, hosts, "object"),
    FIELD_NODE("clientIp", struct dns_keys, client, "IP"),
    FIELD_TEXT("tag", struct dns_keys, tag, ""),
    FIELD_NAME_LENIENT("queryStrategy", struct dns_keys, families, family_names, DNS_BOTH),
    FIELD_BOOL("disableCache", struct dns_keys, no_cache, false),
    FIELD_BOOL("disableFallback", struct dns_keys, no_fallback, false),
    FIELD_BOOL("disableFallbackIfMatch", struct dns_keys, no_fallback_if_match, false),
    FIELD_LATER_UNLESS("fallbackStrategy", "dns fallbackStrategy", "enabled"),
    FIELD_LATER_UNLESS("cacheStrategy", "dns cacheStrategy", "enabled"),
    FIELD_IGNORED("domainMatcher"),
    FIELD_IGNORED("enableParallelQuery"),
    FIELD_LATER("fakedns"),
    FIELD_LATER_WHAT("serveStale", "dns serveStale"),
    FIELD_LATER_WHAT("useSystemHosts", "dns useSystemHosts"),
    FIELD_END,
};

/* timeoutMs 0: the default, which is not the same for all. */
const struct field dns_server_fields[] = {
    FIELD_NODE("address", struct server_keys, address, "server"),
    FIELD_NUMBER("port", struct server_keys, port, 0, UINT16_MAX, 0),
    FIELD_NODE("domains", struct server_keys, domains, "texts"),
    FIELD_NODE("expectIPs", struct server_keys, expected, "texts"),
    FIELD_NODE("expectedIPs", struct server_keys, expected_too, "texts"),
    FIELD_NODE("clientIp", struct server_keys, client, "IP"),
    FIELD_BOOL("skipFallback", struct server_keys, skips_fallback, false),
    FIELD_NAME_LENIENT("queryStrategy", struct server_keys, families, family_names, DNS_BOTH),
    FIELD_NUMBER("timeoutMs", struct server_keys, timeout, 0, TIMEOUT_MAX, 0),
    FIELD_LATER_WHAT("unexpectedIPs", "unexpectedIPs of dns servers"),
    FIELD_LATER_WHAT("tag", "tag of dns servers"),
    FIELD_LATER_WHAT("finalQuery", "finalQuery of dns servers"),
    FIELD_LATER_WHAT("disableCache", "disableCache of dns servers"),
    FIELD_LATER_WHAT("serveStale", "serveStale of dns servers"),
    FIELD_LATER_UNLESS("fallbackStrategy", "fallbackStrategy of dns servers", "enabled"),
    FIELD_LATER_UNLESS("cacheStrategy", "cacheStrategy of dns servers", "enabled"),
    FIELD_LATER_WHAT("fakedns", "fakedns of dns servers"),
    FIELD_END,
};

/* --- servers --- */

struct scheme {
    const char *prefix;
    enum dns_kind kind;
    bool direct;
    const char *later; /* v2c has it not yet */
};

static const struct scheme schemes[] = {
    {"https://", DNS_HTTPS, false, NULL},      {"https+local://", DNS_HTTPS, true, NULL},
    {"tcp://", DNS_TCP, true, NULL},           {"tcp+local://", DNS_TCP, true, NULL},
    {"udp://", DNS_UDP, true, NULL},           {"quic+local://", DNS_UDP, true, "DNS over QUIC"},
    {"h2c://", DNS_UDP, true, "DNS over h2c"}, {"dhcp://", DNS_UDP, true, "DNS servers by DHCP"},
    {"fakedns", DNS_UDP, true, "fakedns"},     {NULL, DNS_UDP, true, NULL}, /* without any */
};

static const struct scheme *scheme_of(const char *text)
{
    const struct scheme *s = schemes;
    while (s->prefix && strncasecmp(text, s->prefix, strlen(s->prefix)) != 0)
        s++;
    return s;
}

/* ":853" behind a host. */
static bool port_read(const char *text, const char *end, uint16_t *port)
{
    unsigned v = 0;
    if (text == end || end - text > 5)
        return false;
    for (; text < end; text++) {
        if (*text < '0' || *text > '9')
            return false;
        v = v * 10 + (unsigned)(*text - '0');
    }
    *port = (uint16_t)v;
    return v > 0 && v <= UINT16_MAX;
}

/* "host", "host:port", "[v6]:port"; a bare IPv6 address is a host. */
static bool authority_read(const char *text, const char *end, struct addr *at)
{
    struct err e;
    const char *bracket = memchr(text, ']', (size_t)(end - text));
    const char *from = bracket ? bracket : text;
    const char *colon = memchr(from, ':', (size_t)(end - from));
    bool bare_v6 = colon && memchr(colon + 1, ':', (size_t)(end - colon - 1));
    if (colon && !bare_v6) {
        if (!port_read(colon + 1, end, &at->port))
            return false;
        end = colon;
    }
    return addr_parse_host(at, text, (size_t)(end - text), &e) == 0;
}

/* TLS with the system's authorities; the certificate must be for the host that is named. */
static void server_carriage(struct build *b, const struct node *at, struct dns_server *s)
{
    static const uint8_t alpn[] = "\x08http/1.1";
    struct err e = {0};
    struct tls_settings *settings = arena_alloc(b->scratch, sizeof *settings);
    s->carriage = carriage_new();
    if (!settings || !s->carriage) {
        b->scratch->failed = true;
        return;
    }
    settings->verifies = settings->system_roots = settings->tickets = true;
    settings->alpn_len = sizeof alpn - 1;
    memcpy(settings->alpn, alpn, settings->alpn_len);
    s->carriage->tls = tls_conf_new(settings, NULL, 0, &e);
    if (!s->carriage->tls)
        report_error(b->report, at, "%s", e.text);
}

static void server_address_fail(struct build *b, const struct node *at)
{
    report_error(b->report, at,
                 "want an IP address, \"localhost\", tcp://IP or https://HOST/PATH, got \"%.64s\"",
                 at->text);
}

static bool is_path(const char *text)
{
    for (; *text; text++)
        if (*text <= ' ' || *text >= 0x7f)
            return false;
    return true;
}

static void server_address(struct build *b, const struct node *at, struct dns_server *s)
{
    const struct scheme *scheme = scheme_of(at->text);
    const char *text = at->text + (scheme->prefix ? strlen(scheme->prefix) : 0);
    const char *path = strchrnul(text, '/');
    if (scheme->later) {
        report_error(b->report, at, "v2c has no %s yet", scheme->later);
        return;
    }
    if (strcasecmp(at->text, "localhost") == 0)
        return;
    s->kind = scheme->kind;
    s->direct = scheme->direct;
    s->at.port = s->kind == DNS_HTTPS ? 443 : DNS_PORT;
    if (!authority_read(text, path, &s->at) || (s->kind != DNS_HTTPS && *path) || !is_path(path))
        server_address_fail(b, at);
    else if (s->kind != DNS_HTTPS && !addr_is_ip(&s->at))
        report_error(b->report, at,
                     "v2c asks this kind of server by its IP address only, got \"%.64s\"",
                     at->text);
    if (s->kind == DNS_HTTPS)
        server_carriage(b, at, s);
    s->path = arena_text(b->config->strings, *path ? path : "/", *path ? strlen(path) : 1);
}

/* What no server elsewhere knows: as in V2Ray, the system is asked first. */
static void local_domains(struct build *b, struct dns_server *s)
{
    static const char *const texts[] = {"dotless:",         "domain:local",   "domain:localdomain",
                                        "domain:localhost", "domain:lan",     "domain:home.arpa",
                                        "domain:example",   "domain:invalid", "domain:test"};
    struct err e;
    struct domain_set *set = domain_set_new();
    for (size_t i = 0; set && i < sizeof texts / sizeof *texts; i++)
        if (domain_set_add(set, texts[i], &e) < 0)
            b->scratch->failed = true;
    if (!set)
        b->scratch->failed = true;
    s->domains = set;
}

static void client_read(struct build *b, const struct node *at, struct addr *client)
{
    struct addr a = {0};
    if (!at || (at->type == NODE_TEXT && !*at->text) || !value_host(b->report, at, &a))
        return;
    if (!addr_is_ip(&a))
        report_error(b->report, at, "want an IP address, got \"%.64s\"", a.name);
    else
        *client = a;
}

static void server_matchers(struct build *b, const struct server_keys *keys, struct dns_server *s)
{
    struct domain_set *domains = NULL;
    struct cidr_set *expected = NULL;
    domain_set_build(b, keys->domains, &domains);
    cidr_set_build(b, keys->expected, &expected);
    cidr_set_build(b, keys->expected_too, &expected);
    s->domains = domains;
    s->expected = expected;
}

static double server_timeout(const struct server_keys *keys, const struct dns_server *s)
{
    int64_t usual = s->kind == DNS_SYSTEM ? SYSTEM_TIMEOUT : SERVER_TIMEOUT;
    return (double)(keys->timeout ? keys->timeout : usual) / 1000;
}

/* A text is an object with nothing but an address. */
static void server_build(struct build *b, const struct node *at, const struct dns_usual *usual,
                         struct dns_server *s)
{
    struct server_keys keys;
    const struct node *address = at;
    fields_read(b->report, at->type == NODE_OBJECT ? at : NULL, dns_server_fields, &keys);
    if (at->type == NODE_OBJECT)
        address = keys.address;
    if (!node_is(address, NODE_TEXT)) {
        report_wrong(b->report, address ? address : at, "the address of a server as text");
        return;
    }
    *s = (struct dns_server){.kind = DNS_SYSTEM,
                             .families = (unsigned)keys.families,
                             .tag = usual->tag,
                             .client = usual->client};
    s->label = arena_text(b->config->strings, address->text, strlen(address->text));
    server_address(b, address, s);
    if (keys.port)
        s->at.port = (uint16_t)keys.port;
    s->timeout = server_timeout(&keys, s);
    s->skips_fallback = keys.skips_fallback;
    server_matchers(b, &keys, s);
    if (s->kind == DNS_SYSTEM && !s->domains)
        local_domains(b, s);
    client_read(b, keys.client, &s->client);
}

static void servers_build(struct build *b, const struct node *at, const struct dns_usual *usual,
                          struct dns_conf *c)
{
    if (!at)
        return;
    if (at->type != NODE_ARRAY) {
        report_wrong(b->report, at, "an array");
        return;
    }
    size_t count = node_count(at), i = 0;
    if (count > DNS_SERVERS_MAX) {
        report_error(b->report, at, "want at most %d servers, got %zu", DNS_SERVERS_MAX, count);
        return;
    }
    struct dns_server *servers = arena_array(b->config->strings, count, sizeof *servers);
    for (const struct node *n = at->first; servers && n; n = n->next)
        server_build(b, n, usual, &servers[i++]);
    c->servers = servers;
    c->server_count = i;
}

/* --- the whole --- */

static bool match_name(const void *domains, const char *name)
{
    return domain_set_match(domains, name);
}

static bool match_ip(const void *ips, const struct addr *ip)
{
    return cidr_set_match(ips, ip);
}

void dns_conf_build(struct build *b, const struct node *at)
{
    struct dns_keys keys;
    struct dns_usual usual = {0};
    if (!fields_read(b->report, at, dns_fields, &keys) || !at)
        return;
    struct dns_conf *c = arena_alloc(b->config->strings, sizeof *c);
    if (!c)
        return;
    *c = (struct dns_conf){.families = (unsigned)keys.families,
                           .caches = !keys.no_cache,
                           .no_fallback = keys.no_fallback,
                           .no_fallback_if_match = keys.no_fallback_if_match,
                           .match_name = match_name,
                           .match_ip = match_ip};
    b->config->dns = c;
    digest_node(&b->config->dns_digest, at, b->scratch);
    client_read(b, keys.client, &usual.client);
    usual.tag = build_text(b, keys.tag);
    servers_build(b, keys.servers, &usual, c);
    dns_hosts_build(b, keys.hosts, c);
    names_add(&b->inbound_tags, b->scratch, keys.tag, node_get(at, "tag"), 0);
}

void dns_conf_free(struct dns_conf *c)
{
    for (size_t i = 0; c && i < c->server_count; i++) {
        carriage_unref(c->servers[i].carriage);
        domain_set_free((struct domain_set *)c->servers[i].domains);
        cidr_set_free((struct cidr_set *)c->servers[i].expected);
    }
    for (size_t i = 0; c && i < c->pattern_count; i++)
        domain_set_free((struct domain_set *)c->patterns[i].domains);
}
