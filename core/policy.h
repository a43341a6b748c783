/* core/policy.h -- the limits of one policy level. Part of the immutable config; flows point to it.
 * Units: seconds and bytes. */
#ifndef V2C_CORE_POLICY_H
#define V2C_CORE_POLICY_H

#include <stddef.h>

struct policy {
    double handshake;     /* from accept to a complete request header */
    double conn_idle;     /* nothing moved in either direction */
    double uplink_only;   /* the same, once the target has ended its side */
    double downlink_only; /* the same, once the client has ended its side */
    size_t buffer_size;   /* of each pipe, per direction and flow */
};

#define POLICY_DEFAULT                                                                             \
    ((struct policy){.handshake = 60,                                                              \
                     .conn_idle = 300,                                                             \
                     .uplink_only = 300,                                                           \
                     .downlink_only = 300,                                                         \
                     .buffer_size = 512 * 1024})

#endif
