#include "conf/report.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct report_entry {
    unsigned order;     /* of the file */
    struct position at; /* line 0: the whole file */
    enum severity severity;
    size_t seq;
    char *name, *pointer, *text;
};

enum { SECRET_DIGITS = 20 }; /* so many hexadecimal digits in a row may be an id */

void report_init(struct report *r, bool strict)
{
    *r = (struct report){.strict = strict};
}

static void entry_fini(struct report_entry *entry)
{
    free(entry->name);
    free(entry->pointer);
    free(entry->text);
}

void report_fini(struct report *r)
{
    for (size_t i = 0; i < r->count; i++)
        entry_fini(&r->entries[i]);
    free(r->entries);
    r->entries = NULL;
    r->count = r->room = 0;
}

bool report_full(const struct report *r)
{
    return r->count >= REPORT_MAX;
}

/* What a user typed into the wrong key may be an id. Dashes belong to one. */
static void blot_ids(char *text)
{
    for (char *p = text; *p;) {
        size_t len = strspn(p, "0123456789abcdefABCDEF-"), digits = 0;
        for (size_t i = 0; i < len; i++)
            digits += p[i] != '-';
        if (digits >= SECRET_DIGITS)
            memset(p, '*', len);
        p += len ? len : 1;
    }
}

static void make_printable(char *text)
{
    for (; *text; text++)
        if (iscntrl((unsigned char)*text))
            *text = '?';
}

static bool report_grow(struct report *r)
{
    if (r->count < r->room)
        return true;
    size_t room = r->room ? r->room * 2 : 16;
    struct report_entry *entries = realloc(r->entries, room * sizeof *entries);
    if (!entries)
        return false;
    r->entries = entries;
    r->room = room;
    return true;
}

static bool entry_same(const struct report_entry *a, const struct report_entry *b)
{
    return a->order == b->order && a->at.line == b->at.line && a->at.column == b->at.column &&
           strcmp(a->pointer, b->pointer) == 0 && strcmp(a->text, b->text) == 0;
}

static bool report_has(const struct report *r, const struct report_entry *entry)
{
    for (size_t i = 0; i < r->count; i++)
        if (entry_same(&r->entries[i], entry))
            return true;
    return false;
}

/* Takes the entry's place, file and severity; copies the texts. */
static void report_add(struct report *r, struct report_entry entry, const char *name,
                       const char *pointer, const char *text)
{
    entry.severity = r->strict ? REPORT_ERROR : entry.severity;
    unsigned *counter = entry.severity == REPORT_ERROR ? &r->errors : &r->warnings;
    if (report_full(r) || !report_grow(r)) {
        (*counter)++;
        return;
    }
    entry.seq = r->count;
    entry.name = strdup(name);
    entry.pointer = strdup(pointer);
    entry.text = strdup(text);
    if (!entry.name || !entry.pointer || !entry.text) {
        (*counter)++;
        entry_fini(&entry);
        return;
    }
    make_printable(entry.name);
    make_printable(entry.pointer);
    make_printable(entry.text);
    blot_ids(entry.pointer);
    blot_ids(entry.text);
    if (report_has(r, &entry)) {
        entry_fini(&entry);
        return;
    }
    (*counter)++;
    r->entries[r->count++] = entry;
}

__attribute__((format(printf, 6, 0))) static void
report_place(struct report *r, enum severity severity, const struct source *s, size_t offset,
             const struct node *inside, const char *fmt, va_list ap)
{
    char text[REPORT_TEXT_MAX], pointer[NODE_POINTER_MAX] = "";
    struct report_entry entry = {.order = s->order, .severity = severity};
    if (!report_full(r))
        entry.at = source_position(s, offset);
    if (inside)
        node_pointer(inside, pointer);
    vsnprintf(text, sizeof text, fmt, ap);
    report_add(r, entry, s->name, pointer, text);
}

void report_error(struct report *r, const struct node *at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    report_place(r, REPORT_ERROR, at->source, at->offset, at, fmt, ap);
    va_end(ap);
}

void report_wrong(struct report *r, const struct node *at, const char *wanted)
{
    char got[64];
    report_error(r, at, "want %s, got %s", wanted, node_describe(at, got, sizeof got));
}

void report_warn(struct report *r, const struct node *at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    report_place(r, REPORT_WARNING, at->source, at->offset, at, fmt, ap);
    va_end(ap);
}

void report_warn_key(struct report *r, const struct node *at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    report_place(r, REPORT_WARNING, at->source, at->key_offset, at, fmt, ap);
    va_end(ap);
}

void report_error_at(struct report *r, const struct source *s, size_t offset,
                     const struct node *inside, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    report_place(r, REPORT_ERROR, s, offset, inside, fmt, ap);
    va_end(ap);
}

void report_warn_at(struct report *r, const struct source *s, size_t offset,
                    const struct node *inside, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    report_place(r, REPORT_WARNING, s, offset, inside, fmt, ap);
    va_end(ap);
}

void report_error_file(struct report *r, const char *name, unsigned order, const char *text)
{
    struct report_entry entry = {.order = order, .severity = REPORT_ERROR};
    report_add(r, entry, name, "", text);
}

static int by_place(const void *a, const void *b)
{
    const struct report_entry *x = a, *y = b;
    if (x->order != y->order)
        return x->order < y->order ? -1 : 1;
    if (x->at.line != y->at.line)
        return x->at.line < y->at.line ? -1 : 1;
    if (x->at.column != y->at.column)
        return x->at.column < y->at.column ? -1 : 1;
    return x->seq < y->seq ? -1 : 1;
}

void report_print(struct report *r, FILE *out)
{
    if (r->count > 0)
        qsort(r->entries, r->count, sizeof *r->entries, by_place);
    for (size_t i = 0; i < r->count; i++) {
        const struct report_entry *e = &r->entries[i];
        fputs(e->name, out);
        if (e->at.line > 0)
            fprintf(out, ":%u:%u", e->at.line, e->at.column);
        if (e->pointer[0])
            fprintf(out, ": %s", e->pointer);
        fprintf(out, ": %s: %s\n", e->severity == REPORT_ERROR ? "error" : "warning", e->text);
    }
    size_t all = (size_t)r->errors + r->warnings;
    if (all > r->count)
        fprintf(out, "... and %zu more\n", all - r->count);
}
