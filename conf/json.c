#include "conf/json.h"

#include <jansson.h>
#include <string.h>

/* Where the next value belongs. */
struct place {
    struct node *parent;
    const char *key; /* NULL in an array */
    uint32_t key_offset, index;
};

struct parser {
    const struct source *source;
    struct arena *arena;
    struct report *report;
    const char *start, *p, *end;
    size_t values;
    unsigned depth;
};

static struct node *parse_value(struct parser *ps, struct place to);

static size_t parse_offset(const struct parser *ps)
{
    return (size_t)(ps->p - ps->start);
}

static void parse_skip_space(struct parser *ps)
{
    while (ps->p < ps->end && memchr(" \t\r\n", *ps->p, 4))
        ps->p++;
}

/* Says what was wanted and what stands at the reading point. */
static void parse_fail(struct parser *ps, const struct node *inside, const char *wanted)
{
    struct report *r = ps->report;
    size_t at = parse_offset(ps);
    unsigned char c = ps->p < ps->end ? (unsigned char)*ps->p : 0;
    if (ps->p >= ps->end)
        report_error_at(r, ps->source, at, inside, "want %s, got the end of the file", wanted);
    else if (c == '\'')
        report_error_at(r, ps->source, at, inside, "want %s, got ': use double quotes", wanted);
    else if (c > ' ' && c < 0x7f)
        report_error_at(r, ps->source, at, inside, "want %s, got invalid character '%c'", wanted,
                        c);
    else
        report_error_at(r, ps->source, at, inside, "want %s, got the byte 0x%02x", wanted, c);
}

static struct node *parse_new(struct parser *ps, struct place to, enum node_type type)
{
    if (++ps->values > JSON_VALUES_MAX) {
        report_error_at(ps->report, ps->source, parse_offset(ps), to.parent, "more than %d values",
                        JSON_VALUES_MAX);
        return NULL;
    }
    struct node *n = arena_alloc(ps->arena, sizeof *n);
    if (!n)
        return NULL;
    n->type = type;
    n->source = ps->source;
    n->parent = to.parent;
    n->key = to.key;
    n->key_offset = to.key_offset;
    n->index = to.index;
    n->offset = (uint32_t)parse_offset(ps);
    return n;
}

/* jansson's words for an error may quote the text, and that may be an id: only its code is used. */
static const char *scalar_complaint(const json_error_t *e)
{
    switch (json_error_code(e)) {
    case json_error_invalid_utf8:
        return "text that is not valid UTF-8";
    case json_error_null_character:
        return "text with a NUL (\\u0000) in it";
    case json_error_numeric_overflow:
        return "a number that is too large";
    case json_error_premature_end_of_input:
        return "text that does not end";
    default:
        return "no JSON value: want true, false, null, a number or \"text\" on one line";
    }
}

static bool scalar_store(struct parser *ps, struct node *n, const json_t *json)
{
    if (json_is_string(json)) {
        n->type = NODE_TEXT;
        n->text = arena_text(ps->arena, json_string_value(json), json_string_length(json));
        return n->text;
    }
    if (json_is_integer(json)) {
        n->type = NODE_INTEGER;
        n->integer = json_integer_value(json);
    } else if (json_is_real(json)) {
        n->type = NODE_REAL;
        n->real = json_real_value(json);
    } else if (json_is_boolean(json)) {
        n->type = NODE_BOOL;
        n->truth = json_is_true(json);
    }
    return true;
}

/* The byte behind the text that begins at p. */
static const char *text_end(const char *p, const char *end)
{
    for (p++; p < end && *p != '"' && *p != '\n'; p++)
        if (*p == '\\' && p + 1 < end)
            p++;
    return p < end ? p + 1 : p;
}

static const char *word_end(const char *p, const char *end)
{
    while (p < end && !memchr(" \t\r\n,:[]{}\"'/", *p, 14))
        p++;
    return p;
}

static struct node *parse_scalar(struct parser *ps, struct place to)
{
    json_error_t e;
    const char *end = *ps->p == '"' ? text_end(ps->p, ps->end) : word_end(ps->p, ps->end);
    struct node *n = parse_new(ps, to, NODE_NULL);
    if (!n)
        return NULL;
    json_t *json = json_loadb(ps->p, (size_t)(end - ps->p), JSON_DECODE_ANY, &e);
    if (!json) {
        report_error_at(ps->report, ps->source, n->offset, to.parent, "got %s",
                        scalar_complaint(&e));
        return NULL;
    }
    bool stored = scalar_store(ps, n, json);
    json_decref(json);
    ps->p = end;
    return stored ? n : NULL;
}

/* Behind an element: true when another one follows. *ok false: neither comma nor end. */
static bool parse_more(struct parser *ps, struct node *list, char close, bool *ok)
{
    parse_skip_space(ps);
    if (ps->p < ps->end && *ps->p == close) {
        ps->p++;
        return false;
    }
    if (ps->p >= ps->end || *ps->p != ',') {
        parse_fail(ps, list, close == ']' ? "',' or ']'" : "',' or '}'");
        return *ok = false;
    }
    size_t comma = parse_offset(ps);
    ps->p++;
    parse_skip_space(ps);
    if (ps->p < ps->end && *ps->p == close) {
        report_warn_at(ps->report, ps->source, comma, list,
                       "trailing comma: V2Ray refuses a file with it");
        ps->p++;
        return false;
    }
    return true;
}

static bool parse_element(struct parser *ps, struct node *array, uint32_t index)
{
    struct node *n = parse_value(ps, (struct place){.parent = array, .index = index});
    if (!n)
        return false;
    node_append(array, n);
    return true;
}

static bool parse_member(struct parser *ps, struct node *object)
{
    if (ps->p >= ps->end || *ps->p != '"') {
        parse_fail(ps, object, "a key in double quotes");
        return false;
    }
    struct node *key = parse_scalar(ps, (struct place){.parent = object});
    if (!key)
        return false;
    parse_skip_space(ps);
    if (ps->p >= ps->end || *ps->p != ':') {
        parse_fail(ps, object, "':' behind the key");
        return false;
    }
    ps->p++;
    struct place to = {.parent = object, .key = key->text, .key_offset = key->offset};
    struct node *n = parse_value(ps, to);
    if (!n)
        return false;
    node_append(object, n);
    return true;
}

static struct node *parse_list(struct parser *ps, struct place to)
{
    bool object = *ps->p == '{', ok = true, more = true;
    char close = object ? '}' : ']';
    struct node *list = parse_new(ps, to, object ? NODE_OBJECT : NODE_ARRAY);
    if (!list)
        return NULL;
    if (++ps->depth > JSON_DEPTH_MAX) {
        report_error_at(ps->report, ps->source, list->offset, to.parent, "nested deeper than %d",
                        JSON_DEPTH_MAX);
        return NULL;
    }
    ps->p++;
    parse_skip_space(ps);
    if (ps->p < ps->end && *ps->p == close) {
        ps->p++;
        more = false;
    }
    for (uint32_t index = 0; more; index++) {
        if (!(object ? parse_member(ps, list) : parse_element(ps, list, index)))
            return NULL;
        more = parse_more(ps, list, close, &ok);
    }
    ps->depth--;
    return ok ? list : NULL;
}

static struct node *parse_value(struct parser *ps, struct place to)
{
    parse_skip_space(ps);
    if (ps->p < ps->end && (*ps->p == '{' || *ps->p == '['))
        return parse_list(ps, to);
    if (ps->p < ps->end && memchr("\"-0123456789tfnTFN", *ps->p, 18))
        return parse_scalar(ps, to);
    parse_fail(ps, to.parent, "a value");
    return NULL;
}

struct node *json_parse(struct source *s, struct arena *arena, struct report *report)
{
    size_t open_comment = 0;
    bool closed = source_blank_comments(s, &open_comment);
    struct parser ps = {.source = s, .arena = arena, .report = report};
    ps.start = ps.p = s->text;
    ps.end = s->text + s->len;
    if (!closed) {
        report_error_at(report, s, open_comment, NULL, "this comment has no end: want */");
        return NULL;
    }
    parse_skip_space(&ps);
    if (ps.p == ps.end) {
        report_error_at(report, s, 0, NULL, "configuration is empty");
        return NULL;
    }
    if (*ps.p != '{') {
        parse_fail(&ps, NULL, "an object: '{'");
        return NULL;
    }
    struct node *root = parse_list(&ps, (struct place){0});
    parse_skip_space(&ps);
    if (root && ps.p < ps.end)
        report_warn_at(report, s, parse_offset(&ps), NULL,
                       "content after the end of the configuration is ignored");
    return root;
}
