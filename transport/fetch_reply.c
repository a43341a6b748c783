#include "transport/fetch_reply.h"

#include <strings.h>

struct head {
    bool chunked, sized;
    size_t length;
};

/* The next line without its end, which is CRLF. */
static bool line_read(struct cursor *in, struct cursor *line)
{
    const uint8_t *end = memmem(in->p, cur_left(in), "\r\n", 2);
    if (!end)
        return false;
    cur_sub(in, (size_t)(end - in->p), line);
    return cur_skip(in, 2);
}

static bool number_read(struct cursor *in, unsigned base, size_t *to)
{
    const uint8_t *first = in->p;
    size_t v = 0;
    for (; cur_left(in); in->p++) {
        uint8_t c = *in->p, lower = c | 0x20;
        unsigned digit = c >= '0' && c <= '9'           ? (unsigned)(c - '0')
                         : lower >= 'a' && lower <= 'f' ? (unsigned)(lower - 'a') + 10
                                                        : base;
        if (digit >= base)
            break;
        v = v * base + digit;
        if (v > FETCH_REPLY_BODY)
            return false;
    }
    *to = v;
    return in->p > first;
}

/* "HTTP/1.1 200 OK" */
static bool status_read(struct cursor line, struct fetch_reply *r)
{
    uint8_t version[9];
    size_t status;
    if (!cur_bytes(&line, version, sizeof version) || memcmp(version, "HTTP/1.", 7) != 0 ||
        version[8] != ' ' || !number_read(&line, 10, &status))
        return false;
    r->closes = version[7] == '0';
    r->status = (unsigned)status;
    return true;
}

static bool has_name(const struct cursor *line, const char *name)
{
    size_t len = strlen(name);
    return cur_left(line) > len && line->p[len] == ':' &&
           strncasecmp((const char *)line->p, name, len) == 0;
}

static struct cursor value_of(struct cursor line, const char *name)
{
    cur_skip(&line, strlen(name) + 1);
    while (cur_left(&line) && (*line.p == ' ' || *line.p == '\t'))
        line.p++;
    while (cur_left(&line) && (line.end[-1] == ' ' || line.end[-1] == '\t'))
        line.end--;
    return line;
}

static bool is_word(const struct cursor *value, const char *word)
{
    return cur_left(value) == strlen(word) &&
           strncasecmp((const char *)value->p, word, cur_left(value)) == 0;
}

/* False: a length or an encoding that is none. */
static bool header_read(struct cursor line, struct head *h, struct fetch_reply *r)
{
    static const char length[] = "content-length", encoding[] = "transfer-encoding",
                      connection[] = "connection";
    struct cursor value;
    if (has_name(&line, length)) {
        value = value_of(line, length);
        bool again = h->sized;
        h->sized = true;
        return !again && number_read(&value, 10, &h->length) && cur_left(&value) == 0;
    }
    if (has_name(&line, encoding)) {
        value = value_of(line, encoding);
        h->chunked = true;
        return is_word(&value, "chunked");
    }
    if (has_name(&line, connection)) {
        value = value_of(line, connection);
        r->closes |= is_word(&value, "close");
    }
    return true;
}

static enum step not_http(struct err *e)
{
    return step_fail(e, EPROTO, "its reply is no valid HTTP");
}

static enum step head_more(const struct cursor *from, struct err *e)
{
    return cur_left(from) < FETCH_REPLY_HEAD ? STEP_MORE : not_http(e);
}

static enum step head_read(struct cursor *in, struct head *h, struct fetch_reply *r, struct err *e)
{
    struct cursor from = *in, line;
    if (!line_read(in, &line))
        return head_more(&from, e);
    if (!status_read(line, r))
        return not_http(e);
    for (;;) {
        if (!line_read(in, &line))
            return head_more(&from, e);
        if (cur_left(&line) == 0)
            break;
        if (!header_read(line, h, r))
            return not_http(e);
    }
    if (r->status != 200 && !h->chunked && !h->sized) {
        r->closes = h->sized = true;
        h->length = 0;
    }
    return h->chunked != h->sized ? STEP_DONE : not_http(e);
}

static enum step sized_read(struct cursor *in, size_t len, struct fetch_reply *r)
{
    if (!cur_bytes(in, r->body, len))
        return STEP_MORE;
    r->len = len;
    return STEP_DONE;
}

/* Lines behind the last chunk, up to an empty one. */
static enum step trailers_read(struct cursor *in)
{
    struct cursor line = {NULL, NULL};
    while (line_read(in, &line))
        if (!cur_left(&line))
            return STEP_DONE;
    return STEP_MORE;
}

static enum step chunks_read(struct cursor *in, struct fetch_reply *r, struct err *e)
{
    struct writer w = wr_of(r->body, sizeof r->body);
    struct cursor line, chunk;
    size_t len;
    for (;;) {
        if (!line_read(in, &line))
            return STEP_MORE;
        if (!number_read(&line, 16, &len) || (cur_left(&line) && *line.p != ';'))
            return not_http(e);
        if (len == 0)
            break;
        if (!cur_sub(in, len, &chunk) || !line_read(in, &line))
            return STEP_MORE;
        wr_bytes(&w, chunk.p, len);
        if (cur_left(&line) || w.overflow)
            return not_http(e);
    }
    r->len = wr_len(&w);
    return trailers_read(in);
}

enum step fetch_reply_read(struct cursor *in, struct fetch_reply *r, struct err *e)
{
    struct cursor c = *in;
    struct head h = {0};
    r->closes = false;
    enum step s = head_read(&c, &h, r, e);
    if (s == STEP_DONE)
        s = h.chunked ? chunks_read(&c, r, e) : sized_read(&c, h.length, r);
    if (s == STEP_DONE)
        *in = c;
    return s == STEP_MORE && cur_left(in) >= FETCH_REPLY_WIRE ? not_http(e) : s;
}
