/* cluster/directory.h -- what a loop knows of where tunnels and hostnames are: a cache before the registry and the peers.
 * Fresh answers are used; stale ones too, while they are asked for anew; "nobody" is remembered for 3 s. One question per
 * key is under way at a time: the registry first, and peers when it is away or there is none.
 * Owners are never wrong: a stale answer costs one more try (REFUSED_NOT_HERE, then directory_wrong()).
 * Thread: its loop. Bounded: DIRECTORY_MAX keys, those not asked for the longest give way. Seconds of loop_steady(). */
#ifndef V2C_CLUSTER_DIRECTORY_H
#define V2C_CLUSTER_DIRECTORY_H

#include "cluster/question.h"

enum { DIRECTORY_MAX = 65536 };

/* Who is asked, in this order; false: not now. */
struct directory_source {
    bool (*ask)(void *with, struct question *q);
    void (*forget)(void *with, struct question *q);
    void *with;
};

struct directory;
struct loop;

/* told: more is known of this key, for those who got STEP_MORE. NULL: out of memory. */
struct directory *directory_new(struct loop *l, const struct directory_source *sources,
                                unsigned count,
                                void (*told)(void *with, const struct question_of *of), void *with);
void directory_free(struct directory *d);
/* STEP_DONE: *a holds. STEP_MORE: told() follows. STEP_FAIL: nobody can say now, or `who` has asked for too much that
 * nobody has (cluster/misses.h); NULL: whoever it is may ask. */
enum step directory_ask(struct directory *d, const struct question_of *of, const struct addr *who,
                        double now, struct answer *a);
/* The node says that the tunnel is not there in this life. */
void directory_wrong(struct directory *d, const struct question_of *of, const char *node,
                     uint64_t epoch);
/* There is somebody new: what nobody had until now he may have. */
void directory_doubt(struct directory *d, double now);
/* Said by a peer without being asked, or by whoever knows better. */
void directory_learn(struct directory *d, const struct question_of *of, const struct answer *a,
                     double now);

#endif
