/* proxy/vmess_seen.h -- an exact, bounded set of 16-byte values that each expire at a known time: what
 * has been seen and must not come again.
 * Thread: one at a time. Units: wall-clock seconds. Memory: none before the first value; at most about
 * 12 MiB with SEEN_MAX values; given back when the values expire. */
#ifndef V2C_PROXY_VMESS_SEEN_H
#define V2C_PROXY_VMESS_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SEEN_KEY = 16,
    SEEN_MAX = 262144,
    SEEN_SPAN = 30,  /* values that expire within the same span go together */
    SEEN_SPANS = 10, /* no value lives longer than (SEEN_SPANS - 2) * SEEN_SPAN seconds */
};

struct seen_span {
    int64_t number;             /* expiry / SEEN_SPAN */
    uint8_t (*slots)[SEEN_KEY]; /* open addressing; all zero is "free" */
    size_t size, used;
};

struct vmess_seen {
    uint8_t hash_key[16];
    struct seen_span spans[SEEN_SPANS];
    size_t count, limit;
};

/* limit: SEEN_MAX, less in tests. */
void vmess_seen_init(struct vmess_seen *s, size_t limit);
void vmess_seen_fini(struct vmess_seen *s);
/* Expired values may still be found for up to SEEN_SPAN seconds. */
bool vmess_seen_has(const struct vmess_seen *s, const uint8_t key[SEEN_KEY], int64_t now);
/* When the set is full the values that expire first leave early. -1: out of memory, not added. */
int vmess_seen_add(struct vmess_seen *s, const uint8_t key[SEEN_KEY], int64_t expiry, int64_t now);

#endif
