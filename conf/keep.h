/* conf/keep.h -- what flows point to of a configuration: tags, users, policies, counters' slots, addresses.
 * They stay for the life of the process, so that a configuration may go while its flows live on, and equal
 * ones are kept once, so that reloading the same again costs nothing. No secrets.
 * Thread: added to on the main thread only; what was returned is immutable and may be read by all.
 * Ownership: configurations share one; the last one that goes takes it along. */
#ifndef V2C_CONF_KEEP_H
#define V2C_CONF_KEEP_H

#include <stdbool.h>
#include <stddef.h>

struct keep;

struct keep *keep_new(void); /* NULL: out of memory */
struct keep *keep_ref(struct keep *k);
void keep_unref(struct keep *k); /* any thread; k may be NULL */

/* The one copy of these bytes; padding counts, so set it to zero. NULL: out of memory. */
const void *keep_bytes(struct keep *k, const void *bytes, size_t len);
const char *keep_text(struct keep *k, const char *text);
/* An object that is more than bytes, under a text that says all of it: it is made once. NULL: none yet. */
const void *keep_object(const struct keep *k, const char *name);
/* Takes the object, which goes with the keep. False: out of memory, and it is still the caller's. */
bool keep_add_object(struct keep *k, const char *name, void *object, void (*drop)(void *object));
/* It ran out of memory at least once. */
bool keep_failed(const struct keep *k);

#endif
