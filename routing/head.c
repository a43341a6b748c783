#include "routing/head.h"

#include <stdint.h>
#include <string.h>

static struct head_text between(const char *from, const char *to)
{
    return (struct head_text){from, (size_t)(to - from)};
}

/* Up to the byte, or all of it. */
static const char *up_to(struct head_text t, char c)
{
    const char *found = memchr(t.text, c, t.len);
    return found ? found : t.text + t.len;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* Takes one line off; its end is LF, or CR and LF. False at the empty line and at the end. */
static bool take_line(struct head_text *rest, struct head_text *line)
{
    const char *end = up_to(*rest, '\n'), *stop = rest->text + rest->len;
    *line = between(rest->text, end);
    *rest = between(end < stop ? end + 1 : stop, stop);
    if (line->len && line->text[line->len - 1] == '\r')
        line->len--;
    return line->len > 0;
}

static struct head_text trim(struct head_text t)
{
    while (t.len && (*t.text == ' ' || *t.text == '\t'))
        t = between(t.text + 1, t.text + t.len);
    while (t.len && (t.text[t.len - 1] == ' ' || t.text[t.len - 1] == '\t'))
        t.len--;
    return t;
}

/* "/x" of "/x?y", of "http://host/x?y"; nothing of "http://host". */
static struct head_text path_of(struct head_text target)
{
    struct head_text path = between(target.text, up_to(target, '?'));
    path = between(path.text, up_to(path, '#'));
    const char *end = path.text + path.len, *scheme = memmem(path.text, path.len, "://", 3);
    if (!scheme || *path.text == '/')
        return path;
    return between(up_to(between(scheme + 3, end), '/'), end);
}

static bool request_attr(struct head_text line, struct head_text name, struct head_text *value)
{
    const char *end = line.text + line.len, *method = up_to(line, ' ');
    if (method == end)
        return false;
    *value = between(line.text, method);
    if (name.len == 7 && !memcmp(name.text, ":method", 7))
        return true;
    struct head_text target = between(method + 1, end);
    *value = path_of(between(target.text, up_to(target, ' ')));
    return name.len == 5 && !memcmp(name.text, ":path", 5);
}

static bool is_named(struct head_text text, struct head_text name)
{
    if (text.len != name.len)
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (lower(text.text[i]) != name.text[i])
            return false;
    return true;
}

bool head_attr(struct head_text head, struct head_text name, struct head_text *value)
{
    struct head_text line;
    if (!take_line(&head, &line))
        return false;
    if (name.len && *name.text == ':')
        return request_attr(line, name, value);
    while (take_line(&head, &line)) {
        const char *colon = up_to(line, ':'), *end = line.text + line.len;
        if (colon == end || !is_named(between(line.text, colon), name))
            continue;
        *value = trim(between(colon + 1, end));
        return true;
    }
    return false;
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

struct head_text head_path_decode(struct head_text path, char room[HEAD_PATH_MAX])
{
    struct head_text to = {room, 0};
    if (!memchr(path.text, '%', path.len))
        return path;
    for (size_t i = 0; i < path.len && to.len < HEAD_PATH_MAX; i++) {
        bool escape = path.text[i] == '%' && path.len - i > 2;
        int high = escape ? digit_of(path.text[i + 1]) : -1;
        int low = escape ? digit_of(path.text[i + 2]) : -1;
        room[to.len++] = high < 0 || low < 0 ? path.text[i] : (char)(high << 4 | low);
        i += high < 0 || low < 0 ? 0 : 2;
    }
    return to;
}
