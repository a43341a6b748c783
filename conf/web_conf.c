#include <string.h>

#include "conf/compile.h"
#include "conf/guides.h"

static const struct field_name forwarded_names[] = {
    {"set", WEB_FORWARDED_SET}, {"pass", WEB_FORWARDED_PASS}, {NULL, 0}};
const struct field_name web_reuse_names[] = {{"source", WEB_REUSE_SOURCE},
                                             {"connection", WEB_REUSE_CONNECTION},
                                             {"all", WEB_REUSE_ALL},
                                             {"never", WEB_REUSE_NEVER},
                                             {NULL, 0}};

const struct field web_fields[] = {
    FIELD_NODE("routes", struct web_keys, routes, "routes"),
    FIELD_NODE("outboundTag", struct web_keys, outbound, "text"),
    FIELD_NODE("trustedProxies", struct web_keys, trusted, "texts"),
    FIELD_NAME("forwarded", struct web_keys, forwarded, forwarded_names, WEB_FORWARDED_SET),
    FIELD_NAME("reuse", struct web_keys, reuse, web_reuse_names, WEB_REUSE_SOURCE),
    FIELD_NUMBER("answerTimeout", struct web_keys, answer_timeout, 1, 3600, 60),
    FIELD_END,
};

/* The first one that dials what it is asked for. */
static bool first_freedom(const struct config *c, size_t *number)
{
    for (*number = 0; *number < c->outbound_count; ++*number)
        if (c->outbounds[*number].kind == OUT_FREEDOM)
            return true;
    return false;
}

static void dials_build(struct build *b, const struct node *at, struct web_conf *c)
{
    if (!at) {
        if (!first_freedom(b->config, &c->dials))
            c->dials = SIZE_MAX;
        return;
    }
    const struct config *all = b->config;
    const struct name *name =
        at->type == NODE_TEXT ? names_find(&b->outbound_tags, at->text) : NULL;
    if (at->type != NODE_TEXT)
        report_wrong(b->report, at, "the tag of an outbound, as text");
    else if (name && all->outbounds[name->index].kind == OUT_WEB)
        report_error(b->report, at, "want an outbound that dials, not one that routes");
    else if (name)
        c->dials = name->index;
    else if (!b->partial)
        report_error(b->report, at, "no outbound has the tag \"%.64s\"", at->text);
}

static void tags_build(struct build *b, struct web_conf *c)
{
    const struct config *all = b->config;
    const char **tags = arena_array(all->strings, all->outbound_count, sizeof *tags);
    if (!tags)
        return;
    for (size_t i = 0; i < all->outbound_count; i++)
        tags[i] = all->outbounds[i].tag;
    c->tags = tags;
    c->tag_count = all->outbound_count;
}

/* Without anybody who dials, addresses lead nowhere. */
static void addresses_check(struct build *b, const struct node *routes)
{
    struct node_list nodes = {0};
    if (!node_is(routes, NODE_ARRAY))
        return;
    value_objects(b->report, b->scratch, routes, &nodes);
    for (size_t i = 0; i < nodes.count; i++)
        if (node_get(nodes.items[i], "address"))
            report_error(b->report, node_member(nodes.items[i], "address"),
                         "no outbound dials it: want one of \"freedom\", or \"outboundTag\"");
}

void web_conf_build(struct build *b, const struct web_keys *keys, struct web_conf *c)
{
    dials_build(b, keys->outbound, c);
    tags_build(b, c);
    trusted_build(b, keys->trusted, &c->trusted);
    c->forwarded = (enum web_forwarded)keys->forwarded;
    c->reuse = (enum web_reuse)keys->reuse;
    c->answer_timeout = (double)keys->answer_timeout;
    if (c->dials == SIZE_MAX && !b->partial)
        addresses_check(b, keys->routes);
}

/* --- as an outbound --- */

static struct routes *web_routes(struct build *b, const struct node *at)
{
    static const struct route_home nowhere;
    struct routes *r = routes_new();
    if (r)
        routes_conf_build(b, at, &nowhere, r);
    else
        b->scratch->failed = true;
    return r;
}

void web_out_conf_finish(struct build *b, const struct node *at, struct outbound_conf *out)
{
    struct web_keys keys;
    const struct node *settings = node_get(at, "settings");
    if (settings && !fields_read(b->report, settings, web_fields, &keys))
        return;
    if (!settings || !keys.routes) {
        report_error(b->report, settings ? settings : at,
                     "want \"routes\": without them every request is answered 404");
        return;
    }
    web_conf_build(b, &keys, &out->web);
    out->web.routes = web_routes(b, keys.routes);
}
