/* testing/integrity/origin.h -- the origin: reads what each stream says of itself and does it.
 * Prints one line with its ports when it listens, and its tally when SIGTERM comes. Thread: one. */
#ifndef V2C_INTEGRITY_ORIGIN_H
#define V2C_INTEGRITY_ORIGIN_H

#include <stdint.h>

struct origin_conf {
    uint16_t port, udp_port; /* 0: the kernel chooses; after a restart, the same again */
    double patience;         /* seconds without a byte, then a stream is given up */
    const char *trace;
};

int origin_run(const struct origin_conf *c);

#endif
