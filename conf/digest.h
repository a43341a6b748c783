/* conf/digest.h -- whether two objects of the configuration say the same: order of keys, their case,
 * comments and what counts as absent do not matter.
 * Thread: one. Errors: out of memory is remembered by the arena. */
#ifndef V2C_CONF_DIGEST_H
#define V2C_CONF_DIGEST_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/arena.h"
#include "conf/node.h"

struct digest {
    uint8_t bytes[32];
};

void digest_node(struct digest *d, const struct node *n, struct arena *scratch);
/* Without these members, up to a NULL. */
void digest_object(struct digest *d, const struct node *n, const char *const *without,
                   struct arena *scratch);
/* d then covers these bytes, too. */
void digest_mix(struct digest *d, const void *bytes, size_t len);
bool digest_equal(const struct digest *a, const struct digest *b);

#endif
