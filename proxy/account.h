/* proxy/account.h -- users with passwords, as SOCKS and HTTP proxies know them.
 * Thread: immutable once built. Ownership: the configuration's; users are kept. No password stays in memory, only what
 * it takes to recognise it. */
#ifndef V2C_PROXY_ACCOUNT_H
#define V2C_PROXY_ACCOUNT_H

#include <stddef.h>
#include <stdint.h>

#include "core/user.h"

enum { ACCOUNT_DIGEST = 32, ACCOUNT_TEXT_MAX = 255 };

struct account {
    uint8_t digest[ACCOUNT_DIGEST];
    const struct user *user;
};

struct accounts {
    struct account *items;
    size_t count;
};

/* name and pass of at most ACCOUNT_TEXT_MAX bytes each. */
void account_init(struct account *a, const void *name, size_t name_len, const void *pass,
                  size_t pass_len, const struct user *user);
/* NULL: nobody. Takes as long for everybody, found or not. */
const struct user *accounts_find(const struct accounts *list, const void *name, size_t name_len,
                                 const void *pass, size_t pass_len);

#endif
