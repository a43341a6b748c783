/* proxy/socks_association.h -- UDP ASSOCIATE: datagrams of one client, each with its target in front, and one flow for
 * each target. It is the second end of the TCP connection's flow and lives as long as that.
 * The client sends from the address of its connection and from one port, the first it uses; nobody else is heard, and
 * answers go nowhere else. A socket of its own, so that the kernel hands everything to the loop of the connection.
 * Thread: its loop. Ownership: frees itself; its host outlives it or lets it go. */
#ifndef V2C_PROXY_SOCKS_ASSOCIATION_H
#define V2C_PROXY_SOCKS_ASSOCIATION_H

#include "core/flow.h"

struct accept_inbound;

/* Who has associations. */
struct socks_host {
    struct accept_inbound *inbound; /* where their flows come from */
    struct list associations;
    unsigned count;
    bool going; /* an association ends with the last of its targets */
};

/* Takes the second end of the client's flow, or refuses it. local: where the client has reached us; told: what he
 * hears instead, unless ADDR_NONE. */
void socks_associate(struct socks_host *host, struct flow *f, const struct addr *local,
                     const struct addr *told);
/* They end with the last of their targets. */
void socks_host_drain(struct socks_host *host);
/* The same, and no new target is reached. */
void socks_host_leave(struct socks_host *host);

#endif
