/* cluster/registry_tunnels.c -- which tunnels have links in this process. A tunnel is one hash, with a field for each
 * node. A field of 0 links says for a minute that the tunnel was there; then it goes. */
#include <stdlib.h>

#include "cluster/registry_inside.h"

enum { CLEANED = 16 }; /* fields of dead nodes, at once */

struct tunnel_record {
    struct record record;
    uint16_t links;
    double emptied; /* when the last one went, loop_steady() */
    struct list_item empty;
    char key[];
};

static struct tunnel_record *tunnel_of(struct record *rec)
{
    return container_of(rec, struct tunnel_record, record);
}

static void tunnel_free(struct record *rec)
{
    free(tunnel_of(rec));
}

static struct registry *writer_of(const struct record *rec)
{
    return rec->shared->writer->registry; /* answers come to the writer only */
}

/* --- writing --- */

/* Somebody else wrote something else there. */
static void clear(struct registry *r, const struct record *rec)
{
    struct command c = command_of("DEL", rec->key, rec->key_len);
    registry_send(r, &c, NULL, NULL);
}

static void on_written(void *owner, const redisReply *reply)
{
    struct record *rec = owner;
    struct registry *r = writer_of(rec);
    pthread_mutex_lock(&r->shared->lock);
    if (reply_is(reply, REDIS_REPLY_ERROR) && strncmp(reply->str, "WRONGTYPE", 9) == 0)
        clear(r, rec);
    else if (reply && !reply_is(reply, REDIS_REPLY_INTEGER))
        registry_refused(r, reply);
    if (!reply_is(reply, REDIS_REPLY_INTEGER))
        rec->again = true;
    struct registry_shared *s = r->shared;
    record_heard(r, rec);
    pthread_mutex_unlock(&s->lock);
}

static void send_expiry(struct registry *r, const struct record *rec)
{
    struct millis px = millis_of(SWEEPS * r->conf->registry->sweep);
    struct command c = command_of("PEXPIRE", rec->key, rec->key_len);
    command_text(&c, px.text);
    registry_send(r, &c, NULL, NULL);
}

static void on_fields(void *owner, const redisReply *reply);

static void tunnel_write(struct registry *r, struct record *rec)
{
    struct registry_shared *s = r->shared;
    struct tunnel_record *t = tunnel_of(rec);
    const char *node = r->conf->node;
    struct ledger_links links = {.epoch = s->epoch, .links = t->links};
    struct ledger_key key = {.len = rec->key_len};
    struct ledger_value value;
    memcpy(key.text, rec->key, rec->key_len);
    ledger_write_links(&s->ledger, &key, node, &links, &value);
    struct command c = command_of(rec->gone ? "HDEL" : "HSET", rec->key, rec->key_len);
    command_text(&c, node);
    if (!rec->gone)
        command_bytes(&c, value.bytes, value.len);
    if (!record_send(r, rec, &c, on_written)) {
        record_changed(rec);
        return;
    }
    if (rec->gone)
        return;
    send_expiry(r, rec);
    struct command fields = command_of("HGETALL", rec->key, rec->key_len);
    if (rec->rounds == 0)
        record_send(r, rec, &fields, on_fields);
}

static void tunnel_drop(struct tunnel_record *t)
{
    struct registry_shared *s = t->record.shared;
    list_remove(&t->empty);
    record_out(&t->record);
    s->tunnel_count--;
    free(t);
}

static void tunnel_written(struct registry *r, struct record *rec)
{
    (void)r;
    if (rec->gone && !list_holds(&rec->change))
        tunnel_drop(tunnel_of(rec));
}

static const struct record_kind tunnel_kind = {
    .write = tunnel_write, .written = tunnel_written, .free = tunnel_free, .sweeps = 1};

/* --- fields of others --- */

static bool text_of(const redisReply *reply, char to[NODE_NAME_MAX + 1])
{
    return reply_is(reply, REDIS_REPLY_STRING) && tunnel_text_read(to, reply->str, reply->len);
}

bool registry_place_of(struct registry_shared *s, const struct ledger_key *key,
                       redisReply *const *pair, struct registry_place *p)
{
    if (!text_of(pair[0], p->node) || !reply_is(pair[1], REDIS_REPLY_STRING) ||
        !ledger_read_links(&s->ledger, key, p->node, pair[1]->str, pair[1]->len, &p->links))
        return false;
    p->is_self = strcmp(p->node, s->conf->node) == 0;
    p->is_alive = p->is_self ? p->links.epoch == s->epoch
                             : nodes_alive(s->nodes, p->node, p->links.epoch, loop_steady());
    return true;
}

bool registry_tunnel_lives(struct registry_shared *s, const struct ledger_key *key,
                           const redisReply *reply)
{
    struct registry_place p;
    for (size_t i = 0; i + 1 < reply->elements; i += 2)
        if (registry_place_of(s, key, reply->element + i, &p) && p.is_alive)
            return true;
    return false;
}

/* Leaves those alone that it cannot read: they may be of a later version. */
static void clean(struct registry *r, const struct ledger_key *key, const redisReply *reply)
{
    struct registry_place p;
    unsigned cleaned = 0;
    for (size_t i = 0; i + 1 < reply->elements && cleaned < CLEANED; i += 2) {
        if (!registry_place_of(r->shared, key, reply->element + i, &p) || p.is_alive)
            continue;
        struct command c = command_of("HDEL", key->text, key->len);
        command_text(&c, p.node);
        registry_send(r, &c, NULL, NULL);
        cleaned++;
    }
}

/* The registry was well for long enough to have seen all leases. */
static bool knows_the_dead(const struct registry *r)
{
    return loop_steady() - r->well_since > 2 * r->conf->registry->lease;
}

static void on_fields(void *owner, const redisReply *reply)
{
    struct record *rec = owner;
    struct registry *r = writer_of(rec);
    struct registry_shared *s = r->shared;
    struct ledger_key key = {.len = rec->key_len};
    memcpy(key.text, rec->key, rec->key_len);
    pthread_mutex_lock(&s->lock);
    if (reply_is(reply, REDIS_REPLY_ARRAY) && knows_the_dead(r))
        clean(r, &key, reply);
    record_heard(r, rec);
    pthread_mutex_unlock(&s->lock);
}

/* --- what the portals say --- */

static struct tunnel_record *tunnel_new(struct registry_shared *s, const struct ledger_key *key)
{
    struct tunnel_record *t = calloc(1, sizeof *t + key->len + 1);
    if (!t || !record_init(&t->record, &tunnel_kind, s, key, t->key)) {
        free(t);
        return NULL;
    }
    s->tunnel_count++;
    return t;
}

static void tunnel_has(struct tunnel_record *t, unsigned links)
{
    struct registry_shared *s = t->record.shared;
    t->record.gone = false;
    t->links = (uint16_t)(links < UINT16_MAX ? links : UINT16_MAX);
    list_remove(&t->empty);
    if (!links) {
        t->emptied = loop_steady();
        list_append(&s->empty, &t->empty);
    }
    record_changed(&t->record);
}

void registry_has(struct registry *r, uint64_t portal, const struct tunnel_name *name,
                  unsigned links)
{
    struct registry_shared *s = r->shared;
    struct ledger_key key;
    ledger_key_tunnel(&s->ledger, portal, name, &key);
    pthread_mutex_lock(&s->lock);
    struct record *rec = records_find(&s->records, &key);
    struct tunnel_record *t = rec ? tunnel_of(rec) : links ? tunnel_new(s, &key) : NULL;
    if (t)
        tunnel_has(t, links);
    pthread_mutex_unlock(&s->lock);
}

void registry_tunnels_end(struct registry_shared *s, double now)
{
    struct list_item *i;
    while ((i = list_first(&s->empty))) {
        struct tunnel_record *t = container_of(i, struct tunnel_record, empty);
        if (now - t->emptied < LINGER)
            return;
        list_remove(i);
        t->record.gone = true;
        record_changed(&t->record);
    }
}
