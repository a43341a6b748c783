/* cluster/registry_nodes.c -- the writer says each few seconds that its node is alive, and looks each second who else is,
 * and whether the registry still has its data.
 * A lease counts only when its serial has grown since it was last seen: one that somebody wrote back is no life. A node that
 * drains takes its lease away in the end. */
#include <stdio.h>
#include <stdlib.h>

#include "cluster/network.h"
#include "cluster/registry_inside.h"

enum { BOOT_BYTES = 12, NODES_A_SECOND = 20 };

static const double LOOK = 1, /* seconds between looks */
    BEAT = 0.3,               /* of a lease */
    FORGOTTEN = 60,           /* without a lease nobody looks for a node any longer */
    FENCE = 30,               /* nobody gets a new name after data were lost */
    FIRST_FENCE = 3,          /* ... where they may have been: others look once a second */
    NAMING = 0.5,             /* between two names given to the data */
    AGES = 1e11;              /* no clock says so many */

/* A name that stands among the nodes. */
struct seen_node {
    struct registry *registry;
    char name[NODE_NAME_MAX + 1]; /* "": nobody */
    uint64_t epoch, serial;       /* the last that it said */
    double since;                 /* when; 0: never */
    double missing;               /* since when it has had no lease; 0: it has one */
    bool drains;                  /* it said so last */
    bool listed, asked;
};

/* --- this node --- */

static void on_written(void *owner, const redisReply *reply)
{
    if (reply_is(reply, REDIS_REPLY_ERROR))
        registry_refused(owner, reply);
}

static void lease_now(struct registry *r, struct ledger_lease *l)
{
    struct registry_shared *s = r->shared;
    *l = (struct ledger_lease){
        .epoch = s->epoch, .serial = ++r->serial, .version = 1, .at = r->conf->advertise};
    snprintf(l->zone, sizeof l->zone, "%s", r->conf->zone);
    pthread_mutex_lock(&s->lock);
    l->state = (uint8_t)s->state;
    l->links = s->links;
    pthread_mutex_unlock(&s->lock);
}

void registry_beat(struct registry *r)
{
    struct ledger_key key, nodes;
    struct ledger_lease lease;
    struct ledger_value value;
    struct millis px = millis_of(r->conf->registry->lease);
    lease_now(r, &lease);
    ledger_key_node(&r->shared->ledger, r->conf->node, &key);
    ledger_key_of(&r->shared->ledger, "nodes", &nodes);
    ledger_write_lease(&r->shared->ledger, &key, &lease, &value);
    struct command set = command_of("SET", key.text, key.len);
    command_bytes(&set, value.bytes, value.len);
    command_text(&set, "PX"), command_text(&set, px.text);
    registry_send(r, &set, on_written, r);
    struct command add = command_of("SADD", nodes.text, nodes.len);
    command_text(&add, r->conf->node);
    registry_send(r, &add, NULL, NULL);
}

static void on_beat(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)events;
    struct registry *r = w->data;
    double share = 0.9 + 0.2 * randombytes_uniform(1000) / 1000;
    w->repeat = r->conf->registry->lease * BEAT * share;
    ev_timer_again(ev, w);
    registry_beat(r);
}

/* --- the others --- */

static void say_once_a_minute(struct log_limit *limit, const char *text, const char *node)
{
    if (log_allowed(limit, (int64_t)(loop_steady() / 60), 1))
        log_warn("cluster: registry: node %s: %s", node, text);
}

static void node_lives(struct registry *r, const struct seen_node *seen,
                       const struct ledger_lease *l, double now)
{
    struct node_view v = {.epoch = l->epoch,
                          .at = l->at,
                          .state = l->state,
                          .version = l->version,
                          .links = l->links};
    snprintf(v.name, sizeof v.name, "%s", seen->name);
    snprintf(v.zone, sizeof v.zone, "%s", l->zone);
    if (network_allows(r->conf, &l->at))
        nodes_leased(r->shared->nodes, &v, now, r->conf->registry->lease);
    else
        say_once_a_minute(&r->away, "its address is outside of \"networks\"", seen->name);
}

static void node_said(struct seen_node *seen, const struct ledger_lease *l, double now)
{
    struct registry *r = seen->registry;
    bool again = l->epoch == seen->epoch && l->serial > seen->serial;
    bool self = strcmp(seen->name, r->conf->node) == 0;
    if (seen->since && !again && l->epoch <= seen->epoch && now - seen->since < FORGOTTEN)
        return;
    if (self && again && l->epoch != r->shared->epoch)
        say_once_a_minute(
            &r->twin,
            "another process says that it is this one; \"node\" must be another name on each",
            seen->name);
    seen->epoch = l->epoch;
    seen->serial = l->serial;
    seen->since = now;
    seen->drains = l->state == NODE_DRAINS;
    if (!self)
        node_lives(r, seen, l, now);
}

static void node_missing(struct seen_node *seen, double now)
{
    struct registry *r = seen->registry;
    struct ledger_key nodes;
    if (!seen->missing)
        seen->missing = now;
    if (seen->drains)
        nodes_left(r->shared->nodes, seen->name, seen->epoch);
    if (now - seen->missing < FORGOTTEN)
        return;
    ledger_key_of(&r->shared->ledger, "nodes", &nodes);
    struct command c = command_of("SREM", nodes.text, nodes.len);
    command_text(&c, seen->name);
    registry_send(r, &c, NULL, NULL);
}

static void on_lease(void *owner, const redisReply *reply)
{
    struct seen_node *seen = owner;
    struct registry *r = seen->registry;
    struct ledger_key key;
    struct ledger_lease lease;
    seen->asked = false;
    if (reply_is(reply, REDIS_REPLY_NIL))
        node_missing(seen, loop_steady());
    if (!reply_is(reply, REDIS_REPLY_STRING))
        return;
    seen->missing = 0;
    ledger_key_node(&r->shared->ledger, seen->name, &key);
    if (ledger_read_lease(&r->shared->ledger, &key, reply->str, reply->len, &lease))
        node_said(seen, &lease, loop_steady());
    else
        say_once_a_minute(&r->forged,
                          "its lease is not sealed with this cluster's key, or of a later version",
                          seen->name);
}

static void ask_lease(struct seen_node *seen)
{
    struct registry *r = seen->registry;
    struct ledger_key key;
    ledger_key_node(&r->shared->ledger, seen->name, &key);
    struct command c = command_of("GET", key.text, key.len);
    seen->asked = registry_send(r, &c, on_lease, seen);
}

/* NULL: there are enough. */
static struct seen_node *seen_of(struct registry *r, const char *name)
{
    struct seen_node *unused = NULL;
    for (unsigned i = 0; i < NODES_MAX; i++) {
        if (strcmp(r->seen[i].name, name) == 0)
            return &r->seen[i];
        if (!*r->seen[i].name && !unused)
            unused = &r->seen[i];
    }
    if (unused) {
        *unused = (struct seen_node){.registry = r};
        snprintf(unused->name, sizeof unused->name, "%s", name);
    }
    return unused;
}

static void list_node(struct registry *r, const redisReply *name)
{
    char text[NODE_NAME_MAX + 1];
    struct seen_node *seen;
    if (!reply_is(name, REDIS_REPLY_STRING) || !tunnel_text_read(text, name->str, name->len) ||
        !(seen = seen_of(r, text)))
        return;
    seen->listed = true;
    if (!seen->asked)
        ask_lease(seen);
}

/* What it said last is kept in mind, else whoever takes its name out and puts it back could play back old leases. */
static void node_unlisted(struct seen_node *seen, double now)
{
    seen->missing = 0;
    if (!seen->asked && (!seen->since || now - seen->since >= FORGOTTEN))
        *seen->name = '\0';
}

/* The more there are, but often enough to see each lease before it is over. */
static void look_seldom(struct registry *r, unsigned count)
{
    double pause = LOOK * (1 + count / NODES_A_SECOND), most = r->conf->registry->lease * BEAT;
    most = most > LOOK ? most : LOOK;
    r->look.repeat = pause < most ? pause : most;
}

static void on_nodes(void *owner, const redisReply *reply)
{
    struct registry *r = owner;
    double now = loop_steady();
    unsigned count = 0;
    if (!reply_is(reply, REDIS_REPLY_ARRAY))
        return;
    for (unsigned i = 0; i < NODES_MAX; i++)
        r->seen[i].listed = false;
    for (size_t i = 0; i < reply->elements; i++)
        list_node(r, reply->element[i]);
    for (unsigned i = 0; i < NODES_MAX; i++) {
        if (!r->seen[i].listed)
            node_unlisted(&r->seen[i], now);
        count += r->seen[i].listed;
    }
    look_seldom(r, count);
}

/* --- the registry's data --- */

/* As it is remembered. */
static void data_name(const redisReply *reply, char name[BOOT_MAX + 1])
{
    size_t len = reply->len < BOOT_MAX ? reply->len : BOOT_MAX;
    memset(name, 0, BOOT_MAX + 1);
    memcpy(name, reply->str, len);
}

bool registry_same_data(const struct registry_shared *s, const redisReply *reply)
{
    char name[BOOT_MAX + 1];
    if (!*s->boot || !reply_is(reply, REDIS_REPLY_STRING))
        return false;
    data_name(reply, name);
    return strcmp(name, s->boot) == 0;
}

uint64_t registry_clock(const struct registry_shared *s)
{
    return (uint64_t)((s->clock + loop_steady()) * 1e6);
}

static void fence_up(struct registry_shared *s, double seconds)
{
    double until = loop_steady() + seconds;
    if (s->fence < until)
        s->fence = until;
}

/* Everybody sees it, whoever finds out last. */
static void send_fence(struct registry *r, double seconds, bool longer)
{
    struct ledger_key key;
    struct millis px = millis_of(seconds);
    fence_up(r->shared, seconds);
    ledger_key_of(&r->shared->ledger, "fence", &key);
    struct command c = command_of("SET", key.text, key.len);
    command_text(&c, "1");
    command_text(&c, "PX"), command_text(&c, px.text);
    if (!longer)
        command_text(&c, "NX");
    registry_send(r, &c, NULL, NULL);
}

static void forget_data(struct registry *r)
{
    struct registry_shared *s = r->shared;
    if (!*s->boot)
        return;
    if (log_allowed(&r->lost, (int64_t)(loop_steady() / 60), 1))
        log_warn("cluster: registry: Redis lost its data; what this node has is written again, and "
                 "nobody gets a new hostname for %.0f s",
                 FENCE);
    *s->boot = '\0';
    s->losses++;
    send_fence(r, FENCE, true);
    registry_write_all(s);
}

static void on_boot(void *owner, const redisReply *reply);

static void ask_boot(struct registry *r)
{
    struct ledger_key key;
    ledger_key_of(&r->shared->ledger, "boot", &key);
    struct command c = command_of("GET", key.text, key.len);
    registry_send(r, &c, on_boot, r);
}

/* Whoever is first gives the data their name; also instead of what is none. If Redis does not take it, that is tried again
 * with a later look. */
static void name_data(struct registry *r, bool instead)
{
    uint8_t bytes[BOOT_BYTES];
    char name[2 * BOOT_BYTES + 1];
    struct ledger_key key;
    double now = loop_steady();
    if (r->named > 0 && now - r->named < NAMING)
        return;
    r->named = now;
    randombytes_buf(bytes, sizeof bytes);
    sodium_bin2hex(name, sizeof name, bytes, sizeof bytes);
    send_fence(r, FIRST_FENCE, false);
    ledger_key_of(&r->shared->ledger, "boot", &key);
    struct command c = command_of("SET", key.text, key.len);
    command_text(&c, name);
    if (!instead)
        command_text(&c, "NX");
    if (registry_send(r, &c, on_written, r))
        ask_boot(r);
}

static void saw_data(struct registry *r)
{
    struct registry_shared *s = r->shared;
    bool first = !r->saw;
    r->saw = s->well = true;
    if (r->other_server)
        registry_write_all(s); /* it may lack what was written last */
    r->other_server = false;
    if (first && !ev_is_active(&r->batch))
        ev_timer_again(r->loop->ev, &r->batch);
}

static void data_are(struct registry *r, const redisReply *reply)
{
    struct registry_shared *s = r->shared;
    if (!registry_same_data(s, reply)) {
        forget_data(r);
        data_name(reply, s->boot);
    }
    saw_data(r);
}

static bool is_name(const redisReply *reply)
{
    return reply_is(reply, REDIS_REPLY_STRING) && *reply->str;
}

/* Somebody else wrote something there that names nothing. */
static bool is_no_name(const redisReply *reply)
{
    return reply_is(reply, REDIS_REPLY_STRING) ||
           (reply_is(reply, REDIS_REPLY_ERROR) && strncmp(reply->str, "WRONGTYPE", 9) == 0);
}

static void on_boot(void *owner, const redisReply *reply)
{
    struct registry *r = owner;
    pthread_mutex_lock(&r->shared->lock);
    if (is_name(reply)) {
        data_are(r, reply);
    } else if (reply_is(reply, REDIS_REPLY_NIL) || is_no_name(reply)) {
        r->saw = false;
        forget_data(r);
        name_data(r, is_no_name(reply));
    }
    pthread_mutex_unlock(&r->shared->lock);
}

void registry_lost_data(struct registry *r)
{
    r->saw = false;
    ask_boot(r);
}

static void on_fence(void *owner, const redisReply *reply)
{
    struct registry *r = owner;
    if (!reply_is(reply, REDIS_REPLY_INTEGER) || reply->integer <= 0)
        return;
    double left = (double)reply->integer / 1000;
    pthread_mutex_lock(&r->shared->lock);
    fence_up(r->shared, left < FENCE ? left : FENCE);
    pthread_mutex_unlock(&r->shared->lock);
}

static void on_time(void *owner, const redisReply *reply)
{
    struct registry *r = owner;
    if (!reply_is(reply, REDIS_REPLY_ARRAY) || reply->elements != 2 ||
        !reply_is(reply->element[0], REDIS_REPLY_STRING) ||
        !reply_is(reply->element[1], REDIS_REPLY_STRING))
        return;
    double now = strtod(reply->element[0]->str, NULL) + strtod(reply->element[1]->str, NULL) / 1e6;
    if (!(now > 0 && now < AGES))
        return;
    pthread_mutex_lock(&r->shared->lock);
    r->shared->clock = now - loop_steady();
    pthread_mutex_unlock(&r->shared->lock);
}

/* --- looking --- */

static void look(struct registry *r)
{
    struct ledger_key fence, nodes;
    ledger_key_of(&r->shared->ledger, "fence", &fence);
    ledger_key_of(&r->shared->ledger, "nodes", &nodes);
    struct command ttl = command_of("PTTL", fence.text, fence.len);
    struct command members = command_of("SMEMBERS", nodes.text, nodes.len);
    struct command clock = {0};
    command_text(&clock, "TIME");
    registry_send(r, &clock, on_time, r);
    registry_send(r, &ttl, on_fence, r);
    ask_boot(r);
    registry_send(r, &members, on_nodes, r);
}

static void on_look(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)events;
    struct registry *r = w->data;
    ev_timer_again(ev, w);
    look(r);
    pthread_mutex_lock(&r->shared->lock);
    registry_hosts_unfence(r->shared);
    pthread_mutex_unlock(&r->shared->lock);
}

void registry_nodes_well(struct registry *r)
{
    look(r);
    registry_beat(r);
}

void registry_nodes_leave(struct registry *r)
{
    struct registry_shared *s = r->shared;
    const struct seen_node *self = seen_of(r, r->conf->node);
    struct ledger_key key;
    pthread_mutex_lock(&s->lock);
    bool goes = s->state == NODE_DRAINS;
    pthread_mutex_unlock(&s->lock);
    if (!goes || !self || self->epoch != s->epoch)
        return;
    ledger_key_node(&s->ledger, r->conf->node, &key);
    struct command c = command_of("DEL", key.text, key.len);
    registry_send(r, &c, NULL, NULL);
}

void registry_nodes_init(struct registry *r)
{
    ev_timer_init(&r->beat, on_beat, 0, r->conf->registry->lease * BEAT);
    r->beat.data = r;
    ev_timer_init(&r->look, on_look, 0, LOOK);
    r->look.data = r;
}

bool registry_nodes_start(struct registry *r)
{
    r->seen = calloc(NODES_MAX, sizeof *r->seen);
    ev_timer_again(r->loop->ev, &r->beat);
    ev_timer_again(r->loop->ev, &r->look);
    return r->seen;
}

void registry_nodes_stop(struct registry *r)
{
    ev_timer_stop(r->loop->ev, &r->beat);
    ev_timer_stop(r->loop->ev, &r->look);
    free(r->seen);
}
