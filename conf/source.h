/* conf/source.h -- one config file as text: read with bounds, its comments blanked.
 * Thread: one. Ownership: source_free(); the text may hold ids and is wiped.
 * A blanked comment becomes spaces, line ends stay: every offset is still that of the file. */
#ifndef V2C_CONF_SOURCE_H
#define V2C_CONF_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

enum { SOURCE_MAX = 4 * 1024 * 1024 };

struct source {
    struct source *next; /* the loader's list */
    char *name;          /* as the user wrote it; "stdin" for standard input */
    char *text;          /* NUL behind it */
    size_t len;          /* without a byte order mark */
    bool exposed;        /* a file that everybody on the machine may read */
    bool shared;         /* a file that others than its owner may read or write */
    unsigned order;      /* of reading; messages come out in this order */
};

bool source_is_stdin(const char *name);
/* Reads a regular file, or standard input for "stdin:". NULL and e when it cannot. */
struct source *source_read(const char *name, struct err *e);
/* The same from memory, for tests; copies. NULL: out of memory. */
struct source *source_of(const char *name, const char *text, size_t len);
void source_free(struct source *s);

/* Blanks comments outside strings: from // or # to the end of the line, and from slash-star to
 * star-slash. False when the last one is not closed; then *at is where it begins. */
bool source_blank_comments(struct source *s, size_t *at);

struct position {
    unsigned line, column; /* from 1; columns count bytes */
};

struct position source_position(const struct source *s, size_t offset);

#endif
