/* proxy/entry.h -- the ingress: one port for HTTP/1, WebSocket and TLS, to many tunnels. By its first bytes a connection
 * - is TLS for a name that is a tunnel's and none of our certificates': it is passed on as it is;
 * - is other TLS: it is ended here, and HTTP is inside;
 * - is anything else: it is HTTP, or is answered as if it were.
 * HTTP goes to the gateway (proxy/web.h), which asks here for the way of each request: the routes for its host, then the
 * hostnames that bridges of the portal, or of its cluster, hold, then the routes for any host. Nothing leads from here to a private tunnel.
 * A request that comes by TLS must be for a host of the certificate that was shown, and of the same tenant: else 421.
 * Thread: its loop. Ownership: as of any inbound; a conf is of a configuration, whose numbers of outbounds it has. One that
 * is not of the dispatcher's configuration leads nowhere.
 * Units: a visitor has ENTRY_GREETING seconds until it is known what he wants. */
#ifndef V2C_PROXY_ENTRY_H
#define V2C_PROXY_ENTRY_H

#include "proxy/accept.h"
#include "proxy/web.h"
#include "routing/guide.h"

enum { ENTRY_GREETING = 10 };

struct entry_conf {
    struct web_conf web;
    const struct guide_conf *guide;
    const struct rules *rules; /* of the same configuration */
};

/* Not listening yet. holders: of the guide's portal; copied. asker: of the guide; taken, also when it fails. NULL: out of
 * memory. All pointers outlive it; its carriage has tls where it has certificates. */
struct inbound *entry_new(struct loop *l, struct dispatcher *d, const char *tag,
                          const struct entry_conf *conf, const struct guide_holders *holders,
                          struct lookups_asker *asker, size_t ports, const struct policy *policy,
                          const struct traffic *traffic);
void entry_adopt(struct inbound *in, const struct entry_conf *conf,
                 const struct guide_holders *holders, const struct policy *policy,
                 const struct traffic *traffic);
/* Takes over who is with another one, if that is an ingress of the same tag: their next requests go by this one's routes. */
void entry_inherit(struct inbound *in, struct inbound *from);

#endif
