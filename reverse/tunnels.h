/* reverse/tunnels.h -- finds what belongs to a tunnel by the tunnel's name: a hash table whose rows lie in the
 * things found.
 * Thread: that of the table, or whoever holds its lock. Ownership: none of the items, nor of their names.
 * Errors: memory, when the first item is added; later the rows only get longer. */
#ifndef V2C_REVERSE_TUNNELS_H
#define V2C_REVERSE_TUNNELS_H

#include <sodium.h>

#include "core/meta.h"

struct tunnel_item {
    const struct tunnel_name *name; /* valid while it is in the table */
    struct tunnel_item *next;
    uint64_t hash;
};

struct tunnels {
    struct tunnel_item **rows;
    size_t row_count, count;
    uint8_t key[crypto_shorthash_KEYBYTES]; /* bridges cannot know which names collide */
};

void tunnels_init(struct tunnels *t);
void tunnels_fini(struct tunnels *t); /* it is empty */
/* NULL: there is none. */
struct tunnel_item *tunnels_find(const struct tunnels *t, const struct tunnel_name *name);
/* i->name is set, and no item has it yet. False: out of memory. */
bool tunnels_add(struct tunnels *t, struct tunnel_item *i);
void tunnels_remove(struct tunnels *t, struct tunnel_item *i);

#endif
