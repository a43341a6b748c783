/* transport/ws.h -- WebSocket as a layer: a handshake, then every byte in binary frames. Nothing is put together:
 * payload passes straight through, in place when it is read, uncopied when a server writes it.
 * Thread: the stream's loop. Ownership: the configuration outlives its layers (transport/carriage.h).
 * Errors: a request that is not for us gets a 404 and no stream; what RFC 6455 forbids is answered with Close 1002
 * and ends the stream. The peer's Close is its end; its absence is a cut.
 * Wire: RFC 6455; early data as V2Ray 4.37 and Xray send it. */
#ifndef V2C_TRANSPORT_WS_H
#define V2C_TRANSPORT_WS_H

#include "transport/upgrade.h"

enum { WS_EARLY_MAX = 2048 }; /* bytes of early data that are sent */

struct ws_conf {
    struct upgrade_conf to;
    unsigned early_max;      /* bytes that may come with the request; 0: none */
    const char *early_field; /* the field in which they lie; NULL: behind the path */
    double heartbeat;        /* seconds without a byte written before a ping; 0: none */
};

/* As of upgrade.h. */
struct layer *ws_client_new(const struct ws_conf *c, const struct addr *to, bool tls);
struct layer *ws_server_new(const struct ws_conf *c);

#endif
