#include "conf/instance.h"

#include <sys/socket.h>

#include "conf/clients.h"
#include "core/log.h"
#include "proxy/api_inbound.h"
#include "proxy/http_inbound.h"
#include "proxy/http_outbound.h"
#include "proxy/route_service.h"
#include "proxy/socks_inbound.h"
#include "proxy/socks_outbound.h"
#include "proxy/vmess_inbound.h"
#include "proxy/vmess_outbound.h"
#include "reverse/bridge.h"
#include "reverse/elsewhere.h"
#include "reverse/muxed.h"
#include "reverse/portal.h"

static struct outbound *outbound_make_one(struct worker *w, const struct generation *g, size_t i)
{
    const struct outbound_conf *o = &g->config->outbounds[i];
    struct loop *l = &w->loop;
    switch (o->kind) {
    case OUT_FREEDOM:
        return freedom_new(l, o->tag, &o->freedom, o->send_through, o->traffic);
    case OUT_DNS:
        return dns_outbound_new(l, o->tag, &o->dns, o->send_through, o->traffic);
    case OUT_FILE:
        return file_new(l, o->tag, o->file);
    case OUT_WEB:
        return web_outbound_new(&w->dispatcher, o->tag, &o->web);
    case OUT_BLACKHOLE:
        return blackhole_new(l, o->tag, &o->blackhole);
    case OUT_VMESS:
        return vmess_outbound_new(l, o->tag, &o->vmess, o->send_through, o->traffic);
    case OUT_SOCKS:
        return socks_outbound_new(l, o->tag, &o->socks, o->send_through, o->traffic);
    case OUT_HTTP:
        return http_outbound_new(l, o->tag, &o->http, o->send_through, o->traffic);
    case OUT_API:
        return api_new(l, o->tag, &w->view);
    case OUT_PORTAL:
        return portal_new(l, o->portal, g->portals[i]);
    }
    return NULL;
}

/* With mux it wraps the one that dials. */
struct outbound *outbound_make(struct worker *w, const struct generation *g, size_t i)
{
    const struct outbound_conf *o = &g->config->outbounds[i];
    struct outbound *inner = outbound_make_one(w, g, i);
    if (!inner || !o->mux)
        return inner;
    struct outbound *out = muxed_new(inner, o->mux, config_policy(g->config, 0));
    if (!out)
        inner->ops->free(inner);
    return out;
}

static struct health *health_of(const struct config *c, size_t i)
{
    for (size_t n = 0; n < c->observatory.count; n++)
        if (c->observatory.items[n].outbound == i)
            return c->observatory.items[n].health;
    return NULL;
}

void outbound_settle(struct worker *w, struct outbound *out, const struct config *c, size_t i)
{
    const struct outbound_conf *o = &c->outbounds[i];
    struct outbound *dials = o->mux ? muxed_inner(out) : out;
    out->policy = o->policy;
    out->health = health_of(c, i);
    dials->policy = o->policy;
    dials->carriage = o->carriage;
    dials->via = o->via;
    dials->dispatcher = &w->dispatcher;
}

static void outbound_adopt_one(struct outbound *out, const struct outbound_conf *o)
{
    switch (o->kind) {
    case OUT_FREEDOM:
        freedom_adopt(out, &o->freedom, o->traffic);
        break;
    case OUT_DNS:
        dns_outbound_adopt(out, &o->dns, o->traffic);
        break;
    case OUT_FILE:
        file_adopt(out, o->file);
        break;
    case OUT_WEB:
        web_outbound_adopt(out, &o->web);
        break;
    case OUT_BLACKHOLE:
        blackhole_adopt(out, &o->blackhole);
        break;
    case OUT_VMESS:
        vmess_outbound_adopt(out, &o->vmess, o->traffic);
        break;
    case OUT_SOCKS:
        socks_outbound_adopt(out, &o->socks, o->traffic);
        break;
    case OUT_HTTP:
        http_outbound_adopt(out, &o->http, o->traffic);
        break;
    case OUT_PORTAL:
        portal_adopt(out, o->portal);
        break;
    case OUT_API: /* shows what its worker has */
        break;
    }
}

void outbound_adopt(struct outbound *out, const struct config *c, const struct outbound_conf *o)
{
    if (o->mux)
        muxed_adopt(out, config_policy(c, 0));
    outbound_adopt_one(o->mux ? muxed_inner(out) : out, o);
}

/* What all kinds have. */
static void inbound_dress(struct inbound *in, const struct inbound_conf *i)
{
    accept_of(in)->carriage = i->carriage;
    accept_of(in)->sniffing = i->sniffing;
}

/* A file has an owner; a unix socket without one does not. */
static bool is_owners(const struct addr *listen)
{
    return listen->type == ADDR_UNIX && *listen->name == '/';
}

static struct guide_holders holders_of(const struct worker *w, const struct generation *g,
                                       const struct inbound_conf *i)
{
    const struct guide_conf *c = i->ingress.guide;
    if (!c->has_portal)
        return (struct guide_holders){0};
    return (struct guide_holders){
        .claims = portal_shards_claims(g->portals[c->portal]),
        .others = w->cluster ? cluster_hosts(w->cluster) : NULL,
        .portal = portal_key(g->config->outbounds[c->portal].portal),
    };
}

struct inbound *inbound_make(struct worker *w, const struct generation *g, size_t n)
{
    const struct inbound_conf *i = &g->config->inbounds[n];
    struct loop *l = &w->loop;
    size_t ports = inbound_ports(i);
    struct inbound *in = NULL;
    struct guide_holders holders;
    switch (i->kind) {
    case IN_DOKODEMO:
        in = dokodemo_new(l, &w->dispatcher, i->tag, &i->dokodemo, ports, i->policy, i->traffic);
        break;
    case IN_VMESS:
        in = vmess_inbound_new(l, &w->dispatcher, i->tag, &i->vmess, g->guard, ports, i->policy,
                               i->traffic);
        break;
    case IN_SOCKS:
        in = socks_inbound_new(l, &w->dispatcher, i->tag, &i->socks, ports, i->policy, i->traffic);
        break;
    case IN_HTTP:
        in = http_inbound_new(l, &w->dispatcher, i->tag, &i->http, ports, i->policy, i->traffic);
        break;
    case IN_INGRESS:
        holders = holders_of(w, g, i);
        in = entry_new(l, &w->dispatcher, i->tag, &i->ingress, &holders,
                       route_service_new(l, &w->dns.way), ports, i->policy, i->traffic);
        break;
    case IN_API:
        in = api_inbound_new(l, &w->api_way, is_owners(&i->listen), i->policy, i->traffic);
        break;
    }
    if (in)
        inbound_dress(in, i);
    return in;
}

/* The socket stays open, so that nobody is turned away. */
static void inherit_tcp(struct accept_inbound *in, size_t n, struct accept_inbound *old,
                        size_t port)
{
    struct err e;
    int fd = accept_release(old, port);
    if (in->carriage && sockopt_listen(fd, SOCK_STREAM, &in->carriage->sockopt, &e) < 0)
        log_warn("inbound \"%s\": %s", in->in.tag, e.text);
    accept_listen(in, n, fd);
}

void inbound_open(struct worker *w, struct inbound *in, const struct doors *d)
{
    struct inbound **old = w->now.inbounds;
    for (size_t n = 0; n < d->ports; n++) {
        struct door *tcp = d->tcp ? &d->tcp[n] : NULL, *udp = d->udp ? &d->udp[n] : NULL;
        if (tcp && tcp->heir_of != DOOR_NEW)
            inherit_tcp(accept_of(in), n, accept_of(old[tcp->heir_of]), tcp->heir_port);
        else if (tcp)
            accept_listen(accept_of(in), n, door_take(tcp, w->loop.index));
        if (udp && udp->heir_of != DOOR_NEW)
            dokodemo_inherit_udp(in, n, old[udp->heir_of], udp->heir_port);
        else if (udp)
            dokodemo_listen_udp(in, n, door_take(udp, w->loop.index));
    }
    if (d->tcp && d->tcp->heir_of != DOOR_NEW)
        entry_inherit(in, old[d->tcp->heir_of]);
}

void inbound_adopt(struct worker *w, struct inbound *in, const struct generation *g, size_t n)
{
    const struct inbound_conf *i = &g->config->inbounds[n];
    struct guide_holders holders;
    switch (i->kind) {
    case IN_DOKODEMO:
        dokodemo_adopt(in, i->policy, i->traffic);
        break;
    case IN_VMESS:
        vmess_inbound_adopt(in, clients_of(i), i->policy, i->traffic);
        break;
    case IN_API:
        accept_adopt(accept_of(in), i->policy, i->traffic);
        break;
    case IN_SOCKS:
        socks_inbound_adopt(in, &i->socks, i->policy, i->traffic);
        break;
    case IN_HTTP:
        http_inbound_adopt(in, &i->http, i->policy, i->traffic);
        break;
    case IN_INGRESS:
        holders = holders_of(w, g, i);
        entry_adopt(in, &i->ingress, &holders, i->policy, i->traffic);
        break;
    }
    inbound_dress(in, i);
}

struct inbound *bridge_make(struct worker *w, const struct config *c, size_t i)
{
    const struct bridge_conf *conf = &c->bridges[i];
    unsigned share = bridge_share(conf, w->loop.index, w->shared->count);
    if (!share)
        return NULL;
    struct inbound *b = bridge_new(&w->loop, &w->dispatcher, conf, config_policy(c, 0), share,
                                   w->shared->instance + i);
    if (!b)
        log_error("bridge \"%s\": out of memory", conf->tag);
    return b;
}

void bridge_renew(struct inbound *in, const struct config *c, size_t i)
{
    bridge_adopt(in, &c->bridges[i], config_policy(c, 0));
}
