/* routing/sniff_http.c -- an HTTP/1 request by its line; the name by its only Host, or by the target's. */
#include <strings.h>

#include "routing/sniff.h"

enum { METHOD_MIN = 3, METHOD_MAX = 16, PORT_MAX = 5 };

struct request {
    struct cursor target, host;
    bool has_host, doubtful;
};

/* --- the request line, as far as it is there --- */

static enum step read_method(struct cursor *c)
{
    size_t len = 0;
    for (uint8_t byte; cur_u8(c, &byte); len++) {
        if (byte == ' ')
            return len < METHOD_MIN ? STEP_FAIL : STEP_DONE;
        if ((byte < 'A' || byte > 'Z') && byte != '-')
            return STEP_FAIL;
        if (len == METHOD_MAX)
            return STEP_FAIL;
    }
    return STEP_MORE;
}

static enum step read_target(struct cursor *c, struct cursor *target)
{
    const uint8_t *from = c->p;
    for (uint8_t byte; cur_u8(c, &byte);) {
        *target = (struct cursor){from, c->p - 1};
        if (byte == ' ')
            return cur_left(target) ? STEP_DONE : STEP_FAIL;
        if (byte < ' ' || byte >= 0x7f)
            return STEP_FAIL;
    }
    return STEP_MORE;
}

static enum step read_version(struct cursor *c)
{
    static const char wanted[] = "HTTP/1.?\r\n";
    for (size_t i = 0; wanted[i]; i++) {
        uint8_t byte;
        if (!cur_u8(c, &byte))
            return STEP_MORE;
        if (wanted[i] == '?' ? byte != '0' && byte != '1' : byte != (uint8_t)wanted[i])
            return STEP_FAIL;
    }
    return STEP_DONE;
}

static enum step read_line(struct cursor *c, struct request *r)
{
    enum step step = read_method(c);
    if (step == STEP_DONE)
        step = read_target(c, &r->target);
    return step == STEP_DONE ? read_version(c) : step;
}

/* --- the headers --- */

/* Takes one line out of a whole head; "\n" alone does not end one. */
static struct cursor take_line(struct cursor *c)
{
    const uint8_t *end = memmem(c->p, cur_left(c), "\r\n", 2);
    struct cursor line = {c->p, end ? end : c->end};
    c->p = end ? end + 2 : c->end;
    return line;
}

static bool is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

static struct cursor trimmed(struct cursor c)
{
    while (c.p < c.end && is_space(*c.p))
        c.p++;
    while (c.p < c.end && is_space(c.end[-1]))
        c.end--;
    return c;
}

/* Bytes that one reader takes for the end of a line, and another does not. */
static bool is_plain(const struct cursor *line)
{
    for (const uint8_t *p = line->p; p < line->end; p++)
        if ((*p < ' ' && *p != '\t') || *p == 0x7f)
            return false;
    return true;
}

static void read_header(struct request *r, struct cursor line)
{
    const uint8_t *colon = memchr(line.p, ':', cur_left(&line));
    size_t len = colon ? (size_t)(colon - line.p) : 0;
    if (len == 0 || is_space(line.p[0]) || is_space(colon[-1]) || !is_plain(&line)) {
        r->doubtful = true;
        return;
    }
    if (len != 4 || strncasecmp((const char *)line.p, "host", 4) != 0)
        return;
    r->doubtful |= r->has_host;
    r->has_host = true;
    r->host = trimmed((struct cursor){colon + 1, line.end});
}

/* --- the name --- */

/* False: what stands there is no domain. */
static bool read_authority(struct cursor c, char name[ADDR_NAME_MAX + 1])
{
    const uint8_t *colon = memchr(c.p, ':', cur_left(&c));
    if (colon) {
        size_t len = (size_t)(c.end - colon) - 1;
        for (size_t i = 1; i <= len; i++)
            if (colon[i] < '0' || colon[i] > '9')
                return false;
        if (len > PORT_MAX)
            return false;
        c.end = colon;
    }
    return sniff_name(c.p, cur_left(&c), name);
}

/* "http://a.example.com/": what a proxy is asked for. False: the target has no authority. */
static bool target_authority(struct cursor target, struct cursor *authority)
{
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t len = strlen(schemes[i]);
        if (cur_left(&target) < len || strncasecmp((const char *)target.p, schemes[i], len) != 0)
            continue;
        *authority = (struct cursor){target.p + len, target.p + len};
        while (authority->end < target.end && !strchr("/?#", *authority->end))
            authority->end++;
        return true;
    }
    return false;
}

static void find_name(const struct request *r, char name[ADDR_NAME_MAX + 1])
{
    char host[ADDR_NAME_MAX + 1] = "";
    struct cursor authority;
    bool named = r->has_host && read_authority(r->host, host);
    if (r->doubtful)
        return;
    if (target_authority(r->target, &authority))
        named = read_authority(authority, name) && (!r->has_host || strcmp(name, host) == 0);
    else
        memcpy(name, host, sizeof host);
    if (!named)
        name[0] = '\0';
}

enum step sniff_http(struct cursor in, struct sniffed *s)
{
    struct request r = {0};
    struct cursor c = in;
    enum step step = read_line(&c, &r);
    if (step != STEP_DONE)
        return step;
    const uint8_t *end = memmem(c.p - 2, cur_left(&c) + 2, "\r\n\r\n", 4);
    if (!end)
        return STEP_MORE;
    c.end = end + 2;
    while (cur_left(&c))
        read_header(&r, take_line(&c));
    find_name(&r, s->name);
    s->head_len = (size_t)(end + 4 - in.p);
    return STEP_DONE;
}
