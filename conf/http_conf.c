#include <string.h>
#include <strings.h>

#include "conf/compile.h"

struct http_keys {
    const struct node *accounts;
    bool transparent;
    int64_t timeout, level;
};

struct http_out_keys {
    const struct node *servers, *headers;
};

const struct field http_in_fields[] = {
    FIELD_NODE("accounts", struct http_keys, accounts, "objects"),
    FIELD_BOOL("allowTransparent", struct http_keys, transparent, false),
    FIELD_NUMBER("timeout", struct http_keys, timeout, 0, UINT32_MAX, 0),
    FIELD_NUMBER("userLevel", struct http_keys, level, 0, UINT32_MAX, 0),
    FIELD_END,
};

const struct field http_out_fields[] = {
    FIELD_NODE("servers", struct http_out_keys, servers, "objects"),
    FIELD_NODE("headers", struct http_out_keys, headers, "object"),
    FIELD_END,
};

/* In "user:pass" the first colon ends the name. */
static void names_check(struct build *b, const struct node *list, const char *inner)
{
    for (const struct node *n = list ? list->first : NULL; n; n = n->next) {
        const struct node *name = n->type == NODE_OBJECT ? node_get(n, "user") : NULL;
        const struct node *more = n->type == NODE_OBJECT && inner ? node_get(n, inner) : NULL;
        if (node_is(name, NODE_TEXT) && strchr(name->text, ':'))
            report_error(b->report, name, "HTTP cannot say a user with \":\"");
        if (node_is(more, NODE_ARRAY))
            names_check(b, more, NULL);
    }
}

void http_in_conf_build(struct build *b, const struct node *at, const struct node *owner,
                        struct inbound_conf *in)
{
    struct http_keys keys;
    fields_read(b->report, at, http_in_fields, &keys);
    in->policy = build_policy(b, keys.level, keys.timeout);
    in->http.transparent = keys.transparent;
    accounts_build(b, keys.accounts, keys.level, in, &in->http.accounts);
    names_check(b, keys.accounts, NULL);
    if (!in->http.accounts.count)
        open_proxy_check(b, at ? at : owner, in, "add \"accounts\"");
}

/* --- what is said to the other proxy --- */

static bool is_value(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    return true;
}

/* What we write ourselves, and what would begin a body. */
static bool is_ours(const char *name)
{
    static const char *const ours[] = {"Host", "Proxy-Authorization", "Content-Length",
                                       "Transfer-Encoding"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (strcasecmp(name, ours[i]) == 0)
            return true;
    return false;
}

static const char *header_build(struct build *b, const struct node *at, const char *before)
{
    enum { HEADERS_MAX = 8 * 1024 };
    const char *lines = NULL;
    if (!header_name_is_valid(at->key) || is_ours(at->key))
        report_error(b->report, at, "not a header field that can be set here");
    else if (at->type != NODE_TEXT || !is_value(at->text))
        report_error(b->report, at, "want a text without control bytes");
    else if (strlen(before) + strlen(at->key) + strlen(at->text) > HEADERS_MAX)
        report_error(b->report, at, "want at most 8 KiB of headers");
    else
        lines = arena_printf(b->config->strings, "%s%s: %s\r\n", before, at->key, at->text);
    return lines ? lines : before;
}

static const char *headers_build(struct build *b, const struct node *at)
{
    const char *lines = "";
    if (at && at->type != NODE_OBJECT)
        report_wrong(b->report, at, "an object of texts");
    else if (at)
        for (const struct node *n = at->first; n; n = n->next)
            lines = header_build(b, n, lines);
    return lines;
}

void http_out_conf_build(struct build *b, const struct node *at, const struct node *owner,
                         struct outbound_conf *out)
{
    struct http_out_keys keys;
    int64_t level = 0;
    fields_read(b->report, at, http_out_fields, &keys);
    login_servers_build(b, keys.servers, at ? at : owner, &out->http.servers, &level);
    names_check(b, keys.servers, "users");
    out->http.headers = headers_build(b, keys.headers);
    out->policy = build_policy(b, level, 0);
}
