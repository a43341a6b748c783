/* routing/seat.h -- the dispatcher's own second end of a flow whose way is not known yet: it looks at the
 * first bytes and takes none, or waits until a name was looked up; then it gives its place to the outbound.
 * So the bytes have never moved, and an outbound cannot tell that somebody sat there.
 * Thread: the flow's loop. Ownership: a seat is its own, and goes with its choice or with the flow.
 * Units: it waits for SEAT_SNIFF_MS milliseconds at most for first bytes, and for SEAT_LOOK_UP_MS for
 * addresses. When these do not come, the rules are asked with what is known.
 * Errors: out of memory, and the flow is refused. */
#ifndef V2C_ROUTING_SEAT_H
#define V2C_ROUTING_SEAT_H

#include "routing/dispatch.h"

enum { SEAT_SNIFF_MS = 200, SEAT_LOOK_UP_MS = 5000 };

/* On what the choice hangs that is not known yet. Costs nothing where nothing is sniffed or looked up. */
enum seat_need { SEAT_NONE, SEAT_SNIFFS, SEAT_LOOKS_UP };
enum seat_need seat_needed(const struct dispatcher *d, const struct query *q);
void seat_take(struct dispatcher *d, struct flow *f, enum seat_need need);

/* What a look-up found, see struct resolver; port 0. None: it failed. */
void seat_resolved(struct seat *s, const struct addr *ips, size_t count);

/* Who sits there and came by this inbound is now given away by another dispatcher. Tags are kept once: the
 * same text is the same pointer. */
void seats_move(struct dispatcher *from, struct dispatcher *to, const char *inbound_tag);

#endif
