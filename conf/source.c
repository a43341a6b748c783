#include "conf/source.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct source *source_new(const char *name)
{
    struct source *s = calloc(1, sizeof *s);
    if (s)
        s->name = strdup(name);
    if (s && s->name)
        return s;
    free(s);
    return NULL;
}

void source_free(struct source *s)
{
    if (!s)
        return;
    if (s->text) {
        sodium_memzero(s->text, s->len);
        free(s->text);
    }
    free(s->name);
    free(s);
}

/* Some Windows editors put a byte order mark in front. */
static void source_skip_mark(struct source *s)
{
    if (s->len < 3 || memcmp(s->text, "\xef\xbb\xbf", 3) != 0)
        return;
    s->len -= 3;
    memmove(s->text, s->text + 3, s->len);
    memset(s->text + s->len, 0, 4);
}

struct source *source_of(const char *name, const char *text, size_t len)
{
    struct source *s = source_new(name);
    if (!s)
        return NULL;
    s->text = malloc(len + 1);
    if (!s->text) {
        source_free(s);
        return NULL;
    }
    if (len > 0)
        memcpy(s->text, text, len);
    s->text[len] = '\0';
    s->len = len;
    source_skip_mark(s);
    return s;
}

/* Regular files only: a pipe or a device could hold the start for ever. */
static int source_open(struct source *s, struct err *e)
{
    struct stat st;
    int fd = open(s->name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return err_sys(e, "cannot open");
    if (fstat(fd, &st) < 0)
        err_sys(e, "cannot look at it");
    else if (!S_ISREG(st.st_mode))
        err_set(e, EINVAL, "not a regular file");
    else {
        s->exposed = st.st_mode & S_IROTH;
        s->shared = st.st_mode & (S_IRWXG | S_IRWXO);
        return fd;
    }
    close(fd);
    return -1;
}

/* The room is allocated whole, so that growing leaves no unwiped copies behind. */
static int source_fill(struct source *s, int fd, struct err *e)
{
    char *text = calloc(1, SOURCE_MAX + 2);
    if (!text)
        return err_set(e, ENOMEM, "out of memory");
    s->text = text;
    while (s->len <= SOURCE_MAX) {
        ssize_t n = read(fd, text + s->len, SOURCE_MAX + 1 - s->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(e, "cannot read");
        if (n == 0)
            break;
        s->len += (size_t)n;
    }
    if (s->len > SOURCE_MAX)
        return err_set(e, EFBIG, "larger than %d MiB", SOURCE_MAX / 1024 / 1024);
    source_skip_mark(s);
    return 0;
}

bool source_is_stdin(const char *name)
{
    return strcmp(name, "stdin:") == 0;
}

struct source *source_read(const char *name, struct err *e)
{
    bool standard_input = source_is_stdin(name);
    struct source *s = source_new(standard_input ? "stdin" : name);
    if (!s) {
        err_set(e, ENOMEM, "out of memory");
        return NULL;
    }
    int fd = standard_input ? STDIN_FILENO : source_open(s, e);
    int rc = fd < 0 ? -1 : source_fill(s, fd, e);
    if (fd >= 0 && !standard_input)
        close(fd);
    if (rc == 0)
        return s;
    source_free(s);
    return NULL;
}

static void blank(char *from, const char *to)
{
    for (; from < to; from++)
        if (*from != '\n')
            *from = ' ';
}

/* The byte behind the string that begins at p. */
static char *string_end(char *p, const char *end)
{
    for (p++; p < end && *p != '"'; p++)
        if (*p == '\\' && p + 1 < end)
            p++;
    return p < end ? p + 1 : p;
}

bool source_blank_comments(struct source *s, size_t *at)
{
    char *p = s->text, *end = p + s->len;
    while (p < end) {
        char *close = NULL;
        if (*p == '"') {
            p = string_end(p, end);
            continue;
        }
        if (*p == '#' || (*p == '/' && end - p > 1 && p[1] == '/')) {
            close = memchr(p, '\n', (size_t)(end - p));
            close = close ? close : end;
        } else if (*p == '/' && end - p > 1 && p[1] == '*') {
            close = memmem(p + 2, (size_t)(end - p - 2), "*/", 2);
            if (!close) {
                *at = (size_t)(p - s->text);
                blank(p, end);
                return false;
            }
            close += 2;
        }
        if (close)
            blank(p, close);
        p = close ? close : p + 1;
    }
    return true;
}

struct position source_position(const struct source *s, size_t offset)
{
    struct position at = {1, 1};
    for (size_t i = 0; i < offset && i < s->len; i++) {
        at.column++;
        if (s->text[i] == '\n')
            at = (struct position){at.line + 1, 1};
    }
    return at;
}
