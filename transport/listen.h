/* transport/listen.h -- the sockets on which others reach us, and a listener that hands out what its TCP
 * socket accepts.
 * Thread: sockets are opened by any, a listener lives on its loop. Errors: a failed bind says which address
 * and why. When descriptors run short it stops
 * accepting for a moment and leaves a reserve for carriers and the admin; it never spins. */
#ifndef V2C_TRANSPORT_LISTEN_H
#define V2C_TRANSPORT_LISTEN_H

#include "core/addr.h"
#include "core/log.h"
#include "core/loop.h"

struct listener;
struct sockopt_conf;
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

/* One socket for each of `count` loops, all on the same port, which no other process has or gets: TCP
 * (SOCK_STREAM, listening) or UDP (SOCK_DGRAM). at: type ADDR_NONE is every address, IPv4 and IPv6.
 * -1 and e: none is open. */
int listen_open(const struct addr *at, int socktype, int fds[], unsigned count, struct err *e);
/* The same with what is said of the sockets; both may be NULL. mode: of a unix socket's file; -1: as umask says. A file
 * that is left of a process which is gone is replaced. All loops have the one socket of a unix address. */
struct listen_conf {
    const struct sockopt_conf *sockopt;
    int mode;
};
int listen_open_as(const struct addr *at, int socktype, const struct listen_conf *conf, int fds[],
                   unsigned count, struct err *e);
/* Those that are not -1; sets -1. With the first one goes the file of a unix socket. */
void listen_close(int fds[], unsigned count);

/* Takes fd. */
void listen_start(struct listener *ln, struct loop *l, int fd, listen_accepted *accepted,
                  void *owner);
/* Stops; the caller has the socket, and with it who waits there. */
int listen_release(struct listener *ln);
/* Accepts who waits, then stops. */
void listen_drain(struct listener *ln);
void listen_stop(struct listener *ln);
/* Where an accepted connection was going before iptables or nftables redirected it to us. False: it was not
 * redirected; `to` stays. */
bool listen_redirected(int fd, struct addr *to);
void listen_refuse(int fd); /* resets an accepted connection */

#endif
