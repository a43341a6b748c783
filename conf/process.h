/* conf/process.h -- the running program: its workers, what signals do to it, and its end.
 * Thread: the main thread. */
#ifndef V2C_CONF_PROCESS_H
#define V2C_CONF_PROCESS_H

#include <signal.h>

#include "conf/control.h"
#include "conf/worker.h"

struct process {
    struct config_source source;   /* to be read again */
    struct generation *generation; /* that runs */
    struct worker_shared shared;
    struct portals portals;
    struct control control;
    struct worker *workers;
    unsigned made;    /* workers that are there */
    double looked;    /* when files were looked at; loop_steady() */
    sigset_t signals; /* that are waited for, and blocked in all threads */
};

/* Calls f on the loops of all workers, and waits for them. For what runs. */
void process_ask(struct process *p, int (*f)(struct worker *w, void *with), void *with);
/* Opens all sockets; nothing runs yet, and signals wait. Takes c, always. source outlives it. -1 and e: nothing is left. */
int process_start(struct process *p, struct config *c, const struct config_source *source,
                  struct err *e);
/* Runs until a signal ends it, and frees all. -1 and e: it could not run. */
int process_run(struct process *p, struct err *e);

#endif
