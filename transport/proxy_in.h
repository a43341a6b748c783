/* transport/proxy_in.h -- the PROXY protocol, by which a proxy tells whose connection it passes on: the header
 * read and written, and the layer that reads it first on an accepted stream.
 * Thread: any; the layer its stream's loop. Errors: a header is required where it is expected, so anything else
 * ends the connection.
 * Wire: "The PROXY protocol", versions 1 and 2 (HAProxy's doc/proxy-protocol.txt). */
#ifndef V2C_TRANSPORT_PROXY_IN_H
#define V2C_TRANSPORT_PROXY_IN_H

#include "core/addr.h"
#include "transport/layer.h"

enum {
    PROXY_HEADER_MAX = 232, /* of those that we write; and what is read without its TLVs */
};

struct proxy_header {
    bool told; /* else it is the proxy's own connection, or of a kind that has no IP address */
    struct addr source; /* these only when it was told */
    struct addr dest;
    uint16_t skip; /* bytes of TLVs that follow and mean nothing to us */
};

/* version 1 or 2. Both addresses with their ports; where source is no IP, the header says that nobody knows; a
 * dest that is none becomes the unspecified address. Returns the length. */
size_t proxy_header_write(uint8_t out[PROXY_HEADER_MAX], int version, const struct addr *source,
                          const struct addr *dest);
/* DONE: `in` stands behind the addresses, and h->skip bytes follow. */
enum step proxy_header_read(struct cursor *in, struct proxy_header *h, struct err *e);

/* NULL: out of memory. Lies directly on the socket. */
struct layer *proxy_in_new(void);

#endif
