/* conf/node.h -- a JSON value that knows where it stands: file, offset, and its parents by name.
 * Thread: one. Ownership: nodes and their text belong to the arena of the load.
 * Keys are found whatever their case; of several the last one counts, as in V2Ray. */
#ifndef V2C_CONF_NODE_H
#define V2C_CONF_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/source.h"

enum node_type {
    NODE_NULL,
    NODE_BOOL,
    NODE_INTEGER,
    NODE_REAL,
    NODE_TEXT,
    NODE_ARRAY,
    NODE_OBJECT,
};

struct node {
    enum node_type type;
    const struct source *source;
    uint32_t offset, key_offset;
    const char *key;     /* NULL for an element of an array and for the whole document */
    uint32_t index;      /* in its array */
    struct node *parent; /* in the file: moving a node to another list leaves it alone */
    struct node *first, *last, *next;
    union {
        bool truth;
        int64_t integer;
        double real;
        const char *text;
    };
};

enum { NODE_POINTER_MAX = 256 };

/* Puts child behind the children of `list`; keeps its parent and so its pointer. */
void node_append(struct node *list, struct node *child);
const struct node *node_get(const struct node *object, const char *key);
/* The member, or the object that lacks it: where to say what is wrong with it. */
const struct node *node_member(const struct node *object, const char *key);
bool node_is(const struct node *n, enum node_type type); /* false for NULL */
/* null, false, 0, "", {} or []: what a key that is not there would mean. */
bool node_is_empty(const struct node *n);
bool node_is_blank(const struct node *n); /* "", or [] */
size_t node_count(const struct node *n);

/* "/inbounds/0/port"; the document itself is "". A long one is cut. Returns `out`. */
const char *node_pointer(const struct node *n, char out[NODE_POINTER_MAX]);
/* What was found, for messages: "text", "the number 70000", "an object". */
const char *node_describe(const struct node *n, char *out, size_t room);

#endif
