#include "proxy/http_body.h"

enum {
    SIZE_DIGITS = 8,
    EXTENSION_MAX = 256,
    TRAILERS_MAX = 8 * 1024, /* bytes */
};

struct http_body http_body_counted(uint64_t length)
{
    return (struct http_body){.state = length ? HTTP_BODY_COUNTED : HTTP_BODY_DONE, .left = length};
}

struct http_body http_body_chunked(void)
{
    return (struct http_body){.state = HTTP_BODY_SIZE};
}

struct http_body http_body_of_request(const struct http1_head *h)
{
    return h->chunked ? http_body_chunked() : http_body_counted(h->content_length);
}

struct http_body http_body_of_answer(const struct http1_head *h, bool no_body)
{
    if (no_body || h->code < 200 || h->code == 204 || h->code == 304)
        return http_body_counted(0);
    if (h->chunked || h->counted)
        return http_body_of_request(h);
    return (struct http_body){.state = HTTP_BODY_UNTIL_CLOSE};
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
        return (c | 0x20) - 'a' + 10;
    return -1;
}

static int take_size(struct http_body *b, uint8_t c, struct err *e)
{
    int v = hex_value(c);
    if (v >= 0 && b->digits < SIZE_DIGITS) {
        b->left = b->left * 16 + (unsigned)v;
        b->digits++;
        return 0;
    }
    if (b->digits == 0 || v >= 0 || (c != '\r' && c != ';'))
        return err_set(e, EPROTO, "http: not the size of a chunk");
    b->digits = 0;
    b->state = c == '\r' ? HTTP_BODY_SIZE_LF : HTTP_BODY_EXTENSION;
    return 0;
}

static int take_extension(struct http_body *b, uint8_t c, struct err *e)
{
    if (c == '\r') {
        b->digits = 0;
        b->state = HTTP_BODY_SIZE_LF;
        return 0;
    }
    if (++b->digits > EXTENSION_MAX || (c < 0x20 && c != '\t') || c == 0x7f)
        return err_set(e, EPROTO, "http: not a chunk's extension");
    return 0;
}

static int bad_trailer(struct err *e)
{
    return err_set(e, EPROTO, "http: not a trailer");
}

/* Who adds trailers to the head would let a name that means something there say it too late. */
static int take_trailer_name(struct http_body *b, uint8_t c, struct err *e)
{
    if (c == '\r' && b->line == 0) {
        b->state = HTTP_BODY_END_LF;
        return 0;
    }
    if (c == ':' && b->line > 0) {
        size_t len = b->line < sizeof b->name ? b->line : sizeof b->name;
        b->state = HTTP_BODY_TRAILER_VALUE;
        return http_name_of(b->name, len) == HTTP_OTHER ? 0 : bad_trailer(e);
    }
    if (!http1_is_token(c))
        return bad_trailer(e);
    if (b->line < sizeof b->name)
        b->name[b->line] = c;
    b->line++;
    return 0;
}

static int take_trailer_value(struct http_body *b, uint8_t c, struct err *e)
{
    if (c == '\r') {
        b->line = 0;
        b->state = HTTP_BODY_TRAILER_LF;
        return 0;
    }
    return (c < 0x20 && c != '\t') || c == 0x7f ? bad_trailer(e) : 0;
}

static int take_trailer(struct http_body *b, uint8_t c, struct err *e)
{
    if (++b->trailers > TRAILERS_MAX)
        return bad_trailer(e);
    return b->state == HTTP_BODY_TRAILER ? take_trailer_name(b, c, e) : take_trailer_value(b, c, e);
}

static int take_lf(struct http_body *b, uint8_t c, enum http_body_state next, struct err *e)
{
    if (c != '\n')
        return err_set(e, EPROTO, "http: a line of the body ends without LF");
    b->state = next;
    return 0;
}

static int take_one(struct http_body *b, uint8_t c, struct err *e)
{
    switch (b->state) {
    case HTTP_BODY_SIZE:
        return take_size(b, c, e);
    case HTTP_BODY_EXTENSION:
        return take_extension(b, c, e);
    case HTTP_BODY_SIZE_LF:
        return take_lf(b, c, b->left ? HTTP_BODY_CHUNK : HTTP_BODY_TRAILER, e);
    case HTTP_BODY_CHUNK_CR:
        b->state = HTTP_BODY_CHUNK_LF;
        return c == '\r' ? 0 : err_set(e, EPROTO, "http: a chunk is longer than its size");
    case HTTP_BODY_CHUNK_LF:
        return take_lf(b, c, HTTP_BODY_SIZE, e);
    case HTTP_BODY_TRAILER_LF:
        return take_lf(b, c, HTTP_BODY_TRAILER, e);
    case HTTP_BODY_END_LF:
        return take_lf(b, c, HTTP_BODY_DONE, e);
    default:
        return take_trailer(b, c, e);
    }
}

static size_t take_counted(struct http_body *b, size_t n)
{
    size_t took = n < b->left ? n : (size_t)b->left;
    b->left -= took;
    if (!b->left)
        b->state = b->state == HTTP_BODY_COUNTED ? HTTP_BODY_DONE : HTTP_BODY_CHUNK_CR;
    return took;
}

int http_body_take(struct http_body *b, const uint8_t *p, size_t n, size_t *took, struct err *e)
{
    *took = 0;
    if (b->state == HTTP_BODY_UNTIL_CLOSE)
        *took = n;
    while (*took < n && b->state != HTTP_BODY_DONE) {
        if (b->state == HTTP_BODY_COUNTED || b->state == HTTP_BODY_CHUNK)
            *took += take_counted(b, n - *took);
        else if (take_one(b, p[(*took)++], e) < 0)
            return -1;
    }
    return 0;
}

bool http_body_whole(const struct http_body *b)
{
    return b->state == HTTP_BODY_DONE || b->state == HTTP_BODY_UNTIL_CLOSE;
}
