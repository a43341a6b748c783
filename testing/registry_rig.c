#include "testing/registry_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void world_open(struct world *w)
{
    memset(w, 0, sizeof *w);
    clock_stop();
    fake_redis_start();
    rig_open(&w->rig);
    node_conf(&w->a, "a");
    node_conf(&w->b, "b");
    node_conf(&w->c, "c");
}

void world_close(struct world *w)
{
    node_stop(&w->a);
    node_stop(&w->b);
    node_stop(&w->c);
    rig_close(&w->rig);
    fake_redis_stop();
}

void node_conf(struct node *n, const char *name)
{
    n->registry_conf =
        (struct registry_conf){.timeout = .05, .lease = 10, .sweep = 20, .hold = 86400};
    n->conf = (struct cluster_conf){
        .name = "prod", .node = name, .zone = "z", .registry = &n->registry_conf};
    memset(n->conf.key, 7, sizeof n->conf.key);
    n->conf.advertise = (struct addr){.type = ADDR_IPV4, .port = 7400, .ip = {10, 0, 0, 1}};
}

static void on_lost(void *owner, uint64_t portal, const struct hostname_pattern *name,
                    const struct tunnel_name *holder)
{
    struct node *n = owner;
    assert_int_equal(portal, PORTAL);
    assert_true(holder->by == TUNNEL_BY_ID);
    n->lost++;
    snprintf(n->lost_host, sizeof n->lost_host, "%s", name->host.text);
}

void node_start(struct world *w, struct node *n, uint64_t epoch)
{
    const struct registry_owner owner = {on_lost, n};
    n->nodes = nodes_new(n->conf.node);
    n->tenants = tenants_new();
    n->shared = registry_shared_new(&n->conf, epoch, n->nodes, n->tenants);
    assert_non_null(n->shared);
    n->registry = registry_new(&w->rig.loop, &n->conf, n->shared, &owner);
    assert_non_null(n->registry);
    registry_state(n->registry, NODE_UP, 0);
    pass(w, .2);
}

void node_stop(struct node *n)
{
    registry_free(n->registry);
    registry_shared_free(n->shared);
    tenants_free(n->tenants);
    nodes_free(n->nodes);
    n->registry = NULL;
    n->shared = NULL;
    n->tenants = NULL;
    n->nodes = NULL;
}

void pass(struct world *w, double seconds)
{
    double step = seconds < .5 ? .02 : seconds < 100 ? .1 : 2;
    for (double left = seconds; left > 0; left -= step) {
        clock_forward(left < step ? left : step);
        rig_turn(&w->rig);
    }
}

void world_settle(struct world *w)
{
    pass(w, 6);
}

struct tunnel_name tunnel(const char *tenant, const char *text)
{
    struct tunnel_name t = {.tenant = tenant, .by = TUNNEL_BY_ID};
    snprintf(t.text, sizeof t.text, "%s", text);
    return t;
}

struct hostname_pattern host(const char *text)
{
    struct hostname_pattern p;
    struct err e;
    assert_int_equal(hostname_read_pattern(&p, text, strlen(text), &e), 0);
    return p;
}

void has(struct node *n, const char *text, unsigned links)
{
    struct tunnel_name t = tunnel(NULL, text);
    registry_has(n->registry, PORTAL, &t, links);
}

/* --- questions --- */

struct asked {
    struct question q;
    char text[512];
};

static void places_text(struct asked *a, const struct answer *said)
{
    size_t len = 0;
    if (!said->count)
        snprintf(a->text, sizeof a->text, "known");
    for (unsigned i = 0; i < said->count; i++)
        len += (size_t)snprintf(a->text + len, sizeof a->text - len, "%s%s:%u", i ? " " : "",
                                said->at[i].node, said->at[i].links);
}

static void on_told(struct question *q, const struct answer *said)
{
    struct asked *a = container_of(q, struct asked, q);
    assert_string_equal(a->text, "");
    if (!said || !said->known)
        snprintf(a->text, sizeof a->text, "%s", said ? "nobody" : "?");
    else if (q->of.kind == ASK_TUNNEL)
        places_text(a, said);
    else
        snprintf(a->text, sizeof a->text, "%s%s%s", said->holder.tenant ? said->holder.tenant : "",
                 said->holder.tenant ? "/" : "", said->holder.text);
}

static const char *ask(struct world *w, struct node *n, struct asked *a)
{
    a->q.told = on_told;
    a->q.of.portal = PORTAL;
    *a->text = '\0';
    if (!registry_ask(n->registry, &a->q))
        return "away";
    rig_turn(&w->rig);
    return a->text;
}

const char *ask_tunnel(struct world *w, struct node *n, const char *text)
{
    static struct asked a;
    a = (struct asked){.q.of = {.kind = ASK_TUNNEL, .tunnel = tunnel(NULL, text)}};
    return ask(w, n, &a);
}

const char *ask_host(struct world *w, struct node *n, const char *name)
{
    static struct asked a;
    a = (struct asked){.q.of = {.kind = ASK_HOST}};
    snprintf(a.q.of.host, sizeof a.q.of.host, "%s", name);
    return ask(w, n, &a);
}

/* --- names --- */

static void on_decided(struct claim_wait *wait, bool granted)
{
    struct wish *wish = container_of(wait, struct wish, wait);
    wish->told++;
    wish->granted = granted;
}

const char *wish_text(const struct wish *wish)
{
    assert_true(wish->told <= 1);
    return !wish->told ? "later" : wish->granted ? "granted" : "taken";
}

const char *claim(struct world *w, struct node *n, const char *name, struct tunnel_name t,
                  struct wish *wish)
{
    struct hostname_pattern p = host(name);
    *wish = (struct wish){.wait = {.decided = on_decided}};
    enum elsewhere_claim said = registry_claim(n->registry, PORTAL, &p, &t, &wish->wait);
    if (said != ELSEWHERE_LATER)
        return said == ELSEWHERE_GRANTED ? "granted" : "taken";
    pass(w, .05);
    return wish_text(wish);
}

const char *key_of(const char *kind)
{
    char prefix[32];
    const char *key;
    snprintf(prefix, sizeof prefix, "v2c:prod:%s:", kind);
    for (size_t i = 0; (key = fake_redis_key(i)); i++)
        if (strncmp(key, prefix, strlen(prefix)) == 0)
            return key;
    return NULL;
}
