#include "proxy/vmess_inbound.h"

#include <stdlib.h>
#include <time.h>

struct vmess_inbound {
    struct accept_inbound accept;
    struct vmess_server *server;
};

static int64_t wall_clock(void)
{
    return (int64_t)time(NULL);
}

static struct codec *new_codec(struct accept_inbound *a)
{
    return vmess_accept_new(container_of(a, struct vmess_inbound, accept)->server);
}

static void greeting_failed(struct accept_inbound *a, const struct codec *c)
{
    if (vmess_was_replay(c))
        stat_add(a->in.loop->counters, STAT_replays_refused, 1);
}

static void vmess_inbound_free(struct inbound *in)
{
    struct vmess_inbound *v = container_of(in, struct vmess_inbound, accept.in);
    accept_stop(&v->accept);
    vmess_server_free(v->server);
    free(v);
}

static void vmess_inbound_drain(struct inbound *in)
{
    accept_drain(accept_of(in));
}

static const struct inbound_ops vmess_inbound_ops = {
    .drain = vmess_inbound_drain, .busy = accept_busy, .free = vmess_inbound_free};

struct inbound *vmess_inbound_new(struct loop *l, struct dispatcher *d, const char *tag,
                                  const struct vmess_in_conf *conf, struct vmess_guard *guard,
                                  size_t ports, const struct policy *policy,
                                  const struct traffic *traffic)
{
    struct vmess_inbound *v = calloc(1, sizeof *v);
    if (!v)
        return NULL;
    v->accept = (struct accept_inbound){
        .in = {.ops = &vmess_inbound_ops, .loop = l, .dispatcher = d, .tag = tag},
        .policy = policy,
        .traffic = traffic,
        .new_codec = new_codec,
        .greeting_failed = greeting_failed,
    };
    v->server = vmess_server_new(conf, guard, wall_clock);
    if (v->server && accept_init(&v->accept, ports) == 0)
        return &v->accept.in;
    vmess_inbound_free(&v->accept.in);
    return NULL;
}

void vmess_inbound_adopt(struct inbound *in, const struct vmess_in_conf *conf,
                         const struct policy *policy, const struct traffic *traffic)
{
    struct vmess_inbound *v = container_of(in, struct vmess_inbound, accept.in);
    accept_adopt(&v->accept, policy, traffic);
    vmess_server_adopt(v->server, conf);
}

void vmess_inbound_follow(struct inbound *in, const struct vmess_in_conf *conf,
                          struct vmess_table *table, ptrdiff_t removed)
{
    vmess_server_follow(container_of(in, struct vmess_inbound, accept.in)->server, conf, table,
                        removed);
}
