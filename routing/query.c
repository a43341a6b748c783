#include "routing/query.h"

#include <string.h>

struct query query_of(const struct meta *m, char name[ADDR_NAME_MAX + 1])
{
    struct query q = {.meta = m, .head = m->head, .head_len = m->head_len};
    if (m->target.type != ADDR_NAME)
        return q;
    memcpy(name, m->target.name, strlen(m->target.name) + 1);
    addr_normalise_name(name);
    q.name = name;
    return q;
}
