/* conf/links.h -- the links of all workers at one moment: a bridge's to its portals, and a portal's carriers.
 * Thread: the main thread, which asks the loops. Ownership: links_free().
 * Errors: what memory is not enough for is left out, and `failed` says so. */
#ifndef V2C_CONF_LINKS_H
#define V2C_CONF_LINKS_H

#include "core/meta.h"
#include "proxy/page.h"

struct process;

enum link_kind {
    LINK_WAY,     /* a bridge's way to a portal, whether a link is there or not */
    LINK_BRIDGE,  /* a bridge's link */
    LINK_CARRIER, /* a portal's */
};

struct link_row {
    enum link_kind kind;
    unsigned worker, streams;
    bool up; /* else it is being dialled */
    uint8_t weight;
    const char *tag;                  /* of the bridge or portal; all of these are kept */
    const char *outbound;             /* a bridge's: by which it leads there; "": by none yet */
    const char *tenant;               /* NULL: of none */
    char tunnel[TUNNEL_NAME_MAX + 1]; /* by which visitors name the carrier; "": not at all */
    char node[TUNNEL_NAME_MAX + 1], cluster[TUNNEL_NAME_MAX + 1];
};

struct links {
    struct link_row *rows;
    size_t count, room;
    bool failed;
};

void links_gather(struct process *p, struct links *all);
void links_free(struct links *all);

/* How many there are, by the names that they have in Envoy's /stats: a bridge's by the outbound ("cluster") and the
 * address ("host") that they lead to, a portal's by the cluster and the node that they come from. */
void links_page(struct page *to, const struct links *all, const struct process *p);

#endif
