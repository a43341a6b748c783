/* reverse/shards.h -- what the portals of one tag know of each other: there is one on each loop, with the
 * carriers that this loop accepted.
 * Thread: a portal's own entry is written on its loop, but who sends visitors there adds them to its load;
 * loads are read on any. Ownership: made before the portals, freed after all loops have ended; crossings
 * point to it. */
#ifndef V2C_REVERSE_SHARDS_H
#define V2C_REVERSE_SHARDS_H

#include "core/loop.h"

struct portal;

/* How well a place suits a new stream: less is better. The class comes first, see carrier_load(). */
enum { LOAD_CLASS = 1 << 24, LOAD_NONE = 1 << 30 };

struct shard {
    struct portal_shards *all;
    struct portal *portal;       /* for its own loop only; NULL: none now */
    _Atomic(struct loop *) loop; /* NULL: never had one */
    _Atomic unsigned load;       /* of its best carrier; from LOAD_NONE on: it has none */
    struct task came;            /* elsewhere a carrier came; posted to this loop */
};

struct portal_shards {
    unsigned count;
    struct shard at[]; /* by the loop's index */
};

/* On the portal's loop, at its beginning and end. */
struct shard *shard_join(struct portal_shards *all, struct loop *l, struct portal *p);
void shard_leave(struct shard *s);
/* Says how well this shard's best carrier suits a new stream. */
void shard_publish(struct shard *s, unsigned load);
/* The one with a clearly better place than `load` here: it has a better class, or fewer streams. NULL: stay. */
struct shard *shard_better(const struct shard *s, unsigned load);
/* On any loop: one of them has a place that is better than this load. */
bool shards_have(const struct portal_shards *all, unsigned load);
/* On any loop: a visitor goes there, and others shall know before it arrives. Forgotten at the next
 * shard_publish(). */
void shard_expect(struct shard *s);
/* The others look again whether their visitors still have to wait: portal_look() on their loops. */
void shard_tell_others(struct shard *s);

#endif
