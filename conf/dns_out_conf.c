#include "conf/compile.h"

struct dns_out_keys {
    const struct node *address, *port;
    int network;
};

static const struct field_name network_names[] = {{"tcp", NET_TCP}, {"udp", NET_UDP}, {NULL, 0}};

const struct field dns_out_fields[] = {
    FIELD_NODE("address", struct dns_out_keys, address, "address"),
    FIELD_NODE("port", struct dns_out_keys, port, "port"),
    FIELD_NAME("network", struct dns_out_keys, network, network_names, 0),
    FIELD_IGNORED("userLevel"),
    FIELD_LATER("nonIPQuery"),
    FIELD_LATER("blockTypes"),
    FIELD_END,
};

void dns_out_conf_build(struct build *b, const struct node *at, struct outbound_conf *out)
{
    struct dns_out_keys keys;
    fields_read(b->report, at, dns_out_fields, &keys);
    if (keys.address)
        value_host(b->report, keys.address, &out->dns.server);
    if (keys.port && !(keys.port->type == NODE_INTEGER && keys.port->integer == 0))
        value_port(b->report, keys.port, &out->dns.server.port);
    out->dns.net = (enum net)keys.network;
}
