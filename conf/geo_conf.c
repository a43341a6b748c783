#include "conf/geo_conf.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "routing/geo.h"

enum { PATH_ROOM = 4096, PLACES_MAX = 8, WHY_ROOM = 400 };

struct geo_file {
    struct geo_file *next;
    char *name;
    int fd;
    struct geo_bytes bytes;
    struct geo_dir *dir; /* NULL: it cannot be read, because: */
    char why[WHY_ROOM];
};

/* What one text named. */
struct geo_list {
    struct geo_list *next;
    const struct geo_file *file;
    char *name;
    struct domain_set *domains;
    struct cidr_set *ips;
};

struct geo_cache {
    struct geo_file *files;
    struct geo_list *lists;
};

/* Folders in which files are looked for. */
struct places {
    const char *items[PLACES_MAX];
    size_t count;
};

/* Where files are */

static const char *asset_folder(void)
{
    static const char *const names[] = {"v2ray.location.asset", "V2RAY_LOCATION_ASSET",
                                        "xray.location.asset", "XRAY_LOCATION_ASSET"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return value;
    }
    return NULL;
}

static const char *program_folder(char room[PATH_ROOM])
{
    ssize_t len = readlink("/proc/self/exe", room, PATH_ROOM - 1);
    if (len <= 0)
        return NULL;
    room[len] = '\0';
    char *slash = strrchr(room, '/');
    if (slash)
        *slash = '\0';
    return room;
}

static struct places places_find(char room[PATH_ROOM])
{
    static const char *const usual[] = {"/usr/local/share/v2ray", "/usr/share/v2ray",
                                        "/usr/local/share/xray", "/usr/share/xray"};
    struct places p = {.count = 0};
    const char *first = asset_folder();
    if (!first)
        first = program_folder(room);
    if (first)
        p.items[p.count++] = first;
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        p.items[p.count++] = usual[i];
    return p;
}

/* A name must stay inside the folder. */
static bool is_inside(const char *name)
{
    bool inside = *name && *name != '/';
    while (*name) {
        size_t len = strcspn(name, "/");
        inside = inside && !(len == 2 && strncmp(name, "..", 2) == 0);
        name += len + (name[len] == '/');
    }
    return inside;
}

/* Reading */

static bool read_at(void *from, uint64_t at, void *to, size_t len, struct err *e)
{
    const struct geo_file *file = from;
    uint8_t *p = to;
    while (len > 0) {
        ssize_t n = pread(file->fd, p, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n < 0)
                err_sys(e, "cannot read");
            else
                err_set(e, EIO, "it became shorter while it was read");
            return false;
        }
        p += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return true;
}

/* False, and e.code ENOENT, when it is not in this folder. */
static bool file_open(struct geo_file *file, const char *folder, struct err *e)
{
    char path[PATH_ROOM];
    struct stat st;
    int len = snprintf(path, sizeof path, "%s/%s", folder, file->name);
    if (len < 0 || (size_t)len >= sizeof path) {
        err_set(e, ENAMETOOLONG, "path too long");
        return false;
    }
    file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (file->fd < 0) {
        err_sys(e, "%.100s", path);
        return false;
    }
    if (fstat(file->fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        err_set(e, EINVAL, "%.100s: not a regular file", path);
        return false;
    }
    file->bytes = (struct geo_bytes){read_at, file, (uint64_t)st.st_size};
    file->dir = geo_dir_new(&file->bytes, e);
    if (!file->dir)
        err_wrap(e, "%.100s", path);
    return file->dir;
}

static void file_close(struct geo_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}

static void say_nowhere(struct geo_file *file, const struct places *p)
{
    size_t len =
        (size_t)snprintf(file->why, WHY_ROOM, "%.64s is in none of these folders: ", file->name);
    for (size_t i = 0; i < p->count && len < WHY_ROOM; i++)
        len += (size_t)snprintf(file->why + len, WHY_ROOM - len, "%s%.100s", i ? ", " : "",
                                p->items[i]);
    if (len < WHY_ROOM)
        snprintf(file->why + len, WHY_ROOM - len, "; V2RAY_LOCATION_ASSET names the first");
}

static void file_find(struct geo_file *file)
{
    char room[PATH_ROOM];
    struct places p = places_find(room);
    if (!is_inside(file->name)) {
        snprintf(file->why, WHY_ROOM, "want the name of a file inside the asset folder");
        return;
    }
    for (size_t i = 0; i < p.count; i++) {
        struct err e = {0};
        if (file_open(file, p.items[i], &e))
            return;
        file_close(file);
        if (e.code != ENOENT && e.code != ENOTDIR) {
            snprintf(file->why, WHY_ROOM, "%s", e.text);
            return;
        }
    }
    say_nowhere(file, &p);
}

static struct geo_cache *cache_of(struct build *b)
{
    if (!b->geo)
        b->geo = calloc(1, sizeof *b->geo);
    if (!b->geo)
        b->scratch->failed = true;
    return b->geo;
}

/* The file as it was found, or not, for the first that asked. */
static struct geo_file *file_get(struct build *b, const char *name)
{
    struct geo_cache *c = cache_of(b);
    struct geo_file *file = c ? c->files : NULL;
    while (file && strcmp(file->name, name) != 0)
        file = file->next;
    if (file || !c)
        return file;
    file = calloc(1, sizeof *file);
    if (file)
        file->name = strdup(name);
    if (!file || !file->name) {
        free(file);
        b->scratch->failed = true;
        return NULL;
    }
    file->fd = -1;
    file->next = c->files;
    c->files = file;
    file_find(file);
    return file;
}

/* NULL: it is reported. */
static struct geo_file *file_of(struct build *b, const struct text_item *item, const char *name)
{
    struct geo_file *file = file_get(b, name);
    if (file && !file->dir)
        report_error(b->report, item->at, "%s", file->why);
    return file && file->dir ? file : NULL;
}

/* Lists */

struct geo_form {
    const char *prefix, *file; /* NULL: the text names it, "FILE:LIST" */
};

/* Which file and list a text names. False: none. The list is "" when it is missing. */
static bool form_read(struct build *b, const struct geo_form *forms, const char *text, char **file,
                      char **list)
{
    while (forms->prefix && strncasecmp(text, forms->prefix, strlen(forms->prefix)) != 0)
        forms++;
    if (!forms->prefix)
        return false;
    text += strlen(forms->prefix);
    size_t len = forms->file ? 0 : strcspn(text, ":");
    *file = forms->file ? arena_text(b->scratch, forms->file, strlen(forms->file))
                        : arena_text(b->scratch, text, len);
    text += len + (text[len] == ':' && !forms->file);
    *list = arena_text(b->scratch, text, strlen(text));
    return true;
}

static struct geo_list *list_find(struct build *b, const struct geo_file *file, const char *name)
{
    struct geo_list *l = b->geo->lists;
    while (l && (l->file != file || strcasecmp(l->name, name) != 0))
        l = l->next;
    return l;
}

static struct geo_list *list_new(struct build *b, const struct geo_file *file, const char *name,
                                 bool domains)
{
    struct geo_list *l = calloc(1, sizeof *l);
    if (l)
        l->name = strdup(name);
    if (l && domains)
        l->domains = domain_set_new();
    else if (l)
        l->ips = cidr_set_new();
    if (!l || !l->name || (!l->domains && !l->ips)) {
        b->scratch->failed = true;
        if (l)
            free(l->name);
        free(l);
        return NULL;
    }
    l->file = file;
    l->next = b->geo->lists;
    b->geo->lists = l;
    return l;
}

/* Where the list lies in its file; the name ends at a byte of `end`. */
static bool list_place(struct build *b, const struct text_item *item, const struct geo_file *file,
                       const char *name, const char *end, struct geo_place *place)
{
    char *bare = arena_text(b->scratch, name, strcspn(name, end));
    if (!bare)
        return false;
    if (!*bare)
        report_error(b->report, item->at, "want the name of a list");
    else if (geo_dir_find(file->dir, bare, place))
        return true;
    else
        report_error(b->report, item->at, "%.64s has no list \"%.64s\"", file->name, bare);
    return false;
}

static struct domain_set *domains_of(struct build *b, const struct text_item *item,
                                     const struct geo_file *file, const char *name)
{
    struct geo_place place;
    struct err e = {0};
    size_t count;
    struct geo_list *l = list_find(b, file, name);
    if (l && l->domains)
        return l->domains;
    if (!list_place(b, item, file, name, "@", &place))
        return NULL;
    l = list_new(b, file, name, true);
    if (l && geo_read_domains(&file->bytes, place, name + strcspn(name, "@"), l->domains, &count,
                              &e) < 0)
        report_error(b->report, item->at, "%.64s: %s", file->name, e.text);
    else if (l && count == 0)
        report_warn(b->report, item->at, "no entry of this list has these attributes: it is empty");
    return l ? l->domains : NULL;
}

/* "!name": all addresses that the list has not. */
static int ips_read(struct geo_list *l, struct geo_place place, bool rest, struct err *e)
{
    struct cidr_set *read = rest ? cidr_set_new() : l->ips;
    if (!read)
        return err_set(e, ENOMEM, "out of memory");
    int bad = geo_read_ips(&l->file->bytes, place, read, e) < 0 || cidr_set_seal(read) < 0;
    if (rest && !bad)
        bad = cidr_set_add_rest(l->ips, read, e) < 0 || cidr_set_seal(l->ips) < 0;
    if (rest)
        cidr_set_free(read);
    return bad ? -1 : 0;
}

static struct cidr_set *ips_of(struct build *b, const struct text_item *item,
                               const struct geo_file *file, const char *name)
{
    struct geo_place place;
    struct err e = {0};
    bool rest = *name == '!';
    struct geo_list *l = list_find(b, file, name);
    if (l && l->ips)
        return l->ips;
    if (!list_place(b, item, file, name + rest, "", &place))
        return NULL;
    l = list_new(b, file, name, false);
    if (l && ips_read(l, place, rest, &e) < 0)
        report_error(b->report, item->at, "%.64s: %s", file->name, e.text);
    return l ? l->ips : NULL;
}

bool geo_domains_add(struct build *b, const struct text_item *item, struct domain_set *set)
{
    static const struct geo_form forms[] = {
        {"geosite:", "geosite.dat"}, {"ext:", NULL}, {"ext-domain:", NULL}, {NULL, NULL}};
    char *name, *list;
    struct err e = {0};
    if (!form_read(b, forms, item->text, &name, &list))
        return false;
    const struct geo_file *file = name && list ? file_of(b, item, name) : NULL;
    struct domain_set *found = file ? domains_of(b, item, file, list) : NULL;
    if (found && domain_set_include(set, found, &e) < 0)
        b->scratch->failed = true;
    return true;
}

bool geo_ips_add(struct build *b, const struct text_item *item, struct cidr_set *set)
{
    static const struct geo_form forms[] = {
        {"geoip:", "geoip.dat"}, {"ext:", NULL}, {"ext-ip:", NULL}, {NULL, NULL}};
    char *name, *list;
    struct err e = {0};
    if (!form_read(b, forms, item->text, &name, &list))
        return false;
    const struct geo_file *file = name && list ? file_of(b, item, name) : NULL;
    struct cidr_set *found = file ? ips_of(b, item, file, list) : NULL;
    if (found && cidr_set_include(set, found, &e) < 0)
        b->scratch->failed = true;
    return true;
}

void geo_cache_free(struct geo_cache *c)
{
    if (!c)
        return;
    for (struct geo_list *l = c->lists, *next; l; l = next) {
        next = l->next;
        domain_set_free(l->domains);
        cidr_set_free(l->ips);
        free(l->name);
        free(l);
    }
    for (struct geo_file *f = c->files, *next; f; f = next) {
        next = f->next;
        file_close(f);
        geo_dir_free(f->dir);
        free(f->name);
        free(f);
    }
    free(c);
}
