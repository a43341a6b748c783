/* cluster/seal.h -- by what entries of the registry are known to be the cluster's own: the first 16 bytes of HMAC-SHA256
 * over a word for the purpose, the cluster's name and the entry's parts, each with its length in front. So no entry passes
 * for one of another key, field, kind or cluster.
 * Thread: any; pure. Cannot fail. Secret: wipe it with seal_fini(). */
#ifndef V2C_CLUSTER_SEAL_H
#define V2C_CLUSTER_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SEAL_LEN = 16, SEAL_KEY = 32 };

struct seal {
    uint8_t key[SEAL_KEY]; /* of registries only, made of the cluster's */
};

struct seal_part {
    const void *data;
    size_t len;
};

void seal_init(struct seal *s, const uint8_t cluster_key[SEAL_KEY], const char *cluster);
void seal_fini(struct seal *s);
void seal_make(const struct seal *s, const char *purpose, const struct seal_part *parts,
               size_t count, uint8_t out[SEAL_LEN]);
/* In constant time. */
bool seal_fits(const struct seal *s, const char *purpose, const struct seal_part *parts,
               size_t count, const uint8_t seal[SEAL_LEN]);

#endif
