#include "core/health.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct health {
    _Atomic unsigned shares;
    _Atomic uint32_t delay;
    pthread_mutex_t lock; /* of the rest */
    double tried_at, alive_at;
    char error[HEALTH_ERROR_MAX];
};

struct health *health_new(void)
{
    struct health *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    atomic_init(&h->shares, 1);
    pthread_mutex_init(&h->lock, NULL);
    return h;
}

struct health *health_ref(struct health *h)
{
    atomic_fetch_add_explicit(&h->shares, 1, memory_order_relaxed);
    return h;
}

void health_unref(struct health *h)
{
    if (!h || atomic_fetch_sub_explicit(&h->shares, 1, memory_order_acq_rel) > 1)
        return;
    pthread_mutex_destroy(&h->lock);
    free(h);
}

static uint32_t microseconds(double delay)
{
    double us = delay * 1e6;
    if (us < 1)
        return 1;
    return us < HEALTH_DEAD - 1 ? (uint32_t)us : HEALTH_DEAD - 1;
}

void health_answered(struct health *h, double delay, double now)
{
    pthread_mutex_lock(&h->lock);
    h->tried_at = h->alive_at = now;
    h->error[0] = '\0';
    atomic_store(&h->delay, microseconds(delay));
    pthread_mutex_unlock(&h->lock);
}

void health_failed(struct health *h, const char *why, double now)
{
    pthread_mutex_lock(&h->lock);
    h->tried_at = now;
    snprintf(h->error, sizeof h->error, "%s", why);
    atomic_store(&h->delay, HEALTH_DEAD);
    pthread_mutex_unlock(&h->lock);
}

uint32_t health_delay(const struct health *h)
{
    return atomic_load_explicit(&h->delay, memory_order_relaxed);
}

void health_read(struct health *h, struct health_report *r)
{
    pthread_mutex_lock(&h->lock);
    uint32_t delay = health_delay(h);
    *r = (struct health_report){.known = delay != HEALTH_UNKNOWN,
                                .alive = delay != HEALTH_UNKNOWN && delay != HEALTH_DEAD,
                                .tried_at = h->tried_at,
                                .alive_at = h->alive_at};
    r->delay = r->alive ? delay / 1e6 : 0;
    snprintf(r->error, sizeof r->error, "%s", h->error);
    pthread_mutex_unlock(&h->lock);
}
