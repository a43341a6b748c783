#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "conf/keys.h"
#include "testing/certs.h"
#include "testing/conf_rig.h"

/* Every key of the tables with values that are wrong for it: each is refused, or warned about, where it stands, and the
 * message says what is wanted and what was found. What is taken nevertheless is listed here, with the reason. */

enum { TEXT_MAX = 4096, MEMBERS_MAX = 5 };

/* A valid configuration around an object, "@". Its other members, but the one that is tested. */
struct home {
    const char *object, *pointer, *around;
    const char *members[MEMBERS_MAX];
};

#define PROXY_IN(protocol, settings)                                                               \
    "{\"inbounds\": [{\"protocol\": \"" protocol "\", \"listen\": \"127.0.0.1\", "                 \
    "\"port\": 1, \"settings\": " settings "}], \"outbounds\": [{\"protocol\": \"freedom\"}]}"
#define OUT(text) "{\"outbounds\": [" text "]}"
#define PROXY_OUT(protocol, settings)                                                              \
    OUT("{\"protocol\": \"" protocol "\", \"settings\": " settings "}")
#define VNEXT(address, users) PROXY_OUT("vmess", "{\"vnext\": [{" address "\"users\": " users "}]}")
#define SERVERS(protocol, server) PROXY_OUT(protocol, "{\"servers\": [" server "]}")
#define STREAM(stream)                                                                             \
    OUT("{\"protocol\": \"vmess\", \"settings\": {\"vnext\": [{\"address\": \"a.example\", "       \
        "\"port\": 1, \"users\": [{\"id\": \"" ID "\"}]}]}, \"streamSettings\": " stream "}")
#define STREAM_AT "/outbounds/0/streamSettings"
#define ID "27848739-7e62-4138-9fd3-098a63964b6b"
#define ADDRESS "\"address\": \"a.example\""
#define PORT "\"port\": 1"
#define CLUSTER_KEYS "\"key\": \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\""
#define AUTHORITY "test_conf_wrong.pem" /* in the working folder */
#define TAGGED(tag) "{\"protocol\": \"freedom\", \"tag\": \"" tag "\"}"
#define ROUTED(routing)                                                                            \
    "{\"outbounds\": [" TAGGED("a") ", " TAGGED("b") "], \"routing\": " routing "}"

static const struct home homes[] = {
    {"-",
     "",
     "@",
     {PORT, "\"inbounds\": [{\"protocol\": \"socks\", \"listen\": \"127.0.0.1\"}]",
      "\"outbounds\": [{\"protocol\": \"freedom\"}]"}},
    {"log", "/log", "{\"log\": @}", {NULL}},
    {"policy", "/policy", "{\"policy\": @}", {NULL}},
    {"policy.system", "/policy/system", "{\"policy\": {\"system\": @}}", {NULL}},
    {"policy.levels{}", "/policy/levels/1", "{\"policy\": {\"levels\": {\"1\": @}}}", {NULL}},
    {"inbounds[]",
     "/inbounds/0",
     "{\"inbounds\": [@], \"outbounds\": [{\"protocol\": \"freedom\"}]}",
     {"\"protocol\": \"dokodemo-door\"", PORT, "\"settings\": {" ADDRESS "}"}},
    {"inbounds[].settings(dokodemo-door)",
     "/inbounds/0/settings",
     PROXY_IN("dokodemo-door", "@"),
     {ADDRESS}},
    {"inbounds[].settings(ingress)",
     "/inbounds/0/settings",
     PROXY_IN("ingress", "@"),
     {"\"routes\": [{\"address\": \"192.0.2.1:80\"}]", "\"routesUrl\": null"}},
    {"inbounds[].settings(vmess)", "/inbounds/0/settings", PROXY_IN("vmess", "@"), {NULL}},
    {"inbounds[].settings(vmess).clients[]",
     "/inbounds/0/settings/clients/0",
     PROXY_IN("vmess", "{\"clients\": [@]}"),
     {"\"id\": \"" ID "\""}},
    {"inbounds[].settings(socks)", "/inbounds/0/settings", PROXY_IN("socks", "@"), {NULL}},
    {"inbounds[].settings(socks).accounts[]",
     "/inbounds/0/settings/accounts/0",
     PROXY_IN("socks", "{\"auth\": \"password\", \"accounts\": [@]}"),
     {"\"user\": \"u\"", "\"pass\": \"p\""}},
    {"inbounds[].settings(http)", "/inbounds/0/settings", PROXY_IN("http", "@"), {NULL}},
    {"inbounds[].settings(http).accounts[]",
     "/inbounds/0/settings/accounts/0",
     PROXY_IN("http", "{\"accounts\": [@]}"),
     {"\"user\": \"u\"", "\"pass\": \"p\""}},
    {"outbounds[]", "/outbounds/0", OUT("@"), {"\"protocol\": \"freedom\""}},
    {"outbounds[].mux",
     "/outbounds/0/mux",
     OUT("{\"protocol\": \"vmess\", \"settings\": {\"vnext\": [{\"address\": \"a.example\", "
         "\"port\": 1, \"users\": [{\"id\": \"" ID "\"}]}]}, \"mux\": @}"),
     {NULL}},
    {"outbounds[].proxySettings",
     "/outbounds/0/proxySettings",
     OUT("{\"protocol\": \"freedom\", \"proxySettings\": @}, " TAGGED("b")),
     {"\"tag\": \"b\""}},
    {"outbounds[].settings(freedom)", "/outbounds/0/settings", PROXY_OUT("freedom", "@"), {NULL}},
    {"outbounds[].settings(dns)", "/outbounds/0/settings", PROXY_OUT("dns", "@"), {NULL}},
    {"outbounds[].settings(file)",
     "/outbounds/0/settings",
     PROXY_OUT("file", "@"),
     {"\"root\": \"/\""}},
    {"outbounds[].settings(web)",
     "/outbounds/0/settings",
     OUT("{\"protocol\": \"web\", \"settings\": @}, " TAGGED("b")),
     {"\"routes\": [{\"address\": \"192.0.2.1:80\"}]"}},
    {"routes[]",
     "/outbounds/0/settings/routes/0",
     OUT("{\"protocol\": \"web\", \"settings\": {\"routes\": [@]}}, " TAGGED("b")),
     {"\"address\": \"192.0.2.1:80\""}},
    {"outbounds[].settings(blackhole)",
     "/outbounds/0/settings",
     PROXY_OUT("blackhole", "@"),
     {NULL}},
    {"outbounds[].settings(blackhole).response",
     "/outbounds/0/settings/response",
     PROXY_OUT("blackhole", "{\"response\": @}"),
     {"\"type\": \"none\""}},
    {"outbounds[].settings(vmess)",
     "/outbounds/0/settings",
     PROXY_OUT("vmess", "@"),
     {ADDRESS, PORT, "\"id\": \"" ID "\""}},
    {"outbounds[].settings(vmess).vnext[]",
     "/outbounds/0/settings/vnext/0",
     PROXY_OUT("vmess", "{\"vnext\": [@]}"),
     {ADDRESS, PORT, "\"users\": [{\"id\": \"" ID "\"}]"}},
    {"outbounds[].settings(vmess).vnext[].users[]",
     "/outbounds/0/settings/vnext/0/users/0",
     VNEXT(ADDRESS ", " PORT ", ", "[@]"),
     {"\"id\": \"" ID "\""}},
    {"outbounds[].settings(socks)",
     "/outbounds/0/settings",
     PROXY_OUT("socks", "@"),
     {"\"servers\": [{" ADDRESS ", " PORT "}]"}},
    {"outbounds[].settings(socks).servers[]",
     "/outbounds/0/settings/servers/0",
     SERVERS("socks", "@"),
     {ADDRESS, PORT}},
    {"outbounds[].settings(socks).servers[].users[]",
     "/outbounds/0/settings/servers/0/users/0",
     SERVERS("socks", "{" ADDRESS ", " PORT ", \"users\": [@]}"),
     {"\"user\": \"u\"", "\"pass\": \"p\""}},
    {"outbounds[].settings(http)",
     "/outbounds/0/settings",
     PROXY_OUT("http", "@"),
     {"\"servers\": [{" ADDRESS ", " PORT "}]"}},
    {"outbounds[].settings(http).servers[]",
     "/outbounds/0/settings/servers/0",
     SERVERS("http", "@"),
     {ADDRESS, PORT}},
    {"outbounds[].settings(http).servers[].users[]",
     "/outbounds/0/settings/servers/0/users/0",
     SERVERS("http", "{" ADDRESS ", " PORT ", \"users\": [@]}"),
     {"\"user\": \"u\"", "\"pass\": \"p\""}},
    {"sniffing",
     "/inbounds/0/sniffing",
     "{\"inbounds\": [{\"protocol\": \"socks\", \"listen\": \"127.0.0.1\", \"port\": 1, "
     "\"sniffing\": @}], \"outbounds\": [{\"protocol\": \"freedom\"}]}",
     {"\"enabled\": true"}},
    {"routesUrl",
     "/inbounds/0/settings/routesUrl",
     "{\"inbounds\": [{\"protocol\": \"ingress\", \"listen\": \"127.0.0.1\", \"port\": 1, "
     "\"settings\": {\"portal\": \"p\", \"routesUrl\": @}}], \"reverse\": {\"portals\": [{\"tag\": "
     "\"p\", \"domain\": \"*.r.example\"}]}}",
     {"\"url\": \"http://a.example/\""}},
    {"streamSettings", STREAM_AT, STREAM("@"), {NULL}},
    {"streamSettings.tcpSettings",
     STREAM_AT "/tcpSettings",
     STREAM("{\"network\": \"tcp\", \"tcpSettings\": @}"),
     {NULL}},
    {"streamSettings.tcpSettings.header",
     STREAM_AT "/tcpSettings/header",
     STREAM("{\"tcpSettings\": {\"header\": @}}"),
     {"\"type\": \"http\""}},
    {"streamSettings.tcpSettings.header.request",
     STREAM_AT "/tcpSettings/header/request",
     STREAM("{\"tcpSettings\": {\"header\": {\"type\": \"http\", \"request\": @}}}"),
     {NULL}},
    {"streamSettings.tcpSettings.header.response",
     STREAM_AT "/tcpSettings/header/response",
     STREAM("{\"tcpSettings\": {\"header\": {\"type\": \"http\", \"response\": @}}}"),
     {NULL}},
    {"streamSettings.wsSettings",
     STREAM_AT "/wsSettings",
     STREAM("{\"network\": \"ws\", \"wsSettings\": @}"),
     {NULL}},
    {"streamSettings.httpupgradeSettings",
     STREAM_AT "/httpupgradeSettings",
     STREAM("{\"network\": \"httpupgrade\", \"httpupgradeSettings\": @}"),
     {NULL}},
    {"streamSettings.dsSettings",
     STREAM_AT "/dsSettings",
     STREAM("{\"network\": \"domainsocket\", \"dsSettings\": @}"),
     {"\"path\": \"/run/v2c.sock\""}},
    {"streamSettings.sockopt", STREAM_AT "/sockopt", STREAM("{\"sockopt\": @}"), {NULL}},
    {"streamSettings.tlsSettings",
     STREAM_AT "/tlsSettings",
     STREAM("{\"security\": \"tls\", \"tlsSettings\": @}"),
     {NULL}},
    {"streamSettings.tlsSettings.certificates[]",
     STREAM_AT "/tlsSettings/certificates/0",
     STREAM("{\"security\": \"tls\", \"tlsSettings\": {\"certificates\": [@]}}"),
     {"\"usage\": \"verify\"", "\"certificateFile\": \"" AUTHORITY "\""}},
    {"api", "/api", "{\"api\": @}", {"\"tag\": \"api\""}},
    {"reverse", "/reverse", "{\"reverse\": @}", {NULL}},
    {"reverse.bridges[]",
     "/reverse/bridges/0",
     "{\"reverse\": {\"bridges\": [@]}}",
     {"\"tag\": \"b\"", "\"domain\": \"r.example\""}},
    {"reverse.bridges[].health",
     "/reverse/bridges/0/health",
     "{\"reverse\": {\"bridges\": [{\"tag\": \"b\", \"domain\": \"r.example\", \"health\": @}]}}",
     {"\"address\": \"127.0.0.1:80\""}},
    {"reverse.portals[]",
     "/reverse/portals/0",
     "{\"reverse\": {\"portals\": [@]}}",
     {"\"tag\": \"p\"", "\"domain\": \"r.example\""}},
    {"reverse.portals[].claims[]",
     "/reverse/portals/0/claims/0",
     "{\"reverse\": {\"portals\": [{\"tag\": \"p\", \"domain\": \"*.r.example\", \"claims\": "
     "[@]}]}}",
     {"\"user\": \"a\"", "\"certificate\": \"a\""}},
    {"cluster", "/cluster", "{\"cluster\": @}", {CLUSTER_KEYS, "\"peers\": [\"a.example\"]"}},
    {"cluster.registry",
     "/cluster/registry",
     "{\"cluster\": {" CLUSTER_KEYS ", \"registry\": @}}",
     {"\"redis\": \"a.example\""}},
    {"cluster.registry.sentinel",
     "/cluster/registry/sentinel",
     "{\"cluster\": {" CLUSTER_KEYS ", \"registry\": {\"sentinel\": @}}}",
     {"\"master\": \"m\"", "\"servers\": \"a.example\""}},
    {"dns", "/dns", "{\"dns\": @}", {NULL}},
    {"dns.servers[]",
     "/dns/servers/0",
     "{\"dns\": {\"servers\": [@]}}",
     {"\"address\": \"192.0.2.1\""}},
    {"routing", "/routing", ROUTED("@"), {NULL}},
    {"routing.rules[]",
     "/routing/rules/0",
     ROUTED("{\"rules\": [@]}"),
     {"\"type\": \"field\"", "\"outboundTag\": \"a\"", "\"sourcePort\": 7"}},
    {"routing.balancers[]",
     "/routing/balancers/0",
     ROUTED("{\"balancers\": [@]}"),
     {"\"tag\": \"l\"", "\"selector\": [\"a\"]"}},
    {"routing.balancers[].strategy",
     "/routing/balancers/0/strategy",
     ROUTED("{\"balancers\": [{\"tag\": \"l\", \"selector\": [\"a\"], \"strategy\": @}]}"),
     {NULL}},
    {"observatory",
     "/observatory",
     "{\"outbounds\": [" TAGGED("a") "], \"observatory\": @}",
     {"\"subjectSelector\": [\"a\"]"}},
};

static const struct home *home_of(const char *object)
{
    for (size_t i = 0; i < sizeof homes / sizeof *homes; i++)
        if (strcmp(homes[i].object, object) == 0)
            return &homes[i];
    print_error("no configuration here holds the object \"%s\"\n", object);
    return NULL;
}

/* --- keys and values --- */

struct key {
    char object[128], name[64], type[64];
};

/* What JSON values a type of the manual can be, besides null: b, n, t, a, o. */
static const struct {
    const char *type, *kinds;
} types[] = {
    {"bool", "b"},
    {"number", "n"},
    {"bool|number", "bn"},
    {"object", "o"},
    {"objects", "a"},
    {"list", "a"},
    {"texts", "at"},
    {"words", "at"},
    {"tags", "at"},
    {"emails", "at"},
    {"names", "at"},
    {"networks", "at"},
    {"lines", "a"},
    {"condition", "ot"},
    {"port|range|env", "nt"},
    {"ports", "nt"},
    {"port", "n"},
    {"0", "n"},
    {"localhost", "a"},
    {"text|object", "ot"},
    {"routes", "a"},
    {"seconds|duration", "nt"},
};

static const char *kinds_of(const char *type)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].type, type) == 0)
            return types[i].kinds;
    return "t";
}

/* What a key is tried with. wrong: it is also wrong where its kind is right. */
struct probe {
    const char *value;
    char kind;
    bool wrong;
    const char
        *found; /* as messages say it; they do not quote what may be a secret in a wrong place */
    const char *inside; /* the same where its kind is right */
};

static const struct probe probes[] = {
    {"true", 'b', false, "got true", NULL},
    {"false", 'b', false, "got false", NULL},
    {"0", 'n', false, "got the number 0", NULL},
    {"7", 'n', false, "got the number 7", NULL},
    {"-7", 'n', true, "got the number -7", "-7"},
    {"1.5", 'n', true, "got the number 1.5", "1.5"},
    {"99999999999999", 'n', true, "got the number 99999999999999", "99999999999999"},
    {"\"no such thing!\"", 't', true, "got text", "no such thing!"},
    {"\"\"", 't', true, "got text", ""},
    {"[]", 'a', true, "got an array", ""},
    {"[null]", 'a', true, "got an array", "got null"},
    {"[7]", 'a', true, "got an array", "got the number 7"},
    {"{}", 'o', false, "got an object", NULL},
};

/* --- what is taken on purpose --- */

static const char junk[] = "\"no such thing!\"", nothing[] = "\"\"", below[] = "-7";

/* object: with a "*" all that begin so. Keys have a space on both sides. */
static const struct {
    const char *value, *object, *keys;
} taken[] = {
    /* any text is one */
    {junk, "api", " tag "},
    {junk, "cluster.registry*", " password master "},
    {junk, "dns", " tag "},
    {junk, "inbounds*", " tag email user pass address "},
    {junk, "log", " access error "},
    {junk, "outbounds[]", " tag "},
    {junk, "outbounds[].settings*", " email user pass address "},
    {junk, "reverse*", " tag certificate "},
    {junk, "routing*", " tag ruleTag "},
    {junk, "sniffing", " domainsExcluded "},
    {junk, "streamSettings*",
     " bindToDevice interface tcpCongestion alpn serverName keyFile earlyDataHeaderName reason "},
    /* empty, as if it were not there */
    {nothing, "api", " hosts services token tokenFile "},
    {nothing, "cluster", " node zone listen advertise peers networks "},
    {nothing, "cluster.registry*", " user password passwordFile "},
    {nothing, "dns*", " tag clientIp domains expectIPs expectedIPs "},
    {nothing, "inbounds*",
     " tag domainOverride network pass email tunnel tenant portal routesFile trustedProxies "},
    {nothing, "log", " access error "},
    {nothing, "observatory", " subjectSelector "},
    {nothing, "outbounds[]", " tag "},
    {nothing, "outbounds[].settings*", " redirect pass email trustedProxies "},
    {nothing, "reverse.bridges[]*", " node cluster tenant path "},
    {nothing, "reverse.portals[]", " controlDomain hostDomain "},
    {nothing, "reverse.portals[].claims[]", " user certificate tenant "},
    {nothing, "routes[]", " path header value tunnel node cluster portal tenant outboundTag "},
    {nothing, "routing.balancers[]", " fallbackTag "},
    {nothing, "routing.rules[]", " attrs domain domains ip network ruleTag source sourceIP "},
    {nothing, "sniffing", " destOverride domainsExcluded ipsExcluded "},
    {nothing, "streamSettings", " security "},
    {nothing, "streamSettings.tcpSettings*", " path reason "},
    {nothing, "streamSettings.wsSettings", " host path trustedProxies earlyDataHeaderName "},
    {nothing, "streamSettings.httpupgradeSettings", " host path trustedProxies "},
    {nothing, "streamSettings.sockopt", " bindToDevice interface tcpCongestion "},
    {nothing, "streamSettings.tlsSettings*",
     " alpn cipherSuites pinnedPeerCertSha256 pinnedPeerCertificateChainSha256 serverName "
     "keyFile "},
    {"[]", "-", " inbounds outbounds inboundDetour outboundDetour "},
    {"[]", "api", " hosts services "},
    {"[]", "cluster", " peers networks "},
    {"[]", "dns*", " servers domains expectIPs expectedIPs "},
    {"[]", "inbounds*", " domainOverride network accounts clients trustedProxies "},
    {"[]", "observatory", " subjectSelector "},
    {"[]", "outbounds[].settings(socks).servers[]", " users "},
    {"[]", "outbounds[].settings(http).servers[]", " users "},
    {"[]", "outbounds[].settings(vmess)", " vnext "},
    {"[]", "outbounds[].settings(web)", " trustedProxies routes "},
    {"[]", "reverse", " bridges portals "},
    {"[]", "routing*", " rules balancers domain domains ip network source sourceIP "},
    {"[]", "sniffing", " destOverride domainsExcluded ipsExcluded "},
    {"[]", "streamSettings.tcpSettings.header.request", " path "},
    {"[]", "streamSettings.wsSettings", " trustedProxies "},
    {"[]", "streamSettings.httpupgradeSettings", " trustedProxies "},
    {"[]", "streamSettings.tlsSettings*",
     " alpn certificates pinnedPeerCertSha256 pinnedPeerCertificateChainSha256 certificate key "},
    /* below 0 is off, or without bound */
    {below, "outbounds[].mux", " concurrency "},
    {below, "policy.levels{}", " bufferSize "},
    {below, "streamSettings.sockopt", " tcpFastOpen tcpKeepAliveIdle tcpKeepAliveInterval "},
};

static bool is_object(const char *pattern, const char *object)
{
    size_t len = strlen(pattern);
    bool prefix = pattern[len - 1] == '*';
    return prefix ? strncmp(object, pattern, len - 1) == 0 : strcmp(object, pattern) == 0;
}

static bool is_taken(const struct key *k, const struct probe *p)
{
    char word[80];
    snprintf(word, sizeof word, " %s ", k->name);
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (strcmp(taken[i].value, p->value) == 0 && is_object(taken[i].object, k->object) &&
            strstr(taken[i].keys, word))
            return true;
    return false;
}

/* --- trying --- */

static void put(char out[TEXT_MAX], const char *text, size_t len)
{
    size_t used = strlen(out);
    assert_true(used + len < TEXT_MAX);
    memcpy(out + used, text, len);
    out[used + len] = '\0';
}

static bool names_key(const char *member, const char *key)
{
    size_t len = strlen(key);
    return strncmp(member + 1, key, len) == 0 && member[1 + len] == '"';
}

/* value NULL: the key is absent. */
static void write_config(const struct home *h, const char *key, const char *value,
                         char out[TEXT_MAX])
{
    char object[TEXT_MAX] = "{";
    for (size_t i = 0; i < MEMBERS_MAX && h->members[i]; i++)
        if (!names_key(h->members[i], key)) {
            put(object, object[1] ? ", " : "", object[1] ? 2 : 0);
            put(object, h->members[i], strlen(h->members[i]));
        }
    if (value) {
        char member[256];
        int len =
            snprintf(member, sizeof member, "%s\"%s\": %s", object[1] ? ", " : "", key, value);
        put(object, member, (size_t)len);
    }
    put(object, "}", 1);
    const char *at = strchr(h->around, '@');
    out[0] = '\0';
    put(out, h->around, (size_t)(at - h->around));
    put(out, object, strlen(object));
    put(out, at + 1, strlen(at + 1));
}

/* Messages that do not "want": a name that nothing has is wish enough. */
static const char *const wishes[] = {"want ",           "did you mean", " has the tag ",
                                     " has the email ", "that begins",  "v2c recognises",
                                     "not a UUID",      "is empty",     "be empty",
                                     "empty ",          "is not set",   "is specified",
                                     "cannot be read",  "cannot open",  "by its IP address only"};

/* Of these no message shows anything. */
static bool is_secret(const struct key *k)
{
    return strcmp(k->name, "id") == 0 || strcmp(k->name, "token") == 0 ||
           (strcmp(k->name, "key") == 0 && strcmp(k->type, "text") == 0);
}

static bool says(const char *message, const char *what)
{
    const char *found = strstr(message, what), *end = strchr(message, '\n');
    return found && found < end;
}

static bool says_wish(const char *message)
{
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++)
        if (says(message, wishes[i]))
            return true;
    return false;
}

/* The message about the key or what lies in it; NULL: there is none. */
static const char *message_about(char *said, const char *pointer, const char *key)
{
    char want[256];
    int len = snprintf(want, sizeof want, ": %s/%s", pointer, key);
    for (char *p = said; (p = strstr(p, want)); p += len)
        if (p[len] == ':' || p[len] == '/')
            return p;
    return NULL;
}

static struct run run_with(const struct key *k, const struct home *h, const char *value)
{
    char text[TEXT_MAX];
    write_config(h, k->name, value, text);
    return run_text(text);
}

static bool complain(const struct key *k, const char *value, const char *what, const char *said)
{
    print_error("%s %s = %s: %s\n%s", k->object, k->name, value, what, said);
    return false;
}

static bool judge(const struct key *k, const struct probe *p, const struct run *r,
                  const char *message)
{
    bool right_kind = strchr(kinds_of(k->type), p->kind);
    if (is_taken(k, p))
        return (r->config && !message) || complain(k, p->value, "was to be taken", r->said);
    if (!message)
        return complain(k, p->value, r->config ? "is taken" : "no message has its pointer",
                        r->said);
    if (says(message, "has no effect"))
        return true;
    if (!says_wish(message))
        return complain(k, p->value, "what is wanted?", message);
    if (!(right_kind && is_secret(k)) && !says(message, right_kind ? p->inside : p->found))
        return complain(k, p->value, "what was found?", message);
    return true;
}

static bool try_wrong(const struct key *k, const struct home *h, const struct probe *p)
{
    struct run r = run_with(k, h, p->value);
    bool well = judge(k, p, &r, message_about(r.said, h->pointer, k->name));
    run_free(&r);
    return well;
}

/* As if it were not there. */
static bool try_null(const struct key *k, const struct home *h)
{
    struct run with = run_with(k, h, "null"), without = run_with(k, h, NULL);
    bool well = !with.config == !without.config;
    if (!well)
        complain(k, "null", "is not as if it were absent", with.said);
    run_free(&with);
    run_free(&without);
    return well;
}

static bool try_key(const struct key *k)
{
    const struct home *h = home_of(k->object);
    bool well = h && try_null(k, h);
    for (size_t i = 0; h && i < sizeof probes / sizeof *probes; i++)
        if (probes[i].wrong || !strchr(kinds_of(k->type), probes[i].kind))
            well &= try_wrong(k, h, &probes[i]);
    return well;
}

static void test_wrong_values_are_named(void **state)
{
    (void)state;
    char *all = NULL, *rest, *line;
    size_t len, keys = 0, failed = 0;
    FILE *out = open_memstream(&all, &len);
    assert_non_null(out);
    conf_keys_print(out);
    fclose(out);
    for (rest = all; (line = strsep(&rest, "\n")) && *line; keys++) {
        struct key k;
        assert_int_equal(sscanf(line, "%127s %63s %63s", k.object, k.name, k.type), 3);
        failed += !try_key(&k);
    }
    free(all);
    assert_true(keys > 100);
    assert_int_equal(failed, 0);
}

/* The configurations themselves are right: else nothing is tried. */
static void test_homes_load(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof homes / sizeof *homes; i++) {
        char text[TEXT_MAX];
        struct run r;
        write_config(&homes[i], "", NULL, text);
        run_good(&r, text);
        run_free(&r);
    }
}

static int authority_make(void **state)
{
    struct cert c;
    (void)state;
    cert_make(&c, &(struct cert_for){.authority = true});
    cert_write(AUTHORITY, c.pem);
    cert_free(&c);
    return 0;
}

static int authority_remove(void **state)
{
    (void)state;
    return unlink(AUTHORITY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_homes_load),
        cmocka_unit_test(test_wrong_values_are_named),
    };
    /* The system's certificates would be read again for each value. */
    setenv("SSL_CERT_FILE", "/dev/null", 1);
    return cmocka_run_group_tests(tests, authority_make, authority_remove);
}
