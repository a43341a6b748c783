/* transport/carriage.h -- how the bytes of an inbound or outbound travel: what streamSettings say, compiled.
 * Thread: built by conf, then immutable, counted by any. Ownership: a configuration has a share, and so has
 * each stream with layers: these may point into it. It owns tls; the rest of what it points to is kept
 * (conf/keep.h). */
#ifndef V2C_TRANSPORT_CARRIAGE_H
#define V2C_TRANSPORT_CARRIAGE_H

#include "core/addr.h"
#include "core/err.h"
#include "transport/sockopt.h"

struct stream;
struct tls_conf;     /* transport/tls.h */
struct ws_conf;      /* transport/ws.h */
struct upgrade_conf; /* transport/upgrade.h: httpupgrade */
struct forged_conf;  /* transport/forged.h: the HTTP head of tcp */

struct carriage {
    _Atomic unsigned shares;
    const struct tls_conf *tls; /* NULL: in the clear */
    const struct ws_conf *ws;   /* at most one of these three */
    const struct upgrade_conf *upgrade;
    const struct forged_conf *forged;
    bool takes_proxy; /* a PROXY header comes first (inbounds) */
    bool
        picks_tls; /* inbounds: not all connections have tls: who looks at their first bytes puts it on */
    const struct addr *path; /* ADDR_UNIX: dial or listen there instead; NULL: no */
    struct sockopt_conf sockopt;
};

struct carriage *carriage_new(void); /* plain, with one share; NULL: out of memory */
struct carriage *carriage_ref(const struct carriage *c);
void carriage_unref(struct carriage *c); /* may be NULL; the last share frees it */

/* Puts the layers on a stream that was opened: dialled to `to`, which outlives it, or accepted. -1 and e. carriage NULL or without any
 * layer: nothing to do. */
int carriage_dialled(struct stream *s, const struct carriage *c, const struct addr *to,
                     struct err *e);
int carriage_accepted(struct stream *s, const struct carriage *c, struct err *e);
bool carriage_is_plain(const struct carriage *c);

#endif
