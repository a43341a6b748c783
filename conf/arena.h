/* conf/arena.h -- memory that lives and dies together: the nodes of a load, the strings of a config.
 * Thread: one at a time. Ownership: arena_free() wipes and frees all of it; ids pass through here.
 * Errors: NULL when memory is out, and `failed` stays set, so that a load may look once, at its end. */
#ifndef V2C_CONF_ARENA_H
#define V2C_CONF_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *blocks; /* the newest first */
    bool failed;
};

struct arena *arena_new(void);
void arena_free(struct arena *a);
/* Zeroed, aligned for any type. */
void *arena_alloc(struct arena *a, size_t size);
/* Room for `count` items; NULL also when that many bytes cannot be. Count 0 gives a valid pointer. */
void *arena_array(struct arena *a, size_t count, size_t size);
/* A copy with a NUL behind it. */
char *arena_text(struct arena *a, const char *text, size_t len);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
