#include "testing/fake_redis.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { ROWS = 1 << 14, FIELDS = 64, VERBS = 64, LINKS = 8 };

struct text {
    char *p;
    size_t len;
};

struct field {
    struct text name, value; /* unused where p is NULL */
};

struct key {
    struct list_item item; /* in its row */
    char *name;
    char type; /* 's'tring, 'h'ash, s'e't */
    struct text value;
    struct field *fields; /* FIELDS; NULL: of a string */
    double until;         /* 0: for ever */
};

struct pending {
    struct list_item item;
    redis_told *told;
    void *owner;
    redisReply *reply;
};

struct redis {
    struct loop *loop;
    const struct redis_owner *owner;
    struct list pending;
    unsigned pending_count;
    struct task tell, wells;
    bool well;
};

static struct {
    struct list rows[ROWS];
    struct {
        char name[16];
        unsigned count;
    } verbs[VERBS];
    struct redis *links[LINKS];
    bool away, silent, refuses;
    unsigned server;
} store;

/* --- the store --- */

static struct text text_of(const char *p, size_t len)
{
    struct text t = {malloc(len + 1), len};
    assert_non_null(t.p);
    memcpy(t.p, p, len);
    t.p[len] = '\0';
    return t;
}

static void text_free(struct text *t)
{
    free(t->p);
    *t = (struct text){0};
}

static void key_free(struct key *k)
{
    list_remove(&k->item);
    for (int i = 0; k->fields && i < FIELDS; i++) {
        text_free(&k->fields[i].name);
        text_free(&k->fields[i].value);
    }
    text_free(&k->value);
    free(k->fields);
    free(k->name);
    free(k);
}

static struct list *row_of(const char *name)
{
    unsigned hash = 0;
    for (; *name; name++)
        hash = 31 * hash + (unsigned char)*name;
    return &store.rows[hash % ROWS];
}

static struct key *key_find(const char *name)
{
    struct list *row = row_of(name);
    for (struct list_item *i = list_first(row); i; i = list_next(row, i)) {
        struct key *k = container_of(i, struct key, item);
        if (strcmp(k->name, name) != 0)
            continue;
        if (k->until == 0 || loop_steady() < k->until)
            return k;
        key_free(k);
        return NULL;
    }
    return NULL;
}

static struct key *key_make(const char *name, char type)
{
    struct key *k = key_find(name);
    if (k)
        return k;
    k = calloc(1, sizeof *k);
    assert_non_null(k);
    k->name = text_of(name, strlen(name)).p;
    k->type = type;
    k->fields = type == 's' ? NULL : calloc(FIELDS, sizeof *k->fields);
    list_append(row_of(name), &k->item);
    return k;
}

static int field_find(const struct key *k, const char *name, size_t len)
{
    for (int i = 0; k->fields && i < FIELDS; i++) {
        const struct text *t = &k->fields[i].name;
        if (t->p && t->len == len && memcmp(t->p, name, len) == 0)
            return i;
    }
    return -1;
}

static int field_put(struct key *k, const char *name, size_t len)
{
    int at = field_find(k, name, len);
    for (int i = 0; at < 0 && i < FIELDS; i++)
        if (!k->fields[i].name.p) {
            k->fields[i].name = text_of(name, len);
            at = i;
        }
    assert_true(at >= 0);
    return at;
}

static void field_drop(struct key *k, int at)
{
    bool any = false;
    text_free(&k->fields[at].name);
    text_free(&k->fields[at].value);
    for (int i = 0; i < FIELDS; i++)
        any |= k->fields[i].name.p != NULL;
    if (!any)
        key_free(k);
}

/* --- replies --- */

static redisReply *reply_new(int type)
{
    redisReply *r = calloc(1, sizeof *r);
    assert_non_null(r);
    r->type = type;
    return r;
}

static redisReply *reply_text(int type, const char *p, size_t len)
{
    redisReply *r = reply_new(type);
    r->str = text_of(p, len).p;
    r->len = len;
    return r;
}

static redisReply *reply_number(long long n)
{
    redisReply *r = reply_new(REDIS_REPLY_INTEGER);
    r->integer = n;
    return r;
}

static redisReply *reply_word(int type, const char *text)
{
    return reply_text(type, text, strlen(text));
}

static void reply_add(redisReply *to, redisReply *r)
{
    to->element = realloc(to->element, (to->elements + 1) * sizeof *to->element);
    assert_non_null(to->element);
    to->element[to->elements++] = r;
}

static void reply_free(redisReply *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->elements; i++)
        reply_free(r->element[i]);
    free(r->element);
    free(r->str);
    free(r);
}

/* --- commands --- */

struct words {
    int count;
    const char *const *p;
    const size_t *lens;
};

static bool has_word(const struct words *w, const char *word)
{
    for (int i = 3; i < w->count; i++)
        if (strcasecmp(w->p[i], word) == 0)
            return true;
    return false;
}

static double px_of(const struct words *w)
{
    for (int i = 2; i + 1 < w->count; i++)
        if (strcasecmp(w->p[i], "PX") == 0)
            return loop_steady() + atof(w->p[i + 1]) / 1000;
    return 0;
}

static redisReply *run_set(const char *name, const struct words *w)
{
    struct key *k = key_find(name);
    if (k && has_word(w, "NX"))
        return reply_new(REDIS_REPLY_NIL);
    if (k)
        key_free(k);
    k = key_make(name, 's');
    k->value = text_of(w->p[2], w->lens[2]);
    k->until = px_of(w);
    return reply_word(REDIS_REPLY_STATUS, "OK");
}

static redisReply *run_get(const char *name, const struct words *w)
{
    struct key *k = key_find(name);
    if (!k)
        return reply_new(REDIS_REPLY_NIL);
    if (px_of(w) > 0)
        k->until = px_of(w);
    return reply_text(REDIS_REPLY_STRING, k->value.p, k->value.len);
}

static redisReply *run_hset(const char *name, const struct words *w)
{
    struct key *k = key_make(name, 'h');
    int at = field_put(k, w->p[2], w->lens[2]);
    text_free(&k->fields[at].value);
    k->fields[at].value = text_of(w->p[3], w->lens[3]);
    return reply_number(1);
}

static redisReply *run_drop(const char *name, const struct words *w)
{
    struct key *k = key_find(name);
    int at = k ? field_find(k, w->p[2], w->lens[2]) : -1;
    if (at >= 0)
        field_drop(k, at);
    return reply_number(at >= 0);
}

static redisReply *run_all(const char *name, bool pairs)
{
    struct key *k = key_find(name);
    redisReply *r = reply_new(REDIS_REPLY_ARRAY);
    for (int i = 0; k && i < FIELDS; i++) {
        const struct field *f = &k->fields[i];
        if (!f->name.p)
            continue;
        reply_add(r, reply_text(REDIS_REPLY_STRING, f->name.p, f->name.len));
        if (pairs)
            reply_add(r, reply_text(REDIS_REPLY_STRING, f->value.p, f->value.len));
    }
    return r;
}

static redisReply *run_expiry(const char *name, const struct words *w)
{
    struct key *k = key_find(name);
    if (w->count > 2 && k)
        k->until = loop_steady() + atof(w->p[2]) / 1000;
    if (w->count > 2)
        return reply_number(k != NULL);
    return reply_number(!k             ? -2
                        : k->until > 0 ? (long long)((k->until - loop_steady()) * 1000)
                                       : -1);
}

static redisReply *run_time(void)
{
    char seconds[32], micros[32];
    double now = 1.7e9 + loop_steady();
    redisReply *r = reply_new(REDIS_REPLY_ARRAY);
    snprintf(seconds, sizeof seconds, "%lld", (long long)now);
    snprintf(micros, sizeof micros, "%.0f", (now - (double)(long long)now) * 1e6);
    reply_add(r, reply_word(REDIS_REPLY_STRING, seconds));
    reply_add(r, reply_word(REDIS_REPLY_STRING, micros));
    return r;
}

static bool is_wrong_type(const char *verb, const char *name)
{
    struct key *k = key_find(name);
    bool of_hash = *verb == 'H', of_string = strncmp(verb, "GET", 3) == 0;
    return k && ((of_hash && k->type != 'h') || (of_string && k->type != 's'));
}

static bool writes(const char *verb)
{
    return strncmp(verb, "SET", 3) == 0 || strcmp(verb, "HSET") == 0 || strcmp(verb, "SADD") == 0;
}

static redisReply *run(const struct words *w)
{
    const char *verb = w->p[0], *name = w->count > 1 ? w->p[1] : "";
    if (store.refuses && writes(verb))
        return reply_word(REDIS_REPLY_ERROR,
                          "OOM command not allowed when used memory > 'maxmemory'.");
    if (is_wrong_type(verb, name))
        return reply_word(REDIS_REPLY_ERROR, "WRONGTYPE Operation against a key");
    if (strcmp(verb, "SET") == 0)
        return run_set(name, w);
    if (strcmp(verb, "GET") == 0 || strcmp(verb, "GETEX") == 0)
        return run_get(name, w);
    if (strcmp(verb, "HSET") == 0)
        return run_hset(name, w);
    if (strcmp(verb, "HDEL") == 0 || strcmp(verb, "SREM") == 0)
        return run_drop(name, w);
    if (strcmp(verb, "HGETALL") == 0 || strcmp(verb, "SMEMBERS") == 0)
        return run_all(name, *verb == 'H');
    if (strcmp(verb, "PEXPIRE") == 0 || strcmp(verb, "PTTL") == 0)
        return run_expiry(name, w);
    if (strcmp(verb, "TIME") == 0)
        return run_time();
    if (strcmp(verb, "SADD") == 0)
        return reply_number(field_put(key_make(name, 'e'), w->p[2], w->lens[2]));
    if (strcmp(verb, "DEL") == 0) {
        fake_redis_del(name);
        return reply_number(1);
    }
    fail_msg("unknown command: %s", verb);
    return NULL;
}

static void count_verb(const char *verb)
{
    for (int i = 0; i < VERBS; i++) {
        if (!*store.verbs[i].name)
            snprintf(store.verbs[i].name, sizeof store.verbs[i].name, "%s", verb);
        if (strcmp(store.verbs[i].name, verb) == 0) {
            store.verbs[i].count++;
            return;
        }
    }
}

/* --- connections --- */

static void on_tell(struct task *t)
{
    struct redis *r = container_of(t, struct redis, tell);
    struct list_item *i;
    while ((i = list_first(&r->pending))) {
        struct pending *p = container_of(i, struct pending, item);
        list_remove(i);
        r->pending_count--;
        if (p->told)
            p->told(p->owner, p->reply);
        reply_free(p->reply);
        free(p);
    }
}

static void on_wells(struct task *t)
{
    struct redis *r = container_of(t, struct redis, wells);
    char run_id[16];
    snprintf(run_id, sizeof run_id, "%u", store.server);
    if (r->well == !store.away)
        return;
    r->well = !store.away;
    r->owner->well(r->owner->owner, r->well, r->well ? run_id : "");
}

struct redis *redis_new(struct loop *l, const struct registry_conf *conf,
                        const struct redis_owner *o)
{
    struct redis *r = calloc(1, sizeof *r);
    (void)conf;
    assert_non_null(r);
    *r =
        (struct redis){.loop = l, .owner = o, .tell = {.run = on_tell}, .wells = {.run = on_wells}};
    for (int i = 0; i < LINKS; i++)
        if (!store.links[i]) {
            store.links[i] = r;
            break;
        }
    loop_ready(l, &r->wells);
    return r;
}

void redis_free(struct redis *r)
{
    struct list_item *i;
    if (!r)
        return;
    while ((i = list_first(&r->pending))) {
        struct pending *p = container_of(i, struct pending, item);
        list_remove(i);
        reply_free(p->reply);
        free(p);
    }
    loop_unready(&r->tell);
    loop_unready(&r->wells);
    for (int n = 0; n < LINKS; n++)
        if (store.links[n] == r)
            store.links[n] = NULL;
    free(r);
}

bool redis_is_well(const struct redis *r)
{
    return r->well;
}

bool redis_ask(struct redis *r, int count, const char *const *words, const size_t *lens,
               double timeout, redis_told *told, void *owner)
{
    char *copies[16];
    struct words w = {count, (const char *const *)copies, lens};
    (void)timeout;
    if (!r->well)
        return false;
    struct pending *p = calloc(1, sizeof *p);
    assert_non_null(p);
    for (int i = 0; i < count; i++)
        copies[i] = text_of(words[i], lens[i]).p;
    count_verb(copies[0]);
    *p = (struct pending){
        .told = told, .owner = owner, .reply = store.silent || store.away ? NULL : run(&w)};
    for (int i = 0; i < count; i++)
        free(copies[i]);
    list_append(&r->pending, &p->item);
    r->pending_count++;
    loop_ready(r->loop, &r->tell);
    return true;
}

void redis_forget(struct redis *r, const void *owner)
{
    for (struct list_item *i = list_first(&r->pending); i; i = list_next(&r->pending, i)) {
        struct pending *p = container_of(i, struct pending, item);
        if (p->owner == owner)
            p->told = NULL;
    }
}

const char *redis_server_text(const struct redis *r)
{
    return r->well ? "fake" : "";
}

const char *redis_trouble(const struct redis *r)
{
    return r->well ? "" : "away";
}

unsigned redis_pending(const struct redis *r)
{
    return r->pending_count;
}

double redis_lag(const struct redis *r)
{
    (void)r;
    return 0;
}

/* --- what tests do to it --- */

void fake_redis_start(void)
{
    memset(&store, 0, sizeof store);
}

void fake_redis_stop(void)
{
    fake_redis_flush();
}

void fake_redis_away(bool away)
{
    store.away = away;
    for (int i = 0; i < LINKS; i++)
        if (store.links[i])
            loop_ready(store.links[i]->loop, &store.links[i]->wells);
}

void fake_redis_other_server(void)
{
    store.server++;
}

void fake_redis_silent(bool silent)
{
    store.silent = silent;
}

void fake_redis_refuses(bool refuses)
{
    store.refuses = refuses;
}

void fake_redis_flush(void)
{
    struct list_item *i;
    for (int row = 0; row < ROWS; row++)
        while ((i = list_first(&store.rows[row])))
            key_free(container_of(i, struct key, item));
}

const char *fake_redis_get(const char *key, const char *field, size_t *len)
{
    struct key *k = key_find(key);
    int at = k && field ? field_find(k, field, strlen(field)) : -1;
    const struct text *t = !k ? NULL : !field ? &k->value : at >= 0 ? &k->fields[at].value : NULL;
    if (t && len)
        *len = t->len;
    return t ? t->p ? t->p : "" : NULL;
}

void fake_redis_put(const char *key, const char *field, const char *value, size_t len)
{
    struct key *k = key_make(key, field ? 'h' : 's');
    struct text *t = field ? &k->fields[field_put(k, field, strlen(field))].value : &k->value;
    text_free(t);
    *t = text_of(value, len);
}

void fake_redis_del(const char *key)
{
    struct key *k = key_find(key);
    if (k)
        key_free(k);
}

double fake_redis_ttl(const char *key)
{
    struct key *k = key_find(key);
    return k && k->until > 0 ? k->until - loop_steady() : -1;
}

const char *fake_redis_key(size_t n)
{
    for (int row = 0; row < ROWS; row++)
        for (struct list_item *i = list_first(&store.rows[row]); i;
             i = list_next(&store.rows[row], i))
            if (n-- == 0)
                return container_of(i, struct key, item)->name;
    return NULL;
}

unsigned fake_redis_commands(const char *verb)
{
    for (int i = 0; i < VERBS; i++)
        if (strcmp(store.verbs[i].name, verb) == 0)
            return store.verbs[i].count;
    return 0;
}
