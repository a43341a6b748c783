/* routing/regex.h -- one regular expression of a rule, in the syntax that Go's RE2 and PCRE2 share.
 * Thread: made by conf, then immutable and used by any thread. Ownership: regex_new() gives it away.
 * Errors: what RE2 refuses is refused here too, at load: look-around, back-references, recursion, atomic
 * groups, possessive quantifiers, conditionals, comments, verbs.
 * Cost: the visitor chooses the text, so it is matched without backtracking, in fixed memory. A pattern
 * that outgrows this memory on some text does not match that text. */
#ifndef V2C_ROUTING_REGEX_H
#define V2C_ROUTING_REGEX_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

struct regex;

/* Blind to case, for names. NULL and e. */
struct regex *regex_new(const char *pattern, struct err *e);
/* The case counts. */
struct regex *regex_new_exact(const char *pattern, struct err *e);
/* Unanchored; bytes, not characters, beyond ASCII. A match must begin within the first 1000 bytes, and no more than
 * 4096 are looked at. */
bool regex_match(const struct regex *r, const char *text, size_t len);
void regex_free(struct regex *r);

#endif
