#include "conf/table.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/page.h"

void table_init(struct table *t, const char *const heads[])
{
    *t = (struct table){.heads = heads};
    while (t->columns < TABLE_COLUMNS && heads[t->columns])
        t->columns++;
}

static void add(struct table *t, const char *text, size_t len)
{
    if (t->count == t->room) {
        size_t room = t->room * 2 + 64;
        char **cells = realloc(t->cells, room * sizeof *cells);
        if (!cells)
            return;
        t->cells = cells;
        t->room = room;
    }
    char *own = strndup(text, len);
    for (char *p = own; p && *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    t->cells[t->count++] = own;
}

void table_add(struct table *t, const char *text)
{
    add(t, text, strlen(text));
}

static void add_page(struct table *t, struct page *p)
{
    add(t, p->text ? p->text : "", p->len);
    page_free(p);
}

void table_add_size(struct table *t, int64_t bytes)
{
    struct page p = {0};
    page_size(&p, bytes);
    add_page(t, &p);
}

void table_add_duration(struct table *t, double seconds)
{
    struct page p = {0};
    page_duration(&p, seconds);
    add_page(t, &p);
}

void table_add_number(struct table *t, int64_t n)
{
    struct page p = {0};
    page_format(&p, "%lld", (long long)n);
    add_page(t, &p);
}

/* In columns of a terminal, as far as one character takes one. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static const char *cell(const struct table *t, size_t i)
{
    return t->cells[i] ? t->cells[i] : "";
}

static const char *head(const struct table *t, size_t column)
{
    return t->heads[column] + (*t->heads[column] == '-');
}

static void put(const struct table *t, size_t column, const char *text, size_t width, FILE *out)
{
    int pad = (int)(width - width_of(text));
    bool right = *t->heads[column] == '-', last = column + 1 == t->columns;
    if (right)
        fprintf(out, "%*s%s", pad, "", text);
    else
        fprintf(out, "%s%*s", text, last ? 0 : pad, "");
    fputs(last ? "\n" : "  ", out);
}

void table_print(const struct table *t, FILE *out)
{
    size_t widths[TABLE_COLUMNS], whole = t->count - t->count % t->columns;
    for (size_t c = 0; c < t->columns; c++)
        widths[c] = width_of(head(t, c));
    for (size_t i = 0; i < whole; i++)
        if (width_of(cell(t, i)) > widths[i % t->columns])
            widths[i % t->columns] = width_of(cell(t, i));
    for (size_t c = 0; c < t->columns; c++)
        put(t, c, head(t, c), widths[c], out);
    for (size_t i = 0; i < whole; i++)
        put(t, i % t->columns, cell(t, i), widths[i % t->columns], out);
}

void table_fini(struct table *t)
{
    for (size_t i = 0; i < t->count; i++)
        free(t->cells[i]);
    free(t->cells);
    *t = (struct table){0};
}
