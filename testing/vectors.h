/* testing/vectors.h -- reads files of "key=value" lines in testing/vectors/, where bytes are hex digits.
 * A missing file or key, or a value of the wrong form, fails the running test. */
#ifndef V2C_TESTING_VECTORS_H
#define V2C_TESTING_VECTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vectors;

/* A file of $srcdir/testing/vectors. */
struct vectors *vectors_open(const char *name);
void vectors_close(struct vectors *v);

/* The key is a format. */
bool vectors_has(struct vectors *v, const char *key, ...) __attribute__((format(printf, 2, 3)));
const char *vectors_text(struct vectors *v, const char *key, ...)
    __attribute__((format(printf, 2, 3)));
long long vectors_number(struct vectors *v, const char *key, ...)
    __attribute__((format(printf, 2, 3)));
/* Decoded into `out`; answers how many bytes. */
size_t vectors_bytes(struct vectors *v, uint8_t *out, size_t room, const char *key, ...)
    __attribute__((format(printf, 4, 5)));

#endif
