#include <string.h>

#include "conf/compile.h"

struct chain_keys {
    const char *tag;
};

/* transportLayer: whether this outbound's own transport is used on the way; here it always is. */
const struct field chain_fields[] = {
    FIELD_TEXT("tag", struct chain_keys, tag, ""),
    FIELD_IGNORED("transportLayer"),
    FIELD_END,
};

void chain_conf_build(struct build *b, const struct node *at, struct outbound_conf *out)
{
    struct chain_keys keys;
    if (!at || !fields_read(b->report, at, chain_fields, &keys))
        return;
    if (*keys.tag)
        out->via = build_text(b, keys.tag);
    else
        report_error(b->report, node_member(at, "tag"),
                     "invalid outbound detour proxy settings: Proxy tag is not set.");
}

/* The outbound through which this one dials; NULL: none, or an unknown one. */
static const struct outbound_conf *next_of(const struct build *b, const struct outbound_conf *out)
{
    const struct name *name = out->via ? names_find(&b->outbound_tags, out->via) : NULL;
    return name ? &b->config->outbounds[name->index] : NULL;
}

/* Who follows a chain that ends takes fewer steps than there are outbounds. */
static bool chain_ends(const struct build *b, const struct outbound_conf *out)
{
    size_t steps = 0;
    while (out && steps++ <= b->config->outbound_count)
        out = next_of(b, out);
    return !out;
}

static const struct node *chain_tag(const struct node *outbound)
{
    return node_member(node_get(outbound, "proxySettings"), "tag");
}

void chain_conf_check(struct build *b, const struct node_list *nodes)
{
    for (size_t i = 0; i < nodes->count; i++) {
        const struct outbound_conf *out = &b->config->outbounds[i];
        if (!out->via)
            continue;
        if (!next_of(b, out) && !b->partial)
            report_error(b->report, chain_tag(nodes->items[i]),
                         "proxySettings: no outbound has the tag \"%.64s\"", out->via);
        else if (!chain_ends(b, out))
            report_error(b->report, chain_tag(nodes->items[i]),
                         "proxySettings: the chain through \"%.64s\" comes back to itself",
                         out->via);
    }
}
