#include "conf/node.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

void node_append(struct node *list, struct node *child)
{
    child->next = NULL;
    if (list->last)
        list->last->next = child;
    else
        list->first = child;
    list->last = child;
}

const struct node *node_get(const struct node *object, const char *key)
{
    const struct node *found = NULL;
    if (!node_is(object, NODE_OBJECT))
        return NULL;
    for (const struct node *n = object->first; n; n = n->next)
        if (strcasecmp(n->key, key) == 0)
            found = n;
    return found;
}

const struct node *node_member(const struct node *object, const char *key)
{
    const struct node *member = node_get(object, key);
    return member ? member : object;
}

bool node_is(const struct node *n, enum node_type type)
{
    return n && n->type == type;
}

bool node_is_empty(const struct node *n)
{
    switch (n->type) {
    case NODE_NULL:
        return true;
    case NODE_BOOL:
        return !n->truth;
    case NODE_INTEGER:
        return n->integer == 0;
    case NODE_REAL:
        return false;
    case NODE_TEXT:
        return n->text[0] == '\0';
    case NODE_ARRAY:
    case NODE_OBJECT:
        return !n->first;
    }
    return false;
}

bool node_is_blank(const struct node *n)
{
    return (n->type == NODE_TEXT && !*n->text) || (n->type == NODE_ARRAY && !n->first);
}

size_t node_count(const struct node *n)
{
    size_t count = 0;
    for (const struct node *child = n->first; child; child = child->next)
        count++;
    return count;
}

struct pointer_text {
    char *out;
    size_t used;
};

static void pointer_put(struct pointer_text *p, const char *text)
{
    for (; *text && p->used + 3 < NODE_POINTER_MAX; text++) {
        if (*text == '~' || *text == '/') {
            p->out[p->used++] = '~';
            p->out[p->used++] = *text == '~' ? '0' : '1';
        } else {
            p->out[p->used++] = *text;
        }
    }
    p->out[p->used] = '\0';
}

/* Depth is bounded by the parser. */
static void pointer_walk(struct pointer_text *p, const struct node *n)
{
    char index[16];
    if (!n->parent)
        return;
    pointer_walk(p, n->parent);
    if (p->used + 3 < NODE_POINTER_MAX)
        p->out[p->used++] = '/';
    snprintf(index, sizeof index, "%" PRIu32, n->index);
    pointer_put(p, n->key ? n->key : index);
}

const char *node_pointer(const struct node *n, char out[NODE_POINTER_MAX])
{
    struct pointer_text p = {out, 0};
    out[0] = '\0';
    pointer_walk(&p, n);
    return out;
}

const char *node_describe(const struct node *n, char *out, size_t room)
{
    static const char *const names[] = {
        [NODE_NULL] = "null",        [NODE_BOOL] = "",
        [NODE_INTEGER] = "",         [NODE_REAL] = "",
        [NODE_TEXT] = "text",        [NODE_ARRAY] = "an array",
        [NODE_OBJECT] = "an object",
    };
    if (n->type == NODE_BOOL)
        snprintf(out, room, "%s", n->truth ? "true" : "false");
    else if (n->type == NODE_INTEGER)
        snprintf(out, room, "the number %" PRId64, n->integer);
    else if (n->type == NODE_REAL)
        snprintf(out, room, "the number %g", n->real);
    else
        snprintf(out, room, "%s", names[n->type]);
    return out;
}
