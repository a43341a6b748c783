/* conf/worker.h -- one worker: a loop with its own instance of everything that is configured.
 * Thread: where nothing else is said, the main thread while the worker's own does not run, else that one.
 * Ownership: the process outlives its workers, and whatever it lends them. */
#ifndef V2C_CONF_WORKER_H
#define V2C_CONF_WORKER_H

#include <semaphore.h>

#include "cluster/cluster.h"
#include "conf/dns_way.h"
#include "conf/plan.h"
#include "conf/retired.h"
#include "core/inbound.h"
#include "core/loop.h"
#include "core/outbound.h"
#include "proxy/api.h"
#include "routing/dispatch.h"

struct installation { /* what there is of one configuration */
    struct generation *generation;
    struct outbound **outbounds; /* as the rules number them */
    struct inbound **inbounds;   /* the configured ones */
    struct inbound **bridges;    /* NULL: it lives on other workers only */
    struct prober *prober;       /* NULL: nothing is observed, or another worker does it */
    struct api_watch *watches;
    size_t watch_count;
};

struct worker_shared { /* between the workers of a process */
    unsigned count;
    struct budget budget;
    struct counter **counters; /* one array for each */
    struct counter *bases;     /* by slot: what it was when somebody set it to 0 */
    double started;            /* wall clock */
    struct errand_taker *taker;
    uint64_t instance;              /* random: by which portals know what belongs to this process */
    struct cluster_shared *cluster; /* NULL: stands alone */
    _Atomic bool ends;              /* the process drains, or was asked to by the api */
};

struct worker {
    struct loop loop;
    pthread_t thread;
    struct worker_shared *shared;
    struct api_view view;
    struct dispatcher dispatcher;
    struct dispatcher closed;  /* of inbounds whose tag is gone: refuses all */
    struct dispatcher api_way; /* of the api's own socket: the api takes all */
    struct installation now, next;
    struct retirement retirement;
    struct dns_way dns;
    struct cluster *cluster; /* NULL: stands alone */

    struct task call; /* of worker_ask() */
    int (*asked)(struct worker *w, void *with);
    void *with;
    int answer;
    sem_t answered;

    double drained; /* since when, in loop_steady(); 0: it does not drain */
    ev_timer count;
    /* While it drains: how many are open, and then how many links; before the first count SIZE_MAX. */
    _Atomic size_t visitors;
    struct generation *parted; /* what worker_part() has cleared; flows may still show it */
};

/* Makes the loop, with nothing on it. */
int worker_init(struct worker *w, unsigned index, struct worker_shared *shared, struct err *e);

/* A change is first prepared, which may fail and changes nothing, and then made, or abandoned. */
int worker_prepare(struct worker *w, const struct plan *p, struct err *e);
void worker_change(struct worker *w, const struct plan *p);
void worker_abandon(struct worker *w, const struct plan *p);

/* Of a cluster: tells the other portals, and spread over a while the bridges, to do without this one. What comes is
 * still served. */
void worker_leave(struct worker *w);

/* Takes nothing new and tells peers so; from here on `visitors` says how many are open. */
void worker_drain(struct worker *w);

/* Drained, and without visitors: all instances go and links end in order, so that what is on its way there
 * arrives; from here on `visitors` says how many links have not yet ended. */
void worker_part(struct worker *w);

void worker_run(struct worker *w); /* on its thread, until worker_stop() */

/* From the main thread: calls f on the worker's. worker_answer() waits for it and says what f returned. */
void worker_ask(struct worker *w, int (*f)(struct worker *w, void *with), void *with);
int worker_answer(struct worker *w);
/* The thread ends; from the main thread. */
void worker_stop(struct worker *w);

/* After all threads have ended, or never began: first all workers are cleared, then settled until none has
 * anything to do, then freed. */
void worker_clear(struct worker *w);
bool worker_settle(struct worker *w);
void worker_fini(struct worker *w);

#endif
