#include "proxy/api_inbound.h"

#include <stdlib.h>

#include "proxy/api.h"

static void api_inbound_free(struct inbound *in)
{
    accept_stop(accept_of(in));
    free(accept_of(in));
}

static void api_inbound_drain(struct inbound *in)
{
    accept_drain(accept_of(in));
}

static const struct inbound_ops api_inbound_ops = {
    .drain = api_inbound_drain, .busy = accept_busy, .free = api_inbound_free};

struct inbound *api_inbound_new(struct loop *l, struct dispatcher *d, bool owner,
                                const struct policy *policy, const struct traffic *traffic)
{
    struct accept_inbound *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    *a = (struct accept_inbound){
        .in = {.ops = &api_inbound_ops, .loop = l, .dispatcher = d, .tag = api_listen_tag},
        .policy = policy,
        .target = {.type = ADDR_NAME, .name = "api"}, /* for logs */
        .traffic = traffic,
        .spare = true,
        .user = owner ? &api_owner : NULL,
    };
    if (accept_init(a, 1) == 0)
        return &a->in;
    free(a);
    return NULL;
}
