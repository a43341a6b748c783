/* transport/dns_reply.h -- DNS over HTTPS as bytes (RFC 8484): a POST of HTTP/1.1, and the reply to it.
 * Thread: any. Ownership: plain values. */
#ifndef V2C_TRANSPORT_DNS_REPLY_H
#define V2C_TRANSPORT_DNS_REPLY_H

#include "core/cursor.h"
#include "core/err.h"
#include "transport/dns.h"

enum {
    DNS_REPLY_HEAD = 8 * 1024, /* bytes of the status line and headers, with what ends them */
    DNS_REPLY_BODY = 64 * 1024,
    DNS_REPLY_WIRE = DNS_REPLY_HEAD + 2 * DNS_REPLY_BODY, /* chunks may be small */
    DNS_REQUEST_MAX = 2048,
};

/* At most DNS_REQUEST_MAX bytes; more set the writer's overflow. */
void dns_request_write(const struct dns_server *s, const uint8_t *question, size_t len,
                       struct writer *w);

struct dns_reply {
    size_t len;
    bool closes; /* the server sends nothing after it */
    uint8_t body[DNS_REPLY_BODY];
};

/* A whole reply; `in` moves behind it. Another status than 200 is an error. */
enum step dns_reply_read(struct cursor *in, struct dns_reply *r, struct err *e);

#endif
