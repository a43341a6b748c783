/* routing/routes.h -- which tunnel, outbound or server a request is for: a table from hosts, paths and headers.
 * The host that fits best decides alone: itself, then the longest wildcard it is within, then the routes for any host.
 * Of that host's routes the one with the longest path that the request's begins with, then one with a header.
 * Paths are compared by whole segments ("/a" is the beginning of "/a/b" and not of "/ab"), "%61" as "a" (RFC 3986, 6.2.2).
 * Thread: built by one, then immutable and read by any. Ownership: routes_unref() gives up a share.
 * Cost: a look-up allocates nothing, copies what was found, and takes time by the host's labels and its own routes only. */
#ifndef V2C_ROUTING_ROUTES_H
#define V2C_ROUTING_ROUTES_H

#include "core/hostname.h"
#include "core/meta.h"
#include "routing/head.h"

enum {
    ROUTES_OF_HOST_MAX = 1024,
    ROUTE_PATH_MAX = 1024,
    ROUTE_HEADER_MAX = 128,
    ROUTE_VALUE_MAX = 256
};

/* ROUTE_AWAY: who may know does not answer now (routing/guide.h); no route of a table has it. */
enum route_kind { ROUTE_NONE, ROUTE_TUNNEL, ROUTE_OUTBOUND, ROUTE_ADDRESS, ROUTE_AWAY };

struct route_to {
    uint8_t kind;
    bool is_private;           /* of a tunnel: no public entry leads there */
    bool by_claim;             /* ... it holds the host */
    size_t outbound;           /* as rules number them; of a tunnel: its portal */
    struct tunnel_name tunnel; /* of ROUTE_TUNNEL */
    struct addr address;       /* of ROUTE_ADDRESS */
};

struct route {
    const struct hostname_pattern *host; /* NULL: any that has no routes of its own */
    struct head_text path;               /* "/...", or empty: any */
    struct head_text header; /* its name in lower case, or empty: whatever the headers */
    struct head_text value;  /* it must be this, or, when empty: */
    struct route_to to;      /* a tunnel without text: the header says which, in to.tunnel.by */
};

struct route_asked {
    const char *host;            /* text of a struct hostname; "": the request names none */
    struct head_text path, head; /* of the request's target as on the wire; line and headers */
    const struct addr *source;   /* who asks; NULL: nobody knows */
};

struct routes;

struct routes *routes_new(void); /* NULL: out of memory */
struct routes *
routes_copy(const struct routes *r); /* one's own, to be added to; NULL: out of memory */
struct routes *routes_ref(struct routes *r);
void routes_unref(struct routes *r); /* r may be NULL */
/* Copies all; tunnel.tenant must be kept. -1 and e: EEXIST: one of them is for the same, out of memory, too many. */
int routes_add(struct routes *r, const struct route *one, struct err *e);
/* The pattern's host, or all that is within it, has a route of its own. */
bool routes_have(const struct routes *r, const struct hostname_pattern *host);
size_t routes_count(const struct routes *r);
/* One of them goes there. Looks at all. */
bool routes_lead(const struct routes *r, size_t outbound);

/* False, and kind ROUTE_NONE: there is none. */
bool routes_find(const struct routes *r, const struct route_asked *asked, struct route_to *to);
/* The two halves of it. Only by routes for this host, or wildcards; *known: it has some, though maybe for other paths. */
bool routes_find_host(const struct routes *r, const struct route_asked *asked, struct route_to *to,
                      bool *known);
/* Only by those for any host. */
bool routes_find_default(const struct routes *r, const struct route_asked *asked,
                         struct route_to *to);

#endif
