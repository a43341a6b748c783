/* conf/json.h -- JSON text to nodes. The structure is read here, because every value must know its place,
 * duplicate keys must be seen and a comma too many is forgiven; numbers and strings are jansson's.
 * Thread: one. Ownership: nodes belong to the arena, and point to the source.
 * Bounds: the size of the source, depth, and the number of values and keys. */
#ifndef V2C_CONF_JSON_H
#define V2C_CONF_JSON_H

#include "conf/arena.h"
#include "conf/node.h"
#include "conf/report.h"

enum { JSON_DEPTH_MAX = 64, JSON_VALUES_MAX = 512 * 1024 };

/* Blanks the source's comments and reads one object; what follows it is only warned about. NULL after
 * one error in the report. */
struct node *json_parse(struct source *s, struct arena *arena, struct report *report);

#endif
