#include "proxy/web_way.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "core/cursor.h"
#include "proxy/http1.h"
#include "proxy/web.h"

/* --- what ways have in common --- */

static void put_addr(struct writer *w, const struct addr *a)
{
    size_t len = a->type == ADDR_NONE ? 0 : addr_is_ip(a) ? addr_ip_len(a) : strlen(a->name);
    wr_u8(w, a->type);
    wr_u8(w, (uint8_t)len);
    wr_bytes(w, a->ip, len);
}

/* Visitors choose the hosts: a secret keeps them from filling one bucket. */
static uint8_t bucket_number(const struct ways *w, const struct way_key *k)
{
    uint8_t hash[crypto_shorthash_BYTES];
    crypto_shorthash(hash, k->bytes, k->len, w->secret);
    return hash[0];
}

void way_key_make(struct way_key *k, const struct ways *all, const struct way_to *to)
{
    const struct tunnel_name *t = to->tunnel;
    struct writer w = wr_of(k->bytes, sizeof k->bytes);
    wr_bytes(&w, &to->outbound, sizeof to->outbound);
    wr_bytes(&w, &t->tenant, sizeof t->tenant);
    wr_u8(&w, t->by);
    wr_bytes(&w, t->text, strlen(t->text) + 1);
    wr_be16(&w, to->target->port);
    put_addr(&w, to->target);
    if (to->source)
        put_addr(&w, to->source);
    wr_be32(&w, to->connection);
    k->len = wr_len(&w);
    k->bucket = bucket_number(all, k);
}

static bool key_equal(const struct way_key *a, const struct way_key *b)
{
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

static void key_copy(struct way_key *to, const struct way_key *from)
{
    to->len = from->len;
    to->bucket = from->bucket;
    memcpy(to->bytes, from->bytes, from->len);
}

/* --- where ways rest --- */

static struct list *bucket_of(struct ways *w, const struct way_key *key)
{
    return &w->buckets[key->bucket];
}

static struct way *longest_resting(const struct ways *w)
{
    struct list_item *first = list_first(&w->resting);
    return first ? container_of(first, struct way, item) : NULL;
}

static void ways_look_in(struct ways *w, double seconds)
{
    ev_timer_stop(w->dispatcher->loop->ev, &w->look);
    ev_timer_set(&w->look, seconds > 0.01 ? seconds : 0.01, 0);
    ev_timer_start(w->dispatcher->loop->ev, &w->look);
}

static void on_look(struct ev_loop *ev, ev_timer *t, int events)
{
    (void)ev, (void)events;
    struct ways *w = t->data;
    struct way *oldest;
    double now = loop_steady();
    while ((oldest = longest_resting(w)) && now - oldest->since >= WAY_REST)
        way_drop(oldest, NULL);
    if (oldest)
        ways_look_in(w, oldest->since + WAY_REST - now);
}

static void ways_clear(struct ways *w)
{
    struct way *one;
    while ((one = longest_resting(w)))
        way_drop(one, NULL);
    ev_timer_stop(w->dispatcher->loop->ev, &w->look);
}

static void ways_conf(struct ways *w, const struct web_conf *conf)
{
    w->conf = conf;
    w->max = conf->reuse == WEB_REUSE_NEVER ? 0 : WEB_IDLE_WAYS;
}

void ways_init(struct ways *w, struct dispatcher *d, const struct web_conf *conf)
{
    *w = (struct ways){.dispatcher = d};
    ways_conf(w, conf);
    randombytes_buf(w->secret, sizeof w->secret);
    ev_init(&w->look, on_look);
    w->look.data = w;
}

void ways_adopt(struct ways *w, const struct web_conf *conf)
{
    ways_clear(w);
    ways_conf(w, conf);
}

void ways_end(struct ways *w)
{
    ways_clear(w);
    w->max = 0;
}

static void way_unlist(struct way *w)
{
    if (!list_holds(&w->item))
        return;
    list_remove(&w->item);
    list_remove(&w->bucket);
    w->ways->count--;
}

struct way *ways_take(struct ways *w, const struct way_key *key)
{
    struct list *bucket = bucket_of(w, key);
    for (struct list_item *i = list_first(bucket); i; i = list_next(bucket, i)) {
        struct way *one = container_of(i, struct way, bucket);
        if (!key_equal(&one->key, key) || !way_is_quiet(one))
            continue;
        way_unlist(one);
        return one;
    }
    return NULL;
}

/* --- one of them --- */

bool way_is_quiet(const struct way *w)
{
    return !end_failed(&w->end) && !end_has(&w->end) && !end_at_eof(&w->end) &&
           !end_peer_left(&w->end);
}

static void on_wake(struct end *e)
{
    struct way *w = container_of(e, struct way, end);
    if (w->user)
        w->user->ops->wake(w->user);
    else if (w->going || !way_is_quiet(w))
        way_drop(w, NULL);
}

/* What lies behind it goes away: after this request, if there is one. */
static void on_drain(struct end *e)
{
    struct way *w = container_of(e, struct way, end);
    w->going = true;
    end_wake(e);
}

static const struct end_ops way_ops = {.wake = on_wake, .drain = on_drain};

static struct way *way_like(struct ways *w, const struct way_key *key, size_t outbound,
                            const struct flow *like)
{
    struct way *one = calloc(1, sizeof *one);
    struct flow *f = one ? flow_twin(like) : NULL;
    if (!f) {
        free(one);
        return NULL;
    }
    one->ways = w;
    one->outbound = outbound;
    key_copy(&one->key, key);
    f->carrier = f->opened = f->packets = false;
    f->tries = 0;
    flow_start(f, w->dispatcher->loop, &one->end, &way_ops);
    end_need(&one->end, HTTP1_HEAD_MAX);
    return one;
}

/* What the visitor wrote is no more than a guess: nobody who authenticated asked for it. */
struct way *way_new(struct ways *w, const struct way_key *key, const struct way_to *to,
                    const struct flow *visitor)
{
    struct way *one = way_like(w, key, to->outbound, visitor);
    if (!one)
        return NULL;
    struct meta *m = &one->end.flow->meta;
    m->net = NET_TCP;
    m->target = *to->target;
    m->tunnel = *to->tunnel;
    m->by_claim = to->by_claim;
    m->guessed = true;
    m->sniffing = NULL;
    return one;
}

struct way *way_again(const struct way *w)
{
    return w->ways ? way_like(w->ways, &w->key, w->outbound, w->end.flow) : NULL;
}

unsigned ways_before(const struct flow *f)
{
    unsigned count = 0;
    while (f->ends[0] && f->ends[0]->ops == &way_ops) {
        const struct way *w = container_of(f->ends[0], struct way, end);
        if (!w->user)
            break;
        f = w->user->flow;
        count++;
    }
    return count;
}

/* A number of the conf; the dispatcher may know those of a later one. False: there is none of that tag. */
static bool find_outbound(const struct ways *w, size_t number, size_t *found)
{
    const struct dispatcher *d = w->dispatcher;
    const char *tag = number < w->conf->tag_count ? w->conf->tags[number] : "";
    bool same = number < d->count && strcmp(d->outbounds[number]->tag, tag) == 0;
    for (*found = same ? number : 0; *found < d->count; ++*found)
        if (same || (*tag && strcmp(d->outbounds[*found]->tag, tag) == 0))
            return true;
    return false;
}

void way_open(struct way *w)
{
    struct err why;
    size_t number;
    if (find_outbound(w->ways, w->outbound, &number)) {
        dispatch_to(w->ways->dispatcher, w->end.flow, number);
        return;
    }
    err_set(&why, EHOSTUNREACH, "the outbound of its route is gone");
    flow_refuse(w->end.flow, &why);
}

void way_drop(struct way *w, const struct err *why)
{
    way_unlist(w);
    end_leave(&w->end, why);
    free(w);
}

void way_rest(struct way *w)
{
    struct ways *all = w->ways;
    w->user = NULL;
    if (!all || w->going || !way_is_quiet(w) || !all->max) {
        way_drop(w, NULL);
        return;
    }
    if (all->count == all->max)
        way_drop(longest_resting(all), NULL);
    w->used = true;
    w->since = w->end.flow->active; /* of the answer's last bytes */
    list_push(bucket_of(all, &w->key), &w->bucket);
    list_append(&all->resting, &w->item);
    all->count++;
    if (!ev_is_active(&all->look))
        ways_look_in(all, WAY_REST);
}
