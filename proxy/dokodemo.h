/* proxy/dokodemo.h -- the inbound that sends every visitor to one configured target. */
#ifndef V2C_PROXY_DOKODEMO_H
#define V2C_PROXY_DOKODEMO_H

#include "core/addr.h"

struct dokodemo_conf {
    struct addr target; /* port 0: as configured, V2Ray sends it as is */
    unsigned networks;  /* mask of enum net */
};

#endif
