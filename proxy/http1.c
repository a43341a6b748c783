#include "proxy/http1.h"

#include <string.h>
#include <strings.h>

static enum step http1_fail(struct http1_head *h, struct err *e, int status, const char *text)
{
    h->status = status;
    return step_fail(e, EPROTO, "%s", text);
}

/* --- bytes --- */

static bool is_alnum(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_token(uint8_t c)
{
    return is_alnum(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_target(uint8_t c)
{
    return c > 0x20 && c < 0x7f && c != '#';
}

static bool is_value(uint8_t c)
{
    return c == '\t' || (c >= 0x20 && c != 0x7f);
}

/* Less than RFC 3986 allows: no user, no percent signs, nothing that could separate two hosts. */
static bool is_host(uint8_t c)
{
    return is_alnum(c) || (c && strchr("-._:[]", c));
}

/* The length of the run of such bytes at the start. */
static size_t run(bool (*is)(uint8_t), const uint8_t *p, size_t len)
{
    size_t n = 0;
    while (n < len && is(p[n]))
        n++;
    return n;
}

static bool is_word(const uint8_t *p, size_t len, const char *word)
{
    return len == strlen(word) && strncasecmp((const char *)p, word, len) == 0;
}

bool http1_is(const uint8_t *data, struct http1_span s, const char *text)
{
    return s.len == strlen(text) && memcmp(data + s.at, text, s.len) == 0;
}

bool http1_is_name(const uint8_t *data, struct http1_span s, const char *name)
{
    return is_word(data + s.at, s.len, name);
}

/* --- the request line: METHOD SP target SP HTTP/1.x --- */

static enum step read_version(struct http1_head *h, const uint8_t *p, size_t len, struct err *e)
{
    bool digits = len == 8 && p[5] >= '0' && p[5] <= '9' && p[7] >= '0' && p[7] <= '9';
    if (!digits || memcmp(p, "HTTP/", 5) != 0 || p[6] != '.')
        return http1_fail(h, e, 400, "no HTTP version in the request line");
    if (p[5] != '1' || p[7] > '1')
        return http1_fail(h, e, 505, "HTTP version is neither 1.0 nor 1.1");
    h->minor = (uint8_t)(p[7] - '0');
    return STEP_DONE;
}

static enum step read_request_line(struct http1_head *h, const uint8_t *data, size_t at, size_t len,
                                   struct err *e)
{
    const uint8_t *p = data + at;
    size_t method = run(is_token, p, len);
    if (method == 0 || method > HTTP1_METHOD_MAX || method == len || p[method] != ' ')
        return http1_fail(h, e, 400, "no method in the request line");
    size_t start = method + 1, target = run(is_target, p + start, len - start),
           end = start + target;
    if (target == 0 || end == len || p[end] != ' ')
        return http1_fail(h, e, 400, "no valid target in the request line");
    h->method = (struct http1_span){at, method};
    h->target = (struct http1_span){at + start, target};
    return read_version(h, p + end + 1, len - end - 1, e);
}

/* --- the fields that matter here --- */

static enum step read_host(struct http1_head *h, const uint8_t *data, struct http1_span v,
                           struct err *e)
{
    if (h->hosts++)
        return http1_fail(h, e, 400, "more than one Host");
    if (v.len == 0 || run(is_host, data + v.at, v.len) < v.len)
        return http1_fail(h, e, 400, "Host is not a host");
    h->host = v;
    return STEP_DONE;
}

static enum step read_length(struct http1_head *h, const uint8_t *data, struct http1_span v,
                             struct err *e)
{
    if (h->lengths++)
        return http1_fail(h, e, 400, "more than one Content-Length");
    if (v.len == 0 || v.len > 18) /* 18 digits fit, and are more than anybody sends */
        return http1_fail(h, e, 400, "Content-Length is not a length");
    for (size_t i = 0; i < v.len; i++) {
        uint8_t c = data[v.at + i];
        if (c < '0' || c > '9')
            return http1_fail(h, e, 400, "Content-Length is not a length");
        h->content_length = h->content_length * 10 + (uint64_t)(c - '0');
    }
    return STEP_DONE;
}

static enum step read_coding(struct http1_head *h, const uint8_t *data, struct http1_span v,
                             struct err *e)
{
    if (h->codings++)
        return http1_fail(h, e, 400, "more than one Transfer-Encoding");
    if (h->minor == 0)
        return http1_fail(h, e, 400, "Transfer-Encoding in HTTP/1.0");
    if (!is_word(data + v.at, v.len, "chunked"))
        return http1_fail(h, e, 501, "Transfer-Encoding is not chunked");
    h->chunked = true;
    return STEP_DONE;
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static enum step read_connection(struct http1_head *h, const uint8_t *data, struct http1_span v,
                                 struct err *e)
{
    const uint8_t *p = data + v.at, *end = p + v.len;
    while (p < end) {
        p += run(is_blank, p, (size_t)(end - p));
        size_t word = run(is_token, p, (size_t)(end - p));
        h->close |= is_word(p, word, "close");
        h->stay |= is_word(p, word, "keep-alive");
        p += word;
        p += run(is_blank, p, (size_t)(end - p));
        if (p < end && *p++ != ',')
            return http1_fail(h, e, 400, "Connection is not a list of names");
    }
    return STEP_DONE;
}

static const struct http1_field {
    const char *name;
    enum step (*read)(struct http1_head *h, const uint8_t *data, struct http1_span v,
                      struct err *e);
} fields[] = {
    {"host", read_host},
    {"content-length", read_length},
    {"transfer-encoding", read_coding},
    {"connection", read_connection},
};

/* The value behind a name of this length, without the blanks around it. */
static struct http1_span value_of(const uint8_t *data, size_t at, size_t len, size_t name)
{
    struct http1_span v = {at + name + 1, len - name - 1};
    size_t blank = run(is_blank, data + v.at, v.len);
    v.at += blank, v.len -= blank;
    while (v.len && is_blank(data[v.at + v.len - 1]))
        v.len--;
    return v;
}

/* A folded line and a space before the colon both fail here: neither is part of a name. */
static enum step read_field(struct http1_head *h, const uint8_t *data, size_t at, size_t len,
                            struct err *e)
{
    const uint8_t *p = data + at;
    size_t name = run(is_token, p, len);
    if (++h->fields > HTTP1_FIELDS_MAX)
        return http1_fail(h, e, 431, "more than 100 header fields");
    if (name == 0 || name == len || p[name] != ':')
        return http1_fail(h, e, 400, "a header line is not \"name: value\"");
    if (run(is_value, p + name + 1, len - name - 1) < len - name - 1)
        return http1_fail(h, e, 400, "a control byte in a header field");
    struct http1_span v = value_of(data, at, len, name);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (is_word(p, name, fields[i].name))
            return fields[i].read(h, data, v, e);
    return STEP_DONE;
}

static enum step read_end(struct http1_head *h, struct err *e)
{
    if (h->minor == 1 && h->hosts == 0)
        return http1_fail(h, e, 400, "no Host");
    if (h->lengths && h->codings)
        return http1_fail(h, e, 400, "both Content-Length and Transfer-Encoding");
    h->keep_alive = !h->close && (h->minor == 1 || h->stay);
    h->has_body = h->chunked || h->content_length > 0;
    h->len = h->line;
    return STEP_DONE;
}

/* --- lines --- */

/* The current line's length without CRLF. The limits do not depend on how much has arrived, so neither
 * does the answer. */
static enum step read_line(struct http1_head *h, const uint8_t *data, size_t len, size_t *line,
                           struct err *e)
{
    size_t limit = h->line + HTTP1_LINE_MAX + 2;
    if (limit > HTTP1_HEAD_MAX)
        limit = HTTP1_HEAD_MAX;
    size_t until = len < limit ? len : limit;
    const uint8_t *lf = until > h->seen ? memchr(data + h->seen, '\n', until - h->seen) : NULL;
    h->seen = until;
    if (!lf)
        return until < limit ? STEP_MORE : http1_fail(h, e, 431, "request head too large");
    *line = (size_t)(lf - data) - h->line;
    if (*line == 0 || lf[-1] != '\r')
        return http1_fail(h, e, 400, "a line ends without CR");
    (*line)--;
    return STEP_DONE;
}

enum step http1_read(struct http1_head *h, const uint8_t *data, size_t len, struct err *e)
{
    enum step s;
    size_t line = 0;
    while ((s = read_line(h, data, len, &line, e)) == STEP_DONE) {
        size_t at = h->line;
        h->line = h->seen = at + line + 2;
        if (at > 0 && line == 0)
            return read_end(h, e);
        s = at == 0 ? read_request_line(h, data, at, line, e) : read_field(h, data, at, line, e);
        if (s != STEP_DONE)
            break;
    }
    return s;
}

unsigned http1_field(const struct http1_head *h, const uint8_t *data, const char *name,
                     struct http1_span *value)
{
    unsigned found = 0;
    const uint8_t *lf;
    for (size_t at = 0; at < h->len; at = (size_t)(lf - data) + 1) {
        lf = memchr(data + at, '\n', h->len - at);
        if (!lf) /* not of a head that was read */
            break;
        size_t len = (size_t)(lf - data) - at - 1, n = run(is_token, data + at, len);
        if (at == 0 || n == len || data[at + n] != ':' || !is_word(data + at, n, name))
            continue;
        if (found++ == 0)
            *value = value_of(data, at, len, n);
    }
    return found;
}

/* Where the line behind the one at `at` begins. */
static size_t next_line(const struct http1_head *h, const uint8_t *data, size_t at)
{
    const uint8_t *lf = memchr(data + at, '\n', h->len - at);
    return (size_t)(lf - data) + 1;
}

bool http1_next_field(const struct http1_head *h, const uint8_t *data, size_t *at,
                      struct http1_span *name, struct http1_span *value)
{
    size_t start = *at ? *at : next_line(h, data, 0); /* the request line is no field */
    *at = next_line(h, data, start);
    size_t len = *at - 2 - start;
    *name = (struct http1_span){start, run(is_token, data + start, len)};
    if (name->len == 0)
        return false;
    *value = value_of(data, start, len, name->len);
    return true;
}
