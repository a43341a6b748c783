/* conf/clustered.h -- a process's part in a cluster: made when it starts, before its portals, and the same until it ends.
 * Thread: the main thread while no loop runs; worker_join() and what follows on the worker's.
 * Errors: a port that is not free, memory. */
#ifndef V2C_CONF_CLUSTERED_H
#define V2C_CONF_CLUSTERED_H

#include "conf/process.h"

/* Without "cluster" nothing. -1 and e: clustered_free() is still wanted. */
int clustered_start(struct process *p, struct err *e);
void clustered_free(struct process *p); /* after its workers */
/* Says to the others that this node goes, and to its bridges, spread over a while; all that comes is still served.
 * Seconds for which that goes on; 0: it is not in a cluster, or is alone there. */
double clustered_leave(struct process *p);

/* Of the api: worker_shared that does not serve yet, or no more. Any thread. */
const char *clustered_unready(void *shared);

/* The portals of this worker that begin, or go. */
void worker_join(struct worker *w, struct outbound *portal);
void worker_unjoin(struct worker *w, struct outbound *portal);

#endif
