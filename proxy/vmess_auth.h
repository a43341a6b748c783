/* proxy/vmess_auth.h -- the auth id, the 16 bytes that open a VMess connection: time, random bytes and
 * CRC under a key that only the user has; and the table that finds whose key it is.
 * Thread: a table belongs to one loop. Units: wall-clock seconds. */
#ifndef V2C_PROXY_VMESS_AUTH_H
#define V2C_PROXY_VMESS_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/vmess.h"

enum { AUTH_ID = 16, AUTH_WINDOW = 120 /* seconds that clocks may differ, either way */ };

/* -1: the crypto library failed (memory). */
int vmess_auth_seal(uint8_t out[AUTH_ID], const uint8_t auth_key[16], int64_t stamp,
                    const uint8_t rand4[4]);

struct vmess_table;
struct vmess_table *vmess_table_new(const struct vmess_user *users, size_t count);
/* The same users, in the same order, at another place. */
void vmess_table_adopt(struct vmess_table *t, const struct vmess_user *from,
                       const struct vmess_user *to);
void vmess_table_free(struct vmess_table *t);
/* For users that change while the loop runs, in two steps of which only the first can fail, and may be taken on
 * any thread: room for this many, and the last of them if it is new; ... */
struct vmess_table *vmess_table_next(const struct vmess_user *users, size_t count, bool added);
/* ... and the others, whom the former table has: its users are at `from`, the same are at `to` in the same
 * order, but the one with the index `removed`; -1: none is. Frees the former one. */
void vmess_table_follow(struct vmess_table *t, struct vmess_table *former,
                        const struct vmess_user *from, const struct vmess_user *to,
                        ptrdiff_t removed);
/* The user who made this auth id, and the time he put in; NULL when nobody did within AUTH_WINDOW. */
const struct vmess_user *vmess_table_find(struct vmess_table *t, const uint8_t id[AUTH_ID],
                                          int64_t now, int64_t *stamp);

#endif
