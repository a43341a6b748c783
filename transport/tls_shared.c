#include <openssl/err.h>
#include <stdlib.h>

#include "transport/tls_inside.h"

static const double LOOK = 3;              /* seconds between looks at the files, at a handshake */
static const double DAY = 24 * 60 * 60;    /* seconds between warnings */
static const double TICKETS = 8 * 60 * 60; /* seconds that one key of tickets is good for */
static const double WARN = 14;             /* days before a certificate expires */

enum { REFUSALS = 2 }; /* of two files one is written first: only if it stays so is it a mistake */

/* --- what is loaded --- */

static void material_free(struct tls_material **material, size_t count)
{
    for (size_t i = 0; material && i < count; i++)
        tls_material_unref(material[i]);
    free(material);
}

void tls_loaded_unref(struct tls_loaded *l)
{
    if (!l || atomic_fetch_sub_explicit(&l->shares, 1, memory_order_acq_rel) > 1)
        return;
    SSL_CTX_free(l->context);
    material_free(l->material, l->count);
    free(l);
}

/* Takes the material, also when it fails. */
static struct tls_loaded *loaded_new(const struct tls_settings *s, struct tls_material **material,
                                     size_t count, struct err *e)
{
    struct tls_loaded *l = calloc(1, sizeof *l);
    if (!l) {
        err_set(e, ENOMEM, "out of memory");
        material_free(material, count);
        return NULL;
    }
    *l = (struct tls_loaded){.shares = 1, .material = material, .count = count};
    l->born = loop_steady();
    l->context = tls_context_new(s, material, count, e);
    if (l->context)
        return l;
    tls_loaded_unref(l);
    return NULL;
}

static struct tls_loaded *loaded_first(const struct tls_settings *s,
                                       struct tls_material *const *material, size_t count,
                                       struct err *e)
{
    struct tls_material **copy = calloc(count + 1, sizeof(struct tls_material *));
    if (!copy) {
        err_set(e, ENOMEM, "out of memory");
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        copy[i] = tls_material_ref(material[i]);
    return loaded_new(s, copy, count, e);
}

static struct tls_loaded *loaded_again(const struct tls_settings *s, const struct tls_loaded *from,
                                       struct err *e)
{
    struct tls_material **fresh = calloc(from->count + 1, sizeof(struct tls_material *));
    if (!fresh) {
        err_set(e, ENOMEM, "out of memory");
        return NULL;
    }
    for (size_t i = 0; i < from->count; i++) {
        struct tls_material *m = from->material[i];
        bool same = tls_material_stamp(m) == m->stamp;
        fresh[i] = same ? tls_material_ref(m) : tls_material_again(m, e);
        if (!fresh[i]) {
            material_free(fresh, i);
            return NULL;
        }
    }
    return loaded_new(s, fresh, from->count, e);
}

/* --- now and then, under the lock --- */

/* Of all files as they are now; 0 when they are what is loaded. */
static uint64_t changed(const struct tls_loaded *l)
{
    uint64_t all = 1;
    bool same = true;
    for (size_t i = 0; i < l->count; i++) {
        uint64_t stamp = tls_material_stamp(l->material[i]);
        same &= stamp == l->material[i]->stamp;
        all = all * 31 + stamp;
    }
    return same ? 0 : all;
}

static void refused(struct tls_shared *s, uint64_t stamp, const struct err *why)
{
    s->refusals = s->refused == stamp ? s->refusals + 1 : 1;
    s->refused = stamp;
    if (s->refusals == REFUSALS)
        log_error("tls: changed certificates are no good, those from before go on: %s", why->text);
}

static void reload(struct tls_shared *s, uint64_t stamp)
{
    struct err why = {0};
    struct tls_loaded *fresh = loaded_again(&s->set, s->now, &why);
    if (!fresh) {
        refused(s, stamp, &why);
        return;
    }
    if (stamp)
        log_warn("tls: %s: changed files were read", tls_material_name(fresh->material[0]));
    tls_loaded_unref(s->now);
    s->now = fresh;
    s->refusals = 0;
    s->refused = 0;
    s->warned = 0;
}

static void warn_of_end(struct tls_shared *s)
{
    for (size_t i = 0; i < s->now->count; i++) {
        const struct tls_material *m = s->now->material[i];
        double days = m->usage == TLS_OURS ? tls_material_days(m) : WARN;
        if (days < 0)
            log_warn("tls: %s has expired", tls_material_name(m));
        else if (days < WARN)
            log_warn("tls: %s expires in %.0f days", tls_material_name(m), days);
    }
}

static void look(struct tls_shared *s, double now)
{
    uint64_t stamp = changed(s->now);
    bool known_bad = stamp && stamp == s->refused && s->refusals >= REFUSALS;
    bool stale = s->set.tickets && now - s->now->born > TICKETS;
    if ((stamp && !known_bad) || (!stamp && stale))
        reload(s, stamp);
    if (s->warned == 0 || now - s->warned > DAY) {
        s->warned = now;
        warn_of_end(s);
    }
}

struct tls_loaded *tls_shared_now(struct tls_shared *s)
{
    double now = loop_steady();
    pthread_mutex_lock(&s->lock);
    if (now - s->looked >= LOOK) {
        s->looked = now;
        look(s, now);
    }
    struct tls_loaded *l = s->now;
    atomic_fetch_add_explicit(&l->shares, 1, memory_order_relaxed);
    pthread_mutex_unlock(&s->lock);
    return l;
}

/* --- for whom its certificates are --- */

static bool covers(const struct tls_loaded *l, const char *host)
{
    bool found = false;
    for (size_t i = 0; i < l->count && !found; i++)
        found = tls_material_covers(l->material[i], host);
    return found;
}

/* As on_choose() of tls_context.c: all with the name that was asked for, else the first. */
static bool shows(const struct tls_loaded *l, const char *asked, const char *host)
{
    bool any = !*asked || !covers(l, asked), all = true;
    for (size_t i = 0; i < l->count; i++) {
        const struct tls_material *m = l->material[i];
        if (m->usage != TLS_OURS || (!any && !tls_material_covers(m, asked)))
            continue;
        all &= tls_material_covers(m, host);
        if (any)
            break;
    }
    return all;
}

bool tls_covers(const struct tls_conf *c, const char *host)
{
    struct tls_loaded *l = tls_shared_now(c->shared);
    bool found = covers(l, host);
    ERR_clear_error();
    tls_loaded_unref(l);
    return found;
}

bool tls_shows(const struct tls_conf *c, const char *asked, const char *host)
{
    struct tls_loaded *l = tls_shared_now(c->shared);
    bool found = shows(l, asked, host);
    ERR_clear_error();
    tls_loaded_unref(l);
    return found;
}

/* --- what all layers of a configuration share --- */

static void shared_free(struct tls_shared *s)
{
    tls_loaded_unref(s->now);
    BIO_meth_free(s->method);
    free((void *)s->set.chain_pins);
    free((void *)s->set.cert_pins);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static const void *copy_of(const void *pins, size_t count)
{
    void *copy = malloc(count * TLS_PIN + 1);
    if (copy && count)
        memcpy(copy, pins, count * TLS_PIN);
    return copy;
}

static int shared_fill(struct tls_shared *s, const struct tls_settings *set,
                       struct tls_material *const *material, size_t count, struct err *e)
{
    s->set = *set;
    s->set.chain_pins = copy_of(set->chain_pins, set->chain_pin_count);
    s->set.cert_pins = copy_of(set->cert_pins, set->cert_pin_count);
    s->method = tls_method();
    if (!s->set.chain_pins || !s->set.cert_pins || !s->method)
        return err_set(e, ENOMEM, "out of memory");
    s->now = loaded_first(set, material, count, e);
    return s->now ? 0 : -1;
}

static struct tls_shared *shared_new(const struct tls_settings *set,
                                     struct tls_material *const *material, size_t count,
                                     struct err *e)
{
    struct tls_shared *s = calloc(1, sizeof *s);
    if (!s) {
        err_set(e, ENOMEM, "out of memory");
        return NULL;
    }
    s->looked = loop_steady();
    pthread_mutex_init(&s->lock, NULL);
    if (shared_fill(s, set, material, count, e) == 0)
        return s;
    shared_free(s);
    return NULL;
}

struct tls_conf *tls_conf_new(const struct tls_settings *s, struct tls_material *const *material,
                              size_t count, struct err *e)
{
    struct tls_conf *c = calloc(1, sizeof *c);
    if (!c) {
        err_set(e, ENOMEM, "out of memory");
        return NULL;
    }
    c->shared = shared_new(s, material, count, e);
    if (c->shared)
        return c;
    free(c);
    return NULL;
}

void tls_conf_free(struct tls_conf *c)
{
    if (c)
        shared_free(c->shared);
    free(c);
}
