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
                     .outbound_tag = ""};
    struct flow *f = flow_new(a->in.loop, end, &udp_peer_ops, &m, a->policy);
    if (!f)
        return false;
    dispatch(a->in.dispatcher, f);
    return true;
}

static void dokodemo_free(struct inbound *in)
{
    struct dokodemo *d = container_of(in, struct dokodemo, accept.in);
    accept_stop(&d->accept);
    for (size_t i = 0; i < d->udp_count; i++)
        udp_listener_free(d->udp[i]);
    free(d->udp);
    free(d);
}

static const struct inbound_ops dokodemo_ops = {.free = dokodemo_free};

static int dokodemo_listen_udp(struct dokodemo *d, const struct listen_at *at, struct err *e)
{
    struct addr here = *at->addr;
    size_t count = (size_t)(at->last_port - at->first_port) + 1;
    d->udp = calloc(count, sizeof(struct udp_listener *));
    if (!d->udp)
        return err_set(e, ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        here.port = (uint16_t)(at->first_port + i);
        d->udp[i] = udp_listen(d->accept.in.loop, &here, at->shared, d->accept.traffic,
                               on_udp_source, &d->accept, e);
        if (!d->udp[i])
            return -1;
        d->udp_count = i + 1;
    }
    return 0;
}

struct inbound *dokodemo_new(struct loop *l, struct dispatcher *disp, const char *tag,
                             const struct dokodemo_conf *conf, const struct listen_at *at,
                             const struct policy *policy, const struct traffic *traffic,
                             struct err *e)
{
    struct dokodemo *d = calloc(1, sizeof *d);
    if (!d) {
        err_set(e, ENOMEM, "out of memory");
        return NULL;
    }
    d->accept = (struct accept_inbound){
        .in = {.ops = &dokodemo_ops, .loop = l, .dispatcher = disp, .tag = tag},
        .policy = policy,
        .traffic = traffic,
        .target = conf->target,
    };
    if (((conf->networks & NET_TCP) && accept_start(&d->accept, at, e) < 0) ||
        ((conf->networks & NET_UDP) && dokodemo_listen_udp(d, at, e) < 0)) {
        dokodemo_free(&d->accept.in);
        return NULL;
    }
    return &d->accept.in;
}
