/* cluster/registry_write.c -- what changed goes to Redis in batches, state by state: what failed is written again as it is
 * then. In a sweep all is written once more, evenly spread, which mends what was lost unseen. */
#include <stdlib.h>

#include "cluster/registry_inside.h"

enum {
    BATCH = 128,    /* records at once */
    PENDING = 1024, /* commands under way beyond which a batch waits */
    REFUSAL_BURST = 1,
};

static const double BATCH_TIME = 0.005, SWEEP_TIME = 0.1, REFUSED = 1; /* seconds */

bool record_init(struct record *rec, const struct record_kind *kind, struct registry_shared *s,
                 const struct ledger_key *key, char *room)
{
    memcpy(room, key->text, key->len + 1);
    *rec = (struct record){.kind = kind,
                           .shared = s,
                           .rounds = (uint8_t)randombytes_uniform(SWEEPS),
                           .key = room,
                           .key_len = (uint16_t)key->len};
    if (!records_add(&s->records, rec))
        return false;
    list_append(&s->rounds, &rec->round);
    return true;
}

void record_out(struct record *rec)
{
    list_remove(&rec->change);
    list_remove(&rec->round);
    records_remove(&rec->shared->records, rec);
}

void record_changed(struct record *rec)
{
    struct registry_shared *s = rec->shared;
    rec->again = rec->under_way > 0;
    if (rec->again)
        return;
    bool first = !list_first(&s->changed);
    list_remove(&rec->change);
    list_append(&s->changed, &rec->change);
    if (first)
        registry_ring_writer(s);
}

bool record_send(struct registry *r, struct record *rec, const struct command *c, redis_told *told)
{
    if (!registry_send(r, c, told, rec))
        return false;
    rec->under_way++;
    return true;
}

void record_heard(struct registry *r, struct record *rec)
{
    if (--rec->under_way > 0)
        return;
    bool again = rec->again;
    rec->again = false;
    if (again)
        record_changed(rec);
    rec->kind->written(r, rec);
}

void registry_refused(struct registry *r, const redisReply *reply)
{
    char text[128];
    r->pause = loop_steady() + REFUSED;
    if (reply_is(reply, REDIS_REPLY_ERROR) &&
        log_allowed(&r->refused, (int64_t)(loop_steady() / 60), REFUSAL_BURST))
        log_warn("cluster: registry: Redis refuses to write: %s",
                 log_escape(reply->str, reply->len, text, sizeof text));
}

static void write_all(struct list *records)
{
    for (struct list_item *i = list_first(records); i; i = list_next(records, i)) {
        struct record *rec = container_of(i, struct record, round);
        if (!list_holds(&rec->change))
            record_changed(rec);
    }
}

void registry_write_all(struct registry_shared *s)
{
    write_all(&s->rounds);
    write_all(&s->left);
}

/* One that could not be sent stays changed: the connection has gone, or has enough to do. */
static void write_batch(struct registry *r)
{
    struct registry_shared *s = r->shared;
    struct list_item *i;
    for (int n = 0; n < BATCH && (i = list_first(&s->changed)); n++) {
        struct record *rec = container_of(i, struct record, change);
        if (redis_pending(r->redis) > PENDING || !redis_is_well(r->redis))
            return;
        list_remove(i);
        rec->kind->write(r, rec);
    }
}

static void on_batch(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)events;
    struct registry *r = w->data;
    pthread_mutex_lock(&r->shared->lock);
    if (loop_steady() >= r->pause && r->saw)
        write_batch(r);
    bool more = list_first(&r->shared->changed) != NULL;
    pthread_mutex_unlock(&r->shared->lock);
    if (!more)
        ev_timer_stop(ev, w);
}

static void sweep_one(struct registry_shared *s)
{
    struct list_item *i = list_first(&s->rounds);
    if (!i)
        return;
    struct record *rec = container_of(i, struct record, round);
    list_remove(i);
    list_append(&s->rounds, i);
    rec->rounds = (uint8_t)((rec->rounds + 1) % SWEEPS);
    if (rec->rounds % rec->kind->sweeps == 0)
        record_changed(rec);
}

static void on_sweep(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)events;
    struct registry *r = w->data;
    struct registry_shared *s = r->shared;
    double now = loop_steady();
    pthread_mutex_lock(&s->lock);
    registry_tunnels_end(s, now);
    registry_hosts_forget(s, now);
    r->due += (double)s->records.count * SWEEP_TIME / r->conf->registry->sweep;
    for (; s->well && r->due >= 1; r->due--)
        sweep_one(s);
    if (r->due > 1)
        r->due = 1; /* what was not swept while it was away is written when it is back */
    pthread_mutex_unlock(&s->lock);
}

void registry_write_init(struct registry *r)
{
    ev_timer_init(&r->batch, on_batch, 0, BATCH_TIME);
    r->batch.data = r;
    ev_timer_init(&r->sweep, on_sweep, 0, SWEEP_TIME);
    r->sweep.data = r;
}

void registry_write_start(struct registry *r)
{
    ev_timer_again(r->loop->ev, &r->sweep);
}

void registry_write_stop(struct registry *r)
{
    ev_timer_stop(r->loop->ev, &r->batch);
    ev_timer_stop(r->loop->ev, &r->sweep);
}
