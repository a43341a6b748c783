#include "reverse/elsewhere.h"

#include <sodium.h>
#include <string.h>

#include "reverse/carrier.h"
#include "routing/claims.h"

static struct portal *portal_of(struct outbound *out)
{
    return container_of(out, struct portal, out);
}

unsigned portal_carriers(const struct outbound *portal)
{
    return atomic_load(&container_of(portal, struct portal, out)->place->all->carriers);
}

const struct portal_conf *portal_settings(const struct outbound *portal)
{
    return container_of(portal, struct portal, out)->conf;
}

void portal_join_cluster(struct outbound *portal, struct elsewhere *e)
{
    portal_of(portal)->elsewhere = e;
}

uint64_t portal_key(const struct portal_conf *portal)
{
    uint8_t hash[crypto_hash_sha256_BYTES];
    char domain[ADDR_NAME_MAX + 1] = "";
    uint64_t key = 0;
    strncpy(domain, portal->domain, ADDR_NAME_MAX);
    addr_normalise_name(domain);
    crypto_hash_sha256(hash, (const uint8_t *)domain, strlen(domain));
    for (size_t i = 0; i < sizeof key; i++)
        key = key << 8 | hash[i];
    return key;
}

unsigned portal_links(struct outbound *portal, const struct tunnel_name *t, bool *known)
{
    return shards_count(portal_of(portal)->place->all, t, TUNNEL_KNOWN, known);
}

struct claims *portal_claims(const struct outbound *portal)
{
    return container_of(portal, const struct portal, out)->place->all->claims;
}

/* The one that this loop has, without making any. */
static struct pool *pool_found(struct portal *p, const struct tunnel_name *t)
{
    return t->by == TUNNEL_UNNAMED ? p->pool : pool_named(p, t, 0);
}

static void look_soon(struct pool *pool, void *with)
{
    (void)with;
    if (pool->waiting_count)
        pool_look_soon(pool);
}

void portal_found(struct outbound *portal, const struct tunnel_name *t)
{
    struct portal *p = portal_of(portal);
    struct pool *pool = t ? pool_found(p, t) : NULL;
    if (!t)
        pools_each(p, look_soon, NULL);
    if (pool)
        pool_look_soon(pool); /* also for who waits for an answer of a silent bridge */
}

/* The hostname for which he came is still the tunnel's. */
static bool holds_target(const struct portal *p, const struct meta *m)
{
    struct tunnel_name holder;
    struct hostname host;
    char text[ADDR_TEXT_MAX];
    struct err e;
    bool is_private;
    addr_host_text(&m->target, text);
    return hostname_read_bare(&host, text, strlen(text), &e) == 0 &&
           claims_find(p->place->all->claims, host.text, loop_steady(), &holder, &is_private) &&
           tunnel_name_equal(&holder, &m->tunnel);
}

void portal_forwarded(struct outbound *portal, struct flow *f, bool by_claim)
{
    struct portal *p = portal_of(portal);
    struct pool *pool = pool_found(p, &f->meta.tunnel);
    bool fits = pool && (!by_claim || holds_target(p, &f->meta));
    struct err why;
    f->meta.tunnel.tenant = pool ? pool->item.name->tenant : NULL;
    if (fits && pool_takes(pool, f))
        return;
    err_set(&why, ENOLINK, "no bridge of the tunnel is connected here");
    flow_refuse(f, &why);
}

void portal_returned(struct outbound *portal, struct end *seat)
{
    portal_visitor_again(portal_of(portal), seat);
}
