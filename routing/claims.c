#include "routing/claims.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS_MIN = 64 };

struct claim {
    struct claim *next; /* under the same slot */
    struct tunnel_name holder;
    uint64_t hash;
    double left;       /* when the last carrier went; while carriers is 0 */
    uint32_t carriers; /* that take it */
    bool is_private, below;
    bool granted;   /* else it is asked for, */
    bool contested; /* and has to be asked for again */
    uint8_t len;
    char host[];
};

struct claims {
    pthread_rwlock_t lock;
    uint8_t key[crypto_shorthash_KEYBYTES]; /* visitors cannot know which names collide */
    struct claim **slots;
    size_t slot_count, count, max;
    size_t wildcards;
    double swept;
};

struct claims *claims_new(size_t max)
{
    struct claims *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->slots = calloc(SLOTS_MIN, sizeof(struct claim *));
    if (!c->slots || pthread_rwlock_init(&c->lock, NULL) != 0) {
        free(c->slots);
        free(c);
        return NULL;
    }
    c->slot_count = SLOTS_MIN;
    c->max = max;
    crypto_shorthash_keygen(c->key);
    return c;
}

void claims_free(struct claims *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->slot_count; i++)
        for (struct claim *k = c->slots[i], *next; k; k = next) {
            next = k->next;
            free(k);
        }
    free(c->slots);
    pthread_rwlock_destroy(&c->lock);
    free(c);
}

/* --- the table, under the lock --- */

static uint64_t hash_of(const struct claims *c, const char *host, size_t len)
{
    uint64_t hash;
    crypto_shorthash((uint8_t *)&hash, (const uint8_t *)host, len, c->key);
    return hash;
}

static struct claim **slot_of(const struct claims *c, uint64_t hash)
{
    return &c->slots[hash & (c->slot_count - 1)];
}

static bool is_over(const struct claim *k, double now)
{
    return k->carriers == 0 && (!k->granted || now - k->left >= CLAIM_LINGER);
}

/* Where it hangs, or would. */
static struct claim **claim_find(const struct claims *c, const char *host, size_t len, bool below)
{
    uint64_t hash = hash_of(c, host, len);
    struct claim **at = slot_of(c, hash);
    for (; *at; at = &(*at)->next)
        if ((*at)->hash == hash && (*at)->below == below && (*at)->len == len &&
            memcmp((*at)->host, host, len) == 0)
            break;
    return at;
}

static void claim_drop(struct claims *c, struct claim **at)
{
    struct claim *k = *at;
    *at = k->next;
    c->count--;
    c->wildcards -= k->below;
    free(k);
}

/* Without memory the chains only get longer. */
static void slots_grow(struct claims *c)
{
    size_t count = 2 * c->slot_count;
    struct claim **slots = calloc(count, sizeof(struct claim *));
    if (!slots)
        return;
    for (size_t i = 0; i < c->slot_count; i++)
        for (struct claim *k = c->slots[i], *next; k; k = next) {
            next = k->next;
            k->next = slots[k->hash & (count - 1)];
            slots[k->hash & (count - 1)] = k;
        }
    free(c->slots);
    c->slots = slots;
    c->slot_count = count;
}

static void sweep(struct claims *c, double now)
{
    c->swept = now;
    for (size_t i = 0; i < c->slot_count; i++)
        for (struct claim **at = &c->slots[i]; *at;)
            if (is_over(*at, now))
                claim_drop(c, at);
            else
                at = &(*at)->next;
}

static struct claim *claim_add(struct claims *c, const struct hostname_pattern *host)
{
    const struct hostname *h = &host->host;
    struct claim *k = calloc(1, sizeof *k + h->len);
    if (!k)
        return NULL;
    if (c->count >= c->slot_count)
        slots_grow(c);
    k->hash = hash_of(c, h->text, h->len);
    k->below = host->below;
    k->len = h->len;
    memcpy(k->host, h->text, h->len);
    struct claim **slot = slot_of(c, k->hash);
    k->next = *slot;
    *slot = k;
    c->count++;
    c->wildcards += k->below;
    return k;
}

static bool is_holder(const struct claim *k, const struct tunnel_name *t)
{
    return tunnel_name_equal(&k->holder, t);
}

/* What lingers is looked through when it helps: when all is full, or each linger time. */
static bool has_room(struct claims *c, double now)
{
    if (now - c->swept >= CLAIM_LINGER || (c->count >= c->max && now - c->swept >= 1))
        sweep(c, now);
    return c->count < c->max;
}

/* The holder's, new or as it was. NULL: *why not. */
static struct claim *claim_for(struct claims *c, const struct hostname_pattern *host,
                               const struct tunnel_name *holder, double now, enum claim_answer *why)
{
    struct claim *k = *claim_find(c, host->host.text, host->host.len, host->below);
    bool over = k && is_over(k, now);
    *why = k && !over && !is_holder(k, holder) ? CLAIM_TAKEN : CLAIM_FULL;
    if (k && over)
        k->granted = false;
    if (!k && has_room(c, now))
        k = claim_add(c, host);
    return *why == CLAIM_TAKEN ? NULL : k;
}

static enum claim_answer take(struct claims *c, const struct hostname_pattern *host,
                              const struct tunnel_name *holder, bool is_private, bool asks,
                              double now)
{
    enum claim_answer why;
    struct claim *k = claim_for(c, host, holder, now, &why);
    if (!k)
        return why;
    bool had = k->granted && k->carriers > 0;
    k->holder = *holder;
    k->is_private = is_private;
    k->granted |= !asks;
    k->contested &= k->carriers > 0;
    k->carriers++;
    return asks && !had ? CLAIM_ASKED : CLAIM_GRANTED;
}

/* --- for all --- */

enum claim_answer claims_take(struct claims *c, const struct hostname_pattern *host,
                              const struct tunnel_name *holder, bool is_private, double now)
{
    pthread_rwlock_wrlock(&c->lock);
    enum claim_answer a = take(c, host, holder, is_private, false, now);
    pthread_rwlock_unlock(&c->lock);
    return a;
}

enum claim_answer claims_ask(struct claims *c, const struct hostname_pattern *host,
                             const struct tunnel_name *holder, bool is_private, double now)
{
    pthread_rwlock_wrlock(&c->lock);
    enum claim_answer a = take(c, host, holder, is_private, true, now);
    pthread_rwlock_unlock(&c->lock);
    return a;
}

static struct claim *claim_of(const struct claims *c, const struct hostname_pattern *host,
                              const struct tunnel_name *holder)
{
    struct claim *k = *claim_find(c, host->host.text, host->host.len, host->below);
    return k && is_holder(k, holder) ? k : NULL;
}

void claims_decide(struct claims *c, const struct hostname_pattern *host,
                   const struct tunnel_name *holder, bool granted)
{
    pthread_rwlock_wrlock(&c->lock);
    struct claim *k = claim_of(c, host, holder);
    if (k && k->carriers > 0)
        k->granted = granted;
    pthread_rwlock_unlock(&c->lock);
}

bool claims_leave(struct claims *c, const struct hostname_pattern *host,
                  const struct tunnel_name *holder, double now)
{
    pthread_rwlock_wrlock(&c->lock);
    struct claim *k = claim_of(c, host, holder);
    bool last = k && k->carriers > 0 && --k->carriers == 0;
    if (last)
        k->left = now;
    pthread_rwlock_unlock(&c->lock);
    return last;
}

static bool goes_before(const struct tunnel_name *a, const struct tunnel_name *b)
{
    const char *of_a = a->tenant ? a->tenant : "", *of_b = b->tenant ? b->tenant : "";
    int names = strcmp(a->text, b->text), tenants = strcmp(of_a, of_b);
    return names ? names < 0 : tenants ? tenants < 0 : a->by < b->by;
}

bool claims_contest(struct claims *c, const struct hostname_pattern *host,
                    const struct tunnel_name *asks, double now, struct tunnel_name *holder)
{
    pthread_rwlock_wrlock(&c->lock);
    struct claim *k = *claim_find(c, host->host.text, host->host.len, host->below);
    bool held = k && !is_over(k, now) && !is_holder(k, asks);
    bool stays = held && (k->granted || goes_before(&k->holder, asks));
    if (stays)
        *holder = k->holder;
    else if (held)
        k->contested = true;
    pthread_rwlock_unlock(&c->lock);
    return stays;
}

bool claims_confirm(struct claims *c, const struct hostname_pattern *host,
                    const struct tunnel_name *holder)
{
    pthread_rwlock_wrlock(&c->lock);
    struct claim *k = claim_of(c, host, holder);
    bool sure = !k || !k->contested;
    if (k)
        k->contested = false;
    if (k && sure && k->carriers > 0)
        k->granted = true;
    pthread_rwlock_unlock(&c->lock);
    return sure;
}

bool claims_look(struct claims *c, const struct hostname_pattern *host, double now,
                 struct tunnel_name *holder, unsigned *carriers, bool *asked)
{
    pthread_rwlock_rdlock(&c->lock);
    const struct claim *k = *claim_find(c, host->host.text, host->host.len, host->below);
    bool held = k && !is_over(k, now);
    if (held) {
        *holder = k->holder;
        *carriers = k->carriers;
        *asked = !k->granted;
    }
    pthread_rwlock_unlock(&c->lock);
    return held;
}

static const struct claim *holding(const struct claims *c, const char *host, size_t len, bool below,
                                   double now)
{
    const struct claim *k = *claim_find(c, host, len, below);
    return k && k->granted && !is_over(k, now) ? k : NULL;
}

static const struct claim *holding_any(const struct claims *c, const char *host, double now)
{
    size_t len = strlen(host);
    const struct claim *k = holding(c, host, len, false, now);
    while (!k && c->wildcards) {
        k = holding(c, host, len, true, now);
        const char *dot = memchr(host, '.', len);
        if (k || !dot)
            break;
        len -= (size_t)(dot + 1 - host);
        host = dot + 1;
    }
    return k;
}

bool claims_find(struct claims *c, const char *host, double now, struct tunnel_name *holder,
                 bool *is_private)
{
    pthread_rwlock_rdlock(&c->lock);
    const struct claim *k = holding_any(c, host, now);
    if (k) {
        *holder = k->holder;
        *is_private = k->is_private;
    }
    pthread_rwlock_unlock(&c->lock);
    return k;
}

size_t claims_count(struct claims *c)
{
    pthread_rwlock_rdlock(&c->lock);
    size_t count = c->count;
    pthread_rwlock_unlock(&c->lock);
    return count;
}
