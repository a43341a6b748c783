/* proxy/api_guard.h -- who may ask what: pages in a browser, other users of the machine and names that were
 * bound to its address (DNS rebinding) must not reach what only the operator may.
 * Thread: any. Pure. A token is compared in constant time. */
#ifndef V2C_PROXY_API_GUARD_H
#define V2C_PROXY_API_GUARD_H

#include "proxy/api.h"
#include "proxy/http1.h"

struct api_guarded {
    const struct http1_head *head;
    const uint8_t *data; /* of the head */
    const struct api_conf *conf;
    bool owner; /* the kernel says who it is: no token is needed */
};

/* Each answers 0, or the HTTP status of a refusal and why. */

/* The Host is an address, "localhost" or a configured name. */
int api_guard_host(const struct api_guarded *g, const char **why);
/* A request below /v1/. open: reading it needs no token. */
int api_guard(const struct api_guarded *g, bool open, const char **why);

#endif
