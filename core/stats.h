/* core/stats.h -- counters. Each has a name and a slot; each loop holds its own value per slot, which it
 * alone writes; readers on any thread add up the loops. Values never decrease, except gauges.
 * The fixed counters are listed in stats.def; conf adds those of tags and users, under V2Ray's names
 * ("inbound>>>TAG>>>traffic>>>uplink").
 * Thread: one adds to a registry; all may read it meanwhile, for what is there stays where it is. */
#ifndef V2C_CORE_STATS_H
#define V2C_CORE_STATS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct counter {
    _Atomic int64_t value;
};

enum {
#define STAT(name, kind, help) STAT_##name,
#include "core/stats.def"
#undef STAT
    STAT_FIXED
};

enum {
    STATS_MAX = 1024 * 1024, /* slots of a process, those of former configurations included */
};

enum stat_kind { STAT_COUNTER, STAT_GAUGE };

struct stat_info {
    const char *name; /* owned by the registry */
    const char *help; /* NULL for those of tags and users */
    enum stat_kind kind;
};

struct stats {
    struct stat_info *info; /* STAT_FIXED first, then as added */
    _Atomic unsigned count;
};

/* With the slots that `before` had, so that they stay where they are; NULL: the fixed ones. -1: out of
 * memory. */
int stats_init(struct stats *s, const struct stats *before);
void stats_fini(struct stats *s);
/* The slot of a name, added when new; -1: out of memory, or STATS_MAX are there. */
int stats_slot(struct stats *s, const char *name);

/* Only on the loop that owns the counters. A slot of -1 counts nothing. */
static inline void stat_add(struct counter *counters, int slot, int64_t n)
{
    if (slot < 0)
        return;
    _Atomic int64_t *v = &counters[slot].value;
    atomic_store_explicit(v, atomic_load_explicit(v, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/* The same, of a gauge that only this loop has. */
static inline void stat_set(struct counter *counters, int slot, int64_t value)
{
    atomic_store_explicit(&counters[slot].value, value, memory_order_relaxed);
}

/* The sum over several loops. Any thread. */
int64_t stat_sum(struct counter *const counters[], unsigned loops, unsigned slot);

#endif
