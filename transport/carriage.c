#include "transport/carriage.h"

#include <stdlib.h>

#include "transport/forged.h"
#include "transport/proxy_in.h"
#include "transport/stream.h"
#include "transport/tls.h"
#include "transport/upgrade.h"
#include "transport/ws.h"

struct carriage *carriage_new(void)
{
    struct carriage *c = calloc(1, sizeof *c);
    if (c)
        c->shares = 1;
    return c;
}

struct carriage *carriage_ref(const struct carriage *c)
{
    struct carriage *shared = (struct carriage *)c;
    shared->shares++;
    return shared;
}

void carriage_unref(struct carriage *c)
{
    if (!c || --c->shares > 0)
        return;
    tls_conf_free((struct tls_conf *)c->tls);
    free(c);
}

bool carriage_is_plain(const struct carriage *c)
{
    return !c || (!c->tls && !c->ws && !c->upgrade && !c->forged && !c->takes_proxy);
}

/* Takes l; NULL: it could not be made, and e says why. */
static int put(struct stream *s, struct layer *l, struct err *e)
{
    if (!l)
        return -1;
    return stream_put_layer(s, l) < 0 ? err_set(e, ENOMEM, "out of memory") : 0;
}

/* The same for layers that can only fail for want of memory. */
static int put_simple(struct stream *s, struct layer *l, struct err *e)
{
    err_set(e, ENOMEM, "out of memory");
    return put(s, l, e);
}

int carriage_dialled(struct stream *s, const struct carriage *c, const struct addr *to,
                     struct err *e)
{
    bool tls = c && c->tls;
    if (carriage_is_plain(c))
        return 0;
    if (tls && put(s, tls_dial(c->tls, to, e), e) < 0)
        return -1;
    if (c->ws)
        return put_simple(s, ws_client_new(c->ws, to, tls), e);
    if (c->upgrade)
        return put_simple(s, upgrade_client_new(c->upgrade, to, tls), e);
    if (c->forged)
        return put_simple(s, forged_client_new(c->forged), e);
    return 0;
}

int carriage_accepted(struct stream *s, const struct carriage *c, struct err *e)
{
    if (carriage_is_plain(c))
        return 0;
    if (c->takes_proxy && put_simple(s, proxy_in_new(), e) < 0)
        return -1;
    if (c->tls && !c->picks_tls && put(s, tls_accept(c->tls, e), e) < 0)
        return -1;
    if (c->ws)
        return put_simple(s, ws_server_new(c->ws), e);
    if (c->upgrade)
        return put_simple(s, upgrade_server_new(c->upgrade), e);
    if (c->forged)
        return put_simple(s, forged_server_new(c->forged), e);
    return 0;
}
