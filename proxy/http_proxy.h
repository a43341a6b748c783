/* proxy/http_proxy.h -- HTTP proxies as codecs, and what the configuration says of them.
 * A server knows CONNECT, and requests for "http://...", one on each connection: what it sends on has the origin's
 * form, "Connection: close", and none of the fields that are meant for the proxy. It answers when the target was
 * reached, or says why it was not. A client knows CONNECT.
 * Source: RFC 9110, RFC 9112. Nothing is guessed: see proxy/http1.h, proxy/http_body.h.
 * Thread: the loop of its connection. Ownership: configurations are the caller's and outlive what is made of them. */
#ifndef V2C_PROXY_HTTP_PROXY_H
#define V2C_PROXY_HTTP_PROXY_H

#include "core/addr.h"
#include "proxy/account.h"
#include "proxy/codec.h"
#include "proxy/login.h"

struct http_in_conf {
    struct accounts accounts; /* none: whoever connects may use it */
    bool transparent;         /* requests in the origin's form go to their Host */
};

struct http_out_conf {
    struct login_servers servers;
    const char *headers; /* lines with CRLF; "" when there are none */
};

/* The server side; *conf may change while somebody greets. NULL: out of memory. */
struct codec *http_accept_new(const struct http_in_conf *const *conf);
/* The client side. login may be NULL; all is copied. NULL: out of memory. */
struct codec *http_request_new(const struct login *login, const char *headers,
                               const struct addr *target);

#endif
