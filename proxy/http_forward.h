/* proxy/http_forward.h -- a request as a proxy got it, and as it sends it on.
 * Thread: any. Pure. */
#ifndef V2C_PROXY_HTTP_FORWARD_H
#define V2C_PROXY_HTTP_FORWARD_H

#include "core/addr.h"
#include "proxy/http1.h"

struct http_target {
    struct addr addr;
    struct http1_span authority; /* "host:port" as the client wrote it */
    struct http1_span path;      /* with its query; len 0: none */
};

/* "host", "host:port", "[v6]:port", with nothing else. port: when none is said; 0: one must be. */
bool http_authority(const uint8_t *p, size_t len, uint16_t port, struct addr *a);
/* "http://authority/path"; with `transparent` also "/path", for the Host. False: neither. */
bool http_target_read(const uint8_t *data, const struct http1_head *h, bool transparent,
                      struct http_target *to);
/* Bytes that are enough for http_forward_write(). */
size_t http_forward_room(const struct http1_head *h);
/* The head for the origin: its own form, its Host, no field that was for us, and "Connection: close". */
size_t http_forward_write(uint8_t *to, const uint8_t *data, const struct http1_head *h,
                          const struct http_target *t);

#endif
