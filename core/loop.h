/* core/loop.h -- one worker's event loop and all that belongs to it alone.
 * Thread: everything here only from the loop's own thread, except loop_post() and reading counters.
 * A turn: libev calls what is due; then, before it polls again, the ready queue runs: ends whose
 * pipes changed. Ends of one carrier thus see all that a turn brought before the carrier writes. */
#ifndef V2C_CORE_LOOP_H
#define V2C_CORE_LOOP_H

#include <ev.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/err.h"
#include "core/list.h"
#include "core/stats.h"

/* Something to run on the loop: embedded in its owner, queued at most once. */
struct task {
    void (*run)(struct task *t);
    struct list_item queued;
};

/* Something that lives on the loop and in nothing else: dropped when the loop ends. */
struct straggler {
    void (*drop)(struct straggler *n);
    bool of_link; /* a carrier's last bytes are on their way: worth a moment before the loop ends */
    struct list_item item;
};

enum {
    LOOP_SCRATCH = 256 * 1024, /* bytes that one read from a carrier may bring */
    /* Priority, for libev, of what brings somebody new. What other sockets have is read before in each turn: so
     * nobody is put on a link whose end has come already. */
    LOOP_BEGINNERS = -1,
};

struct loop {
    struct ev_loop *ev;
    unsigned index;
    struct buf_pool bufs;
    uint8_t *scratch;         /* LOOP_SCRATCH bytes, valid within one callback */
    struct counter *counters; /* one per slot; written here, read anywhere */
    unsigned slots;
    uint32_t next_flow;
    struct list flows; /* all that live */
    size_t datagrams;  /* that wait in them */
    bool ends;         /* flows_abort() was called */
    uint32_t turn;     /* a number of its own for each */
    const void *bulk;  /* who reads much, and nobody else in between; only compared */
    unsigned bulk_run; /* reads of it in a row */
    struct list stragglers;
    struct splice_pool *splices; /* proxy/splice.c, made with the first bulk */
    struct dns_resolver *dns;    /* transport/resolve.c, made at the first look-up */
    double next_shake; /* transport/tls.c: when the next stranger may shake hands, loop_steady() */

    struct list ready;
    ev_prepare before_poll;
    ev_timer rest; /* gives memory back when nothing has moved for a while */
    ev_idle busy;  /* runs while the ready queue is not empty: the poll must not wait */

    pthread_mutex_t inbox_lock;
    struct list inbox;
    ev_async bell;
};

/* counters: an array of `slots`, owned by the loop; memory is taken only for those that count. */
int loop_init(struct loop *l, unsigned index, unsigned slots, struct err *e);
void loop_fini(struct loop *l);
void loop_run(struct loop *l);  /* until loop_stop() */
void loop_stop(struct loop *l); /* on the loop's own thread */

/* Queues a task for the end of this turn; once, however often it is called. */
void loop_ready(struct loop *l, struct task *t);
void loop_unready(struct task *t);
bool loop_is_busy(const struct loop *l); /* something is ready */
/* Runs what is ready until nothing is; for the end of a loop. */
void loop_settle(struct loop *l);
/* The same with what was posted. For the end of loops that post to each other, when all their threads have
 * ended: again for all, until none has anything. False: there was nothing. */
bool loop_finish(struct loop *l);
void loop_adopt(struct loop *l, struct straggler *n);
void loop_disown(struct straggler *n);
void loop_drop_stragglers(struct loop *l);
/* Memory for one counter for each slot: address space until they count. NULL: there is none. */
struct counter *counters_new(unsigned slots);
void counters_free(struct counter *counters, unsigned slots);
/* From any thread: the task runs on the loop, later. The task must stay valid until then;
 * posted again before, it runs once. */
void loop_post(struct loop *l, struct task *t);

/* Seconds of a clock that is never set, to measure how long something took. */
double loop_steady(void);

/* Wall clock, as of this turn; it may jump. */
static inline ev_tstamp loop_now(struct loop *l)
{
    return ev_now(l->ev);
}

#endif
