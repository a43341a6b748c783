/* conf/explain_entry.h -- the part of `v2c explain` for an ingress: where a request leads, and TLS for its host.
 * Thread: one. Asks nobody: which hostnames bridges hold is not known, and no service is asked. */
#ifndef V2C_CONF_EXPLAIN_ENTRY_H
#define V2C_CONF_EXPLAIN_ENTRY_H

#include "conf/config.h"

void explain_entry(const struct config *c, const struct inbound_conf *in,
                   const struct route_asked *asked, FILE *out);

#endif
