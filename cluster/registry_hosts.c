/* cluster/registry_hosts.c -- which tunnel holds which hostname. A name is one string. Who finds none writes its own, if
 * there is still none, and reads what stands there then: that is the holder. While the registry may have lost data nobody
 * gets what nobody has, and nothing is decided by what was written before it did.
 * A tenant's tunnel may take over from one of the same tenant that has been gone for a minute. Of two that stand against each
 * other the later one holds: an earlier one comes back only where Redis lost the later, or somebody wrote it back. */
#include <stdlib.h>

#include "cluster/registry_inside.h"
#include "reverse/tunnels.h"

enum { TRIES = 3, LEFT_MAX = 65536 };

static const double LEFT = 3600, /* seconds for which a name that was left is known here */
    EXPIRING = 60, /* one that is about to go is not taken over: it may be another's by then */
    DECIDED = 1;   /* as long as that holds what was seen before a name is replaced */

/* What is written, or asked, next. */
enum host_step { HOST_CLAIM, HOST_REFRESH, HOST_REPLACE, HOST_LOOK };

enum host_found { FOUND_UNKNOWN, FOUND_NOTHING, FOUND_FORGED, FOUND_OWN, FOUND_OTHER };

struct host_record {
    struct record record;
    struct tunnel_name holder;
    uint64_t portal;
    uint64_t since; /* when it was granted, of Redis' clock; 0: not yet */
    uint64_t found_since;
    uint16_t name_at;
    uint8_t step; /* enum host_step */
    uint8_t tries;
    bool left; /* it is kept in mind; nobody here wants it now */
    bool undo; /* what is under way was for another tunnel */
    /* what the answers said */
    uint8_t found, other_by; /* enum host_found; of the one that holds it */
    bool was_set, same_data, same_tenant, is_earlier, lives, expires;
    char other[TUNNEL_NAME_MAX + 1];
    struct list waiting; /* struct claim_wait of all loops */
    double decided;      /* to replace it, loop_steady() */
    double left_at;
    char key[];
};

struct lost_host {
    struct list_item item;
    uint64_t portal;
    struct hostname_pattern host;
    struct tunnel_name holder;
};

static struct host_record *host_of(struct record *rec)
{
    return container_of(rec, struct host_record, record);
}

static void host_free(struct record *rec)
{
    free(host_of(rec));
}

/* Those who wait for it hear so on their loops. */
static void host_tell(struct host_record *h, bool granted)
{
    struct list_item *i;
    while ((i = list_first(&h->waiting))) {
        struct claim_wait *w = container_of(i, struct claim_wait, item);
        struct registry_part *part = w->registry->part;
        list_remove(i);
        w->granted = granted;
        list_append(&part->decided, i);
        registry_ring(part);
    }
}

static void host_drop(struct host_record *h)
{
    struct registry_shared *s = h->record.shared;
    host_tell(h, false);
    s->left_count -= h->left;
    s->host_count--;
    record_out(&h->record);
    free(h);
}

/* --- writing --- */

static void host_send(struct registry *r, struct host_record *h);

/* For one that is not granted yet: what was decided holds for a moment only. */
static uint8_t step_of(const struct host_record *h)
{
    double now = loop_steady();
    if (is_fenced(h->record.shared, now))
        return HOST_LOOK;
    return h->step == HOST_REPLACE && now - h->decided <= DECIDED ? HOST_REPLACE : HOST_CLAIM;
}

static void host_write(struct registry *r, struct record *rec)
{
    struct host_record *h = host_of(rec);
    if (rec->gone) {
        host_drop(h);
        return;
    }
    if (!h->since)
        h->step = step_of(h);
    h->found = FOUND_UNKNOWN;
    h->was_set = h->same_data = h->same_tenant = h->is_earlier = h->lives = h->expires = false;
    host_send(r, h);
    if (!rec->under_way)
        record_changed(rec);
}

void registry_hosts_unfence(struct registry_shared *s)
{
    struct list_item *i;
    while ((i = list_first(&s->fenced)))
        record_changed(container_of(i, struct record, change));
}

static struct registry *writer_of(const struct record *rec)
{
    return rec->shared->writer->registry; /* answers come to the writer only */
}

static void heard(struct record *rec)
{
    struct registry_shared *s = rec->shared;
    record_heard(writer_of(rec), rec);
    pthread_mutex_unlock(&s->lock);
}

static struct host_record *hear(void *owner)
{
    struct host_record *h = host_of(owner);
    pthread_mutex_lock(&h->record.shared->lock);
    return h;
}

static void on_set(void *owner, const redisReply *reply)
{
    struct host_record *h = hear(owner);
    h->was_set = reply_is(reply, REDIS_REPLY_STATUS);
    if (reply_is(reply, REDIS_REPLY_ERROR))
        registry_refused(writer_of(&h->record), reply);
    heard(&h->record);
}

static void on_boot(void *owner, const redisReply *reply)
{
    struct host_record *h = hear(owner);
    h->same_data = registry_same_data(h->record.shared, reply);
    heard(&h->record);
}

/* --- what stands there --- */

static struct ledger_key key_of(const struct record *rec)
{
    struct ledger_key key = {.len = rec->key_len};
    memcpy(key.text, rec->key, rec->key_len);
    return key;
}

static void other_key(const struct host_record *h, struct ledger_key *key)
{
    struct tunnel_name other = {.by = h->other_by, .tenant = h->holder.tenant};
    memcpy(other.text, h->other, sizeof other.text);
    ledger_key_tunnel(&h->record.shared->ledger, h->portal, &other, key);
}

static void on_other_links(void *owner, const redisReply *reply)
{
    struct host_record *h = hear(owner);
    struct ledger_key key;
    other_key(h, &key);
    h->lives =
        !reply_is(reply, REDIS_REPLY_ARRAY) || registry_tunnel_lives(h->record.shared, &key, reply);
    heard(&h->record);
}

static void on_expiry(void *owner, const redisReply *reply)
{
    struct host_record *h = hear(owner);
    h->expires = !reply_is(reply, REDIS_REPLY_INTEGER) ||
                 (reply->integer >= 0 && reply->integer < EXPIRING * 1000);
    heard(&h->record);
}

/* Whether the other tunnel is still there. */
static void ask_of_other(struct host_record *h)
{
    struct record *rec = &h->record;
    struct registry *r = writer_of(rec);
    struct ledger_key key;
    other_key(h, &key);
    struct command links = command_of("HGETALL", key.text, key.len);
    struct command expiry = command_of("PTTL", rec->key, rec->key_len);
    h->lives = h->expires = true;
    record_send(r, rec, &links, on_other_links);
    record_send(r, rec, &expiry, on_expiry);
}

static void found_other(struct host_record *h, const struct ledger_holder *other)
{
    h->found = FOUND_OTHER;
    h->same_tenant = ledger_same_tenant(other, &h->holder);
    h->is_earlier = other->since < h->since;
    h->other_by = other->by;
    memcpy(h->other, other->text, sizeof h->other);
    if (h->same_tenant && !h->since && h->step != HOST_LOOK)
        ask_of_other(h);
}

static void found(struct host_record *h, const redisReply *reply)
{
    struct ledger_key key = key_of(&h->record);
    struct ledger_holder holder;
    if (!ledger_read_holder(&h->record.shared->ledger, &key, reply->str, reply->len, &holder))
        h->found = FOUND_FORGED;
    else if (!ledger_holder_is(&holder, &h->holder))
        found_other(h, &holder);
    else {
        h->found = FOUND_OWN;
        h->found_since = holder.since;
    }
}

static void on_value(void *owner, const redisReply *reply)
{
    struct host_record *h = hear(owner);
    if (reply_is(reply, REDIS_REPLY_NIL))
        h->found = FOUND_NOTHING;
    else if (reply_is(reply, REDIS_REPLY_STRING))
        found(h, reply);
    else if (reply_is(reply, REDIS_REPLY_ERROR) && strncmp(reply->str, "WRONGTYPE", 9) == 0)
        h->found = FOUND_FORGED;
    else
        registry_refused(writer_of(&h->record), reply);
    heard(&h->record);
}

static void send_refresh(struct registry *r, struct host_record *h)
{
    struct record *rec = &h->record;
    struct millis hold = millis_of(r->conf->registry->hold);
    struct command c = command_of("GETEX", rec->key, rec->key_len);
    command_text(&c, "PX"), command_text(&c, hold.text);
    record_send(r, rec, &c, on_value);
}

/* Only if there is none, or instead of what is there. */
static void send_claim(struct registry *r, struct host_record *h)
{
    struct record *rec = &h->record;
    struct registry_shared *s = rec->shared;
    struct millis hold = millis_of(r->conf->registry->hold);
    struct ledger_key key = key_of(rec), boot;
    struct ledger_holder holder;
    struct ledger_value value;
    if (h->step == HOST_REPLACE && loop_steady() - h->decided > DECIDED)
        h->step = HOST_CLAIM;
    ledger_holder_of(&h->holder, h->since ? h->since : registry_clock(s), &holder);
    ledger_write_holder(&s->ledger, &key, &holder, &value);
    ledger_key_of(&s->ledger, "boot", &boot);
    struct command set = command_of("SET", rec->key, rec->key_len);
    command_bytes(&set, value.bytes, value.len);
    command_text(&set, "PX"), command_text(&set, hold.text);
    if (h->step == HOST_CLAIM)
        command_text(&set, "NX");
    struct command get = command_of("GET", rec->key, rec->key_len);
    struct command data = command_of("GET", boot.text, boot.len);
    if (record_send(r, rec, &set, on_set) && record_send(r, rec, &get, on_value))
        record_send(r, rec, &data, on_boot);
}

static void send_look(struct registry *r, struct host_record *h)
{
    struct command c = command_of("GET", h->record.key, h->record.key_len);
    record_send(r, &h->record, &c, on_value);
}

static void host_send(struct registry *r, struct host_record *h)
{
    if (h->step == HOST_REFRESH)
        send_refresh(r, h);
    else if (h->step == HOST_LOOK)
        send_look(r, h);
    else
        send_claim(r, h);
}

/* --- what follows from it --- */

static void host_next(struct host_record *h, enum host_step step)
{
    h->step = (uint8_t)step;
    record_changed(&h->record);
}

/* Somebody does not leave it alone: the sweep comes back to it. */
static void host_replace(struct host_record *h)
{
    h->decided = loop_steady();
    if (h->tries++ < TRIES)
        host_next(h, HOST_REPLACE);
    else
        h->tries = 0;
}

static void host_held(struct host_record *h)
{
    h->since = h->found_since ? h->found_since : 1;
    h->tries = 0;
    h->step = HOST_REFRESH;
    host_tell(h, true);
}

static void host_name(const struct host_record *h, struct hostname_pattern *host)
{
    struct err e;
    hostname_read_pattern(host, h->key + h->name_at, h->record.key_len - h->name_at - 1U, &e);
}

static void host_lost(struct host_record *h)
{
    struct registry_shared *s = h->record.shared;
    s->lost_count++;
    for (struct list_item *i = list_first(&s->parts); i && !h->left; i = list_next(&s->parts, i)) {
        struct registry_part *part = container_of(i, struct registry_part, item);
        struct lost_host *l = part->registry ? calloc(1, sizeof *l) : NULL;
        if (!l)
            continue;
        l->portal = h->portal;
        l->holder = h->holder;
        host_name(h, &l->host);
        list_append(&part->lost, &l->item);
        registry_ring(part);
    }
    host_drop(h);
}

static void host_of_another(struct host_record *h)
{
    if (h->since && h->is_earlier)
        host_replace(h);
    else if (h->since)
        host_lost(h);
    else if (h->same_tenant && !h->lives && !h->expires && h->tries < TRIES)
        host_replace(h);
    else
        host_drop(h);
}

/* What nobody has, or only somebody who may be gone, has to wait. */
static void host_fenced(struct host_record *h)
{
    list_remove(&h->record.change);
    list_append(&h->record.shared->fenced, &h->record.change);
}

static void host_looked(struct host_record *h)
{
    if (h->found == FOUND_OWN)
        host_held(h);
    else if (h->found == FOUND_OTHER && !h->same_tenant)
        host_drop(h);
    else
        host_fenced(h);
}

static void host_decide(struct registry *r, struct host_record *h)
{
    switch ((enum host_found)h->found) {
    case FOUND_UNKNOWN:
        record_changed(&h->record);
        break;
    case FOUND_NOTHING:
        if (h->step != HOST_REFRESH)
            registry_refused(r, NULL);
        host_next(h, HOST_CLAIM);
        break;
    case FOUND_FORGED:
        host_replace(h);
        break;
    case FOUND_OWN:
        host_held(h);
        break;
    case FOUND_OTHER:
        host_of_another(h);
        break;
    }
}

static void host_undo(struct registry *r, struct host_record *h)
{
    struct command c = command_of("DEL", h->record.key, h->record.key_len);
    if (h->was_set)
        registry_send(r, &c, NULL, NULL);
}

static void host_written(struct registry *r, struct record *rec)
{
    struct host_record *h = host_of(rec);
    bool reads = h->step == HOST_REFRESH || h->step == HOST_LOOK;
    bool sure = reads || h->same_data, undo = h->undo;
    h->undo = false;
    if (rec->gone || undo || (!sure && !h->since))
        host_undo(r, h);
    if (!sure)
        registry_lost_data(r);
    if (rec->gone)
        host_drop(h);
    else if (undo || !sure)
        record_changed(rec);
    else if (h->step == HOST_LOOK)
        host_looked(h);
    else
        host_decide(r, h);
}

static const struct record_kind host_kind = {
    .write = host_write, .written = host_written, .free = host_free, .sweeps = SWEEPS};

/* --- claims --- */

/* NULL: out of memory. */
static struct host_record *host_new(struct registry_shared *s, const struct ledger_key *key)
{
    struct host_record *h = calloc(1, sizeof *h + key->len + 1);
    if (!h || !record_init(&h->record, &host_kind, s, key, h->key)) {
        free(h);
        return NULL;
    }
    h->name_at = (uint16_t)(strchr(h->key, '/') + 1 - h->key);
    s->host_count++;
    return h;
}

/* A tunnel begins to want it. */
static void host_want(struct host_record *h, uint64_t portal, const struct tunnel_name *holder)
{
    host_tell(h, false); /* it is not theirs who left it */
    h->undo = h->record.under_way > 0;
    h->portal = portal;
    h->holder = *holder;
    h->since = 0;
    h->tries = 0;
    host_next(h, HOST_CLAIM);
}

static void host_unleave(struct host_record *h)
{
    struct registry_shared *s = h->record.shared;
    h->record.gone = false;
    if (!h->left)
        return;
    h->left = false;
    s->left_count--;
    list_remove(&h->record.round);
    list_append(&s->rounds, &h->record.round);
}

/* One that this node knows, and whose tunnel has come back: it is asked whether that still holds, if somebody can say. */
static void host_again(struct host_record *h)
{
    struct registry_shared *s = h->record.shared;
    bool was_left = h->left;
    host_unleave(h);
    if (h->since && was_left) {
        if (s->well && !is_fenced(s, loop_steady()))
            h->since = 0;
        host_next(h, h->since ? HOST_REFRESH : HOST_CLAIM);
    }
}

/* NULL: it is another's, or there is no memory. */
static struct host_record *host_claim(struct registry_shared *s, const struct ledger_key *key,
                                      uint64_t portal, const struct tunnel_name *holder)
{
    struct record *rec = records_find(&s->records, key);
    struct host_record *h = rec ? host_of(rec) : host_new(s, key);
    if (rec && tunnel_name_equal(&h->holder, holder)) {
        host_again(h);
        return h;
    }
    if (!h || (rec && !h->left && !rec->gone))
        return NULL;
    host_unleave(h);
    host_want(h, portal, holder);
    return h;
}

static bool is_too_deep(const struct hostname_pattern *host)
{
    unsigned labels = 1;
    for (const char *c = host->host.text; *c; c++)
        labels += *c == '.';
    return host->below && labels > LEDGER_LEVELS;
}

enum elsewhere_claim registry_claim(struct registry *r, uint64_t portal,
                                    const struct hostname_pattern *host,
                                    const struct tunnel_name *holder, struct claim_wait *w)
{
    struct registry_shared *s = r->shared;
    enum elsewhere_claim answer = ELSEWHERE_TAKEN;
    struct ledger_key key;
    if (is_too_deep(host))
        return answer;
    ledger_key_host(&s->ledger, portal, host->host.text, host->below, &key);
    pthread_mutex_lock(&s->lock);
    struct host_record *h = host_claim(s, &key, portal, holder);
    if (h)
        answer = h->since ? ELSEWHERE_GRANTED : ELSEWHERE_LATER;
    if (answer == ELSEWHERE_LATER) {
        w->registry = r;
        list_append(&h->waiting, &w->item);
    }
    pthread_mutex_unlock(&s->lock);
    return answer;
}

void registry_claim_forget(struct claim_wait *w)
{
    if (!w->registry)
        return;
    struct registry_shared *s = w->registry->shared;
    pthread_mutex_lock(&s->lock);
    list_remove(&w->item);
    pthread_mutex_unlock(&s->lock);
    w->registry = NULL;
}

static void host_leave(struct host_record *h)
{
    struct registry_shared *s = h->record.shared;
    if (!h->since) {
        h->record.gone = true;
        if (!h->record.under_way)
            host_drop(h);
        return;
    }
    h->left = true;
    h->left_at = loop_steady();
    s->left_count++;
    list_remove(&h->record.round);
    list_append(&s->left, &h->record.round);
}

void registry_leave(struct registry *r, uint64_t portal, const struct hostname_pattern *host,
                    const struct tunnel_name *holder)
{
    struct registry_shared *s = r->shared;
    struct ledger_key key;
    ledger_key_host(&s->ledger, portal, host->host.text, host->below, &key);
    pthread_mutex_lock(&s->lock);
    struct record *rec = records_find(&s->records, &key);
    struct host_record *h = rec ? host_of(rec) : NULL;
    if (h && !h->left && tunnel_name_equal(&h->holder, holder))
        host_leave(h);
    pthread_mutex_unlock(&s->lock);
}

void registry_hosts_forget(struct registry_shared *s, double now)
{
    struct list_item *i;
    while ((i = list_first(&s->left))) {
        struct host_record *h = host_of(container_of(i, struct record, round));
        if (h->record.under_way || (now - h->left_at < LEFT && s->left_count <= LEFT_MAX))
            return;
        host_drop(h);
    }
}

/* --- telling --- */

/* The first, taken out; NULL: there is none. */
static struct list_item *take(struct registry *r, const struct list *from)
{
    pthread_mutex_lock(&r->shared->lock);
    struct list_item *i = list_first(from);
    if (i)
        list_remove(i);
    pthread_mutex_unlock(&r->shared->lock);
    return i;
}

static void tell_decided(struct registry *r)
{
    struct list_item *i;
    while ((i = take(r, &r->part->decided))) {
        struct claim_wait *w = container_of(i, struct claim_wait, item);
        w->registry = NULL;
        w->decided(w, w->granted);
    }
}

static void tell_lost(struct registry *r)
{
    struct list_item *i;
    while ((i = take(r, &r->part->lost))) {
        struct lost_host *l = container_of(i, struct lost_host, item);
        if (r->owner.lost)
            r->owner.lost(r->owner.owner, l->portal, &l->host, &l->holder);
        free(l);
    }
}

void registry_hosts_tell(struct registry *r)
{
    tell_decided(r);
    tell_lost(r);
}

void registry_lost_free(struct list *lost)
{
    struct list_item *i;
    while ((i = list_first(lost))) {
        list_remove(i);
        free(container_of(i, struct lost_host, item));
    }
}
