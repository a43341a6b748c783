#include "reverse/portal.h"

#include <stdlib.h>
#include <string.h>

#include "reverse/carrier.h"
#include "reverse/control.h"
#include "routing/dispatch.h"

/* --- who may be a carrier --- */

static bool user_listed(const struct portal_conf *conf, const struct user *u)
{
    for (size_t i = 0; i < conf->user_count; i++)
        if (strcmp(conf->users[i], u->email) == 0)
            return true;
    return !conf->users;
}

/* NULL: this flow may become a carrier. Else why not. */
static const char *carrier_objection(const struct portal *p, const struct flow *f)
{
    if (f->meta.guessed)
        return "has the portal's domain in its first bytes only";
    if (!f->meta.user)
        return "asked for the portal's domain without having authenticated";
    if (!f->meta.user->may_link)
        return "asked for the portal's domain as the user of a proxy, who cannot be a bridge";
    if (f->packets)
        return "asked for the portal's domain by UDP";
    if (!f->meta.by_rule)
        return "asked for the portal's domain, but no rule sends it here";
    if (p->pool && !user_listed(p->conf, f->meta.user))
        return "asked for the portal's domain, but its user is not one of the portal's users";
    return NULL;
}

/* Its bridge hears why, and after how many seconds it may come again. */
static void bridge_refused(struct portal *p, struct flow *f, const char *objection,
                           const char *name, double wait)
{
    portal_audit(p, &f->meta, objection, name);
    if (!refusal_new(p, f, objection, name, wait))
        portal_refuse(p, f, STAT_carriers_refused, &p->carrier_complaints, objection);
}

/* The bridges of a portal that broke come all at once. */
static void carrier_begin(struct portal *p, struct pool *pool, struct flow *f)
{
    const struct elsewhere *e = p->elsewhere;
    if (e && !crowd_admits(&p->door, loop_steady()))
        bridge_refused(p, f, "too many bridges come at once to", p->conf->tag,
                       crowd_wait(&e->crowd));
    else if (!carrier_new(pool, f))
        portal_refuse(p, f, STAT_carriers_refused, &p->carrier_complaints, "out of memory");
}

/* By a rule, and of a user who may be a bridge. */
static bool portal_lets_in(struct portal *p, struct flow *f)
{
    const char *objection = carrier_objection(p, f);
    if (objection)
        portal_refuse(p, f, STAT_carriers_refused, &p->carrier_complaints, objection);
    return !objection;
}

static void portal_carrier(struct portal *p, struct flow *f)
{
    if (portal_lets_in(p, f))
        carrier_begin(p, p->pool, f);
}

/* --- many tunnels --- */

void portal_audit(struct portal *p, const struct meta *who, const char *what, const char *name)
{
    char from[ADDR_TEXT_MAX], text[4 * LINK_WHY_MAX];
    stat_add(p->out.loop->counters, STAT_carriers_refused, 1);
    if (log_allowed(&p->claim_complaints, (int64_t)loop_now(p->out.loop), 2))
        log_warn("portal %s: bridge %s, user %s, is refused: %s \"%s\"", p->conf->tag,
                 addr_text(&who->source, from), who->user ? who->user->email : "", what,
                 log_escape(name, strlen(name), text, sizeof text));
}

/* Why a bridge may not be this tunnel, or its pool. */
static const char *tunnel_objection(struct portal *p, const struct meta *who, struct tunnel_name *t,
                                    struct pool **pool)
{
    if (!user_listed(p->conf, who->user))
        return "its user may not be a bridge here, nor have";
    if (!claim_serves(p->conf, who, t))
        return "no claim of its user covers the tunnel";
    *pool = pool_named(p, t, p->conf->max_tunnels);
    if (!*pool)
        return "the portal has no room (maxTunnels) for the tunnel";
    if (shard_is_full((*pool)->shard))
        return "too many links have the tunnel";
    if (!p->conf->claims && !shard_hold((*pool)->shard, who->user->email))
        return "another user has the tunnel";
    return NULL;
}

/* Bridges take a stream to such a name for the portal's own words. */
static bool is_control(const struct portal *p, const char *name)
{
    return control_is_name(name) || strcmp(name, p->control) == 0;
}

/* Behind the tunnel its id is what visitors ask for, so it is none of the names that mean more there. */
static bool id_read(const struct portal *p, struct tunnel_name *t, const char *id)
{
    return tunnel_text_read(t->text, id, strlen(id)) && !is_control(p, t->text) &&
           strcmp(t->text, MUX_NAME) != 0;
}

/* id: what stands in front of the portal's domain. */
static void tunnel_carrier(struct portal *p, struct flow *f, const char *id)
{
    struct tunnel_name t = {.by = TUNNEL_BY_ID};
    struct pool *pool = NULL;
    const char *objection = "no tunnel can have the id";
    if (!portal_lets_in(p, f))
        return;
    if (id_read(p, &t, id))
        objection = tunnel_objection(p, &f->meta, &t, &pool);
    if (!objection) {
        carrier_begin(p, pool, f);
        return;
    }
    bridge_refused(p, f, objection, id, REFUSED_WAIT);
}

static const char *visit_objection(const struct portal *p, const struct flow *f,
                                   struct tunnel_name *t, const char *id)
{
    if (f->meta.guessed)
        return "has the name of a tunnel in its first bytes only";
    if (!f->meta.user)
        return "named a tunnel without having authenticated";
    if (!id_read(p, t, id) || !claim_visits(p->conf, &f->meta, t))
        return "named a tunnel that no claim of its user has";
    return NULL;
}

/* A user names the tunnel himself; behind it the name of this portal means nothing, and only the id is left of it. */
static void tunnel_visitor(struct portal *p, struct flow *f, const char *id)
{
    struct tunnel_name t = {.by = TUNNEL_BY_ID};
    const char *objection = visit_objection(p, f, &t, id);
    if (objection) {
        portal_refuse(p, f, STAT_names_refused, &p->name_complaints, objection);
        return;
    }
    f->meta.tunnel = t;
    memcpy(f->meta.target.name, t.text, sizeof t.text);
    portal_visitor(p, f);
}

/* What stands in front of ".tunnel.example" if the domain is "*.tunnel.example"; NULL: nothing. */
static char *id_in(const struct portal *p, char *name)
{
    size_t len = strlen(name), behind = strlen(p->domain) - 1;
    if (p->pool || len <= behind || strcmp(name + len - behind, p->domain + 1) != 0)
        return NULL;
    name[len - behind] = '\0';
    return name;
}

/* The target names a tunnel: a bridge that wants to be it, or a user who wants to go there. */
static void portal_tunnel(struct portal *p, struct flow *f, const char *id)
{
    if (f->meta.target.port == 0 && !f->packets)
        tunnel_carrier(p, f, id);
    else
        tunnel_visitor(p, f, id);
}

/* --- visitors --- */

/* A bridge asks for its domain and no port. This one may be meant for here, or for a portal behind this one. */
static void portal_doubt(struct portal *p, const struct flow *f)
{
    const struct meta *m = &f->meta;
    char to[ADDR_TEXT_MAX];
    if (m->target.port != 0 || f->packets || m->guessed || !m->user || !m->user->may_link)
        return;
    if (log_allowed(&p->stray_complaints, (int64_t)loop_now(p->out.loop), 1))
        log_warn("portal %s: %s asks for %s as bridges do, but the domain here is %s", p->conf->tag,
                 m->user->email, addr_text(&m->target, to), p->domain);
}

/* An inbound may have chosen a tunnel for him, but none that is private. */
static void portal_welcome(struct portal *p, struct flow *f)
{
    uint8_t by = f->meta.tunnel.by;
    if (by == TUNNEL_PRIVATE || (by == TUNNEL_UNNAMED && !p->pool))
        portal_refuse(p, f, STAT_no_carrier, &p->empty_complaints, "no tunnel is named");
    else
        portal_visitor(p, f);
}

static void portal_open(struct outbound *out, struct flow *f)
{
    struct portal *p = container_of(out, struct portal, out);
    struct addr target = f->meta.target;
    const char *id;
    bool names = target.type == ADDR_NAME, led = f->meta.tunnel.by != TUNNEL_UNNAMED;
    if (names)
        addr_normalise_name(target.name);
    if (names && !led && p->pool && strcmp(target.name, p->domain) == 0)
        portal_carrier(p, f);
    else if (names && is_control(p, target.name))
        portal_refuse(p, f, STAT_names_refused, &p->name_complaints, "named a control domain");
    else if (!names || led)
        portal_welcome(p, f);
    else if ((id = id_in(p, target.name)))
        portal_tunnel(p, f, id);
    else {
        portal_doubt(p, f);
        portal_welcome(p, f);
    }
}

/* --- life --- */

static void portal_drain(struct outbound *out)
{
    struct portal *p = container_of(out, struct portal, out);
    if (p->going)
        return;
    p->going = true;
    portal_leave_crowd(p);
}

static bool portal_busy(const struct outbound *out)
{
    const struct portal *p = container_of(out, struct portal, out);
    for (struct list_item *i = list_first(&p->carriers); i; i = list_next(&p->carriers, i))
        if (container_of(i, struct carrier, item)->mux.sessions > 0)
            return true;
    return p->waiting_count > 0 || portal_is_leaving(p);
}

/* Some loop has a carrier that takes streams and is not silent. */
static bool portal_alive(const struct outbound *out)
{
    const struct portal *p = container_of(out, struct portal, out);
    return p->pool ? shards_have(p->pool->shard->all, CLASS_SILENT * LOAD_CLASS)
                   : atomic_load(&p->place->all->carriers) > 0;
}

static void pool_close(struct pool *pool, void *why)
{
    pool_empty(pool, why);
}

static void pool_end(struct pool *pool, void *with)
{
    (void)with;
    pool_free(pool);
}

static void portal_free(struct outbound *out)
{
    struct portal *p = container_of(out, struct portal, out);
    struct err why;
    struct list_item *i;
    err_set(&why, ECANCELED, "the portal stops");
    p->stopping = true;
    pools_each(p, pool_close, &why);
    while ((i = list_first(&p->carriers)))
        mux_close(&container_of(i, struct carrier, item)->mux, NULL);
    refusals_end(p);
    pools_each(p, pool_end, NULL);
    ev_timer_stop(p->out.loop->ev, &p->sweep);
    tunnels_fini(&p->pools);
    place_leave(p->place);
    free(p);
}

static bool portal_tells(const struct outbound *out)
{
    return portal_is_leaving(container_of(out, struct portal, out));
}

static const struct outbound_ops portal_ops = {.open = portal_open,
                                               .drain = portal_drain,
                                               .tells = portal_tells,
                                               .busy = portal_busy,
                                               .alive = portal_alive,
                                               .free = portal_free};

static void normal_name(char out[ADDR_NAME_MAX + 1], const char *name)
{
    out[0] = '\0';
    if (!name)
        return;
    strncpy(out, name, ADDR_NAME_MAX);
    out[ADDR_NAME_MAX] = '\0';
    addr_normalise_name(out);
}

void portal_adopt(struct outbound *out, const struct portal_conf *conf)
{
    struct portal *p = container_of(out, struct portal, out);
    p->out.tag = conf->tag;
    p->conf = conf;
    for (struct list_item *i = list_first(&p->carriers); i; i = list_next(&p->carriers, i)) {
        struct carrier *c = container_of(i, struct carrier, item);
        c->mux.traffic = &conf->traffic;
        carrier_judge_again(c);
    }
}

static void on_sweep(struct ev_loop *ev, ev_timer *t, int events)
{
    (void)ev, (void)events;
    pools_sweep(t->data);
}

struct outbound *portal_new(struct loop *l, const struct portal_conf *conf,
                            struct portal_shards *shards)
{
    static const struct tunnel_name none;
    struct portal *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->out = (struct outbound){.ops = &portal_ops, .loop = l, .tag = conf->tag};
    p->conf = conf;
    p->place = place_take(shards, l, p);
    p->began = loop_steady();
    tunnels_init(&p->pools);
    ev_init(&p->sweep, on_sweep);
    p->sweep.data = p;
    normal_name(p->domain, conf->domain);
    normal_name(p->control, conf->control_domain);
    if (strncmp(p->domain, "*.", 2) == 0 || (p->pool = pool_new(p, &none, 0)))
        return &p->out;
    place_leave(p->place);
    free(p);
    return NULL;
}
