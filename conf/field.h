/* conf/field.h -- tables from JSON keys to the members of a struct: type, range, default, and the keys
 * that V2Ray or Xray know and v2c does not do yet.
 * Thread: one. Ownership: texts and nodes belong to the arena of the load.
 * Every mistake is reported and leaves the default; callers go on, so that all mistakes are found. */
#ifndef V2C_CONF_FIELD_H
#define V2C_CONF_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/node.h"
#include "conf/report.h"

enum field_type {
    FIELD_TYPE_BOOL,
    FIELD_TYPE_NUMBER,
    FIELD_TYPE_TEXT,
    FIELD_TYPE_NAME,
    FIELD_TYPE_NODE,    /* more than one form: the caller reads it */
    FIELD_TYPE_OBJECT,  /* its keys fill the same struct */
    FIELD_TYPE_IGNORED, /* accepted; means nothing here */
    FIELD_TYPE_LATER,   /* an error, unless its value says "off" */
};

enum { FIELDS_MAX = 48, NAME_LATER = -1, NAME_DEFAULT = -2 };

/* The words of an enumeration, whatever their case. value NAME_LATER: v2c has it not yet. */
struct field_name {
    const char *text;
    int value;
};

struct field {
    const char *key;
    size_t offset;
    int64_t min, max, def;
    const char *text;               /* default; LATER: a value that means off; NODE: its type */
    const char *what;               /* LATER: what v2c has not yet; NULL: the key */
    const struct field_name *names; /* NAME; ends with a NULL text */
    const struct field *fields;     /* OBJECT */
    enum field_type type;
    bool lenient; /* NAME: another word is only warned about, as V2Ray takes it */
};

/* The member is a bool; an int64_t; a const char *, never NULL; an int; a const struct node *, NULL
 * when absent. */
#define FIELD_BOOL(k, s, m, d)                                                                     \
    {                                                                                              \
        .key = (k), .type = FIELD_TYPE_BOOL, .offset = offsetof(s, m), .def = (d)                  \
    }
#define FIELD_NUMBER(k, s, m, lo, hi, d)                                                           \
    {                                                                                              \
        .key = (k), .type = FIELD_TYPE_NUMBER, .offset = offsetof(s, m), .min = (lo), .max = (hi), \
        .def = (d)                                                                                 \
    }
#define FIELD_TEXT(k, s, m, d)                                                                     \
    {                                                                                              \
        .key = (k), .type = FIELD_TYPE_TEXT, .offset = offsetof(s, m), .text = (d)                 \
    }
#define FIELD_NAME(k, s, m, n, d)                                                                  \
    {                                                                                              \
        .key = (k), .type = FIELD_TYPE_NAME, .offset = offsetof(s, m), .names = (n), .def = (d)    \
    }
#define FIELD_NAME_LENIENT(k, s, m, n, d)                                                          \
    {                                                                                              \
        .key = (k), .type = FIELD_TYPE_NAME, .offset = offsetof(s, m), .names = (n), .def = (d),   \
        .lenient = true                                                                            \
    }
#define FIELD_NODE(k, s, m, t)                                                                     \
    {                                                                                              \
        .key = (k), .type = FIELD_TYPE_NODE, .offset = offsetof(s, m), .text = (t)                 \
    }
#define FIELD_OBJECT(k, f)                                                                         \
    {                                                                                              \
        .key = (k), .type = FIELD_TYPE_OBJECT, .fields = (f)                                       \
    }
#define FIELD_IGNORED(k)                                                                           \
    {                                                                                              \
        .key = (k), .type = FIELD_TYPE_IGNORED                                                     \
    }
#define FIELD_LATER(k)                                                                             \
    {                                                                                              \
        .key = (k), .type = FIELD_TYPE_LATER                                                       \
    }
#define FIELD_LATER_WHAT(k, w)                                                                     \
    {                                                                                              \
        .key = (k), .type = FIELD_TYPE_LATER, .what = (w)                                          \
    }
#define FIELD_LATER_UNLESS(k, w, off)                                                              \
    {                                                                                              \
        .key = (k), .type = FIELD_TYPE_LATER, .what = (w), .text = (off)                           \
    }
#define FIELD_END                                                                                  \
    {                                                                                              \
        .key = NULL                                                                                \
    }

/* Fills `to` with the defaults, then with what the object says. at may be NULL or null: defaults only.
 * False when it is no object. */
bool fields_read(struct report *r, const struct node *at, const struct field *fields, void *to);
/* The word of a table, whatever its case; NULL when it is unknown. */
const struct field_name *field_name_find(const struct field_name *names, const char *text);
/* ", did you mean X?" with the nearest of the names, or all that there are. Returns `out`. */
const char *field_name_advice(const struct field_name *names, const char *text, char *out,
                              size_t room);
/* Never warned about: "$schema", "remarks", "ps", and what begins with "_" or "//". */
bool field_is_comment(const char *key);

#endif
