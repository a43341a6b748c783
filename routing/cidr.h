/* routing/cidr.h -- a set of IP networks, kept as sorted, merged ranges: nested ones are no special case, and
 * "all but these" is a set like any other.
 * Lists that several rules want are made once and included in the sets of each.
 * Thread: built by conf (add..., then seal), then immutable. Ownership: cidr_set_free() gives up one
 * reference; the last one frees. */
#ifndef V2C_ROUTING_CIDR_H
#define V2C_ROUTING_CIDR_H

#include <stdbool.h>

#include "core/addr.h"
#include "core/err.h"

struct cidr_set;

struct cidr_set *cidr_set_new(void); /* NULL: out of memory */
/* "ip" or "ip/len"; "!" in front: all addresses of both families but these, as in Xray. */
int cidr_set_add(struct cidr_set *s, const char *text, struct err *e);
/* The network as bytes: 4 or 16 of them; mapped IPv4 becomes IPv4. */
int cidr_set_add_bytes(struct cidr_set *s, const uint8_t *ip, size_t len, unsigned prefix,
                       struct err *e);
/* What the sealed list has not. */
int cidr_set_add_rest(struct cidr_set *s, const struct cidr_set *list, struct err *e);
/* What the sealed list has, `s` has too; takes a reference. */
int cidr_set_include(struct cidr_set *s, struct cidr_set *list, struct err *e);
int cidr_set_seal(struct cidr_set *s);                                /* sorts and merges */
bool cidr_set_match(const struct cidr_set *s, const struct addr *ip); /* false for a name */
/* Visits all ranges (first and last address, 4 or 16 bytes) and answers true, unless there are more than
 * `most`: then it visits none. */
bool cidr_set_each(const struct cidr_set *s, size_t most,
                   void (*visit)(void *to, const uint8_t *first, const uint8_t *last, size_t width),
                   void *to);
void cidr_set_free(struct cidr_set *s);

#endif
