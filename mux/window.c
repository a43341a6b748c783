#include "mux/window.h"

static const double FAST = 0.02; /* half a window in less: larger ones save messages */

enum {
    SCARCE = 50,   /* hundredths of the budget in use: windows grow no more, and shrink */
    SHARE_MAX = 8, /* one window is at most this part of the budget */
    FAST_MAX = 4 * 1024 * 1024, /* to save messages no window grows beyond this */
    QUEUE_MAX = 512 * 1024,     /* more waits for no reader that keeps up */
};

void window_open(struct window *w, double now)
{
    *w = (struct window){.granted = WINDOW_FIRST, .size = WINDOW_FIRST, .updated = now};
}

static bool window_may_grow(const struct window *w, struct budget *b)
{
    if (w->size > WINDOW_MAX / 2 || budget_above(b, SCARCE))
        return false;
    return !b || !b->limit || 2 * (size_t)w->size <= b->limit / SHARE_MAX;
}

/* Takes everything at once, and has done so for longer than sockets can take what nobody reads. */
static bool window_keeps_up(const struct window *w, uint64_t passed_on, size_t queued)
{
    return queued <= w->size / 4 && queued <= QUEUE_MAX && passed_on >= 2 * (uint64_t)w->size;
}

/* It was too small for the path, or used up in no time. */
static bool window_is_small(const struct window *w, double now)
{
    return w->wanted || (now - w->updated < FAST && w->size < FAST_MAX);
}

static void window_adapt(struct window *w, uint64_t passed_on, size_t queued, double now,
                         struct budget *b)
{
    if (window_keeps_up(w, passed_on, queued) && window_is_small(w, now) && window_may_grow(w, b) &&
        budget_promise(b, w->size)) {
        w->size *= 2;
    } else if (w->size > WINDOW_FIRST && queued > w->size / 4 && budget_above(b, SCARCE)) {
        w->size /= 2;
        budget_release(b, w->size);
    }
    w->wanted = false;
    w->updated = now;
}

static uint64_t window_due(const struct window *w, uint64_t passed_on)
{
    uint64_t wanted = passed_on + w->size;
    return wanted > w->granted ? wanted - w->granted : 0;
}

uint32_t window_update(struct window *w, uint64_t passed_on, size_t queued, double now,
                       struct budget *b)
{
    if (window_due(w, passed_on) < w->size / 2)
        return 0;
    window_adapt(w, passed_on, queued, now, b);
    uint64_t due = window_due(w, passed_on);
    uint32_t credit = due < UINT32_MAX ? (uint32_t)due : UINT32_MAX;
    w->granted += credit;
    return credit;
}

void window_close(struct window *w, struct budget *b)
{
    if (w->size > WINDOW_FIRST)
        budget_release(b, w->size - WINDOW_FIRST);
    w->size = 0;
}

void credit_open(struct credit *c, uint64_t first)
{
    *c = (struct credit){.limit = first};
}

void credit_begin(struct credit *c, uint32_t first)
{
    c->limit = first;
}

void credit_add(struct credit *c, uint32_t n)
{
    c->limit += c->limit <= UINT64_MAX - n ? n : 0;
    c->said_blocked = false;
}
