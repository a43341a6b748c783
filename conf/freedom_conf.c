#include <string.h>
#include <strings.h>

#include "conf/compile.h"

struct freedom_keys {
    int family;
    const struct node *redirect;
    int64_t announces, timeout, level;
};

static const struct field_name family_names[] = {
    {"AsIs", DIAL_AS_IS},        {"UseIP", DIAL_ANY},
    {"UseIPv4", DIAL_IPV4},      {"UseIPv6", DIAL_IPV6},
    {"use_ip", DIAL_ANY},        {"use_ipv4", DIAL_IPV4},
    {"use_ipv6", DIAL_IPV6},     {"use_ip_v4", DIAL_IPV4},
    {"use_ip_v6", DIAL_IPV6},    {"use-ip", DIAL_ANY},
    {"use-ipv4", DIAL_IPV4},     {"use-ipv6", DIAL_IPV6},
    {"UseIPv4v6", NAME_LATER},   {"UseIPv6v4", NAME_LATER},
    {"ForceIP", NAME_LATER},     {"ForceIPv4", NAME_LATER},
    {"ForceIPv6", NAME_LATER},   {"ForceIPv4v6", NAME_LATER},
    {"ForceIPv6v4", NAME_LATER}, {NULL, 0},
};

const struct field freedom_fields[] = {
    FIELD_NODE("redirect", struct freedom_keys, redirect, "host:port"),
    FIELD_NAME_LENIENT("domainStrategy", struct freedom_keys, family, family_names, DIAL_AS_IS),
    FIELD_NUMBER("proxyProtocol", struct freedom_keys, announces, 0, 2, 0),
    FIELD_NUMBER("timeout", struct freedom_keys, timeout, 0, UINT32_MAX, 0),
    FIELD_NUMBER("userLevel", struct freedom_keys, level, 0, UINT32_MAX, 0),
    FIELD_LATER("fragment"),
    FIELD_LATER("noise"),
    FIELD_LATER("noises"),
    FIELD_LATER("finalRules"),
    FIELD_LATER("ipsBlocked"),
    FIELD_LATER("protocolReplacement"),
    FIELD_END,
};

static bool redirect_port(const char *text, uint16_t *port)
{
    unsigned v = 0;
    size_t len = strspn(text, "0123456789");
    if (len == 0 || len > 5 || text[len])
        return false;
    for (size_t i = 0; i < len; i++)
        v = v * 10 + (unsigned)(text[i] - '0');
    *port = (uint16_t)v;
    return v <= UINT16_MAX;
}

/* "host:port"; no host or 0.0.0.0 keeps the visitor's, port 0 keeps the port. An IPv6 host stands in
 * brackets. */
static void redirect_build(struct build *b, const struct node *at, struct addr *to)
{
    struct err e = {0};
    struct addr a = {0};
    static const uint8_t any[4];
    if (at->type != NODE_TEXT) {
        report_wrong(b->report, at, "\"host:port\" as text");
        return;
    }
    if (!*at->text)
        return;
    const char *colon = strrchr(at->text, ':'), *bracket = strchr(at->text, ']');
    size_t host = colon ? (size_t)(colon - at->text) : 0;
    bool bare_v6 = colon && !bracket && memchr(at->text, ':', host);
    if (!colon || (bracket && bracket + 1 != colon) || bare_v6)
        report_error(b->report, at, "invalid redirect address: %.64s: %s", at->text,
                     bare_v6 ? "too many colons, want \"[v6]:port\""
                             : "missing port in address, want \"host:port\"");
    else if (!redirect_port(colon + 1, &a.port))
        report_error(b->report, at, "invalid redirect port: %.64s: want 0..65535 behind the colon",
                     at->text);
    else if (host > 0 && addr_parse_host(&a, at->text, host, &e) < 0)
        report_error(b->report, at, "invalid redirect address: %s", e.text);
    else {
        if (a.type == ADDR_IPV4 && memcmp(a.ip, any, sizeof any) == 0)
            a = (struct addr){.port = a.port};
        *to = a;
    }
}

void freedom_conf_build(struct build *b, const struct node *at, struct outbound_conf *out)
{
    struct freedom_keys keys;
    fields_read(b->report, at, freedom_fields, &keys);
    out->freedom.family = (enum dial_family)keys.family;
    out->freedom.announces = (int)keys.announces;
    if (keys.redirect)
        redirect_build(b, keys.redirect, &out->freedom.redirect);
    out->policy = build_policy(b, keys.level, keys.timeout);
}
