/* conf/control.h -- what concerns all workers and is asked by one: the api's errands below /v1/.
 * Thread: errands are taken on any loop; all else is the main thread's, which is woken by a signal, asks each
 * loop in turn or at once, and sends the answer back. So no two changes, and no reload, run at the same time.
 * Ownership: an errand is control's until it has been sent back, which it is, whatever happens. */
#ifndef V2C_CONF_CONTROL_H
#define V2C_CONF_CONTROL_H

#include <pthread.h>
#include <stdbool.h>

#include "conf/arena.h"
#include "conf/report.h"
#include "core/list.h"
#include "proxy/errand.h"

struct process;
struct worker;

struct control {
    struct errand_taker taker;
    pthread_mutex_t lock;
    struct list waiting;
    bool open;
    pthread_t main;
};

void control_init(struct control *c);
/* By which the main thread is woken; it has it blocked, and waits for it. */
int control_signal(void);
/* From here on errands are taken, and control_signal() comes to this thread. */
void control_open(struct control *c);
/* Answers all that wait. */
void control_serve(struct process *p);
/* Sends all back that wait, unserved, and takes none any more. For when no loop runs by itself any more. */
void control_close(struct control *c);

/* --- for those who answer --- */

/* {"error": why} */
void control_refuse(struct errand *e, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* {"NAME": value} */
void control_say(struct errand *e, const char *name, const char *value);

/* What each worker has to say, as items of a JSON array, joined and bounded. */
struct gathering {
    const struct errand *errand;
    /* On the worker's loop. */
    void (*say)(struct worker *w, struct gathering *g, struct page *p);
    struct page *pages; /* one for each worker */
    size_t share;       /* bytes of each */
    size_t *totals;     /* items that each had, also those that were left out */
};

/* Adds [...] to the page; how many items there were. */
size_t control_gather(struct process *p, struct gathering *g, struct page *to);
/* Ends an item that began at this length: it stays, or goes when it does not fit. */
void gathering_end_item(struct gathering *g, const struct worker *w, struct page *p, size_t from);

/* An errand's body, a JSON object, and what is wrong with it: read it with conf/field.h. */
struct control_body {
    struct report report;
    struct arena *arena;
    struct source *source;
    const struct node *at; /* NULL: it is no object, which has been reported */
};

void control_body_open(struct control_body *b, const struct errand *e);
/* Wipes it. False: there were errors, and the errand is refused with them. */
bool control_body_close(struct control_body *b, struct errand *e);

/* A number of the query; "" is the usual one. False: it is none from 0 to the most. */
bool control_number(const char *text, uint32_t usual, uint32_t most, uint32_t *n);

/* control_tunnels.c: members "tunnels", the first of them, and "tunnelCount". */
void control_say_tunnels(struct process *p, struct page *to);
void control_tunnels(struct process *p, struct errand *e);

/* control_cluster.c: member "cluster", unless this process stands alone. */
void control_say_cluster(struct process *p, struct page *to);
void control_cluster(struct process *p, struct errand *e);

/* control_status.c, control_flows.c, control_users.c, control_balancers.c */
void control_status(struct process *p, struct errand *e);
void control_stats(struct process *p, struct errand *e);
void control_stats_page(struct process *p, struct errand *e);
void control_stats_reset(struct process *p, struct errand *e);
void control_flows(struct process *p, struct errand *e);
void control_flow_end(struct process *p, struct errand *e);
void control_users(struct process *p, struct errand *e);
void control_user_add(struct process *p, struct errand *e);
void control_user_remove(struct process *p, struct errand *e);
void control_balancers(struct process *p, struct errand *e);
void control_observatory(struct process *p, struct errand *e);
void control_override(struct process *p, struct errand *e);
void control_override_end(struct process *p, struct errand *e);

#endif
