/* cluster/records.h -- what a process wants the registry to say: things found by their key there, with a note of
 * those that changed and of whose turn it is to be written again.
 * Thread: whoever holds the lock of registry_shared. Ownership: records are their kind's; the table owns none.
 * Errors: memory, when the first is added; later the rows only get longer. */
#ifndef V2C_CLUSTER_RECORDS_H
#define V2C_CLUSTER_RECORDS_H

#include <sodium.h>

#include "cluster/ledger.h"
#include "core/list.h"

struct registry;
struct record;

struct record_kind {
    /* Says its present state to the registry: record_sent() for each command whose answer comes. */
    void (*write)(struct registry *r, struct record *rec);
    /* All answers have come. May free it. */
    void (*written)(struct registry *r, struct record *rec);
    void (*free)(struct record *rec);
    uint8_t sweeps; /* it is written again in each one of so many */
};

struct record {
    const struct record_kind *kind;
    struct registry_shared *shared;
    struct record *next; /* in its row */
    uint64_t hash;
    struct list_item change; /* while it must be written */
    struct list_item round;  /* in the order of sweeps, or a list of its kind's */
    uint8_t rounds;          /* sweeps that it has seen */
    uint8_t under_way;       /* commands */
    bool again;              /* it changed meanwhile */
    bool gone;               /* nobody here wants it any more */
    uint16_t key_len;
    char *key; /* owned by its kind; text */
};

struct records {
    struct record **rows;
    size_t row_count, count;
    uint8_t key[crypto_shorthash_KEYBYTES]; /* bridges cannot know which names collide */
};

void records_init(struct records *t);
void records_fini(struct records *t); /* its records are the caller's */
struct record *records_find(const struct records *t, const struct ledger_key *key);
/* No record has its key yet. False: out of memory. */
bool records_add(struct records *t, struct record *rec);
void records_remove(struct records *t, struct record *rec);

#endif
