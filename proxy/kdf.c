/* The nested hashes are a row of plain SHA-256 states: a hash of level n is its inner half (the first
 * 2^(n-1) states) and its outer half (the rest), each a hash of level n-1. Feeding bytes touches only
 * the first state. SHA256_CTX is used, deprecated as it is, because it is copied by assignment. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "proxy/kdf.h"

#include <assert.h>
#include <openssl/sha.h>
#include <sodium.h>
#include <string.h>

enum { BLOCK = 64, STATES = 1 << KDF_DEPTH };

struct nest {
    SHA256_CTX outer; /* of the root HMAC, after its key */
    SHA256_CTX states[STATES];
};

/* Sets the HMAC key blocks for a key of at most BLOCK bytes. */
static void key_blocks(uint8_t inner[BLOCK], uint8_t outer[BLOCK], const uint8_t *key, size_t len)
{
    memset(inner, 0x36, BLOCK);
    memset(outer, 0x5c, BLOCK);
    for (size_t i = 0; i < len; i++) {
        inner[i] ^= key[i];
        outer[i] ^= key[i];
    }
}

static void nest_root(struct nest *n)
{
    static const uint8_t label[] = "VMess AEAD KDF";
    uint8_t inner[BLOCK], outer[BLOCK];
    key_blocks(inner, outer, label, sizeof label - 1);
    SHA256_Init(&n->states[0]);
    SHA256_Update(&n->states[0], inner, BLOCK);
    SHA256_Init(&n->outer);
    SHA256_Update(&n->outer, outer, BLOCK);
}

static void nest_final(struct nest *n, SHA256_CTX *states, size_t level, uint8_t out[KDF_LEN])
{
    uint8_t digest[KDF_LEN];
    if (level == 0) {
        SHA256_CTX outer = n->outer;
        SHA256_Final(digest, states);
        SHA256_Update(&outer, digest, sizeof digest);
        SHA256_Final(out, &outer);
    } else {
        SHA256_CTX *half = states + ((size_t)1 << (level - 1));
        nest_final(n, states, level - 1, digest);
        SHA256_Update(half, digest, sizeof digest);
        nest_final(n, half, level - 1, out);
    }
    sodium_memzero(digest, sizeof digest);
}

/* Wraps the hash of `level` into an HMAC with this key, which is the hash of level + 1. */
static void nest_wrap(struct nest *n, size_t level, const struct kdf_part *key)
{
    uint8_t hashed[KDF_LEN], inner[BLOCK], outer[BLOCK];
    size_t half = (size_t)1 << level;
    if (key->len > BLOCK) {
        struct nest copy = *n;
        SHA256_Update(&copy.states[0], key->data, key->len);
        nest_final(&copy, copy.states, level, hashed);
        key_blocks(inner, outer, hashed, sizeof hashed);
    } else {
        key_blocks(inner, outer, key->data, key->len);
    }
    memcpy(n->states + half, n->states, half * sizeof n->states[0]);
    SHA256_Update(&n->states[0], inner, BLOCK);
    SHA256_Update(&n->states[half], outer, BLOCK);
}

void kdf(uint8_t *out, size_t out_len, const uint8_t *secret, size_t secret_len,
         const struct kdf_part *path, size_t depth)
{
    struct nest n;
    uint8_t digest[KDF_LEN];
    assert(depth <= KDF_DEPTH && out_len <= KDF_LEN);
    nest_root(&n);
    for (size_t i = 0; i < depth; i++)
        nest_wrap(&n, i, &path[i]);
    SHA256_Update(&n.states[0], secret, secret_len);
    nest_final(&n, n.states, depth, digest);
    memcpy(out, digest, out_len);
    sodium_memzero(digest, sizeof digest);
    sodium_memzero(&n, sizeof n);
}
