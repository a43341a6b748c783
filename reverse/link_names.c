/* reverse/link_names.c -- what a bridge's link says of its bridge, and what the portal answers. */
#include <stdio.h>
#include <string.h>

#include "reverse/way.h"

static const double COMPLAINT = 30; /* seconds between warnings that a portal can cause */

static struct link_text text_of(const char *text)
{
    return text ? (struct link_text){text, (uint8_t)strlen(text)} : (struct link_text){0};
}

static bool bridge_is_named(const struct bridge_conf *c)
{
    return c->node || c->cluster || c->tenant;
}

/* The usual weight, and no name, go without saying: peers of all kinds hear no more than they must. */
void link_introduce(struct link *k)
{
    const struct bridge *b = k->way->bridge;
    const struct bridge_conf *c = b->conf;
    uint8_t weight = bridge_weight(b);
    if (bridge_is_named(c) || weight != LINK_WEIGHT_USUAL)
        mux_say_names(&k->mux, &(struct link_names){.weight = weight,
                                                    .node = text_of(c->node),
                                                    .cluster = text_of(c->cluster),
                                                    .tenant = text_of(c->tenant)});
    for (size_t i = 0; i < c->host_count; i++)
        mux_say_host(&k->mux, text_of(c->hosts[i]));
}

/* --- what the portal says --- */

void link_met(struct mux *m)
{
    struct way *y = link_of(m)->way;
    const struct bridge_conf *c = y->bridge->conf;
    if (m->features & LINK_NAMED || y->met_old || !(bridge_is_named(c) || c->host_count))
        return;
    y->met_old = true;
    log_warn("bridge %s: its portal is an older v2c, which knows nothing of names and hosts",
             c->tag);
}

static const char *objection_of(int answer)
{
    switch (answer) {
    case HOST_TAKEN:
        return "another tunnel has that name";
    case HOST_NOT_ALLOWED:
        return "the portal does not allow it to this user";
    case HOST_INVALID:
        return "the portal takes it for no hostname";
    }
    return "the portal refuses it";
}

static void host_told(struct way *y, size_t i, struct link_text name, int answer)
{
    const char *tag = y->bridge->conf->tag, *below = name.len && *name.p == '.' ? "*" : "";
    if (y->hosts[i] == answer)
        return;
    y->hosts[i] = (uint8_t)answer;
    if (!*y->bridge->conf->hosts[i])
        snprintf(y->any, sizeof y->any, "%.*s", name.len, name.p);
    if (answer == HOST_GRANTED)
        log_info("bridge %s: reachable at http://%s%.*s", tag, below, name.len, name.p);
    else if (log_allowed(&y->bridge->refused, (int64_t)loop_now(y->bridge->in.loop), 2))
        log_warn("bridge %s: not reachable at %s%.*s: %s", tag, below, name.len, name.p,
                 objection_of(answer));
}

/* The answer to "", any name, has the name that the portal chose. */
void link_host_answered(struct mux *m, struct link_text name, int answer)
{
    struct way *y = link_of(m)->way;
    const struct bridge_conf *c = y->bridge->conf;
    size_t any = c->host_count, i;
    for (i = 0; i < c->host_count; i++) {
        if (strlen(c->hosts[i]) == name.len && memcmp(c->hosts[i], name.p, name.len) == 0)
            break;
        any = *c->hosts[i] ? any : i;
    }
    i = i < c->host_count ? i : any;
    if (i < c->host_count)
        host_told(y, i, name, answer);
}

void link_told_why(struct mux *m, struct link_text why)
{
    struct link *k = link_of(m);
    struct way *y = k->way;
    if (!k->refused)
        link_count(k, -1);
    k->refused = true;
    if (loop_steady() - y->refused < COMPLAINT)
        return;
    y->refused = loop_steady();
    log_warn("bridge %s: the portal refuses it: %.*s", y->bridge->conf->tag, why.len, why.p);
}

/* --- what has changed --- */

uint8_t bridge_weight(const struct bridge *b)
{
    return b->origin.down ? LINK_WEIGHT_NONE : b->conf->weight;
}

static void way_say_weight(struct way *y, uint8_t weight)
{
    for (struct list_item *i = list_first(&y->links); i; i = list_next(&y->links, i))
        mux_say_weight(&link_at(i)->mux, weight);
}

void bridge_say_weight(struct origin *o)
{
    struct bridge *b = container_of(o, struct bridge, origin);
    for (size_t i = 0; i < b->way_count; i++)
        way_say_weight(&b->ways[i], bridge_weight(b));
}
