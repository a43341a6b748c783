/* testing/integrity/datagram.h -- datagrams that say whose they are; losing them is allowed, mixing them up is not.
 *     "v2cd" (4), direction (1), 0 (3), run (8), stream (8), number (8), sum (16): BLAKE2b of all else, then filler
 * Thread: one. Ownership: a client owns its sockets until datagram_client_fini(). */
#ifndef V2C_INTEGRITY_DATAGRAM_H
#define V2C_INTEGRITY_DATAGRAM_H

#include <netinet/in.h>

#include "testing/integrity/tally.h"

struct datagram_origin {
    int fd;
};

/* *port 0: the kernel chooses. */
bool datagram_origin_start(struct datagram_origin *o, uint16_t *port);
/* Sends back what is valid, as the other direction; counts what is not. */
void datagram_origin_read(struct datagram_origin *o, struct tally *t);

struct datagram_flow {
    int fd;
    uint64_t sent, got, last; /* last: highest number that came back, 0 for none */
    uint64_t seen;            /* bits: last, last - 1, ... */
};

struct datagram_client {
    struct datagram_flow *flows;
    size_t count, max_size;
    uint64_t run, random;
    struct sockaddr_in to;
    double next;
};

/* Every flow has a socket of its own and sends every 20 ms. */
bool datagram_client_start(struct datagram_client *c, size_t count, size_t max_size, uint16_t port,
                           uint64_t run, uint64_t seed);
/* Sends what is due, reads what came. */
void datagram_client_step(struct datagram_client *c, struct tally *t, double now, bool sending);
void datagram_client_fini(struct datagram_client *c, struct tally *t);

#endif
