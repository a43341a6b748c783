#include "reverse/portal.h"

#include <stdlib.h>
#include <string.h>

#include "reverse/carrier.h"
#include "reverse/control.h"

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
    if (!user_listed(p->conf, f->meta.user))
        return "asked for the portal's domain, but its user is not one of the portal's users";
    return NULL;
}

static void portal_carrier(struct portal *p, struct flow *f)
{
    const char *objection = carrier_objection(p, f);
    if (!objection && !carrier_new(p, f))
        objection = "out of memory";
    if (objection)
        portal_refuse(p, f, STAT_carriers_refused, &p->carrier_complaints, objection);
    else
        loop_ready(p->out.loop, &p->look);
}

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

static void portal_open(struct outbound *out, struct flow *f)
{
    struct portal *p = container_of(out, struct portal, out);
    struct addr target = f->meta.target;
    if (target.type == ADDR_NAME)
        addr_normalise_name(target.name);
    if (target.type != ADDR_NAME)
        portal_visitor(p, f);
    else if (strcmp(target.name, p->domain) == 0)
        portal_carrier(p, f);
    else if (control_is_name(target.name) || strcmp(target.name, p->control) == 0)
        portal_refuse(p, f, STAT_names_refused, &p->name_complaints, "named a control domain");
    else {
        portal_doubt(p, f);
        portal_visitor(p, f);
    }
}

/* --- life --- */

static void on_look(struct task *t)
{
    struct portal *p = container_of(t, struct portal, look);
    portal_look(p);
    shard_tell_others(p->shard);
}

static void on_weigh(struct task *t)
{
    struct portal *p = container_of(t, struct portal, weigh);
    unsigned before = atomic_load(&p->shard->load), load;
    portal_pick(p, &load);
    if (before >= LOAD_NONE && load < LOAD_NONE)
        shard_tell_others(p->shard); /* there is room again */
}

static void portal_drain(struct outbound *out)
{
    struct portal *p = container_of(out, struct portal, out);
    p->going = true;
    for (struct list_item *i = list_first(&p->carriers); i; i = list_next(&p->carriers, i))
        carrier_drain(container_of(i, struct carrier, item), GOING_STOPS);
}

static bool portal_busy(const struct outbound *out)
{
    const struct portal *p = container_of(out, struct portal, out);
    for (struct list_item *i = list_first(&p->carriers); i; i = list_next(&p->carriers, i))
        if (container_of(i, struct carrier, item)->mux.sessions > 0)
            return true;
    return p->waiting_count > 0;
}

/* Some loop has a carrier that takes streams and is not silent. */
static bool portal_alive(const struct outbound *out)
{
    const struct portal *p = container_of(out, struct portal, out);
    return shards_have(p->shard->all, CLASS_SILENT * LOAD_CLASS);
}

static void portal_free(struct outbound *out)
{
    struct portal *p = container_of(out, struct portal, out);
    struct err why;
    struct list_item *i;
    err_set(&why, ECANCELED, "the portal stops");
    shard_leave(p->shard);
    loop_unready(&p->look);
    p->stopping = true;
    portal_empty(p, &why);
    while ((i = list_first(&p->carriers)))
        mux_close(&container_of(i, struct carrier, item)->mux, NULL);
    loop_unready(&p->weigh);
    free(p);
}

static const struct outbound_ops portal_ops = {.open = portal_open,
                                               .drain = portal_drain,
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
    for (struct list_item *i = list_first(&p->carriers); i; i = list_next(&p->carriers, i))
        container_of(i, struct carrier, item)->mux.traffic = &conf->traffic;
}

struct outbound *portal_new(struct loop *l, const struct portal_conf *conf,
                            struct portal_shards *shards)
{
    struct portal *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->out = (struct outbound){.ops = &portal_ops, .loop = l, .tag = conf->tag};
    p->conf = conf;
    p->look.run = on_look;
    p->weigh.run = on_weigh;
    p->shard = shard_join(shards, l, p);
    normal_name(p->domain, conf->domain);
    normal_name(p->control, conf->control_domain);
    return &p->out;
}
