/* reverse/carrier.h -- inside reverse/ only: a portal's carriers, each a link that a bridge dialled, and what
 * the portal's files share.
 * Thread: the portal's loop. Ownership: a carrier goes with its mux. */
#ifndef V2C_REVERSE_CARRIER_H
#define V2C_REVERSE_CARRIER_H

#include "core/log.h"
#include "core/outbound.h"
#include "mux/mux.h"
#include "reverse/portal.h"
#include "reverse/shards.h"

struct portal {
    struct outbound out;
    const struct portal_conf *conf;
    struct shard *shard;
    char domain[ADDR_NAME_MAX + 1];  /* normal form */
    char control[ADDR_NAME_MAX + 1]; /* controlDomain, normal form; "" */
    struct list carriers, waiting;   /* waiting: the first that came first */
    unsigned waiting_count;
    struct task look;  /* for visitors that wait, once what a new carrier brought has been read */
    struct task weigh; /* says to the other loops how much the carriers have to carry now */
    bool going;        /* this side stops: bridges are told to go */
    bool stopping;     /* it is being freed: nobody finds a place any more */
    struct log_limit carrier_complaints, name_complaints, empty_complaints, stray_complaints;
};

struct carrier {
    struct mux mux;
    struct portal *portal;
    struct list_item item; /* in the portal's carriers */
    struct addr from;
    ev_timer beat;
    uint64_t instance; /* of its bridge, once that is known; 0: it has not said it */
    double doubted_at; /* another link of its bridge fell silent then */
    unsigned bridge;   /* its number below BRIDGES, the same for all links that say they are its */
    size_t name;       /* index of the control name in use, see carrier_control_name() */
    bool draining;
    unsigned failures;    /* streams in a row that could not be opened */
    unsigned ejections;   /* in a row */
    double ejected_until; /* steady seconds */
    double full_until;    /* the same: it had no room for a stream */
};

/* From the best to the worst place for a new stream; the fewer streams the better within a class. */
enum { CLASS_GOOD, CLASS_STALLED, CLASS_EJECTED, CLASS_DRAINING, CLASS_SILENT };

/* A carrier for a flow that is allowed to be one; false: no memory, nothing happened. */
bool carrier_new(struct portal *p, struct flow *f);
/* Whoever opens streams shall do it elsewhere, for this reason; what is open goes on. */
void carrier_drain(struct carrier *c, enum link_going reason);
/* Its ids or nonces run out. */
bool carrier_worn(const struct carrier *c);
/* How well it suits a new stream, leaving aside what it carries: shards.h. */
unsigned carrier_class(const struct carrier *c);
/* The same and what it carries; LOAD_NONE: it takes none. */
unsigned carrier_load(const struct carrier *c);

enum { BRIDGES = 64 }; /* that are told apart; more share numbers: the balance is less exact */
enum { BULKY_WEIGHT = 64 };
/* Its streams, of which a bulky one counts as BULKY_WEIGHT. */
unsigned carrier_weight(const struct carrier *c);

/* visitors.c */

/* The best carrier of this loop; how well it suits: its class, and what its bridge carries here. NULL: there is
 * none. */
struct carrier *portal_pick(struct portal *p, unsigned *load);
/* Visitors look for a place: a carrier came or may be used again. */
void portal_look(struct portal *p);
void portal_visitor(struct portal *p, struct flow *f);
/* A stream that was not opened; `seat` is its flow's second end. */
void portal_visitor_again(struct portal *p, struct end *seat);
/* The streams of a carrier that have no answer go elsewhere when there is a place of a better class. */
void portal_rescue(struct portal *p, struct carrier *from);
/* Turns all away that wait. */
void portal_empty(struct portal *p, const struct err *why);
void portal_refuse(struct portal *p, struct flow *f, int stat, struct log_limit *limit,
                   const char *reason);

#endif
