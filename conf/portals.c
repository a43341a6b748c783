#include "conf/portals.h"

#include <stdlib.h>

struct portal_shards *portals_add(struct portals *p, unsigned loops)
{
    struct portal_shards **all = realloc(p->all, (p->count + 1) * sizeof(struct portal_shards *));
    if (!all)
        return NULL;
    p->all = all;
    all[p->count] = portal_shards_new(loops);
    return all[p->count] ? all[p->count++] : NULL;
}

void portals_fini(struct portals *p)
{
    for (size_t i = 0; i < p->count; i++)
        portal_shards_free(p->all[i]);
    free(p->all);
    *p = (struct portals){0};
}
