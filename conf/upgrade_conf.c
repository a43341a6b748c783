#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf/compile.h"
#include "transport/upgrade.h"

enum { FIELDS_OF_REQUEST = 48 };

struct upgrade_keys {
    const char *path, *host;
    const struct node *headers, *trusted;
    bool takes_proxy;
};

const struct field upgrade_fields[] = {
    FIELD_TEXT("path", struct upgrade_keys, path, "/"),
    FIELD_TEXT("host", struct upgrade_keys, host, ""),
    FIELD_NODE("headers", struct upgrade_keys, headers, "object"),
    FIELD_BOOL("acceptProxyProtocol", struct upgrade_keys, takes_proxy, false),
    FIELD_NODE("trustedProxies", struct upgrade_keys, trusted, "texts"),
    FIELD_LATER_WHAT("maxEarlyData", "early data of httpupgrade"),
    FIELD_LATER_WHAT("ed", "early data of httpupgrade"),
    FIELD_LATER_WHAT("earlyDataHeaderName", "early data of httpupgrade"),
    FIELD_END,
};

/* Xray's "?ed=2048", wherever it stands in the query, says how much early data there may be. */
static unsigned cut_early(char *path)
{
    char *at = strchr(path, '?');
    for (; at; at = strchr(at + 1, '&')) {
        if (strncmp(at + 1, "ed=", 3) != 0)
            continue;
        char *end;
        unsigned long early = strtoul(at + 4, &end, 10);
        if (*end && *end != '&')
            continue;
        if (*end)
            memmove(at + 1, end + 1, strlen(end));
        else
            *at = '\0';
        return early > INT32_MAX ? INT32_MAX : (unsigned)early;
    }
    return 0;
}

const char *request_path_build(struct build *b, const struct node *at, const char *path,
                               unsigned *early)
{
    if (!value_is_line(path, '!') || strchr(path, '#')) {
        report_error(b->report, node_member(at, "path"),
                     "want a path without spaces, control bytes and \"#\", which are written as "
                     "%%XX, got \"%.64s\"",
                     path);
        return "/";
    }
    char *text = arena_printf(b->scratch, "%s%s", *path == '/' ? "" : "/", path);
    if (!text)
        return "/";
    *early = cut_early(text);
    return build_text(b, text);
}

/* What the request says by itself. */
static bool is_ours(const char *name)
{
    static const char *const names[] = {"Connection",
                                        "Upgrade",
                                        "Content-Length",
                                        "Transfer-Encoding",
                                        "Sec-WebSocket-Key",
                                        "Sec-WebSocket-Version",
                                        "Sec-WebSocket-Extensions"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(names[i], name) == 0)
            return true;
    return false;
}

static bool field_check(struct build *b, const struct node *n)
{
    if (!header_name_is_valid(n->key))
        report_error(b->report, n, "want the name of an HTTP header, got \"%.64s\"", n->key);
    else if (is_ours(n->key))
        report_error(b->report, n, "v2c writes the header %.64s itself", n->key);
    else if (n->type != NODE_TEXT)
        report_wrong(b->report, n, "text");
    else if (!value_is_line(n->text, ' '))
        report_error(b->report, n, "want a header without control bytes");
    else
        return true;
    return false;
}

bool header_name_is_valid(const char *name)
{
    return *name && value_is_line(name, '!') && !strpbrk(name, "()<>@,;:\\\"/[]?={}");
}

/* Host has a member of its own. */
static void headers_build(struct build *b, const struct node *at, struct upgrade_conf *c)
{
    struct upgrade_field fields[FIELDS_OF_REQUEST] = {0};
    if (!at)
        return;
    if (at->type != NODE_OBJECT) {
        report_wrong(b->report, at, "an object");
        return;
    }
    for (const struct node *n = at->first; n; n = n->next) {
        if (field_is_comment(n->key) || !field_check(b, n))
            continue;
        if (strcasecmp(n->key, "Host") == 0) {
            if (!c->host)
                c->host = build_text(b, n->text);
        } else if (c->field_count == FIELDS_OF_REQUEST) {
            report_error(b->report, n, "want at most %d headers", FIELDS_OF_REQUEST);
            break;
        } else {
            fields[c->field_count++] =
                (struct upgrade_field){build_text(b, n->key), build_text(b, n->text)};
        }
    }
    if (c->field_count)
        c->fields = build_keep(b, fields, c->field_count * sizeof *fields);
}

void trusted_build(struct build *b, const struct node *at, struct trusted *t)
{
    static const char *const usual[] = {"127.0.0.0/8", "::1"};
    struct text_list list;
    struct err e;
    if (!value_texts(b->report, b->scratch, at, &list))
        return;
    size_t count = at ? list.count : 2;
    struct net_prefix *nets = arena_array(b->scratch, count, sizeof *nets);
    for (size_t i = 0; nets && i < count; i++)
        if (net_prefix_parse(&nets[i], at ? list.items[i].text : usual[i], &e) < 0)
            report_error(b->report, list.items[i].at, "%s", e.text);
    if (!nets || !count)
        return;
    t->nets = build_keep(b, nets, count * sizeof *nets);
    t->count = t->nets ? count : 0;
}

void request_build(struct build *b, const struct request_keys *keys, bool server,
                   struct upgrade_conf *c)
{
    memset(c, 0, sizeof *c); /* what is kept is compared with its padding */
    c->path = keys->path;
    if (*keys->host && !value_is_line(keys->host, '!'))
        report_error(b->report, node_member(keys->at, "host"),
                     "want a host without spaces and control bytes, got \"%.64s\"", keys->host);
    else if (*keys->host)
        c->host = build_text(b, keys->host);
    const char *wanted = c->host;
    headers_build(b, keys->headers, c);
    if (server) /* what V2Ray's servers do not look at, many files have on both sides */
        c->host = wanted;
    trusted_build(b, keys->trusted, &c->trusted);
}

const struct upgrade_conf *upgrade_conf_build(struct build *b, const struct node *at, bool server,
                                              bool *takes_proxy)
{
    struct upgrade_keys keys;
    struct upgrade_conf c;
    unsigned ignored = 0;
    fields_read(b->report, at, upgrade_fields, &keys);
    *takes_proxy |= keys.takes_proxy;
    struct request_keys request = {
        .at = at,
        .path = request_path_build(b, at, keys.path, &ignored),
        .host = keys.host,
        .headers = keys.headers,
        .trusted = keys.trusted,
    };
    request_build(b, &request, server, &c);
    return build_keep(b, &c, sizeof c);
}
