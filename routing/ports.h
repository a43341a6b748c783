/* routing/ports.h -- a set of port ranges: "53,443,1000-2000", spaces around items allowed.
 * Thread: built by conf, then immutable. */
#ifndef V2C_ROUTING_PORTS_H
#define V2C_ROUTING_PORTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

struct port_range {
    uint16_t from, to;
};

struct port_set {
    struct port_range *ranges;
    size_t count;
};

/* "80" or "80-90". -1 with code ERANGE when the first port is above the last: V2Ray accepts such a range,
 * which never matches. */
int port_range_parse(struct port_range *r, const char *text, size_t len, struct err *e);
/* -1 with code ERANGE also for a text without any item. Then all items have been added, and what never
 * matches is kept as such: a caller that goes on has V2Ray's meaning, not a set that is empty. */
int port_set_add(struct port_set *s, const char *text, struct err *e);
bool port_set_match(const struct port_set *s, uint16_t port);
void port_set_fini(struct port_set *s);

#endif
