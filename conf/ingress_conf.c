#include <string.h>

#include "conf/compile.h"
#include "conf/guides.h"

struct ingress_keys {
    struct guide_keys guide;
    struct web_keys web;
    const struct node *tls;
    int64_t timeout, level;
};

const struct field ingress_fields[] = {
    FIELD_TEXT("portal", struct ingress_keys, guide.portal, ""),
    FIELD_TEXT("tenant", struct ingress_keys, guide.tenant, ""),
    FIELD_NODE("routes", struct ingress_keys, guide.routes, "objects"),
    FIELD_TEXT("routesFile", struct ingress_keys, guide.file, ""),
    FIELD_NODE("routesUrl", struct ingress_keys, guide.url, "text|object"),
    FIELD_NODE("outboundTag", struct ingress_keys, web.outbound, "text"),
    FIELD_NODE("trustedProxies", struct ingress_keys, web.trusted, "texts"),
    FIELD_NAME("reuse", struct ingress_keys, web.reuse, web_reuse_names, WEB_REUSE_SOURCE),
    FIELD_NUMBER("answerTimeout", struct ingress_keys, web.answer_timeout, 1, 3600, 60),
    FIELD_NODE("tls", struct ingress_keys, tls, "object"),
    FIELD_NUMBER("timeout", struct ingress_keys, timeout, 0, UINT32_MAX, 0),
    FIELD_NUMBER("userLevel", struct ingress_keys, level, 0, UINT32_MAX, 0),
    FIELD_END,
};

/* --- how its bytes travel --- */

static bool carriage_check(struct build *b, const struct node *owner, const struct carriage *c)
{
    const struct node *at = node_get(owner, "streamSettings");
    unsigned errors = b->report->errors;
    if (c && c->tls)
        report_error(b->report, at,
                     "an ingress takes HTTP and TLS on one port: want \"tls\" in its settings");
    if (c && (c->ws || c->upgrade || c->forged))
        report_error(b->report, at, "an ingress is HTTP itself: want the network tcp");
    return b->report->errors == errors;
}

/* Only some of the connections are TLS: the ingress puts it on those. */
static void tls_build(struct build *b, const struct node *at, struct inbound_conf *in)
{
    if (!in->carriage)
        in->carriage = carriage_new();
    if (!in->carriage) {
        b->scratch->failed = true;
        return;
    }
    in->carriage->picks_tls = true;
    in->carriage->tls = tls_conf_build(b, at, at, true, "http/1.1");
}

/* A level may only be less patient. */
static const struct policy *policy_build(struct build *b, const struct ingress_keys *keys)
{
    const struct policy *p = build_policy(b, keys->level, keys->timeout);
    if (!p || p->handshake <= ENTRY_GREETING)
        return p;
    struct policy own = *p;
    own.handshake = ENTRY_GREETING;
    return build_keep(b, &own, sizeof own);
}

/* --- where it leads --- */

static bool is_empty(const struct node *at)
{
    return !at || at->type == NODE_NULL || (at->type == NODE_ARRAY && !at->first);
}

static bool leads_nowhere(const struct guide_keys *g)
{
    return is_empty(g->routes) && !*g->portal && !*g->file && !g->url;
}

void ingress_conf_build(struct build *b, const struct node *owner, struct inbound_conf *in)
{
    struct ingress_keys keys = {0};
    const struct node *settings = node_get(owner, "settings"), *at = settings ? settings : owner;
    const struct node *sniffing = node_get(owner, "sniffing");
    if (!fields_read(b->report, settings, ingress_fields, &keys))
        return;
    keys.guide.at = at;
    keys.web.routes = keys.guide.routes;
    if (leads_nowhere(&keys.guide))
        report_error(b->report, keys.guide.routes ? keys.guide.routes : at,
                     "leads nowhere: want \"routes\", or the \"portal\" whose bridges "
                     "say for which hostnames they are");
    if (carriage_check(b, owner, in->carriage) && keys.tls && keys.tls->type != NODE_NULL)
        tls_build(b, keys.tls, in);
    if (sniffing)
        report_warn(b->report, sniffing, "has no effect on an ingress");
    in->policy = policy_build(b, &keys);
    in->ingress.rules = &b->config->rules;
    web_conf_build(b, &keys.web, &in->ingress.web);
    struct guide_set *guide = guide_build(b, &keys.guide);
    in->ingress.guide = guide ? &guide->conf : NULL;
}
