#include "routing/geo.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/cursor.h"

enum {
    WINDOW = 64 * 1024, /* also the longest entry */
    HEAD_MAX = 20,      /* of a field: two numbers of up to 10 bytes */
    NAME_MAX_LEN = 255,
    LISTS_MAX = 1 << 20,
    DOMAIN_BYTES = 24, /* of a domain in a file, about */
};

enum wire { WIRE_NUMBER = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

struct field {
    uint64_t number;
    enum wire wire;
    uint64_t value; /* WIRE_NUMBER; else how many bytes follow */
};

struct list {
    char *name;
    struct geo_place place;
};

struct geo_dir {
    struct list *lists;
    size_t count, room;
};

/* Goes once over a part of a file, with a window of it in memory. */
struct walk {
    const struct geo_bytes *file;
    uint64_t at, end;
    uint64_t start; /* of what is in the window */
    size_t len;
    struct err *e;
    uint8_t window[WINDOW];
};

static int out_of_memory(struct err *e)
{
    return err_set(e, ENOMEM, "out of memory");
}

static int broken(const struct walk *w, const char *why)
{
    return err_set(w->e, EBADMSG, "no list file of V2Ray's, or a damaged one: byte %llu: %s",
                   (unsigned long long)w->at, why);
}

static bool read_number(struct cursor *c, uint64_t *v)
{
    uint8_t byte;
    *v = 0;
    for (unsigned shift = 0; shift < 64 && cur_u8(c, &byte); shift += 7) {
        *v |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

/* Up to the field's bytes, if it has any. */
static bool read_field(struct cursor *c, struct field *f)
{
    uint64_t tag;
    if (!read_number(c, &tag) || tag >> 3 == 0)
        return false;
    f->number = tag >> 3;
    f->wire = (enum wire)(tag & 7);
    switch (f->wire) {
    case WIRE_NUMBER:
    case WIRE_BYTES:
        return read_number(c, &f->value);
    case WIRE_64:
    case WIRE_32:
        f->value = f->wire == WIRE_64 ? 8 : 4;
        return true;
    }
    return false;
}

/* A view of the next `len` bytes, or of what is left. */
static bool walk_look(struct walk *w, size_t len, struct cursor *view)
{
    uint64_t left = w->end - w->at;
    if (len > left)
        len = (size_t)left;
    if (w->at < w->start || w->at + len > w->start + w->len) {
        size_t more = w->file->size - w->at < WINDOW ? (size_t)(w->file->size - w->at) : WINDOW;
        w->len = 0;
        if (!w->file->read(w->file->from, w->at, w->window, more, w->e))
            return false;
        w->start = w->at;
        w->len = more;
    }
    *view = cur_of(w->window + (w->at - w->start), len);
    return true;
}

/* The next field; stands then before its bytes, which are there. */
static int walk_field(struct walk *w, struct field *f)
{
    struct cursor c;
    if (!walk_look(w, HEAD_MAX, &c))
        return -1;
    size_t before = cur_left(&c);
    if (!read_field(&c, f))
        return broken(w, "this is no field");
    w->at += before - cur_left(&c);
    if (f->wire != WIRE_NUMBER && f->value > w->end - w->at)
        return broken(w, "it ends in the middle of a field");
    return 0;
}

static void walk_skip(struct walk *w, const struct field *f)
{
    if (f->wire != WIRE_NUMBER)
        w->at += f->value;
}

/* The bytes of a field as a cursor, valid until the next call. */
static int walk_bytes(struct walk *w, const struct field *f, size_t most, struct cursor *c)
{
    if (f->value > most)
        return broken(w, "a field is longer than it may be");
    if (!walk_look(w, (size_t)f->value, c))
        return -1;
    w->at += f->value;
    return 0;
}

static struct walk *walk_new(const struct geo_bytes *file, struct geo_place part, struct err *e)
{
    struct walk *w = malloc(sizeof *w);
    if (!w) {
        out_of_memory(e);
        return NULL;
    }
    w->file = file;
    w->at = part.at;
    w->end = part.at + part.len;
    w->start = w->len = 0;
    w->e = e;
    return w;
}

static bool is_bytes(const struct field *f, unsigned number)
{
    return f->number == number && f->wire == WIRE_BYTES;
}

/* The directory */

static int dir_add(struct geo_dir *dir, struct cursor name, struct geo_place place, struct err *e)
{
    if (dir->count == dir->room) {
        size_t room = dir->room ? 2 * dir->room : 64;
        struct list *lists = realloc(dir->lists, room * sizeof *lists);
        if (!lists)
            return out_of_memory(e);
        dir->lists = lists;
        dir->room = room;
    }
    char *text = strndup((const char *)name.p, cur_left(&name));
    if (!text)
        return out_of_memory(e);
    dir->lists[dir->count++] = (struct list){text, place};
    return 0;
}

/* One list of the file: looks for its name and goes on behind it. */
static int dir_read_list(struct geo_dir *dir, struct walk *w, uint64_t len)
{
    struct geo_place place = {w->at, len};
    uint64_t end = w->end;
    struct field f;
    struct cursor name;
    if (dir->count == LISTS_MAX)
        return broken(w, "too many lists");
    w->end = place.at + len;
    while (w->at < w->end) {
        if (walk_field(w, &f) < 0)
            return -1;
        if (!is_bytes(&f, 1)) {
            walk_skip(w, &f);
            continue;
        }
        if (walk_bytes(w, &f, NAME_MAX_LEN, &name) < 0 || dir_add(dir, name, place, w->e) < 0)
            return -1;
        break;
    }
    w->at = place.at + len;
    w->end = end;
    return 0;
}

static int dir_read(struct geo_dir *dir, struct walk *w)
{
    struct field f;
    while (w->at < w->end) {
        if (walk_field(w, &f) < 0)
            return -1;
        if (!is_bytes(&f, 1))
            walk_skip(w, &f);
        else if (dir_read_list(dir, w, f.value) < 0)
            return -1;
    }
    return dir->count ? 0 : broken(w, "it has no lists");
}

struct geo_dir *geo_dir_new(const struct geo_bytes *file, struct err *e)
{
    struct geo_dir *dir = calloc(1, sizeof *dir);
    struct walk *w = dir ? walk_new(file, (struct geo_place){0, file->size}, e) : NULL;
    if (w && dir_read(dir, w) == 0) {
        free(w);
        return dir;
    }
    if (!dir)
        out_of_memory(e);
    free(w);
    geo_dir_free(dir);
    return NULL;
}

bool geo_dir_find(const struct geo_dir *dir, const char *name, struct geo_place *place)
{
    for (size_t i = 0; i < dir->count; i++)
        if (!strcasecmp(dir->lists[i].name, name)) {
            *place = dir->lists[i].place;
            return true;
        }
    return false;
}

void geo_dir_free(struct geo_dir *dir)
{
    if (!dir)
        return;
    for (size_t i = 0; i < dir->count; i++)
        free(dir->lists[i].name);
    free(dir->lists);
    free(dir);
}

/* Entries */

/* Calls `entry` for each entry of a list. */
static int each_entry(const struct geo_bytes *file, struct geo_place list, struct err *e,
                      int (*entry)(struct cursor c, struct walk *w, void *to), void *to)
{
    struct walk *w = walk_new(file, list, e);
    struct field f;
    struct cursor c;
    int bad = w ? 0 : -1;
    while (!bad && w->at < w->end) {
        bad = walk_field(w, &f);
        if (bad)
            break;
        if (!is_bytes(&f, 2))
            walk_skip(w, &f);
        else
            bad = walk_bytes(w, &f, WINDOW, &c) < 0 ? -1 : entry(c, w, to);
    }
    free(w);
    return bad;
}

/* The next field of an entry, with its bytes. */
static bool entry_field(struct cursor *c, struct field *f, struct cursor *bytes)
{
    if (!read_field(c, f))
        return false;
    *bytes = *c;
    return f->wire == WIRE_NUMBER ||
           (f->value <= cur_left(c) && cur_sub(c, (size_t)f->value, bytes));
}

static int read_network(struct cursor c, struct walk *w, void *to)
{
    struct field f;
    struct cursor bytes, ip = cur_of("", 0);
    uint64_t prefix = 0;
    struct err why;
    while (cur_left(&c)) {
        if (!entry_field(&c, &f, &bytes))
            return broken(w, "no network stands before it");
        if (is_bytes(&f, 1))
            ip = bytes;
        else if (f.number == 2 && f.wire == WIRE_NUMBER)
            prefix = f.value;
    }
    if (prefix > 128 || cidr_set_add_bytes(to, ip.p, cur_left(&ip), (unsigned)prefix, &why) < 0)
        return prefix <= 128 && why.code == ENOMEM ? out_of_memory(w->e)
                                                   : broken(w, "no network stands before it");
    return 0;
}

int geo_read_ips(const struct geo_bytes *file, struct geo_place list, struct cidr_set *to,
                 struct err *e)
{
    return each_entry(file, list, e, read_network, to);
}

struct domain_sink {
    struct domain_set *set;
    const char *attributes; /* "a@b" */
    size_t count;
    char text[WINDOW + 1];
};

/* The attribute message: its name. */
static bool attribute_is(struct cursor c, const char *name, size_t len)
{
    struct field f;
    struct cursor bytes;
    while (cur_left(&c) && entry_field(&c, &f, &bytes))
        if (is_bytes(&f, 1) && cur_left(&bytes) == len)
            return !strncasecmp((const char *)bytes.p, name, len);
    return false;
}

static bool has_attribute(struct cursor c, const char *name, size_t len)
{
    struct field f;
    struct cursor bytes;
    while (cur_left(&c) && entry_field(&c, &f, &bytes))
        if (is_bytes(&f, 3) && attribute_is(bytes, name, len))
            return true;
    return false;
}

static bool has_attributes(struct cursor c, const char *names)
{
    while (*names) {
        size_t len = strcspn(names, "@");
        if (len && !has_attribute(c, names, len))
            return false;
        names += len + (names[len] == '@');
    }
    return true;
}

static bool is_plain(struct cursor text)
{
    for (; text.p < text.end; text.p++)
        if (*text.p < ' ' || *text.p == 0x7f)
            return false;
    return true;
}

static int read_domain(struct cursor c, struct walk *w, void *to)
{
    struct domain_sink *sink = to;
    struct field f;
    struct cursor bytes, rest = c, text = cur_of("", 0);
    uint64_t kind = DOMAIN_PLAIN;
    struct err why = {0};
    while (cur_left(&rest)) {
        if (!entry_field(&rest, &f, &bytes))
            return broken(w, "no domain stands before it");
        if (f.number == 1 && f.wire == WIRE_NUMBER)
            kind = f.value;
        else if (is_bytes(&f, 2))
            text = bytes;
    }
    if (kind > DOMAIN_FULL || !is_plain(text))
        return broken(w, "no domain stands before it");
    if (!has_attributes(c, sink->attributes))
        return 0;
    size_t len = cur_left(&text);
    memcpy(sink->text, text.p, len);
    sink->text[len] = '\0';
    sink->count++;
    if (domain_set_add_as(sink->set, (enum domain_kind)kind, sink->text, &why) == 0)
        return 0;
    *w->e = why;
    return -1;
}

int geo_read_domains(const struct geo_bytes *file, struct geo_place list, const char *attributes,
                     struct domain_set *to, size_t *count, struct err *e)
{
    struct domain_sink *sink = malloc(sizeof *sink);
    if (!sink)
        return out_of_memory(e);
    sink->set = to;
    sink->attributes = attributes;
    sink->count = 0;
    int bad = *attributes ? 0 : domain_set_reserve(to, (size_t)(list.len / DOMAIN_BYTES), e);
    bad = bad || each_entry(file, list, e, read_domain, sink) < 0 ? -1 : 0;
    *count = sink->count;
    free(sink);
    return bad;
}
