/* proxy/announce.h -- a codec that tells the target whose connection it gets, in a PROXY header, and is then let go.
 * Thread: the loop of its connection. Source of the bytes: transport/proxy_in.h. */
#ifndef V2C_PROXY_ANNOUNCE_H
#define V2C_PROXY_ANNOUNCE_H

#include "proxy/codec.h"

/* version 1 or 2. source: of the client; ADDR_NONE: the header says that nobody knows. target: for the header, where the
 * connection has no address of its own. NULL: out of memory. */
struct codec *announce_new(int version, const struct addr *source, const struct addr *target);

#endif
