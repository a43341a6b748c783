#include "proxy/dokodemo.h"

#include <stdlib.h>

#include "proxy/accept.h"
#include "routing/dispatch.h"
#include "transport/udp.h"

struct dokodemo {
    struct accept_inbound accept; /* TCP; its `in` is the inbound */
    struct udp_listener **udp;    /* one per port */
    size_t udp_count;
};

static bool on_udp_source(void *owner, struct end *end, const struct addr *from)
{
    struct accept_inbound *a = owner;
    struct meta m = {.net = NET_UDP,
                     .source = *from,
                     .target = a->target,
                     .inbound_tag = a->in.tag,
                     .outbound_tag = "",
                     .sniffing = a->sniffing,
                     .tunnel = a->tunnel};
    struct flow *f = flow_new(a->in.loop, end, &udp_peer_ops, &m, a->policy);
    if (!f)
        return false;
    dispatch(a->in.dispatcher, f);
    return true;
}

static void dokodemo_close_udp(struct dokodemo *d)
{
    for (size_t i = 0; i < d->udp_count; i++)
        if (d->udp[i])
            udp_listener_free(d->udp[i]);
    free(d->udp);
    d->udp = NULL;
    d->udp_count = 0;
}

static void dokodemo_drain(struct inbound *in)
{
    struct dokodemo *d = container_of(in, struct dokodemo, accept.in);
    accept_drain(&d->accept);
    dokodemo_close_udp(d);
}

static void dokodemo_free(struct inbound *in)
{
    struct dokodemo *d = container_of(in, struct dokodemo, accept.in);
    accept_stop(&d->accept);
    dokodemo_close_udp(d);
    free(d);
}

static const struct inbound_ops dokodemo_ops = {.drain = dokodemo_drain, .free = dokodemo_free};

static int dokodemo_init_udp(struct dokodemo *d, size_t ports)
{
    d->udp = calloc(ports, sizeof(struct udp_listener *));
    if (!d->udp)
        return -1;
    for (; d->udp_count < ports; d->udp_count++) {
        struct udp_listener *u = udp_listener_new(d->accept.in.loop, UDP_SOURCES);
        if (!u)
            return -1;
        udp_listener_own(u, d->accept.traffic, on_udp_source, &d->accept);
        d->udp[d->udp_count] = u;
    }
    return 0;
}

struct inbound *dokodemo_new(struct loop *l, struct dispatcher *disp, const char *tag,
                             const struct dokodemo_conf *conf, size_t ports,
                             const struct policy *policy, const struct traffic *traffic)
{
    struct dokodemo *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->accept = (struct accept_inbound){
        .in = {.ops = &dokodemo_ops, .loop = l, .dispatcher = disp, .tag = tag},
        .policy = policy,
        .traffic = traffic,
        .target = conf->target,
        .follows = conf->follows,
        .tunnel = conf->tunnel,
    };
    if (accept_init(&d->accept, ports) == 0 &&
        (!(conf->networks & NET_UDP) || dokodemo_init_udp(d, ports) == 0))
        return &d->accept.in;
    dokodemo_free(&d->accept.in);
    return NULL;
}

void dokodemo_listen_udp(struct inbound *in, size_t i, int fd)
{
    udp_listener_start(container_of(in, struct dokodemo, accept.in)->udp[i], fd);
}

void dokodemo_inherit_udp(struct inbound *in, size_t i, struct inbound *from, size_t from_i)
{
    struct dokodemo *d = container_of(in, struct dokodemo, accept.in);
    struct dokodemo *old = container_of(from, struct dokodemo, accept.in);
    udp_listener_free(d->udp[i]);
    d->udp[i] = old->udp[from_i];
    old->udp[from_i] = NULL;
    udp_listener_own(d->udp[i], d->accept.traffic, on_udp_source, &d->accept);
}

void dokodemo_adopt(struct inbound *in, const struct policy *policy, const struct traffic *traffic)
{
    struct dokodemo *d = container_of(in, struct dokodemo, accept.in);
    accept_adopt(&d->accept, policy, traffic);
    for (size_t i = 0; i < d->udp_count; i++)
        udp_listener_own(d->udp[i], traffic, on_udp_source, &d->accept);
}
