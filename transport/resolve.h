/* transport/resolve.h -- names to addresses, by c-ares on the loop: /etc/hosts, then the servers of
 * resolv.conf.
 * Thread: its loop. Ownership: a query belongs to resolve.c until its answer or resolve_cancel(). */
#ifndef V2C_TRANSPORT_RESOLVE_H
#define V2C_TRANSPORT_RESOLVE_H

#include "core/addr.h"
#include "core/loop.h"
#include "transport/dial.h"

enum { RESOLVE_MAX = 16 }; /* addresses that are kept of an answer */

struct resolve_answer {
    struct addr addrs[RESOLVE_MAX]; /* port 0; in the order in which to try them */
    size_t count;                   /* 0: failed, see why */
    struct err why;
};

struct resolve_query;
typedef void resolve_done(void *owner, const struct resolve_answer *a);

/* done is called later, from the loop, unless cancelled. NULL: out of memory or no resolver. */
struct resolve_query *resolve_start(struct loop *l, const char *name, enum dial_family family,
                                    resolve_done *done, void *owner);
void resolve_cancel(struct resolve_query *q);
/* At the loop's end: gives up all queries without calling anybody. */
void resolve_stop(struct loop *l);

#endif
