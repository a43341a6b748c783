#include "proxy/file_path.h"

#include <string.h>

#include "proxy/http_target.h"

/* One piece behind what there is. */
static int read_piece(struct file_path *p, const uint8_t *from, size_t len)
{
    size_t start = p->len ? p->len + 1 : 0, at = start;
    for (size_t i = 0, took; i < len; i += took) {
        int c = http_target_byte(from + i, len - i, &took);
        if (c <= 0 || c == '/')
            return 400;
        if (c < 0x20 || c == 0x7f || at >= sizeof p->text - 1)
            return 404;
        p->text[at++] = (char)c;
    }
    if (at == start)
        return 0; /* two slashes are one */
    if (p->text[start] == '.')
        return 404;
    if (start)
        p->text[p->len] = '/';
    p->len = at;
    return 0;
}

int file_path_read(struct file_path *p, const uint8_t *data, struct http1_span path)
{
    const uint8_t *at = data + path.at, *end = at + path.len;
    p->len = 0;
    p->folder = path.len == 0 || end[-1] == '/';
    if (path.len > 0 && *at != '/')
        return 400;
    while (at < end) {
        at++; /* a slash */
        const uint8_t *slash = memchr(at, '/', (size_t)(end - at));
        const uint8_t *stop = slash ? slash : end;
        int status = read_piece(p, at, (size_t)(stop - at));
        if (status)
            return status;
        at = stop;
    }
    if (p->len == 0)
        p->text[p->len++] = '.';
    p->text[p->len] = '\0';
    return 0;
}
