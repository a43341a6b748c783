/* conf/table.h -- text in columns, for people.
 * Thread: one. Ownership: table_fini(); cells are copied. Errors: without memory cells are missing. What a terminal
 * could obey is shown as '?'. */
#ifndef V2C_CONF_TABLE_H
#define V2C_CONF_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { TABLE_COLUMNS = 12 };

struct table {
    const char *const *heads; /* of the columns; "-NAME": numbers, to the right; ends with NULL */
    size_t columns;
    char **cells;
    size_t count, room; /* cells */
};

void table_init(struct table *t, const char *const heads[]);
void table_add(struct table *t, const char *text); /* the next cell */
/* The next cell: "1.5 MiB", "3 d 4 h". */
void table_add_size(struct table *t, int64_t bytes);
void table_add_duration(struct table *t, double seconds);
void table_add_number(struct table *t, int64_t n);
/* A line each, below their heads; without a row that is not whole. */
void table_print(const struct table *t, FILE *out);
void table_fini(struct table *t);

#endif
