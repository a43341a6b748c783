/* cluster/who_has.h -- asks the peers that are linked, all at once, and joins what they say. The first answer that knows is
 * given at once for hosts; for tunnels those that came within 150 ms.
 * Thread: its loop. Bounded: 2000 questions a second, 256 under way. */
#ifndef V2C_CLUSTER_WHO_HAS_H
#define V2C_CLUSTER_WHO_HAS_H

#include "cluster/question.h"

struct cluster;

/* False: no peer is linked, or there are too many questions. */
bool who_has_ask(struct cluster *c, struct question *q);
void who_has_forget(struct cluster *c, struct question *q);

#endif
