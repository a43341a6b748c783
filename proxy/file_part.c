#include "proxy/file_part.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proxy/http_words.h"

const char *file_tag(const struct file_facts *f, char out[FILE_TAG_ROOM])
{
    snprintf(out, FILE_TAG_ROOM, "\"%" PRIx64 ".%lx-%" PRIx64 "\"", (uint64_t)f->changed.tv_sec,
             (unsigned long)f->changed.tv_nsec, f->size);
    return out;
}

/* A field that is there once; of two nobody knows which one was meant. */
static bool field_of(const struct http1_head *h, const uint8_t *data, const char *name,
                     struct http1_span *value)
{
    return http1_field(h, data, name, value) == 1;
}

/* --- has it already --- */

static size_t skip(const uint8_t *data, struct http1_span s, size_t at, const char *bytes)
{
    while (at < s.len && data[s.at + at] && strchr(bytes, data[s.at + at]))
        at++;
    return at;
}

/* A list of tags, weak ones too, or "*". */
static bool names_tag(const uint8_t *data, struct http1_span list, const char *tag)
{
    size_t len = strlen(tag), at = skip(data, list, 0, ", \t");
    if (http1_is(data, list, "*"))
        return true;
    while (at < list.len) {
        const uint8_t *p = data + list.at + at;
        size_t left = list.len - at;
        if (left > 2 && memcmp(p, "W/", 2) == 0)
            p += 2, left -= 2;
        if (left >= len && memcmp(p, tag, len) == 0)
            return true;
        const uint8_t *comma = memchr(p, ',', left);
        if (!comma)
            return false;
        at = skip(data, list, (size_t)(comma - data) - list.at, ", \t");
    }
    return false;
}

static bool has_it(const struct http1_head *h, const uint8_t *data, const struct file_facts *f)
{
    char tag[FILE_TAG_ROOM];
    struct http1_span v;
    time_t since;
    if (http1_field(h, data, "if-none-match", &v) > 0)
        return field_of(h, data, "if-none-match", &v) && names_tag(data, v, file_tag(f, tag));
    return field_of(h, data, "if-modified-since", &v) && http_date_read(data, v, &since) &&
           f->changed.tv_sec <= since;
}

/* --- wants a part --- */

/* The part is of the file as he knows it. */
static bool is_the_same(const struct http1_head *h, const uint8_t *data, const struct file_facts *f)
{
    char tag[FILE_TAG_ROOM];
    struct http1_span v;
    time_t since;
    unsigned fields = http1_field(h, data, "if-range", &v);
    if (fields != 1)
        return fields == 0;
    return http1_is(data, v, file_tag(f, tag)) ||
           (http_date_read(data, v, &since) && f->changed.tv_sec == since);
}

/* Digits at *p, which then stands behind them; more than there can be bytes counts as that many. */
static bool read_number(const uint8_t **p, const uint8_t *end, uint64_t *n)
{
    const uint8_t *start = *p;
    for (*n = 0; *p < end && **p >= '0' && **p <= '9'; (*p)++)
        *n = *n > UINT64_MAX / 10 - 1 ? UINT64_MAX / 10 : *n * 10 + (uint64_t)(**p - '0');
    return *p > start;
}

enum range { RANGE_NONE, RANGE_FIRST_LAST, RANGE_FROM, RANGE_TAIL };

static enum range read_range(const uint8_t *data, struct http1_span v, uint64_t *a, uint64_t *b)
{
    static const char unit[] = "bytes=";
    const uint8_t *p = data + v.at, *end = p + v.len;
    if (v.len < strlen(unit) || !http1_is_name(data, (struct http1_span){v.at, strlen(unit)}, unit))
        return RANGE_NONE;
    p += strlen(unit);
    bool first = read_number(&p, end, a);
    if (p == end || *p++ != '-')
        return RANGE_NONE;
    bool last = read_number(&p, end, b);
    if (p < end || (!first && !last) || (first && last && *b < *a))
        return RANGE_NONE;
    if (!first)
        return RANGE_TAIL;
    return last ? RANGE_FIRST_LAST : RANGE_FROM;
}

struct file_part file_part_of(const struct http1_head *h, const uint8_t *data,
                              const struct file_facts *f)
{
    struct http1_span v;
    uint64_t a = 0, b = 0, size = f->size;
    if (has_it(h, data, f))
        return (struct file_part){.status = 304};
    enum range r = RANGE_NONE;
    if (http1_is(data, h->method, "GET") && field_of(h, data, "range", &v) &&
        is_the_same(h, data, f))
        r = read_range(data, v, &a, &b);
    if (r == RANGE_NONE)
        return (struct file_part){200, 0, size};
    if (r == RANGE_TAIL && b > 0 && size > 0)
        return (struct file_part){206, b < size ? size - b : 0, b < size ? b : size};
    if (r == RANGE_TAIL || a >= size)
        return (struct file_part){.status = 416};
    if (r == RANGE_FROM || b >= size)
        b = size - 1;
    return (struct file_part){206, a, b - a + 1};
}
