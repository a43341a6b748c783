#include "proxy/vmess_auth.h"

#include <openssl/evp.h>
#include <sodium.h>
#include <stdlib.h>
#include <zlib.h>

/* Up to here every lookup tries every user, so that its duration does not tell which one matched.
 * Above, users are tried in the order of their last use and the search ends at the match. */
enum { EVEN_MAX = 64 };

struct entry {
    const struct vmess_user *user;
    EVP_CIPHER_CTX *cipher; /* key schedule, made once */
};

struct vmess_table {
    size_t count;
    struct entry entries[];
};

static EVP_CIPHER_CTX *block_cipher(const uint8_t key[16], bool seal)
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    if (c && EVP_CipherInit_ex(c, EVP_aes_128_ecb(), NULL, key, NULL, seal) == 1 &&
        EVP_CIPHER_CTX_set_padding(c, 0) == 1)
        return c;
    EVP_CIPHER_CTX_free(c);
    return NULL;
}

static void put_be(uint8_t *to, uint64_t v, size_t len)
{
    for (size_t i = len; i-- > 0; v >>= 8)
        to[i] = (uint8_t)v;
}

static uint64_t get_be(const uint8_t *from, size_t len)
{
    uint64_t v = 0;
    for (size_t i = 0; i < len; i++)
        v = v << 8 | from[i];
    return v;
}

int vmess_auth_seal(uint8_t out[AUTH_ID], const uint8_t auth_key[16], int64_t stamp,
                    const uint8_t rand4[4])
{
    uint8_t plain[AUTH_ID];
    int n = 0;
    put_be(plain, (uint64_t)stamp, 8);
    memcpy(plain + 8, rand4, 4);
    put_be(plain + 12, crc32(0, plain, 12), 4);
    EVP_CIPHER_CTX *c = block_cipher(auth_key, true);
    int ok = c && EVP_EncryptUpdate(c, out, &n, plain, AUTH_ID) == 1 && n == AUTH_ID;
    EVP_CIPHER_CTX_free(c);
    return ok ? 0 : -1;
}

void vmess_table_free(struct vmess_table *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->count; i++)
        EVP_CIPHER_CTX_free(t->entries[i].cipher);
    free(t);
}

struct vmess_table *vmess_table_new(const struct vmess_user *users, size_t count)
{
    struct vmess_table *t = calloc(1, sizeof *t + count * sizeof t->entries[0]);
    if (!t)
        return NULL;
    for (; t->count < count; t->count++) {
        struct entry *entry = &t->entries[t->count];
        entry->user = &users[t->count];
        entry->cipher = block_cipher(entry->user->auth_key, false);
        if (!entry->cipher) {
            vmess_table_free(t);
            return NULL;
        }
    }
    return t;
}

void vmess_table_adopt(struct vmess_table *t, const struct vmess_user *from,
                       const struct vmess_user *to)
{
    for (size_t i = 0; i < t->count; i++)
        t->entries[i].user = to + (t->entries[i].user - from);
}

struct vmess_table *vmess_table_next(const struct vmess_user *users, size_t count, bool added)
{
    struct vmess_table *t = calloc(1, sizeof *t + count * sizeof t->entries[0]);
    if (!t || !added)
        return t;
    struct entry *entry = &t->entries[t->count++];
    entry->user = &users[count - 1];
    entry->cipher = block_cipher(entry->user->auth_key, false);
    if (entry->cipher)
        return t;
    vmess_table_free(t);
    return NULL;
}

void vmess_table_follow(struct vmess_table *t, struct vmess_table *former,
                        const struct vmess_user *from, const struct vmess_user *to,
                        ptrdiff_t removed)
{
    for (size_t i = 0; i < former->count; i++) {
        struct entry *entry = &former->entries[i];
        ptrdiff_t index = entry->user - from;
        if (index == removed) {
            EVP_CIPHER_CTX_free(entry->cipher);
            continue;
        }
        bool moves = removed >= 0 && index > removed;
        t->entries[t->count].user = to + index - moves;
        t->entries[t->count++].cipher = entry->cipher;
    }
    free(former);
}

/* The time is tested before the CRC: it refuses nearly all junk and costs nothing. */
static bool entry_matches(const struct entry *entry, const uint8_t id[AUTH_ID], int64_t now,
                          int64_t *stamp)
{
    uint8_t plain[AUTH_ID];
    int n = 0;
    if (EVP_DecryptUpdate(entry->cipher, plain, &n, id, AUTH_ID) != 1)
        return false;
    uint64_t time = get_be(plain, 8);
    if (time > INT64_MAX || time + AUTH_WINDOW < (uint64_t)now ||
        time > (uint64_t)now + AUTH_WINDOW)
        return false;
    if (get_be(plain + 12, 4) != crc32(0, plain, 12))
        return false;
    *stamp = (int64_t)time;
    return true;
}

static void move_to_front(struct vmess_table *t, size_t at)
{
    struct entry used = t->entries[at];
    memmove(t->entries + 1, t->entries, at * sizeof used);
    t->entries[0] = used;
}

const struct vmess_user *vmess_table_find(struct vmess_table *t, const uint8_t id[AUTH_ID],
                                          int64_t now, int64_t *stamp)
{
    const struct vmess_user *found = NULL;
    if (now < 0) /* a clock before 1970 matches nobody */
        return NULL;
    for (size_t i = 0; i < t->count; i++) {
        if (!entry_matches(&t->entries[i], id, now, stamp))
            continue;
        found = t->entries[i].user;
        if (t->count > EVEN_MAX) {
            move_to_front(t, i);
            break;
        }
    }
    return found;
}
