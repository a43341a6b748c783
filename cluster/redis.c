#include "cluster/redis.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/redis_nodes.h"
#include "core/log.h"

enum { MOVES = 5 }; /* that a command makes at most from node to node */

/* Between two rounds over all servers. Short, for when Redis is back all shall be well within 3 s; a Redis that takes
 * connections and is silent is given more time at once. */
static const double PAUSE_FIRST = 0.05, PAUSE_SILENT = 1, PAUSE_LAST = 2;
static const double STEADY =
    10; /* seconds after which a server is no more one that comes and goes */
static const double REFUSES = 10; /* seconds that a refusal is worth telling */
static const double SAYS = 60;    /* seconds between two lines about one outage */

struct redis {
    struct loop *loop;
    const struct registry_conf *conf;
    const struct redis_owner *owner;
    struct redis_nodes nodes; /* the first: the server in use, or the Sentinel that is asked */
    bool seeks;               /* a Sentinel is asked */
    struct addr master;       /* its answer; ADDR_NONE: none yet */
    struct list late;         /* commands whose owners hear soon that there is no answer */
    struct task tell;
    ev_timer again;
    unsigned tries;  /* servers that were tried since it was well */
    unsigned pauses; /* rounds of them */
    bool well;
    double well_since, away_since;
    struct err trouble;
    const struct redis_refusal *refusal; /* the last one that says something of the server */
    double refused;                      /* when */
    double said;                         /* when the log heard of this outage; 0: not yet */
    bool said_refused;                   /* ... and that the server refuses us */
    double lag;
    char server[ADDR_TEXT_MAX];
};

static const struct redis_link_ops server_ops, sentinel_ops, node_ops;

static const struct redis_server *server_of(const struct redis *r)
{
    return &r->conf->servers[r->tries % r->conf->server_count];
}

/* --- answers that do not come --- */

static void on_tell(struct task *t)
{
    struct redis *r = container_of(t, struct redis, tell);
    struct list_item *i;
    while ((i = list_first(&r->late))) {
        struct redis_command *c = container_of(i, struct redis_command, item);
        list_remove(i);
        redis_command_tell(c, NULL);
        redis_command_free(c);
    }
}

static void commands_late(struct redis *r, struct list *left)
{
    struct list_item *i;
    while ((i = list_first(left))) {
        list_remove(i);
        list_append(&r->late, i);
    }
    loop_ready(r->loop, &r->tell);
}

/* --- the log: one loop speaks for all --- */

/* Who has started it now hears at once that it wants a password. */
static void say_trouble(struct redis *r, bool was_well)
{
    double now = loop_steady();
    bool refused = r->trouble.code == EACCES, news = was_well || (refused && !r->said_refused);
    if (r->loop->index != 0 || (!news && r->said > 0 && now - r->said < SAYS))
        return;
    r->said = now;
    r->said_refused = refused;
    log_warn("cluster: the registry, Redis %s, is away: %s; this node goes on with what it knows",
             r->server, r->trouble.text);
}

static void say_well(struct redis *r)
{
    double away = r->said > 0 ? loop_steady() - r->away_since : 0;
    if (r->loop->index != 0)
        return;
    if (r->said > 0)
        log_warn("cluster: the registry, Redis %s, is back after %.1f s", r->server, away);
    else
        log_info("cluster: the registry is Redis %s", r->server);
    r->said = 0;
    r->said_refused = false;
}

/* --- from server to server --- */

static struct redis_link_conf link_conf(const struct redis *r)
{
    const struct registry_conf *c = r->conf;
    return (struct redis_link_conf){.carriage = server_of(r)->carriage,
                                    .user = c->user,
                                    .password = c->password,
                                    .timeout = c->timeout};
}

static void redis_wait(struct redis *r, double pause)
{
    ev_timer_set(&r->again, pause, 0);
    ev_timer_start(r->loop->ev, &r->again);
}

static void redis_dial(struct redis *r)
{
    struct redis_link_conf c = link_conf(r);
    bool found = r->master.type != ADDR_NONE;
    c.at = found ? r->master : server_of(r)->at;
    r->seeks = r->conf->master && !found;
    if (r->seeks) {
        c.user = NULL;
        c.password = r->conf->sentinel_password;
    } else {
        c.database = r->conf->database;
        c.is_master = true;
    }
    addr_text(&c.at, r->server);
    r->nodes.links[0] = redis_link_new(r->loop, &c, r->seeks ? &sentinel_ops : &server_ops, r);
    if (!r->nodes.links[0])
        redis_wait(r, PAUSE_LAST);
}

static void on_again(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)events;
    redis_dial(w->data);
}

/* Half of it is dice: loops and nodes shall not come back all at once. */
static double pause_of(const struct redis *r)
{
    double pause = r->trouble.code == ETIMEDOUT ? PAUSE_SILENT : PAUSE_FIRST;
    for (unsigned i = 1; i < r->pauses && pause < PAUSE_LAST; i++)
        pause *= 2;
    pause = pause < PAUSE_LAST ? pause : PAUSE_LAST;
    return pause * (0.5 + randombytes_uniform(1000) / 2000.0);
}

/* The next server, at once if it has not been tried in this round. */
static void redis_next(struct redis *r)
{
    double pause = 0;
    r->master = (struct addr){0};
    if (++r->tries % r->conf->server_count == 0) {
        r->pauses++;
        pause = pause_of(r);
    }
    redis_wait(r, pause);
}

/* --- the server in use --- */

static void on_server_up(void *owner, struct redis_link *k, const char *run_id)
{
    struct redis *r = owner;
    (void)k;
    r->well = true;
    r->well_since = loop_steady();
    r->trouble = (struct err){0};
    say_well(r);
    r->owner->well(r->owner->owner, true, run_id);
}

/* One that was well for long is tried again at once. */
static void on_server_down(void *owner, struct redis_link *k, const struct err *why,
                           struct list *left)
{
    struct redis *r = owner;
    bool was_well = r->well;
    double now = loop_steady();
    r->well = false;
    r->trouble = *why;
    r->lag = redis_link_lag(k);
    redis_nodes_lost(&r->nodes, k);
    redis_nodes_leave(&r->nodes, why);
    commands_late(r, left);
    if (was_well)
        r->away_since = now;
    if (was_well && now - r->well_since > STEADY)
        r->pauses = 0;
    say_trouble(r, was_well);
    redis_next(r);
    if (was_well)
        r->owner->well(r->owner->owner, false, "");
}

static void refusal_note(struct redis *r, const struct redis_refusal *refusal)
{
    if (refusal->kind != REFUSAL_STATE)
        return;
    r->refusal = refusal;
    r->refused = loop_steady();
}

/* ASKING, for the command behind it. False: out of memory. */
static bool ask_once(struct redis *r, struct redis_link *k)
{
    static const char *const words[] = {"ASKING"};
    static const size_t lens[] = {6};
    struct redis_command *c = redis_command_new(1, words, lens);
    if (!c)
        return false;
    c->timeout = r->conf->timeout;
    redis_link_send(k, c);
    return true;
}

static bool on_refused(void *owner, struct redis_link *k, struct redis_command *c,
                       const redisReply *reply)
{
    struct redis *r = owner;
    const struct redis_refusal *refusal = redis_refusal_of(reply);
    struct redis_link_conf conf = link_conf(r);
    const struct redis_node_way way = {r->loop, &conf, &node_ops, r};
    struct redis_moved m;
    refusal_note(r, refusal);
    if (refusal->kind != REFUSAL_MOVED || c->moves++ >= MOVES || !redis_moved_read(reply, &m))
        return false;
    struct redis_link *to = redis_nodes_moved(&r->nodes, k, &m, &way);
    if (!to || (m.once && !ask_once(r, to)))
        return false;
    redis_link_send(to, c);
    return true;
}

static const struct redis_link_ops server_ops = {
    .up = on_server_up, .down = on_server_down, .refused = on_refused};

/* --- further nodes of a Redis Cluster --- */

static void on_node_up(void *owner, struct redis_link *k, const char *run_id)
{
    (void)owner, (void)k, (void)run_id;
}

static void on_node_down(void *owner, struct redis_link *k, const struct err *why,
                         struct list *left)
{
    struct redis *r = owner;
    (void)why;
    redis_nodes_lost(&r->nodes, k);
    commands_late(r, left);
}

static const struct redis_link_ops node_ops = {
    .up = on_node_up, .down = on_node_down, .refused = on_refused};

/* --- Sentinel --- */

static void on_master(void *owner, const redisReply *reply)
{
    struct redis *r = owner;
    struct err why;
    if (!reply)
        err_set(&why, ETIMEDOUT, "this Sentinel does not answer in time");
    else if (redis_master_read(reply, &r->master))
        err_set(&why, ECANCELED, "it has said where the master is");
    else
        err_set(&why, ENOENT, "this Sentinel knows no master of that name");
    redis_link_leave(r->nodes.links[0], &why);
}

static void on_sentinel_up(void *owner, struct redis_link *k, const char *run_id)
{
    struct redis *r = owner;
    const char *words[] = {"SENTINEL", "get-master-addr-by-name", r->conf->master};
    const size_t lens[] = {strlen(words[0]), strlen(words[1]), strlen(words[2])};
    struct redis_command *c = redis_command_new(3, words, lens);
    struct err why;
    (void)run_id;
    if (!c) {
        err_set(&why, ENOMEM, "out of memory");
        redis_link_leave(k, &why);
        return;
    }
    c->told = on_master;
    c->owner = r;
    c->timeout = 1;
    redis_link_send(k, c);
}

static void on_sentinel_down(void *owner, struct redis_link *k, const struct err *why,
                             struct list *left)
{
    struct redis *r = owner;
    redis_nodes_lost(&r->nodes, k);
    redis_commands_free(left);
    if (r->master.type != ADDR_NONE) {
        redis_dial(r);
        return;
    }
    r->trouble = *why;
    say_trouble(r, false);
    redis_next(r);
}

static const struct redis_link_ops sentinel_ops = {.up = on_sentinel_up, .down = on_sentinel_down};

/* --- beginning and end --- */

struct redis *redis_new(struct loop *l, const struct registry_conf *conf,
                        const struct redis_owner *o)
{
    struct redis *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    *r = (struct redis){.loop = l, .conf = conf, .owner = o, .tell.run = on_tell};
    r->away_since = loop_steady();
    err_set(&r->trouble, ENOTCONN, "it has not answered yet");
    ev_timer_init(&r->again, on_again, 0, 0);
    r->again.data = r;
    redis_dial(r);
    return r;
}

void redis_free(struct redis *r)
{
    if (!r)
        return;
    ev_timer_stop(r->loop->ev, &r->again);
    loop_unready(&r->tell);
    redis_nodes_free(&r->nodes);
    redis_commands_free(&r->late);
    free(r);
}

/* --- what its owner does with it --- */

static bool has_room(const struct redis *r, const struct redis_link *k, size_t bytes)
{
    return redis_pending(r) < REDIS_QUEUE && redis_link_bytes(k) + bytes <= REDIS_QUEUE_BYTES;
}

bool redis_ask(struct redis *r, int count, const char *const *words, const size_t *lens,
               double timeout, redis_told *told, void *owner)
{
    size_t key = count > 1 ? 1 : 0, bytes = 0;
    struct redis_link *k = r->well ? redis_nodes_of(&r->nodes, words[key], lens[key]) : NULL;
    for (int i = 0; i < count; i++)
        bytes += lens[i];
    if (!k || !has_room(r, k, bytes))
        return false;
    struct redis_command *c = redis_command_new(count, words, lens);
    if (!c)
        return false;
    c->timeout = timeout > 0 ? timeout : r->conf->timeout;
    c->told = told;
    c->owner = owner;
    redis_link_send(k, c);
    return true;
}

void redis_forget(struct redis *r, const void *owner)
{
    for (unsigned i = 0; i < REDIS_NODES; i++)
        if (r->nodes.links[i])
            redis_link_forget(r->nodes.links[i], owner);
    redis_commands_forget(&r->late, owner);
}

bool redis_is_well(const struct redis *r)
{
    return r->well;
}

/* --- status --- */

const char *redis_server_text(const struct redis *r)
{
    return r->server;
}

const char *redis_trouble(const struct redis *r)
{
    if (r->well && r->refusal && loop_steady() - r->refused < REFUSES)
        return r->refusal->says;
    return r->trouble.text;
}

unsigned redis_pending(const struct redis *r)
{
    unsigned pending = 0;
    for (unsigned i = 0; i < REDIS_NODES; i++)
        pending += r->nodes.links[i] ? redis_link_pending(r->nodes.links[i]) : 0;
    return pending;
}

double redis_lag(const struct redis *r)
{
    return r->well ? redis_link_lag(r->nodes.links[0]) : r->lag;
}
