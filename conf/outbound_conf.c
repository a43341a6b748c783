#include <string.h>

#include "conf/compile.h"
#include "reverse/muxed.h"

struct outbound_keys {
    const char *tag;
    const struct node *protocol, *settings, *send_through, *stream, *mux, *proxy;
};

struct mux_keys {
    bool enabled;
    int64_t concurrency;
};

static const struct field_name protocol_names[] = {
    {"freedom", OUT_FREEDOM},
    {"direct", OUT_FREEDOM},
    {"blackhole", OUT_BLACKHOLE},
    {"block", OUT_BLACKHOLE},
    {"vmess", OUT_VMESS},
    {"socks", OUT_SOCKS},
    {"http", OUT_HTTP},
    {"shadowsocks", NAME_LATER},
    {"trojan", NAME_LATER},
    {"vless", NAME_LATER},
    {"dns", OUT_DNS},
    {"file", OUT_FILE},
    {"web", OUT_WEB},
    {"loopback", NAME_LATER},
    {"mtproto", NAME_LATER},
    {"wireguard", NAME_LATER},
    {"hysteria", NAME_LATER},
    {"hysteria2", NAME_LATER},
    {NULL, 0},
};

const struct field mux_fields[] = {
    FIELD_BOOL("enabled", struct mux_keys, enabled, false),
    FIELD_NUMBER("concurrency", struct mux_keys, concurrency, INT16_MIN, INT32_MAX, MUXED_STREAMS),
    FIELD_IGNORED("xudpConcurrency"),
    FIELD_IGNORED("xudpProxyUDP443"),
    FIELD_END,
};

const struct field outbound_fields[] = {
    FIELD_TEXT("tag", struct outbound_keys, tag, ""),
    FIELD_NODE("protocol", struct outbound_keys, protocol, "protocol"),
    FIELD_NODE("settings", struct outbound_keys, settings, "object"),
    FIELD_NODE("sendThrough", struct outbound_keys, send_through, "IP"),
    FIELD_NODE("streamSettings", struct outbound_keys, stream, "object"),
    FIELD_NODE("mux", struct outbound_keys, mux, "object"),
    FIELD_NODE("proxySettings", struct outbound_keys, proxy, "object"),
    FIELD_LATER_UNLESS("domainStrategy", "domainStrategy of outbounds", "AsIs"),
    FIELD_LATER_UNLESS("targetStrategy", "targetStrategy of outbounds", "AsIs"),
    FIELD_END,
};

/* Of these protocols a server can be one that knows the Mux.Cool name. */
static bool may_mux(int kind)
{
    return kind == OUT_VMESS;
}

/* A concurrency below 0 turns mux off whatever "enabled" says. */
static void mux_build(struct build *b, const struct node *at, int kind, struct outbound_conf *out)
{
    struct mux_keys keys;
    if (!at || !fields_read(b->report, at, mux_fields, &keys))
        return;
    if (keys.concurrency > MUXED_STREAMS_MAX)
        report_error(b->report, node_member(at, "concurrency"),
                     "invalid mux concurrency: %lld: want at most %d", (long long)keys.concurrency,
                     MUXED_STREAMS_MAX);
    else if (keys.enabled && keys.concurrency >= 0 && kind >= 0 && !may_mux(kind))
        report_error(b->report, at, "v2c has mux on vmess outbounds only: leave it out");
    else if (keys.enabled && keys.concurrency >= 0)
        out->mux = keys.concurrency ? (unsigned)keys.concurrency : MUXED_STREAMS;
}

static void send_through_build(struct build *b, const struct node *at, const struct addr **from)
{
    static const uint8_t any[16];
    struct addr a = {0};
    if (!at || !value_host(b->report, at, &a))
        return;
    if (!addr_is_ip(&a))
        report_error(b->report, at, "unable to send through: %.64s: want an IP address", a.name);
    else if (memcmp(a.ip, any, addr_ip_len(&a)) != 0)
        *from = build_keep(b, &a, sizeof a);
}

static int protocol_of(struct build *b, const struct node *at, const struct node *protocol)
{
    if (protocol)
        return value_name(b->report, protocol, protocol_names,
                          "failed to parse to outbound detour config: unknown config id",
                          "outbound");
    report_error(b->report, at,
                 "failed to parse to outbound detour config: unknown config id: \"protocol\" is "
                 "missing");
    return NAME_DEFAULT;
}

void outbound_conf_init(struct build *b, const struct node *at, const char *tag,
                        struct outbound_conf *out)
{
    char pointer[NODE_POINTER_MAX];
    out->tag = build_text(b, tag);
    out->pointer = build_text(b, node_pointer(at, pointer));
    static const struct traffic uncounted = {-1, -1};
    static const struct addr any = {0};
    out->traffic = build_keep(b, &uncounted, sizeof uncounted);
    out->send_through = build_keep(b, &any, sizeof any);
}

void outbound_conf_build(struct build *b, const struct node *at, struct outbound_conf *out)
{
    struct outbound_keys keys;
    fields_read(b->report, at, outbound_fields, &keys);
    outbound_conf_init(b, at, keys.tag, out);
    out->traffic = build_kept_traffic(b, "outbound", out->tag, b->outbound_up, b->outbound_down);
    send_through_build(b, keys.send_through, &out->send_through);
    out->carriage = stream_conf_build(b, keys.stream, false);
    chain_conf_build(b, keys.proxy, out);
    int kind = protocol_of(b, at, keys.protocol);
    mux_build(b, keys.mux, kind, out);
    out->kind = kind < 0 ? OUT_BLACKHOLE : (enum outbound_kind)kind;
    if (kind == OUT_FREEDOM)
        freedom_conf_build(b, keys.settings, out);
    else if (kind == OUT_DNS)
        dns_out_conf_build(b, keys.settings, out);
    else if (kind == OUT_FILE)
        file_conf_build(b, keys.settings, at, out);
    else if (kind == OUT_BLACKHOLE)
        blackhole_conf_build(b, keys.settings, out);
    else if (kind == OUT_VMESS)
        vmess_out_conf_build(b, keys.settings, at, out);
    else if (kind == OUT_SOCKS)
        socks_out_conf_build(b, keys.settings, at, out);
    else if (kind == OUT_HTTP)
        http_out_conf_build(b, keys.settings, at, out);
}
