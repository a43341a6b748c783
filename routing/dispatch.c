#include "routing/dispatch.h"

#include <string.h>
#include <strings.h>

#include "core/log.h"
#include "routing/seat.h"

bool asks_for_mux(const struct meta *m)
{
    return m->user && m->user->may_link && !m->guessed && m->net == NET_TCP &&
           m->target.type == ADDR_NAME && strcasecmp(m->target.name, MUX_NAME) == 0;
}

/* "*.tunnel.example": all names below it. */
static bool name_fits(const char *item, const char *text)
{
    size_t len = strlen(text), end = strlen(item);
    if (*item != '*' || len < end)
        return strcmp(item, text) == 0;
    return strcmp(text + len - (end - 1), item + 1) == 0;
}

bool strings_have(const struct string_list *l, const char *text)
{
    for (size_t i = 0; l && i < l->count; i++)
        if (name_fits(l->items[i], text))
            return true;
    return false;
}

/* An outbound would carry these names to a server where they say: this is a bridge, or a mux, of ours. So they are for
 * our own links, and for users of a tunnel. NULL: no objection. */
static const char *name_objection(const struct dispatcher *d, const struct flow *f,
                                  const char *name)
{
    const struct user *u = f->meta.user;
    if (!name)
        return NULL;
    if (strcmp(name, MUX_NAME) == 0 && !asks_for_mux(&f->meta))
        return "named the Mux.Cool name, which is for users of a tunnel";
    if (f->carrier || (u && u->may_link) || !strings_have(d->links, name))
        return NULL;
    return "named the domain of a bridge, which is for its links";
}

static void dispatch_open(struct flow *f, struct outbound *out)
{
    f->meta.outbound_tag = out->tag;
    f->meta.head = NULL; /* it was the rules' only, and is gone soon */
    f->meta.head_len = 0;
    log_access(&f->meta, out->tag, NULL);
    log_debug(f->id, "to outbound \"%s\"%s", out->tag, f->meta.by_rule ? "" : " (default)");
    flow_limit(f, out->policy);
    out->ops->open(out, f);
}

static void dispatch_refuse(struct flow *f, const char *reason)
{
    struct err why;
    err_set(&why, EHOSTUNREACH, "%s", reason);
    log_access(&f->meta, "", reason);
    flow_refuse(f, &why);
}

/* NULL: and the flow is refused. */
static struct outbound *dispatch_balance(struct dispatcher *d, struct flow *f,
                                         const struct balancer *b)
{
    struct outbound *out = balance_choose(b, d->outbounds);
    if (out)
        return out;
    if (log_allowed(&d->refused, (int64_t)loop_now(d->loop), 2))
        log_warn("balancer \"%s\": no outbound is alive and there is no fallbackTag; flows are "
                 "refused",
                 b->tag);
    dispatch_refuse(f, "none of the balancer's outbounds is alive");
    return NULL;
}

/* NULL: and the flow is refused. */
static struct outbound *dispatch_choose(struct dispatcher *d, struct flow *f, const struct rule *r)
{
    f->meta.by_rule = r != NULL;
    if (r && r->balancer)
        return dispatch_balance(d, f, r->balancer);
    if (!r && !d->fallback)
        dispatch_refuse(f, "no rule matches and there is no default outbound");
    return r ? d->outbounds[r->outbound] : d->fallback;
}

void dispatch_by(struct dispatcher *d, struct flow *f, const struct rule *r)
{
    struct outbound *out = dispatch_choose(d, f, r);
    if (out)
        dispatch_open(f, out);
}

void dispatch(struct dispatcher *d, struct flow *f)
{
    char name[ADDR_NAME_MAX + 1];
    struct query q = query_of(&f->meta, name);
    const char *objection = name_objection(d, f, q.name);
    if (objection) {
        stat_add(d->loop->counters, STAT_names_refused, 1);
        dispatch_refuse(f, objection);
        return;
    }
    if (asks_for_mux(&f->meta) && d->mux) {
        dispatch_open(f, d->mux);
        return;
    }
    enum seat_need need = seat_needed(d, &q);
    if (need != SEAT_NONE)
        seat_take(d, f, need);
    else
        dispatch_by(d, f, rules_match(d->rules, &q));
}

void dispatch_to(struct dispatcher *d, struct flow *f, size_t outbound)
{
    f->meta.by_rule = true;
    dispatch_open(f, d->outbounds[outbound]);
}

struct outbound *dispatcher_find(const struct dispatcher *d, const char *tag)
{
    for (size_t i = 0; i < d->count; i++)
        if (strcmp(d->outbounds[i]->tag, tag) == 0)
            return d->outbounds[i];
    return NULL;
}

void dispatch_through(struct outbound *out, struct flow *f)
{
    f->meta.outbound_tag = out->tag;
    f->meta.by_rule = false;
    flow_limit(f, out->policy);
    out->ops->open(out, f);
}
