/* proxy/api.h -- the outbound that answers HTTP itself. Pages are made here, of counters:
 *   GET /         a plain status page           GET /metrics  Prometheus text
 *   GET /stats    "name: value" lines           GET /ready    200 when every bridge and portal has a carrier, and v2c
 *                                                             neither starts nor ends
 *   GET /live     200 while the loop turns      GET /readyz, /livez: the same
 * What is below /v1/ is JSON and concerns all loops: it is guarded (api_guard.h) and sent as an errand.
 * Thread: one instance per loop; reads counters of all loops.
 * Bounds: 16 connections a loop, of which the one that has been quiet longest goes when another comes; 5 s
 * from a connection or an answer to the next whole request; bodies of 64 KiB, answers of 1 MiB. */
#ifndef V2C_PROXY_API_H
#define V2C_PROXY_API_H

#include "core/outbound.h"
#include "core/stats.h"
#include "core/user.h"
#include "proxy/errand.h"

struct api_conf {             /* of the configuration; immutable */
    const char *token;        /* "": there is none; secret */
    const char *const *hosts; /* names by which it may be reached */
    size_t host_count;
};

struct api_watch {    /* something that /ready and the status page look at */
    const char *kind; /* "bridge" or "portal" */
    const char *tag;
    int carriers_slot;
    int visitors_slot; /* -1: not counted, as for a bridge */
    bool elsewhere;    /* other portals serve as well: /ready does not wait for it */
};

struct api_view { /* what all instances show; outlives them and their flows */
    const struct stats *stats;
    struct counter *const *counters; /* one array per loop */
    const struct counter
        *bases; /* by slot: what was counted when somebody set it to 0; NULL: nobody may */
    unsigned loops;
    const struct api_watch *watches;
    size_t watch_count;
    ev_tstamp started; /* wall clock */
    const struct api_conf *conf;
    struct errand_taker *taker; /* NULL: nobody takes errands */
    /* What it does instead of being ready ("starts"); NULL: nothing. Any thread. May be NULL. */
    const char *(*unready)(void *with);
    void *with;
};

/* Flows of this user come from a socket that only our own user may open; those with this tag from a socket
 * that is the api's. Compared by their addresses. */
extern const struct user api_owner;
extern const char api_listen_tag[];
extern const char api_version[];   /* the program's */
extern const char api_text_type[]; /* of pages that are text */

/* NULL: out of memory. */
struct outbound *api_new(struct loop *l, const char *tag, const struct api_view *view);

#endif
