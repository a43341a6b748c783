/* The fields of a head that say what the message is, and for whom. */
#include <string.h>

#include "proxy/http1_inside.h"

static enum step read_host(struct http1_head *h, const uint8_t *data, struct http1_span v,
                           struct err *e)
{
    if (h->answer)
        return STEP_DONE;
    if (h->hosts++)
        return http1_fail(h, e, 400, "more than one Host");
    if (!http1_is_host(data, v))
        return http1_fail(h, e, 400, "Host is not a host");
    h->host = v;
    return STEP_DONE;
}

static enum step read_length(struct http1_head *h, const uint8_t *data, struct http1_span v,
                             struct err *e)
{
    if (h->counted)
        return http1_fail(h, e, 400, "more than one Content-Length");
    if (v.len == 0 || v.len > 18) /* 18 digits fit, and are more than anybody sends */
        return http1_fail(h, e, 400, "Content-Length is not a length");
    for (size_t i = 0; i < v.len; i++) {
        uint8_t c = data[v.at + i];
        if (!http1_is_digit(c))
            return http1_fail(h, e, 400, "Content-Length is not a length");
        h->content_length = h->content_length * 10 + (uint64_t)(c - '0');
    }
    h->counted = true;
    return STEP_DONE;
}

static enum step read_coding(struct http1_head *h, const uint8_t *data, struct http1_span v,
                             struct err *e)
{
    if (h->codings++)
        return http1_fail(h, e, 400, "more than one Transfer-Encoding");
    if (h->minor == 0)
        return http1_fail(h, e, 400, "Transfer-Encoding in HTTP/1.0");
    if (!http1_is_word(data + v.at, v.len, "chunked"))
        return http1_fail(h, e, 501, "Transfer-Encoding is not chunked");
    h->chunked = true;
    return STEP_DONE;
}

static enum step list(struct http1_head *h, size_t at, size_t len, struct err *e)
{
    if (h->listed == HTTP1_LISTED_MAX)
        return http1_fail(h, e, 400, "Connection lists too many fields");
    h->names[h->listed].at = (uint16_t)at;
    h->names[h->listed++].len = (uint16_t)len;
    return STEP_DONE;
}

/* A word of Connection. Without the field that it names the next reader would see another message, or another
 * sender: from a client that is an attack, from an origin it is not heeded. */
static enum step read_option(struct http1_head *h, const uint8_t *data, size_t at, size_t len,
                             struct err *e)
{
    switch (http_name_of(data + at, len)) {
    case HTTP_OTHER:
        return list(h, at, len, e);
    case HTTP_UPGRADE:
        h->change = true;
        return STEP_DONE;
    case HTTP_HOP:
        h->close |= http1_is_word(data + at, len, "close");
        h->stay |= http1_is_word(data + at, len, "keep-alive");
        return STEP_DONE;
    case HTTP_CONNECTION:
    case HTTP_LOOKALIKE:
        return STEP_DONE;
    default:
        return h->answer ? STEP_DONE
                         : http1_fail(h, e, 400, "Connection lists a field that must stay");
    }
}

/* Of an answer that says it badly, we do not trust the connection with another one. */
static enum step bad_connection(struct http1_head *h, struct err *e)
{
    if (!h->answer)
        return http1_fail(h, e, 400, "Connection is not a list of names");
    h->close = true;
    return STEP_DONE;
}

static enum step read_connection(struct http1_head *h, const uint8_t *data, struct http1_span v,
                                 struct err *e)
{
    size_t at = v.at, end = v.at + v.len;
    while (at < end) {
        at += bytes_run(&http1_blank, data + at, end - at);
        size_t word = bytes_run(&http1_token, data + at, end - at);
        if (word && read_option(h, data, at, word, e) == STEP_FAIL)
            return STEP_FAIL;
        at += word;
        at += bytes_run(&http1_blank, data + at, end - at);
        if (at < end && data[at++] != ',')
            return bad_connection(h, e);
    }
    return STEP_DONE;
}

/* One protocol, perhaps with its version. Not one that carries requests again: they would go past the router. */
static bool is_protocol(const uint8_t *p, size_t len)
{
    size_t name = bytes_run(&http1_token, p, len);
    size_t version =
        name < len && p[name] == '/' ? bytes_run(&http1_token, p + name + 1, len - name - 1) : 0;
    if (name == 0 || (name < len && (version == 0 || name + 1 + version < len)))
        return false;
    return !http1_is_word(p, name, "h2c") && !http1_is_word(p, name, "h2") &&
           !http1_is_word(p, name, "http") && !http1_is_word(p, name, "tls");
}

static void read_upgrade(struct http1_head *h, struct http1_span v)
{
    if (h->upgrades++ == 0)
        h->protocol = v;
}

enum step http1_read_known(struct http1_head *h, const uint8_t *data, enum http_name name,
                           struct http1_span v, struct err *e)
{
    switch (name) {
    case HTTP_HOST:
        return read_host(h, data, v, e);
    case HTTP_CONTENT_LENGTH:
        return read_length(h, data, v, e);
    case HTTP_TRANSFER_ENCODING:
        return read_coding(h, data, v, e);
    case HTTP_CONNECTION:
        return read_connection(h, data, v, e);
    case HTTP_UPGRADE:
        read_upgrade(h, v);
        return STEP_DONE;
    case HTTP_EXPECT:
        h->expects |= h->minor && http1_is_word(data + v.at, v.len, "100-continue");
        return STEP_DONE;
    default:
        return STEP_DONE;
    }
}

bool http1_wants_upgrade(const struct http1_head *h, const uint8_t *data)
{
    return h->minor == 1 && h->change && h->upgrades == 1 && !h->has_body &&
           is_protocol(data + h->protocol.at, h->protocol.len);
}
