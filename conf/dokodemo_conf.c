#include <string.h>

#include "conf/compile.h"
#include "core/hostname.h"

struct dokodemo_keys {
    const struct node *address, *port, *network;
    const char *tunnel, *tenant;
    bool follow;
    int64_t timeout, level;
};

const struct field dokodemo_fields[] = {
    FIELD_NODE("address", struct dokodemo_keys, address, "address"),
    FIELD_NODE("port", struct dokodemo_keys, port, "port"),
    FIELD_NODE("network", struct dokodemo_keys, network, "networks"),
    FIELD_NUMBER("timeout", struct dokodemo_keys, timeout, 0, UINT32_MAX, 0),
    FIELD_NUMBER("userLevel", struct dokodemo_keys, level, 0, UINT32_MAX, 0),
    FIELD_BOOL("followRedirect", struct dokodemo_keys, follow, false),
    FIELD_TEXT("tunnel", struct dokodemo_keys, tunnel, ""),
    FIELD_TEXT("tenant", struct dokodemo_keys, tenant, ""),
    FIELD_LATER("portMap"),
    FIELD_LATER("allowedNetwork"),
    FIELD_LATER("rewriteAddress"),
    FIELD_LATER("rewritePort"),
    FIELD_END,
};

static bool name_read(struct build *b, const struct node *at, const char *key, const char *text,
                      char to[TUNNEL_NAME_MAX + 1])
{
    if (*text && tunnel_text_read(to, text, strlen(text)))
        return true;
    if (*text)
        report_error(b->report, node_member(at, key),
                     "want 1 to 63 letters, digits, '.', '_' or '-', got \"%.64s\"", text);
    return false;
}

static void tunnel_build(struct build *b, const struct node *at, const struct dokodemo_keys *keys,
                         struct tunnel_name *t)
{
    char tenant[TUNNEL_NAME_MAX + 1];
    if (name_read(b, at, "tunnel", keys->tunnel, t->text))
        t->by = TUNNEL_BY_ID;
    if (name_read(b, at, "tenant", keys->tenant, tenant))
        t->tenant = build_text(b, tenant);
    if (*keys->tenant && !*keys->tunnel)
        report_error(b->report, node_member(at, "tenant"),
                     "want \"tunnel\", too: whose tenant it is");
}

void dokodemo_conf_build(struct build *b, const struct node *at, const struct node *owner,
                         struct inbound_conf *in)
{
    struct dokodemo_keys keys;
    struct dokodemo_conf *conf = &in->dokodemo;
    fields_read(b->report, at, dokodemo_fields, &keys);
    conf->networks = NET_TCP;
    conf->follows = keys.follow;
    if (keys.address)
        value_host(b->report, keys.address, &conf->target);
    else if (!keys.follow)
        report_error(b->report, at ? at : owner,
                     "want \"address\": without it every visitor ends with \"unable to get "
                     "destination\"");
    if (keys.port && !(keys.port->type == NODE_INTEGER && keys.port->integer == 0))
        value_port(b->report, keys.port, &conf->target.port);
    if (keys.network && !node_is_blank(keys.network))
        value_networks(b->report, b->scratch, keys.network, &conf->networks);
    if (conf->networks == 0)
        report_warn(b->report, keys.network,
                    "neither tcp nor udp: this inbound listens on nothing");
    if (keys.follow && conf->networks & NET_UDP)
        report_error(b->report, at, "v2c has no followRedirect for udp yet: it needs tproxy");
    tunnel_build(b, at, &keys, &conf->tunnel);
    in->policy = build_policy(b, keys.level, keys.timeout);
}
