#include <strings.h>

#include "conf/compile.h"

enum { SECURITY_NONE, SECURITY_TLS };

struct stream_keys {
    const struct node *network, *security, *tcp, *raw, *tls;
};

struct tcp_keys {
    const struct node *header;
};

struct header_keys {
    const struct node *type;
};

static const struct field_name network_names[] = {
    {"tcp", 0},
    {"raw", 0},
    {"ws", NAME_LATER},
    {"websocket", NAME_LATER},
    {"http", NAME_LATER},
    {"h2", NAME_LATER},
    {"grpc", NAME_LATER},
    {"gun", NAME_LATER},
    {"kcp", NAME_LATER},
    {"mkcp", NAME_LATER},
    {"quic", NAME_LATER},
    {"ds", NAME_LATER},
    {"domainsocket", NAME_LATER},
    {"httpupgrade", NAME_LATER},
    {"xhttp", NAME_LATER},
    {"splithttp", NAME_LATER},
    {"hysteria", NAME_LATER},
    {NULL, 0},
};

static const struct field_name security_names[] = {
    {"none", SECURITY_NONE},
    {"", SECURITY_NONE},
    {"tls", SECURITY_TLS},
    {"xtls", NAME_LATER},
    {"utls", NAME_LATER},
    {"reality", NAME_LATER},
    {NULL, 0},
};

static const struct field_name header_names[] = {{"none", 0}, {"http", NAME_LATER}, {NULL, 0}};

const struct field tcp_header_fields[] = {
    FIELD_NODE("type", struct header_keys, type, "none"),
    FIELD_IGNORED("request"),
    FIELD_IGNORED("response"),
    FIELD_END,
};

const struct field tcp_fields[] = {
    FIELD_NODE("header", struct tcp_keys, header, "object"),
    FIELD_LATER("acceptProxyProtocol"),
    FIELD_END,
};

static const struct field sockopt_fields[] = {
    FIELD_LATER_WHAT("mark", "sockopt mark"),
    FIELD_LATER_WHAT("tcpFastOpen", "sockopt tcpFastOpen"),
    FIELD_LATER_WHAT("tcpFastOpenQueueLength", "sockopt tcpFastOpenQueueLength"),
    FIELD_LATER_UNLESS("tproxy", "sockopt tproxy", "off"),
    FIELD_LATER_WHAT("acceptProxyProtocol", "sockopt acceptProxyProtocol"),
    FIELD_LATER_WHAT("tcpKeepAliveInterval", "sockopt tcpKeepAliveInterval"),
    FIELD_LATER_WHAT("tcpKeepAliveIdle", "sockopt tcpKeepAliveIdle"),
    FIELD_LATER_WHAT("tcpUserTimeout", "sockopt tcpUserTimeout"),
    FIELD_LATER_WHAT("tcpCongestion", "sockopt tcpCongestion"),
    FIELD_LATER_WHAT("tcpMaxSeg", "sockopt tcpMaxSeg"),
    FIELD_LATER_WHAT("tcpWindowClamp", "sockopt tcpWindowClamp"),
    FIELD_LATER_WHAT("bindToDevice", "sockopt bindToDevice"),
    FIELD_LATER_WHAT("interface", "sockopt interface"),
    FIELD_LATER_WHAT("rxBufSize", "sockopt rxBufSize"),
    FIELD_LATER_WHAT("txBufSize", "sockopt txBufSize"),
    FIELD_LATER_WHAT("forceBufSize", "sockopt forceBufSize"),
    FIELD_LATER_WHAT("mptcp", "sockopt mptcp"),
    FIELD_LATER_WHAT("tcpMptcp", "sockopt tcpMptcp"),
    FIELD_LATER_WHAT("tcpNoDelay", "sockopt tcpNoDelay"),
    FIELD_LATER_WHAT("dialerProxy", "sockopt dialerProxy"),
    FIELD_LATER_UNLESS("domainStrategy", "sockopt domainStrategy", "AsIs"),
    FIELD_LATER_WHAT("happyEyeballs", "sockopt happyEyeballs"),
    FIELD_LATER_UNLESS("addressPortStrategy", "sockopt addressPortStrategy", "none"),
    FIELD_LATER_WHAT("v6only", "sockopt v6only"),
    FIELD_LATER_WHAT("customSockopt", "sockopt customSockopt"),
    FIELD_LATER_WHAT("penetrate", "sockopt penetrate"),
    FIELD_LATER_WHAT("trustedXForwardedFor", "sockopt trustedXForwardedFor"),
    FIELD_END,
};

/* The settings of transports and of security that are not chosen: see warn_unused(). */
const struct field stream_fields[] = {
    FIELD_NODE("network", struct stream_keys, network, "tcp|raw"),
    FIELD_NODE("security", struct stream_keys, security, "none|tls"),
    FIELD_NODE("tcpSettings", struct stream_keys, tcp, "object"),
    FIELD_NODE("rawSettings", struct stream_keys, raw, "object"),
    FIELD_OBJECT("sockopt", sockopt_fields),
    FIELD_IGNORED("kcpSettings"),
    FIELD_IGNORED("wsSettings"),
    FIELD_IGNORED("httpSettings"),
    FIELD_IGNORED("quicSettings"),
    FIELD_IGNORED("dsSettings"),
    FIELD_IGNORED("grpcSettings"),
    FIELD_IGNORED("gunSettings"),
    FIELD_IGNORED("httpupgradeSettings"),
    FIELD_IGNORED("xhttpSettings"),
    FIELD_IGNORED("splithttpSettings"),
    FIELD_IGNORED("hysteriaSettings"),
    FIELD_NODE("tlsSettings", struct stream_keys, tls, "object"),
    FIELD_IGNORED("xtlsSettings"),
    FIELD_IGNORED("utlsSettings"),
    FIELD_IGNORED("realitySettings"),
    FIELD_LATER("finalmask"),
    FIELD_END,
};

static const struct field transport_fields[] = {
    FIELD_NODE("tcpSettings", struct stream_keys, tcp, "object"),
    FIELD_IGNORED("kcpSettings"),
    FIELD_IGNORED("wsSettings"),
    FIELD_IGNORED("httpSettings"),
    FIELD_IGNORED("quicSettings"),
    FIELD_IGNORED("dsSettings"),
    FIELD_IGNORED("grpcSettings"),
    FIELD_IGNORED("gunSettings"),
    FIELD_END,
};

static void tcp_check(struct build *b, const struct node *at)
{
    struct tcp_keys keys;
    struct header_keys header;
    if (!at || !fields_read(b->report, at, tcp_fields, &keys) || !keys.header)
        return;
    if (!fields_read(b->report, keys.header, tcp_header_fields, &header))
        return;
    if (header.type)
        value_name(b->report, header.type, header_names,
                   "invalid TCP header config: unknown config id", "TCP header");
    else
        report_error(b->report, keys.header,
                     "invalid TCP header config: type not found in JSON context");
}

/* tlsSettings without "security": "tls" look like encryption and are none. */
static void warn_unused(struct build *b, const struct node *at)
{
    for (const struct node *n = at->first; n; n = n->next) {
        for (const struct field *f = stream_fields; f->key; f++) {
            bool chosen = f->type != FIELD_TYPE_IGNORED && strcmp(f->key, "tlsSettings") != 0;
            if (chosen || strcasecmp(f->key, n->key) != 0)
                continue;
            if (!node_is_empty(n))
                report_warn_key(b->report, n, "has no effect: network is tcp, security is none");
        }
    }
}

static struct carriage *carriage_build(struct build *b, const struct node *at,
                                       const struct stream_keys *keys, bool server)
{
    struct carriage *c = carriage_new();
    if (c)
        c->tls = tls_conf_build(b, keys->tls, at, server, NULL);
    else
        b->scratch->failed = true;
    return c;
}

struct carriage *stream_conf_build(struct build *b, const struct node *at, bool server)
{
    struct stream_keys keys;
    int network = 0, security = 0;
    if (!at || !fields_read(b->report, at, stream_fields, &keys))
        return NULL;
    if (keys.network)
        network = value_name(b->report, keys.network, network_names,
                             "Config: unknown transport protocol", "transport");
    if (keys.security)
        security = value_name(b->report, keys.security, security_names,
                              "unknown security, V2Ray would send in the clear", "security");
    tcp_check(b, keys.tcp);
    tcp_check(b, keys.raw);
    if (network == 0 && security == SECURITY_NONE)
        warn_unused(b, at);
    return security == SECURITY_TLS ? carriage_build(b, at, &keys, server) : NULL;
}

/* Defaults for streams that leave their settings out; only those of tcp can take effect. */
void transport_conf_check(struct build *b, const struct node *at)
{
    struct stream_keys keys;
    if (fields_read(b->report, at, transport_fields, &keys))
        tcp_check(b, keys.tcp);
}
