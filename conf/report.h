/* conf/report.h -- the errors and warnings of a load: collected, then printed in the order of the files.
 *   portal.json:12:21: /inbounds/0/port: error: want a port 1..65535, got the number 70000
 * Thread: one. Ownership: copies what it is told. No message shows an id: a run of hexadecimal digits
 * as long as one is blotted out, and no caller passes passwords. Control bytes are shown as '?'.
 * Bounded: after REPORT_MAX messages the rest is only counted. */
#ifndef V2C_CONF_REPORT_H
#define V2C_CONF_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "conf/node.h"

enum { REPORT_MAX = 500, REPORT_TEXT_MAX = 512 };

enum severity { REPORT_WARNING, REPORT_ERROR };

struct report_entry;

struct report {
    bool strict; /* warnings are errors */
    unsigned errors, warnings;
    struct report_entry *entries;
    size_t count, room;
};

void report_init(struct report *r, bool strict);
void report_fini(struct report *r);

void report_error(struct report *r, const struct node *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void report_warn(struct report *r, const struct node *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* "want WANTED, got ...": the kind of value that stands there instead, for a text may be a secret. */
void report_wrong(struct report *r, const struct node *at, const char *wanted);
/* About a member's key: points at the key, not at the value. */
void report_warn_key(struct report *r, const struct node *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* At a place in a file that is not a value yet; inside may be NULL. */
void report_error_at(struct report *r, const struct source *s, size_t offset,
                     const struct node *inside, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
void report_warn_at(struct report *r, const struct source *s, size_t offset,
                    const struct node *inside, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* About a file that could not be read. */
void report_error_file(struct report *r, const char *name, unsigned order, const char *text);

/* Prints all, none twice. */
void report_print(struct report *r, FILE *out);
/* True once no further message can be shown: callers may skip costly advice. */
bool report_full(const struct report *r);

#endif
