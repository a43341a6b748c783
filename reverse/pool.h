/* reverse/pool.h -- inside reverse/ only: carriers that serve the same visitors, and the visitors that wait for
 * one. A portal has one pool or, when its domain is a pattern, one for each tunnel that it knows by id; and one for
 * each node and each cluster that bridges named. A carrier is in up to three.
 * Thread: the portal's loop; the pools of one name on all loops are shards (shards.h).
 * Ownership: the portal's. A pool with a name begins with its first carrier, or with a visitor of a tunnel that is
 * known, and ends when it has been without both for a minute. */
#ifndef V2C_REVERSE_POOL_H
#define V2C_REVERSE_POOL_H

#include "reverse/shards.h"

struct carrier;
struct flow;
struct meta;

struct pool {
    struct tunnel_item item; /* in the portal's pools; unnamed: in no table */
    struct portal *portal;
    struct shard *shard;
    struct list members, waiting; /* waiting: the first that came first */
    unsigned waiting_count;
    struct list_item idle; /* in the portal's list of those without carriers */
    double idle_since;
    struct task look;  /* for visitors that wait, once what a new carrier brought has been read */
    struct task weigh; /* says to the other loops how much the carriers have to carry now */
};

/* A carrier in a pool. */
struct member {
    struct list_item item;
    struct carrier *carrier;
    struct pool *pool; /* NULL: in none */
    uint64_t group;    /* carrier_group(), as of when `bridge` was chosen */
    uint8_t bridge;    /* its number below BRIDGES, the same for all links of one bridge */
    unsigned turn;     /* where the pool's turns have its bridge */
};

static const double TUNNEL_KNOWN = 60; /* seconds after its last carrier went */

/* The one with this name on this loop. room: of no tunnel that is known, it may be a new one when there are fewer
 * names than this. NULL: there is none, or no room. */
struct pool *pool_named(struct portal *p, const struct tunnel_name *name, size_t room);
/* Of whom a flow is to reach; NULL as above. */
struct pool *pool_of(struct portal *p, const struct flow *f);
/* The same where another portal may have the tunnel: he may wait here until that is known. */
struct pool *pool_of_asked(struct portal *p, const struct flow *f);
/* Some loop has a carrier of it, had one in the last minute, or the portal is so young that one may be on its way. */
bool pool_is_known(const struct pool *pool);
struct pool *pool_new(struct portal *p, const struct tunnel_name *name, size_t room);
/* It has no members, and nobody waits. */
void pool_free(struct pool *pool);
/* All those without carriers that nobody has asked for in a minute go. */
void pools_sweep(struct portal *p);

/* Of a portal, with a name or without; f may free the pool. */
void pools_each(struct portal *p, void (*f)(struct pool *pool, void *with), void *with);

void pool_join(struct pool *pool, struct member *m, struct carrier *c);
void pool_quit(struct member *m); /* does nothing to one that is in none */
/* On this loop and then on the others: there may be a place for those who wait. */
void pool_look_soon(struct pool *pool);
/* The carrier may suit new streams better or worse than before. */
void pool_weigh_soon(struct pool *pool);

/* --- choice.c: which carrier a visitor gets --- */

enum { BRIDGES = 64 }; /* that are told apart; more share numbers: the balance is less exact */
enum { BULKY_WEIGHT = 64 };

struct weighing {
    unsigned class; /* of the best carriers; LOAD_NONE: none takes a stream */
    unsigned
        load; /* ... and what the bridge carries here, for each part of its weight, that carries least */
    unsigned weights[BRIDGES]; /* what each bridge carries */
    struct carrier *lightest;  /* of the best class, of that bridge; NULL: none */
};

/* Looks at all carriers and publishes what there is. */
void pool_weigh(struct pool *pool, struct weighing *w);

/* What a portal chose that does not go by load alone: one of these two. */
struct place {
    struct carrier *carrier;
    struct shard *elsewhere; /* where a link of the bridge is, if not here */
    uint64_t bridge;
};

/* Chooses a bridge of any loop, after pool_weigh(). False: the load decides. */
bool pool_choose(struct pool *pool, const struct meta *visitor, struct place *place);
/* A carrier of the bridge that was chosen on another loop. NULL: it suits no more. */
struct carrier *pool_chosen(struct pool *pool, uint32_t mark, const struct weighing *w);

/* By which a visitor that crosses says what was chosen; never 0. */
static inline uint32_t bridge_mark(uint64_t bridge)
{
    uint32_t mark = (uint32_t)(bridge ^ bridge >> 32);
    return mark ? mark : 1;
}

/* --- visitors.c --- */

/* Visitors look for a place: a carrier came or may be used again. */
void pool_look(struct pool *pool);
/* Turns all away that wait. */
void pool_empty(struct pool *pool, const struct err *why);

#endif
