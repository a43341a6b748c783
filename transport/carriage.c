#include "transport/carriage.h"

#include <stdlib.h>

#include "transport/stream.h"

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
    if (c && --c->shares == 0)
        free(c);
}

bool carriage_is_plain(const struct carriage *c)
{
    return !c || (!c->tls && !c->ws && !c->upgrade && !c->forged && !c->takes_proxy);
}

int carriage_dialled(struct stream *s, const struct carriage *c, const struct addr *to,
                     struct err *e)
{
    (void)s, (void)c, (void)to, (void)e;
    return 0;
}

int carriage_accepted(struct stream *s, const struct carriage *c, struct err *e)
{
    (void)s, (void)c, (void)e;
    return 0;
}
