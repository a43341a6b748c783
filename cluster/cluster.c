#include "cluster/cluster.h"

#include <sodium.h>
#include <stdlib.h>

#include "cluster/inside.h"
#include "cluster/view.h"
#include "cluster/who_has.h"

/* Seconds. */
static const double LOOK = 1;   /* between looks at who is there */
static const double START = 10; /* for which a node waits for its registry */

/* --- what a process has --- */

/* Who has another key, or is of another cluster, is another user and cannot greet. */
static int user_make(struct cluster_shared *s)
{
    static const char purpose[] = "v2c cluster peer 1";
    crypto_auth_hmacsha256_state state;
    uint8_t id[crypto_auth_hmacsha256_BYTES];
    struct err e;
    crypto_auth_hmacsha256_init(&state, s->conf->key, CLUSTER_KEY);
    crypto_auth_hmacsha256_update(&state, (const uint8_t *)purpose, sizeof purpose);
    crypto_auth_hmacsha256_update(&state, (const uint8_t *)s->conf->name, strlen(s->conf->name));
    crypto_auth_hmacsha256_final(&state, id);
    s->user = (struct user){.email = "", .traffic = {-1, -1}};
    s->vmess = (struct vmess_user){.user = &s->user, .security = VMESS_AUTO};
    memcpy(s->vmess.id, id, sizeof s->vmess.id);
    s->vmess_conf = (struct vmess_in_conf){.users = &s->vmess, .count = 1, .refuse_insecure = true};
    sodium_memzero(id, sizeof id);
    sodium_memzero(&state, sizeof state);
    return vmess_user_init(&s->vmess, &e);
}

static int registry_make(struct cluster_shared *s)
{
    if (!s->conf->registry)
        return 0;
    s->registry = registry_shared_new(s->conf, s->epoch, s->nodes, s->tenants);
    return s->registry ? 0 : -1;
}

struct cluster_shared *cluster_shared_new(const struct cluster_conf *conf, unsigned loops)
{
    struct cluster_shared *s = calloc(1, sizeof *s);
    (void)loops;
    if (!s)
        return NULL;
    s->conf = conf;
    s->epoch = (uint64_t)(ev_time() * 1e6); /* a later life of this node has a greater one */
    s->began = loop_steady();
    atomic_init(&s->state, NODE_STARTS);
    s->nodes = nodes_new(conf->node);
    s->tenants = tenants_new();
    s->guard = vmess_guard_new();
    if (s->nodes && s->tenants && s->guard && registry_make(s) == 0 && user_make(s) == 0)
        return s;
    cluster_shared_free(s);
    return NULL;
}

void cluster_shared_free(struct cluster_shared *s)
{
    if (!s)
        return;
    registry_shared_free(s->registry);
    nodes_free(s->nodes);
    tenants_free(s->tenants);
    vmess_guard_unref(s->guard);
    sodium_memzero(&s->vmess, sizeof s->vmess);
    free(s);
}

/* --- portals --- */

static struct joined *joined_at(struct list_item *i)
{
    return container_of(i, struct joined, item);
}

struct outbound *cluster_portal(const struct cluster *c, uint64_t key)
{
    for (struct list_item *i = list_first(&c->portals); i; i = list_next(&c->portals, i))
        if (joined_at(i)->key == key)
            return joined_at(i)->portal;
    return NULL;
}

struct outbound *cluster_portal_tagged(const struct cluster *c, const char *tag)
{
    for (struct list_item *i = list_first(&c->portals); i; i = list_next(&c->portals, i))
        if (strcmp(joined_at(i)->portal->tag, tag) == 0)
            return joined_at(i)->portal;
    return NULL;
}

uint64_t cluster_key_of(const struct cluster *c, const struct outbound *portal)
{
    for (struct list_item *i = list_first(&c->portals); i; i = list_next(&c->portals, i))
        if (joined_at(i)->portal == portal)
            return joined_at(i)->key;
    return 0;
}

/* The newest one comes first: it takes the place of one that is about to go. */
void cluster_join(struct cluster *c, struct outbound *portal)
{
    struct joined *j = calloc(1, sizeof *j);
    if (!j) {
        log_error("cluster: portal %s stands alone: out of memory", portal->tag);
        return;
    }
    j->portal = portal;
    j->key = portal_key(portal_settings(portal));
    list_push(&c->portals, &j->item);
    portal_join_cluster(portal, &c->elsewhere);
}

void cluster_leave(struct cluster *c, struct outbound *portal)
{
    for (struct list_item *i = list_first(&c->portals); i; i = list_next(&c->portals, i))
        if (joined_at(i)->portal == portal) {
            list_remove(i);
            free(joined_at(i));
            return;
        }
}

/* --- elsewhere --- */

/* One that a reload has replaced loses its links while the new one gets them. */
static unsigned links_of_successor(const struct cluster *c, uint64_t key,
                                   const struct portal_conf *portal, const struct tunnel_name *t)
{
    struct outbound *now = cluster_portal(c, key);
    bool known;
    return now && portal_settings(now) != portal ? portal_links(now, t, &known) : 0;
}

static void on_has(struct elsewhere *e, const struct portal_conf *portal,
                   const struct tunnel_name *t, unsigned links)
{
    struct cluster *c = cluster_of(e);
    uint64_t key = portal_key(portal);
    if (!c->registry)
        return;
    if (!links)
        links = links_of_successor(c, key, portal, t);
    registry_has(c->registry, key, t, links);
}

static const struct elsewhere_ops elsewhere_ops = {.send = forward_send,
                                                   .serves = forward_serves,
                                                   .has = on_has,
                                                   .claim = wishes_claim,
                                                   .leave = wishes_leave};

/* --- life --- */

static bool ask_registry(void *with, struct question *q)
{
    struct cluster *c = with;
    return registry_ask(c->registry, q);
}

static void forget_registry(void *with, struct question *q)
{
    (void)with;
    registry_forget(q);
}

static bool ask_peers(void *with, struct question *q)
{
    return who_has_ask(with, q);
}

static void forget_peers(void *with, struct question *q)
{
    who_has_forget(with, q);
}

static void say_node(struct cluster *c)
{
    guests_say_node(c);
    for (struct list_item *i = list_first(&c->peers); i; i = list_next(&c->peers, i))
        peer_say_node(container_of(i, struct peer, item));
    if (c->registry)
        registry_state(c->registry, cluster_state(c->shared), c->said.links);
}

void cluster_linked(struct cluster *c)
{
    directory_doubt(c->directory, loop_steady());
    for (struct list_item *i = list_first(&c->portals); i; i = list_next(&c->portals, i))
        portal_found(joined_at(i)->portal, NULL);
    hosts_again(c);
}

static bool somebody_is_coming(const struct cluster *c)
{
    for (struct list_item *i = list_first(&c->peers); i; i = list_next(&c->peers, i))
        if (peer_is_coming(container_of(i, struct peer, item)))
            return true;
    return places_are_sought(c);
}

/* It serves once it knows what the others have, or that this cannot be known now. */
static void cluster_rise(struct cluster *c, double now)
{
    uint8_t starts = NODE_STARTS;
    bool knows = c->registry ? registry_is_well(c->registry) : !somebody_is_coming(c);
    if ((knows || now - c->shared->began >= START) &&
        atomic_compare_exchange_strong(&c->shared->state, &starts, NODE_UP))
        log_info("cluster: this node is ready");
}

static void cluster_look(struct cluster *c)
{
    double now = loop_steady();
    peers_look(c, now);
    guests_look(c, now);
    cluster_rise(c, now);
    hosts_again(c);
    if (node_changed(c))
        say_node(c);
    node_tell_bridges(c);
    gauges_look(c, now);
}

static void on_look(struct ev_loop *ev, ev_timer *t, int events)
{
    (void)ev, (void)events;
    cluster_look(t->data);
}

/* The registry is asked before the peers. */
static int directory_open(struct cluster *c)
{
    const struct directory_source sources[] = {{ask_registry, forget_registry, c},
                                               {ask_peers, forget_peers, c}};
    unsigned first = c->registry ? 0 : 1;
    c->directory = directory_new(c->loop, sources + first, 2 - first, forward_told, c);
    return c->directory ? 0 : -1;
}

static int registry_open(struct cluster *c)
{
    const struct registry_owner owner = {wishes_lost, c};
    if (!c->shared->registry)
        return 0;
    c->registry = registry_new(c->loop, c->conf, c->shared->registry, &owner);
    return c->registry ? 0 : -1;
}

static int cluster_open(struct cluster *c)
{
    c->hosts = hosts_new(c);
    c->wishes = wishes_new(c);
    if (!c->hosts || !c->wishes || registry_open(c) < 0 || directory_open(c) < 0 ||
        places_open(c) < 0)
        return -1;
    return guests_open(c);
}

struct cluster *cluster_new(struct loop *l, const struct cluster_conf *conf,
                            struct cluster_shared *shared)
{
    struct cluster *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->elsewhere.ops = &elsewhere_ops;
    c->loop = l;
    c->conf = conf;
    c->shared = shared;
    c->dials = (struct outbound){.loop = l, .tag = "cluster"};
    randombytes_buf(&c->token, sizeof c->token);
    ev_timer_init(&c->look, on_look, LOOK, LOOK);
    c->look.data = c;
    if (cluster_open(c) < 0) {
        cluster_free(c);
        return NULL;
    }
    ev_timer_start(l->ev, &c->look);
    cluster_rise(c, loop_steady());
    node_changed(c);
    node_tell_bridges(c);
    peers_look(c, loop_steady());
    return c;
}

void cluster_drain(struct cluster *c)
{
    atomic_store(&c->shared->state, NODE_DRAINS);
    if (node_changed(c))
        say_node(c);
}

void cluster_listen(struct cluster *c, int fd)
{
    accept_listen(&c->accept, 0, fd);
}

void cluster_free(struct cluster *c)
{
    struct list_item *i;
    c->stopping = true;
    ev_timer_stop(c->loop->ev, &c->look);
    guests_close(c);
    places_close(c);
    peers_free(c);
    directory_free(c->directory);
    wishes_free(c->wishes);
    hosts_free(c->hosts);
    registry_free(c->registry);
    who_has_stop(c);
    forward_stop(c);
    while ((i = list_first(&c->portals))) {
        list_remove(i);
        free(joined_at(i));
    }
    free(c);
}
