/* transport/sockopt.h -- what the configuration says about sockets. Zero: as the system does, or as v2c would.
 * Thread: any. Errors: what the kernel refuses, with advice. */
#ifndef V2C_TRANSPORT_SOCKOPT_H
#define V2C_TRANSPORT_SOCKOPT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

struct sockopt_conf {
    uint32_t mark;          /* SO_MARK */
    int fast_open;          /* 0: not said; above: on, as many may wait on a listener; -1: off */
    int keepalive_idle;     /* seconds; 0: not said, below 0: no keep-alive */
    int keepalive_interval; /* the same */
    int user_timeout;       /* milliseconds; 0: not said */
    int max_seg;            /* bytes of a segment; 0: not said */
    int window_clamp;       /* bytes of the receive window; 0: not said */
    bool v6only;            /* a listener on every address is on those of IPv6 only */
    const char *congestion; /* NULL: not said */
    const char *interface;  /* NULL: any */
};

struct stream;

/* A socket that is about to connect (SOCK_STREAM or SOCK_DGRAM), or to listen. c may be NULL. -1 and e. */
int sockopt_dial(int fd, int socktype, const struct sockopt_conf *c, struct err *e);
int sockopt_listen(int fd, int socktype, const struct sockopt_conf *c, struct err *e);
/* What streams get by themselves (transport/stream.h) is replaced by what c says; c may be NULL. */
void sockopt_keep(struct stream *s, const struct sockopt_conf *c);

#endif
