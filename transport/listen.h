/* transport/listen.h -- a listening TCP socket that hands out accepted descriptors.
 * Thread: its loop. Errors: a failed bind says which address and why. When descriptors run short it stops
 * accepting for a moment and leaves a reserve for carriers and the admin; it never spins. */
#ifndef V2C_TRANSPORT_LISTEN_H
#define V2C_TRANSPORT_LISTEN_H

#include "core/addr.h"
#include "core/log.h"
#include "core/loop.h"

struct listener;
typedef void listen_accepted(struct listener *ln, int fd, const struct addr *from);

struct listener {
    struct loop *loop;
    int fd, fd_max;
    listen_accepted
        *accepted; /* takes fd, which is non-blocking and prepared (transport/stream.h) */
    void *owner;
    ev_io io;
    ev_timer pause;
    struct log_limit complained;
};

/* at: type ADDR_NONE listens on every address, IPv4 and IPv6. shared: other loops of this process listen
 * on the same port; a second process never may. */
int listen_start(struct listener *ln, struct loop *l, const struct addr *at, bool shared,
                 listen_accepted *accepted, void *owner, struct err *e);
void listen_stop(struct listener *ln);
void listen_refuse(int fd); /* resets an accepted connection */

/* A bound socket of the given type, used by TCP and UDP listeners alike; -1 and e. */
int listen_bind(const struct addr *at, int socktype, bool shared, struct err *e);

#endif
