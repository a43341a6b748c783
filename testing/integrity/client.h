/* testing/integrity/client.h -- the visitor: opens streams, checks every byte of the answers, prints its tally.
 * Thread: one. Times in seconds, sizes in bytes. */
#ifndef V2C_INTEGRITY_CLIENT_H
#define V2C_INTEGRITY_CLIENT_H

#include <stddef.h>
#include <stdint.h>

enum { PORTS_MAX = 16 };

struct client_conf {
    uint16_t ports[PORTS_MAX]; /* streams go to them in turn */
    size_t port_count;
    uint16_t udp_port; /* 0: no datagrams */
    size_t udp_flows, udp_size;
    size_t streams;                    /* at once */
    uint64_t total;                    /* streams in all; 0: as many as there is time for */
    double seconds;                    /* of opening streams */
    double grace;                      /* then, for those that are open */
    double patience;                   /* without a byte, then a stream is given up */
    double retry;                      /* before a place is used again after a failure */
    double stall;                      /* how long a slow reader stops */
    double ramp;                       /* over which the first streams are opened */
    double interval;                   /* of the rounds of paced streams; 0: none are paced */
    uint64_t round;                    /* bytes a round */
    uint64_t min, max;                 /* sizes of a body */
    unsigned shapes;                   /* of enum shape: those that may be chosen */
    unsigned slow, cut, abort, silent; /* percent of the streams */
    uint64_t seed;
    const char *trace;
};

int client_run(const struct client_conf *c);

#endif
