#include "routing/lookups.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { LISTS_MIN = 64 };

static const double PAUSE = 1; /* seconds between questions while the service is away */

struct entry {
    struct list_item item; /* in its list */
    struct list_item use;  /* in `found` or `nothing`, once it is answered */
    struct list waiting;
    double since; /* of the answer */
    bool asked, answered, telling;
    struct lookup_answer answer;
    char host[];
};

struct lookups {
    const struct lookups_conf *conf;
    struct lookups_asker *asker;
    struct list *lists; /* by hash */
    size_t list_count, count;
    uint8_t key[crypto_shorthash_KEYBYTES]; /* visitors choose names */
    struct list found, nothing;             /* the least recently used first */
    size_t asked;
    bool away;
    double retry; /* while it is away, when it may be asked */
};

static struct list *list_of(const struct lookups *l, const char *host)
{
    uint64_t hash;
    crypto_shorthash((uint8_t *)&hash, (const uint8_t *)host, strlen(host), l->key);
    return &l->lists[hash & (l->list_count - 1)];
}

struct lookups *lookups_new(const struct lookups_conf *conf, struct lookups_asker *asker)
{
    struct lookups *l = calloc(1, sizeof *l);
    size_t count = LISTS_MIN;
    while (count < conf->max / 4)
        count *= 2;
    struct list *lists = calloc(count, sizeof *lists);
    if (!l || !lists) {
        free(l);
        free(lists);
        asker->free(asker);
        return NULL;
    }
    *l = (struct lookups){.conf = conf, .asker = asker, .lists = lists, .list_count = count};
    crypto_shorthash_keygen(l->key);
    asker->lookups = l;
    asker->use(asker, conf, false);
    return l;
}

static void entry_free(struct lookups *l, struct entry *e)
{
    struct list_item *i;
    while ((i = list_first(&e->waiting)))
        list_remove(i);
    list_remove(&e->item);
    list_remove(&e->use);
    l->asked -= e->asked;
    l->count--;
    free(e);
}

void lookups_free(struct lookups *l)
{
    struct list_item *i;
    if (!l)
        return;
    l->asker->free(l->asker);
    for (size_t n = 0; n < l->list_count; n++)
        while ((i = list_first(&l->lists[n])))
            entry_free(l, container_of(i, struct entry, item));
    free(l->lists);
    free(l);
}

size_t lookups_count(const struct lookups *l)
{
    return l->count;
}

/* --- entries --- */

static struct entry *entry_find(const struct lookups *l, const char *host)
{
    const struct list *list = list_of(l, host);
    for (struct list_item *i = list_first(list); i; i = list_next(list, i)) {
        struct entry *e = container_of(i, struct entry, item);
        if (strcmp(e->host, host) == 0)
            return e;
    }
    return NULL;
}

/* Nobody asks or waits for it. */
static struct entry *entry_unused(const struct list *list)
{
    for (struct list_item *i = list_first(list); i; i = list_next(list, i)) {
        struct entry *e = container_of(i, struct entry, use);
        if (!e->asked && !e->telling)
            return e;
    }
    return NULL;
}

static bool make_room(struct lookups *l)
{
    if (l->count < l->conf->max)
        return true;
    struct entry *e = entry_unused(&l->nothing);
    if (!e)
        e = entry_unused(&l->found);
    if (e)
        entry_free(l, e);
    return e;
}

static struct entry *entry_new(struct lookups *l, const char *host)
{
    size_t len = strlen(host) + 1;
    struct entry *e = make_room(l) ? calloc(1, sizeof *e + len) : NULL;
    if (!e)
        return NULL;
    memcpy(e->host, host, len);
    list_push(list_of(l, host), &e->item);
    l->count++;
    return e;
}

static void entry_use(struct lookups *l, struct entry *e)
{
    list_remove(&e->use);
    list_append(e->answer.found ? &l->found : &l->nothing, &e->use);
}

/* --- finding --- */

static bool may_ask(const struct lookups *l, double now)
{
    return l->asked < LOOKUPS_ASKED_MAX && (!l->away || now >= l->retry);
}

static void entry_ask(struct lookups *l, struct entry *e, double now)
{
    e->asked = l->asker->ask(l->asker, e->host);
    l->asked += e->asked;
    l->retry = now + PAUSE;
}

static enum lookup_state entry_wait(struct entry *e, struct lookup_wait *w)
{
    list_remove(&w->item);
    list_append(&e->waiting, &w->item);
    return LOOKUP_WAITS;
}

static enum lookup_state entry_answer(struct lookups *l, struct entry *e,
                                      struct lookup_answer *answer)
{
    entry_use(l, e);
    *answer = e->answer;
    return e->answer.found ? LOOKUP_FOUND : LOOKUP_NOTHING;
}

static enum lookup_state find_unknown(struct lookups *l, const char *host, double now,
                                      struct lookup_wait *w)
{
    struct entry *e = may_ask(l, now) ? entry_new(l, host) : NULL;
    if (!e)
        return LOOKUP_AWAY;
    entry_ask(l, e, now);
    if (e->asked)
        return entry_wait(e, w);
    entry_free(l, e);
    return LOOKUP_AWAY;
}

enum lookup_state lookups_find(struct lookups *l, const char *host, double now,
                               struct lookup_answer *answer, struct lookup_wait *w)
{
    struct entry *e = entry_find(l, host);
    if (!e)
        return find_unknown(l, host, now, w);
    if (!e->answered)
        return e->asked ? entry_wait(e, w) : LOOKUP_AWAY;
    double age = now - e->since, ttl = e->answer.found ? l->conf->ttl : l->conf->negative_ttl;
    if (age >= ttl && !e->asked && may_ask(l, now))
        entry_ask(l, e, now);
    if (age < 2 * ttl || l->away || !e->asked)
        return entry_answer(l, e, answer);
    return entry_wait(e, w);
}

void lookup_forget(struct lookup_wait *w)
{
    list_remove(&w->item);
}

/* --- answers --- */

static void tell(struct entry *e)
{
    struct list_item *i;
    e->telling = true;
    while ((i = list_first(&e->waiting))) {
        struct lookup_wait *w = container_of(i, struct lookup_wait, item);
        list_remove(i);
        w->told(w);
    }
    e->telling = false;
}

void lookups_told(struct lookups *l, const char *host, const struct lookup_answer *answer,
                  double now)
{
    struct entry *e = entry_find(l, host);
    if (!e || !e->asked)
        return;
    e->asked = false;
    l->asked--;
    l->away = !answer;
    if (answer) {
        e->answered = true;
        e->answer = *answer;
        e->since = now;
        entry_use(l, e);
    } else {
        l->retry = now + PAUSE;
    }
    tell(e);
    if (!e->answered && !e->asked)
        entry_free(l, e);
}

/* Another service may say otherwise. Who waits goes on to, for the answer of that one. */
static void forget_answer(struct lookups *l, struct entry *e)
{
    e->answered = false;
    list_remove(&e->use);
    if (e->asked && l->asker->ask(l->asker, e->host))
        return;
    tell(e);
    entry_free(l, e);
}

static void forget_answers(struct lookups *l)
{
    l->away = false;
    for (size_t n = 0; n < l->list_count; n++)
        for (struct list_item *i = list_first(&l->lists[n]), *next; i; i = next) {
            next = list_next(&l->lists[n], i);
            forget_answer(l, container_of(i, struct entry, item));
        }
}

void lookups_adopt(struct lookups *l, const struct lookups_conf *conf)
{
    bool same = strcmp(l->conf->url, conf->url) == 0;
    l->conf = conf;
    l->asker->use(l->asker, conf, same);
    if (!same)
        forget_answers(l);
}
