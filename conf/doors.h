/* conf/doors.h -- the sockets of one configured inbound for all loops: opened before anything changes, then
 * taken by each loop. A port that an inbound before it has is inherited there instead.
 * Thread: the main thread; each loop takes only its own. Ownership: what nobody took is closed. */
#ifndef V2C_CONF_DOORS_H
#define V2C_CONF_DOORS_H

#include "conf/config.h"

enum { DOOR_NEW = -1 };

struct door {          /* one port of one network */
    int *fds;          /* one for each loop, -1 once it is taken; NULL: inherited */
    ptrdiff_t heir_of; /* that inbound's index, or DOOR_NEW; ... */
    size_t heir_port;  /* ... which of its ports */
};

struct doors {
    size_t ports;
    struct door *tcp, *udp; /* one for each port; NULL: not this network */
    unsigned loops;
};

/* All closed. -1: out of memory. */
int doors_init(struct doors *d, const struct inbound_conf *in, unsigned loops);
/* The ports that `in` and `old` have in common are not opened. */
void doors_inherit(struct doors *d, const struct inbound_conf *in, const struct inbound_conf *old,
                   ptrdiff_t old_index);
/* Opens the others. -1 and e: a port is not free. */
int doors_open(struct doors *d, const struct inbound_conf *in, struct err *e);
int door_take(struct door *d, unsigned loop);
void doors_fini(struct doors *d);

#endif
