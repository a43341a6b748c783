/* reverse/mux_outbound.h -- the outbound behind the Mux.Cool name: an authenticated client's connection
 * that carries many requests, each of which is dispatched like a connection of its own.
 * Thread: one per loop. */
#ifndef V2C_REVERSE_MUX_OUTBOUND_H
#define V2C_REVERSE_MUX_OUTBOUND_H

#include "core/outbound.h"

struct dispatcher;

/* NULL: out of memory. Freeing ends its carriers. */
struct outbound *mux_outbound_new(struct loop *l, struct dispatcher *d);

#endif
