/* reverse/way.h -- inside reverse/ only: a bridge's way to one portal, and the links that it keeps there.
 * Thread: the bridge's loop. Units: seconds. Ownership: part of its bridge; a link goes with its mux. */
#ifndef V2C_REVERSE_WAY_H
#define V2C_REVERSE_WAY_H

#include "core/inbound.h"
#include "core/log.h"
#include "mux/mux.h"
#include "reverse/origin.h"
#include "reverse/reverse.h"

enum { BY_RULES = -1 };

struct way {
    struct bridge *bridge;
    long outbound;      /* as the rules number it; BY_RULES */
    const char *led_to; /* the outbound that the last link took, kept; NULL: none yet */
    struct list links;
    unsigned link_count;
    ev_timer redial;
    ev_timer trim;
    ev_tstamp dialled;    /* when it last did */
    ev_tstamp down_since; /* since when dialling has failed, or no link takes streams; 0: neither */
    ev_tstamp shaky_since; /* the same, until a link has lasted */
    ev_tstamp not_before;  /* the portal asked for this */
    ev_tstamp complained;
    unsigned unanswered; /* links in a row that connected and came to nothing, DOUBLINGS at most */
    unsigned surplus;    /* looks in a row at which there were more links than are needed */
    unsigned scattering; /* links dialled in vain to find another worker of the portal */
    /* What portals of a cluster said (roam.c): */
    unsigned wanted;      /* portals on which links should lie; 0: nothing was said */
    double spread;        /* within which a link that broke is replaced */
    ev_tstamp returns_at; /* when one will be */
    unsigned roamed;      /* links that came up in vain, when one more portal was wanted */
    ev_timer roam;        /* until the next try */
    double pause;         /* ... which takes so long */
    uint8_t *hosts; /* what the portal said of each of the bridge's: link_host_answer; 0: nothing */
    ev_tstamp refused;           /* when its refusal was logged last */
    char any[LINK_HOST_MAX + 1]; /* the name that the portal has chosen; "": none yet */
    bool met_old;                /* the portal knows nothing of names, and that was logged */
};

struct bridge {
    struct inbound in;
    const struct bridge_conf *conf;
    const struct policy *policy;
    char domain[ADDR_NAME_MAX + 1]; /* normal form */
    unsigned share;                 /* links to keep on each way */
    uint64_t instance;              /* by which portals know that links belong together */
    struct way *ways;
    size_t way_count;
    uint8_t *hosts; /* the ways' */
    struct origin origin;
    struct log_limit refused;
    bool stopping;
};

struct link {
    struct mux mux;
    struct way *way;
    struct list_item item; /* in the way's links */
    ev_timer answer;
    double up_since;
    uint64_t node; /* a number for the portal's name in its cluster; 0: not told */
    double waits;  /* seconds for the answer; 0: it shows later how far away the portal is */
    bool late;     /* these are over */
    bool up;       /* the portal has spoken */
    bool draining; /* no new streams are wanted here; another link takes its place */
    bool moves;    /* the same, if that comes to another portal */
    bool given_up; /* the bridge itself wants no more streams here */
    bool refused;  /* the portal does not want it, and said why */
    bool had_control;
};

void way_init(struct way *y, struct bridge *b, long outbound);
/* After every change: dials when links are missing or crowded. */
void way_check(struct way *y);
/* A link is up: soon what its portal says of itself will have been read, and more links may be needed. */
void way_came(struct way *y);
/* No link more; the portal is told that no stream should be opened on those that are open. */
void way_drain(struct way *y);
/* No link more; those that are open end. */
void way_stop(struct way *y);
/* Tells the portal that no stream should be opened on this link any more. */
void link_drain(struct link *k);
/* Drops a link that is one too many because its portal has another. */
void way_thin(struct way *y);
/* link.c: a new link, which dials. False: no memory. */
bool link_new(struct way *y);

/* It counts among the bridge's carriers, or does so no more. */
void link_count(const struct link *k, int n);

/* link_names.c: what a link says right behind its HELLO; ... */
void link_introduce(struct link *k);
/* ... of struct mux_ops; ... */
void link_met(struct mux *m);
void link_host_answered(struct mux *m, struct link_text name, int answer);
void link_told_why(struct mux *m, struct link_text why);
/* ... how many visitors the bridge wants now, which changes with its server. */
uint8_t bridge_weight(const struct bridge *b);
void bridge_say_weight(struct origin *o);

/* roam.c: the portals of a cluster. */
void link_node_told(struct mux *m, const struct link_node *n); /* of struct mux_ops */
void link_moves(struct link *k);                               /* its portal asks for it */
void way_stay(struct way *y);                                  /* what should move stays */
void way_roam_init(struct way *y);
/* One portal more is wanted, and it is worth a link more. */
bool way_roams(const struct way *y);
/* A link is up: a try, unless it turns out that it lies well. */
void way_tried(struct way *y);
/* If it is not worth it now: later. */
void way_roam_later(struct way *y);
/* A link broke: many bridges may have lost one. */
void way_lost_one(struct way *y);
unsigned bridge_nodes(const struct bridge *b); /* portals on which links lie, as far as they said */
bool link_is_double(const struct link *k);     /* another one of the way lies on the same portal */
bool link_is_spare(const struct link *k);      /* without it there are portals enough */

/* It counts for what the way can take. */
static inline bool link_usable(const struct link *k)
{
    return !k->draining && !k->moves && !k->mux.silent;
}

static inline struct link *link_of(struct mux *m)
{
    return container_of(m, struct link, mux);
}

static inline struct link *link_at(struct list_item *i)
{
    return container_of(i, struct link, item);
}

#endif
