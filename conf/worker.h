/* conf/worker.h -- one worker: a loop with its own instance of everything that is configured.
 * Thread: worker_start() on the main thread, before the loop runs; then the worker's own thread.
 * Ownership: the config and the view outlive all workers. */
#ifndef V2C_CONF_WORKER_H
#define V2C_CONF_WORKER_H

#include "conf/config.h"
#include "core/inbound.h"
#include "core/loop.h"
#include "core/outbound.h"
#include "proxy/api.h"
#include "routing/dispatch.h"

struct worker {
    struct loop loop;
    pthread_t thread;
    const struct config *config;
    const struct api_view *view;
    unsigned count; /* of workers */
    struct portal_shards **shards; /* by outbound; shared by all workers; NULL where it is no portal */
    struct dispatcher dispatcher;
    struct outbound **outbounds;
    struct inbound **inbounds; /* the configured ones, then the bridges */
    size_t inbound_count;
    struct task stop;
};

/* Makes the loop and its outbounds. */
int worker_init(struct worker *w, unsigned index, unsigned count, const struct config *c,
                struct portal_shards **shards, const struct api_view *view, struct err *e);
/* What the portals of all workers share. NULL: out of memory. */
struct portal_shards **worker_shards_new(const struct config *c, unsigned workers);
void worker_shards_free(struct portal_shards **shards, const struct config *c);
/* Opens its listeners and lets its bridges dial. */
int worker_listen(struct worker *w, struct err *e);
void worker_run(struct worker *w);  /* on its thread, until worker_stop() */
void worker_stop(struct worker *w); /* from any thread, once */
void worker_fini(struct worker *w); /* after its thread has ended, or never began */

#endif
