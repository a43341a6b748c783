#include "cluster/directory.h"

#include <math.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/misses.h"
#include "core/loop.h"

enum { ROWS = DIRECTORY_MAX / 4, ASKED_MAX = 1024, SOURCES_MAX = 4, FREE_OF_CHARGE = UINT32_MAX };

static const double PAUSE = 1;      /* between questions that nobody answers */
static const double NOBODY = 3;     /* that long nobody has it */
static const double OUTAGE = 3600;  /* that long an answer is used when nobody can say */
static const double UNLINKED = .25; /* a tunnel without a link may have one the next moment */

/* An answer is fresh, then used once more while it is asked for anew, then waited for. */
static const struct {
    double fresh, stale;
} ages[] = {
    [ASK_TUNNEL] = {5, 60},
    [ASK_HOST] = {30, 60},
};

/* An answer that somebody has it, as small as it can be. */
struct known {
    bool is_private;
    unsigned count;
    uint64_t portal;
    struct tunnel_name holder;
    struct tunnel_place at[];
};

struct entry {
    struct list_item item; /* in its row */
    struct list_item use;  /* in `somebody` or `nobody`, once it is answered */
    struct asked *asked;   /* a question is under way */
    struct known *known;   /* NULL: nobody has it, if it is answered */
    double since;          /* of the answer */
    double retry;          /* not asked before */
    bool answered, in_use;
    uint8_t kind, by;
    uint64_t portal;
    const char *tenant;
    char text[]; /* host or tunnel */
};

struct asked {
    struct question q;
    struct directory *d;
    struct entry *e;
    unsigned source;  /* who was asked */
    unsigned charged; /* for whom: his place among the misses */
    bool denied;      /* a source said that nobody has what somebody had */
};

struct directory {
    struct loop *loop;
    struct directory_source sources[SOURCES_MAX];
    unsigned source_count;
    void (*told)(void *with, const struct question_of *of);
    void *with;
    struct list *rows; /* by hash */
    struct misses *misses;
    size_t count, asked;
    uint8_t key[crypto_shorthash_KEYBYTES]; /* visitors choose names */
    struct list somebody, nobody;           /* the least recently used first */
    double doubted;                         /* when there was last somebody new */
    bool away;                              /* the last question was answered by nobody */
};

/* --- entries --- */

static const char *text_of(const struct question_of *of)
{
    return of->kind == ASK_HOST ? of->host : of->tunnel.text;
}

static struct list *row_of(const struct directory *d, const struct question_of *of)
{
    const char *text = text_of(of);
    uint64_t hash;
    crypto_shorthash((uint8_t *)&hash, (const uint8_t *)text, strlen(text), d->key);
    return &d->rows[hash % ROWS];
}

static bool is_entry_of(const struct entry *e, const struct question_of *of)
{
    if (e->kind != of->kind || e->portal != of->portal || strcmp(e->text, text_of(of)) != 0)
        return false;
    return of->kind == ASK_HOST ||
           (e->by == of->tunnel.by && tenant_equal(e->tenant, of->tunnel.tenant));
}

static struct entry *entry_find(const struct directory *d, const struct question_of *of)
{
    const struct list *row = row_of(d, of);
    for (struct list_item *i = list_first(row); i; i = list_next(row, i)) {
        struct entry *e = container_of(i, struct entry, item);
        if (is_entry_of(e, of))
            return e;
    }
    return NULL;
}

static void asked_free(struct asked *a)
{
    a->e->asked = NULL;
    a->d->asked--;
    free(a);
}

static void entry_free(struct directory *d, struct entry *e)
{
    if (e->asked) {
        const struct directory_source *s = &d->sources[e->asked->source];
        s->forget(s->with, &e->asked->q);
        asked_free(e->asked);
    }
    list_remove(&e->item);
    list_remove(&e->use);
    d->count--;
    free(e->known);
    free(e);
}

static struct entry *entry_unused(const struct list *list)
{
    for (struct list_item *i = list_first(list); i; i = list_next(list, i)) {
        struct entry *e = container_of(i, struct entry, use);
        if (!e->asked && !e->in_use)
            return e;
    }
    return NULL;
}

static bool make_room(struct directory *d)
{
    if (d->count < DIRECTORY_MAX)
        return true;
    struct entry *e = entry_unused(&d->nobody);
    if (!e)
        e = entry_unused(&d->somebody);
    if (e)
        entry_free(d, e);
    return e;
}

static struct entry *entry_new(struct directory *d, const struct question_of *of)
{
    size_t len = strlen(text_of(of)) + 1;
    struct entry *e = make_room(d) ? calloc(1, sizeof *e + len) : NULL;
    if (!e)
        return NULL;
    e->kind = of->kind;
    e->portal = of->portal;
    if (of->kind == ASK_TUNNEL) {
        e->by = of->tunnel.by;
        e->tenant = of->tunnel.tenant;
    }
    memcpy(e->text, text_of(of), len);
    list_push(row_of(d, of), &e->item);
    d->count++;
    return e;
}

static void entry_use(struct directory *d, struct entry *e)
{
    list_remove(&e->use);
    list_append(e->known ? &d->somebody : &d->nobody, &e->use);
}

/* --- answers --- */

/* NULL: nobody has it, or out of memory. */
static struct known *known_of(const struct answer *a)
{
    unsigned count = a->count < PLACES_MAX ? a->count : PLACES_MAX;
    struct known *k = a->known ? calloc(1, sizeof *k + count * sizeof(struct tunnel_place)) : NULL;
    if (!k)
        return NULL;
    k->is_private = a->is_private;
    k->portal = a->portal;
    k->holder = a->holder;
    k->count = count;
    memcpy(k->at, a->at, count * sizeof(struct tunnel_place));
    return k;
}

static void entry_answer(struct directory *d, struct entry *e, const struct answer *a, double now)
{
    free(e->known);
    e->known = known_of(a);
    e->answered = true;
    e->since = now;
    e->retry = now;
    entry_use(d, e);
}

static enum step entry_read(struct directory *d, struct entry *e, struct answer *a)
{
    const struct known *k = e->known;
    entry_use(d, e);
    *a = (struct answer){.known = k};
    stat_add(d->loop->counters, STAT_cluster_cached, 1);
    if (!k)
        return STEP_DONE;
    a->is_private = k->is_private;
    a->portal = k->portal;
    a->holder = k->holder;
    a->count = k->count;
    memcpy(a->at, k->at, k->count * sizeof(struct tunnel_place));
    return STEP_DONE;
}

static bool has_no_link(const struct entry *e)
{
    return e->kind == ASK_TUNNEL && e->known->count == 0;
}

/* Nobody had it, and somebody came since. */
static bool is_doubtful(const struct directory *d, const struct entry *e)
{
    return !e->known && e->since < d->doubted;
}

static bool is_fresh(const struct directory *d, const struct entry *e, double age)
{
    double most = !e->known ? NOBODY : has_no_link(e) ? UNLINKED : ages[e->kind].fresh;
    return age < most && !is_doubtful(d, e);
}

/* wait: a better answer will come. */
static bool is_usable(const struct directory *d, const struct entry *e, double age, bool wait)
{
    double stale = e->known ? ages[e->kind].stale : NOBODY;
    if (is_doubtful(d, e) || (e->known && has_no_link(e)))
        return !wait && age < stale;
    return age < stale || (age < OUTAGE && (!wait || d->away));
}

/* --- questions --- */

/* The next source that takes it, from the one that is set. */
static bool ask_sources(struct asked *a)
{
    const struct directory *d = a->d;
    for (; a->source < d->source_count; a->source++)
        if (d->sources[a->source].ask(d->sources[a->source].with, &a->q))
            return true;
    return false;
}

static void tell(struct directory *d, struct entry *e, const struct question_of *of)
{
    e->in_use = true;
    d->told(d->with, of);
    e->in_use = false;
    if (!e->answered && !e->asked)
        entry_free(d, e);
}

static void give_back(struct directory *d, unsigned charged)
{
    if (charged != FREE_OF_CHARGE)
        misses_back(d->misses, charged);
}

/* What was known is not given up because one of them lost it: the next one is asked as well. */
static bool ask_further(struct asked *a, const struct answer *said)
{
    if (said && (said->known || !a->e->known))
        return false;
    a->denied |= said != NULL;
    a->source++;
    return ask_sources(a);
}

static void on_told(struct question *q, const struct answer *said)
{
    static const struct answer nobody;
    struct asked *a = container_of(q, struct asked, q);
    struct directory *d = a->d;
    struct entry *e = a->e;
    struct question_of of = q->of;
    double now = loop_steady();
    if (ask_further(a, said))
        return;
    if (!said && a->denied)
        said = &nobody;
    if (said && said->known)
        give_back(d, a->charged);
    asked_free(a);
    d->away = !said;
    if (said)
        entry_answer(d, e, said, now);
    else
        e->retry = now + PAUSE;
    tell(d, e, &of);
}

/* The question takes the charge with it. */
static bool entry_ask(struct directory *d, struct entry *e, const struct question_of *of,
                      unsigned *charged)
{
    struct asked *a = d->asked < ASKED_MAX ? calloc(1, sizeof *a) : NULL;
    if (!a)
        return false;
    *a = (struct asked){.q = {.told = on_told, .of = *of}, .d = d, .e = e, .charged = *charged};
    e->asked = a;
    d->asked++;
    if (ask_sources(a)) {
        stat_add(d->loop->counters, STAT_cluster_asked, 1);
        *charged = FREE_OF_CHARGE;
        return true;
    }
    asked_free(a);
    d->away = true;
    return false;
}

/* Whether a question is under way, now. */
static bool entry_asks(struct directory *d, struct entry *e, const struct question_of *of,
                       unsigned *charged, double now)
{
    return e->asked || (now >= e->retry && entry_ask(d, e, of, charged));
}

static enum step nobody_says(struct directory *d)
{
    stat_add(d->loop->counters, STAT_cluster_unanswered, 1);
    return STEP_FAIL;
}

static enum step ask_new(struct directory *d, const struct question_of *of, unsigned *charged)
{
    struct entry *e = entry_new(d, of);
    if (!e)
        return nobody_says(d);
    if (entry_ask(d, e, of, charged))
        return STEP_MORE;
    entry_free(d, e);
    return nobody_says(d);
}

/* --- for others --- */

/* Somebody has it, or it is being asked already: for one more who wants it nobody is asked in vain. */
static bool may_ask(struct directory *d, const struct entry *e, const struct addr *who, double now,
                    unsigned *charged)
{
    *charged = FREE_OF_CHARGE;
    return !who || (e && (e->asked || e->known)) || misses_take(d->misses, who, now, charged);
}

static enum step entry_look(struct directory *d, struct entry *e, const struct question_of *of,
                            unsigned *charged, double now, struct answer *a)
{
    double age = e->answered ? now - e->since : INFINITY;
    bool wait = entry_asks(d, e, of, charged, now);
    if (e->answered && is_usable(d, e, age, wait))
        return entry_read(d, e, a);
    return wait ? STEP_MORE : nobody_says(d);
}

enum step directory_ask(struct directory *d, const struct question_of *of, const struct addr *who,
                        double now, struct answer *a)
{
    struct entry *e = entry_find(d, of);
    unsigned charged;
    if (e && e->answered && is_fresh(d, e, now - e->since))
        return entry_read(d, e, a);
    if (!may_ask(d, e, who, now, &charged))
        return nobody_says(d);
    enum step s = e ? entry_look(d, e, of, &charged, now, a) : ask_new(d, of, &charged);
    give_back(d, charged); /* nobody was asked */
    return s;
}

/* The answer holds no longer: as after a question that nobody answered yet. */
static void entry_forget(struct directory *d, struct entry *e)
{
    free(e->known);
    e->known = NULL;
    e->answered = false;
    list_remove(&e->use);
    if (!e->asked && !e->in_use)
        entry_free(d, e);
}

static bool place_drop(struct known *k, const char *node, uint64_t epoch)
{
    for (unsigned i = 0; i < k->count; i++)
        if (k->at[i].epoch == epoch && strcmp(k->at[i].node, node) == 0) {
            k->at[i] = k->at[--k->count];
            return true;
        }
    return false;
}

void directory_wrong(struct directory *d, const struct question_of *of, const char *node,
                     uint64_t epoch)
{
    struct entry *e = entry_find(d, of);
    if (!e || !e->known || (e->kind == ASK_TUNNEL && !place_drop(e->known, node, epoch)))
        return;
    if (e->known->count == 0)
        entry_forget(d, e);
    else
        e->since -= ages[e->kind].fresh; /* the others may be old as well */
}

void directory_doubt(struct directory *d, double now)
{
    d->doubted = now;
}

void directory_learn(struct directory *d, const struct question_of *of, const struct answer *a,
                     double now)
{
    struct entry *e = entry_find(d, of);
    if (!e)
        e = entry_new(d, of);
    if (!e)
        return;
    entry_answer(d, e, a, now);
    tell(d, e, of);
}

struct directory *directory_new(struct loop *l, const struct directory_source *sources,
                                unsigned count,
                                void (*told)(void *with, const struct question_of *of), void *with)
{
    struct directory *d = calloc(1, sizeof *d);
    struct list *rows = calloc(ROWS, sizeof *rows);
    struct misses *misses = misses_new();
    if (!d || !rows || !misses || count > SOURCES_MAX) {
        free(d);
        free(rows);
        misses_free(misses);
        return NULL;
    }
    *d = (struct directory){.loop = l,
                            .source_count = count,
                            .told = told,
                            .with = with,
                            .rows = rows,
                            .misses = misses};
    memcpy(d->sources, sources, count * sizeof *sources);
    crypto_shorthash_keygen(d->key);
    return d;
}

void directory_free(struct directory *d)
{
    struct list_item *i;
    if (!d)
        return;
    for (size_t n = 0; n < ROWS; n++)
        while ((i = list_first(&d->rows[n])))
            entry_free(d, container_of(i, struct entry, item));
    free(d->rows);
    misses_free(d->misses);
    free(d);
}
