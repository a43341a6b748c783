#include "proxy/account.h"

#include <sodium.h>
#include <string.h>

/* The lengths keep "ab" + "c" from being "a" + "bc", and the hash is over as many bytes for everybody. */
static void digest_of(uint8_t out[ACCOUNT_DIGEST], const void *name, size_t name_len,
                      const void *pass, size_t pass_len)
{
    uint8_t text[2 * (ACCOUNT_TEXT_MAX + 1)] = {0};
    text[0] = (uint8_t)name_len;
    memcpy(text + 1, name, name_len);
    text[ACCOUNT_TEXT_MAX + 1] = (uint8_t)pass_len;
    memcpy(text + ACCOUNT_TEXT_MAX + 2, pass, pass_len);
    crypto_generichash(out, ACCOUNT_DIGEST, text, sizeof text, NULL, 0);
    sodium_memzero(text, sizeof text);
}

void account_init(struct account *a, const void *name, size_t name_len, const void *pass,
                  size_t pass_len, const struct user *user)
{
    digest_of(a->digest, name, name_len, pass, pass_len);
    a->user = user;
}

const struct user *accounts_find(const struct accounts *list, const void *name, size_t name_len,
                                 const void *pass, size_t pass_len)
{
    const struct user *found = NULL;
    uint8_t digest[ACCOUNT_DIGEST];
    if (name_len > ACCOUNT_TEXT_MAX || pass_len > ACCOUNT_TEXT_MAX)
        return NULL;
    digest_of(digest, name, name_len, pass, pass_len);
    for (size_t i = 0; i < list->count; i++)
        if (sodium_memcmp(list->items[i].digest, digest, sizeof digest) == 0)
            found = list->items[i].user;
    return found;
}
