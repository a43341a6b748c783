#include <stdio.h>
#include <stdlib.h>

#include "cluster/registry_inside.h"

/* --- shared --- */

struct registry_shared *registry_shared_new(const struct cluster_conf *conf, uint64_t epoch,
                                            struct nodes *nodes, struct tenants *tenants)
{
    struct registry_shared *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    pthread_mutex_init(&s->lock, NULL);
    s->conf = conf;
    s->ledger.cluster = conf->name;
    seal_init(&s->ledger.seal, conf->key, conf->name);
    s->epoch = epoch;
    s->nodes = nodes;
    s->tenants = tenants;
    records_init(&s->records);
    return s;
}

static void records_drop(struct registry_shared *s)
{
    struct record *next;
    for (size_t row = 0; row < s->records.row_count; row++)
        for (struct record *i = s->records.rows[row]; i; i = next) {
            next = i->next;
            i->kind->free(i);
        }
    records_fini(&s->records);
}

void registry_shared_free(struct registry_shared *s)
{
    struct list_item *i;
    if (!s)
        return;
    records_drop(s);
    while ((i = list_first(&s->parts))) {
        struct registry_part *part = container_of(i, struct registry_part, item);
        list_remove(i);
        registry_lost_free(&part->lost);
        free(part);
    }
    seal_fini(&s->ledger.seal);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void registry_count(struct registry_shared *s, struct registry_count *to)
{
    pthread_mutex_lock(&s->lock);
    *to = (struct registry_count){
        .tunnels = s->tunnel_count,
        .hosts = s->host_count,
        .lost = s->lost_count,
        .losses = s->losses,
    };
    for (struct list_item *i = list_first(&s->changed); i; i = list_next(&s->changed, i))
        to->unwritten++;
    for (struct list_item *i = list_first(&s->fenced); i; i = list_next(&s->fenced, i))
        to->unwritten++;
    pthread_mutex_unlock(&s->lock);
}

/* --- bells --- */

static void on_bell(struct task *t)
{
    struct registry_part *part = container_of(t, struct registry_part, bell);
    struct registry *r = part->registry; /* of this loop, as the part is */
    if (!r)
        return;
    registry_hosts_tell(r);
    if (is_writer(r) && redis_is_well(r->redis) && !ev_is_active(&r->batch))
        ev_timer_again(r->loop->ev, &r->batch);
}

void registry_ring(struct registry_part *part)
{
    if (part->registry)
        loop_post(part->loop, &part->bell);
}

void registry_ring_writer(struct registry_shared *s)
{
    if (s->writer)
        registry_ring(s->writer);
}

static bool part_new(struct registry *r)
{
    struct registry_part *part = calloc(1, sizeof *part);
    if (!part)
        return false;
    part->bell.run = on_bell;
    part->loop = r->loop;
    part->registry = r;
    r->part = part;
    pthread_mutex_lock(&r->shared->lock);
    list_append(&r->shared->parts, &part->item);
    if (is_writer(r))
        r->shared->writer = part;
    pthread_mutex_unlock(&r->shared->lock);
    return true;
}

static void part_gone(struct registry *r)
{
    if (!r->part)
        return;
    pthread_mutex_lock(&r->shared->lock);
    r->part->registry = NULL;
    if (is_writer(r)) {
        r->shared->writer = NULL;
        r->shared->well = false;
    }
    pthread_mutex_unlock(&r->shared->lock);
}

/* --- one loop's --- */

/* What is known of the connection may say so while a command is sent, under the lock. */
static void on_well_changed(struct task *t)
{
    struct registry *r = container_of(t, struct registry, well_changed);
    bool well = redis_is_well(r->redis);
    pthread_mutex_lock(&r->shared->lock);
    r->shared->well = well && r->saw;
    pthread_mutex_unlock(&r->shared->lock);
    nodes_registry(r->shared->nodes, well, loop_steady());
    if (!well) {
        ev_timer_stop(r->loop->ev, &r->batch);
        return;
    }
    r->well_since = loop_steady();
    registry_nodes_well(r);
}

static void on_well(void *owner, bool well, const char *run_id)
{
    struct registry *r = owner;
    if (well && strcmp(run_id, r->run_id) != 0) {
        snprintf(r->run_id, sizeof r->run_id, "%s", run_id);
        r->other_server = true;
    }
    r->saw = false;
    loop_ready(r->loop, &r->well_changed);
}

/* Others only read. */
static void on_reader_well(void *owner, bool well, const char *run_id)
{
    (void)owner, (void)well, (void)run_id;
}

struct registry *registry_new(struct loop *l, const struct cluster_conf *conf,
                              struct registry_shared *shared, const struct registry_owner *o)
{
    struct registry *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    *r = (struct registry){.loop = l,
                           .conf = conf,
                           .shared = shared,
                           .owner = o ? *o : (struct registry_owner){0},
                           .well_changed = {.run = on_well_changed}};
    r->redis_owner =
        (struct redis_owner){.well = is_writer(r) ? on_well : on_reader_well, .owner = r};
    registry_write_init(r);
    registry_nodes_init(r);
    if (!part_new(r) || (is_writer(r) && !registry_nodes_start(r)) ||
        !(r->redis = redis_new(l, conf->registry, &r->redis_owner))) {
        registry_free(r);
        return NULL;
    }
    if (is_writer(r))
        registry_write_start(r);
    return r;
}

void registry_free(struct registry *r)
{
    if (!r)
        return;
    if (is_writer(r) && r->redis)
        registry_nodes_leave(r);
    part_gone(r);
    redis_free(r->redis);
    loop_unready(&r->well_changed);
    registry_write_stop(r);
    registry_nodes_stop(r);
    registry_asks_stop(r);
    free(r);
}

bool registry_is_well(const struct registry *r)
{
    return redis_is_well(r->redis);
}

const struct redis *registry_redis(const struct registry *r)
{
    return r->redis;
}

void registry_state(struct registry *r, enum node_state state, uint32_t links)
{
    struct registry_shared *s = r->shared;
    pthread_mutex_lock(&s->lock);
    bool changed = s->state != state;
    s->state = state;
    s->links = links;
    pthread_mutex_unlock(&s->lock);
    if (changed && is_writer(r))
        registry_beat(r);
}

/* --- commands --- */

struct millis millis_of(double seconds)
{
    struct millis m;
    snprintf(m.text, sizeof m.text, "%.0f", seconds * 1000);
    return m;
}

bool registry_send(struct registry *r, const struct command *c, redis_told *told, void *owner)
{
    return redis_ask(r->redis, c->count, c->words, c->lens, 0, told, owner);
}
