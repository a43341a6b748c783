#include "routing/route_table.h"

#include <pthread.h>
#include <stdlib.h>

struct route_table {
    pthread_mutex_t lock;
    struct routes *now;
    atomic_uint version; /* of `now`; 0: never */
};

struct route_table *route_table_new(struct routes *first)
{
    struct route_table *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    pthread_mutex_init(&t->lock, NULL);
    t->now = first;
    atomic_init(&t->version, 1);
    return t;
}

void route_table_free(struct route_table *t)
{
    if (!t)
        return;
    routes_unref(t->now);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

void route_table_set(struct route_table *t, struct routes *r)
{
    pthread_mutex_lock(&t->lock);
    struct routes *old = t->now;
    t->now = r;
    atomic_fetch_add_explicit(&t->version, 1, memory_order_release);
    pthread_mutex_unlock(&t->lock);
    routes_unref(old);
}

/* The lock is taken only when there is something new. */
const struct routes *route_reader_now(struct route_reader *r, struct route_table *t)
{
    if (atomic_load_explicit(&t->version, memory_order_acquire) == r->version)
        return r->routes;
    struct routes *old = r->routes;
    pthread_mutex_lock(&t->lock);
    r->routes = routes_ref(t->now);
    r->version = atomic_load_explicit(&t->version, memory_order_relaxed);
    pthread_mutex_unlock(&t->lock);
    routes_unref(old);
    return r->routes;
}

void route_reader_fini(struct route_reader *r)
{
    routes_unref(r->routes);
    *r = (struct route_reader){0};
}
