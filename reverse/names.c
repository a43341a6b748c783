/* reverse/names.c -- what a bridge says of itself on a link, and what of it the claims of its user cover: node,
 * cluster, tenant, and hostnames under which it wants to be reached. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reverse/carrier.h"
#include "routing/claims.h"

enum { HOSTS_MAX = 64 }; /* that one link may hold */

struct held_host {
    struct hostname_pattern host;
};

static const struct meta *user_of(const struct carrier *c)
{
    return &c->mux.end.flow->meta;
}

static void names_refuse(struct carrier *c, const char *what, const char *name)
{
    portal_audit(c->portal, user_of(c), what, name);
    carrier_reject(c, what, name);
}

/* --- node, cluster, tenant --- */

/* False: that is not the tenant of its user. */
static bool tenant_fits(const struct carrier *c, struct link_text tenant)
{
    const char *own = c->tenant ? c->tenant : "";
    return !tenant.len || (strlen(own) == tenant.len && memcmp(own, tenant.p, tenant.len) == 0);
}

/* Why it may not be in this pool, or not have it; NULL: no objection. */
static const char *objection(struct carrier *c, const struct tunnel_name *t, struct pool **pool)
{
    const struct portal_conf *conf = c->portal->conf;
    bool node = t->by == TUNNEL_BY_NODE;
    if (!claim_names(conf, user_of(c), c->tenant, t->by, t->text))
        return node ? "no claim of its user covers the node"
                    : "no claim of its user covers the cluster";
    *pool = pool_named(c->portal, t, conf->max_tunnels);
    if (!*pool)
        return "the portal has no room (maxTunnels) for the name";
    if (shard_is_full((*pool)->shard))
        return "too many links have the name";
    if (node && !conf->claims && !shard_hold((*pool)->shard, user_of(c)->user->email))
        return "another user has the node";
    return NULL;
}

/* The pool of this name, NULL: it names none. False: it asked for too much, and was rejected. */
static bool pool_by(struct carrier *c, enum tunnel_by by, struct link_text name, struct pool **pool)
{
    struct tunnel_name t = {.tenant = c->tenant, .by = (uint8_t)by};
    *pool = NULL;
    if (!name.len || !tunnel_text_read(t.text, name.p, name.len))
        return true;
    const char *why = objection(c, &t, pool);
    if (why)
        names_refuse(c, why, t.text);
    return !why;
}

/* Zero means none. */
static uint64_t node_number(const struct carrier *c, const char *name)
{
    uint64_t n;
    crypto_shorthash((uint8_t *)&n, (const uint8_t *)name, strlen(name),
                     c->portal->place->all->tunnels.key);
    return n | 1;
}

void carrier_named(struct carrier *c, const struct link_names *names)
{
    struct pool *node, *cluster;
    char tenant[TUNNEL_NAME_MAX + 1] = "";
    if (!c->in[0].pool)
        return; /* it is rejected */
    c->weight = names->weight;
    if (!tenant_fits(c, names->tenant)) {
        memcpy(tenant, names->tenant.p, names->tenant.len % sizeof tenant);
        names_refuse(c, "its user is not of the tenant", tenant);
        return;
    }
    if (c->in[0].pool->item.name->by == TUNNEL_PRIVATE)
        return; /* of a private one: who names it finds it, and nobody else */
    if (!pool_by(c, TUNNEL_BY_NODE, names->node, &node) ||
        !pool_by(c, TUNNEL_BY_CLUSTER, names->cluster, &cluster))
        return;
    c->node = node ? node_number(c, node->item.name->text) : 0;
    if (node)
        pool_join(node, &c->in[1], c);
    if (cluster)
        pool_join(cluster, &c->in[2], c);
}

/* Of its user's tenant, and as private as before. */
static bool still_serves(struct carrier *c, const struct tunnel_name *is)
{
    struct tunnel_name t = *is;
    t.by = TUNNEL_BY_ID;
    return claim_serves(c->portal->conf, user_of(c), &t) && tunnel_name_equal(&t, is);
}

/* False: a name of its is another's now; it was rejected. */
static bool names_hold(struct carrier *c)
{
    static const char *const what[PLACES] = {"no claim of its user covers the tunnel",
                                             "no claim of its user covers the node",
                                             "no claim of its user covers the cluster"};
    for (int i = 0; i < PLACES; i++) {
        const struct tunnel_name *is = c->in[i].pool ? c->in[i].pool->item.name : NULL;
        if (!is || is->by == TUNNEL_UNNAMED)
            continue;
        if (i == 0 ? still_serves(c, is)
                   : claim_names(c->portal->conf, user_of(c), is->tenant, is->by, is->text))
            continue;
        names_refuse(c, what[i], is->text);
        return false;
    }
    return true;
}

/* --- hostnames --- */

/* The same for all bridges of a tunnel, today and tomorrow; false: this portal has none to give. */
static bool automatic_name(const struct carrier *c, char name[HOSTNAME_MAX + 1])
{
    const struct portal *p = c->portal;
    const struct tunnel_name *t = c->in[0].pool->item.name;
    crypto_hash_sha256_state s;
    uint8_t hash[crypto_hash_sha256_BYTES];
    char hex[17];
    const char *below = p->conf->host_domain ? p->conf->host_domain : p->domain + 2; /* of "*." */
    if (p->pool || strlen(below) + sizeof hex > HOSTNAME_MAX)
        return false;
    crypto_hash_sha256_init(&s);
    if (t->tenant) { /* others may have a tunnel of this name */
        crypto_hash_sha256_update(&s, (const uint8_t *)t->tenant, strlen(t->tenant));
        crypto_hash_sha256_update(&s, (const uint8_t *)"/", 1);
    }
    crypto_hash_sha256_update(&s, (const uint8_t *)t->text, strlen(t->text));
    crypto_hash_sha256_final(&s, hash);
    sodium_bin2hex(hex, sizeof hex, hash, sizeof hex / 2);
    snprintf(name, HOSTNAME_MAX + 1, "%s.%s", hex, below);
    return true;
}

static struct held_host *held(const struct carrier *c, const struct hostname_pattern *host)
{
    for (unsigned i = 0; i < c->host_count; i++)
        if (c->hosts[i].host.below == host->below &&
            strcmp(c->hosts[i].host.host.text, host->host.text) == 0)
            return &c->hosts[i];
    return NULL;
}

static enum link_host_answer host_take(struct carrier *c, const struct hostname_pattern *host)
{
    const struct tunnel_name *holder = c->in[0].pool->item.name;
    if (held(c, host))
        return HOST_GRANTED;
    struct held_host *hosts =
        c->host_count < HOSTS_MAX
            ? realloc(c->hosts, (c->host_count + 1) * sizeof(struct held_host))
            : NULL;
    if (!hosts)
        return HOST_NOT_ALLOWED;
    c->hosts = hosts;
    switch (claims_take(c->portal->place->all->claims, host, holder, false, loop_steady())) {
    case CLAIM_GRANTED:
        c->hosts[c->host_count++].host = *host;
        return HOST_GRANTED;
    case CLAIM_TAKEN:
        return HOST_TAKEN;
    case CLAIM_FULL:
        break;
    }
    return HOST_NOT_ALLOWED;
}

/* own: it is the name that the portal itself gives. */
static enum link_host_answer host_answer(struct carrier *c, const char *name, size_t len, bool own)
{
    struct hostname_pattern host;
    struct err e;
    if (hostname_read_pattern(&host, name, len, &e) < 0 || host.host.port)
        return HOST_INVALID;
    bool allowed = own || claim_host(c->portal->conf, user_of(c), c->tenant, &host);
    return allowed && c->in[0].pool->item.name->by != TUNNEL_PRIVATE ? host_take(c, &host)
                                                                     : HOST_NOT_ALLOWED;
}

void carrier_wants_host(struct carrier *c, struct link_text wish)
{
    char own[HOSTNAME_MAX + 1] = "";
    struct link_text name = wish;
    if (!c->in[0].pool)
        return; /* it is rejected */
    if (!wish.len && automatic_name(c, own))
        name = (struct link_text){.p = own, .len = (uint8_t)strlen(own)};
    enum link_host_answer answer = host_answer(c, name.p, name.len, *own);
    if (answer == HOST_TAKEN || answer == HOST_NOT_ALLOWED) {
        char text[LINK_HOST_MAX + 1];
        snprintf(text, sizeof text, "%.*s", (int)name.len, name.p);
        portal_audit(c->portal, user_of(c),
                     answer == HOST_TAKEN ? "another tunnel has" : "no claim of its user covers",
                     text);
    }
    mux_say_host_answer(&c->mux, name, answer);
}

static void host_leave(struct carrier *c, const struct held_host *h)
{
    claims_leave(c->portal->place->all->claims, &h->host, c->in[0].pool->item.name, loop_steady());
}

void carrier_judge_again(struct carrier *c)
{
    char own[HOSTNAME_MAX + 1] = "", name[LINK_HOST_MAX + 3];
    unsigned kept = 0;
    if (!c->in[0].pool || !names_hold(c))
        return;
    automatic_name(c, own);
    for (unsigned i = 0; i < c->host_count; i++) {
        struct held_host h = c->hosts[i];
        if ((!h.host.below && strcmp(h.host.host.text, own) == 0) ||
            claim_host(c->portal->conf, user_of(c), c->tenant, &h.host)) {
            c->hosts[kept++] = h;
            continue;
        }
        host_leave(c, &h);
        snprintf(name, sizeof name, "%s%s", h.host.below ? "." : "", h.host.host.text);
        mux_say_host_answer(&c->mux, (struct link_text){.p = name, .len = (uint8_t)strlen(name)},
                            HOST_NOT_ALLOWED);
    }
    c->host_count = kept;
}

void carrier_leave_hosts(struct carrier *c)
{
    for (unsigned i = 0; i < c->host_count; i++)
        host_leave(c, &c->hosts[i]);
    free(c->hosts);
    c->hosts = NULL;
    c->host_count = 0;
}
