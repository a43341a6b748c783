#include "conf/plan.h"

#include <stdlib.h>

#include "conf/clients.h"
#include "conf/cluster_settings.h"

bool plan_keeps(const ptrdiff_t *kept, size_t count, size_t old)
{
    for (size_t i = 0; i < count; i++)
        if (kept[i] == (ptrdiff_t)old)
            return true;
    return false;
}

/* Digests lie in objects of any type. */
struct row {
    const void *first;
    size_t count, size; /* of an object */
};

static const struct digest *row_at(const struct row *r, size_t i)
{
    return (const struct digest *)(const void *)((const char *)r->first + i * r->size);
}

static struct row row_of(const struct digest *first, size_t count, size_t size)
{
    return (struct row){first, count, size};
}

/* Tags are part of what is compared, and differ; of untagged equals each is found once. */
static ptrdiff_t find(const struct row *from, const struct digest *d, const ptrdiff_t *taken,
                      size_t taken_count)
{
    for (size_t i = 0; i < from->count; i++)
        if (digest_equal(row_at(from, i), d) && !plan_keeps(taken, taken_count, i))
            return (ptrdiff_t)i;
    return PLAN_NEW;
}

static ptrdiff_t *match(struct plan *p, const struct row *from, const struct row *to)
{
    unsigned kept = 0;
    ptrdiff_t *out = calloc(to->count + 1, sizeof *out);
    for (size_t i = 0; out && i < to->count; i++) {
        out[i] = find(from, row_at(to, i), out, i);
        kept += out[i] != PLAN_NEW;
    }
    p->kept += kept;
    p->begun += (unsigned)to->count - kept;
    p->ended += (unsigned)from->count - kept;
    return out;
}

static struct row inbounds_of(const struct config *c)
{
    return c ? row_of(&c->inbounds->digest, c->inbound_count, sizeof *c->inbounds)
             : (struct row){0};
}

static struct row outbounds_of(const struct config *c)
{
    return c ? row_of(&c->outbounds->digest, c->outbound_count, sizeof *c->outbounds)
             : (struct row){0};
}

static struct row bridges_of(const struct config *c)
{
    return c ? row_of(c->bridge_digests, c->bridge_count, sizeof *c->bridge_digests)
             : (struct row){0};
}

static bool plan_match(struct plan *p)
{
    const struct config *from = p->from ? p->from->config : NULL, *to = p->to->config;
    struct row a = inbounds_of(from), b = inbounds_of(to);
    p->inbounds = match(p, &a, &b);
    a = outbounds_of(from), b = outbounds_of(to);
    p->outbounds = match(p, &a, &b);
    a = bridges_of(from), b = bridges_of(to);
    p->bridges = match(p, &a, &b);
    return p->inbounds && p->outbounds && p->bridges;
}

/* Who goes on keeps the clients that he has, the configuration's or others. */
static bool plan_clients(struct plan *p)
{
    struct config *to = p->to->config;
    for (size_t i = 0; i < to->inbound_count; i++)
        if (p->inbounds[i] != PLAN_NEW &&
            clients_carry(to, &to->inbounds[i], &p->from->config->inbounds[p->inbounds[i]]) < 0)
            return false;
    return true;
}

static bool plan_guard(struct plan *p)
{
    p->to->guard = p->from ? vmess_guard_ref(p->from->guard) : vmess_guard_new();
    return p->to->guard;
}

/* Who is overridden, and whose turn it is, goes on under the same tag. */
static bool plan_balancers(struct plan *p)
{
    const struct balancers *from = p->from ? &p->from->config->balancers : NULL;
    struct balancers *to = &p->to->config->balancers;
    for (size_t i = 0; i < to->count; i++) {
        struct balancer *b = &to->items[i];
        const struct balancer *before = from ? balancers_find(from, b->tag) : NULL;
        b->state = before ? balance_state_ref(before->state) : balance_state_new();
        if (!b->state)
            return false;
    }
    return true;
}

static struct health *health_before(const struct config *from, const char *tag)
{
    const struct prober_conf *o = &from->observatory;
    for (size_t i = 0; i < o->count; i++)
        if (from->outbounds[o->items[i].outbound].tag == tag)
            return o->items[i].health;
    return NULL;
}

/* What was observed counts until it is observed again. */
static bool plan_health(struct plan *p)
{
    struct config *to = p->to->config;
    for (size_t i = 0; i < to->observatory.count; i++) {
        struct observed *o = &to->observatory.items[i];
        const char *tag = to->outbounds[o->outbound].tag;
        struct health *before = p->from ? health_before(p->from->config, tag) : NULL;
        o->health = before ? health_ref(before) : health_new();
        if (!o->health)
            return false;
    }
    return true;
}

/* Other nodes know this one, and links to them are up: a process has one cluster, or none, for its life. */
static void plan_cluster(struct plan *p)
{
    struct config *to = p->to->config;
    if (!p->from)
        return;
    struct cluster_settings *now = p->from->config->cluster;
    p->cluster_waits = !cluster_settings_same(now, to->cluster);
    cluster_settings_unref(to->cluster);
    to->cluster = cluster_settings_ref(now);
}

static int plan_open(struct plan *p, size_t i, struct err *e)
{
    const struct config *from = p->from ? p->from->config : NULL, *to = p->to->config;
    const struct inbound_conf *in = &to->inbounds[i];
    bool fresh = p->inbounds[i] == PLAN_NEW;
    if (fresh && doors_init(&p->doors[i], in, p->loops) < 0)
        return err_set(e, ENOMEM, "out of memory");
    for (size_t old = 0; fresh && from && old < from->inbound_count; old++)
        if (!plan_keeps(p->inbounds, to->inbound_count, old))
            doors_inherit(&p->doors[i], in, &from->inbounds[old], (ptrdiff_t)old);
    return fresh ? doors_open(&p->doors[i], in, e) : 0;
}

static bool plan_portals(struct plan *p, struct portals *portals)
{
    const struct config *to = p->to->config;
    for (size_t i = 0; i < to->outbound_count; i++) {
        if (to->outbounds[i].kind != OUT_PORTAL)
            continue;
        p->to->portals[i] = p->outbounds[i] == PLAN_NEW ? portals_add(portals, p->loops)
                                                        : p->from->portals[p->outbounds[i]];
        if (!p->to->portals[i])
            return false;
    }
    return true;
}

int plan_init(struct plan *p, struct generation *from, struct generation *to, unsigned loops,
              struct portals *portals, struct err *e)
{
    *p = (struct plan){.from = from, .to = to, .loops = loops};
    p->doors = calloc(to->config->inbound_count + 1, sizeof *p->doors);
    if (!p->doors || !plan_match(p) || !plan_portals(p, portals) || !plan_guard(p) ||
        !plan_balancers(p) || !plan_health(p) || !plan_clients(p)) {
        plan_fini(p);
        return err_set(e, ENOMEM, "out of memory");
    }
    plan_cluster(p);
    for (size_t i = 0; i < to->config->inbound_count; i++)
        if (plan_open(p, i, e) < 0) {
            plan_fini(p);
            return -1;
        }
    return 0;
}

void plan_fini(struct plan *p)
{
    for (size_t i = 0; p->doors && i < p->to->config->inbound_count; i++)
        doors_fini(&p->doors[i]);
    free(p->doors);
    free(p->inbounds);
    free(p->outbounds);
    free(p->bridges);
    *p = (struct plan){0};
}
