/* mux/window.h -- the window of one direction of a stream: how much may come (receiver), how much may be sent
 * (sender). Pure: bytes are counted since the stream began, the clock is given.
 * Thread: that of its stream. Units: bytes, seconds. Meaning: docs/link.md, Windows. */
#ifndef V2C_MUX_WINDOW_H
#define V2C_MUX_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "core/budget.h"

enum {
    WINDOW_FIRST = 128 * 1024,
    WINDOW_MAX = 16 * 1024 * 1024,
};

/* The receiver's. */
struct window {
    uint64_t granted; /* what may have come in all */
    uint32_t size;    /* what may come beyond what was passed on */
    bool wanted;      /* the sender said BLOCKED since the last update */
    double updated;
};

void window_open(struct window *w, double now);
/* passed_on: bytes that the reader has taken; queued: that wait for it. The bytes to grant now; 0: none are due.
 * Asked again whenever something came, and when `queued` has fallen to what window_awaits() says. */
uint32_t window_update(struct window *w, uint64_t passed_on, size_t queued, double now,
                       struct budget *b);
/* What it had been grown by is given back to the budget. */
void window_close(struct window *w, struct budget *b);

/* `came` bytes came in all. True: when no more than *low of them wait for the reader, a grant is due. */
static inline bool window_awaits(const struct window *w, uint64_t came, size_t *low)
{
    uint64_t due = w->granted - w->size / 2;
    *low = came >= due ? (size_t)(came - due) : 0;
    return came >= due;
}

/* The sender's. */
struct credit {
    uint64_t limit, sent;
    bool said_blocked; /* since the credit was used up */
};

#define CREDIT_NO_LIMIT UINT64_MAX /* as a first window: the peer has no windows */

void credit_open(struct credit *c, uint64_t first);
/* The peer's first window became known after the stream had begun. */
void credit_begin(struct credit *c, uint32_t first);
void credit_add(struct credit *c, uint32_t n);

static inline uint64_t credit_left(const struct credit *c)
{
    return c->limit > c->sent ? c->limit - c->sent : 0;
}

#endif
