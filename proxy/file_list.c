#include "proxy/file_list.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proxy/http_target.h"

struct entry {
    char name[sizeof(((struct dirent *)0)->d_name)];
    bool folder, file;
    int64_t size;
    time_t changed;
};

struct entries {
    struct entry *items;
    size_t count, room;
    bool more;
};

static bool entries_grow(struct entries *list)
{
    size_t room = list->room ? list->room * 2 : 32;
    if (list->count < list->room)
        return true;
    struct entry *items = realloc(list->items, room * sizeof *items);
    if (!items)
        return false;
    list->items = items;
    list->room = room;
    return true;
}

/* Of a link nothing is said but its name: where it leads decides the request. */
static void entry_fill(struct entry *e, int folder, const char *name)
{
    struct stat st;
    *e = (struct entry){0};
    memcpy(e->name, name, strnlen(name, sizeof e->name - 1));
    if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    e->folder = S_ISDIR(st.st_mode);
    e->file = S_ISREG(st.st_mode);
    e->size = st.st_size;
    e->changed = st.st_mtim.tv_sec;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static bool entries_read(struct entries *list, int folder, DIR *dir)
{
    const struct dirent *d;
    while ((d = readdir(dir)) != NULL) {
        if (*d->d_name == '.')
            continue;
        list->more = list->count == FILE_LIST_MAX;
        if (list->more)
            break;
        if (!entries_grow(list))
            return false;
        entry_fill(&list->items[list->count++], folder, d->d_name);
    }
    if (list->count)
        qsort(list->items, list->count, sizeof *list->items, by_name);
    return true;
}

static void page_entry(struct page *p, const struct entry *e)
{
    char date[32] = "";
    struct tm tm;
    size_t len = strlen(e->name);
    if (e->changed && gmtime_r(&e->changed, &tm))
        strftime(date, sizeof date, "%Y-%m-%d %H:%M", &tm);
    page_text(p, "<tr><td><a href=\"");
    http_target_write(p, e->name, len);
    page_text(p, e->folder ? "/\">" : "\">");
    page_html(p, e->name, len);
    page_text(p, e->folder ? "/</a><td>" : "</a><td>");
    if (e->file)
        page_size(p, e->size);
    page_format(p, "<td>%s\n", date);
}

static void page_entries(struct page *p, const struct entries *list, const char *path)
{
    bool root = strcmp(path, ".") == 0;
    page_text(p, "<!doctype html>\n<meta charset=\"utf-8\">\n<title>/");
    if (!root)
        page_html(p, path, strlen(path));
    page_text(p,
              "</title>\n<style>body{font-family:sans-serif}td{padding:0 1em 0 0}</style>\n<h1>/");
    if (!root)
        page_html(p, path, strlen(path));
    page_text(p, "</h1>\n<table>\n");
    if (!root)
        page_text(p, "<tr><td><a href=\"../\">../</a>\n");
    for (size_t i = 0; i < list->count; i++)
        page_entry(p, &list->items[i]);
    page_text(p, "</table>\n");
    if (list->more)
        page_format(p, "<p>Only %d are shown.\n", FILE_LIST_MAX);
    page_cut_line(p);
}

/* The stream of a folder owns what it reads from. */
static DIR *dir_of(int folder)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir && fd >= 0)
        close(fd);
    return dir;
}

bool file_list(struct page *p, int folder, const char *path)
{
    struct entries list = {0};
    DIR *dir = dir_of(folder);
    bool read = dir && entries_read(&list, folder, dir);
    if (read)
        page_entries(p, &list, path);
    if (dir)
        closedir(dir);
    free(list.items);
    return read && !p->failed;
}
