#include <strings.h>

#include "conf/compile.h"

enum { SECURITY_NONE, SECURITY_TLS };
enum { NETWORK_TCP, NETWORK_WS, NETWORK_UPGRADE, NETWORK_DS };

static const struct field_name network_names[] = {
    {"tcp", NETWORK_TCP},
    {"raw", NETWORK_TCP},
    {"ws", NETWORK_WS},
    {"websocket", NETWORK_WS},
    {"httpupgrade", NETWORK_UPGRADE},
    {"ds", NETWORK_DS},
    {"domainsocket", NETWORK_DS},
    {"http", NAME_LATER},
    {"h2", NAME_LATER},
    {"grpc", NAME_LATER},
    {"gun", NAME_LATER},
    {"kcp", NAME_LATER},
    {"mkcp", NAME_LATER},
    {"quic", NAME_LATER},
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

/* The settings of transports and of security that are not chosen: see warn_unused(). */
const struct field stream_fields[] = {
    FIELD_NODE("network", struct stream_keys, network, "tcp|raw|ws|httpupgrade|domainsocket"),
    FIELD_NODE("security", struct stream_keys, security, "none|tls"),
    FIELD_NODE("tcpSettings", struct stream_keys, tcp, "object"),
    FIELD_NODE("rawSettings", struct stream_keys, raw, "object"),
    FIELD_NODE("wsSettings", struct stream_keys, ws, "object"),
    FIELD_NODE("httpupgradeSettings", struct stream_keys, upgrade, "object"),
    FIELD_NODE("dsSettings", struct stream_keys, ds, "object"),
    FIELD_NODE("tlsSettings", struct stream_keys, tls, "object"),
    FIELD_NODE("sockopt", struct stream_keys, sockopt, "object"),
    FIELD_IGNORED("kcpSettings"),
    FIELD_IGNORED("httpSettings"),
    FIELD_IGNORED("quicSettings"),
    FIELD_IGNORED("grpcSettings"),
    FIELD_IGNORED("gunSettings"),
    FIELD_IGNORED("xhttpSettings"),
    FIELD_IGNORED("splithttpSettings"),
    FIELD_IGNORED("hysteriaSettings"),
    FIELD_IGNORED("xtlsSettings"),
    FIELD_IGNORED("utlsSettings"),
    FIELD_IGNORED("realitySettings"),
    FIELD_LATER("finalmask"),
    FIELD_END,
};

/* --- settings without effect --- */

static bool is_settings(const char *key)
{
    size_t len = strlen(key), suffix = strlen("Settings");
    return len > suffix && strcasecmp(key + len - suffix, "Settings") == 0;
}

/* tlsSettings without "security": "tls" look like encryption and are none. */
static void warn_unused(struct build *b, const struct node *at, const struct stream_keys *keys,
                        int network, int security)
{
    const struct node *used[] = {
        network == NETWORK_TCP ? keys->tcp : NULL,
        network == NETWORK_TCP ? keys->raw : NULL,
        network == NETWORK_WS ? keys->ws : NULL,
        network == NETWORK_UPGRADE ? keys->upgrade : NULL,
        network == NETWORK_DS ? keys->ds : NULL,
        security == SECURITY_TLS ? keys->tls : NULL,
    };
    for (const struct node *n = at->first; n; n = n->next) {
        bool matters =
            !is_settings(n->key) || n->type == NODE_NULL || (n->type == NODE_OBJECT && !n->first);
        for (size_t i = 0; i < sizeof used / sizeof *used; i++)
            matters |= n == used[i];
        if (!matters)
            report_warn_key(b->report, n, "has no effect: network is %s, security is %s",
                            keys->network ? keys->network->text : "tcp",
                            security == SECURITY_TLS ? "tls" : "none");
    }
}

/* --- compiling --- */

/* What streamSettings leave out, "transport" may say for all. */
static void inherit(struct stream_keys *keys, const struct stream_keys *global)
{
    if (!keys->tcp && !keys->raw)
        keys->tcp = global->tcp;
    if (!keys->ws)
        keys->ws = global->ws;
    if (!keys->upgrade)
        keys->upgrade = global->upgrade;
    if (!keys->ds)
        keys->ds = global->ds;
}

static void network_build(struct build *b, const struct node *at, const struct stream_keys *keys,
                          int network, bool server, struct carriage *c)
{
    bool *proxy = &c->takes_proxy;
    switch (network) {
    case NETWORK_TCP:
        c->forged = tcp_conf_build(b, keys->raw ? keys->raw : keys->tcp, proxy);
        break;
    case NETWORK_WS:
        c->ws = ws_conf_build(b, keys->ws, server, proxy);
        break;
    case NETWORK_UPGRADE:
        c->upgrade = upgrade_conf_build(b, keys->upgrade, server, proxy);
        break;
    case NETWORK_DS:
        c->path = ds_conf_build(b, keys->ds, at);
    }
}

static void carriage_build(struct build *b, const struct node *at, const struct stream_keys *keys,
                           bool server, struct carriage *c)
{
    int network = NETWORK_TCP, security = SECURITY_NONE;
    if (keys->network)
        network = value_name(b->report, keys->network, network_names,
                             "Config: unknown transport protocol", "transport");
    if (keys->security)
        security = value_name(b->report, keys->security, security_names,
                              "unknown security, V2Ray would send in the clear", "security");
    if (at && network >= 0 && security >= 0)
        warn_unused(b, at, keys, network, security);
    struct stream_keys whole = *keys;
    inherit(&whole, &b->transport);
    network_build(b, at, &whole, network, server, c);
    sockopt_conf_build(b, keys->sockopt, &c->sockopt, &c->takes_proxy);
    const char *alpn = c->ws || c->upgrade ? "http/1.1" : NULL;
    if (security == SECURITY_TLS)
        c->tls = tls_conf_build(b, keys->tls, at, server, alpn);
    if (c->takes_proxy && !server)
        report_warn(b->report, at, "acceptProxyProtocol has no effect on an outbound");
    if (c->forged && c->tls)
        report_warn(b->report, at,
                    "the forged http header lies inside of TLS, where nobody sees it");
}

static bool says_nothing(const struct carriage *c)
{
    static const struct sockopt_conf usual;
    return carriage_is_plain(c) && !c->path && memcmp(&c->sockopt, &usual, sizeof usual) == 0;
}

struct carriage *stream_conf_build(struct build *b, const struct node *at, bool server)
{
    struct stream_keys keys;
    if (!fields_read(b->report, at, stream_fields, &keys))
        return NULL;
    struct carriage *c = carriage_new();
    if (!c) {
        b->scratch->failed = true;
        return NULL;
    }
    carriage_build(b, at && at->type == NODE_OBJECT ? at : NULL, &keys, server, c);
    if (!says_nothing(c))
        return c;
    carriage_unref(c);
    return NULL;
}
