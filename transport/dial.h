/* transport/dial.h -- from an address to a connecting socket: look up, choose the family, connect.
 * Thread: its loop. Ownership: embedded in its user, who calls dial_stop() before he goes.
 * Errors: given to done(). With one address to dial, connect(2) may still be under way when done() gets the socket. Of
 * several, the first one that connects is given (transport/race.h). */
#ifndef V2C_TRANSPORT_DIAL_H
#define V2C_TRANSPORT_DIAL_H

#include "core/addr.h"
#include "core/err.h"

/* Which addresses of a name may be dialled. AS_IS: whatever the system prefers. */
enum dial_family { DIAL_AS_IS, DIAL_ANY, DIAL_IPV4, DIAL_IPV6 };

struct loop;
struct race;
struct resolve_query;
struct sockopt_conf;

/* fd >= 0: non-blocking, close-on-exec, prepared; taken by the callee. -1: see why. */
typedef void dial_done(void *owner, int fd, const struct err *why);

struct dial {
    struct loop *loop;
    int socktype; /* SOCK_STREAM or SOCK_DGRAM */
    uint16_t port;
    const struct addr *from;            /* sendThrough; NULL or ADDR_NONE: the system chooses */
    const struct sockopt_conf *sockopt; /* NULL: nothing is said */
    dial_done *done;
    void *owner;
    struct resolve_query *query;
    struct race *race; /* between several addresses; owned */
    struct addr tried; /* the last one, for messages */
};

/* Set loop, socktype, from, done and owner before. done() may be called before this returns. */
void dial_start(struct dial *d, const struct addr *to, enum dial_family family);
void dial_stop(struct dial *d);

#endif
