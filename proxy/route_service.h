/* proxy/route_service.h -- asks a service by HTTP which tunnel a host is for: GET PATH?host=HOST. Its answer is 200 with
 * {"tunnel": "ID"}, where "$ID" is a private one, or {"node": "NAME"} or {"cluster": "NAME"}; or 404: there is none.
 * Whatever else it says, or nothing in time, counts as no answer.
 * Thread: its loop. Ownership: the asker's maker gives it to a guide, which frees it; way outlives it. */
#ifndef V2C_PROXY_ROUTE_SERVICE_H
#define V2C_PROXY_ROUTE_SERVICE_H

#include "core/loop.h"
#include "routing/guide.h"
#include "transport/resolve.h"

struct carriage;

struct route_service_conf {
    struct addr at;
    const char *path;          /* with "?host=" or "&host=" at its end */
    struct carriage *carriage; /* tls; a share; NULL: none */
    double timeout;            /* seconds for an answer */
};

/* NULL: out of memory. */
struct lookups_asker *route_service_new(struct loop *l, const struct resolve_way *way);

/* The body of an answer. False: it is none. */
bool route_answer_read(const char *body, size_t len, struct lookup_answer *answer);

#endif
