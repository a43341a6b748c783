/* core/budget.h -- how much memory the bufs of all loops may take together: one for the process, shared.
 * Thread: any. Units: bytes. Errors: none; nobody is refused memory here. Who would queue more asks how
 * scarce it is and holds back: see memory in v2c.json(5). */
#ifndef V2C_CORE_BUDGET_H
#define V2C_CORE_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct budget {
    _Atomic size_t used;
    _Atomic size_t
        promised; /* what peers may send beyond what each may at least; half of the limit at most */
    size_t limit; /* 0: none */
};

/* n bytes more, or less. */
static inline void budget_add(struct budget *b, ptrdiff_t n)
{
    if (b)
        atomic_fetch_add_explicit(&b->used, (size_t)n, memory_order_relaxed);
}

/* False: too much is promised already. b may be NULL: no limit. */
static inline bool budget_promise(struct budget *b, size_t n)
{
    if (!b || !b->limit)
        return true;
    if (atomic_fetch_add_explicit(&b->promised, n, memory_order_relaxed) + n <= b->limit / 2)
        return true;
    atomic_fetch_sub_explicit(&b->promised, n, memory_order_relaxed);
    return false;
}

static inline void budget_release(struct budget *b, size_t n)
{
    if (b && b->limit)
        atomic_fetch_sub_explicit(&b->promised, n, memory_order_relaxed);
}

/* More than this many hundredths of the limit are in use. b may be NULL: no limit. */
static inline bool budget_above(const struct budget *b, unsigned percent)
{
    return b && b->limit &&
           atomic_load_explicit(&b->used, memory_order_relaxed) > b->limit / 100 * percent;
}

#endif
