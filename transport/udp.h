/* transport/udp.h -- datagrams as ends of flows: a listening socket with one flow per source, and a
 * connected socket per flow.
 * Thread: its loop. Traffic pointers are never NULL and outlive listener and flows. A
 * datagram that does not fit is dropped and counted, never waited for. */
#ifndef V2C_TRANSPORT_UDP_H
#define V2C_TRANSPORT_UDP_H

#include "core/addr.h"
#include "core/flow.h"
#include "transport/dial.h"

struct carriage;
struct udp_listener;

/* A new source: make the flow with flow_new(.., end, udp_peer_ops, ..) and dispatch it. False: refused. */
typedef bool udp_arrived(void *owner, struct end *end, const struct addr *from);

extern const struct end_ops udp_peer_ops;

enum { UDP_SOURCES = 4096 }; /* of a socket that everybody may use */

/* Without a socket and an owner. Serves so many sources at once. NULL: out of memory. */
struct udp_listener *udp_listener_new(struct loop *l, unsigned sources);
/* Where new sources go from now on; those that there are stay where they are. */
void udp_listener_own(struct udp_listener *u, const struct traffic *traffic, udp_arrived *arrived,
                      void *owner);
/* Takes fd, which listen_open() opened. */
void udp_listener_start(struct udp_listener *u, int fd);
/* Where its socket is bound. */
void udp_listener_local(const struct udp_listener *u, struct addr *local);
/* Takes no new sources; the flows live on and keep the socket until the last has ended. */
void udp_listener_free(struct udp_listener *u);

struct udp_to {
    const struct addr *addr; /* used at once and not kept */
    const struct addr *from; /* sendThrough; outlives the flow */
    enum dial_family family;
    const struct traffic *traffic;
    struct carriage *carriage; /* for its sockopt; NULL: none */
};

/* Takes the flow's second end: a socket of its own. */
void udp_request_open(struct loop *l, struct flow *f, const struct udp_to *to);

#endif
