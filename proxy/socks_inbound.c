#include "proxy/socks_inbound.h"

#include <stdlib.h>

#include "proxy/socks_association.h"
#include "routing/dispatch.h"

struct socks_inbound {
    struct accept_inbound accept;
    const struct socks_in_conf *conf;
    struct socks_host host;
};

static struct socks_inbound *socks_of(struct inbound *in)
{
    return container_of(in, struct socks_inbound, accept.in);
}

static struct codec *new_codec(struct accept_inbound *a)
{
    return socks_accept_new(&container_of(a, struct socks_inbound, accept)->conf);
}

static void route(struct accept_inbound *a, struct conn *c)
{
    struct socks_inbound *s = container_of(a, struct socks_inbound, accept);
    struct addr local;
    if (!socks_associates(c->codec)) {
        dispatch(a->in.dispatcher, c->end.flow);
        return;
    }
    stream_local(&c->stream, &local);
    socks_associate(&s->host, c->end.flow, &local, &s->conf->ip);
}

static void socks_inbound_drain(struct inbound *in)
{
    accept_drain(accept_of(in));
    socks_host_drain(&socks_of(in)->host);
}

static void socks_inbound_free(struct inbound *in)
{
    accept_stop(accept_of(in));
    socks_host_leave(&socks_of(in)->host);
    free(socks_of(in));
}

static const struct inbound_ops socks_inbound_ops = {
    .drain = socks_inbound_drain, .busy = accept_busy, .free = socks_inbound_free};

struct inbound *socks_inbound_new(struct loop *l, struct dispatcher *d, const char *tag,
                                  const struct socks_in_conf *conf, size_t ports,
                                  const struct policy *policy, const struct traffic *traffic)
{
    struct socks_inbound *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->conf = conf;
    s->host.inbound = &s->accept;
    s->accept = (struct accept_inbound){
        .in = {.ops = &socks_inbound_ops, .loop = l, .dispatcher = d, .tag = tag},
        .policy = policy,
        .traffic = traffic,
        .new_codec = new_codec,
        .route = route,
    };
    if (accept_init(&s->accept, ports) == 0)
        return &s->accept.in;
    socks_inbound_free(&s->accept.in);
    return NULL;
}

void socks_inbound_adopt(struct inbound *in, const struct socks_in_conf *conf,
                         const struct policy *policy, const struct traffic *traffic)
{
    accept_adopt(accept_of(in), policy, traffic);
    socks_of(in)->conf = conf;
}
