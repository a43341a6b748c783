/* reverse/carrier.h -- inside reverse/ only: a portal's carriers, each a link that a bridge dialled, and what
 * the portal's files share.
 * Thread: the portal's loop. Ownership: a carrier goes with its mux. */
#ifndef V2C_REVERSE_CARRIER_H
#define V2C_REVERSE_CARRIER_H

#include "core/log.h"
#include "core/outbound.h"
#include "mux/mux.h"
#include "reverse/claim.h"
#include "reverse/elsewhere.h"
#include "reverse/pool.h"
#include "reverse/portal.h"

struct portal {
    struct outbound out;
    const struct portal_conf *conf;
    struct elsewhere *elsewhere; /* other portals of its cluster; NULL: it stands alone */
    struct portal_place *place;
    char domain[ADDR_NAME_MAX + 1];  /* normal form */
    char control[ADDR_NAME_MAX + 1]; /* controlDomain, normal form; "" */
    struct list carriers;
    struct pool
        *pool; /* of visitors who name no tunnel; NULL: the domain is a pattern, they name one */
    struct tunnels pools; /* those that have a name */
    struct list idle;     /* pools without carriers, the first that has been so for longest */
    ev_timer sweep;       /* of these */
    struct list refusals; /* links that are told why they are not wanted */
    unsigned refusal_count;
    unsigned waiting_count; /* visitors in all pools */
    double began;           /* loop_steady() */
    double leaves_until;    /* the same: until then bridges are told to go */
    struct crowd_door door; /* for new links, in a cluster */
    bool going;             /* this side stops: bridges are told to go */
    bool stopping;          /* it is being freed: nobody finds a place any more */
    struct log_limit carrier_complaints, name_complaints, empty_complaints, stray_complaints,
        claim_complaints;
};

enum { PLACES = 3 }; /* in pools: by id or of the portal; by node; by cluster */

struct carrier {
    struct mux mux;
    struct portal *portal;
    struct list_item item;    /* in the portal's carriers */
    struct member in[PLACES]; /* the first in none: it was rejected */
    struct addr from;
    ev_timer beat;
    double doubted_at;       /* another link of its bridge fell silent then */
    size_t name;             /* index of the control name in use, see carrier_control_name() */
    uint64_t node;           /* of its name; 0: it has none */
    const char *tenant;      /* of its user; NULL: none */
    struct held_host *hosts; /* that its bridge may be reached by */
    unsigned host_count;
    uint8_t weight; /* LINK_WEIGHT_... */
    bool draining;
    bool is_late;         /* it came when its portal was going already */
    unsigned crowd_told;  /* what of its cluster was told last */
    double moves_again;   /* steady seconds: before that it is not asked to move */
    unsigned failures;    /* streams in a row that could not be opened */
    unsigned ejections;   /* in a row */
    double ejected_until; /* steady seconds */
    double full_until;    /* the same: it had no room for a stream */
};

/* From the best to the worst place for a new stream; the fewer streams the better within a class. */
enum {
    CLASS_FIRST, /* it takes over: LINK_WEIGHT_ALL */
    CLASS_GOOD,
    CLASS_STALLED,
    CLASS_EJECTED,
    CLASS_DRAINING,
    CLASS_UNWILLING, /* LINK_WEIGHT_NONE */
    CLASS_SILENT,
};

/* A carrier for a flow that is allowed to be one, in this pool; false: no memory, nothing happened. */
bool carrier_new(struct pool *pool, struct flow *f);
/* Whoever opens streams shall do it elsewhere, for this reason; what is open goes on. */
void carrier_drain(struct carrier *c, enum link_going reason);
/* Its portal goes: the same, at any time within these seconds. */
void carrier_drain_within(struct carrier *c, double seconds);
/* The same, and at once: the bridge is told why, and no visitor finds it any more. */
void carrier_reject(struct carrier *c, const char *what, const char *name);
/* Its ids or nonces run out. */
bool carrier_worn(const struct carrier *c);
/* How well it suits a new stream, leaving aside what it carries: shards.h. */
unsigned carrier_class(const struct carrier *c);
/* The same and what it carries; LOAD_NONE: it takes none. */
unsigned carrier_load(const struct carrier *c);
/* Its streams, of which a bulky one counts as BULKY_WEIGHT. */
unsigned carrier_weight(const struct carrier *c);
/* The same for all links of one node, or of one bridge that names none; an old one's link stands for itself. */
uint64_t carrier_group(const struct carrier *c);

/* names.c: what a bridge says of itself. */

void carrier_named(struct carrier *c, const struct link_names *names);
void carrier_wants_host(struct carrier *c, struct link_text name);
/* Other claims hold now: what they do not cover it loses, and if that is a name it is rejected. */
void carrier_judge_again(struct carrier *c);
/* What it holds is given back, as its end is near. */
void carrier_leave_hosts(struct carrier *c);

/* visitors.c */

void portal_visitor(struct portal *p, struct flow *f);
/* One whom another portal sent, with the pool of his tunnel. False: it has no carrier for him. */
bool pool_takes(struct pool *pool, struct flow *f);
/* A stream that was not opened; `seat` is its flow's second end. */
void portal_visitor_again(struct portal *p, struct end *seat);
/* The streams of a carrier that have no answer go elsewhere when there is a place of a better class. */
void carrier_rescue(struct carrier *from);
void portal_refuse(struct portal *p, struct flow *f, int stat, struct log_limit *limit,
                   const char *reason);
/* Whoever asked for more than his claims cover. */
void portal_audit(struct portal *p, const struct meta *who, const char *what, const char *name);

/* refusal.c: a link that is not wanted, whose bridge shall hear why. */

enum { REFUSALS_MAX = 256 }; /* at once, on a loop */

static const double REFUSED_WAIT = 10; /* seconds until who has no claim may come again */

/* False: too many are told just now, or there is no memory; nothing happened. wait: seconds until it may come again. */
bool refusal_new(struct portal *p, struct flow *f, const char *what, const char *name, double wait);
/* What the bridge hears. The name may be anybody's text. */
void refusal_say(struct mux *m, const char *what, const char *name, double wait);
void refusals_end(struct portal *p);

/* It began so lately that bridges may still be on their way: any tunnel may be one of theirs. */
static inline bool portal_is_young(const struct portal *p)
{
    return loop_steady() - p->began < 10;
}

#endif
