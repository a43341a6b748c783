/* core/cross.h -- one flow across two loops: the flow here, its twin there, and between them a crossing:
 * the flow's second end, the twin's first end, and two bounded queues under one lock.
 * What is said on one side is heard on the other: bytes and datagrams, the end of one way, that the
 * target was reached, a failure with its text, that an end left. Each flow lives and dies on its own
 * loop. The twin is neither counted nor logged: it is the flow a second time, with its id.
 * Thread: the functions on the flow's loop, on_twin() on loop `to`. Both loops outlive the crossing.
 * Units: bytes. Each way holds 128 KiB and one buf, and so does the pipe behind it, or 64 datagrams: more
 * are dropped and counted on the loop that they came from. Bufs change their loop; only what is small is
 * copied, to share one.
 * Ownership: the crossing is its own and ends with the later of its two flows; arg is the caller's, and
 * valid until on_twin() was called or loop `to` ended.
 * Errors: memory, at the beginning; later what ends one flow ends the other.
 * Who owns the loops ends them in this order, when all their threads have ended:
 *   1. the flows of each, with flows_abort() and loop_settle(): from then on no twin begins there;
 *   2. what they posted to each other, with loop_finish() for all until none has anything left;
 *   3. and only then any of them, with loop_fini(). */
#ifndef V2C_CORE_CROSS_H
#define V2C_CORE_CROSS_H

#include "core/flow.h"

/* The twin's first end is the crossing; gives it the second: flow_join(), flow_refuse() or an outbound.
 * Called once, later than cross_flow(); never when the flow failed, or loop `to` ended, before. */
typedef void cross_open(void *arg, struct flow *twin);

/* The crossing becomes f's second end. False: out of memory, nothing happened. */
bool cross_flow(struct flow *f, struct loop *to, cross_open *on_twin, void *arg);
/* The same where `seat` is the second end: the crossing takes its place and all that waits. */
bool cross_take_over(struct end *seat, struct loop *to, cross_open *on_twin, void *arg);

#endif
