#include "proxy/http_target.h"

#include <string.h>

struct http1_span http_target_path(const uint8_t *data, struct http1_span target)
{
    static const char scheme[] = "http://";
    const uint8_t *p = data + target.at, *end = p + target.len, *query;
    if (target.len > strlen(scheme) && memcmp(p, scheme, strlen(scheme)) == 0) {
        p += strlen(scheme);
        while (p < end && *p != '/')
            p++;
    }
    query = memchr(p, '?', (size_t)(end - p));
    return (struct http1_span){(size_t)(p - data), (size_t)((query ? query : end) - p)};
}

struct http1_span http_target_query(struct http1_span target, struct http1_span path)
{
    size_t at = path.at + path.len;
    return (struct http1_span){at, target.at + target.len - at};
}

static int hex(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int http_target_byte(const uint8_t *p, size_t len, size_t *took)
{
    *took = 1;
    if (*p != '%')
        return *p;
    *took = 3;
    if (len < 3 || hex(p[1]) < 0 || hex(p[2]) < 0)
        return -1;
    return hex(p[1]) << 4 | hex(p[2]);
}

static bool is_plain(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c && strchr("-._~", c));
}

void http_target_write(struct page *p, const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];
        if (is_plain(c))
            page_bytes(p, name + i, 1);
        else
            page_format(p, "%%%02X", c);
    }
}
