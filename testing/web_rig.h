/* testing/web_rig.h -- a gateway on a real loop: one visitor, and an origin for each flow that it opens. */
#ifndef V2C_TESTING_WEB_RIG_H
#define V2C_TESTING_WEB_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "proxy/web.h"

enum { PEER_TEXT = 1 << 20, RIG_ORIGINS = 8 };

/* Somebody at an end of a flow, who leaves once both sides have ended, as connections do. */
struct peer {
    struct end end;
    bool stalls, left, failed, eof; /* failed: how the flow ended for it */
    size_t len;
    char text[PEER_TEXT]; /* what it was sent */
};

/* Outbound 0 has the origins, in the order in which they were opened, for a.example, b.example, and private for
 * secret.example. Outbound 1 refuses, as a portal without a bridge: gone.example. server.example is an address. */
struct rig {
    struct loop loop;
    struct policy policy;
    struct dispatcher dispatcher;
    struct outbound origins, nowhere;
    struct outbound *outbounds[2];
    struct routes *routes;
    struct web_conf conf;
    struct web_finder finder;
    struct list waiters; /* of the finder */
    bool found;
    struct web *web;
    struct peer visitor;
    struct peer *origin[RIG_ORIGINS];
    struct addr target[RIG_ORIGINS];
    size_t count;
};

int web_rig_open(void **state);
int web_rig_close(void **state); /* -1: a flow is left */
void rig_turn(struct rig *r);    /* until nothing is queued */
void rig_visit(struct rig *r);   /* from 203.0.113.9 */

void say(struct rig *r, struct peer *p, const char *text);
void ask(struct rig *r, const char *text); /* says the visitor */
void forget(struct peer *p);
void stop(struct rig *r, struct peer *p);    /* it ends its side, if it is still there */
void cut_off(struct rig *r, struct peer *p); /* it fails */
bool starts(const struct peer *p, const char *text);
bool ends(const struct peer *p, const char *text);

#define GET(host) "GET / HTTP/1.1\r\nHost: " host "\r\n\r\n"
#define POST(body) "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\n" body
#define OK5 "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"

#endif
