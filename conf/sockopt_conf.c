#include <string.h>

#include "conf/compile.h"
#include "transport/sockopt.h"

struct sockopt_keys {
    int64_t mark, fast_open_queue, keepalive_idle, keepalive_interval, user_timeout, max_seg;
    int64_t window_clamp;
    const struct node *fast_open;
    const char *congestion, *interface, *device;
    bool takes_proxy, v6only;
};

const struct field sockopt_fields[] = {
    FIELD_NUMBER("mark", struct sockopt_keys, mark, 0, UINT32_MAX, 0),
    FIELD_NODE("tcpFastOpen", struct sockopt_keys, fast_open, "bool|number"),
    FIELD_NUMBER("tcpFastOpenQueueLength", struct sockopt_keys, fast_open_queue, 0, 65535, 0),
    FIELD_LATER_UNLESS("tproxy", "sockopt tproxy", "off"),
    FIELD_BOOL("acceptProxyProtocol", struct sockopt_keys, takes_proxy, false),
    FIELD_NUMBER("tcpKeepAliveInterval", struct sockopt_keys, keepalive_interval, INT32_MIN, 32767,
                 0),
    FIELD_NUMBER("tcpKeepAliveIdle", struct sockopt_keys, keepalive_idle, INT32_MIN, 32767, 0),
    FIELD_NUMBER("tcpUserTimeout", struct sockopt_keys, user_timeout, 0, INT32_MAX, 0),
    FIELD_TEXT("tcpCongestion", struct sockopt_keys, congestion, ""),
    FIELD_NUMBER("tcpMaxSeg", struct sockopt_keys, max_seg, 0, 32767, 0),
    FIELD_NUMBER("tcpWindowClamp", struct sockopt_keys, window_clamp, 0, INT32_MAX, 0),
    FIELD_TEXT("interface", struct sockopt_keys, interface, ""),
    FIELD_TEXT("bindToDevice", struct sockopt_keys, device, ""),
    FIELD_BOOL("v6only", struct sockopt_keys, v6only, false),
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
    FIELD_LATER_WHAT("customSockopt", "sockopt customSockopt"),
    FIELD_LATER_WHAT("penetrate", "sockopt penetrate"),
    FIELD_LATER_WHAT("trustedXForwardedFor",
                     "sockopt trustedXForwardedFor (trustedProxies says whom to believe)"),
    FIELD_END,
};

/* true, false, or how many may wait on a listener; 0 and below are false. */
static int fast_open_of(struct build *b, const struct sockopt_keys *keys)
{
    const struct node *at = keys->fast_open;
    int queue = keys->fast_open_queue > 1 ? (int)keys->fast_open_queue : 1;
    if (!at)
        return 0;
    if (at->type == NODE_BOOL)
        return at->truth ? queue : -1;
    if (at->type != NODE_INTEGER || at->integer > 65535) {
        report_wrong(b->report, at, "true, false or a whole number up to 65535");
        return 0;
    }
    return at->integer > 0 ? (int)at->integer : -1;
}

/* The kernel's names are at most 15 bytes long. */
static const char *name_of(struct build *b, const struct node *at, const char *key,
                           const char *text)
{
    if (strlen(text) > 15)
        report_error(b->report, node_member(at, key), "want at most 15 bytes, got \"%.64s\"", text);
    return *text ? build_text(b, text) : NULL;
}

void sockopt_conf_build(struct build *b, const struct node *at, struct sockopt_conf *c,
                        bool *takes_proxy)
{
    struct sockopt_keys keys;
    fields_read(b->report, at, sockopt_fields, &keys);
    *takes_proxy |= keys.takes_proxy;
    *c = (struct sockopt_conf){
        .mark = (uint32_t)keys.mark,
        .fast_open = fast_open_of(b, &keys),
        .keepalive_idle = (int)keys.keepalive_idle,
        .keepalive_interval = (int)keys.keepalive_interval,
        .user_timeout = (int)keys.user_timeout,
        .max_seg = (int)keys.max_seg,
        .window_clamp = (int)keys.window_clamp,
        .v6only = keys.v6only,
        .congestion = name_of(b, at, "tcpCongestion", keys.congestion),
        .interface = *keys.interface ? name_of(b, at, "interface", keys.interface)
                                     : name_of(b, at, "bindToDevice", keys.device),
    };
}
