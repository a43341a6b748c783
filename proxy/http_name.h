/* proxy/http_name.h -- the names of HTTP fields that mean something to whoever passes a message on.
 * Thread: any. Pure. Sources: RFC 9110 (7.6.1), RFC 9112, RFC 7239. */
#ifndef V2C_PROXY_HTTP_NAME_H
#define V2C_PROXY_HTTP_NAME_H

#include <stddef.h>
#include <stdint.h>

enum http_name {
    HTTP_OTHER,
    HTTP_LOOKALIKE, /* one of those below with "_" for "-": gateways to applications read it as that one */
    HTTP_HOST,
    HTTP_EXPECT,
    /* these say what the message is */
    HTTP_CONTENT_LENGTH,
    HTTP_TRANSFER_ENCODING,
    HTTP_TRAILER,
    /* these are for one hop, and go no further */
    HTTP_CONNECTION,
    HTTP_UPGRADE,
    HTTP_HOP,
    /* these say who is behind it */
    HTTP_FORWARDED,
    HTTP_X_FORWARDED_FOR,
    HTTP_X_FORWARDED_PROTO,
    HTTP_X_FORWARDED_HOST,
    HTTP_X_FORWARDED, /* another "X-Forwarded-...", or X-Real-IP */
    HTTP_X_REQUEST_ID,
};

enum { HTTP_NAME_KNOWN_MAX = 20 }; /* what a name means, its first bytes say */

/* Whatever the case. */
enum http_name http_name_of(const uint8_t *p, size_t len);

#endif
