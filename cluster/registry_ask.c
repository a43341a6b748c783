/* cluster/registry_ask.c -- what others wrote: on which nodes a tunnel has links, and who holds a hostname. That there is
 * nothing is believed only if the registry has lost nothing. */
#include <stdlib.h>

#include "cluster/registry_inside.h"

enum { LEVELS_MAX = 1 + LEDGER_LEVELS };

/* One key that may answer. */
struct level {
    struct asking *asking;
    struct ledger_holder holder;
    bool found, failed;
    bool below;
    uint8_t at; /* where the name begins, in the question's host */
};

struct asking {
    struct registry *registry;
    struct list_item item; /* of the registry's */
    struct list question;  /* the one; empty: it was forgotten */
    struct question_of of;
    struct ledger_key key; /* ASK_TUNNEL */
    struct answer answer;
    bool failed, unsure; /* that there is nothing means nothing */
    unsigned waits;      /* answers */
    uint32_t others;     /* places beyond those that there is room for */
    unsigned level_count;
    struct level levels[];
};

static void asking_free(struct asking *a)
{
    struct list_item *i = list_first(&a->question);
    if (i)
        list_remove(i);
    list_remove(&a->item);
    free(a);
}

void registry_asks_stop(struct registry *r)
{
    struct list_item *i;
    while ((i = list_first(&r->asks)))
        asking_free(container_of(i, struct asking, item));
}

void registry_forget(struct question *q)
{
    list_remove(&q->item);
}

/* --- answers --- */

/* The one that is nearest to the host's own name. */
static void host_answer(struct asking *a)
{
    struct answer *to = &a->answer;
    for (unsigned i = 0; i < a->level_count && !to->known && !a->failed; i++) {
        const struct level *l = &a->levels[i];
        const struct ledger_holder *h = &l->holder;
        a->failed = l->failed;
        if (!l->found)
            continue;
        to->known = tenants_keep(a->registry->shared->tenants, h->tenant, strlen(h->tenant),
                                 &to->holder.tenant);
        a->failed = !to->known;
        to->portal = a->of.portal;
        to->is_private = h->by == TUNNEL_PRIVATE;
        to->holder.by = h->by;
        memcpy(to->holder.text, h->text, sizeof to->holder.text);
    }
}

/* Until the last answer has come. */
static void asking_heard(struct asking *a)
{
    if (--a->waits > 0)
        return;
    if (a->of.kind == ASK_HOST)
        host_answer(a);
    struct list_item *i = list_first(&a->question);
    const struct answer answer = a->answer;
    bool sure = answer.known || !(a->failed || a->unsure);
    asking_free(a);
    if (!i)
        return;
    struct question *q = container_of(i, struct question, item);
    q->told(q, sure ? &answer : NULL);
}

static void on_boot(void *owner, const redisReply *reply)
{
    struct asking *a = owner;
    struct registry_shared *s = a->registry->shared;
    pthread_mutex_lock(&s->lock);
    if (!registry_same_data(s, reply) || may_lack_names(s, loop_steady()))
        a->unsure = true;
    pthread_mutex_unlock(&s->lock);
    asking_heard(a);
}

static bool ask_boot(struct asking *a)
{
    struct ledger_key key;
    ledger_key_of(&a->registry->shared->ledger, "boot", &key);
    struct command c = command_of("GET", key.text, key.len);
    bool asked = registry_send(a->registry, &c, on_boot, a);
    a->waits += asked;
    return asked;
}

/* --- a tunnel --- */

/* With more of them than there is room for, each is as likely as any other to be among those told. */
static struct tunnel_place *place_for(struct asking *a)
{
    struct answer *to = &a->answer;
    if (to->count < PLACES_MAX)
        return &to->at[to->count++];
    uint32_t n = randombytes_uniform(PLACES_MAX + ++a->others);
    return n < PLACES_MAX ? &to->at[n] : NULL;
}

static void add_place(struct asking *a, const struct registry_place *p)
{
    struct tunnel_place *place = NULL;
    a->answer.known = true;
    if (p->links.links > 0 && !p->is_self)
        place = place_for(a);
    if (!place)
        return;
    memcpy(place->node, p->node, sizeof place->node);
    place->epoch = p->links.epoch;
    place->links = p->links.links;
}

static void on_places(void *owner, const redisReply *reply)
{
    struct asking *a = owner;
    struct registry_place p;
    if (!reply_is(reply, REDIS_REPLY_ARRAY))
        a->failed = true;
    for (size_t i = 0; !a->failed && i + 1 < reply->elements; i += 2)
        if (registry_place_of(a->registry->shared, &a->key, reply->element + i, &p) && p.is_alive)
            add_place(a, &p);
    asking_heard(a);
}

static bool ask_tunnel(struct asking *a)
{
    ledger_key_tunnel(&a->registry->shared->ledger, a->of.portal, &a->of.tunnel, &a->key);
    struct command c = command_of("HGETALL", a->key.text, a->key.len);
    bool asked = registry_send(a->registry, &c, on_places, a);
    a->waits += asked;
    return asked && ask_boot(a);
}

/* --- a host --- */

static void level_key(const struct level *l, struct ledger_key *key)
{
    const struct asking *a = l->asking;
    ledger_key_host(&a->registry->shared->ledger, a->of.portal, a->of.host + l->at, l->below, key);
}

static void on_holder(void *owner, const redisReply *reply)
{
    struct level *l = owner;
    struct asking *a = l->asking;
    struct ledger_key key;
    level_key(l, &key);
    l->failed = !reply || (reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "WRONGTYPE", 9));
    l->found =
        reply_is(reply, REDIS_REPLY_STRING) &&
        ledger_read_holder(&a->registry->shared->ledger, &key, reply->str, reply->len, &l->holder);
    asking_heard(a);
}

static bool ask_level(struct level *l)
{
    struct ledger_key key;
    level_key(l, &key);
    struct command c = command_of("GET", key.text, key.len);
    bool asked = registry_send(l->asking->registry, &c, on_holder, l);
    l->asking->waits += asked;
    return asked;
}

/* The host itself, then wildcards: of its own name, and of all that it is below. */
static void find_levels(struct asking *a)
{
    size_t labels = 1, at = 0;
    const char *host = a->of.host, *dot;
    a->levels[a->level_count++] = (struct level){.asking = a};
    for (const char *c = host; *c; c++)
        labels += *c == '.';
    for (; labels > 0; labels--) {
        if (labels <= LEDGER_LEVELS)
            a->levels[a->level_count++] =
                (struct level){.asking = a, .below = true, .at = (uint8_t)at};
        dot = strchr(host + at, '.');
        at = dot ? (size_t)(dot + 1 - host) : at;
    }
}

static bool ask_host(struct asking *a)
{
    find_levels(a);
    for (unsigned i = 0; i < a->level_count; i++)
        if (!ask_level(&a->levels[i]))
            return false;
    return ask_boot(a);
}

/* --- asking --- */

bool registry_ask(struct registry *r, struct question *q)
{
    size_t levels = q->of.kind == ASK_HOST ? LEVELS_MAX : 0;
    if (!redis_is_well(r->redis))
        return false;
    struct asking *a = calloc(1, sizeof *a + levels * sizeof *a->levels);
    if (!a)
        return false;
    a->registry = r;
    a->of = q->of;
    list_append(&r->asks, &a->item);
    list_append(&a->question, &q->item);
    if (q->of.kind == ASK_HOST ? ask_host(a) : ask_tunnel(a))
        return true;
    list_remove(&q->item);
    if (!a->waits)
        asking_free(a); /* else with the last answer, which nobody waits for */
    return false;
}
