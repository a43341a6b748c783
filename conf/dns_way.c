#include "conf/dns_way.h"

#include "proxy/freedom.h"

static void on_flow(void *owner, struct flow *f, bool direct)
{
    struct dns_way *d = owner;
    f->meta.no_look_up = true;
    if (direct)
        dispatch_through(d->direct, f);
    else
        dispatch(d->dispatcher, f);
}

int dns_way_init(struct dns_way *d, struct loop *l, struct dispatcher *dispatcher, struct err *e)
{
    static const struct freedom_conf freedom;
    static const struct addr anywhere;
    static const struct traffic uncounted = {.up = -1, .down = -1};
    d->dispatcher = dispatcher;
    d->direct = freedom_new(l, "", &freedom, &anywhere, &uncounted);
    if (!d->direct)
        return err_set(e, ENOMEM, "out of memory");
    d->way = (struct resolve_way){.open = on_flow, .owner = d};
    return resolve_init(l, &d->way, e);
}

void dns_way_fini(struct dns_way *d)
{
    if (d->direct)
        d->direct->ops->free(d->direct);
    d->direct = NULL;
}
