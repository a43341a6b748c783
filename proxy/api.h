/* proxy/api.h -- the outbound that answers HTTP itself: a status page, counters, readiness.
 *   GET /         a plain status page           GET /metrics  Prometheus text
 *   GET /stats    "name: value" lines           GET /ready    200 when every bridge and portal has a carrier
 *   GET /live     200 while the loop turns
 * Thread: one instance per loop; reads counters of all loops. Read-only: only GET and HEAD. */
#ifndef V2C_PROXY_API_H
#define V2C_PROXY_API_H

#include "core/outbound.h"
#include "core/stats.h"

struct api_watch {    /* something that /ready and the status page look at */
    const char *kind; /* "bridge" or "portal" */
    const char *tag;
    int carriers_slot;
    int visitors_slot; /* -1: not counted, as for a bridge */
};

struct api_view { /* what all instances show; outlives them and their flows */
    const struct stats *stats;
    struct counter *const *counters; /* one array per loop */
    unsigned loops;
    const struct api_watch *watches;
    size_t watch_count;
    ev_tstamp started; /* wall clock */
};

/* NULL: out of memory. */
struct outbound *api_new(struct loop *l, const char *tag, const struct api_view *view);

#endif
