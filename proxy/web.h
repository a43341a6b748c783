/* proxy/web.h -- the gateway: reads the requests of a visitor's HTTP/1 connection one after the other, finds for each where
 * it goes, sends it there on a flow of its own, and brings the answer back. Such a flow, here a way, is used again for
 * later requests to the same place. Both sides' connections are kept as long as HTTP allows; who changes to another
 * protocol (WebSocket) has a tunnel of bytes from there on.
 * Thread: its loop. Ownership: web_free() lets the visitors go on with their last answer; a conf belongs to a generation
 * and is changed by web_adopt().
 * Errors: what cannot be answered by an origin is answered by a page (proxy/web_page.h). An answer that was cut off resets
 * the visitor: it never looks whole.
 * What is sent again: only a request that may be repeated (GET, HEAD, OPTIONS, PUT, DELETE), of which no byte has been
 * answered and of which all, up to WEB_KEPT bytes, is still here. No other request gets a way that was used before, for
 * that may just be closing: so an origin that closes an idle connection costs nobody a request.
 * No way rests after a body that the method has no use for (GET, HEAD, OPTIONS, DELETE, TRACE): an origin that leaves it
 * unread would answer it as a request, and another visitor would get that answer.
 * Units: seconds, bytes. Sources: RFC 9110, RFC 9112. */
#ifndef V2C_PROXY_WEB_H
#define V2C_PROXY_WEB_H

#include "core/flow.h"
#include "core/list.h"
#include "core/outbound.h"
#include "routing/dispatch.h"
#include "routing/lookups.h"
#include "routing/routes.h"
#include "transport/forwarded.h"

enum {
    WEB_KEPT = 16 * 1024, /* of a request that is sent again */
    WEB_TRIES = 3,        /* ways that are tried for one request */
    WEB_IDLE_WAYS = 512,  /* of one loop; the one that rests longest goes */
};

enum web_reuse {
    WEB_REUSE_SOURCE, /* by visitors of the same address: what is behind a way may judge by it */
    WEB_REUSE_CONNECTION, /* by the same connection alone: each new one is placed anew */
    WEB_REUSE_ALL,
    WEB_REUSE_NEVER,
};

enum web_forwarded {
    WEB_FORWARDED_SET,  /* by us, behind what a trusted proxy said */
    WEB_FORWARDED_PASS, /* as they came: somebody before us wrote them */
};

struct web_conf {
    struct routes *routes; /* used without a finder */
    size_t dials;          /* the outbound by which addresses are dialled, as rules number them */
    const char *const
        *tags; /* of all outbounds, kept: who goes on after a reload finds them by tag */
    size_t tag_count;
    struct trusted trusted; /* whose X-Forwarded-... and Forwarded are believed */
    enum web_forwarded forwarded;
    enum web_reuse reuse;
    double answer_timeout; /* until the head of an answer; 0: 60 */
};

/* A request, as far as its way depends on it. */
struct web_asked {
    struct route_asked route;
    const char *sni; /* the name that TLS was ended for, in normal form; NULL: no TLS */
};

/* How ways are found where a table is not enough. */
struct web_finder {
    /* DONE: *to. MORE: `w` is told later, and asks again, or is forgotten before. FAIL: *status is answered. */
    enum step (*find)(struct web_finder *f, const struct web_asked *asked, struct lookup_wait *w,
                      struct route_to *to, int *status);
};

struct web;

/* finder: NULL: the conf's routes. NULL: out of memory. */
struct web *web_new(struct dispatcher *d, const struct web_conf *conf, struct web_finder *finder);
/* Another configuration, in which outbounds may have other numbers. */
void web_adopt(struct web *w, const struct web_conf *conf);
/* Answers say that they are the last ones; who is idle soon goes. */
void web_drain(struct web *w);
bool web_busy(const struct web *w); /* it has visitors */
void web_free(struct web *w);
/* Takes the flow's second side: HTTP comes from there. sni: as in struct web_asked; copied. */
void web_serve(struct web *w, struct flow *f, const char *sni);

/* --- as an outbound --- */

/* conf outlives it; its flows need neither. NULL: out of memory. */
struct outbound *web_outbound_new(struct dispatcher *d, const char *tag,
                                  const struct web_conf *conf);
void web_outbound_adopt(struct outbound *out, const struct web_conf *conf);

#endif
