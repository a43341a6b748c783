#include "core/stats.h"

#include <stdlib.h>
#include <string.h>

static const struct stat_info fixed[] = {
#define STAT(name, kind, help) {#name, help, kind},
#include "core/stats.def"
#undef STAT
};

/* What is added has no help text and no declared kind: traffic only grows, all else goes up and down. */
static enum stat_kind stat_kind_of(const char *name)
{
    return strstr(name, ">>>traffic>>>") ? STAT_COUNTER : STAT_GAUGE;
}

static int stats_grow(struct stats *s)
{
    if (s->count < s->room)
        return 0;
    unsigned room = s->count * 2 + 16;
    struct stat_info *info = realloc(s->info, room * sizeof *info);
    if (!info)
        return -1;
    s->info = info;
    s->room = room;
    return 0;
}

static int stats_add(struct stats *s, const char *name)
{
    if (s->count >= STATS_MAX || stats_grow(s) < 0)
        return -1;
    char *own = strdup(name);
    if (!own)
        return -1;
    s->info[s->count] = (struct stat_info){.name = own, .kind = stat_kind_of(name)};
    return (int)s->count++;
}

int stats_init(struct stats *s, const struct stats *before)
{
    *s = (struct stats){.info = malloc(sizeof fixed), .count = STAT_FIXED, .room = STAT_FIXED};
    if (!s->info) {
        s->count = s->room = 0;
        return -1;
    }
    memcpy(s->info, fixed, sizeof fixed);
    for (unsigned i = STAT_FIXED; before && i < before->count; i++)
        if (stats_add(s, before->info[i].name) < 0) {
            stats_fini(s);
            return -1;
        }
    return 0;
}

void stats_fini(struct stats *s)
{
    for (unsigned i = STAT_FIXED; i < s->count; i++)
        free((char *)s->info[i].name);
    free(s->info);
    *s = (struct stats){0};
}

int stats_slot(struct stats *s, const char *name)
{
    for (unsigned i = 0; i < s->count; i++)
        if (strcmp(s->info[i].name, name) == 0)
            return (int)i;
    return stats_add(s, name);
}

int64_t stat_sum(struct counter *const counters[], unsigned loops, unsigned slot)
{
    int64_t sum = 0;
    for (unsigned i = 0; i < loops; i++)
        sum += atomic_load_explicit(&counters[i][slot].value, memory_order_relaxed);
    return sum;
}
