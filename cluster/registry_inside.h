/* cluster/registry_inside.h -- what the files of the registry share; nobody else includes it.
 * registry.c: its parts, and who is told. registry_write.c: what changed goes out, in batches, and all of it in sweeps.
 * registry_nodes.c: leases, the registry's data and clock. registry_tunnels.c, registry_hosts.c: what is written.
 * registry_ask.c: what is read. Only the registry of loop 0, the writer, uses what is said to be its.
 * The lock is held while records are looked at, also while commands are sent: no answer comes from within. */
#ifndef V2C_CLUSTER_REGISTRY_INSIDE_H
#define V2C_CLUSTER_REGISTRY_INSIDE_H

#include <pthread.h>
#include <string.h>

#include "cluster/ledger.h"
#include "cluster/records.h"
#include "cluster/registry.h"
#include "core/log.h"

enum {
    BOOT_MAX = 32, /* bytes of a name that the registry's data has */
    SWEEPS =
        3, /* after so many all was looked at, and a tunnel that nobody writes any more is gone */
};

static const double LINGER = 60; /* seconds for which a tunnel is known whose last link went */

/* A loop's registry, as others find it: stays as long as the shared part. */
struct registry_part {
    struct list_item item;
    struct task bell;
    struct loop *loop;
    struct registry *registry; /* NULL: it has gone */
    struct list decided;       /* struct claim_wait that are to be told */
    struct list lost;          /* names, for its owner */
};

struct registry_shared {
    pthread_mutex_t lock;
    const struct cluster_conf *conf;
    struct ledger ledger;
    uint64_t epoch;
    struct nodes *nodes;
    struct tenants *tenants;
    struct list parts;
    struct registry_part *writer;
    bool well; /* the writer's connection is */
    enum node_state state;
    uint32_t links;

    char boot[BOOT_MAX + 1]; /* of the data that was last seen; "": none yet */
    double fence;            /* until then nobody gets a new name, loop_steady() */
    double clock;            /* Redis' time less loop_steady() */
    uint64_t losses;

    struct records records;
    struct list changed; /* to be written */
    struct list rounds;  /* to be written again, whose turn it is first */
    struct list fenced;  /* names that wait for the fence to go */
    struct list empty;   /* tunnels whose last link went, the longest ago first */
    struct list left;    /* names that nobody wants here now, the same */
    size_t tunnel_count, host_count, left_count, lost_count;
};

struct seen_node;

struct registry {
    struct loop *loop;
    const struct cluster_conf *conf;
    struct registry_shared *shared;
    struct registry_part *part;
    struct registry_owner owner;
    struct redis *redis;
    struct redis_owner redis_owner;
    struct list asks;

    /* the writer's */
    struct task well_changed;
    ev_timer batch, sweep, beat, look;
    double due;   /* records that the sweep owes */
    double pause; /* no writing until then: Redis refuses, loop_steady() */
    double named; /* when the data was last given a name, the same */
    double well_since;
    uint64_t serial;   /* of the lease */
    char run_id[64];   /* of the server that was written to */
    bool other_server; /* it changed, and not all was written again */
    bool saw;          /* the registry's data, in this connection */
    struct seen_node *seen;
    struct log_limit refused, forged, twin, away, lost;
};

static inline bool is_writer(const struct registry *r)
{
    return r->loop->index == 0;
}

/* Nobody gets a new name: the registry may have forgotten whose it is. */
static inline bool is_fenced(const struct registry_shared *s, double now)
{
    return now < s->fence;
}

/* Also for two seconds behind the fence: what waited for its end is written within a look, each node's own. */
static inline bool may_lack_names(const struct registry_shared *s, double now)
{
    return now < s->fence + 2;
}

/* --- commands --- */

enum { WORDS_MAX = 8 };

struct command {
    int count;
    const char *words[WORDS_MAX];
    size_t lens[WORDS_MAX];
};

static inline void command_bytes(struct command *c, const void *data, size_t len)
{
    c->words[c->count] = data;
    c->lens[c->count++] = len;
}

static inline void command_text(struct command *c, const char *text)
{
    command_bytes(c, text, strlen(text));
}

/* VERB key, and what the caller adds. */
static inline struct command command_of(const char *verb, const char *key, size_t len)
{
    struct command c = {0};
    command_text(&c, verb);
    command_bytes(&c, key, len);
    return c;
}

/* PX, in milliseconds. */
struct millis {
    char text[24];
};
struct millis millis_of(double seconds);

bool registry_send(struct registry *r, const struct command *c, redis_told *told, void *owner);
static inline bool reply_is(const redisReply *reply, int type)
{
    return reply && reply->type == type;
}

/* --- registry.c --- */

/* Its loop has somebody to tell. Lock held. */
void registry_ring(struct registry_part *part);
/* The writer has something to do. Lock held. */
void registry_ring_writer(struct registry_shared *s);

/* --- registry_write.c; lock held --- */

/* Its kind fills the rest. False: out of memory. */
bool record_init(struct record *rec, const struct record_kind *kind, struct registry_shared *s,
                 const struct ledger_key *key, char *room);
void record_changed(struct record *rec);
/* Counts the command if it could be sent. */
bool record_send(struct registry *r, struct record *rec, const struct command *c, redis_told *told);
/* One of its answers came. May free it. */
void record_heard(struct registry *r, struct record *rec);
/* Out of all lists and the table. */
void record_out(struct record *rec);
void registry_write_all(struct registry_shared *s);
/* Redis does not take what is written: a pause, and a line in the log. */
void registry_refused(struct registry *r, const redisReply *reply);
void registry_write_init(struct registry *r);
void registry_write_start(struct registry *r);
void registry_write_stop(struct registry *r);

/* --- registry_nodes.c, the writer's --- */

void registry_nodes_init(struct registry *r);
bool registry_nodes_start(struct registry *r); /* false: out of memory */
/* The end of a node that drains: its lease goes, unless it was another life's when it was last seen. */
void registry_nodes_leave(struct registry *r);
void registry_nodes_stop(struct registry *r);
/* The connection is well: everything at once. */
void registry_nodes_well(struct registry *r);
void registry_beat(struct registry *r);
/* The registry's data is another than that which was seen, or none. Lock held. */
void registry_lost_data(struct registry *r);
/* What "GET boot" said is what was seen. Lock held. */
bool registry_same_data(const struct registry_shared *s, const redisReply *reply);
/* Microseconds. Lock held. */
uint64_t registry_clock(const struct registry_shared *s);

/* --- registry_tunnels.c, registry_hosts.c; lock held --- */

void registry_tunnels_end(struct registry_shared *s, double now);
/* A field and its value, of HGETALL. */
struct registry_place {
    char node[NODE_NAME_MAX + 1];
    struct ledger_links links;
    bool is_self, is_alive; /* in the life that it says */
};
/* False: nobody of this cluster wrote it. No lock. */
bool registry_place_of(struct registry_shared *s, const struct ledger_key *key,
                       redisReply *const *pair, struct registry_place *p);
/* Some entry of HGETALL is of a node that lives, or of this one: the tunnel was there within the last minute. */
bool registry_tunnel_lives(struct registry_shared *s, const struct ledger_key *key,
                           const redisReply *reply);
/* Those that wait look again whether it is theirs, or nobody's any more. */
void registry_hosts_unfence(struct registry_shared *s);
void registry_hosts_forget(struct registry_shared *s, double now);
/* On each loop: tells who waits, and the owner. Lock not held. */
void registry_hosts_tell(struct registry *r);
void registry_lost_free(struct list *lost);

/* --- registry_ask.c --- */

void registry_asks_stop(struct registry *r);

#endif
