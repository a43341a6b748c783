/* transport/resolve.h -- names to addresses: what the configuration itself says, what is still known, then its DNS servers
 * in turn; without any, the system's files and servers.
 * Thread: its loop; nothing waits. Ownership: a query belongs to resolve.c until its answer or resolve_cancel().
 * A name that several ask for at once is looked up once. */
#ifndef V2C_TRANSPORT_RESOLVE_H
#define V2C_TRANSPORT_RESOLVE_H

#include "core/addr.h"
#include "core/loop.h"
#include "transport/dial.h"
#include "transport/dns.h"

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

struct flow;

/* How questions leave for servers that are asked by way of flows. */
struct resolve_way {
    /* Gives the flow its second end: by the rules, or straight to its target. */
    void (*open)(void *owner, struct flow *f, bool direct);
    void *owner;
};

/* Before anything is looked up; way outlives the loop. Without it servers that need it are not asked. */
int resolve_init(struct loop *l, const struct resolve_way *way, struct err *e);
/* From here on this holds; NULL: the system is asked. same: it says what the former one said, so what is known and asked
 * goes on; else that is forgotten, and names that somebody waits for are looked up again. */
void resolve_configure(struct loop *l, const struct dns_conf *conf, bool same);
/* At the loop's end: gives up all queries without calling anybody. */
void resolve_stop(struct loop *l);

#endif
