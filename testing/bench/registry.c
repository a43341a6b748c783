/* testing/bench/registry.c -- what a cluster's registry costs Redis.
 *   registry PORT TUNNELS HOSTS SWEEP SECONDS
 * Three nodes in this process, as far as the registry goes: each of so many tunnels has links on two of them, each of so
 * many hostnames is held by one. All is written at once, but for the hundredth part that a sweep may be writing again,
 * and then nothing changes for so long. Prints, as words:
 *   seconds until all was written, commands of that, and of it the share of a core that Redis took in percent;
 *   commands a second while nothing changes, and the same share; bytes that Redis has in memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/registry.h"
#include "core/stats.h"
#include "transport/resolve.h"

enum { NODES = 3, PORTAL = 7 };

static const char *const names[NODES] = {"node-a", "node-b", "node-c"};

struct member {
    struct cluster_conf conf;
    struct nodes *nodes;
    struct registry_shared *shared;
    struct registry *registry;
};

struct info {
    double cpu, commands, memory, at;
};

struct bench {
    struct loop loop;
    struct redis_server server;
    struct registry_conf conf;
    struct tenants *tenants;
    struct member members[NODES];
    struct claim_wait *waits;
    struct redis *probe;
    struct redis_owner owner;
    struct ev_timer tick;
    unsigned tunnels, hosts;
    double seconds;
    double written; /* when all was; 0: not yet */
    struct info start, all, last;
    struct info *next; /* which of them was asked for last; NULL: none yet */
};

static double member_of(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at ? strtod(at + strlen(name), NULL) : 0;
}

static void on_info(void *owner, const redisReply *r)
{
    struct bench *b = owner;
    if (!r || r->type != REDIS_REPLY_STRING)
        return;
    *b->next = (struct info){
        .cpu = member_of(r->str, "\nused_cpu_sys:") + member_of(r->str, "\nused_cpu_user:"),
        .commands = member_of(r->str, "\ntotal_commands_processed:"),
        .memory = member_of(r->str, "\nused_memory:"),
        .at = loop_steady(),
    };
}

static void ask_info(struct bench *b, struct info *to)
{
    static const char *const words[] = {"INFO"};
    static const size_t lens[] = {4};
    b->next = to;
    redis_ask(b->probe, 1, words, lens, 10, on_info, b);
}

static void on_decided(struct claim_wait *w, bool granted)
{
    (void)w;
    if (!granted)
        fprintf(stderr, "a hostname was not granted\n");
}

static void fill(struct bench *b)
{
    struct tunnel_name t = {0};
    struct hostname_pattern host = {0};
    struct err e;
    char text[64];
    for (unsigned i = 0; i < b->tunnels; i++) {
        snprintf(t.text, sizeof t.text, "%08x-7980-11ee-bbdb-60f262c1e32d", i);
        registry_has(b->members[i % NODES].registry, PORTAL, &t, 1);
        registry_has(b->members[(i + 1) % NODES].registry, PORTAL, &t, 1);
    }
    for (unsigned i = 0; i < b->hosts; i++) {
        snprintf(t.text, sizeof t.text, "%08x-7980-11ee-bbdb-60f262c1e32d", i % b->tunnels);
        int len = snprintf(text, sizeof text, "host-%u.hosts.example", i);
        hostname_read_pattern(&host, text, (size_t)len, &e);
        b->waits[i].decided = on_decided;
        registry_claim(b->members[i % b->tunnels % NODES].registry, PORTAL, &host, &t,
                       &b->waits[i]);
    }
}

static size_t unwritten(struct bench *b)
{
    size_t sum = 0;
    for (int i = 0; i < NODES; i++) {
        struct registry_count count;
        registry_count(b->members[i].shared, &count);
        sum += count.unwritten;
    }
    return sum;
}

static double share(const struct info *from, const struct info *to)
{
    return 100 * (to->cpu - from->cpu) / (to->at - from->at);
}

static void report(const struct bench *b)
{
    printf("%.1f %.0f %.1f %.0f %.3f %.0f\n", b->written - b->start.at,
           b->all.commands - b->start.commands, share(&b->start, &b->all),
           (b->last.commands - b->all.commands) / (b->last.at - b->all.at),
           share(&b->all, &b->last), b->last.memory);
}

/* One step at a time: all are well, all is written, so many seconds have passed. */
static void on_tick(struct ev_loop *ev, ev_timer *w, int events)
{
    struct bench *b = w->data;
    double now = loop_steady();
    (void)events;
    if (b->next && b->next->at == 0) {
        return; /* it is on its way */
    } else if (b->last.at > 0) {
        report(b);
        ev_break(ev, EVBREAK_ALL);
    } else if (b->all.at > 0 && now - b->all.at >= b->seconds) {
        ask_info(b, &b->last);
    } else if (b->all.at > 0) {
        return;
    } else if (b->written > 0) {
        ask_info(b, &b->all);
    } else if (b->start.at > 0) {
        b->written = unwritten(b) <= b->tunnels / 100 ? now : 0;
    } else if (redis_is_well(b->probe)) {
        fill(b);
        ask_info(b, &b->start);
    }
}

static void on_well(void *owner, bool well, const char *run_id)
{
    (void)owner, (void)well, (void)run_id;
}

static bool member_open(struct bench *b, int i)
{
    struct member *m = &b->members[i];
    m->conf = (struct cluster_conf){
        .name = "bench", .node = names[i], .zone = "", .key = {7}, .registry = &b->conf};
    m->nodes = nodes_new(names[i]);
    m->shared = m->nodes ? registry_shared_new(&m->conf, 1, m->nodes, b->tenants) : NULL;
    m->registry = m->shared ? registry_new(&b->loop, &m->conf, m->shared, NULL) : NULL;
    if (m->registry)
        registry_state(m->registry, NODE_UP, 0);
    return m->registry;
}

static bool bench_open(struct bench *b, char **argv)
{
    struct err e;
    addr_parse_host(&b->server.at, "127.0.0.1", 9, &e);
    b->server.at.port = (uint16_t)strtoul(argv[1], NULL, 10);
    b->tunnels = (unsigned)strtoul(argv[2], NULL, 10);
    b->hosts = (unsigned)strtoul(argv[3], NULL, 10);
    b->seconds = strtod(argv[5], NULL);
    b->conf = (struct registry_conf){.servers = &b->server,
                                     .server_count = 1,
                                     .timeout = 1,
                                     .lease = 10,
                                     .sweep = strtod(argv[4], NULL),
                                     .hold = 86400};
    b->owner = (struct redis_owner){on_well, b};
    b->waits = calloc(b->hosts + 1, sizeof *b->waits);
    b->tenants = tenants_new();
    if (!b->waits || !b->tenants || loop_init(&b->loop, 0, STAT_FIXED, &e) < 0 ||
        resolve_init(&b->loop, NULL, &e) < 0)
        return false;
    b->probe = redis_new(&b->loop, &b->conf, &b->owner);
    for (int i = 0; i < NODES; i++)
        if (!member_open(b, i))
            return false;
    return b->probe;
}

static void bench_close(struct bench *b)
{
    for (int i = 0; i < NODES; i++) {
        registry_free(b->members[i].registry);
        registry_shared_free(b->members[i].shared);
        nodes_free(b->members[i].nodes);
    }
    redis_free(b->probe);
    tenants_free(b->tenants);
    resolve_stop(&b->loop);
    loop_fini(&b->loop);
    free(b->waits);
}

int main(int argc, char **argv)
{
    static struct bench b;
    if (argc != 6 || !bench_open(&b, argv)) {
        fprintf(stderr, "registry PORT TUNNELS HOSTS SWEEP SECONDS\n");
        return 2;
    }
    ev_timer_init(&b.tick, on_tick, 0.1, 0.1);
    b.tick.data = &b;
    ev_timer_start(b.loop.ev, &b.tick);
    loop_run(&b.loop);
    bench_close(&b);
    return 0;
}
