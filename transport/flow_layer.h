/* transport/flow_layer.h -- a flow in the place of a socket: so one outbound dials through another.
 * Thread: the flow's loop. Ownership: its stream's, as any layer; the end in it is the flow's first one.
 * Errors: why the flow failed is why the stream fails. */
#ifndef V2C_TRANSPORT_FLOW_LAYER_H
#define V2C_TRANSPORT_FLOW_LAYER_H

#include "core/flow.h"
#include "transport/layer.h"

/* Make it, make a flow with its end, put it on a stream that was opened with descriptor -1, and only then give
 * the flow its outbound. NULL: out of memory. */
struct layer *flow_layer_new(void);
struct end *flow_layer_end(struct layer *l);
extern const struct end_ops flow_layer_end_ops;

#endif
