/* transport/sockopt.h -- what the configuration says about sockets. Zero: as the system does, or as v2c would.
 * Thread: any. */
#ifndef V2C_TRANSPORT_SOCKOPT_H
#define V2C_TRANSPORT_SOCKOPT_H

#include <stdbool.h>
#include <stdint.h>

struct sockopt_conf {
    uint32_t mark;          /* SO_MARK */
    int fast_open;          /* 0: not said, 1: on, -1: off */
    int keepalive_idle;     /* seconds; 0: not said, below 0: no keep-alive */
    int keepalive_interval; /* the same */
    int user_timeout;       /* milliseconds; 0: not said */
    const char *congestion; /* NULL: not said */
    const char *interface;  /* NULL: any */
};

#endif
