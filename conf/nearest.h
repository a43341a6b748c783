/* conf/nearest.h -- the known word that a mistyped one most likely meant. Pure. */
#ifndef V2C_CONF_NEAREST_H
#define V2C_CONF_NEAREST_H

#include <stddef.h>

enum { NEAREST_LEN_MAX = 48, NEAREST_FAR = 1000 };

/* Insertions, removals and replacements from one word to the other, whatever their case (Levenshtein);
 * NEAREST_FAR when one of them is longer than NEAREST_LEN_MAX. */
unsigned nearest_distance(const char *a, const char *b);
/* True when `candidate` is close enough to be meant by `word`, and closer than *best, which it then
 * becomes. Begin with *best = NEAREST_FAR. */
int nearest_better(const char *word, const char *candidate, unsigned *best);

#endif
