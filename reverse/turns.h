/* reverse/turns.h -- the bridges of one pool's name on all loops, for portals that choose among bridges and not
 * among loads: whose turn it is, and which one an address belongs to. Loops say which bridges they have links
 * of, and all choose from the same list.
 * Thread: any, under its own lock. Ownership: turns_fini(). Errors: without memory a bridge is not listed. */
#ifndef V2C_REVERSE_TURNS_H
#define V2C_REVERSE_TURNS_H

#include <pthread.h>
#include <sodium.h>

#include "core/addr.h"

enum { TURNS_LOOPS = 64, TURNS_NOWHERE = 255 };

struct turns_row {
    uint64_t bridge; /* carrier_group() */
    int32_t turn;    /* what it is owed */
    uint8_t share;   /* of all visitors: its weight, at least 1 */
    uint8_t
        class_at[TURNS_LOOPS]; /* of its best link there; TURNS_NOWHERE: none that takes streams */
};

struct turns {
    pthread_mutex_t lock;
    struct turns_row *rows;
    unsigned count, room;
};

void turns_init(struct turns *t);
void turns_fini(struct turns *t);

/* A loop says anew what it has: begin, then each link, then end. Holds the lock in between. */
void turns_begin(struct turns *t, unsigned loop);
/* at: of this link, 0 at first: where the bridge is found without a search. */
void turns_have(struct turns *t, unsigned loop, uint64_t bridge, uint8_t class, uint8_t share,
                unsigned *at);
void turns_end(struct turns *t);

struct turn {
    uint64_t bridge;
    uint8_t class;  /* of its best links ... */
    uint64_t loops; /* ... and where these are, one bit each */
};

/* Of the bridges of the best class the next one, smoothly: who has a weight of 3 against 1 is not chosen three times in
 * a row. False: there is none. */
bool turns_next(struct turns *t, struct turn *next);
/* Of these the one that scores highest for the address: when one goes only its own visitors move. */
bool turns_by_source(struct turns *t, const struct addr *source,
                     const uint8_t key[crypto_shorthash_KEYBYTES], struct turn *next);

#endif
