#include "conf/compile.h"

/* V2Ray's global "transport": settings for every stream that leaves its own out. */
static const struct field transport_fields[] = {
    FIELD_NODE("tcpSettings", struct stream_keys, tcp, "object"),
    FIELD_NODE("rawSettings", struct stream_keys, raw, "object"),
    FIELD_NODE("wsSettings", struct stream_keys, ws, "object"),
    FIELD_NODE("httpupgradeSettings", struct stream_keys, upgrade, "object"),
    FIELD_NODE("dsSettings", struct stream_keys, ds, "object"),
    FIELD_IGNORED("kcpSettings"),
    FIELD_IGNORED("httpSettings"),
    FIELD_IGNORED("quicSettings"),
    FIELD_IGNORED("grpcSettings"),
    FIELD_IGNORED("gunSettings"),
    FIELD_END,
};

/* What nobody inherits is checked here; the rest is found again where it is, and reported once. */
void transport_conf_build(struct build *b, const struct node *at)
{
    bool ignored = false;
    struct stream_keys *keys = &b->transport;
    if (!fields_read(b->report, at, transport_fields, keys))
        return;
    if (!keys->tcp)
        keys->tcp = keys->raw;
    keys->raw = NULL;
    tcp_conf_build(b, keys->tcp, &ignored);
    ws_conf_build(b, keys->ws, false, &ignored);
    upgrade_conf_build(b, keys->upgrade, false, &ignored);
    if (keys->ds)
        ds_conf_build(b, keys->ds, at);
}
