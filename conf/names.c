#include "conf/names.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool names_add(struct names *n, struct arena *a, const char *text, const struct node *at,
               size_t index)
{
    if (!*text)
        return true;
    if (n->count == n->room) {
        size_t room = n->room ? n->room * 2 : 16;
        struct name *items = arena_array(a, room, sizeof *items);
        if (!items)
            return false;
        if (n->count > 0)
            memcpy(items, n->items, n->count * sizeof *items);
        n->items = items;
        n->room = room;
    }
    n->items[n->count++] = (struct name){text, at, index};
    return true;
}

static int place_order(const struct node *a, const struct node *b)
{
    if (a->source->order != b->source->order)
        return a->source->order < b->source->order ? -1 : 1;
    return a->offset < b->offset ? -1 : a->offset > b->offset;
}

static int by_text(const void *a, const void *b)
{
    const struct name *x = a, *y = b;
    int order = strcmp(x->text, y->text);
    return order ? order : place_order(x->at, y->at);
}

static int by_folded_text(const void *a, const void *b)
{
    const struct name *x = a, *y = b;
    int order = strcasecmp(x->text, y->text);
    return order ? order : place_order(x->at, y->at);
}

void names_seal(struct names *n)
{
    if (n->count > 0)
        qsort(n->items, n->count, sizeof *n->items, n->fold ? by_folded_text : by_text);
}

static bool names_equal(const struct names *n, const char *a, const char *b)
{
    return n->fold ? strcasecmp(a, b) == 0 : strcmp(a, b) == 0;
}

/* The first of equal ones: where it stands in the files. */
const struct name *names_find(const struct names *n, const char *text)
{
    size_t from = 0, to = n->count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        const char *there = n->items[middle].text;
        int order = n->fold ? strcasecmp(there, text) : strcmp(there, text);
        if (order < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from < n->count && names_equal(n, n->items[from].text, text) ? &n->items[from] : NULL;
}

void names_report_doubles(const struct names *n, struct report *r, const char *what)
{
    char pointer[NODE_POINTER_MAX];
    const struct name *first = n->items;
    for (size_t i = 1; i < n->count; i++) {
        const struct name *item = &n->items[i];
        if (names_equal(n, first->text, item->text))
            report_error(r, item->at, "%s \"%.64s\" already exists: it is that of %s", what,
                         item->text, node_pointer(first->at, pointer));
        else
            first = item;
    }
}
