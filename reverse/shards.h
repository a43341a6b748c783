/* reverse/shards.h -- what the portals of one tag know of each other: there is one on each loop, with the
 * carriers that this loop accepted. What holds of all carriers of a portal that has one pool holds of those of
 * one tunnel where there are many: the pools of one tunnel on all loops are its shards, and those of a pool without
 * a name are the portal's.
 * Thread: a shard is written on its pool's loop, but who sends visitors there adds them to its load; loads
 * are read on any. Who joins, leaves or tells others holds the lock.
 * Ownership: made before the portals, freed after all loops have ended; crossings point to it. The shards of a
 * tunnel go with its last pool. */
#ifndef V2C_REVERSE_SHARDS_H
#define V2C_REVERSE_SHARDS_H

#include <stdatomic.h>

#include "core/loop.h"
#include "reverse/tunnels.h"
#include "reverse/turns.h"

struct portal;
struct pool;
struct claims;

/* How well a place suits a new stream: less is better. The class comes first, see carrier_load(). */
enum { LOAD_CLASS = 1 << 24, LOAD_NONE = 1 << 30 };

enum { CARRIERS_MAX = 4096 }; /* of one name */

struct shard {
    struct shards *all;
    struct pool *pool;       /* for its own loop only; NULL: none now */
    _Atomic unsigned load;   /* of its best carrier; from LOAD_NONE on: it has none */
    struct list_item called; /* in its place's list of that name */
};

struct shards {
    struct portal_shards *portal;
    struct tunnel_item item;
    struct tunnel_name name;
    unsigned pools;            /* that there are */
    _Atomic unsigned carriers; /* on all loops */
    _Atomic double gone_at;    /* when the last one went; loop_steady() */
    const char *holder;        /* the email of whom it belongs to, kept; NULL: nobody's */
    struct turns turns;        /* of portals that do not choose by load alone */
    struct shard at[];         /* by the loop's index */
};

/* The portal of one loop. */
struct portal_place {
    struct portal_shards *all;
    struct portal *portal;       /* for its own loop only; NULL: none now */
    _Atomic(struct loop *) loop; /* NULL: never had one */
    struct task came;            /* elsewhere a carrier came; posted to this loop */
    struct list called;          /* shards of this loop, whose pools shall look */
};

struct portal_shards {
    pthread_mutex_t lock;
    struct tunnels tunnels;    /* shards that have a name */
    struct shards *unnamed;    /* those of the portal's one pool */
    struct claims *claims;     /* hostnames that bridges hold */
    _Atomic unsigned carriers; /* of all pools by id, and of the one without a name */
    unsigned count;            /* of loops */
    struct portal_place at[];  /* by the loop's index */
};

/* On the portal's loop, at its beginning and end. */
struct portal_place *place_take(struct portal_shards *all, struct loop *l, struct portal *p);
void place_leave(struct portal_place *here);
/* The shard of a pool with this name (by TUNNEL_UNNAMED: of the one without) that begins on this loop. room: it
 * may be new when there are fewer names than this, however bridges are called by them. NULL: there is no such
 * tunnel, or no memory. */
struct shard *shard_join(struct portal_place *here, const struct tunnel_name *name, size_t room,
                         struct pool *p);
void shard_leave(struct shard *s); /* the pool ends */
/* A carrier came into the pool of this shard, or went. */
void shard_gain(struct shard *s);
void shard_lose(struct shard *s);
/* Some loop has a carrier, or had one in the last `seconds`. */
bool shard_is_known(const struct shard *s, double seconds);
/* On any loop: the same of a tunnel by its name, and how many carriers there are on all loops. */
unsigned shards_count(struct portal_shards *portal, const struct tunnel_name *name, double seconds,
                      bool *known);
/* It has as many carriers, on all loops, as one name may have: each visitor costs a look at all of them. */
bool shard_is_full(const struct shard *s);
/* The tunnel belongs to whom it belonged to, or to him. False: to another. */
bool shard_hold(struct shard *s, const char *email);

/* Says how well this shard's best carrier suits a new stream. */
void shard_publish(struct shard *s, unsigned load);
/* The one with a clearly better place than `load` here: it has a better class, or fewer streams. NULL: stay. */
struct shard *shard_better(const struct shard *s, unsigned load);
/* On any loop: one of them has a place that is better than this load. */
bool shards_have(const struct shards *all, unsigned load);
/* Where it is. NULL: nowhere any more. */
struct loop *shard_loop(const struct shard *s);
/* On any loop: a visitor goes there, and others shall know before it arrives. Forgotten at the next
 * shard_publish(). */
void shard_expect(struct shard *s);
/* The others look again whether their visitors still have to wait: pool_look() on their loops. */
void shard_tell_others(struct shard *s);

#endif
