/* reverse/muxed.h -- an outbound with mux: what it is given become streams on a few connections of another outbound, all
 * to the Mux.Cool name of its server. A bridge's link has a connection of its own: it carries streams already.
 * Thread: its loop. Wire format: docs/mux.md; between v2c peers docs/link.md, without the visitor's address. */
#ifndef V2C_REVERSE_MUXED_H
#define V2C_REVERSE_MUXED_H

#include "core/outbound.h"

enum {
    MUXED_STREAMS_MAX = 1024,
    MUXED_STREAMS = 8
}; /* at once on one connection: at most; by default */

/* Takes inner. policy: of the connections; outlives their flows. NULL: out of memory, and inner is still the caller's.
 * Freeing ends its connections, and their streams. */
struct outbound *muxed_new(struct outbound *inner, unsigned streams, const struct policy *policy);
struct outbound *muxed_inner(struct outbound *out);
void muxed_adopt(struct outbound *out, const struct policy *policy);

#endif
