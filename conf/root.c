#include "conf/root.h"

#include "conf/legacy.h"

const struct field root_fields[] = {
    FIELD_NODE("log", struct root, log, "object"),
    FIELD_NODE("inbounds", struct root, inbound_array, "objects"),
    FIELD_NODE("outbounds", struct root, outbound_array, "objects"),
    FIELD_NODE("routing", struct root, routing, "object"),
    FIELD_NODE("reverse", struct root, reverse, "object"),
    FIELD_NODE("policy", struct root, policy, "object"),
    FIELD_NODE("stats", struct root, stats, "object"),
    FIELD_NODE("api", struct root, api, "object"),
    FIELD_NODE("dns", struct root, dns, "object"),
    FIELD_NODE("transport", struct root, transport, "object"),
    FIELD_NODE("observatory", struct root, observatory, "object"),
    FIELD_NODE("cluster", struct root, cluster, "object"),
    FIELD_NODE("workers", struct root, workers, "number"),
    FIELD_NODE("memory", struct root, memory, "number"),
    FIELD_NODE("drain", struct root, drain, "number"),
    FIELD_NODE("inbound", struct root, inbound, "object"),
    FIELD_NODE("outbound", struct root, outbound, "object"),
    FIELD_NODE("inboundDetour", struct root, inbound_detour, "objects"),
    FIELD_NODE("outboundDetour", struct root, outbound_detour, "objects"),
    FIELD_NODE("port", struct root, port, "port|range|env"),
    FIELD_LATER("fakedns"),
    FIELD_LATER("burstObservatory"),
    FIELD_LATER("multiObservatory"),
    FIELD_LATER("browserForwarder"),
    FIELD_LATER("services"),
    FIELD_LATER("metrics"),
    FIELD_LATER("version"),
    FIELD_LATER("env"),
    FIELD_LATER("geodata"),
    FIELD_END,
};

void root_read(struct report *r, struct arena *a, const struct node *at, struct root *root)
{
    fields_read(r, at, root_fields, root);
    root->at = at;
    root->inbounds = root->outbounds = (struct node_list){0};
    legacy_collect(r, a, root);
}
