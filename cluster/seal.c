#include "cluster/seal.h"

#include <sodium.h>
#include <string.h>

#include "core/cursor.h"

static void add(crypto_auth_hmacsha256_state *h, const void *data, size_t len)
{
    uint8_t head[4];
    struct writer w = wr_of(head, sizeof head);
    wr_be32(&w, (uint32_t)len);
    crypto_auth_hmacsha256_update(h, head, sizeof head);
    crypto_auth_hmacsha256_update(h, data, len);
}

static void begin(crypto_auth_hmacsha256_state *h, const uint8_t key[SEAL_KEY], const char *purpose)
{
    crypto_auth_hmacsha256_init(h, key, SEAL_KEY);
    add(h, purpose, strlen(purpose));
}

static void end(crypto_auth_hmacsha256_state *h, uint8_t *out, size_t len)
{
    uint8_t all[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256_final(h, all);
    memcpy(out, all, len);
    sodium_memzero(all, sizeof all);
    sodium_memzero(h, sizeof *h);
}

void seal_init(struct seal *s, const uint8_t cluster_key[SEAL_KEY], const char *cluster)
{
    crypto_auth_hmacsha256_state h;
    begin(&h, cluster_key, "v2c registry");
    add(&h, cluster, strlen(cluster));
    end(&h, s->key, sizeof s->key);
}

void seal_fini(struct seal *s)
{
    sodium_memzero(s, sizeof *s);
}

void seal_make(const struct seal *s, const char *purpose, const struct seal_part *parts,
               size_t count, uint8_t out[SEAL_LEN])
{
    crypto_auth_hmacsha256_state h;
    begin(&h, s->key, purpose);
    for (size_t i = 0; i < count; i++)
        add(&h, parts[i].data, parts[i].len);
    end(&h, out, SEAL_LEN);
}

bool seal_fits(const struct seal *s, const char *purpose, const struct seal_part *parts,
               size_t count, const uint8_t seal[SEAL_LEN])
{
    uint8_t right[SEAL_LEN];
    seal_make(s, purpose, parts, count, right);
    return sodium_memcmp(right, seal, SEAL_LEN) == 0;
}
