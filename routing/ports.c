#include "routing/ports.h"

#include <stdlib.h>
#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void trim(const char **text, size_t *len)
{
    while (*len && is_space(**text))
        ++*text, --*len;
    while (*len && is_space((*text)[*len - 1]))
        --*len;
}

static bool parse_port(uint16_t *port, const char *text, size_t len)
{
    unsigned v = 0;
    if (len == 0)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        v = v * 10 + (unsigned)(text[i] - '0');
        if (v > UINT16_MAX)
            return false;
    }
    *port = (uint16_t)v;
    return true;
}

int port_range_parse(struct port_range *r, const char *text, size_t len, struct err *e)
{
    trim(&text, &len);
    const char *dash = memchr(text, '-', len);
    const char *to = dash ? dash + 1 : text;
    size_t from_len = dash ? (size_t)(dash - text) : len;
    int shown = len < 80 ? (int)len : 80;
    if (!parse_port(&r->from, text, from_len) || !parse_port(&r->to, to, (size_t)(text + len - to)))
        return err_set(e, EINVAL, "invalid port range: %.*s, want \"80\" or \"80-90\"", shown,
                       text);
    if (r->from > r->to)
        return err_set(e, ERANGE, "invalid port range: %.*s: the first port is above the last",
                       shown, text);
    return 0;
}

static int append(struct port_set *s, struct port_range r, struct err *e)
{
    struct port_range *ranges = realloc(s->ranges, (s->count + 1) * sizeof *ranges);
    if (!ranges)
        return err_set(e, ENOMEM, "out of memory");
    ranges[s->count] = r;
    s->ranges = ranges;
    s->count++;
    return 0;
}

/* Items between commas; an empty one counts for nothing, as in V2Ray. */
static int add_item(struct port_set *s, const char *text, size_t len, struct err *e)
{
    struct port_range r;
    struct err bad = {0};
    trim(&text, &len);
    if (len == 0)
        return 0;
    if (port_range_parse(&r, text, len, &bad) < 0) {
        *e = bad;
        if (bad.code != ERANGE)
            return -1;
    }
    return append(s, r, e);
}

int port_set_add(struct port_set *s, const char *text, struct err *e)
{
    size_t before = s->count;
    struct err why = {0};
    for (const char *end;; text = end + 1) {
        end = text + strcspn(text, ",");
        if (add_item(s, text, (size_t)(end - text), &why) < 0) {
            *e = why;
            return -1;
        }
        if (!*end)
            break;
    }
    if (s->count == before) {
        if (append(s, (struct port_range){1, 0}, e) < 0)
            return -1;
        return err_set(e, ERANGE, "invalid port range: empty, want \"80\" or \"80-90\"");
    }
    if (why.code) {
        *e = why;
        return -1;
    }
    return 0;
}

bool port_set_match(const struct port_set *s, uint16_t port)
{
    for (size_t i = 0; i < s->count; i++)
        if (port >= s->ranges[i].from && port <= s->ranges[i].to)
            return true;
    return false;
}

void port_set_fini(struct port_set *s)
{
    free(s->ranges);
    *s = (struct port_set){0};
}
