/* proxy/blackhole.h -- the outbound that answers nothing, or a plain 403, and closes. */
#ifndef V2C_PROXY_BLACKHOLE_H
#define V2C_PROXY_BLACKHOLE_H

#include <stdbool.h>

struct blackhole_conf {
    bool http; /* response.type "http" */
};

#endif
