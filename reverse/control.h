/* reverse/control.h -- what a portal tells its bridges, and the names under which it does.
 * A message is protobuf: field 1 varint state (absent: ACTIVE), field 99 bytes, filler of random length.
 * It travels as one datagram each of a mux session to a control name, UDP, port 0; the bridge never answers.
 * Thread: any; pure. Source: docs/mux.md; V2Ray 4.34, v5 and Xray differ in the name only. */
#ifndef V2C_REVERSE_CONTROL_H
#define V2C_REVERSE_CONTROL_H

#include "core/addr.h"
#include "core/cursor.h"

enum control_state { CONTROL_ACTIVE = 0, CONTROL_DRAIN = 1 };

enum { CONTROL_MAX = 512, CONTROL_FILLER_MAX = 63 };

/* filler: up to CONTROL_FILLER_MAX random bytes. */
void control_write(struct writer *w, enum control_state s, const uint8_t *filler, size_t len);
/* False: not a message. Unknown fields are skipped. */
bool control_read(struct cursor in, enum control_state *s);

/* The names in the order in which a portal tries them; NULL behind the last. */
const char *control_name(size_t i);
/* name: normal form. */
bool control_is_name(const char *name);

#endif
