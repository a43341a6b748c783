#include "proxy/file_answer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proxy/file_list.h"
#include "proxy/file_path.h"
#include "proxy/http_target.h"
#include "proxy/http_words.h"

static const char plain_type[] = "text/plain; charset=utf-8";
static const char html_type[] = "text/html; charset=utf-8";
static const char index_name[] = "index.html";

/* --- types --- */

static const char *type_of(const char *name)
{
    static const struct {
        const char *ending, *type;
    } types[] = {
        {"html", html_type},
        {"htm", html_type},
        {"css", "text/css; charset=utf-8"},
        {"js", "text/javascript; charset=utf-8"},
        {"mjs", "text/javascript; charset=utf-8"},
        {"json", "application/json"},
        {"map", "application/json"},
        {"txt", plain_type},
        {"md", plain_type},
        {"log", plain_type},
        {"csv", "text/csv; charset=utf-8"},
        {"xml", "application/xml"},
        {"svg", "image/svg+xml"},
        {"png", "image/png"},
        {"jpg", "image/jpeg"},
        {"jpeg", "image/jpeg"},
        {"gif", "image/gif"},
        {"webp", "image/webp"},
        {"avif", "image/avif"},
        {"ico", "image/vnd.microsoft.icon"},
        {"mp3", "audio/mpeg"},
        {"ogg", "audio/ogg"},
        {"wav", "audio/wav"},
        {"mp4", "video/mp4"},
        {"webm", "video/webm"},
        {"pdf", "application/pdf"},
        {"wasm", "application/wasm"},
        {"woff", "font/woff"},
        {"woff2", "font/woff2"},
        {"ttf", "font/ttf"},
        {"otf", "font/otf"},
        {"zip", "application/zip"},
        {"gz", "application/gzip"},
        {"xz", "application/x-xz"},
        {"tar", "application/x-tar"},
    };
    const char *slash = strrchr(name, '/'), *dot = strrchr(slash ? slash : name, '.');
    for (size_t i = 0; dot && i < sizeof types / sizeof *types; i++)
        if (strcasecmp(dot + 1, types[i].ending) == 0)
            return types[i].type;
    return "application/octet-stream";
}

/* --- what the system has --- */

/* Nothing outside of `below` is opened, whatever links say, and no pipe waits for who writes into it. */
static int open_below(int below, const char *name)
{
    struct open_how how = {
        .flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    return (int)syscall(SYS_openat2, below, name, &how, sizeof how);
}

static int open_root(const char *root)
{
    return open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* The status for what could not be opened. */
static int status_of(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
        return 404;
    case EACCES:
    case EPERM:
    case ELOOP:
    case EXDEV: /* a link leads out of the root */
    case ENXIO: /* a socket, or a device that is not there */
        return 403;
    default:
        return 503;
    }
}

static void fd_drop(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* --- answers --- */

void file_answer_plain(struct file_answer *a, int status)
{
    *a = (struct file_answer){.status = status, .type = plain_type, .fd = -1};
    page_format(&a->page, "%d %s\n", status, http_reason(status));
}

void file_answer_fini(struct file_answer *a)
{
    page_free(&a->page);
    page_free(&a->location);
    fd_drop(&a->fd);
}

/* Takes fd, which is a regular file. */
static void answer_file(struct file_answer *a, const struct http1_head *h, const uint8_t *data,
                        int fd, const struct stat *st, const char *name)
{
    struct file_facts facts = {(uint64_t)st->st_size, st->st_mtim};
    struct file_part part = file_part_of(h, data, &facts);
    if (part.status == 416) {
        file_answer_plain(a, 416);
        close(fd);
    } else {
        *a = (struct file_answer){.status = part.status, .type = type_of(name), .fd = fd};
    }
    a->dated = true;
    a->facts = facts;
    a->part = part;
}

/* With a slash behind it links of its page lead below it. The path is written anew: two slashes at its start would name
 * another host. */
static void answer_moved(struct file_answer *a, const struct file_path *path, const uint8_t *data,
                         struct http1_span query)
{
    const char *p = path->text, *end = p + path->len;
    file_answer_plain(a, 301);
    while (p < end) {
        const char *slash = memchr(p, '/', (size_t)(end - p)), *stop = slash ? slash : end;
        page_text(&a->location, "/");
        http_target_write(&a->location, p, (size_t)(stop - p));
        p = stop + 1;
    }
    page_text(&a->location, "/");
    page_bytes(&a->location, data + query.at, query.len);
}

static void answer_list(struct file_answer *a, int folder, const struct file_path *path)
{
    *a = (struct file_answer){.status = 200, .type = html_type, .fd = -1};
    if (file_list(&a->page, folder, path->text))
        return;
    file_answer_fini(a);
    file_answer_plain(a, 503);
}

struct asked {
    const struct file_conf *conf;
    const struct http1_head *h;
    const uint8_t *data;
    bool pages;
    struct file_path path;
};

static void answer_folder(struct file_answer *a, const struct asked *q, int folder)
{
    struct stat st;
    int fd = open_below(folder, index_name);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        answer_file(a, q->h, q->data, fd, &st, index_name);
        return;
    }
    int status = fd >= 0 ? 404 : status_of(errno);
    fd_drop(&fd);
    if (status != 404)
        file_answer_plain(a, status);
    else if (!q->conf->listing)
        file_answer_plain(a, 403);
    else if (!q->pages)
        file_answer_plain(a, 503);
    else
        answer_list(a, folder, &q->path);
}

/* Takes fd. */
static void answer_found(struct file_answer *a, const struct asked *q, int fd)
{
    struct stat st;
    struct http1_span path = http_target_path(q->data, q->h->target);
    if (fstat(fd, &st) < 0)
        file_answer_plain(a, 503);
    else if (S_ISREG(st.st_mode) && !q->path.folder) {
        answer_file(a, q->h, q->data, fd, &st, q->path.text);
        return;
    } else if (S_ISREG(st.st_mode))
        file_answer_plain(a, 404);
    else if (!S_ISDIR(st.st_mode))
        file_answer_plain(a, 403);
    else if (!q->path.folder)
        answer_moved(a, &q->path, q->data, http_target_query(q->h->target, path));
    else
        answer_folder(a, q, fd);
    close(fd);
}

static void answer_path(struct file_answer *a, const struct asked *q)
{
    int root = open_root(q->conf->root);
    if (root < 0) {
        file_answer_plain(a, 503);
        return;
    }
    int fd = open_below(root, q->path.text);
    if (fd < 0)
        file_answer_plain(a, status_of(errno));
    else
        answer_found(a, q, fd);
    close(root);
}

void file_answer_make(struct file_answer *a, const struct file_conf *c, const struct http1_head *h,
                      const uint8_t *data, bool pages)
{
    struct asked q = {.conf = c, .h = h, .data = data, .pages = pages};
    int status = 405;
    bool reads = http1_is(data, h->method, "GET") || http1_is(data, h->method, "HEAD");
    if (reads)
        status = file_path_read(&q.path, data, http_target_path(data, h->target));
    if (status)
        file_answer_plain(a, status);
    else
        answer_path(a, &q);
    a->only_read = !reads;
}

/* --- the head --- */

static void head_of_file(struct page *p, const struct file_answer *a)
{
    char date[HTTP_DATE_ROOM], tag[FILE_TAG_ROOM];
    page_format(p, "Last-Modified: %s\r\nETag: %s\r\nAccept-Ranges: bytes\r\n",
                http_date(a->facts.changed.tv_sec, date), file_tag(&a->facts, tag));
    if (a->status == 206)
        page_format(p, "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n", a->part.at,
                    a->part.at + a->part.len - 1, a->facts.size);
    if (a->status == 416)
        page_format(p, "Content-Range: bytes */%" PRIu64 "\r\n", a->facts.size);
}

static void head_of_body(struct page *p, const struct file_answer *a)
{
    uint64_t len = a->fd >= 0 ? a->part.len : a->page.len;
    page_format(p, "Content-Type: %s\r\nContent-Length: %" PRIu64 "\r\n", a->type, len);
    page_text(p, "X-Content-Type-Options: nosniff\r\n");
    if (a->fd < 0) /* ours, with names of others in it */
        page_text(p, "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n");
}

void file_answer_head(struct page *p, const struct file_answer *a, time_t now, uint8_t minor,
                      bool closing)
{
    char date[HTTP_DATE_ROOM];
    page_format(p, "HTTP/1.1 %d %s\r\nDate: %s\r\n", a->status, http_reason(a->status),
                http_date(now, date));
    if (a->status != 304)
        head_of_body(p, a);
    if (a->dated)
        head_of_file(p, a);
    if (a->location.len) {
        page_text(p, "Location: ");
        page_bytes(p, a->location.text, a->location.len);
        page_text(p, "\r\n");
    }
    if (a->only_read)
        page_text(p, "Allow: GET, HEAD\r\n");
    if (closing)
        page_text(p, "Connection: close\r\n");
    else if (minor == 0)
        page_text(p, "Connection: keep-alive\r\n");
    page_text(p, "\r\n");
}
