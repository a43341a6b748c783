#include "proxy/http_inbound.h"

#include <stdlib.h>

struct http_inbound {
    struct accept_inbound accept;
    const struct http_in_conf *conf;
};

static struct http_inbound *http_of(struct inbound *in)
{
    return container_of(in, struct http_inbound, accept.in);
}

static struct codec *new_codec(struct accept_inbound *a)
{
    return http_accept_new(&container_of(a, struct http_inbound, accept)->conf);
}

static void http_inbound_drain(struct inbound *in)
{
    accept_drain(accept_of(in));
}

static void http_inbound_free(struct inbound *in)
{
    accept_stop(accept_of(in));
    free(http_of(in));
}

static const struct inbound_ops http_inbound_ops = {
    .drain = http_inbound_drain, .busy = accept_busy, .free = http_inbound_free};

struct inbound *http_inbound_new(struct loop *l, struct dispatcher *d, const char *tag,
                                 const struct http_in_conf *conf, size_t ports,
                                 const struct policy *policy, const struct traffic *traffic)
{
    struct http_inbound *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->conf = conf;
    h->accept = (struct accept_inbound){
        .in = {.ops = &http_inbound_ops, .loop = l, .dispatcher = d, .tag = tag},
        .policy = policy,
        .traffic = traffic,
        .new_codec = new_codec,
    };
    if (accept_init(&h->accept, ports) == 0)
        return &h->accept.in;
    http_inbound_free(&h->accept.in);
    return NULL;
}

void http_inbound_adopt(struct inbound *in, const struct http_in_conf *conf,
                        const struct policy *policy, const struct traffic *traffic)
{
    accept_adopt(accept_of(in), policy, traffic);
    http_of(in)->conf = conf;
}
