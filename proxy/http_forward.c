#include "proxy/http_forward.h"

#include <string.h>
#include <strings.h>

#include "proxy/http_name.h"

/* --- the target --- */

static bool read_port(const uint8_t *p, size_t len, uint16_t *port)
{
    unsigned v = 0;
    for (size_t i = 0; i < len; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        v = v * 10 + (unsigned)(p[i] - '0');
    }
    *port = (uint16_t)v;
    return len > 0 && len <= 5 && v > 0 && v <= UINT16_MAX;
}

/* As a name on any other wire; an IPv6 address only in brackets. */
static bool read_host(const uint8_t *p, size_t len, struct addr *a)
{
    struct err e;
    uint8_t wire[1 + ADDR_NAME_MAX];
    if (len == 0 || len > ADDR_NAME_MAX)
        return false;
    wire[0] = (uint8_t)len;
    memcpy(wire + 1, p, len);
    struct cursor c = cur_of(wire, len + 1);
    return addr_read_host(&c, ADDR_NAME, a, &e) == STEP_DONE &&
           (a->type == ADDR_IPV6) == (*p == '[');
}

static const uint8_t *last_colon(const uint8_t *p, size_t len)
{
    for (size_t i = len; i > 0 && p[i - 1] != ']'; i--)
        if (p[i - 1] == ':')
            return p + i - 1;
    return NULL;
}

bool http_authority(const uint8_t *p, size_t len, uint16_t port, struct addr *a)
{
    const uint8_t *colon = last_colon(p, len);
    size_t host = colon ? (size_t)(colon - p) : len;
    if (!read_host(p, host, a))
        return false;
    a->port = port;
    return colon ? read_port(colon + 1, len - host - 1, &a->port) : port > 0;
}

static size_t authority_len(const uint8_t *p, size_t len)
{
    size_t n = 0;
    while (n < len && p[n] != '/' && p[n] != '?')
        n++;
    return n;
}

bool http_target_read(const uint8_t *data, const struct http1_head *h, bool transparent,
                      struct http_target *to)
{
    static const char scheme[] = "http://";
    enum { SCHEME = sizeof scheme - 1 };
    struct http1_span t = h->target;
    if (t.len > SCHEME && strncasecmp((const char *)data + t.at, scheme, SCHEME) == 0) {
        t.at += SCHEME, t.len -= SCHEME;
        to->authority = (struct http1_span){t.at, authority_len(data + t.at, t.len)};
        to->path = (struct http1_span){t.at + to->authority.len, t.len - to->authority.len};
    } else if (transparent && data[t.at] == '/') {
        to->authority = h->host;
        to->path = t;
    } else {
        return false;
    }
    return http_authority(data + to->authority.at, to->authority.len, 80, &to->addr);
}

/* --- the head that is sent on --- */

/* For this hop alone, or written anew. */
static bool stays(const uint8_t *data, const struct http1_head *h, struct http1_span name)
{
    switch (http_name_of(data + name.at, name.len)) {
    case HTTP_OTHER:
        return http1_lists(h, data, name);
    case HTTP_LOOKALIKE:
    case HTTP_HOST:
    case HTTP_CONNECTION:
    case HTTP_UPGRADE:
    case HTTP_HOP:
        return true;
    default:
        return false;
    }
}

static void put(uint8_t **to, const void *from, size_t len)
{
    memcpy(*to, from, len);
    *to += len;
}

static void put_text(uint8_t **to, const char *text)
{
    put(to, text, strlen(text));
}

static void put_span(uint8_t **to, const uint8_t *data, struct http1_span s)
{
    put(to, data + s.at, s.len);
}

static void put_request_line(uint8_t **to, const uint8_t *data, const struct http1_head *h,
                             const struct http_target *t)
{
    put_span(to, data, h->method);
    put_text(to, " ");
    if (t->path.len == 0 && http1_is(data, h->method, "OPTIONS"))
        put_text(to, "*");
    else if (t->path.len == 0 || data[t->path.at] == '?')
        put_text(to, "/");
    put_span(to, data, t->path);
    put_text(to, h->minor ? " HTTP/1.1\r\nHost: " : " HTTP/1.0\r\nHost: ");
    put_span(to, data, t->authority);
    put_text(to, "\r\n");
}

size_t http_forward_room(const struct http1_head *h)
{
    return 2 * h->len +
           64; /* the authority may be written where none was; the rest gets no longer */
}

size_t http_forward_write(uint8_t *to, const uint8_t *data, const struct http1_head *h,
                          const struct http_target *t)
{
    struct http1_span name, value;
    uint8_t *p = to;
    put_request_line(&p, data, h, t);
    for (size_t at = 0; http1_next_field(h, data, &at, &name, &value);) {
        if (stays(data, h, name))
            continue;
        put_span(&p, data, name);
        put_text(&p, ": ");
        put_span(&p, data, value);
        put_text(&p, "\r\n");
    }
    put_text(&p, "Connection: close\r\n\r\n");
    return (size_t)(p - to);
}
