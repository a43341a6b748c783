/* Any target and any conditions: a path that is taken never leads up or to what is hidden, reads the same when it is
 * written again, and a part lies within its file. */
#include <stdlib.h>
#include <string.h>

#include "proxy/file_part.h"
#include "proxy/file_path.h"
#include "proxy/http_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(int fact)
{
    if (!fact)
        __builtin_trap();
}

static void check_path(const struct file_path *p)
{
    const char *piece = p->text;
    demand(strlen(p->text) == p->len && p->len < FILE_PATH_ROOM);
    if (strcmp(p->text, ".") == 0)
        return;
    for (;;) {
        demand(*piece && *piece != '.' && *piece != '/');
        piece = strchr(piece, '/');
        if (!piece)
            return;
        piece++;
    }
}

static void check_again(const struct file_path *p)
{
    static struct file_path again;
    struct page written = {0};
    const char *at = p->text;
    if (strcmp(p->text, ".") != 0)
        for (const char *stop = at; *stop; at = stop + 1) {
            stop = strchrnul(at, '/');
            page_text(&written, "/");
            http_target_write(&written, at, (size_t)(stop - at));
            if (!*stop)
                break;
        }
    if (p->folder || !written.len)
        page_text(&written, "/");
    if (!written.failed) {
        struct http1_span all = {0, written.len};
        demand(file_path_read(&again, (const uint8_t *)written.text, all) == 0);
        demand(strcmp(again.text, p->text) == 0 && again.folder == p->folder);
    }
    page_free(&written);
}

static void check_target(const uint8_t *data, struct http1_span target)
{
    static struct file_path path;
    struct http1_span p = http_target_path(data, target), q = http_target_query(target, p);
    demand(p.at >= target.at && q.at == p.at + p.len && q.at + q.len == target.at + target.len);
    int status = file_path_read(&path, data, p);
    demand(status == 0 || status == 400 || status == 404);
    if (status == 0) {
        check_path(&path);
        check_again(&path);
    }
}

static void check_part(const struct http1_head *h, const uint8_t *data, uint64_t size)
{
    const struct file_facts f = {.size = size, .changed = {1795176000, 5}};
    struct file_part p = file_part_of(h, data, &f);
    demand(p.at <= size && p.len <= size - p.at);
    demand(p.status != 206 || p.len > 0);
    demand(p.status == 206 || p.status == 200 ? true : p.len == 0);
    demand(p.status != 200 || p.len == size);
}

/* The input is a request head, or else a target. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http1_head h = {0};
    struct err e;
    if (http1_read(&h, data, size, &e) != STEP_DONE) {
        check_target(data, (struct http1_span){0, size});
        return 0;
    }
    check_target(data, h.target);
    check_part(&h, data, 0);
    check_part(&h, data, 1000);
    check_part(&h, data, UINT64_MAX);
    return 0;
}
