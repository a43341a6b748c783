/* cluster/network.h -- where the configuration lets peers be.
 * Thread: any; pure. */
#ifndef V2C_CLUSTER_NETWORK_H
#define V2C_CLUSTER_NETWORK_H

#include "cluster/cluster.h"

/* Nobody may dial an address outside of "networks", where they are configured. A name may lead anywhere, so it is outside;
 * ADDR_NONE is not dialled at all, and passes. */
bool network_allows(const struct cluster_conf *conf, const struct addr *a);

#endif
