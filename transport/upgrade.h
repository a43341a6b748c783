/* transport/upgrade.h -- httpupgrade: an HTTP/1.1 request to upgrade to "websocket" and its answer, then bytes as they
 * are. The request and the checks of it are also those of ws.
 * Thread: the stream's loop. Ownership: the configuration outlives its layers (transport/carriage.h).
 * Errors: a request that is not for us gets a 404 and no stream.
 * Wire: as V2Ray 5 and Xray do it; RFC 9110, section 7.8. */
#ifndef V2C_TRANSPORT_UPGRADE_H
#define V2C_TRANSPORT_UPGRADE_H

#include "transport/forwarded.h"
#include "transport/handshake.h"

struct upgrade_field {
    const char *name, *value;
};

struct upgrade_conf {
    const char *path; /* with "/", and perhaps with a query, which servers ignore */
    const char *host; /* asked for, or demanded; NULL: the address, or any */
    const struct upgrade_field *fields; /* more of a request */
    size_t field_count;
    struct trusted trusted; /* whose X-Forwarded-For is believed */
};

/* to: for Host; outlives the layer. tls: what lies below, for the port that needs no mention. NULL: out of memory. */
struct layer *upgrade_client_new(const struct upgrade_conf *c, const struct addr *to, bool tls);
struct layer *upgrade_server_new(const struct upgrade_conf *c);

/* --- for ws, too --- */

/* The request but for its last fields and the blank line; `more` follows the path. False: out of memory. */
bool upgrade_ask(struct handshake *h, const struct upgrade_conf *c, const struct addr *to, bool tls,
                 const char *more);
/* What follows our path in the request's, before any query; its length in *len. NULL: it is not for us, or asks for
 * nothing of this kind. */
const char *upgrade_asked(const struct head *h, const struct upgrade_conf *c, size_t *len);
/* The answer agrees. -1 and e. */
int upgrade_agreed(const struct head *h, struct err *e);
/* Believes X-Forwarded-For, if the peer may say so. */
void upgrade_find_source(struct layer *l, const struct head *h, const struct trusted *t);

#endif
