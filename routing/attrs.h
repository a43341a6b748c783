/* routing/attrs.h -- conditions on an HTTP request: its method, its path, its headers.
 * Two spellings: V2Ray's expressions (a part of Starlark: ==, !=, in, not in, startswith, endswith, find,
 * index, and, or, not, parentheses) and Xray's map from names to regular expressions, all of which must be
 * found. Names: ":method", ":path", else that of a header, whatever its case.
 * As in V2Ray an expression that asks for what the request has not is not true, nor is its negation.
 * Thread: built by conf, then immutable. Ownership: *_new() gives it away.
 * Cost: strangers write requests; a match copies nothing and takes time linear in the head for each
 * comparison. Regular expressions: see routing/regex.h. */
#ifndef V2C_ROUTING_ATTRS_H
#define V2C_ROUTING_ATTRS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

struct attrs;

enum { ATTRS_TEXT_MAX = 4096, ATTRS_DEPTH_MAX = 32, ATTRS_NODES_MAX = 256 };

struct attrs *attrs_new(const char *expression, struct err *e); /* NULL and e */
/* The map form: an empty one, then its entries. */
struct attrs *attrs_map_new(void);
int attrs_map_add(struct attrs *a, const char *name, const char *pattern, struct err *e);
/* head: an HTTP/1 request's line and headers, as they came. */
bool attrs_match(const struct attrs *a, const char *head, size_t head_len);
void attrs_free(struct attrs *a);

#endif
