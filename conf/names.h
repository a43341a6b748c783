/* conf/names.h -- names that must differ, and where each stands: tags, domains, emails.
 * Thread: one. Ownership: nothing; items live in the arena, texts belong to others.
 * names_add() all, names_seal() once, then look up. */
#ifndef V2C_CONF_NAMES_H
#define V2C_CONF_NAMES_H

#include "conf/arena.h"
#include "conf/node.h"
#include "conf/report.h"

struct name {
    const char *text;
    const struct node *at; /* for messages */
    size_t index;          /* what the name stands for; the caller's meaning */
};

struct names {
    struct name *items;
    size_t count, room;
    bool fold; /* whatever the case */
};

/* An empty text is no name. False: out of memory. */
bool names_add(struct names *n, struct arena *a, const char *text, const struct node *at,
               size_t index);
void names_seal(struct names *n);
const struct name *names_find(const struct names *n, const char *text);
/* One error for each name that another one before it has; `what` begins the message. */
void names_report_doubles(const struct names *n, struct report *r, const char *what);

#endif
