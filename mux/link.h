/* mux/link.h -- what two v2c peers tell each other, in KeepAlive frames that every V2Ray reads and drops:
 *   magic "v2c1", then items: type(1) length(2) value
 * A peer that said HELLO understands half-close and datagrams above 2048 bytes. Unknown items are skipped.
 * Thread: any; pure. Format: docs/link.md. */
#ifndef V2C_MUX_LINK_H
#define V2C_MUX_LINK_H

#include "core/cursor.h"
#include "core/err.h"

enum { LINK_MAX = 512 }; /* bytes of one message */

enum link_item { LINK_HELLO = 1 };

enum { LINK_VERSION = 1 };

struct link_hello {
    uint8_t version;
    uint16_t datagram_max; /* the largest datagram that this side takes */
};

void link_hello_write(struct writer *w, const struct link_hello *h);
/* True: the message is ours and holds a HELLO. Never fails: what is not ours is ignored. */
bool link_hello_read(struct cursor in, struct link_hello *h);

#endif
