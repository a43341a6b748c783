#include "cluster/misses.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { PLACES = 4096 };

static const double RATE = 50, BURST = 200;

struct miss_place {
    uint64_t source; /* hash of the address; 0: nobody's */
    double left, since;
};

struct misses {
    uint8_t key[crypto_shorthash_KEYBYTES]; /* visitors cannot know whom they push out */
    struct miss_place at[PLACES];
};

struct misses *misses_new(void)
{
    struct misses *m = calloc(1, sizeof *m);
    if (m)
        crypto_shorthash_keygen(m->key);
    return m;
}

void misses_free(struct misses *m)
{
    free(m);
}

static uint64_t source_hash(const struct misses *m, const struct addr *source)
{
    uint8_t bytes[1 + 8] = {source->type};
    uint64_t hash;
    size_t len = addr_is_ip(source) ? addr_ip_len(source) : 0;
    memcpy(bytes + 1, source->ip, len < 8 ? len : 8);
    crypto_shorthash((uint8_t *)&hash, bytes, sizeof bytes, m->key);
    return hash | 1;
}

bool misses_take(struct misses *m, const struct addr *source, double now, unsigned *place)
{
    uint64_t hash = source_hash(m, source);
    *place = (unsigned)(hash >> 32) % PLACES;
    struct miss_place *p = &m->at[*place];
    if (p->source != hash)
        *p = (struct miss_place){.source = hash, .left = BURST, .since = now};
    p->left += (now - p->since) * RATE;
    p->left = p->left < BURST ? p->left : BURST;
    p->since = now;
    if (p->left < 1)
        return false;
    p->left--;
    return true;
}

void misses_back(struct misses *m, unsigned place)
{
    m->at[place].left++;
}
