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
    bool asked; /* of the cluster: its bridge has not heard yet */
};

/* Not decided yet; what docs/link.md has begins at 1. */
static const enum link_host_answer HOST_LATER = 0;

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

static struct claims *claims_of(const struct carrier *c)
{
    return c->portal->place->all->claims;
}

static const struct tunnel_name *holder_of(const struct carrier *c)
{
    return c->in[0].pool->item.name;
}

/* On another loop it may have been taken again meanwhile, and said before this: then it is said once more. */
static void host_leave(struct carrier *c, const struct hostname_pattern *host)
{
    struct elsewhere *e = c->portal->elsewhere;
    struct tunnel_name now, holder = *holder_of(c);
    unsigned carriers;
    bool asked;
    if (!claims_leave(claims_of(c), host, &holder, loop_steady()) || !e)
        return;
    e->ops->leave(e, c->portal->conf, host, &holder);
    if (claims_look(claims_of(c), host, loop_steady(), &now, &carriers, &asked) && carriers > 0 &&
        tunnel_name_equal(&now, &holder))
        e->ops->claim(e, &c->portal->out, host, &holder);
}

static void host_say(struct carrier *c, const struct hostname_pattern *host,
                     enum link_host_answer answer)
{
    char name[LINK_HOST_MAX + 3];
    snprintf(name, sizeof name, "%s%s", host->below ? "." : "", host->host.text);
    mux_say_host_answer(&c->mux, (struct link_text){.p = name, .len = (uint8_t)strlen(name)},
                        answer);
}

static void host_drop(struct carrier *c, struct held_host *h)
{
    struct hostname_pattern host = h->host;
    *h = c->hosts[--c->host_count];
    host_leave(c, &host);
}

/* The bridge of one carrier hears what the cluster said. */
static void host_decided(struct carrier *c, struct held_host *h, bool granted)
{
    struct hostname_pattern host = h->host;
    if (granted && !h->asked)
        return; /* it heard before */
    h->asked = false;
    if (!granted)
        host_drop(c, h);
    host_say(c, &host, granted ? HOST_GRANTED : HOST_TAKEN);
    if (!granted)
        portal_audit(c->portal, user_of(c), "another tunnel of the cluster has", host.host.text);
}

void portal_host_decided(struct outbound *portal, const struct hostname_pattern *host,
                         const struct tunnel_name *holder, bool granted)
{
    struct portal *p = container_of(portal, struct portal, out);
    claims_decide(p->place->all->claims, host, holder, granted);
    for (struct list_item *i = list_first(&p->carriers); i; i = list_next(&p->carriers, i)) {
        struct carrier *c = container_of(i, struct carrier, item);
        struct held_host *h =
            c->in[0].pool && tunnel_name_equal(holder_of(c), holder) ? held(c, host) : NULL;
        if (h)
            host_decided(c, h, granted);
    }
}

/* It stands among those that are held. */
static enum link_host_answer host_ask(struct carrier *c, const struct hostname_pattern *host,
                                      enum claim_answer here)
{
    struct elsewhere *e = c->portal->elsewhere;
    enum elsewhere_claim a =
        e ? e->ops->claim(e, &c->portal->out, host, holder_of(c)) : ELSEWHERE_GRANTED;
    if (a == ELSEWHERE_LATER)
        return here == CLAIM_ASKED ? HOST_LATER : HOST_GRANTED;
    claims_decide(claims_of(c), host, holder_of(c), a == ELSEWHERE_GRANTED);
    held(c, host)->asked = false;
    if (a == ELSEWHERE_GRANTED)
        return HOST_GRANTED;
    host_drop(c, held(c, host));
    return HOST_TAKEN;
}

static bool host_room(struct carrier *c)
{
    struct held_host *hosts =
        c->host_count < HOSTS_MAX
            ? realloc(c->hosts, (c->host_count + 1) * sizeof(struct held_host))
            : NULL;
    c->hosts = hosts ? hosts : c->hosts;
    return hosts;
}

/* own: what a portal gives is its own for certain; the others hear of it. */
static enum claim_answer claim_take(const struct carrier *c, const struct hostname_pattern *host,
                                    bool own)
{
    struct claims *claims = claims_of(c);
    bool asks = c->portal->elsewhere && !own;
    return (asks ? claims_ask : claims_take)(claims, host, holder_of(c), false, loop_steady());
}

static enum link_host_answer host_take(struct carrier *c, const struct hostname_pattern *host,
                                       bool own)
{
    const struct held_host *h = held(c, host);
    if (h)
        return h->asked ? HOST_LATER : HOST_GRANTED;
    if (!host_room(c))
        return HOST_NOT_ALLOWED;
    enum claim_answer a = claim_take(c, host, own);
    if (a == CLAIM_TAKEN)
        return HOST_TAKEN;
    if (a == CLAIM_FULL)
        return HOST_NOT_ALLOWED;
    c->hosts[c->host_count++] = (struct held_host){.host = *host, .asked = a == CLAIM_ASKED};
    return a == CLAIM_ASKED || own ? host_ask(c, host, a) : HOST_GRANTED;
}

/* own: it is the name that the portal itself gives. */
static enum link_host_answer host_answer(struct carrier *c, const char *name, size_t len, bool own)
{
    struct hostname_pattern host;
    struct err e;
    if (hostname_read_pattern(&host, name, len, &e) < 0 || host.host.port)
        return HOST_INVALID;
    bool allowed = own || claim_host(c->portal->conf, user_of(c), c->tenant, &host);
    return allowed && c->in[0].pool->item.name->by != TUNNEL_PRIVATE ? host_take(c, &host, own)
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
    if (answer != HOST_LATER)
        mux_say_host_answer(&c->mux, name, answer);
}

void carrier_judge_again(struct carrier *c)
{
    char own[HOSTNAME_MAX + 1] = "";
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
        host_leave(c, &h.host);
        host_say(c, &h.host, HOST_NOT_ALLOWED);
    }
    c->host_count = kept;
}

void carrier_leave_hosts(struct carrier *c)
{
    for (unsigned i = 0; i < c->host_count; i++)
        host_leave(c, &c->hosts[i].host);
    free(c->hosts);
    c->hosts = NULL;
    c->host_count = 0;
}
