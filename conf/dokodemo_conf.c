#include "conf/compile.h"

struct dokodemo_keys {
    const struct node *address, *port, *network;
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
    FIELD_LATER("portMap"),
    FIELD_LATER("allowedNetwork"),
    FIELD_LATER("rewriteAddress"),
    FIELD_LATER("rewritePort"),
    FIELD_END,
};

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
    in->policy = build_policy(b, keys.level, keys.timeout);
}
