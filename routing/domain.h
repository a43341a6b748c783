/* routing/domain.h -- a set of domain conditions of one rule; any of them suffices.
 * Forms: "text" and "keyword:text" (substring), "domain:a.b" (it and its sub-domains), "full:a.b",
 * "regexp:..." (unanchored; no look-around, no back-references), "dotless:text" (substring of a name
 * without a dot; "dotless:" alone: any such name).
 * Lists that several rules want are made once and included in the sets of each.
 * Thread: built by conf, then immutable and read by any thread. Ownership: domain_set_free() gives up one
 * reference; the last one frees. Names are compared in the normal form of addr_normalise_name(), the
 * conditions are brought into it too. */
#ifndef V2C_ROUTING_DOMAIN_H
#define V2C_ROUTING_DOMAIN_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

/* The numbers of geosite.dat, and one that it has not. */
enum domain_kind { DOMAIN_PLAIN, DOMAIN_REGEXP, DOMAIN_SUB, DOMAIN_FULL, DOMAIN_DOTLESS };

struct domain_set;

struct domain_set *domain_set_new(void); /* NULL: out of memory */
/* A condition in one of the forms above. */
int domain_set_add(struct domain_set *s, const char *text, struct err *e);
/* The same without the form's name. */
int domain_set_add_as(struct domain_set *s, enum domain_kind kind, const char *text, struct err *e);
/* Room for so many "full:" and "domain:" conditions, so that many are added quickly. */
int domain_set_reserve(struct domain_set *s, size_t count, struct err *e);
/* What the list has, `s` has too; takes a reference. */
int domain_set_include(struct domain_set *s, struct domain_set *list, struct err *e);
bool domain_set_match(const struct domain_set *s, const char *name); /* name: normal form */
/* Visits all conditions and answers true, unless there are more than `most` or one is a regular
 * expression: then it visits some, or none. */
bool domain_set_each(const struct domain_set *s, size_t most,
                     void (*visit)(void *to, enum domain_kind kind, const char *text, size_t len),
                     void *to);
void domain_set_free(struct domain_set *s);

#endif
