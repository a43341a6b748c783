/* reverse/elsewhere.h -- the other portals of a cluster, as one portal sees them: it says what it has, and asks for what
 * it lacks. Implemented in cluster/; a portal that stands alone has none.
 * Thread: the loop of the portal that asks. Ownership: outlives its portals. Errors: an answer each. */
#ifndef V2C_REVERSE_ELSEWHERE_H
#define V2C_REVERSE_ELSEWHERE_H

#include "core/hostname.h"
#include "core/outbound.h"
#include "reverse/crowd.h"
#include "reverse/reverse.h"

struct claims;

enum elsewhere_answer {
    ELSEWHERE_TOOK, /* the flow has its second end */
    ELSEWHERE_ASKS, /* it is being found out; portal_found() follows, and until then visitors may wait */
    ELSEWHERE_NOWHERE, /* nobody has a link of the tunnel, or had one in the last minute */
};

enum elsewhere_claim {
    ELSEWHERE_GRANTED,
    ELSEWHERE_TAKEN, /* another tunnel has it */
    ELSEWHERE_LATER, /* portal_host_decided() follows */
};

struct elsewhere {
    const struct elsewhere_ops *ops;
    struct crowd crowd; /* kept up by crowd_set() */
};

struct elsewhere_ops {
    /* A visitor of meta.tunnel for whom the portal has no carrier that serves. seat: his flow's second end; NULL: it has
     * none yet. If the stream cannot be opened there, portal_returned() gives him back. */
    enum elsewhere_answer (*send)(struct elsewhere *e, struct outbound *portal, struct flow *f,
                                  struct end *seat);
    /* Some other portal would take such a visitor now; if it is not known, it is being found out. */
    bool (*serves)(struct elsewhere *e, struct outbound *portal, const struct flow *f);
    /* The tunnel has so many links in this process, on all loops: said when the first one came and when the last one went. */
    void (*has)(struct elsewhere *e, const struct portal_conf *portal, const struct tunnel_name *t,
                unsigned links);
    /* May this tunnel have the hostname, which this portal lets it have? */
    enum elsewhere_claim (*claim)(struct elsewhere *e, struct outbound *portal,
                                  const struct hostname_pattern *host,
                                  const struct tunnel_name *holder);
    /* Nobody here wants it for this tunnel any more. */
    void (*leave)(struct elsewhere *e, const struct portal_conf *portal,
                  const struct hostname_pattern *host, const struct tunnel_name *holder);
};

/* --- what the cluster tells a portal, on the portal's loop --- */

/* From here on e is asked and told. It stays until the portal is freed. */
void portal_join_cluster(struct outbound *portal, struct elsewhere *e);
/* How many links the tunnel has in this process, on all loops; known: it has or had one in the last minute. */
unsigned portal_links(struct outbound *portal, const struct tunnel_name *t, bool *known);

/* Of bridges, to all tunnels of the portal, in this process. */
unsigned portal_carriers(const struct outbound *portal);
const struct portal_conf *portal_settings(const struct outbound *portal);

/* The hostnames that its bridges hold, on all loops. */
struct claims *portal_claims(const struct outbound *portal);

/* More is known of where the tunnel is, NULL: of any: visitors that wait look again. */
void portal_found(struct outbound *portal, const struct tunnel_name *t);
/* A visitor whom another portal sends, with meta.tunnel and meta.forwarded set: gets a carrier of this process at once, or is
 * refused with REFUSED_NOT_HERE's errno (ENOLINK). The tunnel's tenant need not be kept. by_claim: he came for a hostname (the target), and the tunnel must hold it here. */
void portal_forwarded(struct outbound *portal, struct flow *f, bool by_claim);
/* A visitor whose stream was not opened elsewhere; `seat` is his flow's second end. */
void portal_returned(struct outbound *portal, struct end *seat);
void portal_host_decided(struct outbound *portal, const struct hostname_pattern *host,
                         const struct tunnel_name *holder, bool granted);

/* By which portals of one cluster know that they are the same one: of its domain, in normal form. */
uint64_t portal_key(const struct portal_conf *portal);

#endif
