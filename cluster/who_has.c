#include "cluster/who_has.h"

#include <stdlib.h>

#include "cluster/inside.h"

enum { ASKING_MAX = 256, ASKED_A_SECOND = 2000 };

static const double PATIENCE = 0.15; /* seconds for their answers */

struct asking {
    struct cluster *cluster;
    struct question *q;
    struct list_item item; /* in the cluster's list */
    uint64_t token;
    unsigned asked, heard; /* peers */
    bool missed;           /* there are others, who could not be asked */
    struct answer joined;
    ev_timer end;
};

static void asking_free(struct asking *a)
{
    ev_timer_stop(a->cluster->loop->ev, &a->end);
    list_remove(&a->item);
    a->cluster->asking_count--;
    free(a);
}

/* That all who answered know nothing is no answer while others have said nothing. */
static void asking_end(struct asking *a)
{
    struct question *q = a->q;
    struct answer joined = a->joined;
    bool answered = joined.known || (a->heard == a->asked && !a->missed);
    asking_free(a);
    q->told(q, answered ? &joined : NULL);
}

static void on_end(struct ev_loop *ev, ev_timer *t, int events)
{
    (void)ev, (void)events;
    asking_end(t->data);
}

/* --- asking --- */

static struct link_question question_to(const struct asking *a)
{
    static const uint8_t words[] = {
        [ASK_TUNNEL] = LINK_ASK_TUNNEL, [ASK_HOST] = LINK_ASK_HOST, [ASK_CLAIM] = LINK_ASK_CLAIM};
    const struct question_of *of = &a->q->of;
    struct link_question q = {.token = a->token, .kind = words[of->kind], .portal = of->portal};
    if (of->kind != ASK_TUNNEL)
        q.host = text_of(of->host);
    if (of->kind != ASK_HOST)
        q.tunnel = link_tunnel_of(&of->tunnel);
    return q;
}

static void ask_all(struct asking *a)
{
    const struct list *peers = &a->cluster->peers;
    struct link_question q = question_to(a);
    for (struct list_item *i = list_first(peers); i; i = list_next(peers, i)) {
        struct peer *p = container_of(i, struct peer, item);
        bool asked = p->link && !p->link->mux.silent && !mux_is_ending(&p->link->mux) &&
                     mux_say_question(&p->link->mux, &q);
        a->asked += asked;
        a->missed |= !asked && (p->link || peer_is_coming(p));
    }
}

static bool may_ask(struct cluster *c)
{
    int64_t second = (int64_t)loop_steady();
    if (second != c->asking_second)
        c->asked_in_it = 0;
    c->asking_second = second;
    return c->asking_count < ASKING_MAX && c->asked_in_it++ < ASKED_A_SECOND;
}

bool who_has_ask(struct cluster *c, struct question *q)
{
    struct asking *a = may_ask(c) ? calloc(1, sizeof *a) : NULL;
    if (!a)
        return false;
    *a = (struct asking){.cluster = c, .q = q, .token = ++c->token};
    ev_timer_init(&a->end, on_end, PATIENCE, 0);
    a->end.data = a;
    list_append(&c->asking, &a->item);
    c->asking_count++;
    ask_all(a);
    if (!a->asked) {
        asking_free(a);
        return false;
    }
    ev_timer_start(c->loop->ev, &a->end);
    return true;
}

void who_has_forget(struct cluster *c, struct question *q)
{
    for (struct list_item *i = list_first(&c->asking); i; i = list_next(&c->asking, i)) {
        struct asking *a = container_of(i, struct asking, item);
        if (a->q == q) {
            asking_free(a);
            return;
        }
    }
}

void who_has_stop(struct cluster *c)
{
    struct list_item *i;
    while ((i = list_first(&c->asking)))
        asking_free(container_of(i, struct asking, item));
}

/* --- answers --- */

/* A node speaks for itself only: its name and life are those that it said on the link. */
static void join_tunnel(struct answer *to, const struct node_view *node,
                        const struct link_answer *said)
{
    uint16_t links = said->count ? said->at[0].links : 0;
    to->known |= said->known;
    if (!links || to->count == PLACES_MAX)
        return;
    struct tunnel_place *place = &to->at[to->count++];
    *place = (struct tunnel_place){.epoch = node->epoch, .links = links};
    memcpy(place->node, node->name, sizeof place->node);
}

static void join_host(struct asking *a, const struct link_answer *said)
{
    struct answer *to = &a->joined;
    const char *tenant;
    if (!said->known || to->known || said->holder.by > TUNNEL_PRIVATE ||
        !tenants_keep(a->cluster->shared->tenants, said->holder.tenant.p, said->holder.tenant.len,
                      &tenant))
        return;
    to->known = true;
    to->is_private = said->is_private;
    to->portal = said->portal;
    to->holder = (struct tunnel_name){.by = said->holder.by, .tenant = tenant};
    text_copy(to->holder.text, said->holder.name);
}

static struct asking *find(const struct cluster *c, uint64_t token)
{
    for (struct list_item *i = list_first(&c->asking); i; i = list_next(&c->asking, i)) {
        struct asking *a = container_of(i, struct asking, item);
        if (a->token == token)
            return a;
    }
    return NULL;
}

void who_has_told(struct cluster *c, const struct node_view *node, const struct link_answer *said)
{
    struct asking *a = find(c, said->token);
    if (!a)
        return;
    a->heard++;
    bool of_tunnel = a->q->of.kind == ASK_TUNNEL;
    if (of_tunnel)
        join_tunnel(&a->joined, node, said);
    else
        join_host(a, said);
    if (a->heard == a->asked || (!of_tunnel && a->joined.known))
        asking_end(a);
}
