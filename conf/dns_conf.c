#include <strings.h>

#include "conf/compile.h"

struct dns_keys {
    const struct node *servers;
};

/* Names are looked up as the system does; what tunes other servers is left alone when there are none. */
static const struct field dns_fields[] = {
    FIELD_NODE("servers", struct dns_keys, servers, "localhost"),
    FIELD_LATER_WHAT("hosts", "dns hosts"),
    FIELD_LATER_WHAT("clientIp", "dns clientIp"),
    FIELD_LATER_UNLESS("queryStrategy", "dns queryStrategy", "UseIP"),
    FIELD_IGNORED("tag"),
    FIELD_IGNORED("disableCache"),
    FIELD_IGNORED("disableFallback"),
    FIELD_IGNORED("disableFallbackIfMatch"),
    FIELD_IGNORED("fallbackStrategy"),
    FIELD_IGNORED("cacheStrategy"),
    FIELD_IGNORED("domainMatcher"),
    FIELD_IGNORED("enableParallelQuery"),
    FIELD_LATER("fakedns"),
    FIELD_LATER_WHAT("serveStale", "dns serveStale"),
    FIELD_LATER_WHAT("useSystemHosts", "dns useSystemHosts"),
    FIELD_END,
};

void dns_conf_check(struct build *b, const struct node *at)
{
    struct dns_keys keys;
    if (!fields_read(b->report, at, dns_fields, &keys) || !keys.servers)
        return;
    if (keys.servers->type != NODE_ARRAY) {
        report_error(b->report, keys.servers, "want an array");
        return;
    }
    for (const struct node *n = keys.servers->first; n; n = n->next)
        if (n->type != NODE_TEXT || strcasecmp(n->text, "localhost") != 0)
            report_error(b->report, n, "v2c has no dns servers yet, only \"localhost\"");
}
