#include "core/stats.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

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

/* Address space, not memory: what is added never moves what is there. */
static struct stat_info *info_new(void)
{
    void *mem = mmap(NULL, STATS_MAX * sizeof(struct stat_info), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return mem == MAP_FAILED ? NULL : mem;
}

static int stats_add(struct stats *s, const char *name)
{
    char *own = s->count < STATS_MAX ? strdup(name) : NULL;
    if (!own)
        return -1;
    s->info[s->count] = (struct stat_info){.name = own, .kind = stat_kind_of(name)};
    return (int)s->count++; /* from here on others see it */
}

int stats_init(struct stats *s, const struct stats *before)
{
    *s = (struct stats){.info = info_new()};
    if (!s->info)
        return -1;
    memcpy(s->info, fixed, sizeof fixed);
    s->count = STAT_FIXED;
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
    if (s->info)
        munmap(s->info, STATS_MAX * sizeof *s->info);
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
