#include "proxy/http1.h"

#include <string.h>
#include <strings.h>

#include "proxy/http1_inside.h"

enum step http1_fail(struct http1_head *h, struct err *e, int status, const char *text)
{
    h->status = h->answer ? 502 : status;
    return step_fail(e, EPROTO, "%s", text);
}

/* --- bytes --- */

const struct bytes http1_token = {{0, 0x03ff6cfa, 0xc7fffffe, 0x57ffffff}};
const struct bytes http1_blank = {{0x00000200, 1}};
static const struct bytes target_bytes = {{0, 0xfffffff6, 0xffffffff, 0x7fffffff}}; /* no "#" */
static const struct bytes value_bytes = {{0x00000200, 0xffffffff, 0xffffffff, 0x7fffffff,
                                          0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}};
/* Less than RFC 3986 allows: no user, no percent signs, nothing that could separate two hosts. */
static const struct bytes host_bytes = {{0, 0x07ff6000, 0xaffffffe, 0x07fffffe}};

bool http1_is_token(uint8_t c)
{
    return bytes_have(&http1_token, c);
}

static bool all(const struct bytes *set, const uint8_t *p, size_t len)
{
    bool good = true;
    for (size_t n = 0; n < len; n++)
        good &= bytes_have(set, p[n]);
    return good;
}

/* Eight bytes at a time: they are good if none is below a space or DEL. Else they are looked at one by one. */
static bool is_value(const uint8_t *p, size_t len)
{
    static const uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;
    size_t n = 0;
    for (; n + sizeof(uint64_t) <= len; n += sizeof(uint64_t)) {
        uint64_t word, del;
        memcpy(&word, p + n, sizeof word);
        del = word ^ ones * 0x7f;
        uint64_t bad = ((word - ones * 0x20) & ~word) | ((del - ones) & ~del);
        if (bad & tops && !all(&value_bytes, p + n, sizeof word))
            return false;
    }
    return all(&value_bytes, p + n, len - n);
}

bool http1_is_word(const uint8_t *p, size_t len, const char *word)
{
    return len == strlen(word) && strncasecmp((const char *)p, word, len) == 0;
}

bool http1_is(const uint8_t *data, struct http1_span s, const char *text)
{
    return s.len == strlen(text) && memcmp(data + s.at, text, s.len) == 0;
}

bool http1_is_host(const uint8_t *data, struct http1_span s)
{
    return s.len > 0 && bytes_run(&host_bytes, data + s.at, s.len) == s.len;
}

bool http1_is_name(const uint8_t *data, struct http1_span s, const char *name)
{
    return http1_is_word(data + s.at, s.len, name);
}

/* --- the first line: METHOD SP target SP HTTP/1.x, or HTTP/1.x SP code [SP reason] --- */

enum { VERSION = 8 };

static enum step read_version(struct http1_head *h, const uint8_t *p, size_t len, struct err *e)
{
    bool digits = len == VERSION && http1_is_digit(p[5]) && http1_is_digit(p[7]);
    if (!digits || memcmp(p, "HTTP/", 5) != 0 || p[6] != '.')
        return http1_fail(h, e, 400, "no HTTP version in the first line");
    if (p[5] != '1' || p[7] > '1')
        return http1_fail(h, e, 505, "HTTP version is neither 1.0 nor 1.1");
    h->minor = (uint8_t)(p[7] - '0');
    return STEP_DONE;
}

static enum step read_request_line(struct http1_head *h, const uint8_t *p, size_t len,
                                   struct err *e)
{
    size_t method = bytes_run(&http1_token, p, len);
    if (method == 0 || method > HTTP1_METHOD_MAX || method == len || p[method] != ' ')
        return http1_fail(h, e, 400, "no method in the request line");
    size_t start = method + 1, target = bytes_run(&target_bytes, p + start, len - start),
           end = start + target;
    if (target == 0 || end == len || p[end] != ' ')
        return http1_fail(h, e, 400, "no valid target in the request line");
    h->method = (struct http1_span){0, method};
    h->target = (struct http1_span){start, target};
    return read_version(h, p + end + 1, len - end - 1, e);
}

/* A reason that could not be said again is none. */
static enum step read_status_line(struct http1_head *h, const uint8_t *p, size_t len, struct err *e)
{
    enum { CODE = VERSION + 1, REASON = CODE + 3 };
    if (read_version(h, p, len < VERSION ? len : VERSION, e) == STEP_FAIL)
        return STEP_FAIL;
    bool digits = len >= REASON && p[VERSION] == ' ' && p[CODE] > '0' && http1_is_digit(p[CODE]) &&
                  http1_is_digit(p[CODE + 1]) && http1_is_digit(p[CODE + 2]);
    if (!digits || (len > REASON && p[REASON] != ' ') || memchr(p, '\r', len))
        return http1_fail(h, e, 502, "no status in the first line");
    h->code = (uint16_t)((p[CODE] - '0') * 100 + (p[CODE + 1] - '0') * 10 + p[CODE + 2] - '0');
    if (len > REASON && is_value(p + REASON, len - REASON))
        h->reason = (struct http1_span){REASON + 1, len - REASON - 1};
    return STEP_DONE;
}

static enum step read_first_line(struct http1_head *h, const uint8_t *data, size_t len,
                                 struct err *e)
{
    return h->answer ? read_status_line(h, data, len, e) : read_request_line(h, data, len, e);
}

/* --- fields --- */

/* The value behind a name of this length, without the blanks around it. */
static struct http1_span value_of(const uint8_t *data, size_t at, size_t len, size_t name)
{
    struct http1_span v = {at + name + 1, len - name - 1};
    size_t skip = bytes_run(&http1_blank, data + v.at, v.len);
    v.at += skip, v.len -= skip;
    while (v.len && bytes_have(&http1_blank, data[v.at + v.len - 1]))
        v.len--;
    return v;
}

/* Some readers take a tab for a part of the value, and see another one. */
static bool has_tab(const uint8_t *data, size_t at, size_t len, struct http1_span v)
{
    return memchr(data + at, '\t', v.at - at) ||
           memchr(data + v.at + v.len, '\t', at + len - v.at - v.len);
}

/* A folded line and a space before the colon both fail here: neither is part of a name. */
static enum step read_field(struct http1_head *h, const uint8_t *data, size_t at, size_t len,
                            struct err *e)
{
    const uint8_t *p = data + at;
    const uint8_t *colon = memchr(p, ':', len);
    size_t name = colon ? (size_t)(colon - p) : 0;
    if (++h->fields > HTTP1_FIELDS_MAX)
        return http1_fail(h, e, 431, "more than 100 header fields");
    if (name == 0 || !all(&http1_token, p, name))
        return http1_fail(h, e, 400, "a header line is not \"name: value\"");
    if (!is_value(p + name + 1, len - name - 1))
        return http1_fail(h, e, 400, "a control byte in a header field");
    enum http_name known = http_name_of(p, name);
    if (known == HTTP_OTHER)
        return STEP_DONE;
    struct http1_span v = value_of(data, at, len, name);
    bool matters =
        known == HTTP_HOST || known == HTTP_CONTENT_LENGTH || known == HTTP_TRANSFER_ENCODING;
    if (matters && has_tab(data, at, len, v))
        return http1_fail(h, e, 400, "a tab beside a value that matters");
    return http1_read_known(h, data, known, v, e);
}

static enum step read_end(struct http1_head *h, const uint8_t *data, struct err *e)
{
    if (!h->answer && h->minor == 1 && h->hosts == 0)
        return http1_fail(h, e, 400, "no Host");
    if (h->counted && h->codings)
        return http1_fail(h, e, 400, "both Content-Length and Transfer-Encoding");
    h->keep_alive = !h->close && (h->minor == 1 || h->stay);
    h->has_body = h->chunked || h->content_length > 0;
    h->upgrade = h->answer ? h->code == 101 : http1_wants_upgrade(h, data);
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
    if (until > h->seen)
        h->seen = until;
    if (!lf)
        return until < limit ? STEP_MORE : http1_fail(h, e, 431, "head too large");
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
            return read_end(h, data, e);
        s = at == 0 ? read_first_line(h, data, line, e) : read_field(h, data, at, line, e);
        if (s != STEP_DONE)
            break;
    }
    return s;
}

enum step http1_read_answer(struct http1_head *h, const uint8_t *data, size_t len, struct err *e)
{
    h->answer = true;
    return http1_read(h, data, len, e);
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
        size_t len = (size_t)(lf - data) - at - 1, n = bytes_run(&http1_token, data + at, len);
        if (at == 0 || n == len || data[at + n] != ':' || !http1_is_word(data + at, n, name))
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
    size_t start = *at ? *at : next_line(h, data, 0); /* the first line is no field */
    *at = next_line(h, data, start);
    size_t len = *at - 2 - start;
    const uint8_t *colon = memchr(data + start, ':', len);
    if (!colon)
        return false;
    *name = (struct http1_span){start, (size_t)(colon - data) - start};
    *value = value_of(data, start, len, name->len);
    return true;
}

bool http1_lists(const struct http1_head *h, const uint8_t *data, struct http1_span name)
{
    for (unsigned i = 0; i < h->listed; i++)
        if (h->names[i].len == name.len && strncasecmp((const char *)data + h->names[i].at,
                                                       (const char *)data + name.at, name.len) == 0)
            return true;
    return false;
}
