/* proxy/blackhole.h -- the outbound that answers nothing, or a plain 403, and closes. */
#ifndef V2C_PROXY_BLACKHOLE_H
#define V2C_PROXY_BLACKHOLE_H

#include "core/outbound.h"

struct blackhole_conf {
    bool http; /* response.type "http" */
};

/* conf outlives it. NULL: out of memory. */
struct outbound *blackhole_new(struct loop *l, const char *tag, const struct blackhole_conf *conf);
/* The settings of another configuration that says the same: the former one may go. */
void blackhole_adopt(struct outbound *out, const struct blackhole_conf *conf);

#endif
