/* proxy/http_relay.h -- the heads of HTTP/1 messages as a gateway passes them on: requests to the origin, answers to the
 * visitor. Fields for one hop and those that Connection lists stay behind; so do look-alikes ("Content_Length") of names
 * that mean something. Who is behind the request is written anew, or, when the sender is trusted, what he says of it
 * is kept and his own address appended. All else passes as it was written, in one pass, fields in order.
 * A request keeps its version: an origin that hears HTTP/1.1 may answer in chunks and with 1xx, which a visitor with
 * HTTP/1.0 cannot read, and nothing here rewrites bodies.
 * Thread: any. Pure; no allocation. Ownership: none. Sources: RFC 9110 (7.6), RFC 9112, RFC 7239. */
#ifndef V2C_PROXY_HTTP_RELAY_H
#define V2C_PROXY_HTTP_RELAY_H

#include "core/addr.h"
#include "proxy/http1.h"

/* What a request asks a gateway for. */
struct http_asked {
    struct http1_span
        host; /* as the visitor wrote it, with its port; len 0: HTTP/1.0 that names none */
    struct http1_span path; /* with its query; "*" too; len 0: "http://host" without one */
};

/* 0, or the status to answer and e: 405 CONNECT, which is for proxies; 400 a target that is neither a path nor an
 * "http://" or "https://" URL, or a URL of another host than Host says. */
int http_relay_asked(const uint8_t *data, const struct http1_head *h, struct http_asked *a,
                     struct err *e);

struct relay {
    const struct addr *from; /* whose connection it is; no IP: not known */
    bool trusted;            /* what the request says about who is behind it is true */
    bool silent;             /* and nothing is added to that */
    const char *proto;       /* "http" or "https" */
    const char *host; /* for X-Forwarded-Host: of bytes that a Host may have; "": not known */
    const char
        *id; /* for X-Request-Id, in place of what a stranger wrote; NULL: what there is passes */
    bool keep_alive; /* the connection to the next hop */
    bool upgrade;    /* pass Upgrade on: only when h->upgrade */
};

/* Bytes that are enough for http_relay_request(). */
size_t http_relay_room(const struct http1_head *h, const struct relay *r);
/* The head for the origin. h: of a request that http_relay_asked() takes. */
size_t http_relay_request(uint8_t *to, const uint8_t *data, const struct http1_head *h,
                          const struct relay *r);

struct relay_back {
    uint8_t minor;   /* the visitor speaks HTTP/1.minor */
    bool keep_alive; /* his connection */
    const char *id;  /* for X-Request-Id, in place of any other; NULL: what there is passes */
};

size_t http_relay_answer_room(const struct http1_head *h, const struct relay_back *r);
/* The head for the visitor. 0: he cannot read it, for he speaks HTTP/1.0. An interim answer (1xx) is then dropped; any
 * other one comes in chunks although nobody may answer him so. */
size_t http_relay_answer(uint8_t *to, const uint8_t *data, const struct http1_head *h,
                         const struct relay_back *r);

#endif
