/* proxy/dokodemo.h -- the inbound that sends every visitor to one configured target, TCP and UDP. */
#ifndef V2C_PROXY_DOKODEMO_H
#define V2C_PROXY_DOKODEMO_H

#include "core/addr.h"
#include "core/inbound.h"
#include "core/policy.h"
#include "core/user.h"
#include "proxy/accept.h"

struct dokodemo_conf {
    struct addr target; /* port 0 is sent as it is, like V2Ray does */
    unsigned networks;  /* mask of enum net */
};

/* Listening already. NULL and e: nothing is left open. All pointers outlive it. */
struct inbound *dokodemo_new(struct loop *l, struct dispatcher *d, const char *tag,
                             const struct dokodemo_conf *conf, const struct listen_at *at,
                             const struct policy *policy, const struct traffic *traffic,
                             struct err *e);

#endif
