/* conf/instance.h -- what a worker makes of one object of the configuration, by its kind.
 * Thread: the worker's. */
#ifndef V2C_CONF_INSTANCE_H
#define V2C_CONF_INSTANCE_H

#include "conf/worker.h"

/* NULL: out of memory. */
struct outbound *outbound_make(struct worker *w, const struct generation *g, size_t i);
/* The settings of another configuration that says the same. */
void outbound_adopt(struct outbound *out, const struct config *c, const struct outbound_conf *o);
/* What it has of its configuration besides its protocol's settings: new ones, too. */
void outbound_settle(struct worker *w, struct outbound *out, const struct config *c, size_t i);

/* Not listening. NULL: out of memory. */
struct inbound *inbound_make(struct worker *w, const struct generation *g, size_t n);
/* Takes its sockets, or inherits them from the inbounds that there are now. */
void inbound_open(struct worker *w, struct inbound *in, const struct doors *d);
/* The settings of another configuration that says the same. */
void inbound_adopt(struct worker *w, struct inbound *in, const struct generation *g, size_t n);

/* The i-th bridge. NULL: it has nothing to do on this worker, or memory is out, which is logged. */
struct inbound *bridge_make(struct worker *w, const struct config *c, size_t i);
void bridge_renew(struct inbound *in, const struct config *c, size_t i);

#endif
