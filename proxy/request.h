/* proxy/request.h -- the driver of dialling protocols: looks up, connects, sends the codec's greeting and
 * moves bytes.
 * Thread: its loop. Ownership: frees itself when its flow ends. */
#ifndef V2C_PROXY_REQUEST_H
#define V2C_PROXY_REQUEST_H

#include "core/outbound.h"
#include "proxy/conn.h"
#include "transport/dial.h"

struct request_to {
    const struct addr *addr; /* used at once and not kept */
    const struct addr *from; /* sendThrough; outlives the flow */
    enum dial_family family;
    const struct traffic *traffic;
    bool carrier; /* it carries many flows */
};

/* Takes the flow's second end. Takes codec, which may be NULL. */
void request_open(struct outbound *out, struct flow *f, const struct request_to *to,
                  struct codec *codec);

#endif
