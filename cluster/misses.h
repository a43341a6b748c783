/* cluster/misses.h -- how many hostnames and tunnels that nobody has one visitor may have looked for: who tries out names
 * costs the registry and all peers a question each. 50 a second, 200 at once; of IPv6 addresses 64 bits count.
 * Thread: its loop. Units: seconds of loop_steady(). Bounded: addresses that share a place push each other out. */
#ifndef V2C_CLUSTER_MISSES_H
#define V2C_CLUSTER_MISSES_H

#include "core/addr.h"

struct misses;

struct misses *misses_new(void); /* NULL: out of memory */
void misses_free(struct misses *m);
/* One more, which counts. False: it has had too many. place: for misses_back(). */
bool misses_take(struct misses *m, const struct addr *source, double now, unsigned *place);
/* It was none: somebody holds the name. */
void misses_back(struct misses *m, unsigned place);

#endif
