/* proxy/accept.h -- the driver of listening protocols: accepts, runs the codec's greeting under a deadline,
 * makes the flow and hands it to the dispatcher.
 * Thread: its loop. Those who have not authenticated are bounded: beyond, the oldest goes, so that a flood
 * of silent strangers does not keep out who greets at once. Failed greetings are swallowed, not answered. */
#ifndef V2C_PROXY_ACCEPT_H
#define V2C_PROXY_ACCEPT_H

#include "core/inbound.h"
#include "core/policy.h"
#include "proxy/conn.h"
#include "transport/listen.h"

struct accept_inbound {
    struct inbound in;
    struct listener *listeners; /* one per port */
    size_t listener_count;
    const struct policy *policy; /* of the greeting; of flows without a user */
    const struct traffic *traffic;
    /* A codec for a new connection; NULL: out of memory. When this is NULL there is no greeting and
     * every connection goes to `target`. */
    struct codec *(*new_codec)(struct accept_inbound *a);
    void (*greeting_failed)(struct accept_inbound *a, const struct codec *c); /* may be NULL */
    struct addr target;
    struct list greeting; /* who has not authenticated, the oldest first */
    unsigned greeting_count;
    struct log_limit complained;
};

struct listen_at {
    const struct addr *addr; /* its port is not looked at */
    uint16_t first_port, last_port;
    bool shared; /* with other loops of this process */
};

/* Opens the listeners. On failure nothing is left open. */
int accept_start(struct accept_inbound *a, const struct listen_at *at, struct err *e);
/* Closes the listeners and what has not authenticated; the flows live on. */
void accept_stop(struct accept_inbound *a);

#endif
