/* proxy/vmess_guard.h -- what the VMess servers of a process know together, on all ports and loops and over
 * reloads: what was seen and must not come again, and the drain length by which the outside knows them.
 * Thread: any. Units: wall-clock seconds. Ownership: each server has a share; the last one frees it. */
#ifndef V2C_PROXY_VMESS_GUARD_H
#define V2C_PROXY_VMESS_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "proxy/vmess_seen.h"

struct vmess_guard;

/* With one share, the caller's. NULL: out of memory. */
struct vmess_guard *vmess_guard_new(void);
struct vmess_guard *vmess_guard_ref(struct vmess_guard *g);
void vmess_guard_unref(struct vmess_guard *g); /* g may be NULL */

enum { GUARD_HASH_KEY = 16 };

enum guard_kind { GUARD_AUTH_ID, GUARD_SESSION, GUARD_KINDS };
enum guard_answer { GUARD_NEW, GUARD_SEEN, GUARD_NO_MEMORY };

bool vmess_guard_has(struct vmess_guard *g, enum guard_kind kind, const uint8_t key[SEEN_KEY],
                     int64_t now);
/* Remembers a key that is new; of two who ask at once only one is told so. */
enum guard_answer vmess_guard_add(struct vmess_guard *g, enum guard_kind kind,
                                  const uint8_t key[SEEN_KEY], int64_t expiry, int64_t now);

/* Bytes that every failed greeting swallows beyond the shortest; the same for all. */
uint32_t vmess_guard_drain(const struct vmess_guard *g);
/* A key for digests that go into the set. */
const uint8_t *vmess_guard_hash_key(const struct vmess_guard *g);

#endif
