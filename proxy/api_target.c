#include "proxy/api_target.h"

#include <string.h>

#include "proxy/http_target.h"

/* The bytes of a sequence that begins with c; 0: none does. */
static size_t utf8_len(uint8_t c)
{
    if (c < 0x80)
        return 1;
    if (c >= 0xc2 && c < 0xe0)
        return 2;
    if (c >= 0xe0 && c < 0xf0)
        return 3;
    return c >= 0xf0 && c < 0xf5 ? 4 : 0;
}

/* Overlong forms and surrogates pass as such: nothing here gives them a meaning. */
static bool is_utf8(const char *text)
{
    while (*text) {
        size_t len = utf8_len((uint8_t)*text++);
        if (len == 0)
            return false;
        for (; len > 1; len--)
            if (((uint8_t)*text++ & 0xc0) != 0x80)
                return false;
    }
    return true;
}

/* Puts a decoded piece at *to, with its end; moves *to behind it. */
static bool decode(char **to, const char *limit, const uint8_t *from, size_t len)
{
    const char *start = *to;
    for (size_t i = 0, took; i < len; i += took) {
        int c = http_target_byte(from + i, len - i, &took);
        if (c <= 0 || *to >= limit - 1)
            return false;
        *(*to)++ = (char)c;
    }
    if (*to >= limit)
        return false;
    *(*to)++ = '\0';
    return is_utf8(start);
}

static size_t until(const uint8_t *p, size_t len, char stop)
{
    const uint8_t *at = memchr(p, stop, len);
    return at ? (size_t)(at - p) : len;
}

static bool read_pieces(struct api_target *t, char **to, const uint8_t *p, size_t len)
{
    while (len > 0) {
        p++, len--; /* a slash */
        size_t n = until(p, len, '/');
        if (t->piece_count == API_PIECES)
            return false;
        t->pieces[t->piece_count++] = *to;
        if (!decode(to, t->text + sizeof t->text, p, n))
            return false;
        p += n, len -= n;
    }
    return true;
}

static bool read_option(struct api_target *t, char **to, const uint8_t *p, size_t len)
{
    const char *limit = t->text + sizeof t->text;
    size_t name = until(p, len, '='), value = name < len ? name + 1 : name;
    if (t->option_count == API_OPTIONS)
        return false;
    struct api_option *o = &t->options[t->option_count++];
    o->name = *to;
    if (!decode(to, limit, p, name))
        return false;
    o->value = *to;
    return decode(to, limit, p + value, len - value);
}

bool api_target_read(struct api_target *t, const uint8_t *data, struct http1_span target)
{
    struct http1_span path = http_target_path(data, target);
    const uint8_t *p = data + path.at, *end = data + target.at + target.len;
    char *to = t->text;
    t->piece_count = t->option_count = 0;
    if (path.len == 0 || *p != '/' || !read_pieces(t, &to, p, path.len))
        return false;
    for (p += path.len; p < end;) {
        p++; /* the question mark, or what divides options */
        size_t n = until(p, (size_t)(end - p), '&');
        if (n > 0 && !read_option(t, &to, p, n))
            return false;
        p += n;
    }
    return true;
}

const char *api_option(const struct api_target *t, const char *name)
{
    for (size_t i = 0; i < t->option_count; i++)
        if (strcmp(t->options[i].name, name) == 0)
            return t->options[i].value;
    return "";
}
