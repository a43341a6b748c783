#include <string.h>

#include "conf/compile.h"
#include "transport/ws.h"

enum { HEARTBEAT = 30 }; /* seconds: half of what nginx waits for */

struct ws_keys {
    const char *path, *host, *early_field;
    const struct node *headers, *trusted;
    int64_t early, heartbeat;
    bool takes_proxy;
};

const struct field ws_fields[] = {
    FIELD_TEXT("path", struct ws_keys, path, "/"),
    FIELD_TEXT("host", struct ws_keys, host, ""),
    FIELD_NODE("headers", struct ws_keys, headers, "object"),
    FIELD_BOOL("acceptProxyProtocol", struct ws_keys, takes_proxy, false),
    FIELD_NUMBER("maxEarlyData", struct ws_keys, early, 0, INT32_MAX, 0),
    FIELD_TEXT("earlyDataHeaderName", struct ws_keys, early_field, ""),
    FIELD_NUMBER("heartbeatPeriod", struct ws_keys, heartbeat, 0, 3600, HEARTBEAT),
    FIELD_NODE("trustedProxies", struct ws_keys, trusted, "texts"),
    FIELD_LATER("useBrowserForwarding"),
    FIELD_END,
};

/* Xray's form says how much, and means its own header. */
static void early_build(struct build *b, const struct node *at, const struct ws_keys *keys,
                        unsigned in_path, struct ws_conf *c)
{
    c->early_max = keys->early ? (unsigned)keys->early : in_path;
    if (!c->early_max)
        return;
    if (!keys->early)
        c->early_field = build_text(b, "Sec-WebSocket-Protocol");
    else if (*keys->early_field && !header_name_is_valid(keys->early_field))
        report_error(b->report, node_member(at, "earlyDataHeaderName"),
                     "want the name of an HTTP header, got \"%.64s\"", keys->early_field);
    else if (*keys->early_field)
        c->early_field = build_text(b, keys->early_field);
    else if (strchr(c->to.path, '?'))
        report_error(b->report, at,
                     "early data goes behind the path, which has a query: set "
                     "\"earlyDataHeaderName\"");
}

const struct ws_conf *ws_conf_build(struct build *b, const struct node *at, bool server,
                                    bool *takes_proxy)
{
    struct ws_keys keys;
    struct ws_conf c;
    unsigned early = 0;
    memset(&c, 0, sizeof c); /* padding counts where it is kept */
    fields_read(b->report, at, ws_fields, &keys);
    *takes_proxy |= keys.takes_proxy;
    struct request_keys request = {
        .at = at,
        .path = request_path_build(b, at, keys.path, &early),
        .host = keys.host,
        .headers = keys.headers,
        .trusted = keys.trusted,
    };
    request_build(b, &request, server, &c.to);
    early_build(b, at, &keys, early, &c);
    c.heartbeat = (double)keys.heartbeat;
    return build_keep(b, &c, sizeof c);
}
