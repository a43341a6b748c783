/* proxy/accept.h -- the driver of listening protocols: accepts, runs the codec's greeting under a deadline,
 * makes the flow and hands it to the dispatcher.
 * Thread: its loop. Those who have not authenticated are bounded: beyond, the oldest goes, so that a flood
 * of silent strangers does not keep out who greets at once. Failed greetings are swallowed, and answered only where
 * the protocol has an answer for them. */
#ifndef V2C_PROXY_ACCEPT_H
#define V2C_PROXY_ACCEPT_H

#include "core/inbound.h"
#include "core/policy.h"
#include "proxy/conn.h"
#include "transport/carriage.h"
#include "transport/listen.h"

struct accept_inbound {
    struct inbound in;
    struct listener *listeners; /* one per port; fd -1: closed */
    size_t listener_count;
    const struct policy *policy; /* of the greeting; of flows without a user */
    const struct traffic *traffic;
    /* A codec for a new connection; NULL: out of memory. When this is NULL there is no greeting and
     * every connection goes to `target`. */
    struct codec *(*new_codec)(struct accept_inbound *a);
    void (*greeting_failed)(struct accept_inbound *a, const struct codec *c); /* may be NULL */
    /* Puts on a connection, above the layers of its carriage (NULL: plain tcp), what looks at its first bytes. -1 and e.
     * NULL: nobody does. */
    int (*look)(struct accept_inbound *a, struct stream *s, const struct carriage *c,
                struct err *e);
    /* Gives the flow of who has greeted its second end. NULL: the dispatcher does. */
    void (*route)(struct accept_inbound *a, struct conn *c);
    struct addr target;
    bool follows; /* the kernel redirected the connection: the target is where it was going */
    struct tunnel_name tunnel; /* of a portal that has many, to which they go; unnamed: none */
    const struct user *user;   /* whom everybody is who can come here; NULL: nobody knows */
    bool spare; /* it may take the descriptors that are left to others than visitors */
    struct carriage *carriage;         /* NULL: plain tcp */
    const struct sniff_conf *sniffing; /* what its flows are looked at for; NULL: nothing. Kept */
    struct list greeting;              /* who has not authenticated, the oldest first */
    unsigned greeting_count;
    struct log_limit complained;
};

/* Room for listeners, all closed. -1: out of memory. */
int accept_init(struct accept_inbound *a, size_t ports);
/* Takes fd, a listening socket, for the i-th port. */
void accept_listen(struct accept_inbound *a, size_t i, int fd);
/* Stops listening on the i-th port and gives its socket away. */
int accept_release(struct accept_inbound *a, size_t i);
/* The settings of another configuration that says the same. Both outlive the flows. */
void accept_adopt(struct accept_inbound *a, const struct policy *policy,
                  const struct traffic *traffic);
/* Who is greeting another one goes on with this one, which is of the same kind. */
void accept_inherit(struct accept_inbound *a, struct accept_inbound *from);
/* Accepts who waits and closes the listeners; who has not authenticated may go on. */
void accept_drain(struct accept_inbound *a);
/* Closes the listeners and what has not authenticated; the flows live on. */
void accept_stop(struct accept_inbound *a);

bool accept_busy(const struct inbound *in); /* somebody is about to greet */

/* The driver of an inbound whose kind is known to have one. */
static inline struct accept_inbound *accept_of(struct inbound *in)
{
    return container_of(in, struct accept_inbound, in);
}

#endif
