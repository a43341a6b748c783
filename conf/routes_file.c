/* conf/routes_file.c -- routes in a file that is watched, one a line: "HOST[/PATH] TUNNEL" or "HOST[/PATH] ADDRESS:PORT".
 * HOST may be a wildcard, or "*" for any; "#" begins a comment. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/config.h"
#include "conf/guides.h"
#include "conf/idn.h"
#include "core/cursor.h"
#include "core/file_stamp.h"
#include "core/log.h"

enum { FILE_MAX = 512 * 1024 * 1024, READ_MIN = 64 * 1024 };

/* --- the file's bytes --- */

struct text {
    char *bytes; /* owned */
    size_t len, room;
};

static int text_grow(struct text *t, struct err *e)
{
    size_t room = t->room ? 2 * t->room : READ_MIN;
    if (t->room >= FILE_MAX)
        return err_set(e, EFBIG, "is too large: at most 512 MiB");
    char *bytes = realloc(t->bytes, room);
    if (!bytes)
        return err_set(e, ENOMEM, "out of memory");
    t->bytes = bytes;
    t->room = room;
    return 0;
}

static int text_fill(struct text *t, int fd, struct err *e)
{
    for (;;) {
        if (t->len == t->room && text_grow(t, e) < 0)
            return -1;
        ssize_t n = read(fd, t->bytes + t->len, t->room - t->len);
        if (n < 0)
            return err_sys(e, "cannot be read");
        if (n == 0)
            return 0;
        t->len += (size_t)n;
    }
}

/* O_NONBLOCK: a FIFO must not hold us up. */
static int text_read(struct text *t, const char *path, struct err *e)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), result = -1;
    if (fd < 0)
        return err_sys(e, "cannot be read");
    if (fstat(fd, &st) < 0)
        err_sys(e, "cannot be read");
    else if (!S_ISREG(st.st_mode))
        err_set(e, EINVAL, "is no regular file");
    else
        result = text_fill(t, fd, e);
    close(fd);
    return result;
}

/* --- one line --- */

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The next word, up to a blank or a comment. Empty: there is none. */
static struct head_text word_take(struct cursor *line)
{
    while (cur_left(line) && is_blank(*line->p))
        line->p++;
    const uint8_t *from = line->p;
    if (cur_left(line) && *from == '#')
        line->p = line->end;
    else
        while (cur_left(line) && !is_blank(*line->p))
            line->p++;
    size_t len = from < line->end && *from == '#' ? 0 : (size_t)(line->p - from);
    return (struct head_text){(const char *)from, len};
}

struct reading {
    const struct routes *in_place;
    const struct route_home *home;
    struct routes *to;
    size_t left_out;
};

static bool path_is_valid(struct head_text path)
{
    for (size_t i = 0; i < path.len; i++)
        if (path.text[i] <= ' ' || path.text[i] >= 0x7f || path.text[i] == '?' ||
            path.text[i] == '#')
            return false;
    return true;
}

/* "*" alone is any host. */
static int site_read(struct head_text word, struct hostname_pattern *p, struct route *one,
                     struct err *e)
{
    const char *slash = memchr(word.text, '/', word.len);
    size_t host = slash ? (size_t)(slash - word.text) : word.len;
    one->path = (struct head_text){word.text + host, word.len - host};
    one->host = host == 1 && *word.text == '*' ? NULL : p;
    if (!path_is_valid(one->path))
        return err_set(e, EINVAL, "a path with a byte that none has");
    return one->host ? host_pattern_read(p, word.text, host, e) : 0;
}

static int line_read(struct reading *r, struct cursor line, struct err *e)
{
    struct hostname_pattern p;
    struct route one = {0};
    struct head_text site = word_take(&line), to = word_take(&line);
    if (!site.len)
        return 0;
    if (!to.len || word_take(&line).len)
        return err_set(e, EINVAL, "want \"HOST[/PATH] TUNNEL\" or \"HOST[/PATH] ADDRESS:PORT\"");
    if (site_read(site, &p, &one, e) < 0 || route_to_read(&one.to, to.text, to.len, r->home, e) < 0)
        return -1;
    if (one.host && routes_have(r->in_place, one.host)) {
        r->left_out++;
        return 0;
    }
    return routes_add(r->to, &one, e);
}

/* --- all of them --- */

static int lines_read(struct reading *r, const struct text *t, size_t *at, struct err *e)
{
    struct cursor all = cur_of(t->bytes, t->len), line = all;
    for (*at = 1; cur_left(&all); ++*at) {
        const uint8_t *end = memchr(all.p, '\n', cur_left(&all));
        cur_sub(&all, (size_t)((end ? end : all.end) - all.p), &line);
        cur_skip(&all, 1);
        if (line_read(r, line, e) < 0)
            return -1;
    }
    return 0;
}

struct routes *routes_file_read(const char *path, const struct routes *in_place,
                                const struct route_home *home, size_t *left_out, struct err *e)
{
    struct text t = {0};
    struct reading r = {.in_place = in_place, .home = home, .to = routes_copy(in_place)};
    size_t line = 0;
    int result = r.to ? text_read(&t, path, e) : err_set(e, ENOMEM, "out of memory");
    if (result < 0)
        err_wrap(e, "%.160s", path);
    else if ((result = lines_read(&r, &t, &line, e)) < 0)
        err_wrap(e, "%.160s:%zu", path, line);
    free(t.bytes);
    *left_out = r.left_out;
    if (result == 0)
        return r.to;
    routes_unref(r.to);
    return NULL;
}

/* --- watching --- */

static void file_reload(struct guide_set *g)
{
    struct err e;
    size_t left_out;
    struct routes *r = routes_file_read(g->file, g->routes, &g->home, &left_out, &e);
    if (!r) {
        log_error("routes: the changed file is no good, what was read before goes on: %s", e.text);
        return;
    }
    log_warn("routes: %s was read: %zu routes, with those in place", g->file, routes_count(r));
    if (left_out)
        log_warn("routes: %s: %zu lines are for hosts that have routes in place", g->file,
                 left_out);
    route_table_set(g->conf.table, r);
}

bool guides_watch(const struct config *c)
{
    for (const struct guide_set *g = c->guides; g; g = g->next)
        if (g->file)
            return true;
    return false;
}

void guides_look(const struct config *c)
{
    for (struct guide_set *g = c->guides; g; g = g->next) {
        uint64_t stamp = g->file ? stamp_at(g->file) : g->read;
        bool rests = stamp == g->seen;
        g->seen = stamp;
        if (stamp == g->read || !rests)
            continue;
        g->read = stamp;
        file_reload(g);
    }
}
