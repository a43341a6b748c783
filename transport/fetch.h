/* transport/fetch.h -- small questions to one HTTP server, each with a small answer, on connections that are flows. A
 * connection has one question under way; it stays for the next one for a while.
 * Thread: its loop. Units: seconds. */
#ifndef V2C_TRANSPORT_FETCH_H
#define V2C_TRANSPORT_FETCH_H

#include "core/addr.h"
#include "core/loop.h"
#include "transport/resolve.h"

struct carriage;
struct fetch;

struct fetch_server {
    struct addr at;
    bool direct;               /* else by the rules */
    const char *tag;           /* the inbound tag that they see; kept */
    struct carriage *carriage; /* tls; NULL: none */
    double timeout;            /* for an answer */
    size_t links;              /* connections at once; more questions wait */
};

struct fetch_told {
    unsigned status;
    const uint8_t *body; /* NULL: no answer came, see why */
    size_t len;
    bool destroyed; /* the fetch goes */
    struct err why;
};
typedef void fetch_tell(void *owner, const struct fetch_told *t);

/* server and way outlive it. NULL: out of memory. */
struct fetch *fetch_new(struct loop *l, const struct fetch_server *server,
                        const struct resolve_way *way);
/* The same settings, elsewhere. */
void fetch_adopt(struct fetch *f, const struct fetch_server *server);
/* What is under way is told that it failed, with `destroyed`. */
void fetch_free(struct fetch *f); /* NULL: nothing */
/* A whole request of HTTP/1.1. tell is called once, perhaps before this returns. */
void fetch_ask(struct fetch *f, const uint8_t *request, size_t len, fetch_tell *tell, void *owner);

/* What a request's Host says: without the port if it is the usual one. */
void fetch_host_write(struct writer *w, const struct addr *at, uint16_t usual);

#endif
