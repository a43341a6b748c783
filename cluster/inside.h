/* cluster/inside.h -- inside cluster/ only: what one loop has of the cluster, and what its files share.
 * Thread: the cluster's loop; the shared part any. Ownership: the cluster's; links go with their mux. */
#ifndef V2C_CLUSTER_INSIDE_H
#define V2C_CLUSTER_INSIDE_H

#include "cluster/cluster.h"
#include "cluster/directory.h"
#include "cluster/nodes.h"
#include "cluster/registry.h"
#include "cluster/tenants.h"
#include "core/log.h"
#include "mux/mux.h"
#include "proxy/accept.h"
#include "proxy/vmess.h"
#include "proxy/vmess_guard.h"
#include "reverse/elsewhere.h"

#define PEER_TARGET "peer.v2c" /* what a peer asks for on the port for peers */

enum { PEER_VERSION = 1 }; /* of what peers say to each other */

struct cluster_shared {
    const struct cluster_conf *conf;
    uint64_t epoch; /* which life of this node */
    double began;   /* loop_steady() */
    struct nodes *nodes;
    struct tenants *tenants;
    struct registry_shared *registry; /* NULL: peers only */
    struct vmess_guard *guard;
    struct user user; /* whom all peers are */
    struct vmess_user vmess;
    struct vmess_in_conf vmess_conf;
    _Atomic uint8_t state; /* enum node_state */
};

/* A portal of this loop. */
struct joined {
    struct list_item item;
    struct outbound *portal;
    uint64_t key;
};

/* A tunnel whose visitors wait, to be looked for again soon. */
struct hope {
    struct list_item item;
    uint64_t portal;
    struct tunnel_name tunnel;
};

struct cluster {
    struct elsewhere elsewhere;
    struct loop *loop;
    const struct cluster_conf *conf;
    struct cluster_shared *shared;
    struct list portals;   /* struct joined */
    struct outbound dials; /* by which links to peers are dialled */
    struct place *places;  /* of configured peers */
    size_t place_count;
    struct list peers; /* struct peer */
    unsigned peer_count;
    struct accept_inbound accept; /* for peers */
    struct vmess_server *server;
    struct list guests; /* links that came, struct guest */
    unsigned guest_count;
    struct registry *registry; /* NULL: peers only */
    struct directory *directory;
    struct hosts *hosts;
    struct wishes *wishes;
    struct list asking; /* questions to peers, the first that was asked first */
    unsigned asking_count;
    uint64_t token;        /* of the last question */
    int64_t asking_second; /* and how many were asked in it */
    unsigned asked_in_it;
    struct list hopes;
    unsigned hope_count;
    ev_timer hoping;
    ev_timer look;              /* each second */
    struct link_node said;      /* of this node, last */
    bool stopping;              /* it is being freed: nobody finds a place any more */
    struct log_limit strangers; /* complaints about peers that came */
};

/* --- cluster.c --- */

/* A portal of this loop by its key, or by its tag. NULL: there is none. */
struct outbound *cluster_portal(const struct cluster *c, uint64_t key);
struct outbound *cluster_portal_tagged(const struct cluster *c, const char *tag);
/* Of a portal that joined. */
uint64_t cluster_key_of(const struct cluster *c, const struct outbound *portal);

/* A link to a peer came up: it may have what nobody had so far. */
void cluster_linked(struct cluster *c);

/* --- node.c: what this node says of itself, and what others say of themselves --- */

void node_say(struct cluster *c, struct mux *m);
/* What is said has changed since it was said last. */
bool node_changed(struct cluster *c);
/* That, and how much the others have, is for this node's bridges, too. */
void node_tell_bridges(struct cluster *c);
/* NULL: this peer fits. Else why not. `view` is filled in any case. */
const char *node_objection(const struct cluster *c, const struct link_node *n,
                           struct node_view *view);
/* It is this very process. */
bool node_is_self(const struct cluster *c, const struct link_node *n);
/* The tenant's name is in `tenant`, which must live as long. False: no tunnel can be called so. */
bool tunnel_read(const struct link_tunnel *from, struct tunnel_name *t,
                 char tenant[NODE_NAME_MAX + 1]);
/* What a peer asks of this node. */
void node_answer(struct cluster *c, struct mux *m, const struct link_question *q);

/* --- gauges.c --- */

/* Each second. */
void gauges_look(const struct cluster *c, double now);

/* --- peer.c: a node that this one has, or dials, a link to --- */

struct peer_link {
    struct mux mux;
    struct peer *peer;
    struct list_item item; /* in its peer's former ones */
    struct node_view node; /* once it is told: */
    bool told;             /* it has said who it is, */
    bool asked;            /* and asked what proves that this is no recording */
    bool counted;          /* among the links of its node */
    double rose;           /* when it was told, and asked; steady seconds */
};

struct peer {
    struct cluster *cluster;
    struct list_item item; /* in the cluster's peers */
    struct addr at;
    bool is_static;
    bool is_known;            /* at the last look there was a node with this address */
    struct peer_link *link;   /* takes streams; NULL: none now */
    struct peer_link *coming; /* is being dialled, or has not yet said who it is; NULL: none */
    struct list former;       /* those that are worn, and have streams */
    ev_timer redial;
    double
        rest; /* seconds for which it is not worth dialling: it is this node, or linked already */
    unsigned failures; /* in a row */
    unsigned brief;    /* links in a row that were lost as soon as they were up */
    double full_until; /* steady seconds: it had no room for a stream */
    double complained; /* the same */
    bool ends;         /* it is being freed */
};

struct peer *peer_new(struct cluster *c, const struct addr *at, bool is_static);
void peer_free(struct peer *p); /* ends its links */
/* Each second. */
void peer_look(struct peer *p, double now);
/* It has no link, and may have one in a moment. */
bool peer_is_coming(const struct peer *p);
/* Its link takes streams. */
bool peer_serves(const struct peer *p, double now);
void peer_say_node(struct peer *p);

/* --- places.c: where configured peers may be --- */

struct place;
int places_open(struct cluster *c); /* -1: out of memory */
void places_look(struct cluster *c, double now);
/* Where some are is not known yet. */
bool places_are_sought(const struct cluster *c);
/* NULL: this place has no more addresses. */
const struct addr *places_at(const struct cluster *c, size_t place, size_t which);
void places_close(struct cluster *c);

/* --- peers.c: all of them --- */

/* Begins with the configured ones and with those that the registry has, lets go of those that are gone for good. */
void peers_look(struct cluster *c, double now);
/* The one whose link is up and said so. NULL: there is none. */
struct peer *peers_find(const struct cluster *c, const char *node, uint64_t epoch);
/* The best one of these places for a stream. NULL: there is none. */
struct peer *peers_choose(const struct cluster *c, const struct answer *a, double now);
void peers_free(struct cluster *c);

/* --- peer_in.c: links that peers dialled --- */

/* -1: out of memory. */
int guests_open(struct cluster *c);
void guests_look(struct cluster *c, double now);
void guests_say_node(struct cluster *c);
void guests_close(struct cluster *c);

/* --- forward.c --- */

enum elsewhere_answer forward_send(struct elsewhere *e, struct outbound *portal, struct flow *f,
                                   struct end *seat);
bool forward_serves(struct elsewhere *e, struct outbound *portal, const struct flow *f);
/* A stream was not opened on this peer; refusal as mux_ops says. */
void forward_returned(struct cluster *c, const struct peer *p, struct end *seat, int refusal);
/* The directory knows more. */
void forward_told(void *with, const struct question_of *of);
void forward_stop(struct cluster *c);

/* It does not know yet what the others have: that nobody can say something, or nobody has it, may change at once. */
static inline bool cluster_starts(const struct cluster *c)
{
    return atomic_load_explicit(&c->shared->state, memory_order_relaxed) == NODE_STARTS;
}

/* --- who_has.c --- */

/* Said on some link of the node, which need not be the one that takes streams now. */
void who_has_told(struct cluster *c, const struct node_view *node, const struct link_answer *a);
void who_has_stop(struct cluster *c);

/* --- hosts.c: who holds which hostname --- */

struct hosts;

/* NULL: out of memory. */
struct hosts *hosts_new(struct cluster *c);
void hosts_free(struct hosts *h); /* h may be NULL; nobody is told */
/* The directory knows more. */
void hosts_told(struct cluster *c, const struct question_of *of);
/* There is somebody new who may know, or nobody is waited for any more: those that nobody could say are asked for again. */
void hosts_again(struct cluster *c);
/* What a peer asks of this node. Texts of the answer may lie in *holder. */
void hosts_answer(const struct cluster *c, const struct link_question *q,
                  struct tunnel_name *holder, struct link_answer *a);

/* --- wishes.c: hostnames that bridges here want --- */

struct wishes;

/* NULL: out of memory. */
struct wishes *wishes_new(struct cluster *c);
void wishes_free(struct wishes *w); /* w may be NULL; nobody is told */
/* As struct elsewhere_ops. */
enum elsewhere_claim wishes_claim(struct elsewhere *e, struct outbound *portal,
                                  const struct hostname_pattern *host,
                                  const struct tunnel_name *holder);
void wishes_leave(struct elsewhere *e, const struct portal_conf *portal,
                  const struct hostname_pattern *host, const struct tunnel_name *holder);
/* As struct registry_owner, of a struct cluster. */
void wishes_lost(void *cluster, uint64_t portal, const struct hostname_pattern *host,
                 const struct tunnel_name *holder);

static inline struct cluster *cluster_of(struct elsewhere *e)
{
    return container_of(e, struct cluster, elsewhere);
}

/* A link's text as a string of at most LINK_NAME_MAX bytes. */
static inline void text_copy(char to[NODE_NAME_MAX + 1], struct link_text t)
{
    size_t len = t.len <= NODE_NAME_MAX ? t.len : 0;
    if (len)
        memcpy(to, t.p, len);
    to[len] = '\0';
}

static inline struct link_text text_of(const char *s)
{
    return (struct link_text){.p = s, .len = (uint8_t)strlen(s)};
}

static inline struct link_tunnel link_tunnel_of(const struct tunnel_name *t)
{
    return (struct link_tunnel){
        .by = t->by, .tenant = text_of(t->tenant ? t->tenant : ""), .name = text_of(t->text)};
}

#endif
