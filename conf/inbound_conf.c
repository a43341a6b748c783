#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf/compile.h"

struct inbound_keys {
    const char *tag;
    const struct node *protocol, *listen, *port, *settings, *stream;
    const struct node *sniffing, *domain_override;
};

static const struct field_name protocol_names[] = {
    {"dokodemo-door", IN_DOKODEMO},
    {"tunnel", IN_DOKODEMO},
    {"vmess", IN_VMESS},
    {"socks", IN_SOCKS},
    {"mixed", NAME_LATER},
    {"http", IN_HTTP},
    {"ingress", IN_INGRESS},
    {"shadowsocks", NAME_LATER},
    {"trojan", NAME_LATER},
    {"vless", NAME_LATER},
    {"mtproto", NAME_LATER},
    {"tun", NAME_LATER},
    {"wireguard", NAME_LATER},
    {"hysteria", NAME_LATER},
    {"hysteria2", NAME_LATER},
    {NULL, 0},
};

static const struct field allocate_fields[] = {
    FIELD_LATER_UNLESS("strategy", "allocate strategy but always", "always"),
    FIELD_IGNORED("refresh"),
    FIELD_IGNORED("concurrency"),
    FIELD_END,
};

const struct field inbound_fields[] = {
    FIELD_TEXT("tag", struct inbound_keys, tag, ""),
    FIELD_NODE("protocol", struct inbound_keys, protocol, "protocol"),
    FIELD_NODE("listen", struct inbound_keys, listen, "address"),
    FIELD_NODE("port", struct inbound_keys, port, "port|range|env"),
    FIELD_NODE("settings", struct inbound_keys, settings, "object"),
    FIELD_NODE("streamSettings", struct inbound_keys, stream, "object"),
    FIELD_NODE("sniffing", struct inbound_keys, sniffing, "object"),
    FIELD_NODE("domainOverride", struct inbound_keys, domain_override, "words"),
    FIELD_OBJECT("allocate", allocate_fields),
    FIELD_END,
};

/* V2Ray listens on both families for 0.0.0.0 as for ::, and so do we. */
static bool is_any(const struct addr *a)
{
    static const uint8_t zero[16];
    return addr_is_ip(a) && memcmp(a->ip, zero, addr_ip_len(a)) == 0;
}

static bool is_unix(const struct node *at)
{
    return at && at->type == NODE_TEXT && (at->text[0] == '/' || at->text[0] == '@');
}

/* "/path,0660": Xray's way to say the mode of the file. */
static void unix_build(struct build *b, const struct node *at, struct inbound_conf *in)
{
    struct err e;
    char *text = arena_printf(b->scratch, "%s", at->text);
    char *comma = text && *text == '/' ? strrchr(text, ',') : NULL;
    if (comma && comma[1] && strspn(comma + 1, "01234567") == strlen(comma + 1)) {
        unsigned long mode = strtoul(comma + 1, NULL, 8);
        if (mode > 0777)
            report_error(b->report, at, "want a mode up to 0777, got %s", comma + 1);
        in->unix_mode = (int)(mode & 0777);
        *comma = '\0';
    }
    if (text && addr_parse_unix(&in->listen, text, &e) < 0)
        report_error(b->report, at, "%s", e.text);
}

static void listen_build(struct build *b, const struct node *at, struct addr *listen)
{
    struct addr a = {0};
    if (!at)
        return;
    if (!value_host(b->report, at, &a))
        return;
    if (a.type == ADDR_NAME && strcasecmp(a.name, "localhost") == 0)
        *listen = (struct addr){.type = ADDR_IPV4, .ip = {127, 0, 0, 1}};
    else if (a.type == ADDR_NAME)
        report_error(b->report, at,
                     "unable to listen on domain address: %.64s: want an IP address or the path of "
                     "a unix socket",
                     a.name);
    else if (!is_any(&a))
        *listen = a;
}

static void ports_build(struct build *b, const struct node *at, const struct inbound_keys *keys,
                        struct inbound_conf *in)
{
    if (is_unix(keys->listen))
        return; /* it has none, whatever is written */
    if (keys->port)
        value_port_range(b->report, keys->port, &in->ports);
    else if (keys->listen && in->listen.type != ADDR_NONE)
        report_error(b->report, at, "Listen on specific ip without port in InboundDetour.");
    else
        report_error(b->report, at, "Listen on AnyIP but no Port(s) set in InboundDetour.");
}

/* V2Ray's domainsocket listens where it says, and nowhere else. */
static void domain_socket(struct inbound_conf *in)
{
    if (!in->carriage || !in->carriage->path)
        return;
    in->listen = *in->carriage->path;
    in->ports = (struct port_range){0};
}

static void check_unix(struct build *b, const struct node *at, const struct inbound_conf *in)
{
    if (in->listen.type == ADDR_UNIX && inbound_networks(in) & NET_UDP)
        report_error(b->report, at, "a unix socket carries tcp only: this inbound wants udp, too");
}

void inbound_conf_build(struct build *b, const struct node *at, struct inbound_conf *in)
{
    struct inbound_keys keys;
    char pointer[NODE_POINTER_MAX];
    fields_read(b->report, at, inbound_fields, &keys);
    in->tag = build_text(b, keys.tag);
    in->pointer = build_text(b, node_pointer(at, pointer));
    in->policy = build_policy(b, 0, 0);
    in->traffic = build_kept_traffic(b, "inbound", in->tag, b->inbound_up, b->inbound_down);
    in->unix_mode = -1;
    if (is_unix(keys.listen))
        unix_build(b, keys.listen, in);
    else
        listen_build(b, keys.listen, &in->listen);
    ports_build(b, at, &keys, in);
    in->carriage = stream_conf_build(b, keys.stream, true);
    domain_socket(in);
    int kind = NAME_DEFAULT;
    if (keys.protocol)
        kind = value_name(b->report, keys.protocol, protocol_names,
                          "failed to load inbound detour config: unknown config id", "inbound");
    else
        report_error(b->report, at,
                     "failed to load inbound detour config: unknown config id: \"protocol\" is "
                     "missing");
    in->kind = kind < 0 ? IN_DOKODEMO : (enum inbound_kind)kind;
    if (kind == IN_DOKODEMO)
        dokodemo_conf_build(b, keys.settings, at, in);
    else if (kind == IN_VMESS)
        vmess_in_conf_build(b, keys.settings, at, in);
    else if (kind == IN_SOCKS)
        socks_in_conf_build(b, keys.settings, at, in);
    else if (kind == IN_HTTP)
        http_in_conf_build(b, keys.settings, at, in);
    bool fixed = kind == IN_DOKODEMO && !in->dokodemo.follows;
    in->sniffing =
        sniffing_conf_build(b, keys.sniffing, keys.domain_override, fixed ? "the target" : NULL);
    check_unix(b, at, in);
}

unsigned inbound_networks(const struct inbound_conf *in)
{
    return in->kind == IN_DOKODEMO ? in->dokodemo.networks : NET_TCP;
}

bool inbound_conf_clash(const struct inbound_conf *a, const struct inbound_conf *b)
{
    bool same_host = a->listen.type == ADDR_NONE || b->listen.type == ADDR_NONE ||
                     addr_equal(&a->listen, &b->listen);
    bool file = a->listen.type == ADDR_UNIX;
    if (file || b->listen.type == ADDR_UNIX)
        return file && addr_equal(&a->listen, &b->listen);
    return same_host && a->ports.from && b->ports.from && a->ports.from <= b->ports.to &&
           b->ports.from <= a->ports.to && (inbound_networks(a) & inbound_networks(b));
}

/* V2Ray lets two inbounds share a port, and the kernel deals the connections out between them. */
void inbound_conf_check_ports(struct build *b, const struct node_list *nodes)
{
    char pointer[NODE_POINTER_MAX];
    const struct inbound_conf *in = b->config->inbounds;
    for (size_t i = 1; i < nodes->count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (!inbound_conf_clash(&in[i], &in[j]))
                continue;
            report_error(b->report, nodes->items[i], "%s listens on the same port",
                         node_pointer(nodes->items[j], pointer));
            break;
        }
    }
}
