#include "proxy/vmess_seen.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_SIZE = 64 }; /* slots; a power of two, like every size */

static void span_drop(struct vmess_seen *s, struct seen_span *span)
{
    s->count -= span->used;
    free(span->slots);
    *span = (struct seen_span){0};
}

/* Where the key is, or where it would go. Sizes are kept below three quarters full. */
static uint8_t *span_slot(const struct vmess_seen *s, const struct seen_span *span,
                          const uint8_t key[SEEN_KEY])
{
    uint64_t hash;
    crypto_shorthash((uint8_t *)&hash, key, SEEN_KEY, s->hash_key);
    for (size_t i = (size_t)hash;; i++) {
        uint8_t *slot = span->slots[i & (span->size - 1)];
        if (sodium_is_zero(slot, SEEN_KEY) || memcmp(slot, key, SEEN_KEY) == 0)
            return slot;
    }
}

static int span_grow(const struct vmess_seen *s, struct seen_span *span)
{
    struct seen_span bigger = *span;
    bigger.size = span->size ? span->size * 2 : FIRST_SIZE;
    bigger.slots = calloc(bigger.size, SEEN_KEY);
    if (!bigger.slots)
        return -1;
    for (size_t i = 0; i < span->size; i++)
        if (!sodium_is_zero(span->slots[i], SEEN_KEY))
            memcpy(span_slot(s, &bigger, span->slots[i]), span->slots[i], SEEN_KEY);
    free(span->slots);
    *span = bigger;
    return 0;
}

static bool span_expired(const struct seen_span *span, int64_t now)
{
    return (span->number + 1) * SEEN_SPAN <= now;
}

static void drop_expired(struct vmess_seen *s, int64_t now)
{
    for (size_t i = 0; i < SEEN_SPANS; i++) {
        struct seen_span *span = &s->spans[i];
        if (span->size && span_expired(span, now))
            span_drop(s, span);
    }
}

static void drop_oldest(struct vmess_seen *s)
{
    struct seen_span *oldest = NULL;
    for (size_t i = 0; i < SEEN_SPANS; i++) {
        struct seen_span *span = &s->spans[i];
        if (span->size && (!oldest || span->number < oldest->number))
            oldest = span;
    }
    if (oldest)
        span_drop(s, oldest);
}

void vmess_seen_init(struct vmess_seen *s, size_t limit)
{
    *s = (struct vmess_seen){.limit = limit};
    randombytes_buf(s->hash_key, sizeof s->hash_key);
}

void vmess_seen_fini(struct vmess_seen *s)
{
    for (size_t i = 0; i < SEEN_SPANS; i++)
        span_drop(s, &s->spans[i]);
}

bool vmess_seen_has(const struct vmess_seen *s, const uint8_t key[SEEN_KEY], int64_t now)
{
    for (size_t i = 0; i < SEEN_SPANS; i++) {
        const struct seen_span *span = &s->spans[i];
        if (span->size && !span_expired(span, now) &&
            !sodium_is_zero(span_slot(s, span, key), SEEN_KEY))
            return true;
    }
    return false;
}

int vmess_seen_add(struct vmess_seen *s, const uint8_t key[SEEN_KEY], int64_t expiry, int64_t now)
{
    int64_t number = expiry / SEEN_SPAN;
    struct seen_span *span = &s->spans[number % SEEN_SPANS];
    drop_expired(s, now);
    if (s->count >= s->limit)
        drop_oldest(s);
    if (span->size && span->number != number) /* only after the clock was set back */
        span_drop(s, span);
    span->number = number;
    if (span->used >= span->size - span->size / 4 && span_grow(s, span) < 0)
        return -1;
    uint8_t *slot = span_slot(s, span, key);
    if (sodium_is_zero(slot, SEEN_KEY)) {
        memcpy(slot, key, SEEN_KEY);
        span->used++;
        s->count++;
    }
    return 0;
}
