/* cluster/node.c -- what this node says of itself to others, and what it makes of what they say. */
#include "cluster/inside.h"

enum { WANTED_MOST = 2 }; /* links that bridges are asked to keep, unless the configuration says */

static const uint8_t state_words[] = {
    [NODE_STARTS] = LINK_NODE_STARTS,
    [NODE_UP] = LINK_NODE_UP,
    [NODE_DRAINS] = LINK_NODE_DRAINS,
};

static struct link_node node_self(struct cluster *c)
{
    const struct cluster_conf *conf = c->conf;
    unsigned portals = nodes_count(c->shared->nodes, loop_steady());
    unsigned wanted = conf->links ? conf->links : portals < WANTED_MOST ? portals : WANTED_MOST;
    struct link_node n = {.state = state_words[atomic_load(&c->shared->state)],
                          .version = PEER_VERSION,
                          .epoch = c->shared->epoch,
                          .portals = (uint16_t)portals,
                          .wanted = (uint8_t)wanted,
                          .spread = (uint32_t)(conf->spread * 1000),
                          .name = text_of(conf->node),
                          .zone = text_of(conf->zone)};
    for (struct list_item *i = list_first(&c->portals); i; i = list_next(&c->portals, i))
        n.links += portal_carriers(container_of(i, struct joined, item)->portal);
    return n;
}

void node_say(struct cluster *c, struct mux *m)
{
    struct link_node n = node_self(c);
    mux_say_node(m, &n);
    if (c->conf->advertise.type != ADDR_NONE)
        mux_say_place(m, &c->conf->advertise);
}

bool node_changed(struct cluster *c)
{
    struct link_node n = node_self(c);
    bool same = n.state == c->said.state && n.portals == c->said.portals &&
                n.wanted == c->said.wanted && n.links == c->said.links;
    c->said = n;
    return !same;
}

void node_tell_bridges(struct cluster *c)
{
    double now = loop_steady();
    uint64_t all = c->said.links, least = all;
    nodes_links(c->shared->nodes, now, &all, &least);
    crowd_set(&c->elsewhere.crowd, &c->said, (double)all / nodes_count(c->shared->nodes, now),
              (double)least);
}

bool node_is_self(const struct cluster *c, const struct link_node *n)
{
    return n->epoch == c->shared->epoch && n->name.len == strlen(c->conf->node) &&
           memcmp(n->name.p, c->conf->node, n->name.len) == 0;
}

static uint8_t state_read(uint8_t word)
{
    return word == LINK_NODE_STARTS   ? NODE_STARTS
           : word == LINK_NODE_DRAINS ? NODE_DRAINS
                                      : NODE_UP;
}

const char *node_objection(const struct cluster *c, const struct link_node *n,
                           struct node_view *view)
{
    *view = (struct node_view){
        .epoch = n->epoch, .state = state_read(n->state), .version = n->version, .links = n->links};
    text_copy(view->name, n->name);
    text_copy(view->zone, n->zone);
    if (!*view->name)
        return "it has no name";
    if (n->version != PEER_VERSION)
        return "it speaks another version of what portals say to each other";
    if (strcmp(view->name, c->conf->node) == 0 && !node_is_self(c, n))
        return "it has the name of this node: \"node\" must be another one on each";
    return NULL;
}

/* --- answers --- */

bool tunnel_read(const struct link_tunnel *from, struct tunnel_name *t,
                 char tenant[NODE_NAME_MAX + 1])
{
    *t = (struct tunnel_name){.by = from->by};
    text_copy(t->text, from->name);
    text_copy(tenant, from->tenant);
    t->tenant = *tenant ? tenant : NULL;
    return from->by <= TUNNEL_PRIVATE && (from->by == TUNNEL_UNNAMED || *t->text);
}

static void answer_tunnel(const struct cluster *c, const struct link_question *q,
                          struct link_answer *a)
{
    struct outbound *portal = cluster_portal(c, q->portal);
    char tenant[NODE_NAME_MAX + 1];
    struct tunnel_name t;
    if (!portal || !tunnel_read(&q->tunnel, &t, tenant))
        return;
    unsigned links = portal_links(portal, &t, &a->known);
    if (!links)
        return;
    a->count = 1;
    a->at[0] = (struct link_place){.epoch = c->shared->epoch,
                                   .links = (uint16_t)(links < UINT16_MAX ? links : UINT16_MAX),
                                   .node = text_of(c->conf->node)};
}

void node_answer(struct cluster *c, struct mux *m, const struct link_question *q)
{
    struct link_answer a = {.token = q->token};
    struct tunnel_name holder;
    if (q->kind == LINK_ASK_TUNNEL)
        answer_tunnel(c, q, &a);
    else if (q->kind == LINK_ASK_HOST || q->kind == LINK_ASK_CLAIM)
        hosts_answer(c, q, &holder, &a);
    mux_say_answer(m, &a);
}
