#include <string.h>

#include "conf/compile.h"
#include "transport/forged.h"

enum { FORGED_HTTP = 1, FIELDS_OF_HEAD = 64 };

struct tcp_keys {
    const struct node *header;
    bool takes_proxy;
};

struct header_keys {
    const struct node *type, *request, *response;
};

struct head_keys {
    const char *version, *method, *reason;
    const struct node *path, *headers;
};

static const struct field_name header_names[] = {{"none", 0}, {"http", FORGED_HTTP}, {NULL, 0}};

const struct field tcp_header_fields[] = {
    FIELD_NODE("type", struct header_keys, type, "none|http"),
    FIELD_NODE("request", struct header_keys, request, "object"),
    FIELD_NODE("response", struct header_keys, response, "object"),
    FIELD_END,
};

const struct field tcp_fields[] = {
    FIELD_NODE("header", struct tcp_keys, header, "object"),
    FIELD_BOOL("acceptProxyProtocol", struct tcp_keys, takes_proxy, false),
    FIELD_END,
};

const struct field forged_request_fields[] = {
    FIELD_TEXT("version", struct head_keys, version, "1.1"),
    FIELD_TEXT("method", struct head_keys, method, "GET"),
    FIELD_NODE("path", struct head_keys, path, "texts"),
    FIELD_NODE("headers", struct head_keys, headers, "object"),
    FIELD_END,
};

const struct field forged_response_fields[] = {
    FIELD_TEXT("version", struct head_keys, version, "1.1"),
    FIELD_TEXT("status", struct head_keys, method, "200"),
    FIELD_TEXT("reason", struct head_keys, reason, "OK"),
    FIELD_NODE("headers", struct head_keys, headers, "object"),
    FIELD_END,
};

/* --- what heads say unless told otherwise --- */

#define CHOICE(...)                                                                                \
    {                                                                                              \
        .texts = (const char *const[]){__VA_ARGS__},                                               \
        .count = sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)                       \
    }

static const struct forged_field usual_request[] = {
    {"Host", CHOICE("www.baidu.com", "www.bing.com")},
    {"User-Agent", CHOICE("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
                          "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 "
                          "Firefox/128.0")},
    {"Accept-Encoding", CHOICE("gzip, deflate")},
    {"Connection", CHOICE("keep-alive")},
    {"Pragma", CHOICE("no-cache")},
};

static const struct forged_field usual_response[] = {
    {"Content-Type", CHOICE("application/octet-stream", "video/mpeg")},
    {"Transfer-Encoding", CHOICE("chunked")},
    {"Connection", CHOICE("keep-alive")},
    {"Pragma", CHOICE("no-cache")},
    {"Cache-Control", CHOICE("private", "no-cache")},
};

static const struct forged_choice usual_path = CHOICE("/");

/* --- compiling --- */

/* Texts without what ends a word, or a line. */
static bool choice_build(struct build *b, const struct text_list *list, char from,
                         struct forged_choice *to)
{
    const char **texts = arena_array(b->scratch, list->count, sizeof *texts);
    for (size_t i = 0; texts && i < list->count; i++) {
        texts[i] = build_text(b, list->items[i].text);
        if (value_is_line(texts[i], from))
            continue;
        report_error(b->report, list->items[i].at,
                     "want text without control bytes%s, got \"%.64s\"",
                     from > ' ' ? " and spaces" : "", texts[i]);
        return false;
    }
    *to = (struct forged_choice){texts ? build_keep(b, texts, list->count * sizeof *texts) : NULL,
                                 texts ? list->count : 0};
    return texts;
}

/* One text is one value here, whatever commas it has. */
static bool values_of(struct build *b, const struct node *n, struct forged_choice *to)
{
    struct text_item one = {n->type == NODE_TEXT ? n->text : "", n};
    struct text_list list = {&one, 1};
    if (n->type != NODE_TEXT && !value_texts(b->report, b->scratch, n, &list))
        return false;
    if (list.count == 0) {
        report_error(b->report, n, "want at least one value, got none");
        return false;
    }
    return choice_build(b, &list, ' ', to);
}

static void headers_build(struct build *b, const struct node *at, struct forged_head *to)
{
    struct forged_field fields[FIELDS_OF_HEAD];
    size_t count = 0;
    if (!at)
        return;
    if (at->type != NODE_OBJECT) {
        report_wrong(b->report, at, "an object");
        return;
    }
    memset(fields, 0, sizeof fields);
    for (const struct node *n = at->first; n && count < FIELDS_OF_HEAD; n = n->next) {
        if (!header_name_is_valid(n->key))
            report_error(b->report, n, "want the name of an HTTP header, got \"%.64s\"", n->key);
        else if (values_of(b, n, &fields[count].values))
            fields[count++].name = build_text(b, n->key);
    }
    if (!count)
        return; /* an empty object is none, as in V2Ray */
    to->fields = build_keep(b, fields, count * sizeof *fields);
    to->field_count = count;
}

static const char *word(struct build *b, const struct node *at, const char *key, const char *text)
{
    if (!*text || !value_is_line(text, '!'))
        report_error(b->report, node_member(at, key),
                     "%s: want text without spaces and control bytes, got \"%.64s\"", key, text);
    return build_text(b, text);
}

static void request_head(struct build *b, const struct node *at, struct forged_head *to)
{
    struct head_keys keys;
    struct text_list paths;
    fields_read(b->report, at, forged_request_fields, &keys);
    *to = (struct forged_head){.method = word(b, at, "method", keys.method),
                               .version = word(b, at, "version", keys.version),
                               .target = usual_path,
                               .fields = usual_request,
                               .field_count = sizeof usual_request / sizeof *usual_request};
    if (keys.path && value_texts(b->report, b->scratch, keys.path, &paths) && paths.count)
        choice_build(b, &paths, '!', &to->target);
    headers_build(b, keys.headers, to);
}

static void response_head(struct build *b, const struct node *at, struct forged_head *to)
{
    struct head_keys keys;
    fields_read(b->report, at, forged_response_fields, &keys);
    struct text_item reason = {keys.reason, node_member(at, "reason")};
    struct text_list reasons = {&reason, 1};
    *to = (struct forged_head){.method = word(b, at, "status", keys.method),
                               .version = word(b, at, "version", keys.version),
                               .fields = usual_response,
                               .field_count = sizeof usual_response / sizeof *usual_response};
    choice_build(b, &reasons, ' ', &to->target);
    headers_build(b, keys.headers, to);
}

const struct forged_conf *tcp_conf_build(struct build *b, const struct node *at, bool *takes_proxy)
{
    struct tcp_keys keys;
    struct header_keys header;
    struct forged_conf c;
    fields_read(b->report, at, tcp_fields, &keys);
    *takes_proxy |= keys.takes_proxy;
    if (!keys.header || !fields_read(b->report, keys.header, tcp_header_fields, &header))
        return NULL;
    if (!header.type) {
        report_error(b->report, keys.header,
                     "invalid TCP header config: type not found in JSON context");
        return NULL;
    }
    if (value_name(b->report, header.type, header_names,
                   "invalid TCP header config: unknown config id", "TCP header") != FORGED_HTTP)
        return NULL;
    memset(&c, 0, sizeof c);
    request_head(b, header.request, &c.request);
    response_head(b, header.response, &c.response);
    return build_keep(b, &c, sizeof c);
}
