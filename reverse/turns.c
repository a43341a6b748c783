#include "reverse/turns.h"

#include <stdlib.h>
#include <string.h>

void turns_init(struct turns *t)
{
    *t = (struct turns){0};
    pthread_mutex_init(&t->lock, NULL);
}

void turns_fini(struct turns *t)
{
    pthread_mutex_destroy(&t->lock);
    free(t->rows);
}

/* --- what there is --- */

void turns_begin(struct turns *t, unsigned loop)
{
    pthread_mutex_lock(&t->lock);
    for (unsigned i = 0; i < t->count; i++)
        t->rows[i].class_at[loop] = TURNS_NOWHERE;
}

/* Where it was before, most times; a search for each of thousands would take too long. */
static struct turns_row *row_of(struct turns *t, uint64_t bridge, unsigned was)
{
    if (was < t->count && t->rows[was].bridge == bridge)
        return &t->rows[was];
    for (unsigned i = 0; i < t->count; i++)
        if (t->rows[i].bridge == bridge)
            return &t->rows[i];
    return NULL;
}

/* NULL: out of memory. */
static struct turns_row *row_new(struct turns *t, uint64_t bridge)
{
    if (t->count == t->room) {
        unsigned room = t->room ? 2 * t->room : 2;
        struct turns_row *rows = realloc(t->rows, room * sizeof *rows);
        if (!rows)
            return NULL;
        t->rows = rows;
        t->room = room;
    }
    struct turns_row *row = &t->rows[t->count++];
    *row = (struct turns_row){.bridge = bridge};
    memset(row->class_at, TURNS_NOWHERE, sizeof row->class_at);
    return row;
}

void turns_have(struct turns *t, unsigned loop, uint64_t bridge, uint8_t class, uint8_t share,
                unsigned *at)
{
    struct turns_row *row = row_of(t, bridge, *at);
    if (!row)
        row = row_new(t, bridge);
    if (!row)
        return;
    *at = (unsigned)(row - t->rows);
    row->share = share ? share : 1;
    if (class < row->class_at[loop])
        row->class_at[loop] = class;
}

static uint8_t best_of(const struct turns_row *row)
{
    uint8_t best = TURNS_NOWHERE;
    for (unsigned i = 0; i < TURNS_LOOPS; i++)
        best = row->class_at[i] < best ? row->class_at[i] : best;
    return best;
}

void turns_end(struct turns *t)
{
    for (unsigned i = t->count; i-- > 0;)
        if (best_of(&t->rows[i]) == TURNS_NOWHERE)
            t->rows[i] = t->rows[--t->count];
    pthread_mutex_unlock(&t->lock);
}

/* --- choosing --- */

static uint8_t best_of_all(const struct turns *t)
{
    uint8_t best = TURNS_NOWHERE;
    for (unsigned i = 0; i < t->count; i++) {
        uint8_t class = best_of(&t->rows[i]);
        best = class < best ? class : best;
    }
    return best;
}

static bool chosen(const struct turns_row *row, uint8_t class, struct turn *next)
{
    if (!row)
        return false;
    *next = (struct turn){.bridge = row->bridge, .class = class};
    for (unsigned i = 0; i < TURNS_LOOPS; i++)
        next->loops |= (uint64_t)(row->class_at[i] == class) << i;
    return true;
}

/* Each gains its weight, and the first pays for all. */
bool turns_next(struct turns *t, struct turn *next)
{
    struct turns_row *first = NULL;
    int32_t sum = 0;
    pthread_mutex_lock(&t->lock);
    uint8_t class = best_of_all(t);
    for (unsigned i = 0; i < t->count; i++) {
        struct turns_row *row = &t->rows[i];
        if (best_of(row) != class) {
            row->turn = 0; /* it takes no part, and is owed nothing when it does again */
            continue;
        }
        row->turn += row->share;
        sum += row->share;
        if (!first || row->turn > first->turn)
            first = row;
    }
    if (first)
        first->turn -= sum;
    bool any = chosen(first, class, next);
    pthread_mutex_unlock(&t->lock);
    return any;
}

static uint64_t score_of(const struct turns_row *row, const struct addr *source,
                         const uint8_t key[crypto_shorthash_KEYBYTES])
{
    uint8_t bytes[sizeof row->bridge + sizeof source->ip] = {0};
    uint64_t score;
    memcpy(bytes, &row->bridge, sizeof row->bridge);
    memcpy(bytes + sizeof row->bridge, source->ip, addr_ip_len(source));
    crypto_shorthash((uint8_t *)&score, bytes, sizeof bytes, key);
    return score;
}

bool turns_by_source(struct turns *t, const struct addr *source,
                     const uint8_t key[crypto_shorthash_KEYBYTES], struct turn *next)
{
    const struct turns_row *best = NULL;
    uint64_t highest = 0;
    pthread_mutex_lock(&t->lock);
    uint8_t class = best_of_all(t);
    for (unsigned i = 0; i < t->count; i++) {
        uint64_t score = score_of(&t->rows[i], source, key);
        if (best_of(&t->rows[i]) != class || (best && score <= highest))
            continue;
        best = &t->rows[i];
        highest = score;
    }
    bool any = chosen(best, class, next);
    pthread_mutex_unlock(&t->lock);
    return any;
}
